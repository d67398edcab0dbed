package api_test

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// give gives a role as the admin.
func (p *plane) give(t *testing.T, role, member string) {
	t.Helper()
	_, err := p.admin().AddRoleMember(t.Context(), &identityv1.AddRoleMemberRequest{Role: role, Member: member})
	must(t, err)
}

func TestIssuers_LiveFromCreateToDelete(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	p.team(t, "research")
	made := p.issuer(t, "okta", func(i *identityv1.Issuer) {
		i.ClaimMappings = []*identityv1.ClaimMapping{{Claim: "groups", Value: "eng", Team: "teams/research", Role: "publisher"}, {Claim: "groups", Value: "sec", Role: "auditor"}}
	})
	if made.GetName() != "issuers/okta" || made.GetSkew().AsDuration() != identity.DefaultSkew ||
		!slices.Equal(made.GetAlgorithms(), identity.DefaultAlgorithms()) || made.GetClaimMappings()[0].GetTeam() != "teams/research" {
		t.Errorf("created %v", made)
	}
	create := func(id string, edit func(*identityv1.Issuer)) error {
		i := &identityv1.Issuer{Url: "https://" + id + ".example.com", Audiences: []string{"a"}}
		edit(i)
		_, err := admin.CreateIssuer(ctx, &identityv1.CreateIssuerRequest{IssuerId: id, Issuer: i})
		return err
	}
	refused(t, create("okta", func(i *identityv1.Issuer) {}), connect.CodeAlreadyExists, "ISSUER_EXISTS")
	refused(t, create("x", func(i *identityv1.Issuer) { i.Url = made.GetUrl() }), connect.CodeAlreadyExists, "ISSUER_EXISTS")
	for field, edit := range map[string]func(*identityv1.Issuer){
		"issuer.url":       func(i *identityv1.Issuer) { i.Url = "http://x.example.com" },
		"issuer.audiences": func(i *identityv1.Issuer) { i.Audiences = nil },
		"issuer.claim_mappings[0].role": func(i *identityv1.Issuer) {
			i.ClaimMappings = []*identityv1.ClaimMapping{{Claim: "a", Value: "b", Role: "king"}}
		},
		"issuer.claim_mappings[0].team": func(i *identityv1.Issuer) {
			i.ClaimMappings = []*identityv1.ClaimMapping{{Claim: "a", Value: "b", Team: "teams/none"}}
		},
	} {
		if info := refused(t, create("x", edit), connect.CodeInvalidArgument, "INVALID_ARGUMENT"); info.GetMetadata()["field"] != field {
			t.Errorf("field %q, want %q", info.GetMetadata()["field"], field)
		}
	}
	wide := func(i *identityv1.Issuer) {
		i.ClaimMappings = []*identityv1.ClaimMapping{{Claim: "a", Value: "b", Team: "teams/research", Role: "admin"}}
	}
	refused(t, create("x", wide), connect.CodeInvalidArgument, "INVALID_ARGUMENT")

	changed, err := admin.UpdateIssuer(ctx, &identityv1.UpdateIssuerRequest{
		Issuer:     &identityv1.Issuer{Name: "issuers/okta", Disabled: true, Skew: durationpb.New(0), Etag: made.GetEtag()},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled", "skew", "claim_mappings"}},
	})
	must(t, err)
	if !changed.GetDisabled() || changed.GetSkew().AsDuration() != 0 || len(changed.GetClaimMappings()) != 0 || changed.GetUrl() != made.GetUrl() {
		t.Errorf("changed to %v", changed)
	}
	_, err = admin.UpdateIssuer(ctx, &identityv1.UpdateIssuerRequest{Issuer: &identityv1.Issuer{Name: "issuers/okta", DisplayName: "x", Etag: made.GetEtag()}})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	list, err := admin.ListIssuers(ctx, &identityv1.ListIssuersRequest{})
	must(t, err)
	if len(list.GetIssuers()) != 1 || list.GetNextPageToken() != "" {
		t.Errorf("listed %v", list)
	}
	_, err = admin.DeleteIssuer(ctx, &identityv1.DeleteIssuerRequest{Name: "issuers/okta"})
	must(t, err)
	_, err = admin.GetIssuer(ctx, &identityv1.GetIssuerRequest{Name: "issuers/okta"})
	refused(t, err, connect.CodeNotFound, "ISSUER_NOT_FOUND")
	refused(t, create("okta", func(i *identityv1.Issuer) {}), connect.CodeAlreadyExists, "ISSUER_EXISTS")
}

