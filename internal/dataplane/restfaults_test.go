package dataplane_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
)

// An error that ends a stream before it has begun is an error of HTTP, however the agent
// of the same dialect sent it.
func TestREST_AnAgentsErrorInsteadOfAStreamIsAnErrorInJSON(t *testing.T) {
	const asJSON = "application/json"
	for name, tt := range map[string]struct {
		status           int
		media, body      string
		want             int
		message, without string
	}{
		"an event with an error status": {
			500, "text/event-stream", "event: error\ndata: {\"error\":{\"code\":500,\"status\":\"INTERNAL\",\"message\":\"boom\"}}\n\n",
			500, "boom", "event:",
		},
		"a refusal of the gateway's credential": {
			401, asJSON, `{"error":{"code":401,"status":"UNAUTHENTICATED","message":"no"}}`,
			502, "the agent refused the gateway's credential", "UNAUTHENTICATED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			agent := startNative(t, rest10)
			agent.Answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			gateway := newRig(t, rest10, agent.URL).serve(t)
			got := do(t, gatewaytest.Client, http.MethodPost, gateway.AgentURL("echo")+"/message:stream", adminKey,
				[]byte(gatewaytest.Message("m", "hi", "")), "Content-Type", asJSON)
			f := readFailure(t, rest10, got)
			if got.Status != tt.want || !strings.Contains(f.Message, tt.message) || strings.Contains(string(got.Body), tt.without) {
				t.Errorf("HTTP %d, %s; want HTTP %d with %q and without %q", got.Status, got.Body, tt.want, tt.message, tt.without)
			}
		})
	}
}

// Over HTTP/1.1 a deadline of reads ends a call whose body is read already. A call that
// has no body must not be left with one.
func TestREST_CallsWithoutABodyOutliveTheTimeThatBodiesMayTake(t *testing.T) {
	const (
		grace   = 300 * time.Millisecond
		working = `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}`
		ended   = `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"}}}`
	)
	agent := startNative(t, rest10)
	agent.Answer(func(w http.ResponseWriter, r *http.Request) {
		stream := strings.HasSuffix(r.URL.Path, ":subscribe")
		switch {
		case strings.HasSuffix(r.URL.Path, ":send"):
			writeBody(w, http.StatusOK, `{"task":`+working+`}`)
			return
		case stream:
			sc := &scene{d: rest10, w: w, r: r}
			sc.head()
			sc.sendForm(`{"task":` + working + `}`)
		}
		select {
		case <-time.After(2 * grace):
		case <-r.Context().Done():
			return
		}
		if stream {
			_, _ = io.WriteString(w, "data: "+ended+"\n\n")
			return
		}
		writeBody(w, http.StatusOK, working)
	})
	gateway := newRig(t, rest10, agent.URL, func(c *dataplane.Config) { c.Limits.BodyGrace = grace }).serve(t)
	send := do(t, gatewaytest.Client, http.MethodPost, gateway.AgentURL("echo")+"/message:send", adminKey,
		[]byte(gatewaytest.Message("m", "hi", "")), "Content-Type", "application/json")
	if send.Status != http.StatusOK {
		t.Fatalf("the task was not made: HTTP %d, %s", send.Status, send.Body)
	}
	for _, tt := range []struct{ method, path, want string }{
		{http.MethodGet, "/tasks/t:subscribe", ended},
		{http.MethodPost, "/tasks/t:subscribe", ended},
		{http.MethodGet, "/tasks/t", working},
	} {
		got := do(t, gatewaytest.Client, tt.method, gateway.AgentURL("echo")+tt.path, adminKey, nil)
		if got.Status != http.StatusOK || !strings.Contains(string(got.Body), tt.want) {
			t.Errorf("%s %s: HTTP %d, %s; want %s in it", tt.method, tt.path, got.Status, got.Body, tt.want)
		}
	}
}
