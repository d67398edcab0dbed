package cli

import (
	"net/http"
	"testing"
)

// transportFunc is a transport of a function.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClient_KeyGoesToItsServerOnly(t *testing.T) {
	for url, want := range map[string]string{
		"https://gateway.example/a2a/echo":      "Bearer sb_secret",
		"https://GATEWAY.example/":              "Bearer sb_secret",
		"http://gateway.example/a2a/echo":       "",
		"https://gateway.example:8443/a2a/echo": "",
		"https://gateway.example.evil.example/": "",
		"https://evil.example/a2a/echo":         "",
		"https://gateway.example@evil.example/": "",
	} {
		sent := "nothing was sent"
		client := newClient(settings{server: "https://gateway.example", key: "sb_secret"}, transportFunc(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Get("Authorization")
			return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
		}))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if req.URL.User != nil {
			req.URL.User = nil // its own Authorization is beside the point
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if sent != want {
			t.Errorf("%s got Authorization %q, want %q", url, sent, want)
		}
	}
}
