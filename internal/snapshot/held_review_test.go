package snapshot_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

func TestHeld_AKeyGainsNothingWhenTheTeamOfItsOnlyRoleIsDisabled(t *testing.T) {
	home, away := uuid.New(), uuid.New()
	key := &identity.Key{UID: uuid.New(), TeamUID: home, Team: "home", ID: "ci"}
	agent := &registry.Agent{UID: uuid.New(), ID: "planner", TeamUID: home, Team: "home", Visibility: registry.VisibilityTeam, State: registry.StateApproved}
	for _, disabled := range []bool{false, true} {
		f, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{snapshot.Delta{
			Revision: 1,
			Keys:     map[uuid.UUID]*identity.Key{key.UID: key},
			Agents:   map[uuid.UUID]*registry.Agent{agent.UID: agent},
			Teams: map[uuid.UUID]*identity.Team{
				home: {UID: home, ID: "home"}, away: {UID: away, ID: "away", Disabled: disabled},
			},
			Roles: map[uuid.UUID][]identity.RoleIn{key.UID: {{Role: "member", Team: "away"}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		s := f.Current()
		for _, action := range []policy.Action{policy.UpdateAgent, policy.SendMessage, policy.AdoptTasks} {
			a := s.Policies().Decide(s.Entities(), policy.Query{
				Principal: policy.KeyUID(key.Name()), Action: action, Resource: policy.AgentUID("planner"), Context: policy.Context{Time: time.Now()},
			})
			if a.Permit {
				t.Errorf("with its team disabled %v: %s is permitted by %v", disabled, action, a.Deciding)
			}
		}
	}
}

func TestRevoked_AnAgentCallsNoMoreWhenItsTeamIsDisabled(t *testing.T) {
	team := uuid.New()
	agent := &registry.Agent{UID: uuid.New(), ID: "planner", TeamUID: team, Team: "home", State: registry.StateApproved}
	for _, disabled := range []bool{false, true} {
		f, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{snapshot.Delta{
			Revision: 1,
			Agents:   map[uuid.UUID]*registry.Agent{agent.UID: agent},
			Teams:    map[uuid.UUID]*identity.Team{team: {UID: team, ID: "home", Disabled: disabled}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Current().Revoked(agent.UID, time.Now()); got != disabled {
			t.Errorf("with its team disabled %v the agent is revoked: %v", disabled, got)
		}
	}
}
