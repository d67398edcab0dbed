package recorded_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
)

const (
	benchTeams     = 20
	benchAgents    = 1_000
	benchRevisions = 10_000
)

// benchTimeline changes an agent, a key or a policy with each revision.
func benchTimeline() *policy.Timeline {
	var entities []policy.EntityVersion
	var policies []policy.Version
	add := func(revision uint64, e policy.Entity) {
		entities = append(entities, policy.EntityVersion{Revision: revision, UID: e.UID, Entity: func() policy.Entity { return e }})
	}
	agent := func(i, version int) policy.Entity {
		return policy.AgentEntity(policy.Target{
			ID: fmt.Sprintf("agent-%d", i), Team: fmt.Sprintf("team-%d", i%benchTeams), State: "APPROVED", Protocol: "A2A",
			Visibility: []string{"TEAM", "ORGANIZATION", "PUBLIC"}[(i+version)%3], Tags: []string{fmt.Sprintf("tag-%d", version%7)},
		})
	}
	for i := range benchTeams {
		team := fmt.Sprintf("team-%d", i)
		add(1, policy.TeamEntity(team))
		add(1, policy.KeyEntity("teams/"+team+"/keys/k", team, false))
	}
	for i := range benchAgents {
		add(1, agent(i, 0))
	}
	for r := uint64(2); r <= benchRevisions; r++ {
		switch n := int(r); r % 10 {
		case 0:
			policies = append(policies, policy.Version{Revision: r, ID: fmt.Sprintf("g-%d", n%500), Policies: []policy.Policy{
				policy.Grant{ID: fmt.Sprintf("g-%d", n%500), Principal: policy.TeamUID(fmt.Sprintf("team-%d", n%benchTeams)), Actions: []policy.Action{policy.Invoke}, Agents: policy.Selector{Of: policy.TagUID("tag-3")}}.Policy(),
			}})
		case 1:
			team := fmt.Sprintf("team-%d", n%benchTeams)
			add(r, policy.KeyEntity("teams/"+team+"/keys/k", team, n%3 == 0))
		default:
			add(r, agent(n*7%benchAgents, n))
		}
	}
	return policy.NewTimeline(1, benchRevisions, entities, policies, policy.Shipped())
}

// benchEntries are entries of calls, by keys and by users with tokens.
func benchEntries(b *testing.B, n int) [][]byte {
	lines := make([][]byte, n)
	for i := range lines {
		q := policy.Query{
			Principal: policy.KeyUID(fmt.Sprintf("teams/team-%d/keys/k", i*7%benchTeams)),
			Action:    []policy.Action{policy.SendMessage, policy.GetTask, policy.SendStreamingMessage}[i%3],
			Resource:  policy.AgentUID(fmt.Sprintf("agent-%d", i*13%benchAgents)),
			Context: policy.Context{
				Time: noon.Add(time.Duration(i) * time.Second), Method: "SendMessage", Dialect: "JSONRPC/1.0",
				SourceAddress: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
			},
		}
		if i%10 == 0 {
			q.Principal = policy.UserUID(fmt.Sprintf("users/okta~u%d", i%200))
			q.Claims = policy.Claims{Teams: []string{"team-1"}, Roles: []identity.RoleIn{{Role: "publisher", Team: "team-2"}}}
		}
		var d audit.Decision
		recorded.FromQuery(&d, q, policy.Answer{Permit: true, Deciding: []string{"own-team/agents", "visible-agent"}}, 1)
		lines[i], _ = written(b, &d, q.Context.Time)
	}
	return lines
}

const benchDraft = `
@id("office") forbid (principal in Signalbox::Team::"team-3", action in Signalbox::Action::"invoke", resource)
when { context.hour >= 14 || context.hour < 6 };
@id("address") forbid (principal, action, resource in Signalbox::Tag::"tag-2")
when { context has sourceAddress && !context.sourceAddress.isInRange(ip("10.0.0.0/18")) };`

// BenchmarkReplay reports how long a million entries take on one core, from their bytes,
// over 10 000 revisions: of a draft with the entities of then, and with the policies of
// then as well.
func BenchmarkReplay(b *testing.B) {
	const n = 100_000
	lines := benchEntries(b, n)
	for _, kind := range []string{"draft", "as it was"} {
		b.Run(kind, func(b *testing.B) {
			tl := benchTimeline()
			current, err := tl.Set(benchRevisions)
			if err != nil {
				b.Fatal(err)
			}
			candidate, err := current.With([]policy.Policy{{ID: "draft", Mode: policy.ModeEnforce, Text: benchDraft}}, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				replayer, cache := policy.NewReplayer(candidate), policy.NewCache(1<<14)
				permits := 0
				for i, line := range lines {
					entry, err := audit.DecodeEntry(line)
					if err != nil {
						b.Fatal(err)
					}
					d := entry.Opening.Decision
					q, err := recorded.Query(d, entry.Time)
					if err != nil {
						b.Fatal(err)
					}
					revision := 1 + uint64(i)*benchRevisions/n
					e, ok := tl.At(revision)
					if !ok {
						b.Fatalf("revision %d is gone", revision)
					}
					var a policy.Answer
					if kind == "draft" {
						a = replayer.Replay(e, policy.Recorded{Query: q, Permit: d.Permitted}).Answer
					} else {
						set, err := tl.Set(revision)
						if err != nil {
							b.Fatal(err)
						}
						a = cache.Decide(set, e, q)
					}
					if a.Permit {
						permits++
					}
				}
				if permits == 0 || permits == n {
					b.Fatalf("%d permitted", permits)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/n, "s/million")
		})
	}
}

func BenchmarkFromQuery(b *testing.B) {
	q := policy.Query{
		Principal: policy.KeyUID("teams/demo/keys/laptop"), Action: policy.SendMessage, Resource: policy.AgentUID("echo"),
		Context: policy.Context{Time: noon, Method: "SendMessage", Dialect: "JSONRPC/1.0", SourceAddress: netip.MustParseAddr("192.0.2.7")},
	}
	a := policy.Answer{Permit: true, Deciding: []string{"own-team/agents", "visible-agent"}}
	var d audit.Decision
	b.ReportAllocs()
	for b.Loop() {
		recorded.FromQuery(&d, q, a, 17)
	}
}
