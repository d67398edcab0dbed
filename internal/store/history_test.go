package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// decider makes random changes of what decides, beside those of an editor.
type decider struct {
	*editor
	teams  []uuid.UUID
	grants []uuid.UUID
}

func policyTexts(agent string) []string {
	return []string{
		`permit (principal in Signalbox::Team::"home", action in Signalbox::Action::"invoke", resource in Signalbox::Tag::"open");`,
		`forbid (principal, action, resource is Signalbox::Agent) when { resource.state == "SUSPENDED" };`,
		`forbid (principal is Signalbox::Key, action in Signalbox::Action::"invoke", resource) when { principal.state == "DISABLED" };`,
		fmt.Sprintf(`permit (principal in Signalbox::Role::"*/publisher", action, resource == Signalbox::Agent::%q);`, agent),
	}
}

func (d *decider) change(agent string) {
	d.t.Helper()
	ctx := d.t.Context()
	var err error
	switch pick := d.r.IntN(9); {
	case pick <= 1 && len(d.agents) > 0:
		_, _, err = d.s.UpdateAgent(ctx, "admin", d.agents[d.r.IntN(len(d.agents))], func(a *registry.Agent) (bool, error) {
			a.Visibility = []registry.Visibility{registry.VisibilityPrivate, registry.VisibilityTeam, registry.VisibilityOrganization}[d.r.IntN(3)]
			a.Tags = [][]string{nil, {"open"}, {"open", "x"}}[d.r.IntN(3)]
			return true, nil
		})
	case pick == 2:
		_, _, err = d.s.UpdateTeam(ctx, "admin", d.teams[d.r.IntN(len(d.teams))], func(t *identity.Team) (bool, error) {
			t.Disabled = !t.Disabled
			return true, nil
		})
	case pick <= 4:
		d.n++
		id := []string{"one", "two", "own-team"}[d.r.IntN(3)]
		_, _, err = d.s.EditPolicy(ctx, "admin", "", id, func(p *admin.Policy, _ int64) (bool, error) {
			d.edit1(p, id, agent)
			return true, nil
		})
	case pick == 5:
		_, err = d.s.DeletePolicy(ctx, "admin", "one", func(admin.Policy, int64) error { return nil })
		if err != nil {
			err = nil // it is not there
		}
	case pick <= 7 || len(d.grants) == 0:
		g := admin.Grant{UID: uuid.New(), Author: "admin", CreateTime: time.Now(), UpdateTime: time.Now(), Grant: policy.Grant{
			Principal: policy.TeamUID("other"), Agents: policy.Selector{Of: policy.TeamUID("home")}, Actions: []policy.Action{policy.Invoke}, Via: true,
		}}
		d.grants = append(d.grants, g.UID)
		_, _, err = d.s.CreateGrant(ctx, "admin", g, func(admin.Subjects) error { return nil })
	default:
		i := d.r.IntN(len(d.grants))
		if d.r.IntN(2) == 0 {
			_, _, err = d.s.UpdateGrant(ctx, "admin", d.grants[i], func(g *admin.Grant) (bool, error) { g.Disabled = !g.Disabled; return true, nil })
			break
		}
		_, err = d.s.DeleteGrant(ctx, "admin", d.grants[i], func(admin.Grant) error { return nil })
		d.grants = slices.Delete(d.grants, i, i+1)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// edit1 gives a policy a random state that it can have.
func (d *decider) edit1(p *admin.Policy, id, agent string) {
	if p.UID == uuid.Nil {
		p.UID, p.ID, p.CreateTime = uuid.New(), id, time.Now()
		p.Shipped = id == "own-team"
	}
	p.UpdateTime, p.Mode = time.Now(), []policy.Mode{policy.ModeEnforce, policy.ModeDisabled}[d.r.IntN(2)]
	if p.Shipped {
		p.LastVersion, p.Current = 1, &admin.Version{Number: 1}
		return
	}
	texts := policyTexts(agent)
	p.LastVersion++
	v := &admin.Version{Number: p.LastVersion, Text: texts[d.r.IntN(len(texts))], Mode: policy.ModeEnforce, Author: "admin", CreateTime: time.Now()}
	if d.r.IntN(3) == 0 {
		p.Shadow = v
		return
	}
	p.Current = v
	if d.r.IntN(2) == 0 {
		p.Shadow = nil
	}
}

func TestTimeline_IsTheSnapshotOfEachRevision(t *testing.T) {
	s := store.New(pgtest.New(t))
	var secret [32]byte
	follower, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: s, AdminSecret: &secret, Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	stop := follow(t, follower)
	defer stop()
	r := rand.New(rand.NewPCG(4, uint64(time.Now().UnixNano())))
	d := &decider{editor: &editor{t: t, s: s, r: r}}
	d.teams = []uuid.UUID{makeTeam(t, s, "home").UID, makeTeam(t, s, "other").UID}
	other := keyDraft("caller")
	other.Team = "other"
	if _, _, err := s.CreateKey(t.Context(), "admin", other); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]*snapshot.Snapshot{}
	agent, principals := "n1", []policy.UID{policy.AdminKeyUID, policy.KeyUID("teams/other/keys/caller")}
	for i := range 150 {
		if i%2 == 0 {
			d.edit()
		} else {
			d.change(agent)
		}
		revision, err := s.Revision(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := follower.Sync(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		snap := follower.Current()
		seen[snap.Revision()] = snap
		snap.EachAgent(func(a *snapshot.Agent) bool { agent = a.ID; return false })
	}
	last := follower.Current().Revision()
	uids := append(slices.Clone(principals), policy.TeamUID("home"), policy.TeamUID("other"))
	for n := range d.n + 1 {
		name := fmt.Sprintf("n%d", n)
		uids = append(uids, policy.KeyUID("teams/home/keys/"+name), policy.AgentUID(name), policy.TeamUID(name))
		principals = append(principals, policy.KeyUID("teams/home/keys/"+name), policy.AgentUID(name))
		for _, i := range d.people.issuers {
			uids = append(uids, policy.UserUID("users/"+i.UserID(name)))
			principals = append(principals, uids[len(uids)-1])
		}
	}
	for _, first := range []int64{0, last / 2} {
		timeline, err := s.Timeline(t.Context(), first, last)
		if err != nil {
			t.Fatal(err)
		}
		permits := 0
		for revision, snap := range seen {
			at, ok := timeline.At(uint64(revision))
			if ok != (revision >= first) {
				t.Fatalf("revision %d from %d is known: %v", revision, first, ok)
			}
			if !ok {
				continue
			}
			sameEntities(t, revision, snap.Entities(), at, uids)
			set, err := timeline.Set(uint64(revision))
			if err != nil {
				t.Fatal(err)
			}
			for range 60 {
				q := policy.Query{
					Principal: principals[r.IntN(len(principals))], Resource: policy.AgentUID(fmt.Sprintf("n%d", r.IntN(d.n+1))),
					Action:  []policy.Action{policy.SendMessage, policy.Discover, policy.UpdateAgent}[r.IntN(3)],
					Context: policy.Context{Time: time.Now()},
				}
				want, got := snap.Policies().Decide(snap.Entities(), q), set.Decide(at, q)
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("revision %d: %v %s %v (-snapshot +timeline):\n%s", revision, q.Principal, q.Action, q.Resource, diff)
				}
				if got.Permit {
					permits++
				}
			}
		}
		if permits == 0 {
			t.Error("nothing was permitted at any time")
		}
	}
}

func sameEntities(t *testing.T, revision int64, want, got policy.Entities, uids []policy.UID) {
	t.Helper()
	for _, uid := range uids {
		w, wok := want.Entity(uid)
		g, gok := got.Entity(uid)
		if uid.Type == policy.TypeUser && wok != gok {
			// Of users without roles only tokens tell; it does not matter who knows them.
			known := w
			if gok {
				known = g
			}
			if known.Parents.Len() == 0 && !known.Equal(policy.UserEntity(string(uid.ID), "", true, nil)) {
				continue
			}
		}
		if wok != gok || wok && !w.Equal(g) {
			t.Fatalf("revision %d: %v is %v %v in the timeline, %v %v in the snapshot", revision, uid, g, gok, w, wok)
		}
		if gok != (got.Generation(uid) > 0) {
			t.Fatalf("revision %d: the generation of %v is %d", revision, uid, got.Generation(uid))
		}
	}
}

// follow runs a follower until the function that it returns is called.
func follow(t *testing.T, f *snapshot.Follower) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
