package httpauth_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
)

const marker = "s3cret-marker"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signer makes a Signer whose questions end with the test.
func signer(t *testing.T, client *http.Client, c credential.Credential, secret credential.Secret, change ...func(*httpauth.Config)) httpauth.Signer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		working.Wait()
	})
	cfg := httpauth.Config{Client: client, Background: ctx, Go: working.Go}
	for _, f := range change {
		f(&cfg)
	}
	s, err := httpauth.New(cfg, &c, secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sign returns the headers that a request gets.
func sign(t *testing.T, s httpauth.Signer) (http.Header, *httpauth.Token, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://agent.example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign(req, nil)
	return req.Header, token, err
}

func TestSign_FixedCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		c    credential.Credential
		want http.Header
	}{
		"bearer":  {credential.Credential{Kind: credential.Bearer}, http.Header{"Authorization": {"Bearer " + marker}}},
		"API key": {credential.Credential{Kind: credential.APIKey, Header: "X-Api-Key"}, http.Header{"X-Api-Key": {marker}}},
		"basic": {
			credential.Credential{Kind: credential.Basic, Username: "gw"},
			http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("gw:"+marker))}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, token, err := sign(t, signer(t, nil, tc.c, credential.Secret{Value: marker}))
			if err != nil || token != nil {
				t.Fatalf("%v, %v", token, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// endpoint is a token endpoint.
func endpoint(t *testing.T, handler http.HandlerFunc) (*http.Client, string) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
	})
	return client, server.URL + "/token"
}

func TestSign_AsksAnAuthorizationServerForTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		c credential.Credential
		// inBody tells whether the client's secret comes in the body.
		inBody bool
		form   map[string]string
	}{
		"header": {
			credential.Credential{Kind: credential.OAuth2, ClientID: "gw", Scopes: []string{"a", "b"}, ClientAuthentication: credential.ClientHeader},
			false,
			map[string]string{"scope": "a b", "audience": "", "client_secret": ""},
		},
		"body": {
			credential.Credential{Kind: credential.OAuth2, ClientID: "gw", Audience: "https://agent", ClientAuthentication: credential.ClientBody},
			true,
			map[string]string{"audience": "https://agent"},
		},
		"auto, which ends in the body": {
			credential.Credential{Kind: credential.OAuth2, ClientID: "gw", ClientAuthentication: credential.ClientAuto}, true, nil,
		},
		"entra": {
			credential.Credential{Kind: credential.Entra, ClientID: "gw", Tenant: "t", Scopes: []string{"api://agent/.default"}},
			true,
			map[string]string{"scope": "api://agent/.default"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, url := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				id, secret, basic := r.BasicAuth()
				if tc.inBody {
					id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
				}
				w.Header().Set("Content-Type", "application/json")
				if basic == tc.inBody || id != "gw" || secret != marker || r.PostFormValue("grant_type") != "client_credentials" {
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
					return
				}
				for name, want := range tc.form {
					if got := r.PostFormValue(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				_, _ = fmt.Fprint(w, `{"access_token":"tok","token_type":"Bearer","expires_in":3600}`)
			})
			got, token, err := sign(t, signer(t, client, tc.c, credential.Secret{Value: marker, TokenURL: url}))
			if err != nil || token == nil || got.Get("Authorization") != "Bearer tok" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestSign_AsksGoogleWithASignedAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	idToken := part(map[string]string{"alg": "none"}) + "." + part(map[string]any{"exp": time.Now().Add(time.Hour).Unix()}) + ".sig"
	for name, tc := range map[string]struct {
		c    credential.Credential
		want string
	}{
		"access token": {credential.Credential{Kind: credential.Google, ClientEmail: "gw@p", PrivateKeyID: "k1", Scopes: []string{"s1", "s2"}}, "access"},
		"id token":     {credential.Credential{Kind: credential.Google, ClientEmail: "gw@p", PrivateKeyID: "k1", Audience: "https://agent"}, idToken},
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			client, at := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				parts := strings.Split(r.PostFormValue("assertion"), ".")
				if len(parts) != 3 || r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
					t.Errorf("asked with %v", r.PostForm)
					return
				}
				sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
				signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
				if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
					t.Errorf("the assertion's signature: %v", err)
				}
				var claims map[string]any
				raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
				if err := json.Unmarshal(raw, &claims); err != nil || claims["iss"] != "gw@p" || claims["aud"] != url {
					t.Errorf("claims %v, %v", claims, err)
				}
				if target := claims["target_audience"]; (tc.c.Audience == "") != (target == nil) || target != nil && target != tc.c.Audience {
					t.Errorf("target_audience is %v", target)
				}
				w.Header().Set("Content-Type", "application/json")
				if tc.c.Audience != "" {
					_, _ = fmt.Fprintf(w, `{"id_token":%q}`, idToken)
					return
				}
				_, _ = fmt.Fprint(w, `{"access_token":"access","expires_in":3600}`)
			})
			url = at
			got, _, err := sign(t, signer(t, client, tc.c, credential.Secret{Value: credential.Text(pemKey), TokenURL: url}))
			if err != nil || got.Get("Authorization") != "Bearer "+tc.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestSign_TellsWhyThereIsNoToken(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "https://evil.example.com/")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	c := credential.Credential{Kind: credential.OAuth2, ClientID: "gw", ClientAuthentication: credential.ClientHeader}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		why     httpauth.Why
		says    string
	}{
		"refused":                {answer(401, `{"error":"invalid_client","error_description":"`+marker+`"}`), httpauth.TokenRefused, "invalid_client"},
		"refused without a code": {answer(500, marker), httpauth.TokenRefused, "HTTP 500"},
		"a code that is a text":  {answer(400, `{"error":"no: `+marker+`"}`), httpauth.TokenRefused, "HTTP 400"},
		"a redirect":             {answer(302, marker), httpauth.TokenRefused, "HTTP 302"},
		"no token":               {answer(200, `{"token_type":"Bearer","note":"`+marker+`"}`), httpauth.TokenInvalid, "without a token"},
		"no JSON":                {answer(200, marker), httpauth.TokenInvalid, "without a token"},
		"a token with a line":    {answer(200, `{"access_token":"a\r\nX-Evil: `+marker+`"}`), httpauth.TokenInvalid, "without a token"},
		"a closed connection":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, httpauth.TokenUnreachable, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			client, url := endpoint(t, tc.handler)
			got, _, err := sign(t, signer(t, client, c, credential.Secret{Value: marker, TokenURL: url}))
			e, ok := errors.AsType[*httpauth.Error](err)
			if !ok || e.Why != tc.why || !strings.Contains(e.Problem, tc.says) {
				t.Errorf("got %v, want %s with %q", err, tc.why, tc.says)
			}
			if strings.Contains(fmt.Sprint(err), marker) || len(got) > 0 {
				t.Errorf("the error or the request tells too much: %v, %v", err, got)
			}
		})
	}
	t.Run("a hanging endpoint", func(t *testing.T) {
		release := make(chan struct{})
		client, url := endpoint(t, func(http.ResponseWriter, *http.Request) { <-release })
		defer close(release)
		s := signer(t, client, c, credential.Secret{Value: marker, TokenURL: url}, func(cfg *httpauth.Config) { cfg.Wait = 20 * time.Millisecond })
		_, _, err := sign(t, s)
		if e, ok := errors.AsType[*httpauth.Error](err); !ok || e.Why != httpauth.TokenTimeout {
			t.Errorf("got %v", err)
		}
	})
}

// issuer gives out tokens with numbers, without a network, so that time can be turned.
type issuer struct {
	asked atomic.Int64
	fails atomic.Bool
	slow  chan struct{} // nil answers at once
	life  int
}

