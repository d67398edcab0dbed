package cli_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRedirects_AreSaidAndNeverFollowed(t *testing.T) {
	var calls atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		t.Errorf("a redirect was followed: %s %s with Authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNotFound)
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.Header.Get("Authorization") != "Bearer sb_secret" {
				t.Errorf("the server that was named got Authorization %q", r.Header.Get("Authorization"))
			}
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		for _, args := range [][]string{
			{"teams", "list"},
			{"events", "tail"},
			{"agents", "create", "a", "--url", "http://127.0.0.1:1"},
			{"call", "echo", "hi"},
			{"call", "echo", "hi", "--version", "1.0"},
			{"call", "echo", "hi", "--version", "1.0", "--stream"},
		} {
			env := map[string]string{"SIGNALBOX_SERVER": server.URL, "SIGNALBOX_KEY": "sb_secret", "HOME": t.TempDir()}
			got := runWith(t, env, "", args...)
			want := server.URL + " answers with a redirect (HTTP "
			if got.code != 1 || !strings.Contains(got.err, want) || !strings.Contains(got.err, " to "+elsewhere.URL+"/") ||
				!strings.Contains(got.err, "next    the key goes to "+server.URL+" only") {
				t.Errorf("%d: %q ended with %d and said:\n%s", status, args, got.code, got.err)
			}
		}
		if asked.Load() != 6 {
			t.Errorf("%d: the server was asked %d times, want 6", status, asked.Load())
		}
		server.CloseClientConnections()
		server.Close()
	}
	if calls.Load() != 0 {
		t.Errorf("the other server was called %d times", calls.Load())
	}
}
