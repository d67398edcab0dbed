package gatewaytest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// load makes calls until ctx ends and notes the message ids whose reply arrived whole.
type load struct {
	url, key string

	mu       sync.Mutex
	answered map[string]bool // id → its last event was seen
	failed   []string        // ids that were refused although they should not be
}

func (l *load) run(ctx context.Context, name string, stream bool) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	// Enough for every moment to have calls open, not so much that the test counts for long.
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-pace.C
		id := fmt.Sprintf("%s-%d", name, i)
		method := "SendMessage"
		if stream {
			method = "SendStreamingMessage"
		}
		body := gatewaytest.Request(method, gatewaytest.Message(id, "hello", ""))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+l.key)
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		reply, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			continue
		}
		l.mu.Lock()
		switch {
		case bytes.Contains(reply, []byte(`"error"`)):
			l.failed = append(l.failed, id+": "+string(reply))
		case resp.StatusCode == http.StatusOK && (!stream || bytes.Contains(reply, []byte("TASK_STATE_COMPLETED"))):
			l.answered[id] = true
		}
		l.mu.Unlock()
	}
}

func TestRecord_KilledAtAnyMomentLosesNoReplysEventAndWritesNoneTwice(t *testing.T) {
	dsn, dataDir := pgtest.ConnString(t), t.TempDir()
	// Some streams take long enough that every kill meets open calls.
	agent := peers.StartHostile(t, peers.HostileConfig{Delay: 100 * time.Millisecond})
	child := gatewaytest.StartChild(t, dsn, dataDir)
	key := child.Team("demo")
	child.Agent("echo", "demo", agent.URL)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := &load{key: key, answered: map[string]bool{}}
	for round := range 20 {
		if round > 0 {
			child = gatewaytest.StartChild(t, dsn, dataDir)
		}
		l.url = child.AgentURL("echo")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 6 {
			name := fmt.Sprintf("r%d-c%d", round, i)
			if i == 0 {
				name = peers.HostilePrefix + string(peers.SlowFirst) + "-" + name
			}
			wg.Go(func() { l.run(ctx, name, i%3 == 0) })
		}
		<-time.After(time.Duration(20+random.IntN(380)) * time.Millisecond)
		child.Kill()
		cancel()
		wg.Wait()
	}
	if len(l.answered) < 200 || len(l.failed) > 0 {
		t.Fatalf("%d calls were answered, %d refused (%.300v): no load to speak of", len(l.answered), len(l.failed), l.failed)
	}
	seen := map[string]bool{} // what reached the agent
	for _, call := range agent.Calls() {
		var body struct {
			Params struct {
				Message struct {
					MessageID string `json:"messageId"`
				} `json:"message"`
			} `json:"params"`
		}
		if err := json.Unmarshal(call.Body, &body); err != nil {
			t.Fatal(err)
		}
		seen[body.Params.Message.MessageID] = true
	}
	last := gatewaytest.StartChild(t, dsn, dataDir)
	events := map[string]*auditv1.Event{}
	interrupted := 0
	for _, e := range last.Events(`agent="echo"`, len(seen)) {
		if _, twice := events[e.GetMessageId()]; twice {
			t.Errorf("call %s has two events", e.GetMessageId())
		}
		events[e.GetMessageId()] = e
		if e.GetOutcome() == auditv1.Outcome_OUTCOME_INTERRUPTED {
			interrupted++
		}
	}
	for id := range l.answered {
		e, ok := events[id]
		if !ok {
			t.Errorf("call %s was answered and has no event", id)
		} else if e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED {
			t.Errorf("call %s was answered, its event says %s", id, e.GetOutcome())
		}
	}
	for id := range seen {
		if _, ok := events[id]; !ok {
			t.Errorf("call %s reached the agent and has no event", id)
		}
	}
	t.Logf("%d calls answered, %d reached the agent, %d events, %d of them interrupted", len(l.answered), len(seen), len(events), interrupted)
	if interrupted == 0 {
		t.Error("no call was interrupted in 20 kills under load: the test does not test")
	}
}

