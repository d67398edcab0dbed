package admin_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// fixed is a configuration that does not change.
type fixed struct{ delta snapshot.Delta }

func (f fixed) Revision(context.Context) (int64, error)                      { return f.delta.Revision, nil }
func (f fixed) All(context.Context) (snapshot.Delta, error)                  { return f.delta, nil }
func (f fixed) Since(context.Context, int64, string) (snapshot.Delta, error) { return f.delta, nil }

// Only who can come in counts as one who could undo a change: a user whose issuer is
// disabled gets no further than an agent that has no key.
func TestAdmins_AreThoseWhoCanStillCall(t *testing.T) {
	everywhere := []identity.RoleIn{{Role: "admin"}}
	uids := map[string]uuid.UUID{}
	for _, name := range []string{"ada", "bob", "gone", "keyed", "keyless", "disabled"} {
		uids[name] = uuid.New()
	}
	issuer, off := uuid.New(), uuid.New()
	key, disabledKey := uuid.New(), uuid.New()
	agent := func(name string) *registry.Agent {
		return &registry.Agent{UID: uids[name], ID: name, Team: "a", State: registry.StateApproved}
	}
	d := snapshot.Delta{
		Revision: 1,
		Teams:    map[uuid.UUID]*identity.Team{{1}: {UID: uuid.UUID{1}, ID: "a"}},
		Issuers: map[uuid.UUID]*identity.Issuer{
			issuer: {UID: issuer, ID: "okta", URL: "https://okta.example"}, off: {UID: off, ID: "old", URL: "https://old.example", Disabled: true},
		},
		Users: map[uuid.UUID]*identity.User{
			uids["ada"]: {UID: uids["ada"], ID: "okta~ada", Issuer: "okta"}, uids["bob"]: {UID: uids["bob"], ID: "old~bob", Issuer: "old"},
			uids["gone"]: {UID: uids["gone"], ID: "okta~gone", Issuer: "okta", Disabled: true},
		},
		Agents: map[uuid.UUID]*registry.Agent{uids["keyed"]: agent("keyed"), uids["keyless"]: agent("keyless"), uids["disabled"]: agent("disabled")},
		Keys: map[uuid.UUID]*identity.Key{
			key:         {UID: key, ID: "k", Team: "a", AgentUID: uids["keyed"], Agent: "keyed"},
			disabledKey: {UID: disabledKey, ID: "off", Team: "a", AgentUID: uids["disabled"], Agent: "disabled", Disabled: true},
		},
		Roles: map[uuid.UUID][]identity.RoleIn{},
	}
	for _, uid := range uids {
		d.Roles[uid] = everywhere
	}
	f, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{d}})
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.UID{policy.AgentUID("keyed"), policy.UserUID("users/okta~ada")}
	if got := admin.Admins(f.Current(), nil, time.Now()); !slices.Equal(got, want) {
		t.Errorf("admins %v, want %v", got, want)
	}
}

// The replays of teams leave room for that of who may replay everything.
func TestReplay_OfTeamsLeavesRoomForThatOfAll(t *testing.T) {
	decisions := &stuck{asked: make(chan struct{}), tell: make(chan struct{})}
	s, err := admin.New(admin.Config{
		Store: nothing{}, Decisions: decisions, Snapshot: func() *snapshot.Snapshot { return nil },
		Sync: func(context.Context, int64) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	by := identity.Admin()
	results := make(chan error, 2)
	begin := func(scope audit.Scope) {
		go func() {
			_, err := s.Replay(t.Context(), &by, admin.ReplayRequest{Scope: scope}, nil)
			results <- err
		}()
		<-decisions.asked
	}
	begin(audit.Teams("a"))
	if _, err := s.Replay(t.Context(), &by, admin.ReplayRequest{Scope: audit.Teams("b")}, nil); !errors.Is(err, admin.ErrTooManyReplays) {
		t.Errorf("a second one of a team: %v", err)
	}
	begin(audit.AllTeams())
	close(decisions.tell)
	for range 2 {
		if err := <-results; !errors.Is(err, errHead) {
			t.Errorf("replay: %v", err)
		}
	}
}
