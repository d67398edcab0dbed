package api_test

import (
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
)

// Whoever looks after issuers must not come to give roles, to itself at last, that it may
// not give otherwise.
func TestIssuers_MapToNoMoreThanTheirAuthorMayGive(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	_, secret := p.team(t, "idm")
	_, _ = p.team(t, "other")
	apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "issuers", Text: `permit (principal == Signalbox::Key::"teams/idm/keys/laptop",
		action in [Signalbox::Action::"CreateIssuer", Signalbox::Action::"UpdateIssuer", Signalbox::Action::"GetIssuer"], resource);
		permit (principal == Signalbox::Key::"teams/idm/keys/laptop", action == Signalbox::Action::"AddRoleMember", resource == Signalbox::Role::"other/member");`})
	keeper := p.as(secret)
	create := func(id string, mappings ...*identityv1.ClaimMapping) (*identityv1.Issuer, error) {
		return keeper.CreateIssuer(ctx, &identityv1.CreateIssuerRequest{IssuerId: id, Issuer: &identityv1.Issuer{
			Url: "https://" + id + ".example.com", Audiences: []string{"signalbox"}, ClaimMappings: mappings,
		}})
	}
	everything := &identityv1.ClaimMapping{Claim: "sub", Value: "me", Role: "admin"}
	_, err := create("evil", everything)
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
	_, err = create("evil", &identityv1.ClaimMapping{Claim: "sub", Value: "me", Team: "teams/idm"})
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")

	_, err = create("good", &identityv1.ClaimMapping{Claim: "sub", Value: "me", Team: "teams/other"})
	must(t, err)
	_, err = keeper.UpdateIssuer(ctx, &identityv1.UpdateIssuerRequest{
		Issuer:     &identityv1.Issuer{Name: "issuers/good", ClaimMappings: []*identityv1.ClaimMapping{everything}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"claim_mappings"}},
	})
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")

	// What others mapped stays as it is, but who signs for it is theirs to say.
	p.issuer(t, "okta", func(i *identityv1.Issuer) { i.ClaimMappings = []*identityv1.ClaimMapping{everything} })
	_, err = keeper.UpdateIssuer(ctx, &identityv1.UpdateIssuerRequest{Issuer: &identityv1.Issuer{Name: "issuers/okta", DisplayName: "Okta"}})
	must(t, err)
	_, err = keeper.UpdateIssuer(ctx, &identityv1.UpdateIssuerRequest{Issuer: &identityv1.Issuer{Name: "issuers/okta", JwksUrl: "https://evil.example.com/keys"}})
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")

	// Nor does it come to sign for users who were given more.
	move := func() error {
		_, err := keeper.UpdateIssuer(ctx, &identityv1.UpdateIssuerRequest{Issuer: &identityv1.Issuer{Name: "issuers/good", JwksUrl: "https://evil.example.com/keys"}})
		return err
	}
	must(t, move())
	admin := p.as(adminSecret)
	_, err = admin.CreateUser(ctx, &identityv1.CreateUserRequest{User: &identityv1.User{Issuer: "issuers/good", Subject: "ada"}})
	must(t, err)
	must(t, move())
	_, err = admin.AddRoleMember(ctx, &identityv1.AddRoleMemberRequest{Role: "roles/auditor", Member: "users/good~ada"})
	must(t, err)
	refused(t, move(), connect.CodePermissionDenied, "PERMISSION_DENIED")
}
