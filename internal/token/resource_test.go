package token_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/token"
)

func TestMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		resource string
		issuers  []string
		want     map[string]any
	}{
		"issuers": {"https://gw.example.com/a2a", []string{"https://a.example", "https://b.example/x?y=\"<"}, map[string]any{
			"resource": "https://gw.example.com/a2a", "authorization_servers": []any{"https://a.example", "https://b.example/x?y=\"<"},
			"bearer_methods_supported": []any{"header"},
		}},
		"none": {"https://gw.example.com", nil, map[string]any{"resource": "https://gw.example.com", "bearer_methods_supported": []any{"header"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			if err := json.Unmarshal(token.Metadata(tt.resource, tt.issuers), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetadataURL(t *testing.T) {
	for resource, want := range map[string]string{
		"https://gw.example.com":             "https://gw.example.com/.well-known/oauth-protected-resource",
		"https://gw.example.com/":            "https://gw.example.com/.well-known/oauth-protected-resource",
		"https://gw.example.com:8443/a2a/x/": "https://gw.example.com:8443/.well-known/oauth-protected-resource/a2a/x",
		"http://127.0.0.1:8080/a?b=c":        "http://127.0.0.1:8080/.well-known/oauth-protected-resource/a?b=c",
		"https://gw.example.com/#x":          "",
		"gw.example.com":                     "",
		"ftp://gw.example.com":               "",
		"":                                   "",
	} {
		got, err := token.MetadataURL(resource)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("MetadataURL(%q) = %q, %v, want %q", resource, got, err, want)
		}
	}
}

func TestChallenge(t *testing.T) {
	const at = "https://gw.example.com/.well-known/oauth-protected-resource"
	for name, tt := range map[string]struct {
		url, code, description string
		want                   map[string]string
	}{
		"without a credential": {at, "", "", map[string]string{"resource_metadata": at}},
		"with a wrong one":     {at, "invalid_token", "the token has expired", map[string]string{"resource_metadata": at, "error": "invalid_token", "error_description": "the token has expired"}},
		"nothing":              {"", "", "", map[string]string{}},
		"what would end the text": {
			at + `"x`, `a"b`, "a \"b\" c\\, error=\"none\"\r\nSet-Cookie: a=b\x00é",
			map[string]string{"resource_metadata": at + "'x", "error": "a'b", "error_description": "a 'b' c?, error='none'??Set-Cookie: a=b??"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			value := token.Challenge(tt.url, tt.code, tt.description)
			scheme, params, err := parseChallenge(value)
			if err != nil {
				t.Fatalf("%q: %v", value, err)
			}
			want := map[string]string{"realm": "signalbox"}
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, params); diff != "" || scheme != "Bearer" {
				t.Errorf("%q: scheme %q, parameters (-want +got):\n%s", value, scheme, diff)
			}
			// net/http takes it as it is.
			header := http.Header{}
			header.Set("WWW-Authenticate", value)
			var b strings.Builder
			if err := header.Write(&b); err != nil || b.String() != "Www-Authenticate: "+value+"\r\n" {
				t.Errorf("the header is written as %q", b.String())
			}
		})
	}
}

// parseChallenge reads one challenge of RFC 9110, section 11.6.1, with quoted values.
func parseChallenge(s string) (scheme string, params map[string]string, err error) {
	isToken := func(s string) bool {
		return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
	}
	scheme, rest, _ := strings.Cut(s, " ")
	if !isToken(scheme) {
		return "", nil, errors.New("no scheme")
	}
	params = map[string]string{}
	for rest != "" {
		name, after, found := strings.Cut(rest, `="`)
		if !found || !isToken(name) {
			return "", nil, errors.New("no parameter at " + rest)
		}
		if _, again := params[name]; again {
			return "", nil, errors.New("a parameter twice: " + name)
		}
		var value strings.Builder
		i := 0
		for ; i < len(after) && after[i] != '"'; i++ {
			if after[i] == '\\' {
				i++
			}
			if i == len(after) || after[i] != '\t' && (after[i] < ' ' || after[i] > '~') {
				return "", nil, errors.New("a byte that may not be in a text: " + name)
			}
			value.WriteByte(after[i])
		}
		if i == len(after) {
			return "", nil, errors.New("a text without an end: " + name)
		}
		params[name] = value.String()
		rest = after[i+1:]
		if rest != "" {
			if rest, found = strings.CutPrefix(rest, ", "); !found || rest == "" {
				return "", nil, errors.New("no comma behind " + name)
			}
		}
	}
	return scheme, params, nil
}