func TestUsers_LiveFromCreateToDelete(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	p.issuer(t, "okta")
	p.issuer(t, "dex")
	made := p.user(t, "okta", "auth0|ada")
	if made.GetName() != "users/okta~auth0=7cada" || made.GetIssuer() != "issuers/okta" || made.GetSubject() != "auth0|ada" || made.GetEtag() == "" {
		t.Errorf("created %v", made)
	}
	_, err := admin.CreateUser(ctx, &identityv1.CreateUserRequest{User: &identityv1.User{Issuer: "issuers/okta", Subject: "auth0|ada"}})
	refused(t, err, connect.CodeAlreadyExists, "USER_EXISTS")
	_, err = admin.CreateUser(ctx, &identityv1.CreateUserRequest{User: &identityv1.User{Issuer: "issuers/none", Subject: "x"}})
	refused(t, err, connect.CodeNotFound, "ISSUER_NOT_FOUND")
	for field, u := range map[string]*identityv1.User{
		"user.issuer":  {Subject: "x"},
		"user.subject": {Issuer: "issuers/okta", Subject: "a\nb"},
	} {
		_, err = admin.CreateUser(ctx, &identityv1.CreateUserRequest{User: u})
		if info := refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT"); info.GetMetadata()["field"] != field {
			t.Errorf("field %q, want %q", info.GetMetadata()["field"], field)
		}
	}
	p.user(t, "dex", "bob")
	disabled, err := admin.DisableUser(ctx, &identityv1.DisableUserRequest{Name: made.GetName()})
	must(t, err)
	if !disabled.GetDisabled() {
		t.Errorf("disabled %v", disabled)
	}
	names := func(req *identityv1.ListUsersRequest) (names []string) {
		for req.PageSize = 1; ; {
			res, err := admin.ListUsers(ctx, req)
			must(t, err)
			for _, u := range res.GetUsers() {
				names = append(names, u.GetName())
			}
			if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
				return names
			}
		}
	}
	for what, got := range map[string][]string{
		"users/dex~bob users/okta~auth0=7cada": names(&identityv1.ListUsersRequest{}),
		"users/dex~bob":                        names(&identityv1.ListUsersRequest{Issuer: "issuers/dex"}),
		"users/okta~auth0=7cada":               names(&identityv1.ListUsersRequest{DisabledOnly: true}),
	} {
		if strings.Join(got, " ") != what {
			t.Errorf("listed %v, want %s", got, what)
		}
	}
	p.give(t, "roles/auditor", made.GetName())
	_, err = admin.DeleteIssuer(ctx, &identityv1.DeleteIssuerRequest{Name: "issuers/okta"})
	refused(t, err, connect.CodeFailedPrecondition, "ISSUER_HAS_USERS")
	read, err := admin.GetUser(ctx, &identityv1.GetUserRequest{Name: made.GetName()})
	must(t, err)
	if !slices.Equal(read.GetRoles(), []string{"roles/auditor"}) {
		t.Errorf("holds %v", read.GetRoles())
	}
	_, err = admin.DeleteUser(ctx, &identityv1.DeleteUserRequest{Name: made.GetName(), Etag: disabled.GetEtag()})
	must(t, err)
	_, err = admin.GetUser(ctx, &identityv1.GetUserRequest{Name: made.GetName()})
	refused(t, err, connect.CodeNotFound, "USER_NOT_FOUND")
}

