package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
)

const officeText = `forbid (principal, action in Signalbox::Action::"invoke", resource in Signalbox::Tag::"office") when { context.hour < 6 };`

func apply(t *testing.T, p *plane, req *policyv1.ApplyPolicyRequest) *policyv1.Policy {
	t.Helper()
	out, err := p.admin().ApplyPolicy(t.Context(), req)
	must(t, err)
	return out
}

func TestPolicies_HaveVersionsModesAndAHistory(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	first := apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "office", Text: officeText, Description: new("nights are quiet"), Comment: "first"})
	if first.GetName() != "policies/office" || first.GetMode() != policyv1.Mode_MODE_ENFORCE || first.GetVersion() != 1 || first.GetText() != officeText ||
		first.GetEtag() == "" || first.GetDescription() != "nights are quiet" {
		t.Errorf("made %v", first)
	}
	if again := apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "office", Text: officeText}); again.GetEtag() != first.GetEtag() {
		t.Errorf("the same once more made %v", again)
	}
	later := strings.Replace(officeText, "6", "7", 1)
	shadow := apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "office", Text: later, Mode: policyv1.Mode_MODE_SHADOW, Comment: "later", Etag: first.GetEtag()})
	if shadow.GetMode() != policyv1.Mode_MODE_ENFORCE || shadow.GetVersion() != 1 || shadow.GetShadowVersion() != 2 || shadow.GetShadowText() != later {
		t.Errorf("tried %v", shadow)
	}
	_, err := p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "office", Text: officeText, Etag: first.GetEtag()})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	enforced, err := p.admin().UpdatePolicy(ctx, &policyv1.UpdatePolicyRequest{Policy: &policyv1.Policy{Name: "policies/office", Mode: policyv1.Mode_MODE_ENFORCE}})
	must(t, err)
	if enforced.GetVersion() != 2 || enforced.GetShadowVersion() != 0 || enforced.GetText() != later {
		t.Errorf("enforced %v", enforced)
	}
	back, err := p.admin().RollbackPolicy(ctx, &policyv1.RollbackPolicyRequest{Name: "policies/office", Version: 1, Comment: "too early"})
	must(t, err)
	if back.GetVersion() != 3 || back.GetText() != officeText {
		t.Errorf("rolled back %v", back)
	}
	_, err = p.admin().RollbackPolicy(ctx, &policyv1.RollbackPolicyRequest{Name: "policies/office", Version: 9})
	refused(t, err, connect.CodeNotFound, "POLICY_NOT_FOUND")

	page, err := p.admin().ListPolicyVersions(ctx, &policyv1.ListPolicyVersionsRequest{Parent: "policies/office", PageSize: 2})
	must(t, err)
	rest, err := p.admin().ListPolicyVersions(ctx, &policyv1.ListPolicyVersionsRequest{Parent: "policies/office", PageSize: 2, PageToken: page.GetNextPageToken()})
	must(t, err)
	versions := append(page.GetVersions(), rest.GetVersions()...)
	if len(versions) != 3 || rest.GetNextPageToken() != "" {
		t.Fatalf("%d versions", len(versions))
	}
	newest, tried, oldest := versions[0], versions[1], versions[2]
	if newest.GetRollbackOf() != 1 || newest.GetComment() != "too early" || newest.GetAuthor() != "admin" || newest.GetMode() != policyv1.Mode_MODE_ENFORCE {
		t.Errorf("newest %v", newest)
	}
	if want := "--- policies/office/versions/1\n+++ policies/office/versions/2\n@@ -1,1 +1,1 @@\n-" + officeText + "\n\\ No newline at end of file\n+" + later + "\n\\ No newline at end of file\n"; tried.GetDiff() != want {
		t.Errorf("diff %q, want %q", tried.GetDiff(), want)
	}
	if tried.GetAppliedMode() != policyv1.Mode_MODE_SHADOW || tried.GetMode() != policyv1.Mode_MODE_UNSPECIFIED || !strings.HasPrefix(oldest.GetDiff(), "--- /dev/null\n") {
		t.Errorf("versions %v, %v", tried, oldest)
	}
	_, err = p.admin().DeletePolicy(ctx, &policyv1.DeletePolicyRequest{Name: "policies/office"})
	must(t, err)
	_, err = p.admin().GetPolicy(ctx, &policyv1.GetPolicyRequest{Name: "policies/office"})
	refused(t, err, connect.CodeNotFound, "POLICY_NOT_FOUND")
}

