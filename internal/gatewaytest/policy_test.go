package gatewaytest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// apply puts a policy into a mode.
func apply(t *testing.T, g *gatewaytest.Gateway, id, text string, mode policyv1.Mode, replay string) *policyv1.Policy {
	t.Helper()
	p, err := policies(g, g.AdminKey).ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{PolicyId: id, Text: text, Mode: mode, Replay: replay})
	if err != nil {
		t.Fatalf("apply %s: %v", id, err)
	}
	return p
}

// Policies see how a call is made: each of these denies just the calls that it is about.
func TestPolicies_SeeTheCall(t *testing.T) {
	g := gatewaytest.Start(t)
	g.Team("demo")
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(g, "held", agent)
	const about = `principal == Signalbox::Key::"teams/demo/keys/%s", action == Signalbox::Action::"SendMessage", resource == Signalbox::Agent::"held"`
	all := func(a2a.Dialect) bool { return true }
	for id, tc := range map[string]struct {
		when   string
		denies func(d a2a.Dialect) bool
		fails  bool
	}{
		"dialect": {`context has dialect && context.dialect == "GRPC/0.3"`, func(d a2a.Dialect) bool { return d.String() == "GRPC/0.3" }, false},
		"method":  {`context has method && context.method == "SendMessage"`, all, false},
		"source":  {`context has sourceAddress && context.sourceAddress.isLoopback()`, all, false},
		"other":   {`context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8"))`, func(a2a.Dialect) bool { return false }, false},
		"past":    {`context.time < datetime("2020-01-01")`, func(a2a.Dialect) bool { return false }, false},
		"chain":   {`context has delegation && context.delegation.depth > 3`, func(a2a.Dialect) bool { return false }, false},
		"tag":     {`resource.tags.contains("secret") || resource.visibility == "ORGANIZATION"`, all, false},
		// A forbid that cannot be evaluated denies.
		"broken": {`context.weekday * 9223372036854775807 + 1 > 0`, all, true},
	} {
		t.Run(id, func(t *testing.T) {
			key := roleKey(t, g, "demo", id)
			apply(t, g, "p-"+id, "forbid ("+fmt.Sprintf(about, id)+") when { "+tc.when+" };", policyv1.Mode_MODE_ENFORCE, "")
			for _, d := range a2a.Dialects {
				c := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL("held"), Key: key, Agent: "held"})
				_, err := c.Send(t.Context(), peers.Message{ID: "m", Parts: []peers.Part{{Text: "hi"}}})
				failed, _ := errors.AsType[*peers.CallError](err)
				switch denied := failed != nil && failed.Reason == "PERMISSION_DENIED"; {
				case denied != tc.denies(d):
					t.Errorf("%s: %v, want it denied: %t", d, err, tc.denies(d))
				case !denied && err != nil:
					t.Errorf("%s: %v", d, err)
				}
			}
			if !tc.denies(a2a.Dialects[0]) {
				return
			}
			for _, e := range g.Events(fmt.Sprintf(`outcome=REFUSED AND caller="teams/demo/keys/%s"`, id), len(a2a.Dialects)) {
				d := e.GetDecision()
				if d.GetPermitted() || len(d.GetRules()) != 1 || d.GetRules()[0] != "p-"+id || (len(d.GetFailing()) == 1) != tc.fails {
					t.Errorf("the decision in the event is %v", d)
				}
				got, err := policies(g, g.AdminKey).GetDecision(t.Context(), &policyv1.GetDecisionRequest{Name: d.GetId()})
				if err != nil || got.GetPermitted() || got.GetNotReplayable() != "" || got.GetExplanation().GetPermit() ||
					!strings.Contains(got.String(), "p-"+id) || (len(got.GetExplanation().GetFailing()) == 1) != tc.fails {
					t.Errorf("the decision is explained as %v, %v", got, err)
				}
			}
		})
	}
}

