package api_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	rolloutv1 "github.com/signalbox-dev/signalbox/gen/signalbox/rollout/v1"
	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/rollout"
	"github.com/signalbox-dev/signalbox/internal/store"
)

const far = int64(1) << 40 // a revision that no test reaches

// replicas is the table of replicas, as those of a test write it.
type replicas struct {
	t      *testing.T
	p      *plane
	events *store.Events
}

// newRollouts is a plane whose answers say which replicas confirm. A replica that is
// silent for longer than a minute serves nothing.
func newRollouts(t *testing.T) (*plane, *replicas) {
	t.Helper()
	later := &lateStore{}
	watch, err := rollout.New(rollout.Config{Store: later, ServesFor: time.Minute})
	must(t, err)
	p := newPlane(t, func(c *api.Config) { c.Rollout = watch })
	later.Store = p.store
	return p, &replicas{t: t, p: p, events: store.NewEvents(p.pool)}
}

// lateStore is set once the plane is there.
type lateStore struct{ rollout.Store }

// add makes a replica that serves a revision.
func (r *replicas) add(revision int64) audit.Process {
	r.t.Helper()
	process := audit.Process{Replica: uuid.New(), Epoch: 1, Instance: uuid.New()}
	_, err := r.events.Register(r.t.Context(), process)
	must(r.t, err)
	must(r.t, r.events.Heartbeat(r.t.Context(), process, revision))
	return process
}

func (r *replicas) silent(p audit.Process, since time.Duration) {
	r.t.Helper()
	_, err := r.p.pool.Exec(r.t.Context(), "UPDATE replicas SET heartbeat_time = now() - make_interval(secs => $2) WHERE replica_uid = $1",
		p.Replica, since.Seconds())
	must(r.t, err)
}

func TestRollout_ListsTheReplicasThatHaveNotConfirmed(t *testing.T) {
	p, table := newRollouts(t)
	name, _ := p.team(t, "demo")
	disable := func() (*rolloutv1.Rollout, time.Duration) {
		t.Helper()
		began := time.Now()
		k, err := p.admin().DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: name})
		must(t, err)
		if k.GetRollout() == nil {
			t.Fatal("the answer does not say who confirmed")
		}
		return k.GetRollout(), time.Since(began)
	}
	check := func(got *rolloutv1.Rollout, confirmed int32, unconfirmed ...*rolloutv1.UnconfirmedReplica) {
		t.Helper()
		want := &rolloutv1.Rollout{
			Revision: p.follower.Current().Revision(), ConfirmedCount: confirmed, UnconfirmedCount: int32(len(unconfirmed)), UnconfirmedReplicas: unconfirmed,
		}
		if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&rolloutv1.UnconfirmedReplica{}, "last_seen_time")); diff != "" {
			t.Errorf("rollout (-want +got):\n%s", diff)
		}
	}

	table.add(far)
	behind := table.add(2)
	listed := func(served int64) *rolloutv1.UnconfirmedReplica {
		return &rolloutv1.UnconfirmedReplica{Uid: behind.Replica.String(), ServedRevision: served}
	}
	got, took := disable()
	check(got, 1, listed(2))
	if took < 800*time.Millisecond || took > 5*time.Second {
		t.Errorf("the write waited %v for a replica that lives", took)
	}
	if seen := got.GetUnconfirmedReplicas()[0].GetLastSeenTime().AsTime(); time.Since(seen) > time.Minute {
		t.Errorf("the replica was last seen at %v", seen)
	}

	// One without a sign of life is listed, as it may serve, but not waited for.
	table.silent(behind, rollout.SilentAfter+time.Second)
	got, took = disable()
	check(got, 1, listed(2))
	if took > 800*time.Millisecond {
		t.Errorf("the write waited %v for a replica that is silent", took)
	}
	// It serves nothing after a minute, and a while more.
	table.silent(behind, time.Minute+rollout.SilentAfter+time.Second)
	got, _ = disable()
	check(got, 1)

	// The write is repeated to ask again.
	must(t, table.events.Heartbeat(t.Context(), behind, p.follower.Current().Revision()))
	got, _ = disable()
	check(got, 2)

	must(t, table.events.Heartbeat(t.Context(), behind, 1))
	must(t, table.events.Leave(t.Context(), behind))
	got, _ = disable()
	check(got, 1)
	_, err := table.events.Register(t.Context(), behind) // it starts again
	must(t, err)
	got, _ = disable()
	check(got, 1, listed(1))
}

// A replica whose data directory was copied is stopped by neither of the two that have it.
func TestRollout_AnotherProcessCannotSayThatAReplicaStopped(t *testing.T) {
	p, table := newRollouts(t)
	behind := table.add(1)
	behind.Instance = uuid.New()
	must(t, table.events.Leave(t.Context(), behind))
	live, err := p.store.Replicas(t.Context(), time.Minute)
	if err != nil || len(live) != 1 {
		t.Errorf("replicas %v, %v; want the one there is", live, err)
	}
}

