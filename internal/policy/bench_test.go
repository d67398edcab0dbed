package policy_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	cedar "github.com/cedar-policy/cedar-go"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

// unrelated are grants between principals and agents that nobody asks about.
func unrelated(n int) []policy.Policy {
	all := make([]policy.Policy, n)
	for i := range all {
		g := policy.Grant{
			ID: fmt.Sprintf("g-%d", i), Principal: policy.TeamUID(fmt.Sprintf("team-%d", i)), Actions: []policy.Action{policy.Invoke},
			Agents: policy.Selector{Of: policy.TagUID(fmt.Sprintf("tag-%d", i%50))},
		}
		switch i % 3 {
		case 1:
			g.Principal = policy.KeyUID(fmt.Sprintf("teams/team-%d/keys/k", i))
			g.Agents = policy.Selector{}
		case 2:
			g.Principal = policy.TeamUID("team-1")
			g.Agents.Of = policy.AgentUID(fmt.Sprintf("agent-%d", i))
		}
		all[i] = g.Policy()
	}
	return all
}

func sized(tb testing.TB, n int, more ...policy.Policy) *policy.Set {
	tb.Helper()
	set, err := policy.Load(append(append(policy.Shipped(), unrelated(n)...), more...))
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// usual is a call that two policies are about: a team's key calls its team's agent.
func usual() (policy.Query, *policy.FixedEntities) {
	q := ask(ci, policy.SendMessage, agentID)
	q.Context.Method, q.Context.Dialect, q.Context.SourceAddress = "SendMessage", "JSONRPC/1.0", netip.MustParseAddr("10.0.0.1")
	return q, policy.NewFixedEntities(1,
		policy.TeamEntity("research"), policy.KeyEntity("teams/research/keys/ci", "research", false), planner("research", "ORGANIZATION", "internal"))
}

var dynamic = enforced("office", `forbid (principal in Signalbox::Team::"research", action in Signalbox::Action::"invoke", resource)
when { context has sourceAddress && context.sourceAddress.isInRange(ip("192.168.0.0/16")) };`)

func BenchmarkSet(b *testing.B) {
	q, entities := usual()
	for _, n := range []int{10, 1_000, 10_000} {
		set, withContext := sized(b, n), sized(b, n, dynamic)
		for _, kind := range []struct {
			name string
			set  *policy.Set
			f    func(*policy.Set) policy.Answer
		}{
			{"cached", set, func() func(*policy.Set) policy.Answer {
				cache := policy.NewCache(1024)
				return func(s *policy.Set) policy.Answer { return cache.Decide(s, entities, q) }
			}()},
			{"context", withContext, func() func(*policy.Set) policy.Answer {
				cache := policy.NewCache(1024)
				return func(s *policy.Set) policy.Answer { return cache.Decide(s, entities, q) }
			}()},
			{"first", set, func(s *policy.Set) policy.Answer { return s.Decide(entities, q) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if a := kind.f(kind.set); !a.Permit || len(a.Deciding) != 2 {
						b.Fatalf("%+v", a)
					}
				}
			})
		}
	}
}

// BenchmarkCedar is what the engine takes without the index.
func BenchmarkCedar(b *testing.B) {
	q, entities := usual()
	for _, n := range []int{10, 1_000, 10_000} {
		set := cedar.NewPolicySet()
		for _, p := range append(policy.Shipped(), unrelated(n)...) {
			list, err := cedar.NewPolicyListFromBytes(p.ID, []byte(p.Text))
			if err != nil {
				b.Fatal(err)
			}
			for i, cp := range list {
				set.Add(cedar.PolicyID(fmt.Sprintf("%s/%d", p.ID, i)), cp)
			}
		}
		all := cedar.EntityMap{}
		for _, uid := range []policy.UID{theTeam, ci, agentID} {
			e, _ := entities.Entity(uid)
			all[uid] = e
		}
		r := cedar.Request{Principal: q.Principal, Action: cedar.NewEntityUID("Signalbox::Action", "SendMessage"), Resource: q.Resource}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cedar.Authorize(set, all, r)
			}
		})
	}
}

func BenchmarkChangeOneOf(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000, 100_000} {
		set := sized(b, n)
		change := []policy.Policy{policy.Grant{ID: "g-1", Principal: ci, Actions: []policy.Action{policy.Invoke}}.Policy()}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := set.With(change, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	policies := unrelated(10_000)
	for b.Loop() {
		if _, err := policy.Load(policies); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay reports how long a million recorded decisions take on one core, as
// values and from their JSON, with 1 000 policies and some that look at the context.
func BenchmarkReplay(b *testing.B) {
	const n = 20_000
	recorded, entities := recordings(n)
	set := sized(b, 1_000, enforced("draft", draft))
	lines := make([][]byte, n)
	for i, r := range recorded {
		line, err := json.Marshal(r.Query)
		if err != nil {
			b.Fatal(err)
		}
		lines[i] = line
	}
	fromJSON := func(yield func(policy.Recorded) bool) {
		for _, line := range lines {
			var r policy.Recorded
			if err := json.Unmarshal(line, &r.Query); err != nil {
				b.Fatal(err)
			}
			if !yield(r) {
				return
			}
		}
	}
	for name, inputs := range map[string]func(func(policy.Recorded) bool){"values": slices.Values(recorded), "json": fromJSON} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				count := 0
				for range policy.Replay(policy.World{Set: set, Entities: entities}, inputs) {
					count++
				}
				if count != n {
					b.Fatal(count)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/n, "s/million")
		})
	}
}