func TestRecord_AFullSpoolRefusesNewCallsAndLosesNoneThatWasAnswered(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Audit.SpoolBytes = 4 << 20 })
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	thaw := pgtest.Freeze(t)
	answered, refused := map[string]bool{}, 0
	padding := strings.Repeat("x", 100)
	for i := 0; refused < 20; i++ {
		id := fmt.Sprintf("full-%d-%s", i, padding)
		e := g.Call("echo", key, "SendMessage", gatewaytest.Message(id, "hello", "")).Error(t)
		switch {
		case e.Code == 0 && refused == 0:
			answered[id] = true
		case e.Code == -31503 && e.Info(t).Reason == "RECORD_UNAVAILABLE":
			refused++
		default:
			t.Fatalf("call %d: %+v", i, e)
		}
		if i > 50_000 {
			t.Fatal("4 MiB took 50 000 calls: the spool does not fill")
		}
	}
	if got := g.Do(http.MethodGet, "/readyz", "", ""); got.Status != http.StatusServiceUnavailable {
		t.Errorf("readiness with a full spool: HTTP %d", got.Status)
	}
	thaw()
	// Reading the record is a call that must be recorded, too.
	eventually(t, 30*time.Second, func() string {
		if got := g.Do(http.MethodGet, "/readyz", "", ""); got.Status != http.StatusOK {
			return fmt.Sprintf("readiness after the thaw: HTTP %d", got.Status)
		}
		return ""
	})
	counts, singly := map[string]int{}, 0
	for _, e := range g.Events("plane=DATA", len(answered)+refused) {
		counts[e.GetMessageId()]++
		if e.GetError().GetReason() == "RECORD_UNAVAILABLE" && e.GetOutcome() != auditv1.Outcome_OUTCOME_SUMMARY {
			singly++
		}
	}
	for id := range answered {
		if counts[id] != 1 {
			t.Fatalf("call %s has %d events", id, counts[id])
		}
	}
	// There is room for some hundred refusals: no call is open that may need it.
	if singly != refused {
		t.Errorf("of %d refusals %d have an event of their own", refused, singly)
	}
	if e := g.Call("echo", key, "SendMessage", gatewaytest.Message("after", "hello", "")).Error(t); e.Code != 0 {
		t.Errorf("a call after the spool was emptied: %+v", e)
	}
	t.Logf("%d calls fitted", len(answered))
}

func TestStop_EndsInItsTimeThoughPostgresHangs(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	thaw := pgtest.Freeze(t)
	g.Call("echo", key, "SendMessage", gatewaytest.Message("last", "hello", ""))
	done := make(chan struct{})
	go func() {
		g.Stop() // its drain timeout is 6 s
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(12 * time.Second):
		t.Error("the gateway did not stop within twice its drain timeout")
	}
	thaw()
	<-done
	again := gatewaytest.StartOver(t, g.DSN, g.DataDir)
	if events := again.Events(`agent="echo"`, 1); len(events) != 1 || events[0].GetMessageId() != "last" {
		t.Errorf("after the next start: %v", events)
	}
}

func TestRecord_PostgresAwayFailsNoCallAndLosesNoEvent(t *testing.T) {
	away := 4 * time.Second
	if os.Getenv("SIGNALBOX_NIGHTLY") != "" {
		away = time.Minute
	}
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	known := gatewaytest.Message("known", "hello", `,"contextId":"known-context"`)
	if e := g.Call("echo", key, "SendMessage", known).Error(t); e.Code != 0 {
		t.Fatalf("%+v", e)
	}
	l := &load{url: g.AgentURL("echo"), key: key, answered: map[string]bool{}}
	thaw := pgtest.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), away)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { l.run(ctx, fmt.Sprintf("away-%d", i), i == 0) })
	}
	// What may wait for Postgres gets its stated answer, within its bound.
	for _, tt := range []struct {
		name, method, params string
		code                 int
		reason               string
	}{
		{"a context known here", "SendMessage", gatewaytest.Message("k2", "hello", `,"contextId":"known-context"`), 0, ""},
		{"a new context of the caller's making", "SendMessage", gatewaytest.Message("k3", "hello", `,"contextId":"new-context"`), -31503, "DATABASE_UNAVAILABLE"},
		{"a task that is not known here", "GetTask", `{"id":"unknown"}`, -32001, "TASK_NOT_FOUND"},
	} {
		begin := time.Now()
		e := g.Call("echo", key, tt.method, tt.params).Error(t)
		if e.Code != tt.code || (tt.code != 0 && e.Info(t).Reason != tt.reason) {
			t.Errorf("%s while Postgres is away: %+v, want %d %s", tt.name, e, tt.code, tt.reason)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s took %s; the bound is 250ms", tt.name, took)
		}
	}
	if got := g.Do(http.MethodGet, "/a2a/echo/.well-known/agent-card.json", key, ""); got.Status != http.StatusOK {
		t.Errorf("a card while Postgres is away: HTTP %d", got.Status)
	}
	wg.Wait()
	thaw()
	if len(l.failed) > 0 || len(l.answered) < 100 {
		t.Fatalf("%d calls were answered while Postgres was away, %d failed: %.500v", len(l.answered), len(l.failed), l.failed)
	}
	counts := map[string]int{}
	for _, e := range g.Events(`agent="echo"`, len(l.answered)+4) {
		counts[e.GetMessageId()]++
	}
	for id := range l.answered {
		if counts[id] != 1 {
			t.Errorf("call %s has %d events", id, counts[id])
		}
	}
	t.Logf("%d calls in %s without Postgres", len(l.answered), away)
}