func TestPolicies_MistakesAreShownWithTheirPlaces(t *testing.T) {
	p := newPlane(t)
	_, err := p.admin().ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{
		PolicyId: "bad", Text: "permit (principal, action, resource)\nwhen { resource.colour == 1 };\npermit (principal, action, resource) when { context.huor > 1 };",
	})
	info := refused(t, err, connect.CodeInvalidArgument, "POLICY_INVALID")
	if info.GetMetadata()["line"] != "2" || info.GetMetadata()["column"] == "" || !strings.Contains(info.GetMetadata()["source"], "colour") {
		t.Errorf("metadata %v", info.GetMetadata())
	}
	e, _ := errors.AsType[*connect.Error](err)
	var found *policyv1.PolicyMistakes
	for _, d := range e.Details() {
		if v, err := d.Value(); err == nil {
			if m, ok := v.(*policyv1.PolicyMistakes); ok {
				found = m
			}
		}
	}
	if len(found.GetMistakes()) < 2 || found.GetMistakes()[0].GetSourceLine() != "when { resource.colour == 1 };" {
		t.Errorf("mistakes %v", found)
	}
}

func TestPolicies_NamesAndTextsThatCannotBeKeptAreRefused(t *testing.T) {
	p := newPlane(t)
	for _, req := range []*policyv1.ApplyPolicyRequest{
		{PolicyId: "g-1", Text: officeText},
		{PolicyId: "schema", Text: officeText},
		{PolicyId: "Office", Text: officeText},
		{PolicyId: "office"},
		{PolicyId: "office", Text: officeText + "// \x00"},
		{PolicyId: "office", Text: officeText, Comment: "\x00"},
		{PolicyId: "office", Text: officeText, Description: new("\x1b[2J")},
	} {
		_, err := p.admin().ApplyPolicy(t.Context(), req)
		refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	}
	_, err := p.admin().CheckPolicy(t.Context(), &policyv1.CheckPolicyRequest{Principal: "key:admin", Action: "GetGrant", Resource: "grant:g-\x00"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = p.admin().ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{
		PolicyId: "office", Text: officeText, Replay: "replays/00000000-0000-4000-8000-00000000000a",
	})
	refused(t, err, connect.CodeNotFound, "REPLAY_NOT_FOUND")
}

func TestPolicies_WhoWouldLockTheLastAdminOutIsRefused(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	const lockout = `forbid (principal, action, resource);`
	_, err := p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "out", Text: lockout})
	info := refused(t, err, connect.CodeFailedPrecondition, "LAST_ADMIN_LOCKED_OUT")
	if info == nil || !strings.Contains(err.Error(), "key:admin would lose it") || !strings.Contains(err.Error(), "forbidden by out") {
		t.Errorf("error %v", err)
	}
	if _, err := p.admin().GetPolicy(ctx, &policyv1.GetPolicyRequest{Name: "policies/out"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("a refused policy is there: %v", err)
	}
	// Only to look at it is no lock-out, to enforce it is.
	apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "out", Text: lockout, Mode: policyv1.Mode_MODE_SHADOW})
	enforce := &policyv1.UpdatePolicyRequest{Policy: &policyv1.Policy{Name: "policies/out", Mode: policyv1.Mode_MODE_ENFORCE}}
	_, err = p.admin().UpdatePolicy(ctx, enforce)
	refused(t, err, connect.CodeFailedPrecondition, "LAST_ADMIN_LOCKED_OUT")
	_, err = p.admin().UpdatePolicy(ctx, &policyv1.UpdatePolicyRequest{Policy: &policyv1.Policy{Name: "policies/admin", Mode: policyv1.Mode_MODE_DISABLED}})
	refused(t, err, connect.CodeFailedPrecondition, "LAST_ADMIN_LOCKED_OUT")
	_, err = p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "out2", Text: lockout, ValidateOnly: true})
	refused(t, err, connect.CodeFailedPrecondition, "LAST_ADMIN_LOCKED_OUT")
	seen, err := p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "fine", Text: officeText, ValidateOnly: true})
	must(t, err)
	if seen.GetVersion() != 1 {
		t.Errorf("would be %v", seen)
	}
	_, err = p.admin().GetPolicy(ctx, &policyv1.GetPolicyRequest{Name: "policies/fine"})
	refused(t, err, connect.CodeNotFound, "POLICY_NOT_FOUND")
}

