package api

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
)

const (
	prefixMode   = "MODE_"
	prefixResult = "STATEMENT_RESULT_"
	prefixReplay = "replays/"
)

func modeToProto(m policy.Mode) policyv1.Mode {
	return policyv1.Mode(policyv1.Mode_value[prefixMode+string(m)])
}

// modeOf returns "" for a mode that is not given.
func modeOf(m policyv1.Mode) policy.Mode {
	if m == policyv1.Mode_MODE_UNSPECIFIED {
		return ""
	}
	return policy.Mode(strings.TrimPrefix(m.String(), prefixMode))
}

func replayName(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return prefixReplay + id.String()
}

// replayID reads the name of a replay, whose form the schema has checked; the zero id for
// none.
func replayID(name string) uuid.UUID {
	id, err := uuid.Parse(strings.TrimPrefix(name, prefixReplay))
	if err != nil {
		return uuid.Nil
	}
	return id
}

func policyToProto(p admin.Policy) *policyv1.Policy {
	out := &policyv1.Policy{
		Name: p.Name(), Uid: uid(p.UID), Description: p.Description, Shipped: p.Shipped, Mode: modeToProto(p.Shown()), LastVersion: p.LastVersion,
		Etag: p.Etag, CreateTime: timestamp(p.CreateTime), UpdateTime: timestamp(p.UpdateTime),
	}
	if v := p.Current; v != nil {
		out.Text, out.Version, out.Replay = v.Text, v.Number, replayName(v.Replay)
	}
	if v := p.Shadow; v != nil {
		out.ShadowText, out.ShadowVersion = v.Text, v.Number
		if p.Current == nil {
			out.Text, out.Version, out.Replay = v.Text, v.Number, replayName(v.Replay)
		}
	}
	return out
}

func versionToProto(p *admin.Policy, v admin.VersionDiff) *policyv1.PolicyVersion {
	return &policyv1.PolicyVersion{
		Name: admin.VersionName(p.ID, v.Number), Version: v.Number, Text: v.Text, AppliedMode: modeToProto(v.Mode), Mode: modeToProto(v.Now),
		Author: v.Author, Comment: v.Comment, RollbackOf: v.RollbackOf, Replay: replayName(v.Replay), Diff: v.Diff,
		CreateTime: timestamp(v.CreateTime),
	}
}

func grantToProto(g admin.Grant) *policyv1.Grant {
	out := &policyv1.Grant{
		Name: g.Name(), Uid: g.UID.String(), Principal: policy.FormatUID(g.Principal), Agents: g.Agents.String(), ExpireTime: timestamp(g.Until),
		Via: &g.Via, Disabled: g.Disabled, Description: g.Description, Team: identity.TeamName(g.Team), Author: g.Author,
		Sentence: admin.Sentence(g.Grant, g.Disabled), CedarText: g.Policy().Text, Etag: g.Etag,
		CreateTime: timestamp(g.CreateTime), UpdateTime: timestamp(g.UpdateTime),
	}
	for _, a := range g.Actions {
		out.Actions = append(out.Actions, string(a))
	}
	return out
}

func mistakesToProto(mistakes []policy.Mistake) *policyv1.PolicyMistakes {
	out := &policyv1.PolicyMistakes{}
	for _, m := range mistakes {
		out.Mistakes = append(out.Mistakes, &policyv1.PolicyMistake{Line: int32(m.Line), Column: int32(m.Column), Text: m.Text, SourceLine: m.Source})
	}
	return out
}

func explanationToProto(x *admin.Explanation) *policyv1.Explanation {
	out := &policyv1.Explanation{
		Permit: x.Answer.Permit, Summary: x.Summary(), Principal: policy.FormatUID(x.Query.Principal), Action: string(x.Query.Action),
		Resource: policy.FormatUID(x.Query.Resource), Deciding: x.Answer.Deciding, Failing: failuresToProto(x.Answer.Failing),
		UntilTime: timestamp(x.Answer.Until), PrincipalGroups: uidNames(x.Principal), ResourceGroups: uidNames(x.Resource), Revision: x.Revision,
	}
	if s := x.Answer.Shadow; s != nil {
		out.Shadow = &policyv1.ShadowAnswer{Permit: s.Permit, Deciding: s.Deciding, Failing: failuresToProto(s.Failing)}
	}
	for _, t := range x.Statements {
		trace := &policyv1.StatementTrace{
			Statement: t.Statement, Policy: admin.ResourceName(t.Policy), Sentence: x.Sentences[t.Policy], Mode: string(t.Mode), Effect: t.Effect,
			Result:  policyv1.StatementResult(policyv1.StatementResult_value[prefixResult+string(t.Result)]),
			Failure: t.Failure,
		}
		for _, v := range t.Values {
			trace.Values = append(trace.Values, &policyv1.SeenValue{Path: v.Path, Value: v.Value})
		}
		out.Statements = append(out.Statements, trace)
	}
	return out
}