func TestRoles_AreGivenTakenAndListed(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	key, _ := p.team(t, "research")
	p.agent(t, "research", "planner")
	p.issuer(t, "okta")
	p.user(t, "okta", "ada")
	made, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/research", KeyId: "planner", Key: &identityv1.Key{Agent: "agents/planner"}})
	must(t, err)

	for _, tc := range []struct {
		role, member string
		code         connect.Code
		reason       string
	}{
		{"roles/king", "users/okta~ada", connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"roles/team-admin", "users/okta~ada", connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"roles/team-key", "users/okta~ada", connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"teams/research/roles/admin", "users/okta~ada", connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
		{"teams/none/roles/member", "users/okta~ada", connect.CodeNotFound, "TEAM_NOT_FOUND"},
		{"roles/auditor", "users/okta~eve", connect.CodeNotFound, "USER_NOT_FOUND"},
		{"roles/auditor", "agents/none", connect.CodeNotFound, "AGENT_NOT_FOUND"},
		{"roles/auditor", "teams/research/keys/none", connect.CodeNotFound, "KEY_NOT_FOUND"},
		{"roles/auditor", made.GetKey().GetName(), connect.CodeInvalidArgument, "INVALID_ARGUMENT"}, // it calls as the agent
		{"roles/auditor", "admin", connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
	} {
		_, err := admin.AddRoleMember(ctx, &identityv1.AddRoleMemberRequest{Role: tc.role, Member: tc.member})
		refused(t, err, tc.code, tc.reason)
	}

	p.give(t, "teams/research/roles/publisher", "users/okta~ada")
	p.give(t, "teams/research/roles/publisher", "agents/planner")
	p.give(t, "roles/auditor", key)
	holder, err := admin.AddRoleMember(ctx, &identityv1.AddRoleMemberRequest{Role: "roles/auditor", Member: "users/okta~ada"})
	must(t, err)
	if diff := cmp.Diff([]string{"roles/auditor", "teams/research/roles/publisher"}, holder.GetRoles()); diff != "" {
		t.Errorf("holds (-want +got):\n%s", diff)
	}
	list := func(parent, member string) (rows []string) {
		for token := ""; ; {
			res, err := admin.ListRoleMembers(ctx, &identityv1.ListRoleMembersRequest{Parent: parent, Member: member, PageSize: 1, PageToken: token})
			must(t, err)
			for _, m := range res.GetMembers() {
				rows = append(rows, m.GetRole()+" "+m.GetMember())
				if m.GetAuthor() != "admin" || m.GetCreateTime() == nil {
					t.Errorf("row %v; want who gave it and when", m)
				}
			}
			if token = res.GetNextPageToken(); token == "" {
				return rows
			}
		}
	}
	all := []string{
		"roles/auditor " + key, "roles/auditor users/okta~ada", "teams/research/roles/publisher agents/planner", "teams/research/roles/publisher users/okta~ada",
	}
	for _, tc := range []struct {
		parent, member string
		want           []string
	}{
		{"-", "", all},
		{"roles/-", "", all[:2]},
		{"roles/auditor", "", all[:2]},
		{"roles/admin", "", nil},
		{"teams/-/roles/-", "", all[2:]},
		{"teams/research/roles/publisher", "", all[2:]},
		{"teams/research/roles/member", "", nil},
		{"-", "users/okta~ada", []string{all[1], all[3]}},
	} {
		if diff := cmp.Diff(tc.want, list(tc.parent, tc.member)); diff != "" {
			t.Errorf("%s of %q (-want +got):\n%s", tc.parent, tc.member, diff)
		}
	}
	_, err = admin.ListRoleMembers(ctx, &identityv1.ListRoleMembersRequest{Parent: "teams/none/roles/-"})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")
	_, err = admin.ListRoleMembers(ctx, &identityv1.ListRoleMembersRequest{Parent: "roles/king"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")

	remove := func(role, member string) error {
		_, err := admin.RemoveRoleMember(ctx, &identityv1.RemoveRoleMemberRequest{Role: role, Member: member})
		return err
	}
	refused(t, remove("roles/auditor", key), connect.CodeFailedPrecondition, "LAST_ROLE")
	must(t, remove("roles/auditor", "users/okta~ada"))
	refused(t, remove("roles/auditor", "users/okta~ada"), connect.CodeNotFound, "ROLE_NOT_HELD")
	_, err = admin.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: made.GetKey().GetName()})
	must(t, err)
	_, err = admin.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: "agents/planner"})
	must(t, err)
	_, err = admin.GetKey(ctx, &identityv1.GetKeyRequest{Name: made.GetKey().GetName()})
	refused(t, err, connect.CodeNotFound, "KEY_NOT_FOUND")
}