func TestPolicies_ThoseOfTheGatewayCanOnlyBeDisabled(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	p.team(t, "a")
	_, secret := p.team(t, "b")
	p.agent(t, "b", "echo")
	may := func() bool {
		x, err := p.admin().CheckPolicy(ctx, &policyv1.CheckPolicyRequest{Principal: "key:teams/b/keys/laptop", Action: "invoke", Resource: "agent:echo"})
		must(t, err)
		return x.GetPermit()
	}
	if !may() {
		t.Fatal("a team's key does not call the team's agent")
	}
	own, err := p.admin().GetPolicy(ctx, &policyv1.GetPolicyRequest{Name: "policies/own-team"})
	must(t, err)
	if !own.GetShipped() || own.GetText() == "" || own.GetMode() != policyv1.Mode_MODE_ENFORCE {
		t.Errorf("policy %v", own)
	}
	_, err = p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "own-team", Text: officeText})
	refused(t, err, connect.CodeFailedPrecondition, "POLICY_SHIPPED")
	_, err = p.admin().DeletePolicy(ctx, &policyv1.DeletePolicyRequest{Name: "policies/own-team"})
	refused(t, err, connect.CodeFailedPrecondition, "POLICY_SHIPPED")
	set := func(mode policyv1.Mode) {
		t.Helper()
		out, err := p.admin().UpdatePolicy(ctx, &policyv1.UpdatePolicyRequest{Policy: &policyv1.Policy{Name: "policies/own-team", Mode: mode}})
		must(t, err)
		if out.GetMode() != mode || out.GetText() != own.GetText() || !out.GetShipped() {
			t.Errorf("now %v", out)
		}
	}
	set(policyv1.Mode_MODE_DISABLED)
	if may() {
		t.Error("disabled, it permits")
	}
	set(policyv1.Mode_MODE_ENFORCE)
	if !may() {
		t.Error("enforced again, it does not permit")
	}
	_, err = p.as(secret).GetPolicy(ctx, &policyv1.GetPolicyRequest{Name: "policies/own-team"})
	refused(t, err, connect.CodeNotFound, "POLICY_NOT_FOUND")
	_, err = p.as(secret).ListPolicies(ctx, &policyv1.ListPoliciesRequest{})
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
	var names []string
	for token := ""; ; {
		res, err := p.admin().ListPolicies(ctx, &policyv1.ListPoliciesRequest{PageSize: 3, PageToken: token})
		must(t, err)
		for _, one := range res.GetPolicies() {
			names = append(names, one.GetName())
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	if !strings.Contains(strings.Join(names, " "), "policies/own-team ") || len(names) != 10 {
		t.Errorf("policies %v", names)
	}
}

func grant(principal, agents string, actions ...string) *policyv1.CreateGrantRequest {
	return &policyv1.CreateGrantRequest{Grant: &policyv1.Grant{Principal: principal, Agents: agents, Actions: actions}}
}

func TestGrants_PermitUntilTheirExactEnd(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "b", "echo")
	check := func(at time.Time) *policyv1.Explanation {
		t.Helper()
		x, err := p.admin().CheckPolicy(ctx, &policyv1.CheckPolicyRequest{
			Principal: "key:teams/a/keys/laptop", Action: "invoke", Resource: "agents/echo", Context: &policyv1.CheckContext{Time: timestamppb.New(at)},
		})
		must(t, err)
		return x
	}
	if x := check(time.Now()); x.GetPermit() || x.GetSummary() != "deny, because nothing permits it" {
		t.Errorf("before: %v", x)
	}
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	req := grant("team:a", "agent:echo", "invoke")
	req.Grant.ExpireTime = timestamppb.New(end)
	g, err := p.admin().CreateGrant(ctx, req)
	must(t, err)
	if g.GetName() != "grants/g-1" || !g.GetVia() || g.GetTeam() != "teams/b" || g.GetAuthor() != "admin" || !strings.Contains(g.GetCedarText(), "permit") ||
		!strings.HasPrefix(g.GetSentence(), "everybody in team a may invoke the agent echo, also through other agents, until ") {
		t.Errorf("grant %v", g)
	}
	x := check(end.Add(-time.Millisecond))
	if !x.GetPermit() || x.GetSummary() != "permit, because of grant g-1" || !x.GetUntilTime().AsTime().Equal(end) {
		t.Errorf("with it: %v", x)
	}
	if check(end).GetPermit() {
		t.Error("it permits at its end")
	}
	listed, err := p.admin().ListGrants(ctx, &policyv1.ListGrantsRequest{Team: "teams/b", Principal: "team:a"})
	must(t, err)
	if len(listed.GetGrants()) != 1 {
		t.Errorf("grants %v", listed)
	}
	_, err = p.admin().UpdateGrant(ctx, &policyv1.UpdateGrantRequest{
		Grant: &policyv1.Grant{Name: g.GetName(), Disabled: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
	})
	must(t, err)
	if check(time.Now()).GetPermit() {
		t.Error("disabled, it permits")
	}
	_, err = p.admin().DeleteGrant(ctx, &policyv1.DeleteGrantRequest{Name: g.GetName()})
	must(t, err)
	_, err = p.admin().GetGrant(ctx, &policyv1.GetGrantRequest{Name: g.GetName()})
	refused(t, err, connect.CodeNotFound, "GRANT_NOT_FOUND")
	again := grant("team:a", "agent:echo", "invoke")
	again.GrantId = "g-1"
	_, err = p.admin().CreateGrant(ctx, again)
	refused(t, err, connect.CodeAlreadyExists, "GRANT_EXISTS")
}

func TestGrants_WhatCannotBeMeantIsRefused(t *testing.T) {
	p := newPlane(t)
	p.team(t, "a")
	p.agent(t, "a", "echo")
	apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "closed", Text: `forbid (principal in Signalbox::Team::"a", action in Signalbox::Action::"invoke", resource);`})
	for _, tc := range []struct {
		name   string
		req    *policyv1.CreateGrantRequest
		code   connect.Code
		reason string
	}{
		{"unknown team", grant("team:nobody", "all", "invoke"), connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL"},
		{"unknown key", grant("key:teams/a/keys/none", "all", "invoke"), connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL"},
		{"unknown agent as principal", grant("agent:none", "all", "invoke"), connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL"},
		{"unknown issuer", grant("user:users/none~ada", "all", "invoke"), connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL"},
		{"unknown role", grant("role:king", "all", "invoke"), connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL"},
		{"role of an unknown team", grant("role:nobody/member", "all", "invoke"), connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL"},
		{"unknown agent", grant("key:teams/a/keys/laptop", "agent:none", "invoke"), connect.CodeNotFound, "AGENT_NOT_FOUND"},
		{"unknown team of agents", grant("key:teams/a/keys/laptop", "team:none", "invoke"), connect.CodeNotFound, "TEAM_NOT_FOUND"},
		{"no principal", grant("nobody", "all", "invoke"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"a tag as principal", grant("tag:x", "all", "invoke"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"no agents", grant("team:a", "everything", "invoke"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"no action", grant("team:a", "all"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"an unknown action", grant("team:a", "all", "explode"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"a control character in a principal", grant("team:a\x00", "all", "invoke"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"a control character in a tag", grant("team:a", "tag:a\x00b", "invoke"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"to see alone", grant("team:a", "all", "discover"), connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"forbidden anyway", grant("team:a", "agent:echo", "invoke"), connect.CodeFailedPrecondition, "GRANT_WITHOUT_EFFECT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.admin().CreateGrant(t.Context(), tc.req)
			info := refused(t, err, tc.code, tc.reason)
			if tc.reason == "GRANT_WITHOUT_EFFECT" && info.GetMetadata()["statements"] != "closed" {
				t.Errorf("metadata %v", info.GetMetadata())
			}
		})
	}
	if res, err := p.admin().ListGrants(t.Context(), &policyv1.ListGrantsRequest{Principal: "\x00", Agents: "\x00"}); err != nil || len(res.GetGrants()) > 0 {
		t.Errorf("grants to nobody: %v, %v", res, err)
	}
	req := grant("team:a", "agent:echo", "invoke")
	req.AllowWithoutEffect = true
	if _, err := p.admin().CreateGrant(t.Context(), req); err != nil {
		t.Errorf("without effect, and wanted: %v", err)
	}
}

func TestGrants_OfATeamAreForItsAdmins(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	p.team(t, "a")
	_, plain := p.team(t, "b")
	p.agent(t, "a", "mine")
	p.agent(t, "b", "theirs")
	made, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "boss", Roles: []string{"teams/a/roles/team-admin"}})
	must(t, err)
	boss := p.as(made.GetSecret())
	g, err := boss.CreateGrant(ctx, grant("team:b", "agent:mine", "invoke"))
	must(t, err)
	for _, agents := range []string{"agent:theirs", "team:b"} {
		if _, err := boss.CreateGrant(ctx, grant("team:a", agents, "invoke")); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("a grant to %s: %v", agents, err)
		}
	}
	for _, agents := range []string{"tag:x", "all"} {
		_, err := boss.CreateGrant(ctx, grant("team:a", agents, "invoke"))
		refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
	}
	res, err := boss.ListGrants(ctx, &policyv1.ListGrantsRequest{})
	must(t, err)
	if len(res.GetGrants()) != 1 || res.GetGrants()[0].GetName() != g.GetName() {
		t.Errorf("grants %v", res)
	}
	_, err = p.as(plain).GetGrant(ctx, &policyv1.GetGrantRequest{Name: g.GetName()})
	refused(t, err, connect.CodeNotFound, "GRANT_NOT_FOUND")
	_, err = boss.DeleteGrant(ctx, &policyv1.DeleteGrantRequest{Name: g.GetName()})
	must(t, err)
}

func TestCheckPolicy_TriesADraft(t *testing.T) {
	p := newPlane(t)
	p.team(t, "a")
	p.agent(t, "a", "echo")
	ask := func(ctx context.Context, draft *policyv1.DraftPolicy) (*policyv1.Explanation, error) {
		return p.admin().CheckPolicy(ctx, &policyv1.CheckPolicyRequest{
			Principal: "teams/a/keys/laptop", Action: "SendMessage", Resource: "agent:echo", Draft: draft,
		})
	}
	x, err := ask(t.Context(), &policyv1.DraftPolicy{Text: `forbid (principal, action == Signalbox::Action::"discover", resource == Signalbox::Agent::"echo");`})
	must(t, err)
	if x.GetPermit() || x.GetAction() != "discover" || x.GetSummary() != "deny, because of a forbid: policy draft" {
		t.Errorf("hidden: %v", x)
	}
	x, err = ask(t.Context(), &policyv1.DraftPolicy{PolicyId: "own-team", Mode: policyv1.Mode_MODE_DISABLED})
	must(t, err)
	if x.GetPermit() {
		t.Errorf("without the policy: %v", x)
	}
	x, err = ask(t.Context(), nil)
	must(t, err)
	if !x.GetPermit() || len(x.GetStatements()) == 0 || x.GetStatements()[0].GetPolicy() == "" || x.GetRevision() == 0 {
		t.Errorf("as it is: %v", x)
	}
	_, err = ask(t.Context(), &policyv1.DraftPolicy{Text: "permit"})
	refused(t, err, connect.CodeInvalidArgument, "POLICY_INVALID")
	for _, bad := range []*policyv1.CheckPolicyRequest{
		{Principal: "team:a", Action: "invoke", Resource: "agent:echo"},
		{Principal: "teams/a/keys/laptop", Action: "fly", Resource: "agent:echo"},
		{Principal: "teams/a/keys/laptop", Action: "GetTeam", Resource: "agent:echo"},
		{Principal: "teams/a/keys/laptop", Action: "invoke", Resource: "x"},
	} {
		_, err := p.admin().CheckPolicy(t.Context(), bad)
		refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	}
	_, err = p.admin().CheckPolicy(t.Context(), &policyv1.CheckPolicyRequest{Principal: "key:teams/a/keys/none", Action: "invoke", Resource: "agent:echo"})
	refused(t, err, connect.CodeFailedPrecondition, "UNKNOWN_PRINCIPAL")
}

func TestPolicies_WritesAtOnceAreEachCheckedAgainstWhatTheyAreOnTopOf(t *testing.T) {
	p := newPlane(t)
	results := make(chan error)
	const writers = 6
	for i := range writers {
		go func() {
			_, err := p.admin().ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{PolicyId: fmt.Sprintf("office-%d", i), Text: officeText})
			results <- err
		}()
	}
	for range writers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	// A lock-out stays one while others write.
	halves := []string{
		`forbid (principal, action == Signalbox::Action::"ApplyPolicy", resource) unless { principal in Signalbox::Team::"none" };`,
		`permit (principal, action, resource == Signalbox::Agent::"echo");`,
	}
	for i, text := range halves {
		go func() {
			_, err := p.admin().ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{PolicyId: fmt.Sprintf("half-%d", i), Text: text})
			results <- err
		}()
	}
	outs := 0
	for range halves {
		if err := <-results; err != nil {
			refused(t, err, connect.CodeFailedPrecondition, "LAST_ADMIN_LOCKED_OUT")
			outs++
		}
	}
	if outs != 1 {
		t.Errorf("%d of one lock-out were refused", outs)
	}
}
