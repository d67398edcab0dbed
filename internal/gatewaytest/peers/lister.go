package peers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// Lister is an agent of protocol 1.0 that lists every task there is to everybody, as
// agents without a notion of callers do. A task's id is its message's id.
type Lister struct {
	// URL is its address.
	URL string

	mu    sync.Mutex
	ids   []string
	lists int
}

// Lists returns how often tasks were listed.
func (l *Lister) Lists() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists
}

// StartLister starts a Lister. It ends with the test.
func StartLister(t testing.TB) *Lister {
	t.Helper()
	l := &Lister{}
	srv := httptest.NewServer(http.HandlerFunc(l.serve))
	l.URL = srv.URL
	t.Cleanup(srv.Close)
	return l
}

func (l *Lister) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_, _ = fmt.Fprintf(w, `{"name":"lister","description":"","version":"1","supportedInterfaces":[{"url":"http://%s/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],"skills":[]}`, r.Host)
		return
	}
	var call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Message struct {
				MessageID string `json:"messageId"`
			} `json:"message"`
			PageSize  int    `json:"pageSize"`
			PageToken string `json:"pageToken"`
		} `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	result := any(nil)
	task := func(id string) map[string]any {
		return map[string]any{"id": id, "contextId": "c-" + id, "status": map[string]any{"state": "TASK_STATE_COMPLETED"}}
	}
	switch call.Method {
	case "SendMessage":
		l.ids = append(l.ids, call.Params.Message.MessageID)
		result = map[string]any{"task": task(call.Params.Message.MessageID)}
	case "ListTasks":
		l.lists++
		from, _ := strconv.Atoi(call.Params.PageToken)
		to := min(from+cmp.Or(call.Params.PageSize, 50), len(l.ids))
		tasks := []any{}
		for _, id := range l.ids[from:to] {
			tasks = append(tasks, task(id))
		}
		next := ""
		if to < len(l.ids) {
			next = strconv.Itoa(to)
		}
		result = map[string]any{"tasks": tasks, "nextPageToken": next, "pageSize": len(tasks), "totalSize": len(l.ids), "x-note": "kept"}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": result})
}
