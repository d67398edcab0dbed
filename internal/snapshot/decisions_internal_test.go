package snapshot

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// randomEditor makes random changes to a small configuration.
type randomEditor struct {
	r        *rand.Rand
	revision int64
	teams    map[string]uuid.UUID
	keys     []*identity.Key
	users    []*identity.User
	agents   []*registry.Agent
	grants   []uuid.UUID
}

func newRandomEditor(seed uint64) *randomEditor {
	e := &randomEditor{r: rand.New(rand.NewPCG(seed, 3)), teams: map[string]uuid.UUID{}}
	for _, id := range []string{"a", "b", "c"} {
		e.teams[id] = uuid.New()
	}
	for i := range 4 {
		e.keys = append(e.keys, &identity.Key{UID: uuid.New(), Team: e.team(), ID: fmt.Sprintf("k%d", i)})
		e.users = append(e.users, &identity.User{UID: uuid.New(), ID: fmt.Sprintf("idp~u%d", i), Issuer: "idp"})
		e.agents = append(e.agents, &registry.Agent{UID: uuid.New(), ID: fmt.Sprintf("agent%d", i), Team: e.team(), State: registry.StateApproved})
		e.grants = append(e.grants, uuid.New())
	}
	return e
}

func (e *randomEditor) team() string { return oneOf(e.r, []string{"a", "b", "c"}) }

func oneOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (e *randomEditor) roles(teams ...string) []identity.RoleIn {
	var roles []identity.RoleIn
	for range e.r.IntN(3) {
		roles = append(roles, identity.RoleIn{
			Role: oneOf(e.r, []string{"member", "publisher", "auditor", "team-admin"}), Team: oneOf(e.r, append([]string{""}, teams...)),
		})
	}
	return roles
}

// change makes one to three changes.
func (e *randomEditor) change() Delta {
	e.revision++
	d := Delta{
		Revision: e.revision, Keys: map[uuid.UUID]*identity.Key{}, Agents: map[uuid.UUID]*registry.Agent{}, Teams: map[uuid.UUID]*identity.Team{},
		Users: map[uuid.UUID]*identity.User{}, Roles: map[uuid.UUID][]identity.RoleIn{}, Policies: map[uuid.UUID][]policy.Policy{},
	}
	for range 1 + e.r.IntN(3) {
		switch e.r.IntN(6) {
		case 0: // a team comes, goes, or changes
			id := e.team()
			d.Teams[e.teams[id]] = nil
			if e.r.IntN(4) > 0 {
				d.Teams[e.teams[id]] = &identity.Team{UID: e.teams[id], ID: id, Disabled: e.r.IntN(3) == 0}
			}
		case 1:
			k := *oneOf(e.r, e.keys)
			d.Keys[k.UID] = &k
		case 2:
			u := *oneOf(e.r, e.users)
			u.Disabled = e.r.IntN(2) == 0
			d.Users[u.UID] = &u
			if e.r.IntN(3) == 0 {
				d.Users[u.UID] = nil
			}
		case 3:
			a := *oneOf(e.r, e.agents)
			a.Visibility = oneOf(e.r, []registry.Visibility{registry.VisibilityPrivate, registry.VisibilityTeam, registry.VisibilityOrganization})
			a.Tags = oneOf(e.r, [][]string{nil, {"x"}, {"x", "y"}})
			d.Agents[a.UID] = &a
			if e.r.IntN(5) == 0 {
				d.Agents[a.UID] = nil
			}
		case 4:
			uid := oneOf(e.r, []uuid.UUID{oneOf(e.r, e.keys).UID, oneOf(e.r, e.users).UID, oneOf(e.r, e.agents).UID})
			d.Roles[uid] = e.roles("a", "b", "c")
		case 5:
			i := e.r.IntN(len(e.grants))
			d.Policies[e.grants[i]] = nil
			if e.r.IntN(3) > 0 {
				g := policy.Grant{
					ID: fmt.Sprintf("g-%d", i), Principal: policy.TeamUID(e.team()), Agents: policy.Selector{Of: policy.TagUID(oneOf(e.r, []string{"x", "y"}))},
					Actions: []policy.Action{policy.Invoke},
				}
				d.Policies[e.grants[i]] = []policy.Policy{g.Policy()}
			}
		}
	}
	return d
}

// caller returns somebody who may or may not exist, with claims when it is a user.
func (e *randomEditor) caller() identity.Principal {
	switch e.r.IntN(4) {
	case 0:
		return identity.Admin()
	case 1:
		k := oneOf(e.r, e.keys)
		return k.Principal()
	case 2:
		a := oneOf(e.r, e.agents)
		return identity.Principal{Kind: identity.KindAgent, UID: a.UID, Name: a.Name(), Team: a.Team}
	}
	u := oneOf(e.r, e.users)
	claims := &identity.Claims{Issuer: "idp", Subject: u.ID, UserID: u.ID, Roles: e.roles("a", "b"), Expires: epoch().Add(time.Hour)}
	if e.r.IntN(2) == 0 {
		claims.Teams = []string{e.team()}
	}
	return identity.Principal{Kind: identity.KindUser, UID: u.UID, Name: u.Name(), Claims: claims}
}

