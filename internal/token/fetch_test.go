package token_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

const discoveryPath = "/.well-known/openid-configuration"

// discovery is a discovery document.
func discovery(issuer, keys string) string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"extra":{"a":[1,2]}}`, issuer, keys)
}

func TestVerify_FetchesKeysFromWhereTheyAre(t *testing.T) {
	s := testKeys()["ES256"]
	keys := jwks(t, s)
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	type site = map[string]http.HandlerFunc
	for name, tt := range map[string]struct {
		site func(url string) site
		// path is behind the issuer's URL, and jwksURL its own setting.
		path, jwksURL string
		ok            bool
	}{
		"discovery": {func(u string) site {
			return site{discoveryPath: write(discovery(u, u+"/keys")), "/keys": write(keys)}
		}, "", "", true},
		"discovery below a path": {func(u string) site {
			return site{"/tenant" + discoveryPath: write(discovery(u+"/tenant", u+"/keys")), "/keys": write(keys)}
		}, "/tenant", "", true},
		"discovery with a slash at the end": {func(u string) site {
			return site{discoveryPath: write(discovery(u+"/", u+"/keys")), "/keys": write(keys)}
		}, "/", "", true},
		"a configured address": {func(string) site { return site{"/k": write(keys)} }, "", "/k", true},
		"discovery of another issuer": {func(u string) site {
			return site{discoveryPath: write(discovery("https://forger.example.com", u+"/keys")), "/keys": write(keys)}
		}, "", "", false},
		"discovery of nearly this issuer": {func(u string) site {
			return site{discoveryPath: write(discovery(u+"/", u+"/keys")), "/keys": write(keys)}
		}, "", "", false},
		"discovery with the issuer twice": {func(u string) site {
			return site{discoveryPath: write(strings.Replace(discovery(u, u+"/keys"), "{", `{"issuer":"x",`, 1)), "/keys": write(keys)}
		}, "", "", false},
		"discovery without keys": {func(u string) site { return site{discoveryPath: write(fmt.Sprintf(`{"issuer":%q}`, u))} }, "", "", false},
		"keys in a file": {func(u string) site {
			return site{discoveryPath: write(discovery(u, "file:///etc/keys.json"))}
		}, "", "", false},
		"keys without a host": {func(u string) site { return site{discoveryPath: write(discovery(u, "/keys")), "/keys": write(keys)} }, "", "", false},
		"keys with a user": {func(u string) site {
			return site{discoveryPath: write(discovery(u, strings.Replace(u, "//", "//a:b@", 1)+"/keys")), "/keys": write(keys)}
		}, "", "", false},
		"keys over http elsewhere": {func(u string) site {
			return site{discoveryPath: write(discovery(u, "http://keys.example.com/keys"))}
		}, "", "", false},
		"discovery redirects": {func(u string) site {
			return site{
				discoveryPath: http.RedirectHandler("/else", http.StatusFound).ServeHTTP,
				"/else":       write(discovery(u, u+"/keys")), "/keys": write(keys),
			}
		}, "", "", false},
		"keys redirect": {func(string) site {
			return site{"/k": http.RedirectHandler("/keys", http.StatusTemporaryRedirect).ServeHTTP, "/keys": write(keys)}
		}, "", "/k", false},
		"keys in an answer of 404": {func(string) site {
			return site{"/k": func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(keys))
			}}
		}, "", "/k", false},
		"keys of 1 MiB": {func(string) site { return site{"/k": write(keys + strings.Repeat(" ", 1<<20-len(keys)))} }, "", "/k", true},
		"more than 1 MiB": {func(string) site {
			return site{"/k": write(keys + strings.Repeat(" ", 1<<20-len(keys)+1))}
		}, "", "/k", false},
		"an answer that ends early": {func(string) site {
			return site{"/k": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write([]byte(keys))
			}}
		}, "", "/k", false},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			server := httptest.NewServer(mux)
			defer server.Close()
			for path, handler := range tt.site(server.URL) {
				mux.Handle(path, handler)
			}
			i := issuer("")
			i.URL = server.URL + tt.path
			if tt.jwksURL != "" {
				i.JWKSURL = server.URL + tt.jwksURL
			}
			v := newVerifier(t, token.Config{Client: server.Client()})
			_, err := v.Verify(t.Context(), known(i), s.sign(t, nil, claims(map[string]any{"iss": i.URL})), epoch)
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, identity.ErrIssuerUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestVerify_EndlessAnswersEnd(t *testing.T) {
	s := testKeys()["ES256"]
	left := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		_, _ = w.Write([]byte(`{"keys":[`))
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	i := issuer("")
	i.URL, i.JWKSURL = server.URL, server.URL
	v := newVerifier(t, token.Config{Client: server.Client()})
	if _, err := v.Verify(t.Context(), known(i), s.sign(t, nil, claims(map[string]any{"iss": i.URL})), epoch); !errors.Is(err, identity.ErrIssuerUnavailable) {
		t.Errorf("got %v", err)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the answer is still being read")
	}
}

func TestCheckURL(t *testing.T) {
	for _, tt := range []struct {
		issuer, address string
		ok              bool
	}{
		{"https://a.example", "https://b.example/keys", true},
		{"https://a.example", "http://a.example/keys", false},
		{"https://a.example", "http://127.0.0.1/keys", false},
		{"http://127.0.0.1:80", "http://127.0.0.1:81/keys", true},
		{"http://localhost", "http://[::1]/keys", true},
		{"http://localhost", "https://b.example", true},
		{"http://a.example", "http://a.example/keys", false},
		{"http://localhost", "http://10.0.0.1/keys", false},
		{"http://localhost", "http://localhost.example.com/keys", false},
		{"joe", "https://b.example/keys", true},
		{"joe", "http://127.0.0.1/keys", false},
		{"https://a.example", "https:///keys", false},
		{"https://a.example", "https://u@b.example", false},
		{"https://a.example", "https://b.example/#x", false},
		{"https://a.example", "gopher://b.example/", false},
		{"https://a.example", "://", false},
	} {
		if err := token.CheckURL(tt.issuer, tt.address); (err == nil) != tt.ok {
			t.Errorf("keys of %s at %s: %v", tt.issuer, tt.address, err)
		}
	}
}