func TestCache_AnswersWithoutAllocating(t *testing.T) {
	q, entities := usual()
	set, cache := sized(t, 100), policy.NewCache(16)
	cache.Decide(set, entities, q)
	later := policy.NewFixedEntities(1, allOf(entities, ci, agentID, theTeam)...)
	if n := testing.AllocsPerRun(1000, func() { cache.Decide(set, entities, q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() { cache.Decide(set, later, q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func allOf(f *policy.FixedEntities, uids ...policy.UID) []policy.Entity {
	var all []policy.Entity
	for _, uid := range uids {
		e, _ := f.Entity(uid)
		all = append(all, e)
	}
	return all
}

// FuzzCheck proves that no text of a policy makes the compiler panic or take long, and
// that what it accepts can be decided and explained.
func FuzzCheck(f *testing.F) {
	for _, p := range policy.Shipped() {
		f.Add(p.Text)
	}
	f.Add(draft)
	f.Add(`permit (principal, action, resource) when { {"a": [1, 2].contains(resource), b: if true then 1 else -2} has "a" };`)
	f.Add(`forbid (principal == Signalbox::Key::"\u{61}", action, resource) unless { !!context.x.y("z").w(1 * 2 + 3) };`)
	const head = "permit (principal, action, resource) when { "
	for _, hostile := range []string{
		"resource has a" + strings.Repeat(".a", 2000), strings.Repeat("!", 5000) + "true", strings.Repeat("(", 5000), strings.Repeat("[", 90),
		strings.Repeat("{a:", 90) + "1" + strings.Repeat("}", 90) + " == 3", strings.Repeat("if ", 90) + "true" + strings.Repeat(" then true else true", 90),
		"1" + strings.Repeat("+1", 1000) + " == 3", `resource.id like "` + strings.Repeat("*a", 500) + `"`, "resource" + strings.Repeat(".team", 90),
		"true" + strings.Repeat(" && resource.nope == 1", 40), `"\u{110000}" == "\x"`, "9223372036854775808 == -9223372036854775808",
	} {
		f.Add(head + hostile + " };")
	}
	entities := small()
	f.Fuzz(func(t *testing.T, text string) {
		p := enforced("fuzz", text)
		for _, m := range policy.Check(p) {
			if m.Line < 1 || m.Column < 1 || m.Text == "" || m.Excerpt() == "" {
				t.Errorf("a mistake without a place or words: %+v", m)
			}
		}
		// Without the schema more gets through; a wrong type is an answer then, too.
		set, err := policy.Load([]policy.Policy{p})
		if err != nil {
			return
		}
		for _, q := range []policy.Query{ask(ci, policy.SendMessage, agentID), ask(policy.AdminKeyUID, policy.GetTeam, theTeam)} {
			a := set.Decide(entities, q)
			if x := set.Explain(entities, q); x.Answer.Permit != a.Permit {
				t.Errorf("explained as %v, decided as %v", x.Answer.Permit, a.Permit)
			}
			if c := policy.NewCache(4).Decide(set, entities, q); c.Permit != a.Permit {
				t.Errorf("cached as %v, decided as %v", c.Permit, a.Permit)
			}
		}
	})
}

// FuzzGrant proves that no id breaks out of a grant's text.
func FuzzGrant(f *testing.F) {
	f.Add("teams/a/keys/b", "planner")
	f.Add(`x", action, resource); //`, "\\\"\n\x00\u2028")
	f.Fuzz(func(t *testing.T, principal, agent string) {
		g := policy.Grant{
			ID: "g", Principal: policy.KeyUID(principal), Agents: policy.Selector{Of: policy.AgentUID(agent)}, Actions: []policy.Action{policy.Invoke},
		}
		if g.Validate(noon) != nil {
			return
		}
		set, err := policy.Compile([]policy.Policy{g.Policy()})
		if err != nil {
			t.Fatalf("%v: %s", err, g.Policy().Text)
		}
		if !set.Decide(small(), ask(g.Principal, policy.Invoke, g.Agents.Of)).Permit {
			t.Errorf("the grant does not hold: %s", g.Policy().Text)
		}
		if set.Decide(small(), ask(ci, policy.Invoke, agentID)).Permit && principal != string(ci.ID) {
			t.Errorf("the grant holds for others: %s", g.Policy().Text)
		}
	})
}

// FuzzQuery proves that what reads as a question is written and read as the same one.
func FuzzQuery(f *testing.F) {
	f.Add([]byte(`{"principal":"agent:a","action":"invoke","resource":"agent:b","context":{"time":"2026-11-16T12:00:00Z","sourceAddress":"::1"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q policy.Query
		if json.Unmarshal(b, &q) != nil {
			return
		}
		first, err := json.Marshal(q)
		if err != nil {
			return // of a time or an entity that JSON cannot carry
		}
		var again policy.Query
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(first) {
			t.Errorf("%s became %s (%v)", first, second, err)
		}
	})
}