func (i *issuer) RoundTrip(req *http.Request) (*http.Response, error) {
	n := i.asked.Add(1)
	if i.slow != nil {
		select {
		case <-i.slow:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if i.fails.Load() {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.WriteString(`{"error":"invalid_client"}`)
	} else {
		_, _ = fmt.Fprintf(w, `{"access_token":"tok%d","token_type":"Bearer","expires_in":%d}`, n, i.life)
	}
	return w.Result(), nil
}

// tokens makes a Signer that asks an issuer, inside a bubble of turned time.
func tokens(t *testing.T, i *issuer) httpauth.Signer {
	t.Helper()
	return signer(t, &http.Client{Transport: i},
		credential.Credential{Kind: credential.OAuth2, ClientID: "gw", ClientAuthentication: credential.ClientBody},
		credential.Secret{Value: marker, TokenURL: "https://idp.example.com/token"})
}

// shows fails the test unless the next request has a token.
func shows(t *testing.T, s httpauth.Signer, want string) *httpauth.Token {
	t.Helper()
	h, token, err := sign(t, s)
	if err != nil || h.Get("Authorization") != "Bearer "+want {
		t.Errorf("shown %q, %v, want %s", h.Get("Authorization"), err, want)
	}
	return token
}

func TestTokens_ManyCallsAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 3600, slow: make(chan struct{})}
		s := tokens(t, i)
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() { shows(t, s, "tok1") })
		}
		synctest.Wait()
		close(i.slow)
		calls.Wait()
		if n := i.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestTokens_AreRenewedBesideTheCallsBeforeTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 3600}
		s := tokens(t, i)
		shows(t, s, "tok1")
		time.Sleep(54 * time.Minute)
		shows(t, s, "tok1")
		synctest.Wait()
		if n := i.asked.Load(); n != 1 {
			t.Errorf("asked %d times while the token is good for long", n)
		}
		time.Sleep(2 * time.Minute)
		shows(t, s, "tok1") // it does not wait for the new one
		synctest.Wait()
		shows(t, s, "tok2")
		// While the endpoint fails the token is used to its end.
		time.Sleep(56 * time.Minute)
		i.fails.Store(true)
		shows(t, s, "tok2")
		synctest.Wait()
		shows(t, s, "tok2")
		time.Sleep(4 * time.Minute)
		if _, _, err := sign(t, s); err == nil {
			t.Error("a token that has ended is used")
		}
	})
}

func TestTokens_AFailureIsNotAskedForAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 3600}
		i.fails.Store(true)
		s := tokens(t, i)
		began := time.Now()
		for time.Since(began) < time.Minute {
			if _, _, err := sign(t, s); err == nil {
				t.Fatal("a token came")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := i.asked.Load(); n < 5 || n > 10 {
			t.Errorf("asked %d times in a minute", n)
		}
		i.fails.Store(false)
		time.Sleep(30 * time.Second)
		if _, _, err := sign(t, s); err != nil {
			t.Errorf("after the endpoint is back: %v", err)
		}
	})
}

func TestTokens_ARefusedOneIsReplacedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 3600}
		s := tokens(t, i)
		first := shows(t, s, "tok1")
		if !first.Refused() {
			t.Error("a refused token is kept")
		}
		second := shows(t, s, "tok2")
		if !first.Refused() {
			t.Error("another call with the old token may not try again")
		}
		if second.Refused() {
			t.Error("an agent that refuses all tokens makes a flood of questions")
		}
		shows(t, s, "tok2")
		time.Sleep(11 * time.Second)
		second.Doubted()
		shows(t, s, "tok2") // it may be good for other calls
		synctest.Wait()
		shows(t, s, "tok3")
	})
}

func TestTokens_ACallThatEndsDoesNotEndTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 3600, slow: make(chan struct{})}
		s := tokens(t, i)
		ctx, cancel := context.WithCancelCause(t.Context())
		left := errors.New("left")
		time.AfterFunc(time.Second, func() { cancel(left) })
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://agent.example.com/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sign(req, nil); !errors.Is(err, left) {
			t.Errorf("got %v", err)
		}
		close(i.slow)
		synctest.Wait()
		shows(t, s, "tok1")
	})
}
