package policy_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

var compareQueries = cmp.Options{
	cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b policy.Entity) bool { return a.Equal(b) }),
}

func TestQuery_IsRecordedAsJSONAndRead(t *testing.T) {
	full := policy.Query{
		Principal: policy.AgentUID("planner"), Action: policy.GetEvent, Resource: policy.EventEntity("e-1", "").UID,
		Context: policy.Context{
			Time: noon.Add(time.Nanosecond), Method: "GetEvent", Dialect: "JSONRPC/1.0", SourceAddress: netip.MustParseAddr("2001:db8::1"),
			Delegation: &policy.Delegation{Root: ci, Depth: 2, Path: []policy.UID{policy.AgentUID("a"), policy.AgentUID("b")}, Verified: true},
			Session:    &policy.Session{Calls: 1, Steps: 2, CostMicros: 3},
		},
		Extra: []policy.Entity{policy.EventEntity("e-1", "research")},
	}
	for name, q := range map[string]policy.Query{
		"full": full, "plain": ask(ci, policy.Invoke, agentID), "anonymous": ask(policy.AnonymousUID, policy.Discover, agentID),
		"installation": ask(policy.AdminKeyUID, policy.ApplyPolicy, policy.InstallationUID),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			var back policy.Query
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if diff := cmp.Diff(q, back, compareQueries); diff != "" {
				t.Errorf("after %s:\n%s", b, diff)
			}
		})
	}
	const plain = `{"principal":"key:teams/research/keys/ci","action":"invoke","resource":"agent:planner","context":{"time":"2026-11-16T12:00:00Z"}}`
	if b, _ := json.Marshal(ask(ci, policy.Invoke, agentID)); string(b) != plain {
		t.Errorf("the recorded form has changed: %s", b)
	}
	for _, bad := range []string{
		``, `[]`, `{}`, `{"principal":"x","resource":"agent:a"}`, `{"principal":"agent:a","resource":"agent:"}`,
		`{"principal":"agent:a","resource":"agent:a","context":{"sourceAddress":"here"}}`,
		`{"principal":"agent:a","resource":"agent:a","context":{"delegation":{"root":"?"}}}`,
		`{"principal":"agent:a","resource":"agent:a","context":{"delegation":{"root":"agent:a","path":["b"]}}}`,
		`{"principal":"agent:a","resource":"agent:a","entities":[{}]}`,
	} {
		if err := json.Unmarshal([]byte(bad), new(policy.Query)); err == nil {
			t.Errorf("%s is a question", bad)
		}
	}
}

// recordings are many questions of a few callers about a few agents.
func recordings(n int) ([]policy.Recorded, *policy.FixedEntities) {
	var entities []policy.Entity
	const teams, agents = 20, 100
	for i := range teams {
		id := fmt.Sprintf("team-%d", i)
		entities = append(entities, policy.TeamEntity(id), policy.KeyEntity("teams/"+id+"/keys/k", id, false))
	}
	for i := range agents {
		entities = append(entities, policy.AgentEntity(policy.Target{
			ID: fmt.Sprintf("agent-%d", i), Team: fmt.Sprintf("team-%d", i%teams), State: "APPROVED", Protocol: "A2A",
			Visibility: []string{"PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC"}[i%4], Tags: []string{fmt.Sprintf("tag-%d", i%7)},
		}))
	}
	operations := []policy.Action{policy.SendMessage, policy.GetTask, policy.SendStreamingMessage, policy.Discover}
	all := make([]policy.Recorded, n)
	for i := range all {
		all[i].Query = policy.Query{
			Principal: policy.KeyUID(fmt.Sprintf("teams/team-%d/keys/k", i*7%teams)), Action: operations[i%len(operations)],
			Resource: policy.AgentUID(fmt.Sprintf("agent-%d", i/teams*13%agents)),
			Context: policy.Context{
				Time: noon.Add(time.Duration(i) * time.Second), Method: "SendMessage", Dialect: "JSONRPC/1.0",
				SourceAddress: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
			},
		}
	}
	return all, policy.NewFixedEntities(1, entities...)
}

const draft = `
@id("office") forbid (principal in Signalbox::Team::"team-3", action in Signalbox::Action::"invoke", resource)
when { context.hour >= 14 || context.hour < 6 };
@id("address") forbid (principal, action, resource in Signalbox::Tag::"tag-2")
when { context has sourceAddress && !context.sourceAddress.isInRange(ip("10.0.0.0/18")) };
@id("moment") permit (principal in Signalbox::Team::"team-5", action, resource is Signalbox::Agent)
when { context.time.toTime() < duration("13h") };`

