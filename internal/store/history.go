package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// RevisionAt implements [admin.HistoryStore].
func (s *Store) RevisionAt(ctx context.Context, t time.Time) (int64, error) {
	revision, err := s.queries.ConfigChangeRevisionAt(ctx, s.pool, t)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return revision, fault(err)
}

// Timeline implements [admin.HistoryStore]. It is made of what each change left behind, so
// that it has what decided at every revision, whatever has become of it since.
func (s *Store) Timeline(ctx context.Context, first, last int64) (*policy.Timeline, error) {
	h := newHistory()
	err := s.inTx(ctx, consistent, func(ctx context.Context, tx pgx.Tx) error {
		h = newHistory() // the transaction may run again
		newest, err := s.queries.ConfigurationRevisionGet(ctx, tx)
		if err != nil {
			return fmt.Errorf("read revision: %w", err)
		}
		// What is not there yet is not known.
		last = min(last, newest)
		rows, err := s.queries.HistoryAt(ctx, tx, first)
		if err != nil {
			return fmt.Errorf("read the state at revision %d: %w", first, err)
		}
		// Principals rest on roles, and roles on teams.
		slices.SortStableFunc(rows, func(a, b dbsqlc.HistoryAtRow) int { return rank(a.ResourceKind) - rank(b.ResourceKind) })
		for _, row := range rows {
			row.Revision = first // what it was then is made of all of them together
			if err := h.apply(dbsqlc.HistoryBetweenRow(row)); err != nil {
				return err
			}
		}
		changes, err := s.queries.HistoryBetween(ctx, tx, dbsqlc.HistoryBetweenParams{AfterRevision: first, ThroughRevision: last})
		if err != nil {
			return fmt.Errorf("read the changes after revision %d: %w", first, err)
		}
		for _, row := range changes {
			if err := h.apply(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fault(err)
	}
	return policy.NewTimeline(uint64(first), uint64(max(last, 0)), h.entities, h.policies, policy.Shipped()), nil
}

func rank(kind string) int {
	switch kind {
	case "team":
		return 0
	case "roles":
		return 1
	default:
		return 2
	}
}

// principalState is a key, a user or an agent as a change left it.
type principalState struct {
	uid      policy.UID
	team     string // of a key
	issuer   string // of a user
	disabled bool
	target   *policy.Target // of an agent
	// known is false for a user of whom only the roles tell.
	known bool
}

// entity makes the entity of a principal with what it holds.
func (p principalState) entity(roles []policy.UID, teams []string) policy.Entity {
	switch p.uid.Type {
	case policy.TypeAgent:
		return policy.AgentEntity(*p.target, roles...)
	case policy.TypeUser:
		return policy.UserEntity(string(p.uid.ID), p.issuer, p.disabled, teams, roles...)
	}
	return policy.KeyEntity(string(p.uid.ID), p.team, p.disabled, roles...)
}

// history turns changes of the configuration, given in their order, into versions of
// what decides.
type history struct {
	// active are the teams that are there and not disabled.
	active     map[string]bool
	principals map[uuid.UUID]principalState
	roles      map[uuid.UUID][]identity.RoleIn
	// inTeam are the principals that hold a role in a team.
	inTeam map[string]map[uuid.UUID]bool

	entities []policy.EntityVersion
	policies []policy.Version
}

func newHistory() *history {
	h := &history{
		active: map[string]bool{}, principals: map[uuid.UUID]principalState{}, roles: map[uuid.UUID][]identity.RoleIn{},
		inTeam: map[string]map[uuid.UUID]bool{},
	}
	// Whoever decided something with the admin key had one.
	h.emit(0, policy.AdminKeyUID, func() policy.Entity { return policy.KeyEntity(string(policy.AdminKeyUID.ID), "", false) })
	return h
}

func (h *history) emit(revision int64, uid policy.UID, entity func() policy.Entity) {
	h.entities = append(h.entities, policy.EntityVersion{Revision: uint64(revision), UID: uid, Entity: entity})
}

// apply takes the next change.
func (h *history) apply(row dbsqlc.HistoryBetweenRow) (err error) {
	gone := string(row.State) == "null"
	read := func(into any) {
		if !gone && err == nil {
			err = json.Unmarshal(row.State, into)
		}
	}
	switch row.ResourceKind {
	case "team":
		var doc teamDocument
		read(&doc)
		h.team(row.Revision, strings.TrimPrefix(row.ResourceName, "teams/"), gone, doc.Disabled)
	case "roles":
		var doc rolesDocument
		read(&doc)
		h.hold(row.Revision, row.ResourceUID, row.ResourceName, doc.Roles)
	case "key":
		var doc keyDocument
		read(&doc)
		team, _, _ := strings.Cut(strings.TrimPrefix(row.ResourceName, "teams/"), "/")
		h.principal(row, gone, principalState{uid: policy.KeyUID(row.ResourceName), team: team, disabled: doc.Disabled})
	case "user":
		var doc userDocument
		read(&doc)
		h.principal(row, gone, principalState{
			uid: policy.UserUID(row.ResourceName), issuer: strings.TrimPrefix(doc.Issuer, "issuers/"), disabled: doc.Disabled,
		})
	case "agent":
		var doc agentDocument
		read(&doc)
		id := strings.TrimPrefix(row.ResourceName, "agents/")
		h.principal(row, gone, principalState{uid: policy.AgentUID(id), target: &policy.Target{
			ID: id, Team: strings.TrimPrefix(doc.Team, "teams/"), Visibility: doc.Visibility, State: doc.State, Tags: doc.Tags, Protocol: "A2A",
		}})
	case "policy":
		var doc policyDocument
		read(&doc)
		id := strings.TrimPrefix(row.ResourceName, "policies/")
		v := policy.Version{Revision: uint64(row.Revision), ID: id}
		if !gone {
			v.Policies = doc.policies(id)
		}
		h.policies = append(h.policies, v)
	case "grant":
		var doc grantDocument
		read(&doc)
		v := policy.Version{Revision: uint64(row.Revision), ID: strings.TrimPrefix(row.ResourceName, "grants/")}
		if !gone && err == nil {
			v.Policies, err = grantPolicies(doc.row())
		}
		h.policies = append(h.policies, v)
	}
	if err != nil {
		return fmt.Errorf("read %s as revision %d left it: %w", row.ResourceName, row.Revision, err)
	}
	return nil
}

func (h *history) team(revision int64, id string, gone, disabled bool) {
	was := h.active[id]
	h.active[id] = !gone && !disabled
	if gone {
		h.emit(revision, policy.TeamUID(id), nil)
	} else {
		h.emit(revision, policy.TeamUID(id), func() policy.Entity { return policy.TeamEntity(id) })
	}
	if was == h.active[id] {
		return
	}
	for uid := range h.inTeam[id] {
		h.emitPrincipal(revision, uid)
	}
}

// hold notes all roles of a principal.
func (h *history) hold(revision int64, uid uuid.UUID, name string, roles []identity.RoleIn) {
	for _, r := range h.roles[uid] {
		delete(h.inTeam[r.Team], uid)
	}
	h.roles[uid] = roles
	for _, r := range roles {
		if h.inTeam[r.Team] == nil {
			h.inTeam[r.Team] = map[uuid.UUID]bool{}
		}
		h.inTeam[r.Team][uid] = true
	}
	if p, ok := h.principals[uid]; !ok || !p.known {
		issuer, _, isUser := strings.Cut(strings.TrimPrefix(name, "users/"), "~")
		switch {
		case !isUser:
			return // it comes later, or is gone
		case len(roles) == 0:
			delete(h.principals, uid)
			h.emit(revision, policy.UserUID(name), nil)
			return
		}
		// A user comes with its first token, which is no change of configuration.
		h.principals[uid] = principalState{uid: policy.UserUID(name), issuer: issuer}
	}
	h.emitPrincipal(revision, uid)
}

func (h *history) principal(row dbsqlc.HistoryBetweenRow, gone bool, p principalState) {
	if gone {
		delete(h.principals, row.ResourceUID)
		h.emit(row.Revision, p.uid, nil)
		return
	}
	p.known = true
	h.principals[row.ResourceUID] = p
	h.emitPrincipal(row.Revision, row.ResourceUID)
}

// emitPrincipal adds the version of a principal that stands from now on.
func (h *history) emitPrincipal(revision int64, uid uuid.UUID) {
	p, ok := h.principals[uid]
	if !ok {
		return
	}
	roles, teams := snapshot.Held(h.roles[uid], func(team string) bool { return h.active[team] })
	h.emit(revision, p.uid, func() policy.Entity { return p.entity(roles, teams) })
}
