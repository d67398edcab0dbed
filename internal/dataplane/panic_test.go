package dataplane_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
)

// bug is an upstream whose reply makes the gateway panic when it is read.
type bug struct{ event string }

func (b bug) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body: io.NopCloser(io.MultiReader(strings.NewReader(b.event), panics{})),
	}, nil
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("a bug of the gateway") }

func TestCall_ABugLeavesOneRecordAndNoReplyThatLooksWhole(t *testing.T) {
	for name, event := range map[string]string{
		"before anything was sent": "",
		"inside a stream":          "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"task\":{\"id\":\"t\",\"contextId\":\"c\",\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}}\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, rpc10, "", func(c *dataplane.Config) { c.Upstream = bug{event} })
			gateway := g.serve(t)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, gateway.AgentURL("echo"),
				strings.NewReader(gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m", "hi", ""))))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+adminKey)
			resp, err := gatewaytest.Client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if sent := event != ""; sent != (err != nil) {
				t.Errorf("the reply ended with %v: %s", err, body)
			} else if !sent && !strings.Contains(string(body), `"reason":"INTERNAL"`) {
				t.Errorf("the reply is no error: %s", body)
			}
			if got, want := g.record.entries(), "open, close "+string(audit.Unavailable); got != want {
				t.Errorf("the record says %q, want %q", got, want)
			}
		})
	}
}