func TestReplay_EnforcingAfterwardsGivesTheSameAnswers(t *testing.T) {
	recorded, entities := recordings(20_000)
	today := compile(t, policy.Shipped()...)
	for i := range recorded {
		recorded[i].Permit = today.Decide(entities, recorded[i].Query).Permit
	}
	shadow, err := today.With([]policy.Policy{{ID: "draft", Mode: policy.ModeShadow, Text: draft}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	enforcing, err := today.With([]policy.Policy{enforced("draft", draft)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[policy.Change]int{}
	i := 0
	for r := range policy.Replay(policy.World{Set: enforcing, Entities: entities}, slices.Values(recorded)) {
		counts[r.Change()]++
		if want := enforcing.Decide(entities, recorded[i].Query); !cmp.Equal(r.Answer, want) {
			t.Fatalf("number %d: replay says %+v, enforcing %+v", i, r.Answer, want)
		}
		// In shadow nothing changes and everything is foreseen.
		a := shadow.Decide(entities, recorded[i].Query)
		would := a.Permit
		if a.Shadow != nil {
			would = a.Shadow.Permit
		}
		if a.Permit != recorded[i].Permit || would != r.Answer.Permit {
			t.Fatalf("number %d: in shadow %+v, recorded %v, enforced %v", i, a, recorded[i].Permit, r.Answer.Permit)
		}
		i++
	}
	if i != len(recorded) || counts[policy.ChangeNewlyDenied] == 0 || counts[policy.ChangeNewlyAllowed] == 0 {
		t.Errorf("%d replayed: %v", i, counts)
	}
	again := map[policy.Change]int{}
	for r := range policy.Replay(policy.World{Set: enforcing, Entities: entities}, slices.Values(recorded)) {
		again[r.Change()]++
	}
	if diff := cmp.Diff(counts, again); diff != "" {
		t.Errorf("the second replay differs:\n%s", diff)
	}
}

func TestReplayer_UsesTheEntitiesOfEachRevision(t *testing.T) {
	set := compile(t, policy.Shipped()...)
	team, other := policy.TeamEntity("research"), policy.TeamEntity("support")
	k := policy.KeyEntity("teams/support/keys/k", "support", false)
	private := policy.NewFixedEntities(1, team, other, k, planner("research", "TEAM"))
	public := policy.NewFixedEntities(2, team, other, k, planner("research", "ORGANIZATION"))
	replayer := policy.NewReplayer(set)
	for i, tt := range []struct {
		e    policy.Entities
		want bool
	}{{private, false}, {private, false}, {public, true}, {private, false}, {public, true}} {
		r := replayer.Replay(tt.e, policy.Recorded{Query: ask(policy.KeyUID("teams/support/keys/k"), policy.SendMessage, agentID)})
		if r.Answer.Permit != tt.want {
			t.Errorf("number %d: permit %v, want %v", i, r.Answer.Permit, tt.want)
		}
	}
}

func TestExplain_NamesStatementsAndWhatTheySaw(t *testing.T) {
	set := compile(t,
		enforced("p", `permit (principal in Signalbox::Team::"research", action in Signalbox::Action::"invoke", resource)
			when { resource.visibility == "TEAM" && principal in resource.team.members || context has sourceAddress };`),
		enforced("f", `forbid (principal, action, resource is Signalbox::Agent) when { context.hour > 20 || resource.tags.contains("closed") };`),
		policy.Policy{ID: "s", Mode: policy.ModeShadow, Text: `forbid (principal, action, resource is Signalbox::Agent) when { resource.team.admins in resource.team };`},
		enforced("far", `forbid (principal, action, resource == Signalbox::Agent::"other");`),
	)
	q := ask(ci, policy.SendMessage, agentID)
	q.Context.SourceAddress = netip.MustParseAddr("10.0.0.1")
	got := set.Explain(small(), q)
	if diff := cmp.Diff(set.Decide(small(), q), got.Answer); diff != "" {
		t.Errorf("explain and decide differ:\n%s", diff)
	}
	want := []policy.Trace{
		{Statement: "f", Policy: "f", Mode: policy.ModeEnforce, Effect: "forbid", Result: policy.ResultNot, Values: []policy.Value{
			{Path: "context.hour", Value: "12"}, {Path: "resource.tags", Value: `["internal"]`},
		}},
		{Statement: "p", Policy: "p", Mode: policy.ModeEnforce, Effect: "permit", Result: policy.ResultApplies, Values: []policy.Value{
			{Path: "context has sourceAddress", Value: "true"},
			{Path: "principal", Value: `Signalbox::Key::"teams/research/keys/ci"`},
			{Path: "resource.team.members", Value: `Signalbox::Role::"research/member"`},
			{Path: "resource.visibility", Value: `"TEAM"`},
		}},
		{Statement: "s", Policy: "s", Mode: policy.ModeShadow, Effect: "forbid", Result: policy.ResultNot, Values: []policy.Value{
			{Path: "resource.team", Value: `Signalbox::Team::"research"`},
			{Path: "resource.team.admins", Value: `Signalbox::Role::"research/team-admin"`},
		}},
	}
	if diff := cmp.Diff(want, got.Statements); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	if got.Principal[0] != ci || !slices.Contains(got.Principal, theTeam) || !slices.Contains(got.Resource, policy.TagUID("internal")) {
		t.Errorf("groups: %v, %v", got.Principal, got.Resource)
	}
	failing := set.Explain(policy.NewFixedEntities(1, planner("lost", "TEAM")), ask(ci, policy.SendMessage, agentID))
	if i := slices.IndexFunc(failing.Statements, func(tr policy.Trace) bool { return tr.Result == policy.ResultFails }); i < 0 || failing.Statements[i].Failure == "" {
		t.Errorf("nothing fails: %+v", failing)
	}
	if x := set.Explain(small(), ask(ci, "Explode", agentID)); x.Answer.Permit || len(x.Answer.Failing) != 1 {
		t.Errorf("an unknown action: %+v", x)
	}
}
