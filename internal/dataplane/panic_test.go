package dataplane_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/task"
)

// fixed is a configuration of one agent and the admin key "secret".
type fixed struct{}

func (fixed) Revision(context.Context) (int64, error) { return 1, nil }
func (fixed) Since(context.Context, int64) (snapshot.Delta, error) {
	return snapshot.Delta{}, errors.New("nothing changes")
}

func (fixed) All(context.Context) (snapshot.Delta, error) {
	uid := uuid.New()
	return snapshot.Delta{
		Revision: 1, Admins: [][32]byte{identity.HashSecret("secret")},
		Agents: map[uuid.UUID]*registry.Agent{uid: {
			UID: uid, ID: "echo", Team: "demo", Visibility: registry.VisibilityTeam, State: registry.StateApproved,
			Endpoints: []registry.Endpoint{{URL: "http://agent.invalid", Weight: 1}},
		}},
	}, nil
}

// noted is a record in memory.
type noted struct {
	mu             sync.Mutex
	opened, closed int
	outcome        audit.Outcome
}

func (n *noted) Open(*audit.Opening) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened++
	return nil
}

func (n *noted) Close(c *audit.Closing) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed, n.outcome = n.closed+1, c.Outcome
	return nil
}

func (n *noted) Refuse(*audit.Opening, *audit.Closing) error { return errors.New("refused") }
func (n *noted) RefuseUnauthenticated(*audit.Opening, *audit.Closing) error {
	return errors.New("refused")
}
func (n *noted) RecordAnonymous(*audit.Opening, *audit.Closing) error {
	return errors.New("nobody is anonymous")
}
func (n *noted) Ready() error { return nil }

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

// nowhere is a place for bindings that nobody asks.
type nowhere struct{ task.Store }

func (nowhere) Write(context.Context, []task.Entry) ([]task.Entry, error) { return nil, nil }

type anywhere struct{}

func (anywhere) CheckPublic(context.Context, string, bool) error { return nil }

func TestCall_ABugLeavesOneRecordAndNoReplyThatLooksWhole(t *testing.T) {
	for name, event := range map[string]string{
		"before anything was sent": "",
		"inside a stream":          "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"task\":{\"id\":\"t\",\"contextId\":\"c\",\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}}\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			follower, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{}})
			if err != nil {
				t.Fatal(err)
			}
			ledger, err := task.NewLedger(task.Config{Store: nowhere{}})
			if err != nil {
				t.Fatal(err)
			}
			block, err := aes.NewCipher(make([]byte, 16))
			if err != nil {
				t.Fatal(err)
			}
			seal, err := cipher.NewGCM(block)
			if err != nil {
				t.Fatal(err)
			}
			record := &noted{}
			proxy, err := dataplane.New(dataplane.Config{
				Snapshots: follower, Tasks: ledger, Recorder: record, Upstream: bug{event}, Push: anywhere{}, PageSeal: seal,
				Limits: dataplane.Limits{SnapshotAge: time.Hour},
			})
			if err != nil {
				t.Fatal(err)
			}
			gateway := httptest.NewServer(proxy)
			defer gateway.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, gateway.URL+"/a2a/echo",
				strings.NewReader(gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m", "hi", ""))))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer secret")
			resp, err := http.DefaultClient.Do(req)
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
			record.mu.Lock()
			defer record.mu.Unlock()
			if record.opened != 1 || record.closed != 1 || record.outcome != audit.Unavailable {
				t.Errorf("%d openings and %d closings, %s; want one each", record.opened, record.closed, record.outcome)
			}
		})
	}
}
