package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/emptypb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// checkMappings refuses mappings to roles that cannot be given, and to those that the
// caller may not give: whose tokens are believed would give them to itself.
func (h identityHandler) checkMappings(ctx context.Context, mappings []identity.ClaimMapping) error {
	for n, m := range mappings {
		r := identity.RoleIn{Role: m.Role, Team: m.Team}
		switch {
		case m.Role != "":
			if err := policy.Role(m.Role).Assignable(m.Team != ""); err != nil {
				return &invalidError{field: fmt.Sprintf("issuer.claim_mappings[%d].role", n), problem: err.Error()}
			}
		case m.Team != "":
			r.Role = string(policy.RoleNameMember)
		default:
			continue // which gives nothing, and is refused for that
		}
		permitted, err := h.decide(ctx, policy.AddRoleMember, roleResource(r.Role, r.Team))
		if err != nil {
			return err
		}
		if !permitted {
			return denied(ctx, policy.AddRoleMember, roleResource(r.Role, r.Team),
				"tokens of this issuer would give "+r.Name()+", which you may not give; ask an admin of the installation")
		}
	}
	return nil
}

// newMappings returns the mappings of an issuer that an update is to answer for: those that
// it brings, and all of them when it changes who signs tokens, or for whom.
func newMappings(was *identity.Issuer, u *identity.IssuerUpdate) []identity.ClaimMapping {
	mappings := was.Mappings
	if u.Mappings != nil {
		mappings = *u.Mappings
	}
	if changesTrust(u) {
		return mappings
	}
	return slices.DeleteFunc(slices.Clone(mappings), func(m identity.ClaimMapping) bool { return slices.Contains(was.Mappings, m) })
}

// changesTrust tells whether an update changes who signs tokens, or for whom.
func changesTrust(u *identity.IssuerUpdate) bool {
	return u.URL != nil || u.JWKS != nil || u.JWKSURL != nil || u.Audiences != nil || u.Algorithms != nil
}

// checkUsers refuses a change of who signs an issuer's tokens to callers who may not give
// what its users hold: the new keys could sign tokens of any of them.
func (h identityHandler) checkUsers(ctx context.Context, i *identity.Issuer) error {
	snap := h.snapshot()
	var held []identity.RoleIn
	snap.EachUser(func(u *identity.User) bool {
		if u.IssuerUID == i.UID {
			for _, r := range snap.Roles(u.UID) {
				if !slices.Contains(held, r) {
					held = append(held, r)
				}
			}
		}
		return true
	})
	return h.mayBecome(ctx, "a user of "+i.Name(), held)
}

// CreateIssuer makes an issuer.
func (h identityHandler) CreateIssuer(ctx context.Context, req *identityv1.CreateIssuerRequest) (*identityv1.Issuer, error) {
	if err := h.authorize(ctx, policy.CreateIssuer, installation(), nil); err != nil {
		return nil, err
	}
	in := req.GetIssuer()
	if err := h.checkMappings(ctx, mappingsOf(in.GetClaimMappings())); err != nil {
		return nil, err
	}
	d := identity.IssuerDraft{
		DisplayName: in.GetDisplayName(), Disabled: in.GetDisabled(), URL: in.GetUrl(), JWKS: in.GetJwks(), JWKSURL: in.GetJwksUrl(),
		Audiences: in.GetAudiences(), Algorithms: in.GetAlgorithms(), Skew: identity.DefaultSkew, NameClaim: in.GetNameClaim(),
		EmailClaim: in.GetEmailClaim(), Mappings: mappingsOf(in.GetClaimMappings()),
	}
	if in.GetSkew() != nil {
		d.Skew = in.GetSkew().AsDuration()
	}
	i, revision, err := h.identity.CreateIssuer(ctx, interceptor.Principal(ctx).Name, req.GetIssuerId(), d)
	if err != nil {
		return nil, err
	}
	recordChange(ctx, nil, issuerToProto(i), revision)
	h.sync(ctx, revision)
	return issuerToProto(i), nil
}

// GetIssuer returns one issuer.
func (h identityHandler) GetIssuer(ctx context.Context, req *identityv1.GetIssuerRequest) (*identityv1.Issuer, error) {
	i, err := h.issuer(ctx, policy.GetIssuer, req.GetName())
	if err != nil {
		return nil, err
	}
	return issuerToProto(i), nil
}

// issuer returns an issuer to which the caller may do something.
func (h identityHandler) issuer(ctx context.Context, action policy.Action, name string) (identity.Issuer, error) {
	hidden := &hiddenError{resource: name, cause: identity.ErrIssuerNotFound}
	if err := h.authorize(ctx, action, issuerResource(lastPart(name)), hidden); err != nil {
		return identity.Issuer{}, err
	}
	i, err := h.identity.Issuer(ctx, lastPart(name))
	if errors.Is(err, identity.ErrIssuerNotFound) {
		return identity.Issuer{}, hidden
	}
	return i, err
}

