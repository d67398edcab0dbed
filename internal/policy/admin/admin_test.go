package admin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// stuck are decisions whose head is not told until the test wants it.
type stuck struct{ asked, tell chan struct{} }

var errHead = errors.New("there is no head")

func (s *stuck) Head(context.Context) (int64, error) {
	s.asked <- struct{}{}
	<-s.tell
	return 0, errHead
}

func (s *stuck) First(context.Context, time.Time) (int64, error) { return 0, errHead }

func (s *stuck) Decisions(context.Context, audit.Query, int64, int64) ([]admin.Recorded, error) {
	return nil, errHead
}

// nothing is a store that is not asked.
type nothing struct{ admin.Store }

func TestReplay_IsRefusedBeyondTheBound(t *testing.T) {
	decisions := &stuck{asked: make(chan struct{}), tell: make(chan struct{})}
	s, err := admin.New(admin.Config{
		Store: nothing{}, Decisions: decisions, Snapshot: func() *snapshot.Snapshot { return nil },
		Sync: func(context.Context, int64) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	by, req := identity.Admin(), admin.ReplayRequest{Scope: audit.AllTeams()}
	results := make(chan error, admin.DefaultMaxReplays)
	for range admin.DefaultMaxReplays {
		go func() {
			_, err := s.Replay(t.Context(), &by, req, nil)
			results <- err
		}()
		<-decisions.asked
	}
	if _, err := s.Replay(t.Context(), &by, req, nil); !errors.Is(err, admin.ErrTooManyReplays) {
		t.Errorf("one more: %v", err)
	}
	close(decisions.tell)
	for range admin.DefaultMaxReplays {
		if err := <-results; !errors.Is(err, errHead) {
			t.Errorf("replay: %v", err)
		}
	}
	go func() { <-decisions.asked }()
	if _, err := s.Replay(t.Context(), &by, req, nil); !errors.Is(err, errHead) {
		t.Errorf("after they have ended: %v", err)
	}
}

func TestNew_NamesEveryMissingPart(t *testing.T) {
	_, err := admin.New(admin.Config{})
	const want = "admin: Config.Store is required\nadmin: Config.Decisions is required\nadmin: Config.Snapshot is required\nadmin: Config.Sync is required"
	if err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
}

func TestSentence_SaysWhatAGrantDoes(t *testing.T) {
	until := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		grant    policy.Grant
		disabled bool
		want     string
	}{
		{
			policy.Grant{Principal: policy.TeamUID("research"), Agents: policy.Selector{Of: policy.TagUID("internal")}, Actions: []policy.Action{policy.Invoke, policy.Discover}, Until: until},
			false, "everybody in team research may invoke and discover the agents with the tag internal, until 2027-01-01 00:00:00 UTC",
		},
		{
			policy.Grant{Principal: policy.KeyUID("teams/research/keys/ci"), Actions: []policy.Action{policy.Invoke}, Via: true},
			true, "key teams/research/keys/ci may invoke every agent, also through other agents (disabled)",
		},
		{
			policy.Grant{Principal: policy.RoleNameAuditor.UID("a"), Agents: policy.Selector{Of: policy.TeamUID("b")}, Actions: []policy.Action{policy.GetAgent, policy.SendMessage, policy.GetTask}},
			false, "whoever holds role a/auditor may GetAgent, SendMessage and GetTask the agents of team b",
		},
	} {
		if got := admin.Sentence(tt.grant, tt.disabled); got != tt.want {
			t.Errorf("sentence %q, want %q", got, tt.want)
		}
	}
}