// What is remembered of decisions says at every revision, whatever changed since, what
// deciding anew says; also after the database was set back, when revisions come again.
func TestDecisions_RememberedAreThoseMadeAnew(t *testing.T) {
	for seed := range uint64(20) {
		e := newRandomEditor(seed)
		s, err := empty(0)
		if err != nil {
			t.Fatal(err)
		}
		cache := policy.NewCache(256)
		permits := 0
		for step := range 150 {
			if e.r.IntN(40) == 0 { // set back: everything is read anew under an old revision
				if s, err = empty(s.lineage + 1); err != nil {
					t.Fatal(err)
				}
				e.revision = max(0, e.revision-5)
			}
			if s, err = s.apply(e.change()); err != nil {
				t.Fatal(err)
			}
			for range 40 {
				p := e.caller()
				q := policy.Query{
					Principal: PrincipalUID(&p), Claims: s.Claims(&p), Context: policy.Context{Time: epoch()},
					Action:   oneOf(e.r, []policy.Action{policy.Discover, policy.SendMessage, policy.Invoke, policy.GetAgent, policy.UpdateAgent}),
					Resource: policy.AgentUID(oneOf(e.r, e.agents).ID),
				}
				if e.r.IntN(5) == 0 {
					q.Action, q.Resource = policy.GetTeam, policy.TeamUID(e.team())
				}
				want, got := s.Policies().Decide(s.Entities(), q), cache.Decide(s.Policies(), s.Entities(), q)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d, step %d, revision %d: %s does %s to %s (anew -, remembered +):\n%s",
						seed, step, s.revision, p.Name, q.Action, policy.FormatUID(q.Resource), diff)
				}
				if got.Permit {
					permits++
				}
			}
		}
		if permits < 500 {
			t.Errorf("seed %d: only %d decisions permitted", seed, permits)
		}
	}
}

func TestConfirm_WhatTakesAPrincipalsCallsAway(t *testing.T) {
	team, key, agentKey, agent, user, issuer := uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()
	now := epoch()
	whole := func() Delta {
		return Delta{
			Revision: 1,
			Teams:    map[uuid.UUID]*identity.Team{team: {UID: team, ID: "a"}},
			Issuers:  map[uuid.UUID]*identity.Issuer{issuer: {UID: issuer, ID: "idp", URL: "https://idp"}},
			Keys: map[uuid.UUID]*identity.Key{
				key: {UID: key, Team: "a", ID: "k"}, agentKey: {UID: agentKey, Team: "a", ID: "bot", AgentUID: agent, Agent: "bot"},
			},
			Agents: map[uuid.UUID]*registry.Agent{agent: {UID: agent, ID: "bot", Team: "a", State: registry.StateApproved}},
			Users:  map[uuid.UUID]*identity.User{},
		}
	}
	aKey := identity.Principal{Kind: identity.KindKey, UID: key, Key: key, Name: "teams/a/keys/k", Team: "a"}
	anAgent := identity.Principal{Kind: identity.KindAgent, UID: agent, Key: agentKey, Name: "agents/bot", Team: "a"}
	aUser := identity.Principal{Kind: identity.KindUser, UID: user, Name: "users/idp~u", Claims: &identity.Claims{Issuer: "idp", Expires: now}}
	for name, tc := range map[string]struct {
		p      identity.Principal
		change func(d *Delta)
		after  time.Duration
		want   error
	}{
		"a key":                         {aKey, nil, 0, nil},
		"a key that is disabled":        {aKey, func(d *Delta) { d.Keys[key].Disabled = true }, 0, identity.ErrKeyDisabled},
		"a key that is gone":            {aKey, func(d *Delta) { delete(d.Keys, key) }, 0, identity.ErrKeyDisabled},
		"a key a moment before its end": {aKey, func(d *Delta) { d.Keys[key].ExpireTime = now }, -time.Nanosecond, nil},
		"a key at its end":              {aKey, func(d *Delta) { d.Keys[key].ExpireTime = now }, 0, identity.ErrKeyExpired},
		"a key of a disabled team":      {aKey, func(d *Delta) { d.Teams[team].Disabled = true }, 0, identity.ErrTeamDisabled},
		"an agent":                      {anAgent, nil, 0, nil},
		"an agent that is suspended":    {anAgent, func(d *Delta) { d.Agents[agent].State = registry.StateSuspended }, 0, identity.ErrAgentNotActive},
		"an agent whose key is gone":    {anAgent, func(d *Delta) { delete(d.Keys, agentKey) }, 0, identity.ErrKeyDisabled},
		"an agent of a disabled team":   {anAgent, func(d *Delta) { d.Teams[team].Disabled = true }, 0, identity.ErrTeamDisabled},
		// A stream outlives its token by at most five minutes.
		"a user 5 min after the token, almost": {aUser, nil, 5*time.Minute - time.Nanosecond, nil},
		"a user 5 min after the token":         {aUser, nil, 5 * time.Minute, identity.ErrTokenExpired},
		"a user who is disabled": {aUser, func(d *Delta) {
			d.Users[user] = &identity.User{UID: user, ID: "idp~u", Disabled: true}
		}, 0, identity.ErrUserDisabled},
		"a user of a disabled issuer":      {aUser, func(d *Delta) { d.Issuers[issuer].Disabled = true }, 0, identity.ErrCredentialsInvalid},
		"a user of an issuer that is gone": {aUser, func(d *Delta) { delete(d.Issuers, issuer) }, 0, identity.ErrCredentialsInvalid},
	} {
		d := whole()
		if tc.change != nil {
			tc.change(&d)
		}
		if got := (&Snapshot{}).mustApply(d).Confirm(&tc.p, now.Add(tc.after), StreamGrace); got != tc.want { //nolint:errorlint // the values themselves
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