// ListIssuers returns a page of issuers.
func (h identityHandler) ListIssuers(ctx context.Context, req *identityv1.ListIssuersRequest) (*identityv1.ListIssuersResponse, error) {
	if err := h.authorize(ctx, policy.ListIssuers, installation(), nil); err != nil {
		return nil, err
	}
	caller, list := interceptor.Principal(ctx), []string{"issuers"}
	var q identity.IssuerQuery
	if req.GetPageToken() != "" {
		var place idPlace
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
		q.After = place.ID
	}
	issuers, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *identity.Issuer, limit int) ([]identity.Issuer, bool, error) {
		if q.Limit = limit; after != nil {
			q.After = after.ID
		}
		return h.identity.Issuers(ctx, q)
	}, func(i *identity.Issuer) bool { return h.may(ctx, policy.GetIssuer, issuerResource(i.ID)) })
	if err != nil {
		return nil, err
	}
	res := &identityv1.ListIssuersResponse{Issuers: make([]*identityv1.Issuer, len(issuers))}
	for n, i := range issuers {
		res.Issuers[n] = issuerToProto(i)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, idPlace{ID: last.ID}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// updatableIssuerFields returns the fields of an issuer that an update can change.
func updatableIssuerFields() []string {
	return []string{
		"display_name", "disabled", "url", "jwks", "jwks_url", "audiences", "algorithms", "skew", "name_claim", "email_claim", "claim_mappings",
	}
}

// UpdateIssuer changes an issuer.
func (h identityHandler) UpdateIssuer(ctx context.Context, req *identityv1.UpdateIssuerRequest) (*identityv1.Issuer, error) {
	in := req.GetIssuer()
	if in.GetName() == "" {
		return nil, errNameMissing("issuer.name", "issuers/okta")
	}
	fields, err := maskFields(req.GetUpdateMask(), in, updatableIssuerFields())
	if err != nil {
		return nil, err
	}
	u := identity.IssuerUpdate{
		DisplayName: when(fields["display_name"], in.GetDisplayName()), Disabled: when(fields["disabled"], in.GetDisabled()),
		URL: when(fields["url"], in.GetUrl()), JWKS: when(fields["jwks"], in.GetJwks()), JWKSURL: when(fields["jwks_url"], in.GetJwksUrl()),
		Audiences: when(fields["audiences"], in.GetAudiences()), Algorithms: when(fields["algorithms"], in.GetAlgorithms()),
		Skew: when(fields["skew"], identity.DefaultSkew), NameClaim: when(fields["name_claim"], in.GetNameClaim()),
		EmailClaim: when(fields["email_claim"], in.GetEmailClaim()), Mappings: when(fields["claim_mappings"], mappingsOf(in.GetClaimMappings())),
	}
	if u.Skew != nil && in.GetSkew() != nil {
		*u.Skew = in.GetSkew().AsDuration()
	}
	was, is, revision, err := h.issuerVersion(ctx, policy.UpdateIssuer, in.GetName(), in.GetEtag()).write(
		func(i identity.Issuer, etag string) (identity.Issuer, int64, error) {
			// Not before the decision: who may not change it is told nothing else.
			if err := h.checkMappings(ctx, newMappings(&i, &u)); err != nil {
				return identity.Issuer{}, 0, err
			}
			if changesTrust(&u) {
				if err := h.checkUsers(ctx, &i); err != nil {
					return identity.Issuer{}, 0, err
				}
			}
			u.Etag = etag
			return h.identity.UpdateIssuer(ctx, interceptor.Principal(ctx).Name, i.UID, u)
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, issuerToProto(was), issuerToProto(is), revision)
	confirmed := h.rollOut(ctx, revision)
	out := issuerToProto(is)
	out.Rollout = confirmed
	return out, nil
}

// issuerVersion ties a write to the version of an issuer that the caller may change.
func (h identityHandler) issuerVersion(ctx context.Context, action policy.Action, name, etag string) versions[identity.Issuer] {
	return versions[identity.Issuer]{
		etag: etag, mismatch: identity.ErrEtagMismatch, of: func(i identity.Issuer) string { return i.Etag },
		read: func() (identity.Issuer, error) { return h.issuer(ctx, action, name) },
	}
}

// DeleteIssuer removes an issuer.
func (h identityHandler) DeleteIssuer(ctx context.Context, req *identityv1.DeleteIssuerRequest) (*emptypb.Empty, error) {
	was, _, revision, err := h.issuerVersion(ctx, policy.DeleteIssuer, req.GetName(), req.GetEtag()).write(
		func(i identity.Issuer, etag string) (identity.Issuer, int64, error) {
			revision, err := h.identity.DeleteIssuer(ctx, interceptor.Principal(ctx).Name, i.UID, etag)
			return identity.Issuer{}, revision, err
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, issuerToProto(was), nil, revision)
	h.rollOut(ctx, revision)
	return &emptypb.Empty{}, nil
}
