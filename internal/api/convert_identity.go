package api

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

func teamToProto(t identity.Team) *identityv1.Team {
	return &identityv1.Team{
		Name: t.Name(), Uid: t.UID.String(), DisplayName: t.DisplayName, Disabled: t.Disabled, Etag: t.Etag,
		CreateTime: timestamp(t.CreateTime), UpdateTime: timestamp(t.UpdateTime),
	}
}

func keyToProto(k identity.Key, now time.Time) *identityv1.Key {
	out := &identityv1.Key{
		Name: k.Name(), Uid: k.UID.String(), CertificateNames: k.CertificateNames, Roles: roleNames(k.Roles),
		DisplayName: k.DisplayName, SecretHint: k.SecretHint, Disabled: k.Disabled,
		ExpireTime: timestamp(k.ExpireTime), LastUsedTime: timestamp(k.LastUsed), Etag: k.Etag,
		CreateTime: timestamp(k.CreateTime), UpdateTime: timestamp(k.UpdateTime),
	}
	if k.Agent != "" {
		out.Agent = "agents/" + k.Agent
	}
	if expiry, ok := k.PreviousSecretExpiry(now); ok {
		out.PreviousSecretExpireTime = timestamp(expiry)
	}
	return out
}

func userToProto(u identity.User) *identityv1.User {
	return &identityv1.User{
		Name: u.Name(), Uid: u.UID.String(), Issuer: identity.IssuerName(u.Issuer), Subject: u.Subject, DisplayName: u.DisplayName,
		Email: u.Email, Disabled: u.Disabled, Roles: roleNames(u.Roles), LastUsedTime: timestamp(u.LastUsed), Etag: u.Etag,
		CreateTime: timestamp(u.CreateTime), UpdateTime: timestamp(u.UpdateTime),
	}
}

func issuerToProto(i identity.Issuer) *identityv1.Issuer {
	out := &identityv1.Issuer{
		Name: i.Name(), Uid: i.UID.String(), DisplayName: i.DisplayName, Disabled: i.Disabled, Url: i.URL, Jwks: i.JWKS, JwksUrl: i.JWKSURL,
		Audiences: i.Audiences, Algorithms: i.Algorithms, Skew: durationpb.New(i.Skew), NameClaim: i.NameClaim, EmailClaim: i.EmailClaim,
		Etag: i.Etag, CreateTime: timestamp(i.CreateTime), UpdateTime: timestamp(i.UpdateTime),
	}
	for _, m := range i.Mappings {
		out.ClaimMappings = append(out.ClaimMappings, &identityv1.ClaimMapping{
			Claim: m.Claim, Value: m.Value, Team: identity.TeamName(m.Team), Role: m.Role,
		})
	}
	return out
}

func mappingsOf(in []*identityv1.ClaimMapping) []identity.ClaimMapping {
	out := make([]identity.ClaimMapping, 0, len(in))
	for _, m := range in {
		out = append(out, identity.ClaimMapping{Claim: m.GetClaim(), Value: m.GetValue(), Team: lastPart(m.GetTeam()), Role: m.GetRole()})
	}
	return out
}

func memberToProto(m identity.RoleMember) *identityv1.RoleMember {
	return &identityv1.RoleMember{Role: m.Role.Name(), Member: m.Member, Author: m.Author, CreateTime: timestamp(m.CreateTime)}
}

func holderToProto(name string, roles []identity.RoleIn) *identityv1.RoleHolder {
	return &identityv1.RoleHolder{Name: name, Roles: roleNames(roles)}
}

func roleNames(roles []identity.RoleIn) []string {
	if len(roles) == 0 {
		return nil
	}
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.Name()
	}
	return names
}
