package api_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

// What somebody of a team does for other teams is in the team's record, but not what theirs
// look like: where their agents run, whom their keys are for.
func TestGetEvent_ShowsNoChangeOfWhatBelongsToOthers(t *testing.T) {
	p, l := newAuditPlane(t)
	ctx := t.Context()
	_, mate := p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "a", "ours")
	p.agent(t, "b", "theirs")
	made, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "ops", Roles: []string{"roles/admin"}})
	must(t, err)
	ops := p.as(made.GetSecret())
	auditor, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/b", KeyId: "audit", Roles: []string{"roles/auditor"}})
	must(t, err)

	done := map[string]bool{} // by the event, whether the team is shown the change
	did := func(ofTeam bool, f func() error) {
		p.record.forget()
		must(t, f())
		done["events/"+p.record.one(t).Invocation.String()] = ofTeam
		l.entries = append(l.entries, p.record.entries...)
	}
	update := func(name string) func() error {
		return func() error {
			_, err := ops.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/" + name, DisplayName: "New"}})
			return err
		}
	}
	did(true, update("ours"))
	did(false, update("theirs"))
	did(true, func() error {
		_, err := ops.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: "agents/ours"})
		return err
	})
	did(false, func() error {
		_, err := ops.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: "agents/theirs"})
		return err
	})
	did(false, func() error {
		_, err := ops.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/b", KeyId: "x"})
		return err
	})
	did(true, func() error {
		_, err := ops.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "x"})
		return err
	})
	did(false, func() error {
		_, err := ops.CreateIssuer(ctx, &identityv1.CreateIssuerRequest{IssuerId: "okta", Issuer: &identityv1.Issuer{
			Url: "https://okta.example.com", Audiences: []string{"signalbox"},
		}})
		return err
	})
	l.ship(t)
	shown := func(s *structpb.Struct) bool { return s != nil }
	for name, ofTeam := range done {
		for who, want := range map[string]bool{adminSecret: true, made.GetSecret(): true, auditor.GetSecret(): true, mate: ofTeam} {
			e, err := p.as(who).GetEvent(ctx, &auditv1.GetEventRequest{Name: name})
			must(t, err)
			if got := shown(e.GetBefore()) || shown(e.GetAfter()); got != want {
				t.Errorf("%s of %s is shown to %.5s…: %v, want %v", e.GetMethod(), e.GetResource(), who, got, want)
			}
		}
	}
}
