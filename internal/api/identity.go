package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/emptypb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// identityHandler serves the IdentityService.
type identityHandler struct{ *api }

var _ identityv1connect.IdentityServiceHandler = identityHandler{}

// teamPlace and keyPlace are places in lists, as page tokens hold them.
type (
	teamPlace struct {
		Team string `json:"t"`
	}
	keyPlace struct {
		Team string `json:"t"`
		Key  string `json:"k"`
	}
)

// CreateTeam makes a team.
func (h identityHandler) CreateTeam(ctx context.Context, req *identityv1.CreateTeamRequest) (*identityv1.Team, error) {
	id := req.GetTeamId()
	// Whether such a team exists is no matter: who may not make one is told just that.
	if err := h.authorize(ctx, policy.CreateTeam, installation(), nil); err != nil {
		return nil, err
	}
	t, revision, err := h.identity.CreateTeam(ctx, interceptor.Principal(ctx).Name, id, req.GetTeam().GetDisplayName())
	if err != nil {
		return nil, err
	}
	recordChange(ctx, nil, teamToProto(t), revision)
	h.sync(ctx, revision)
	return teamToProto(t), nil
}

// GetTeam returns one team.
func (h identityHandler) GetTeam(ctx context.Context, req *identityv1.GetTeamRequest) (*identityv1.Team, error) {
	t, err := h.team(ctx, policy.GetTeam, req.GetName())
	if err != nil {
		return nil, err
	}
	return teamToProto(t), nil
}

// team returns a team to which the caller may do something.
func (h identityHandler) team(ctx context.Context, action policy.Action, name string) (identity.Team, error) {
	id := lastPart(name)
	if err := h.authorize(ctx, action, teamResource(id), hiddenTeam(id)); err != nil {
		return identity.Team{}, err
	}
	t, err := h.identity.Team(ctx, id)
	if errors.Is(err, identity.ErrTeamNotFound) {
		return identity.Team{}, hiddenTeam(id)
	}
	return t, err
}

