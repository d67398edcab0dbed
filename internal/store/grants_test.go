package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func TestGrants_GoWithWhatTheyName(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	ctx := t.Context()
	makeTeam(t, s, "home")
	gone := makeTeam(t, s, "gone")
	k := keyDraft("k")
	k.Team, k.Disabled = "gone", true
	_, _, err := s.CreateKey(ctx, "admin", k)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	a := agentDraft("planner")
	_, _, err = s.CreateAgent(ctx, "admin", a)
	check(err)
	i, _, err := s.CreateIssuer(ctx, "admin", issuerDraft("okta"))
	check(err)
	u, _, err := s.CreateUser(ctx, "admin", userDraft(i, "ada"))
	check(err)
	grant := func(id string, principal policy.UID, of policy.UID) {
		t.Helper()
		_, _, err := s.CreateGrant(ctx, "admin", admin.Grant{
			UID: uuid.New(), Author: "admin", CreateTime: time.Now(), UpdateTime: time.Now(),
			Grant: policy.Grant{ID: id, Principal: principal, Agents: policy.Selector{Of: of}, Actions: []policy.Action{policy.Invoke}},
		}, func(known admin.Subjects) error {
			if !known.Principal && !known.Issuer || !known.Agents {
				t.Errorf("%s: known %+v", id, known)
			}
			return nil
		})
		check(err)
	}
	tag, home := policy.TagUID("x"), policy.TeamUID("home")
	grant("g-agent-called", home, policy.AgentUID("planner"))
	grant("g-agent-calls", policy.AgentUID("planner"), tag)
	grant("g-key", policy.KeyUID("teams/gone/keys/k"), tag)
	grant("g-team", policy.TeamUID("gone"), tag)
	grant("g-team-role", policy.RoleNameAuditor.UID("gone"), tag)
	grant("g-user", policy.UserUID(u.Name()), tag)
	grant("g-user-unseen", policy.UserUID("users/okta~bob"), tag)
	grant("g-other", home, tag)

	left := func(want ...string) {
		t.Helper()
		grants, err := s.Grants(ctx, admin.GrantQuery{Limit: 100})
		check(err)
		var ids []string
		for _, g := range grants {
			ids = append(ids, g.ID)
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
		// Every replica learns of it: what is made of the changes is what is there.
		d, err := s.SinceKnown(ctx, 0)
		check(err)
		there := 0
		for _, policies := range d.Policies {
			there += len(policies)
		}
		if there != len(want) {
			t.Errorf("the configuration has %d grants, want %d", there, len(want))
		}
	}
	left("g-agent-called", "g-agent-calls", "g-key", "g-other", "g-team", "g-team-role", "g-user", "g-user-unseen")
	_, err = s.DeleteAgent(ctx, "admin", a.UID, func(registry.Agent) error { return nil })
	check(err)
	left("g-key", "g-other", "g-team", "g-team-role", "g-user", "g-user-unseen")
	_, err = s.DeleteTeam(ctx, "admin", gone.UID, func(identity.Team) error { return nil })
	check(err)
	left("g-other", "g-user", "g-user-unseen")
	_, err = s.DeleteUser(ctx, "admin", u.UID, func(identity.User) error { return nil })
	check(err)
	left("g-other", "g-user-unseen")
	_, err = s.DeleteIssuer(ctx, "admin", i.UID, func(identity.Issuer) error { return nil })
	check(err)
	left("g-other")

	before, err := s.Revision(ctx)
	check(err)
	g, err := s.GrantAt(ctx, "g-user", before-4)
	check(err)
	if g.Principal != policy.UserUID(u.Name()) {
		t.Errorf("it was %+v", g)
	}
}
