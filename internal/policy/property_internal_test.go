package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"
)

// world is a random catalogue with random policies over it.
type world struct {
	r        *rand.Rand
	entities map[UID]Entity
	revision uint64
	changed  map[UID]uint64
	set      *Set
	policies map[policyKey]Policy
	// parsed are the same as cedar has them.
	parsed map[policyKey]parsed
}

type parsed struct {
	list       cedar.PolicyList
	statements []*statement
}

// Entity returns an entity, false when there is none.
func (w *world) Entity(uid UID) (Entity, bool) {
	e, ok := w.entities[uid]
	return e, ok
}

// Generation returns the revision of the last change.
func (w *world) Generation(uid UID) uint64 {
	if _, ok := w.entities[uid]; !ok {
		return 0
	}
	return w.changed[uid]
}

// Revision counts the changes.
func (w *world) Revision() uint64 { return w.revision }

// frozen is the catalogue as it is now.
func (w *world) frozen() *world {
	c := *w
	c.entities, c.changed = map[UID]Entity{}, map[UID]uint64{}
	for k, v := range w.entities {
		c.entities[k], c.changed[k] = v, w.changed[k]
	}
	return &c
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (w *world) team() string  { return pick(w.r, "red", "green", "blue") }
func (w *world) agent() string { return pick(w.r, "a", "b", "c", "d") }
func (w *world) tag() string   { return pick(w.r, "x", "y", "z") }
func (w *world) role() UID {
	return pick(w.r, RoleNameMember, RoleNamePublisher, RoleNameAuditor, RoleNameTeamKey).UID(pick(w.r, "", "red", "green"))
}

func (w *world) principal() UID {
	return pick(w.r, KeyUID("teams/"+w.team()+"/keys/k"), UserUID("users/"+w.agent()), AgentUID(w.agent()), AnonymousUID)
}

// change changes, makes or removes one entity.
func (w *world) change() {
	var e Entity
	switch w.r.IntN(5) {
	case 0:
		e = TeamEntity(w.team())
	case 1:
		team := w.team()
		var roles []UID
		if w.r.IntN(2) == 0 {
			roles = append(roles, w.role())
		}
		e = KeyEntity("teams/"+team+"/keys/k", team, w.r.IntN(2) == 0, roles...)
	case 2:
		e = UserEntity("users/"+w.agent(), "", false, []string{w.team(), w.team()}, w.role())
	default:
		e = AgentEntity(Target{
			ID: w.agent(), Team: w.team(), Visibility: pick(w.r, "PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC"),
			State: "APPROVED", Tags: []string{w.tag(), w.tag()},
		})
	}
	w.revision++
	w.changed[e.UID] = w.revision
	if w.r.IntN(6) == 0 {
		delete(w.entities, e.UID)
	} else {
		w.entities[e.UID] = e
	}
}

// policy returns a random policy. Teams come and go, so that what asks for their
// members fails now and then.
func (w *world) policy(id string) Policy {
	p := Policy{ID: id, Mode: pick(w.r, ModeEnforce, ModeEnforce, ModeEnforce, ModeShadow, ModeDisabled)}
	for range 1 + w.r.IntN(2) {
		principal := pick(w.r, "principal", "principal", "principal is Signalbox::Key", "principal is Signalbox::Agent",
			"principal == "+w.principal().String(), "principal in "+TeamUID(w.team()).String(), "principal in "+w.role().String(),
			"principal is Signalbox::Key in "+TeamUID(w.team()).String(), "principal is Signalbox::Anonymous")
		action := pick(w.r, "action", `action == Signalbox::Action::"SendMessage"`, `action in Signalbox::Action::"invoke"`,
			`action in [Signalbox::Action::"GetTask", Signalbox::Action::"invoke_via"]`, `action == Signalbox::Action::"discover"`,
			`action in [Signalbox::Action::"invoke", Signalbox::Action::"SendMessage"]`)
		resource := pick(w.r, "resource is Signalbox::Agent", "resource is Signalbox::Agent",
			"resource == "+AgentUID(w.agent()).String(), "resource is Signalbox::Agent in "+TagUID(w.tag()).String(),
			"resource is Signalbox::Agent in "+TeamUID(w.team()).String())
		p.Text += pick(w.r, "permit", "permit", "forbid") + " (" + principal + ", " + action + ", " + resource + ")"
		for range w.r.IntN(3) {
			p.Text += "\n" + pick(w.r, "when", "when", "unless") + " { " + w.condition() + " }"
		}
		p.Text += ";\n"
	}
	return p
}

func (w *world) condition() string {
	one := func() string {
		return pick(w.r,
			"principal in resource.team.members", "principal in resource.team", `resource.visibility == "TEAM"`,
			`resource.tags.contains("x")`, "resource.team in "+TeamUID(w.team()).String(), "principal in "+w.role().String(),
			"action == "+`Signalbox::Action::"SendMessage"`, "resource.team.admins == resource.team.members",
			"context.hour < 12", "context.weekday > 3", `context.time < datetime("2026-11-16T12:30:00Z")`,
			`datetime("2026-11-16T11:00:00.500Z") <= context.time`, `context.time == datetime("2026-11-16T12:00:00Z")`,
			`context.time.toTime() > duration("12h")`, `context has method && context.method like "*Message"`,
			`context has sourceAddress && context.sourceAddress.isLoopback()`,
			"context has delegation && context.delegation.root has key && context.delegation.root.key in resource.team.members",
			"context has session && context.session.calls + 9223372036854775807 > 0", "context has dialect",
			// Everything that principal and resource are in at once.
			"principal in resource",
		)
	}
	switch w.r.IntN(4) {
	case 0:
		return one() + " && " + one()
	case 1:
		return one() + " || (" + one() + ")"
	case 2:
		return "!(" + one() + ")"
	default:
		return one()
	}
}

func (w *world) query() Query {
	q := Query{
		Principal: w.principal(), Action: pick(w.r, SendMessage, GetTask, Invoke, InvokeVia, Discover), Resource: AgentUID(w.agent()),
		Context: Context{Time: time.Date(2026, 11, 16, 12, 0, 0, 0, time.UTC).
			Add(time.Duration(w.r.Int64N(4*int64(time.Hour)) - 2*int64(time.Hour))).Truncate(pick(w.r, time.Nanosecond, time.Hour))},
	}
	if w.r.IntN(2) == 0 {
		q.Context.Method = pick(w.r, "SendMessage", "GetTask")
		q.Context.Dialect = "GRPC/1.0"
		q.Context.SourceAddress = pick(w.r, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1"))
	}
	if w.r.IntN(3) == 0 {
		q.Context.Session = &Session{Calls: w.r.Int64N(2)}
		q.Context.Delegation = &Delegation{Root: w.principal(), Depth: 1, Path: []UID{AgentUID(w.agent())}, Verified: true}
	}
	return q
}

// whole answers a question with every policy of the set and cedar's own authorizer,
// without index, plan or cache.
func (w *world) whole(t *testing.T, q Query) Answer {
	t.Helper()
	if err := q.Invalid(); err != nil {
		return invalid(err)
	}
	all := types.EntityMap{}
	maps.Copy(all, w.entities)
	for _, a := range loadModel().actions {
		all[a.uid] = a.entity
	}
	for _, team := range []string{"", "red", "green", "blue", "*"} {
		for _, r := range []Role{RoleNameAdmin, RoleNameTeamAdmin, RoleNamePublisher, RoleNameApprover, RoleNameAuditor, RoleNameMember, RoleNameTeamKey} {
			all[r.UID(team)] = roleEntity(r.UID(team))
		}
	}
	judge := func(counts func(Policy) bool) Shadow {
		var v Shadow
		set := cedar.NewPolicySet()
		names := map[cedar.PolicyID]*statement{}
		for k, p := range w.policies {
			if !counts(p) {
				continue
			}
			for i, cp := range w.parsed[k].list {
				s := w.parsed[k].statements[i]
				set.Add(s.key, cp)
				names[s.key] = s
			}
		}
		decision, d := cedar.Authorize(set, all, cedar.Request{
			Principal: q.Principal, Action: loadModel().actions[q.Action].uid, Resource: q.Resource, Context: q.Context.record(hasAll),
		})
		v.Permit = bool(decision)
		var failed []string
		for _, r := range d.Reasons {
			v.Deciding = append(v.Deciding, names[r.PolicyID].id)
		}
		for _, e := range d.Errors {
			s := names[e.PolicyID]
			f := Failure{Statement: s.id, Effect: "permit", Line: e.Position.Line, Column: e.Position.Column, Text: e.Message}
			if !s.permit {
				f.Effect = "forbid"
				failed = append(failed, s.id)
			}
			v.Failing = append(v.Failing, f)
		}
		if failed != nil {
			if v.Permit {
				v.Deciding = nil
			}
			v.Permit, v.Deciding = false, append(v.Deciding, failed...)
		}
		slices.Sort(v.Deciding)
		slices.SortFunc(v.Failing, func(a, b Failure) int { return strings.Compare(a.Statement, b.Statement) })
		return v
	}
	v := judge(func(p Policy) bool { return p.Mode == ModeEnforce })
	a := Answer{Permit: v.Permit, Deciding: v.Deciding, Failing: v.Failing}
	would := judge(func(p Policy) bool {
		_, replaced := w.policies[policyKey{id: p.ID, shadow: true}]
		return p.Mode == ModeShadow || p.Mode == ModeEnforce && !replaced
	})
	if !cmp.Equal(would, Shadow(v)) {
		a.Shadow = &would
	}
	return a
}

func TestDecide_IndexAndCacheAnswerAsTheWholeSet(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	seen := map[string]int{}
	for seed := range uint64(rounds) {
		w := &world{
			r: rand.New(rand.NewPCG(seed, 4)), entities: map[UID]Entity{}, changed: map[UID]uint64{},
			set: new(Set), policies: map[policyKey]Policy{}, parsed: map[policyKey]parsed{},
		}
		for range 30 {
			w.change()
		}
		cache := NewCache(64)
		past := w.frozen()
		for step := range 60 {
			switch w.r.IntN(4) {
			case 0, 1:
				p := w.policy(fmt.Sprintf("p%d", w.r.IntN(30)))
				c, mistakes := compilePolicy(p, true)
				if mistakes != nil {
					continue // a scope and a condition that do not go together
				}
				next, err := w.set.with([]Policy{p}, nil, false)
				if err != nil {
					t.Fatal(err)
				}
				list, err := cedar.NewPolicyListFromBytes(p.ID, []byte(p.Text))
				if err != nil {
					t.Fatal(err)
				}
				w.set, w.policies[p.key()], w.parsed[p.key()] = next, p, parsed{list: list, statements: c.statements}
			case 2:
				w.change()
			default:
				past = w.frozen()
			}
			for range 4 {
				at := pick(w.r, w, past)
				at.set = w.set // past knows the policies, which are one map, but not the set
				q := w.query()
				want := at.whole(t, q)
				got := w.set.Decide(at, q)
				until := got.Until
				got.Until = time.Time{}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d, step %d, %+v: the index answers otherwise (-whole +index):\n%s", seed, step, q, diff)
				}
				got = cache.Decide(w.set, at, q)
				if !got.Until.Equal(until) {
					t.Fatalf("seed %d, step %d: until %v, cached %v", seed, step, until, got.Until)
				}
				got.Until = time.Time{}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d, step %d, %+v: the cache answers otherwise (-whole +cache):\n%s", seed, step, q, diff)
				}
				at.checkUntil(t, q, until)
				seen[fmt.Sprintf("permit=%v deciding=%v failing=%v shadow=%v", want.Permit, want.Deciding != nil, want.Failing != nil, want.Shadow != nil)]++
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("the questions were too much alike: %v", seen)
	}
}

// checkUntil proves that an answer does not change before the time that it names.
func (w *world) checkUntil(t *testing.T, q Query, until time.Time) {
	t.Helper()
	later := q
	for _, after := range []time.Duration{time.Millisecond, time.Minute, 29 * time.Minute, time.Hour, 24 * time.Hour} {
		later.Context.Time = q.Context.Time.Add(after)
		if !until.IsZero() && !later.Context.Time.Before(until) {
			later.Context.Time = until.Add(-time.Millisecond)
			if later.Context.Time.Before(q.Context.Time) {
				return
			}
		}
		got := w.set.Decide(w, later)
		now := w.set.Decide(w, q)
		if got.Permit != now.Permit || !slices.Equal(got.Deciding, now.Deciding) {
			t.Fatalf("%+v should hold until %v but is %+v at %v", now, until, got, later.Context.Time)
		}
	}
}