func failuresToProto(failures []policy.Failure) []*policyv1.StatementFailure {
	out := make([]*policyv1.StatementFailure, len(failures))
	for i, f := range failures {
		out[i] = &policyv1.StatementFailure{Statement: f.Statement, Effect: f.Effect, Line: int32(f.Line), Column: int32(f.Column), Text: f.Text}
	}
	return out
}

func recordedFailures(failures []audit.Failure) []*policyv1.StatementFailure {
	out := make([]*policyv1.StatementFailure, len(failures))
	for i, f := range failures {
		out[i] = &policyv1.StatementFailure{Statement: f.Statement, Effect: f.Effect, Text: f.Text}
	}
	return out
}

func uidNames(uids []policy.UID) []string {
	out := make([]string, len(uids))
	for i, u := range uids {
		out[i] = policy.FormatUID(u)
	}
	return out
}

func decisionToProto(d admin.Decision) *policyv1.Decision {
	id, r := d.Event.Invocation.String(), d.Recorded
	at := r.Time
	if at.IsZero() {
		at = d.Event.Time
	}
	out := &policyv1.Decision{
		Name: "decisions/" + id, Event: "events/" + id, Time: timestamp(at), Permitted: r.Permitted, Deciding: r.Rules, Revision: r.Revision,
		Principal: r.Principal, Action: r.Action, Resource: r.Resource, NotReplayable: d.NotReplayable, Failing: recordedFailures(r.Failing),
		Context: map[string]string{},
	}
	if s := r.Shadow; s != nil {
		out.Shadow = &policyv1.ShadowAnswer{Permit: s.Permitted, Deciding: s.Rules, Failing: recordedFailures(s.Failing)}
	}
	for _, a := range r.Context {
		out.Context[a.Name] = a.Value
	}
	for name, value := range map[string]string{"method": r.Method, "dialect": r.Dialect, "sourceAddress": r.SourceAddress} {
		if value != "" {
			out.Context[name] = value
		}
	}
	if d.Explanation != nil {
		out.Explanation = explanationToProto(d.Explanation)
	}
	return out
}

func replayToProto(r admin.Replay) *policyv1.Replay {
	out := &policyv1.Replay{
		Name: r.Name(), Mode: modeToProto(r.Mode), SinceTime: timestamp(r.Since), UntilTime: timestamp(r.Until), Filter: r.Filter,
		Entities: policyv1.ReplayEntities_REPLAY_ENTITIES_RECORDED, LastSequence: r.LastSequence, Revision: r.Revision, Replayed: r.Replayed,
		NewlyDenied: r.NewlyDenied, NewlyAllowed: r.NewlyAllowed, ChangedAlready: r.ChangedAlready, NotReplayable: r.NotReplayable,
		Ungrouped: r.Ungrouped, Elapsed: durationpb.New(r.Elapsed), Author: r.Author, CreateTime: timestamp(r.CreateTime),
		DraftSha256: r.DraftHash(),
	}
	if r.Policy != "" {
		out.Policy = admin.PolicyName(r.Policy)
	}
	if r.Now {
		out.Entities = policyv1.ReplayEntities_REPLAY_ENTITIES_NOW
	}
	for _, team := range r.Teams {
		out.Teams = append(out.Teams, identity.TeamName(team))
	}
	for _, c := range r.Causes {
		out.NotReplayableCauses = append(out.NotReplayableCauses, &policyv1.NotReplayable{Cause: c.Cause, Count: c.Count})
	}
	for _, g := range r.Groups {
		group := &policyv1.ReplayGroup{
			Change: policyv1.ReplayChange_REPLAY_CHANGE_NEWLY_DENIED, Caller: g.Caller, Resource: g.Resource, Action: g.Action, Count: g.Count,
			ChangedAlready: g.Already, FirstTime: timestamp(g.First), LastTime: timestamp(g.Last), Filter: g.Filter, Deciding: g.Deciding,
		}
		if g.Change == policy.ChangeNewlyAllowed {
			group.Change = policyv1.ReplayChange_REPLAY_CHANGE_NEWLY_ALLOWED
		}
		for _, id := range g.Events {
			group.Events = append(group.Events, "events/"+id.String())
		}
		out.Groups = append(out.Groups, group)
	}
	return out
}

// trialOf returns nil for no draft.
func trialOf(d *policyv1.DraftPolicy) *admin.Trial {
	if d == nil {
		return nil
	}
	return &admin.Trial{ID: d.GetPolicyId(), Text: d.GetText(), Mode: modeOf(d.GetMode())}
}

// claimsOf reads what a token is taken to say: roles are "auditor" or "research/publisher".
func claimsOf(c *policyv1.CheckClaims) policy.Claims {
	claims := policy.Claims{Teams: c.GetTeams()}
	for _, text := range c.GetRoles() {
		role := identity.RoleIn{Role: text}
		if team, name, in := strings.Cut(text, "/"); in {
			role = identity.RoleIn{Role: name, Team: team}
		}
		claims.Roles = append(claims.Roles, role)
	}
	return claims
}

// expiryOf is timeOf for an update: a field that is named and absent means never.
func expiryOf(set bool, g *policyv1.Grant) *time.Time { return when(set, timeOf(g.GetExpireTime())) }