// replay replays a draft and returns the report.
func replay(t *testing.T, g *gatewaytest.Gateway, id, text string, since time.Time) *policyv1.Replay {
	t.Helper()
	stream, err := policies(g, g.AdminKey).ReplayPolicy(t.Context(), &policyv1.ReplayPolicyRequest{
		Draft: &policyv1.DraftPolicy{PolicyId: id, Text: text, Mode: policyv1.Mode_MODE_ENFORCE}, SinceTime: timestamppb.New(since),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var report *policyv1.Replay
	total := int64(0)
	for stream.Receive() {
		total = max(total, stream.Msg().GetProgress().GetEventsTotal())
		if r := stream.Msg().GetResult(); r != nil {
			report = r
		}
	}
	if err := stream.Err(); err != nil || report == nil || total < report.GetReplayed() {
		t.Fatalf("the replay of %d events ended with %v and %v", total, report, err)
	}
	return report
}

// A policy is tried on what really happened, then beside what happens, then enforced; and
// each of the three says the same.
func TestPolicies_ReplayShadowAndEnforceAgree(t *testing.T) {
	g := gatewaytest.Start(t)
	begin := time.Now()
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	g.Team("demo")
	keys := map[string]string{"support": g.Team("support"), "research": g.Team("research")}
	for _, id := range []string{"billing", "planner"} {
		registerDialect(g, id, agent)
	}
	const draft = `forbid (principal in Signalbox::Team::"support", action in Signalbox::Action::"invoke", resource == Signalbox::Agent::"billing");`
	call := func(team, to string) string {
		r := g.Call(to, keys[team], "SendMessage", gatewaytest.Message("m", "hi", ""), "A2A-Version", "1.0")
		if strings.Contains(string(r.Body), `"error"`) {
			return r.Error(t).Info(t).Reason
		}
		return "OK"
	}
	everybody := func(want func(team, to string) string) {
		t.Helper()
		for team := range keys {
			for _, to := range []string{"billing", "planner"} {
				for range 3 {
					if got := call(team, to); got != want(team, to) {
						t.Errorf("%s → %s: %s, want %s", team, to, got, want(team, to))
					}
				}
			}
		}
	}
	ok := func(string, string) string { return "OK" }
	everybody(ok)
	g.Events(`outcome=SUCCEEDED AND method="SendMessage"`, 12) // they are in the database

	first := replay(t, g, "no-billing", draft, begin)
	if first.GetNewlyDenied() != 3 || first.GetNewlyAllowed() != 0 || first.GetNotReplayable() != 0 || first.GetReplayed() < 12 {
		t.Fatalf("the replay says %v", first)
	}
	if len(first.GetGroups()) != 1 || first.GetGroups()[0].GetCount() != 3 || !strings.Contains(first.GetGroups()[0].GetCaller(), "support") ||
		!strings.Contains(first.GetGroups()[0].GetResource(), "billing") || len(first.GetGroups()[0].GetEvents()) != 3 {
		t.Errorf("the groups are %v", first.GetGroups())
	}

	apply(t, g, "no-billing", draft, policyv1.Mode_MODE_SHADOW, "")
	everybody(ok)
	shadowed := 0
	for _, e := range g.Events(`plane=DATA AND method="SendMessage"`, 24) {
		s := e.GetDecision().GetShadow()
		about := e.GetTeam() == "teams/support" && e.GetAgent() == "agents/billing"
		if s != nil {
			shadowed++
		}
		if s != nil && (!about || s.GetPermitted() || e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED) {
			t.Errorf("the event says %v", e)
		}
	}
	if shadowed != 3 {
		t.Errorf("%d events have what the shadow would have done, want 3", shadowed)
	}

	second := replay(t, g, "no-billing", draft, begin)
	if second.GetNewlyDenied() != 6 {
		t.Errorf("the second replay says %v", second)
	}
	// A report is of one text: it cannot be shown for another.
	_, err := policies(g, g.AdminKey).ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{
		PolicyId: "no-billing", Text: strings.Replace(draft, "support", "research", 1), Mode: policyv1.Mode_MODE_ENFORCE, Replay: second.GetName(),
	})
	if err == nil || connect.CodeOf(err) == connect.CodeInternal {
		t.Errorf("the report of another draft was taken: %v", err)
	}
	apply(t, g, "no-billing", draft, policyv1.Mode_MODE_ENFORCE, second.GetName())
	everybody(func(team, to string) string {
		if team == "support" && to == "billing" {
			return "AGENT_NOT_FOUND" // what may not be called may not be seen
		}
		return "OK"
	})
	enforced := g.Events(`method="signalbox.policy.v1.PolicyService/ApplyPolicy" AND outcome=SUCCEEDED`, 2)
	last, err := g.Audit.GetEvent(t.Context(), &auditv1.GetEventRequest{Name: enforced[len(enforced)-1].GetName()})
	if err != nil || !strings.Contains(last.String(), second.GetName()) {
		t.Errorf("the record of the change has no report: %v, %v", last, err)
	}
	// What is replayed afterwards has no news: the policy decided so already.
	g.Events(`outcome=REFUSED AND team="support"`, 3)
	if third := replay(t, g, "no-billing", draft, last.GetTime().AsTime()); third.GetNewlyDenied() != 0 || third.GetNewlyAllowed() != 0 || third.GetReplayed() < 12 {
		t.Errorf("the replay of what was enforced says %v", third)
	}
}
