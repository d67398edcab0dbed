package push_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a push.Store of this process; its clock is that of the bubble.
type memory struct {
	mu       sync.Mutex
	rows     map[push.ID]*row
	fail     error // what Write returns
	unstored string
	writes   int
}

type row struct {
	push.Claim
	next time.Time
}

var _ push.Store = (*memory)(nil)

func newMemory() *memory { return &memory{rows: map[push.ID]*row{}} }

func (m *memory) Write(_ context.Context, noted, removed []push.Config) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.fail != nil {
		return m.fail
	}
	for _, c := range noted {
		if c.Task == m.unstored {
			return push.ErrUnstorable
		}
	}
	for _, c := range noted {
		m.rows[c.ID] = &row{Claim: push.Claim{Config: c}}
	}
	for _, c := range removed {
		delete(m.rows, c.ID)
	}
	return nil
}

func (m *memory) Holders(context.Context) (owners, agents []uuid.UUID, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		owners, agents = append(owners, r.Owner), append(agents, r.Agent)
	}
	return owners, agents, nil
}

func (m *memory) Claim(_ context.Context, due push.Due, lease time.Duration, limit int) (claims []push.Claim, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		is := slices.Contains(due.Owners, r.Owner) || slices.Contains(due.Agents, r.Agent)
		if is && len(claims) < limit && !time.Now().Before(r.next) {
			r.Attempts++
			r.next = time.Now().Add(lease)
			claims = append(claims, r.Claim)
		}
	}
	return claims, nil
}

func (m *memory) Settle(_ context.Context, c push.Claim, retry time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if retry == 0 {
		delete(m.rows, c.ID)
		return nil
	}
	m.rows[c.ID].next = time.Now().Add(retry)
	return nil
}

func (m *memory) Tidy(_ context.Context, _ push.Due, gone []uuid.UUID, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.rows {
		if slices.Contains(gone, id.Agent) || r.Time.Before(before) {
			delete(m.rows, id)
		}
	}
	return nil
}

// tasks returns the tasks of which there are notes, in order.
func (m *memory) tasks() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var tasks []string
	for id := range m.rows {
		tasks = append(tasks, id.Task)
	}
	slices.Sort(tasks)
	return tasks
}

func (m *memory) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// agents is a push.Agents that notes when it is called.
type agents struct {
	mu      sync.Mutex
	err     error
	listed  []string
	deleted []string // task/config
	times   []time.Time
	at      push.Target
}

var _ push.Agents = (*agents)(nil)

func (a *agents) DeletePushConfig(_ context.Context, at push.Target, task, config string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = at
	a.times = append(a.times, time.Now())
	if a.err == nil {
		a.deleted = append(a.deleted, task+"/"+config)
	}
	return a.err
}

func (a *agents) ListPushConfigs(context.Context, push.Target, string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.listed, nil
}

func (a *agents) seen() (deleted []string, times []time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.deleted)
	return slices.Clone(a.deleted), slices.Clone(a.times)
}

// record is an audit.Recorder that keeps what it is given.
type record struct {
	audit.Recorder
	mu       sync.Mutex
	openings []audit.Opening
	outcomes []audit.Outcome
	messages []string // of errors
}

func (r *record) Refuse(o *audit.Opening, c *audit.Closing) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.openings, r.outcomes = append(r.openings, *o), append(r.outcomes, c.Outcome)
	if c.Error != nil {
		r.messages = append(r.messages, c.Error.Message)
	}
	return nil
}

// source is a snapshot.Source whose configuration tests change.
type source struct {
	mu    sync.Mutex
	delta snapshot.Delta
	err   error
}

func (s *source) Revision(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delta.Revision, s.err
}

func (s *source) All(context.Context) (snapshot.Delta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delta, s.err
}

func (s *source) Since(ctx context.Context, _ int64, _ string) (snapshot.Delta, error) {
	return s.All(ctx)
}

// set changes the configuration.
func (s *source) set(change func(d *snapshot.Delta)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := snapshot.Delta{Revision: s.delta.Revision + 1, Keys: map[uuid.UUID]*identity.Key{}, Agents: map[uuid.UUID]*registry.Agent{}}
	maps.Copy(next.Keys, s.delta.Keys)
	maps.Copy(next.Agents, s.delta.Agents)
	change(&next)
	s.delta = next
}

