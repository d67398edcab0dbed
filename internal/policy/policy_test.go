package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

func key(team string) identity.Principal {
	return identity.Principal{Kind: identity.KindKey, UID: uuid.New(), Name: "teams/" + team + "/keys/k", Team: team}
}

func agent(team string, v registry.Visibility) policy.Resource {
	return policy.Resource{Kind: policy.KindAgent, Name: "a", Team: team, Visibility: v}
}

func TestDecide_NothingIsPermittedThatNoRuleNames(t *testing.T) {
	anonymous := identity.Principal{}
	tests := []struct {
		name      string
		principal identity.Principal
		action    policy.Action
		resource  policy.Resource
		want      []string // rules; nil is a denial
	}{
		{"admin invokes a private agent", identity.Admin(), policy.Invoke, agent("a", registry.VisibilityPrivate), []string{"admin"}},
		{"admin writes a key", identity.Admin(), policy.Write, policy.Resource{Kind: policy.KindKey, Team: "a"}, []string{"admin"}},
		{"own team invokes a private agent", key("a"), policy.Invoke, agent("a", registry.VisibilityPrivate), []string{"own-team"}},
		{"own team invokes an organization agent", key("a"), policy.Invoke, agent("a", registry.VisibilityOrganization), []string{"own-team", "visible-agent"}},
		{"other team invokes a private agent", key("b"), policy.Invoke, agent("a", registry.VisibilityPrivate), nil},
		{"other team invokes a team agent", key("b"), policy.Invoke, agent("a", registry.VisibilityTeam), nil},
		{"other team invokes an organization agent", key("b"), policy.Invoke, agent("a", registry.VisibilityOrganization), []string{"visible-agent"}},
		{"other team invokes a public agent", key("b"), policy.Invoke, agent("a", registry.VisibilityPublic), []string{"visible-agent"}},
		{"anonymous discovers a public agent", anonymous, policy.Discover, agent("a", registry.VisibilityPublic), []string{"public-card"}},
		{"anonymous invokes a public agent", anonymous, policy.Invoke, agent("a", registry.VisibilityPublic), nil},
		{"anonymous discovers an organization agent", anonymous, policy.Discover, agent("a", registry.VisibilityOrganization), nil},
		{"anonymous meets an agent without a team", anonymous, policy.Invoke, agent("", registry.VisibilityTeam), nil},
		{"other team reads an organization agent's registration", key("b"), policy.Read, agent("a", registry.VisibilityOrganization), nil},
		{"own team writes its agent", key("a"), policy.Write, agent("a", registry.VisibilityTeam), []string{"own-team"}},
		{"own team reads its keys", key("a"), policy.Read, policy.Resource{Kind: policy.KindKey, Team: "a"}, []string{"own-team-read"}},
		{"own team writes its keys", key("a"), policy.Write, policy.Resource{Kind: policy.KindKey, Team: "a"}, nil},
		{"own team writes its team", key("a"), policy.Write, policy.Resource{Kind: policy.KindTeam, Team: "a"}, nil},
		{"own team reads its events", key("a"), policy.Read, policy.Resource{Kind: policy.KindEvent, Team: "a"}, []string{"own-team-read"}},
		{"other team reads events", key("b"), policy.Read, policy.Resource{Kind: policy.KindEvent, Team: "a"}, nil},
		{"a key reads events of nobody's calls", key("b"), policy.Read, policy.Resource{Kind: policy.KindEvent}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := policy.Decide(policy.Request{Principal: tt.principal, Action: tt.action, Resource: tt.resource})
			if diff := cmp.Diff(tt.want, got.Rules); diff != "" || got.Permit != (tt.want != nil) {
				t.Errorf("Decide = %+v, want rules %v\n%s", got, tt.want, diff)
			}
		})
	}
}

func TestDecide_WhoMayInvokeMayDiscoverAndTheReverse(t *testing.T) {
	for _, p := range []identity.Principal{identity.Admin(), key("a"), key("b")} {
		for _, v := range []registry.Visibility{
			registry.VisibilityPrivate, registry.VisibilityTeam, registry.VisibilityOrganization, registry.VisibilityPublic,
		} {
			invoke := policy.Decide(policy.Request{Principal: p, Action: policy.Invoke, Resource: agent("a", v)}).Permit
			discover := policy.Decide(policy.Request{Principal: p, Action: policy.Discover, Resource: agent("a", v)}).Permit
			if invoke != discover {
				t.Errorf("%s on a %s agent: invoke %v, discover %v", p.Name, v, invoke, discover)
			}
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	r := policy.Request{Principal: key("a"), Action: policy.Invoke, Resource: agent("b", registry.VisibilityOrganization)}
	b.ReportAllocs()
	for b.Loop() {
		if !policy.Decide(r).Permit {
			b.Fatal("denied")
		}
	}
}
