package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// rolesDocument is, in the history, all that a principal holds.
type rolesDocument struct {
	Principal string            `json:"principal"`
	Roles     []identity.RoleIn `json:"roles"`
}

// rolesChange is the change from some roles of a principal to others.
func rolesChange(author string, h identity.Holder, before, after []identity.RoleIn, at time.Time) change {
	c := change{kind: "roles", verb: "update", uid: h.UID, name: h.Name, author: author, at: at}
	if len(before) > 0 {
		c.before = rolesDocument{Principal: h.Name, Roles: before}
	} else {
		c.verb = "create"
	}
	if len(after) > 0 {
		c.after = rolesDocument{Principal: h.Name, Roles: after}
	} else {
		c.verb = "delete"
	}
	return c
}

// principalKind is a kind of principal as it is stored.
func principalKind(k identity.Kind) string {
	switch k {
	case identity.KindKey:
		return "key"
	case identity.KindUser:
		return "user"
	case identity.KindAgent:
		return "agent"
	case identity.KindAnonymous, identity.KindAdmin:
	}
	return "" // which a CHECK refuses
}

// Holder implements [identity.RoleStore].
func (s *Store) Holder(ctx context.Context, name string) (identity.Holder, error) {
	h := identity.Holder{Name: name}
	collection, id, _ := strings.Cut(name, "/")
	switch collection {
	case "users":
		u, err := s.User(ctx, id)
		h.Kind, h.UID = identity.KindUser, u.UID
		return h, err
	case "agents":
		row, err := s.queries.RoleMemberAgent(ctx, s.pool, id)
		h.Kind, h.UID = identity.KindAgent, row.UID
		if errors.Is(err, pgx.ErrNoRows) {
			return identity.Holder{}, registry.ErrAgentNotFound
		}
		return h, fault(err)
	case "teams":
		team, key, _ := strings.Cut(id, "/keys/")
		k, err := s.Key(ctx, team, key)
		h.Kind, h.UID, h.Agent = identity.KindKey, k.UID, k.Agent
		return h, err
	}
	return identity.Holder{}, identity.ErrUserNotFound
}

// holderIsThere fails when a holder was deleted.
func (s *Store) holderIsThere(ctx context.Context, tx pgx.Tx, h identity.Holder) error {
	var err, gone error
	switch h.Kind {
	case identity.KindKey:
		gone = identity.ErrKeyNotFound
		_, err = s.queries.KeyGetByUID(ctx, tx, h.UID)
	case identity.KindAgent:
		gone = registry.ErrAgentNotFound
		_, err = s.queries.RoleMemberAgentByUID(ctx, tx, h.UID)
	default:
		gone = identity.ErrUserNotFound
		_, err = s.queries.UserGetByUID(ctx, tx, h.UID)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return gone
	}
	return err
}

// AddRole implements [identity.RoleStore].
func (s *Store) AddRole(ctx context.Context, author string, h identity.Holder, r identity.RoleIn) (identity.RoleWrite, error) {
	return s.changeRoles(ctx, author, h, func(held []identity.RoleIn) (give, take []identity.RoleIn, err error) {
		if slices.Contains(held, r) {
			return nil, nil, nil
		}
		return []identity.RoleIn{r}, nil, nil
	})
}

// RemoveRole implements [identity.RoleStore].
func (s *Store) RemoveRole(ctx context.Context, author string, h identity.Holder, r identity.RoleIn) (identity.RoleWrite, error) {
	return s.changeRoles(ctx, author, h, func(held []identity.RoleIn) (give, take []identity.RoleIn, err error) {
		switch {
		case !slices.Contains(held, r):
			return nil, nil, identity.ErrRoleNotHeld
		case len(held) == 1 && h.Kind == identity.KindKey:
			return nil, nil, identity.ErrLastRole
		}
		return nil, []identity.RoleIn{r}, nil
	})
}

// changeRoles gives and takes the roles that edit says, knowing what is held.
func (s *Store) changeRoles(
	ctx context.Context, author string, h identity.Holder, edit func(held []identity.RoleIn) (give, take []identity.RoleIn, err error),
) (identity.RoleWrite, error) {
	var w identity.RoleWrite
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		if err := s.holderIsThere(ctx, tx, h); err != nil {
			return change{}, err
		}
		held, err := s.rolesOf(ctx, tx, []uuid.UUID{h.UID})
		if err != nil {
			return change{}, err
		}
		w = identity.RoleWrite{Before: held[h.UID], After: held[h.UID]}
		give, take, err := edit(w.Before)
		if err != nil {
			return change{}, err
		}
		if len(give)+len(take) == 0 {
			return change{}, errUnchanged
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		if err := s.writeRoles(ctx, tx, author, h, give, take, now); err != nil {
			return change{}, err
		}
		w.After = slices.DeleteFunc(slices.Concat(w.Before, give), func(r identity.RoleIn) bool { return slices.Contains(take, r) })
		slices.SortFunc(w.After, identity.RoleIn.Compare)
		return rolesChange(author, h, w.Before, w.After, now), nil
	})
	w.Revision = revision
	return w, err
}