func (s *source) setErr(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// world is a Revoker with all that it rests on.
type world struct {
	*push.Revoker
	store       *memory
	agents      *agents
	record      *record
	source      *source
	agent, good uuid.UUID // an agent that may be given configs, a key in force
	bad, late   uuid.UUID // a disabled key, one that expires in an hour
}

const endpoint = "http://agent.example"

// run calls f with a Revoker that runs, in a bubble of its own time.
func run(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			store: newMemory(), agents: &agents{}, record: &record{}, source: &source{},
			agent: uuid.New(), good: uuid.New(), bad: uuid.New(), late: uuid.New(),
		}
		w.source.set(func(d *snapshot.Delta) {
			d.Agents[w.agent] = &registry.Agent{
				UID: w.agent, ID: "echo", Push: registry.PushDirect, Endpoints: []registry.Endpoint{{URL: endpoint, Weight: 1}},
			}
			d.Keys[w.good] = &identity.Key{UID: w.good, ID: "good"}
			d.Keys[w.bad] = &identity.Key{UID: w.bad, ID: "bad", Disabled: true}
			d.Keys[w.late] = &identity.Key{UID: w.late, ID: "late", ExpireTime: time.Now().Add(time.Hour)}
		})
		follower, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: w.source})
		if err != nil {
			t.Fatal(err)
		}
		w.Revoker, err = push.NewRevoker(push.RevokerConfig{Store: w.store, Agents: w.agents, Snapshots: follower, Recorder: w.record})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, run := range []func(context.Context) error{follower.Run, w.Run} {
			wg.Go(func() {
				if err := run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		f(t, w)
		cancel()
		wg.Wait()
	})
}

// config makes a config that was set now.
func (w *world) config(owner uuid.UUID, task, id string) push.Config {
	return push.Config{
		ID: push.ID{Agent: w.agent, Task: task, Config: id}, Owner: owner,
		Version: a2a.V10, Endpoint: endpoint, Time: time.Now(),
	}
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantTasks(t *testing.T, w *world, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.store.tasks(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("noted tasks (-want +got):\n%s", diff)
	}
}

func wantDeleted(t *testing.T, w *world, want ...string) {
	t.Helper()
	deleted, _ := w.agents.seen()
	if diff := cmp.Diff(want, deleted, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("deleted at the agent (-want +got):\n%s", diff)
	}
}

func TestRevoker_NotesAreWrittenSoonAndTheNewestOfEachCounts(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.Noted(w.config(w.good, "kept", "c"))
		w.Noted(w.config(w.good, "removed", "c"))
		w.Removed(w.config(w.good, "removed", "c"))
		w.Removed(w.config(w.good, "again", "c"))
		w.Noted(w.config(w.good, "again", "c"))
		pass(20 * time.Millisecond)
		wantTasks(t, w, "again", "kept")
		if w.store.writes != 1 {
			t.Errorf("%d writes, want 1 for all", w.store.writes)
		}
	})
}

func TestRevoker_NotesWaitForTheDatabase(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.store.setFail(errors.New("away"))
		w.Noted(w.config(w.good, "early", "c"))
		pass(10 * time.Second)
		w.Noted(w.config(w.good, "late", "c"))
		w.store.setFail(nil)
		pass(3 * time.Second)
		wantTasks(t, w, "early", "late")
	})
}

func TestRevoker_ANoteThatCannotBeStoredHoldsUpNoOther(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.store.unstored = "bad"
		for _, task := range []string{"a", "bad", "c"} {
			w.Noted(w.config(w.good, task, "c"))
		}
		pass(20 * time.Millisecond)
		wantTasks(t, w, "a", "c")
	})
}

func TestRevoker_TheLastNotesAreWrittenAtTheStop(t *testing.T) {
	var w *world
	run(t, func(_ *testing.T, running *world) {
		w = running
		w.Noted(w.config(w.good, "last", "c"))
	})
	wantTasks(t, w, "last")
}