func TestRollout_IsInTheAnswerToEveryWriteThatCanTakeRightsAway(t *testing.T) {
	p, table := newRollouts(t)
	table.add(far)
	gone := table.add(1)
	table.silent(gone, rollout.SilentAfter+time.Second)
	p.team(t, "demo")
	p.agent(t, "demo", "echo")
	const agent, key = "agents/echo", "teams/demo/keys/laptop"
	c := p.admin()
	none := func() *rolloutv1.Rollout { return nil }
	tests := []struct {
		name string
		do   func(ctx context.Context) (func() *rolloutv1.Rollout, error)
		// Whether the message has it; the header has it always.
		message bool
	}{
		{"SuspendAgent", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			a, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: agent})
			return a.GetRollout, err
		}, true},
		{"ResumeAgent", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			a, err := c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: agent})
			return a.GetRollout, err
		}, true},
		{"UpdateAgent", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			a, err := c.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: agent, Description: "x"}})
			return a.GetRollout, err
		}, true},
		{"UpdateKey", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			k, err := c.UpdateKey(ctx, &identityv1.UpdateKeyRequest{Key: &identityv1.Key{Name: key, DisplayName: "x"}})
			return k.GetRollout, err
		}, true},
		{"RotateKey", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			r, err := c.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: key})
			return r.GetKey().GetRollout, err
		}, true},
		{"DisableKey", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			k, err := c.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: key})
			return k.GetRollout, err
		}, true},
		{"DeleteAgent", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			_, err := c.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: agent})
			return none, err
		}, false},
		{"DeleteTeam", func(ctx context.Context) (func() *rolloutv1.Rollout, error) {
			_, err := c.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: "teams/demo"})
			return none, err
		}, false},
	}
	for _, tt := range tests {
		ctx, call := connect.NewClientContext(t.Context())
		message, err := tt.do(ctx)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		header := &rolloutv1.Rollout{}
		if err := protojson.Unmarshal([]byte(call.ResponseHeader().Get("X-Signalbox-Rollout")), header); err != nil {
			t.Errorf("%s: the header says %q: %v", tt.name, call.ResponseHeader(), err)
			continue
		}
		served, err := strconv.ParseInt(call.ResponseHeader().Get("X-Signalbox-Revision"), 10, 64)
		if err != nil || header.GetRevision() != served || header.GetConfirmedCount() != 1 || len(header.GetUnconfirmedReplicas()) != 1 {
			t.Errorf("%s: at revision %d the header says %v", tt.name, served, header)
		}
		if tt.message && !cmp.Equal(header, message(), protocmp.Transform()) {
			t.Errorf("%s: the header says %v, the message %v", tt.name, header, message())
		}
	}
}

func TestRollout_OfManyReplicasFitsIntoAHeader(t *testing.T) {
	p, table := newRollouts(t)
	name, _ := p.team(t, "demo")
	for range 120 {
		table.silent(table.add(far-1), rollout.SilentAfter+time.Second)
	}
	_, err := p.pool.Exec(t.Context(), "UPDATE replicas SET served_revision = 0")
	must(t, err)
	ctx, call := connect.NewClientContext(t.Context())
	k, err := p.admin().DisableKey(ctx, &identityv1.DisableKeyRequest{Name: name})
	must(t, err)
	if n := len(call.ResponseHeader().Get("X-Signalbox-Rollout")); n == 0 || n > 3000 {
		t.Errorf("the header has %d bytes", n)
	}
	if r := k.GetRollout(); r.GetUnconfirmedCount() != 120 || len(r.GetUnconfirmedReplicas()) != 100 {
		t.Errorf("%d replicas are counted, %d named; want 120 and 100", r.GetUnconfirmedCount(), len(r.GetUnconfirmedReplicas()))
	}
}

// The write stands; that nobody knows more must not look as if all had confirmed.
func TestRollout_IsAbsentWhenTheReplicasCannotBeAsked(t *testing.T) {
	watch, err := rollout.New(rollout.Config{Store: brokenStore{}})
	must(t, err)
	p := newPlane(t, func(c *api.Config) { c.Rollout = watch })
	name, secret := p.team(t, "demo")
	ctx, call := connect.NewClientContext(t.Context())
	k, err := p.admin().DisableKey(ctx, &identityv1.DisableKeyRequest{Name: name})
	must(t, err)
	if k.GetRollout() != nil || call.ResponseHeader().Values("X-Signalbox-Rollout") != nil {
		t.Errorf("the answer says %v, its header %q", k.GetRollout(), call.ResponseHeader())
	}
	if res, _ := p.post(t, createTeam, "application/json", secret, `{}`); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the disabled key gets HTTP %d", res.StatusCode)
	}
}

type brokenStore struct{}

func (brokenStore) Replicas(context.Context, time.Duration) ([]rollout.Replica, error) {
	return nil, errors.New("away")
}