func TestCreateKey_WithRolesAgentAndCertificates(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	p.team(t, "research")
	p.team(t, "other")
	p.agent(t, "research", "planner")
	p.agent(t, "other", "foreign")
	made, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{
		Parent: "teams/research", KeyId: "siem", Key: &identityv1.Key{CertificateNames: []string{"DNS:SIEM.example.org"}}, WithoutSecret: true,
		Roles: []string{"teams/research/roles/auditor", "roles/auditor"},
	})
	must(t, err)
	if k := made.GetKey(); made.GetSecret() != "" || k.GetSecretHint() != "" || !slices.Equal(k.GetCertificateNames(), []string{"DNS:siem.example.org"}) ||
		!slices.Equal(k.GetRoles(), []string{"roles/auditor", "teams/research/roles/auditor"}) {
		t.Errorf("created %v", made)
	}
	read, err := admin.GetKey(ctx, &identityv1.GetKeyRequest{Name: made.GetKey().GetName()})
	must(t, err)
	if diff := cmp.Diff(made.GetKey().GetRoles(), read.GetRoles()); diff != "" {
		t.Errorf("read (-made +read):\n%s", diff)
	}
	snap := p.follower.Current()
	if principal, err := snap.AuthenticateCertificate([]string{"DNS:siem.example.org"}, p.clock.Now()); err != nil || principal.Name != "teams/research/keys/siem" ||
		len(snap.Roles(principal.UID)) != 2 {
		t.Errorf("its certificate stands for %+v, %v", principal, err)
	}
	rotated, err := admin.RotateKey(ctx, &identityv1.RotateKeyRequest{Name: made.GetKey().GetName()})
	must(t, err)
	if rotated.GetSecret() == "" {
		t.Error("rotating a key without a secret gives it none")
	}
	for _, tc := range []struct {
		key    *identityv1.Key
		roles  []string
		no     bool // secret
		code   connect.Code
		reason string
		field  string
	}{
		{key: &identityv1.Key{}, no: true, code: connect.CodeInvalidArgument, reason: "INVALID_ARGUMENT", field: "without_secret"},
		{key: &identityv1.Key{CertificateNames: []string{"siem.example.org"}}, code: connect.CodeInvalidArgument, reason: "INVALID_ARGUMENT", field: "key.certificate_names"},
		{key: &identityv1.Key{CertificateNames: []string{"DNS:siem.example.org"}}, code: connect.CodeAlreadyExists, reason: "CERTIFICATE_NAME_USED"},
		{key: &identityv1.Key{Agent: "agents/none"}, code: connect.CodeNotFound, reason: "AGENT_NOT_FOUND"},
		{key: &identityv1.Key{Agent: "agents/foreign"}, code: connect.CodeInvalidArgument, reason: "INVALID_ARGUMENT", field: "key.agent"},
		{key: &identityv1.Key{Agent: "agents/planner"}, roles: []string{"roles/auditor"}, code: connect.CodeInvalidArgument, reason: "INVALID_ARGUMENT", field: "roles"},
		{roles: []string{"roles/king"}, code: connect.CodeInvalidArgument, reason: "INVALID_ARGUMENT", field: "roles"},
		{roles: []string{"teams/none/roles/member"}, code: connect.CodeNotFound, reason: "TEAM_NOT_FOUND"},
	} {
		_, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/research", KeyId: "x", Key: tc.key, Roles: tc.roles, WithoutSecret: tc.no})
		if info := refused(t, err, tc.code, tc.reason); info.GetMetadata()["field"] != tc.field {
			t.Errorf("%v names field %q, want %q", err, info.GetMetadata()["field"], tc.field)
		}
	}
	cleared, err := admin.UpdateKey(ctx, &identityv1.UpdateKeyRequest{
		Key: &identityv1.Key{Name: made.GetKey().GetName()}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"certificate_names"}},
	})
	must(t, err)
	if len(cleared.GetCertificateNames()) != 0 || len(cleared.GetRoles()) != 2 {
		t.Errorf("updated %v", cleared)
	}
}