func TestRevoker_DeletesWhatBelongsToWhoLostTheirRights(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.Noted(w.config(w.good, "good", "c"))
		w.Noted(w.config(identity.AdminUID, "admin", "c"))
		w.Noted(w.config(w.bad, "disabled", "c"))
		w.Noted(w.config(uuid.New(), "gone", "c"))
		w.Noted(w.config(w.late, "expires", "c"))
		pass(5 * time.Second)
		wantDeleted(t, w, "disabled/c", "gone/c")
		wantTasks(t, w, "admin", "expires", "good")
		pass(time.Hour)
		wantDeleted(t, w, "disabled/c", "expires/c", "gone/c")
		wantTasks(t, w, "admin", "good")
		if w.agents.at.URL.String() != endpoint {
			t.Errorf("the agent was called at %q", w.agents.at.URL)
		}
	})
}

func TestRevoker_AllConfigsOfATaskGoWhenNobodyWasToldTheID(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.agents.listed = []string{"x", "y"}
		w.Noted(w.config(w.bad, "t", ""))
		pass(5 * time.Second)
		wantDeleted(t, w, "t/x", "t/y")
		wantTasks(t, w)
	})
}

func TestRevoker_NotesOfAgentsThatAreGoneAreForgotten(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.Noted(w.config(w.bad, "t", "c"))
		other := w.config(w.good, "orphan", "c")
		other.Agent = uuid.New()
		w.Noted(other)
		pass(5 * time.Second)
		wantDeleted(t, w, "t/c")
		wantTasks(t, w)
	})
}

func TestRevoker_NobodyIsTakenForGoneWhoIsNotKnownHereYet(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		// This replica cannot read the configuration, but another one has a new key's config.
		w.source.setErr(errors.New("away"))
		pass(time.Second)
		fresh := uuid.New()
		w.source.set(func(d *snapshot.Delta) { d.Keys[fresh] = &identity.Key{UID: fresh, ID: "fresh"} })
		w.Noted(w.config(fresh, "fresh", "c"))
		pass(time.Minute)
		w.source.setErr(nil)
		pass(time.Minute)
		wantDeleted(t, w)
		wantTasks(t, w, "fresh")
	})
}

func TestRevoker_TriesAgainEverMoreRarelyAndGivesUpAfterADay(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.agents.err = errors.New("away")
		w.Noted(w.config(w.bad, "t", "c"))
		pass(20 * time.Hour)
		wantTasks(t, w, "t")
		pass(6 * time.Hour)
		wantTasks(t, w)
		_, times := w.agents.seen()
		last := times[0]
		for i, at := range times[1:] {
			wait, least := at.Sub(last), min(5*time.Second<<min(i, 10), time.Hour)
			if wait < least || wait > least+10*time.Second {
				t.Errorf("attempt %d came after %s, want %s", i+2, wait, least)
			}
			last = at
		}
		if tried := last.Sub(times[0]); tried < 22*time.Hour || tried > 24*time.Hour {
			t.Errorf("it was tried for %s, want a day", tried)
		}
		if len(w.record.outcomes) != len(times) || slices.ContainsFunc(w.record.outcomes, func(o audit.Outcome) bool { return o != audit.Unavailable }) {
			t.Errorf("%d attempts have the records %v", len(times), w.record.outcomes)
		}
	})
}

func TestRevoker_AnErrorAboutAConfigThatIsNotThereIsSuccess(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		listed []string
		done   bool
	}{
		{"no such config", push.ErrNoConfig, []string{"c"}, true},
		{"an error, and it is not listed", &push.RPCError{Code: -32603, Message: "no such config"}, []string{"other"}, true},
		{"an error, and it is listed", &push.RPCError{Code: -32603, Message: "broken"}, []string{"c"}, false},
		{"no answer", errors.New("away"), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, w *world) {
				w.agents.err, w.agents.listed = tt.err, tt.listed
				w.Noted(w.config(w.bad, "t", "c"))
				pass(4 * time.Second)
				if done := len(w.store.tasks()) == 0; done != tt.done {
					t.Errorf("done %v, want %v", done, tt.done)
				}
			})
		})
	}
}

