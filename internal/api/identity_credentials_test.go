package api_test

import (
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

// Who administers a team makes the credentials of its keys and agents, but for those that
// hold what a team's admin could not give: through them it would become more than it is.
func TestKeys_NoCredentialIsMadeForSomebodyWhoHoldsMore(t *testing.T) {
	p := newPlane(t)
	p.team(t, "a")
	admin := p.as(adminSecret)
	teamAdmin, err := admin.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "admin", Roles: []string{"teams/a/roles/team-admin"}})
	must(t, err)
	caller := p.as(teamAdmin.GetSecret())
	p.agent(t, "a", "bot", func(*registryv1.Agent) {})
	p.agent(t, "a", "watcher", func(*registryv1.Agent) {})
	for id, role := range map[string]string{"audits": "roles/auditor", "publishes": "teams/a/roles/publisher"} {
		_, err := admin.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: id, Roles: []string{role}})
		must(t, err)
	}
	_, err = admin.AddRoleMember(t.Context(), &identityv1.AddRoleMemberRequest{Role: "roles/auditor", Member: "agents/watcher"})
	must(t, err)

	rotate := func(id string) error {
		_, err := caller.RotateKey(t.Context(), &identityv1.RotateKeyRequest{Name: "teams/a/keys/" + id})
		return err
	}
	name := func(id string) error {
		_, err := caller.UpdateKey(t.Context(), &identityv1.UpdateKeyRequest{
			Key:        &identityv1.Key{Name: "teams/a/keys/" + id, CertificateNames: []string{"DNS:" + id + ".example.com"}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"certificate_names"}},
		})
		return err
	}
	bind := func(agent string) error {
		_, err := caller.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: agent, Key: &identityv1.Key{Agent: "agents/" + agent}})
		return err
	}
	give := func(role string) error {
		_, err := caller.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a", Roles: []string{role}})
		return err
	}
	for what, err := range map[string]error{
		"rotate a publisher": rotate("publishes"), "bind a key to an agent": bind("bot"),
		"make a publisher": give("teams/a/roles/publisher"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"rotate an auditor": rotate("audits"), "name a publisher, whose certificate another team may have": name("publishes"), "name an auditor": name("audits"), "bind a key to an agent that audits": bind("watcher"),
		"make an auditor": give("roles/auditor"), "make an admin": give("roles/admin"), "make a publisher of another team": give("teams/b/roles/publisher"),
	} {
		if code := connect.CodeOf(err); code != connect.CodePermissionDenied && code != connect.CodeNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What else there is to change of such a key, its team's admin changes.
	_, err = caller.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: "teams/a/keys/audits"})
	must(t, err)
}