func TestDisabledTeam_RefusesItsKeysAndItsAgentsAsCallers(t *testing.T) {
	p := newPlane(t)
	ctx, admin := t.Context(), p.admin()
	_, secret := p.team(t, "research")
	p.agent(t, "research", "planner")
	made, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/research", Key: &identityv1.Key{Agent: "agents/planner"}})
	must(t, err)
	set := func(disabled bool) {
		t.Helper()
		team, err := admin.UpdateTeam(ctx, &identityv1.UpdateTeamRequest{
			Team: &identityv1.Team{Name: "teams/research", Disabled: disabled}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
		})
		must(t, err)
		if team.GetDisabled() != disabled {
			t.Errorf("team %v", team)
		}
	}
	for _, disabled := range []bool{true, false} {
		set(disabled)
		want := ""
		if disabled {
			want = "TEAM_DISABLED"
		}
		for _, s := range []string{secret, made.GetSecret()} {
			_, err := p.as(s).GetTeam(ctx, &identityv1.GetTeamRequest{Name: "teams/research"})
			if got := infoOf(err).GetReason(); got != want && (disabled || got == "TEAM_DISABLED") {
				t.Errorf("disabled %t: %v", disabled, err)
			}
		}
	}
}

// What a team's admin may give stays within the team; others see neither roles nor users.
func TestRoles_OfATeamAreForItsAdmins(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	chief, chiefSecret := p.team(t, "research")
	p.give(t, "teams/research/roles/team-admin", chief)
	other, outsider := p.team(t, "other")
	p.issuer(t, "okta")
	p.user(t, "okta", "ada")
	admin := p.as(chiefSecret)
	_, err := admin.AddRoleMember(ctx, &identityv1.AddRoleMemberRequest{Role: "teams/research/roles/publisher", Member: "users/okta~ada"})
	must(t, err)
	list, err := admin.ListRoleMembers(ctx, &identityv1.ListRoleMembersRequest{Parent: "-"})
	must(t, err)
	if len(list.GetMembers()) != 2 {
		t.Errorf("listed %v, want the roles of the team", list.GetMembers())
	}
	made, err := admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/research", Roles: []string{"teams/research/roles/member"}})
	must(t, err)
	for _, tc := range []struct {
		as           clients
		role, member string
		code         connect.Code
		reason       string
	}{
		{admin, "roles/auditor", "users/okta~ada", connect.CodePermissionDenied, "PERMISSION_DENIED"},
		{admin, "teams/other/roles/publisher", chief, connect.CodeNotFound, "TEAM_NOT_FOUND"},
		{admin, "teams/research/roles/publisher", other, connect.CodeNotFound, "KEY_NOT_FOUND"},
		{p.as(outsider), "teams/research/roles/publisher", other, connect.CodeNotFound, "TEAM_NOT_FOUND"},
		{p.as(outsider), "teams/none/roles/publisher", other, connect.CodeNotFound, "TEAM_NOT_FOUND"},
		{p.as(made.GetSecret()), "roles/admin", made.GetKey().GetName(), connect.CodePermissionDenied, "PERMISSION_DENIED"},
	} {
		_, err := tc.as.AddRoleMember(ctx, &identityv1.AddRoleMemberRequest{Role: tc.role, Member: tc.member})
		refused(t, err, tc.code, tc.reason)
	}
	_, err = admin.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/research", Roles: []string{"roles/admin"}})
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
	_, err = p.as(outsider).ListRoleMembers(ctx, &identityv1.ListRoleMembersRequest{Parent: "teams/research/roles/-"})
	refused(t, err, connect.CodeNotFound, "TEAM_NOT_FOUND")
	_, err = p.as(outsider).ListUsers(ctx, &identityv1.ListUsersRequest{})
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
	_, err = p.as(outsider).GetUser(ctx, &identityv1.GetUserRequest{Name: "users/okta~ada"})
	refused(t, err, connect.CodeNotFound, "USER_NOT_FOUND")
	_, err = p.as(outsider).GetIssuer(ctx, &identityv1.GetIssuerRequest{Name: "issuers/okta"})
	refused(t, err, connect.CodeNotFound, "ISSUER_NOT_FOUND")
}