func TestRevoker_AsksInADialectThatTheAgentSpeaks(t *testing.T) {
	face := func(binding, version, url, tenant string) string {
		return fmt.Sprintf(`{"url":%q,"protocolBinding":%q,"protocolVersion":%q,"tenant":%q}`, url, binding, version, tenant)
	}
	rpc10, rest10, grpc10 := face("JSONRPC", "1.0", "http://x/rpc", "a"), face("HTTP+JSON", "1.0", "http://x/rest", "b"), face("GRPC", "1.0", "x:1", "c")
	rpc03, rest03, grpc03 := face("JSONRPC", "0.3", "http://x/old", ""), face("HTTP+JSON", "0.3", "http://x/oldrest", ""), face("GRPC", "0.3", "x:1", "")
	prefer := func(b a2a.Binding, v a2a.Version) []a2a.Dialect { return []a2a.Dialect{{Binding: b, Version: v}} }
	tests := []struct {
		name      string
		faces     []string
		preferred []a2a.Dialect
		version   a2a.Version // in which the config was given
		want      string
		url       string
		tenant    string
	}{
		{"JSON-RPC when there is all", []string{grpc03, grpc10, rest03, rest10, rpc03, rpc10}, nil, a2a.V10, "JSONRPC/1.0", "http://agent.example/rpc", "a"},
		{"JSON-RPC of its version", []string{rpc10, rpc03}, nil, a2a.V03, "JSONRPC/0.3", "http://agent.example/old", ""},
		{"REST alone", []string{rest10}, nil, a2a.V10, "HTTP+JSON/1.0", "http://agent.example/rest", "b"},
		{"gRPC alone", []string{grpc10}, nil, a2a.V10, "GRPC/1.0", "http://agent.example", "c"},
		{"gRPC 0.3 alone", []string{grpc03}, nil, a2a.V03, "GRPC/0.3", "http://agent.example", ""},
		{"its version in another binding", []string{rpc10, rest03}, nil, a2a.V03, "HTTP+JSON/0.3", "http://agent.example/oldrest", ""},
		{"another version when there is no other", []string{rest03}, nil, a2a.V10, "HTTP+JSON/0.3", "http://agent.example/oldrest", ""},
		{"what is preferred in its version", []string{rpc10, rest10, grpc10}, prefer(a2a.GRPC, a2a.V10), a2a.V10, "GRPC/1.0", "http://agent.example", "c"},
		{"its version before what is preferred", []string{rest03, grpc10}, prefer(a2a.GRPC, a2a.V10), a2a.V03, "HTTP+JSON/0.3", "http://agent.example/oldrest", ""},
		{"none", []string{face("MQTT", "1.0", "http://x/", "")}, nil, a2a.V10, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, w *world) {
				w.source.set(func(d *snapshot.Delta) {
					d.Agents[w.agent] = &registry.Agent{
						UID: w.agent, ID: "echo", Push: registry.PushDirect, PreferredDialects: tt.preferred,
						Card:      []byte(`{"name":"echo","supportedInterfaces":[` + strings.Join(tt.faces, ",") + `]}`),
						Endpoints: []registry.Endpoint{{URL: "http://other.example", Weight: 1}, {URL: endpoint, Weight: 1}},
					}
				})
				pass(5 * time.Second)
				given := w.config(w.bad, "t", "c")
				given.Version = tt.version
				w.Noted(given)
				pass(4 * time.Second)
				if len(w.record.openings) != 1 {
					t.Fatalf("the record has %d events, want 1", len(w.record.openings))
				}
				o := w.record.openings[0]
				if o.Dialect != "JSONRPC/"+tt.version.String() || o.UpstreamDialect != tt.want {
					t.Errorf("recorded as %q and %q, want %q upstream", o.Dialect, o.UpstreamDialect, tt.want)
				}
				if tt.want == "" {
					wantDeleted(t, w)
					wantTasks(t, w, "t")
					if len(w.record.messages) != 1 || strings.Contains(w.record.messages[0], "JSON-RPC") {
						t.Errorf("the record says %q", w.record.messages)
					}
					return
				}
				wantDeleted(t, w, "t/c")
				if at := w.agents.at; at.Dialect.String() != tt.want || at.URL.String() != tt.url || at.Tenant != tt.tenant {
					t.Errorf("asked %s at %s of tenant %q, want %s at %s of %q", at.Dialect, at.URL, at.Tenant, tt.want, tt.url, tt.tenant)
				}
			})
		})
	}
}