// ListTeams returns a page of teams.
func (h identityHandler) ListTeams(ctx context.Context, req *identityv1.ListTeamsRequest) (*identityv1.ListTeamsResponse, error) {
	caller, list := interceptor.Principal(ctx), []string{"teams"}
	within, err := h.scopeOf(ctx, policy.ListTeams, policy.GetTeam, "teams")
	if err != nil {
		return nil, err
	}
	q := identity.TeamQuery{Team: within.only()}
	if req.GetPageToken() != "" {
		var place teamPlace
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
		q.After = place.Team
	}
	teams, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *identity.Team, limit int) ([]identity.Team, bool, error) {
		if q.Limit = limit; after != nil {
			q.After = after.ID
		}
		return h.identity.Teams(ctx, q)
	}, func(t *identity.Team) bool { return within.has(t.ID) && h.may(ctx, policy.GetTeam, teamResource(t.ID)) })
	if err != nil {
		return nil, err
	}
	res := &identityv1.ListTeamsResponse{Teams: make([]*identityv1.Team, len(teams))}
	for i, t := range teams {
		res.Teams[i] = teamToProto(t)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, teamPlace{Team: last.ID}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// UpdateTeam changes a team.
func (h identityHandler) UpdateTeam(ctx context.Context, req *identityv1.UpdateTeamRequest) (*identityv1.Team, error) {
	if req.GetTeam().GetName() == "" {
		return nil, errNameMissing("team.name", "teams/demo")
	}
	fields, err := maskFields(req.GetUpdateMask(), req.GetTeam(), []string{"display_name", "disabled"})
	if err != nil {
		return nil, err
	}
	was, is, revision, err := h.teamVersion(ctx, policy.UpdateTeam, req.GetTeam().GetName(), req.GetTeam().GetEtag()).write(
		func(t identity.Team, etag string) (identity.Team, int64, error) {
			return h.identity.UpdateTeam(ctx, interceptor.Principal(ctx).Name, t.UID, identity.TeamUpdate{
				DisplayName: when(fields["display_name"], req.GetTeam().GetDisplayName()),
				Disabled:    when(fields["disabled"], req.GetTeam().GetDisabled()), Etag: etag,
			})
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, teamToProto(was), teamToProto(is), revision)
	confirmed := h.rollOut(ctx, revision)
	out := teamToProto(is)
	out.Rollout = confirmed
	return out, nil
}

// teamVersion ties a write to the version of a team that the caller may change.
func (h identityHandler) teamVersion(ctx context.Context, action policy.Action, name, etag string) versions[identity.Team] {
	return versions[identity.Team]{
		etag: etag, mismatch: identity.ErrEtagMismatch, of: func(t identity.Team) string { return t.Etag },
		read: func() (identity.Team, error) { return h.team(ctx, action, name) },
	}
}

// DeleteTeam removes a team.
func (h identityHandler) DeleteTeam(ctx context.Context, req *identityv1.DeleteTeamRequest) (*emptypb.Empty, error) {
	was, _, revision, err := h.teamVersion(ctx, policy.DeleteTeam, req.GetName(), req.GetEtag()).write(func(t identity.Team, etag string) (identity.Team, int64, error) {
		revision, err := h.identity.DeleteTeam(ctx, interceptor.Principal(ctx).Name, t.UID, etag)
		return identity.Team{}, revision, err
	})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, teamToProto(was), nil, revision)
	h.rollOut(ctx, revision) // which sets the header: there is no room in the message
	return &emptypb.Empty{}, nil
}

// CreateKey makes a key.
func (h identityHandler) CreateKey(ctx context.Context, req *identityv1.CreateKeyRequest) (*identityv1.CreateKeyResponse, error) {
	team := lastPart(req.GetParent())
	if err := h.authorize(ctx, policy.CreateKey, teamResource(team), hiddenTeam(team)); err != nil {
		return nil, err
	}
	in := req.GetKey()
	if len(in.GetCertificateNames()) > 0 {
		if err := h.authorize(ctx, policy.SetCertificateNames, teamResource(team), hiddenTeam(team)); err != nil {
			return nil, err
		}
	}
	roles, err := h.rolesOfKey(ctx, req.GetRoles())
	if err != nil {
		return nil, err
	}
	if in.GetAgent() != "" {
		agent, err := registryHandler(h).agent(ctx, policy.UpdateAgent, in.GetAgent())
		if err != nil {
			return nil, err
		}
		if err := h.mayBecome(ctx, in.GetAgent(), h.snapshot().Roles(agent.UID)); err != nil {
			return nil, err
		}
	}
	k, secret, revision, err := h.identity.CreateKey(ctx, interceptor.Principal(ctx).Name, identity.KeyDraft{
		Team: team, ID: req.GetKeyId(), DisplayName: in.GetDisplayName(), Disabled: in.GetDisabled(), ExpireTime: timeOf(in.GetExpireTime()),
		Agent: lastPart(in.GetAgent()), CertificateNames: in.GetCertificateNames(), WithoutSecret: req.GetWithoutSecret(), Roles: roles,
	})
	switch {
	case errors.Is(err, identity.ErrTeamNotFound):
		return nil, hiddenTeam(team)
	case errors.Is(err, registry.ErrAgentNotFound):
		return nil, &invalidError{field: "key.agent", problem: "is no agent of " + req.GetParent()}
	case err != nil:
		return nil, err
	}
	recordChange(ctx, nil, keyToProto(k, h.clock.Now()), revision)
	h.sync(ctx, revision)
	return &identityv1.CreateKeyResponse{Key: keyToProto(k, h.clock.Now()), Secret: secret}, nil
}

// rolesOfKey reads the roles of a new key, each of which the caller may give.
func (h identityHandler) rolesOfKey(ctx context.Context, names []string) ([]identity.RoleIn, error) {
	var roles []identity.RoleIn
	for _, name := range names {
		r, err := assignable("roles", name)
		if err != nil {
			return nil, err
		}
		if err := h.authorizeRole(ctx, policy.AddRoleMember, r); err != nil {
			return nil, err
		}
		if r.Team != "" {
			if _, err := h.identity.Team(ctx, r.Team); errors.Is(err, identity.ErrTeamNotFound) {
				return nil, hiddenTeam(r.Team)
			} else if err != nil {
				return nil, err
			}
		}
		roles = append(roles, r)
	}
	return roles, nil
}

// mayBecome tells whether the caller may have a credential made with which it could call
// as somebody who holds roles: only who may give each of the roles may.
func (h identityHandler) mayBecome(ctx context.Context, name string, roles []identity.RoleIn) error {
	for _, r := range roles {
		permitted, err := h.decide(ctx, policy.AddRoleMember, roleResource(r.Role, r.Team))
		if err != nil {
			return err
		}
		if !permitted {
			return denied(ctx, policy.AddRoleMember, roleResource(r.Role, r.Team),
				name+" holds "+r.Name()+", which you may not give: so you may not make a credential for it either")
		}
	}
	return nil
}

// mayBecomeKey is mayBecome for a key, or the agent that it calls as.
func (h identityHandler) mayBecomeKey(ctx context.Context, k *identity.Key) error {
	if caller := interceptor.Principal(ctx); caller.Key == k.UID {
		return nil // it is that already
	}
	if k.AgentUID != uuid.Nil {
		return h.mayBecome(ctx, k.Name(), h.snapshot().Roles(k.AgentUID))
	}
	return h.mayBecome(ctx, k.Name(), k.Roles)
}

// GetKey returns one key.
func (h identityHandler) GetKey(ctx context.Context, req *identityv1.GetKeyRequest) (*identityv1.Key, error) {
	k, err := h.key(ctx, policy.GetKey, req.GetName())
	if err != nil {
		return nil, err
	}
	return keyToProto(k, h.clock.Now()), nil
}

// key returns a key to which the caller may do something.
func (h identityHandler) key(ctx context.Context, action policy.Action, name string) (identity.Key, error) {
	hidden := &hiddenError{resource: name, cause: identity.ErrKeyNotFound}
	team, id := keyParts(name)
	k, err := h.identity.Key(ctx, team, id)
	if errors.Is(err, identity.ErrKeyNotFound) {
		return identity.Key{}, hidden
	}
	if err != nil {
		return identity.Key{}, err
	}
	return k, h.authorize(ctx, action, keyResource(team, id, k.Disabled), hidden)
}

// ListKeys returns a page of keys.
func (h identityHandler) ListKeys(ctx context.Context, req *identityv1.ListKeysRequest) (*identityv1.ListKeysResponse, error) {
	caller, list := interceptor.Principal(ctx), []string{"keys", req.GetParent()}
	var q identity.KeyQuery
	within := scope{all: true} // where the parent says it already
	if parent := lastPart(req.GetParent()); parent != "-" {
		if err := h.authorize(ctx, policy.ListKeys, teamResource(parent), hiddenTeam(parent)); err != nil {
			return nil, err
		}
		if _, err := h.identity.Team(ctx, parent); errors.Is(err, identity.ErrTeamNotFound) {
			return nil, hiddenTeam(parent)
		} else if err != nil {
			return nil, err
		}
		q.Team = parent
	} else {
		var err error
		if within, err = h.listScope(ctx, policy.ListKeys, "keys"); err != nil {
			return nil, err
		}
		q.Team = within.only()
	}
	if req.GetPageToken() != "" {
		var place keyPlace
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
		q.AfterTeam, q.AfterKey = place.Team, place.Key
	}
	keys, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *identity.Key, limit int) ([]identity.Key, bool, error) {
		if q.Limit = limit; after != nil {
			q.AfterTeam, q.AfterKey = after.Team, after.ID
		}
		return h.identity.Keys(ctx, q)
	}, func(k *identity.Key) bool {
		return within.has(k.Team) && h.may(ctx, policy.GetKey, keyResource(k.Team, k.ID, k.Disabled))
	})
	if err != nil {
		return nil, err
	}
	now := h.clock.Now()
	res := &identityv1.ListKeysResponse{Keys: make([]*identityv1.Key, len(keys))}
	for i, k := range keys {
		res.Keys[i] = keyToProto(k, now)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, keyPlace{Team: last.Team, Key: last.ID}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// UpdateKey changes a key.
func (h identityHandler) UpdateKey(ctx context.Context, req *identityv1.UpdateKeyRequest) (*identityv1.Key, error) {
	if req.GetKey().GetName() == "" {
		return nil, errNameMissing("key.name", "teams/demo/keys/laptop")
	}
	fields, err := maskFields(req.GetUpdateMask(), req.GetKey(), []string{"display_name", "disabled", "expire_time", "certificate_names"})
	if err != nil {
		return nil, err
	}
	return h.updateKey(ctx, policy.UpdateKey, req.GetKey().GetName(), identity.KeyUpdate{
		DisplayName: when(fields["display_name"], req.GetKey().GetDisplayName()),
		Disabled:    when(fields["disabled"], req.GetKey().GetDisabled()),
		ExpireTime:  when(fields["expire_time"], timeOf(req.GetKey().GetExpireTime())),

		CertificateNames: when(fields["certificate_names"], req.GetKey().GetCertificateNames()),
		Etag:             req.GetKey().GetEtag(),
	})
}

// DisableKey makes a key useless.
func (h identityHandler) DisableKey(ctx context.Context, req *identityv1.DisableKeyRequest) (*identityv1.Key, error) {
	return h.updateKey(ctx, policy.DisableKey, req.GetName(), identity.KeyUpdate{Disabled: when(true, true)})
}

func (h identityHandler) updateKey(ctx context.Context, action policy.Action, name string, u identity.KeyUpdate) (*identityv1.Key, error) {
	was, is, revision, err := versions[identity.Key]{
		etag: u.Etag, mismatch: identity.ErrEtagMismatch, of: func(k identity.Key) string { return k.Etag },
		read: func() (identity.Key, error) { return h.key(ctx, action, name) },
	}.write(func(k identity.Key, etag string) (identity.Key, int64, error) {
		if u.CertificateNames != nil {
			if err := h.authorize(ctx, policy.SetCertificateNames, keyResource(k.Team, k.ID, k.Disabled), identity.ErrKeyNotFound); err != nil {
				return identity.Key{}, 0, err
			}
			if err := h.mayBecomeKey(ctx, &k); err != nil {
				return identity.Key{}, 0, err
			}
		}
		u.Etag = etag
		return h.identity.UpdateKey(ctx, interceptor.Principal(ctx).Name, k.UID, u)
	})
	if err != nil {
		return nil, err
	}
	return h.changed(ctx, was, is, revision), nil
}

// RotateKey gives a key a new secret.
func (h identityHandler) RotateKey(ctx context.Context, req *identityv1.RotateKeyRequest) (*identityv1.RotateKeyResponse, error) {
	was, err := h.key(ctx, policy.RotateKey, req.GetName())
	if err != nil {
		return nil, err
	}
	if err := h.mayBecomeKey(ctx, &was); err != nil {
		return nil, err
	}
	is, secret, revision, err := h.identity.RotateKey(ctx, interceptor.Principal(ctx).Name, was.UID, req.GetOverlap().AsDuration())
	if err != nil {
		return nil, err
	}
	return &identityv1.RotateKeyResponse{Key: h.changed(ctx, was, is, revision), Secret: secret}, nil
}

// changed is a key as it stands in the answer to a change of it.
func (h identityHandler) changed(ctx context.Context, was, is identity.Key, revision int64) *identityv1.Key {
	now := h.clock.Now()
	recordChange(ctx, keyToProto(was, now), keyToProto(is, now), revision)
	confirmed := h.rollOut(ctx, revision)
	out := keyToProto(is, h.clock.Now())
	out.Rollout = confirmed
	return out
}