// giveRoles gives a new principal its roles, under a revision of their own, and returns
// that.
func (s *Store) giveRoles(
	ctx context.Context, tx pgx.Tx, author string, h identity.Holder, roles []identity.RoleIn, at time.Time,
) (int64, error) {
	if err := s.writeRoles(ctx, tx, author, h, roles, nil, at); err != nil {
		return 0, err
	}
	return s.also(ctx, tx, rolesChange(author, h, nil, roles, at))
}

// writeRoles stores which roles are given and taken.
func (s *Store) writeRoles(
	ctx context.Context, tx pgx.Tx, author string, h identity.Holder, give, take []identity.RoleIn, at time.Time,
) error {
	team := func(id string) (*uuid.UUID, error) {
		if id == "" {
			return nil, nil
		}
		row, err := s.queries.TeamGet(ctx, tx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, identity.ErrTeamNotFound
		}
		if err != nil {
			return nil, fmt.Errorf("read team: %w", err)
		}
		return &row.UID, nil
	}
	for _, r := range give {
		in, err := team(r.Team)
		if err != nil {
			return err
		}
		err = s.queries.RoleMemberInsert(ctx, tx, dbsqlc.RoleMemberInsertParams{
			PrincipalUID: h.UID, PrincipalKind: principalKind(h.Kind), RoleName: r.Role, TeamUID: in, Author: author, CreateTime: at,
		})
		if err != nil {
			return fmt.Errorf("store role: %w", err)
		}
	}
	for _, r := range take {
		in, err := team(r.Team)
		if err != nil {
			return err
		}
		err = s.queries.RoleMemberDelete(ctx, tx, dbsqlc.RoleMemberDeleteParams{PrincipalUID: h.UID, RoleName: r.Role, TeamUID: in})
		if err != nil {
			return fmt.Errorf("remove role: %w", err)
		}
	}
	return nil
}

// dropRoles takes all roles from principals that are gone, each with a revision of its
// own, and returns the last one, or the one given when they hold none.
func (s *Store) dropRoles(
	ctx context.Context, tx pgx.Tx, author string, holders []identity.Holder, revision int64, at time.Time,
) (int64, error) {
	uids := make([]uuid.UUID, len(holders))
	for i, h := range holders {
		uids[i] = h.UID
	}
	held, err := s.rolesOf(ctx, tx, uids)
	if err != nil || len(held) == 0 {
		return revision, err
	}
	for _, h := range holders {
		if len(held[h.UID]) == 0 {
			continue
		}
		if revision, err = s.also(ctx, tx, rolesChange(author, h, held[h.UID], nil, at)); err != nil {
			return 0, err
		}
	}
	if err := s.queries.RoleMemberDeleteAll(ctx, tx, uids); err != nil {
		return 0, fmt.Errorf("remove roles: %w", err)
	}
	return revision, nil
}

// rolesOf returns what principals hold, in order; those that hold nothing are not there.
func (s *Store) rolesOf(ctx context.Context, db dbsqlc.DBTX, principals []uuid.UUID) (map[uuid.UUID][]identity.RoleIn, error) {
	held := map[uuid.UUID][]identity.RoleIn{}
	if len(principals) == 0 {
		return held, nil
	}
	rows, err := s.queries.RoleMemberSnapshotOf(ctx, db, principals)
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	for _, row := range rows {
		held[row.PrincipalUID] = append(held[row.PrincipalUID], identity.RoleIn{Role: row.RoleName, Team: row.TeamID})
	}
	return held, nil
}

// RoleMembers implements [identity.RoleStore].
func (s *Store) RoleMembers(ctx context.Context, q identity.RoleQuery) ([]identity.RoleMember, error) {
	p := dbsqlc.RoleMemberListParams{
		PrincipalUID: q.Holder, OnlyTeam: onlyTeam(q.Team), Everywhere: q.Everywhere, InTeams: q.InTeams,
		AfterTeam: q.After.Role.Team, AfterRole: q.After.Role.Role, AfterMember: q.After.Member, MaxRows: rowLimit(q.Limit),
	}
	if q.Role != "" {
		p.OnlyRole = &q.Role
	}
	rows, err := s.queries.RoleMemberList(ctx, s.pool, p)
	if err != nil {
		return nil, fault(err)
	}
	members := make([]identity.RoleMember, len(rows))
	for i, row := range rows {
		members[i] = identity.RoleMember{
			Role: identity.RoleIn{Role: row.RoleName, Team: row.TeamID}, Member: row.Member, Author: row.Author, CreateTime: row.CreateTime.UTC(),
		}
	}
	return members, nil
}
