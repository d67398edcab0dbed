package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Extended is an agent of protocol 1.0 whose every answer is a given extended card.
type Extended struct {
	// URL is its address.
	URL string

	mu   sync.Mutex
	last []byte
}

// StartExtended starts an Extended. It ends with the test.
func StartExtended(t testing.TB, card string) *Extended {
	t.Helper()
	e := &Extended{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, card)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var call struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.Unmarshal(body, &call)
		e.mu.Lock()
		e.last = body
		e.mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, call.ID, card)
	}))
	e.URL = srv.URL
	t.Cleanup(srv.Close)
	return e
}

// LastBody returns the body of the last call.
func (e *Extended) LastBody() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}
