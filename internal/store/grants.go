package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// grantDocument is a grant in the history.
type grantDocument struct {
	Name        string     `json:"name"`
	Principal   string     `json:"principal"`
	Agents      string     `json:"agents"`
	Actions     []string   `json:"actions"`
	ExpireTime  *time.Time `json:"expire_time,omitempty"`
	Via         bool       `json:"via"`
	Disabled    bool       `json:"disabled"`
	Team        string     `json:"team,omitempty"`
	Description string     `json:"description,omitempty"`
	GivenBy     string     `json:"given_by"`
	Etag        string     `json:"etag"`
}

func grantDoc(g admin.Grant) grantDocument {
	return grantDocument{
		Name: g.Name(), Principal: policy.FormatUID(g.Principal), Agents: g.Agents.String(), Actions: actionNames(g.Actions),
		ExpireTime: optional(g.Until), Via: g.Via, Disabled: g.Disabled, Team: identity.TeamName(g.Team), Description: g.Description,
		GivenBy: g.Author, Etag: g.Etag,
	}
}

// row returns the document as the row that it was, for what rows are read with.
func (d grantDocument) row() dbsqlc.Grant {
	return dbsqlc.Grant{
		GrantID: strings.TrimPrefix(d.Name, "grants/"), Principal: d.Principal, Agents: d.Agents, Actions: d.Actions,
		ExpireTime: d.ExpireTime, Via: d.Via, Disabled: d.Disabled, Description: d.Description, Author: d.GivenBy, Etag: d.Etag,
	}
}

func actionNames(actions []policy.Action) []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a)
	}
	return names
}

func storedGrant(row dbsqlc.Grant, team string) (admin.Grant, error) {
	g, err := grantOf(row)
	if err != nil {
		return admin.Grant{}, err
	}
	return admin.Grant{
		Grant: g, UID: row.UID, Disabled: row.Disabled, Team: team, Description: row.Description, Author: row.Author, Etag: row.Etag,
		CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
	}, nil
}

// CreateGrant implements [admin.GrantStore].
func (s *Store) CreateGrant(ctx context.Context, author string, g admin.Grant, check func(admin.Subjects) error) (admin.Grant, int64, error) {
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		known, err := s.subjects(ctx, tx, g)
		if err != nil {
			return change{}, err
		}
		if err := check(known); err != nil {
			return change{}, err
		}
		if g.ID, err = s.grantID(ctx, tx, g.ID); err != nil {
			return change{}, err
		}
		team, err := s.teamOfAgents(ctx, tx, g.Agents)
		if err != nil {
			return change{}, err
		}
		g.Team, g.Etag = team.id, newEtag()
		err = s.queries.GrantInsert(ctx, tx, dbsqlc.GrantInsertParams{
			UID: g.UID, GrantID: g.ID, Principal: policy.FormatUID(g.Principal), Agents: g.Agents.String(), Actions: actionNames(g.Actions),
			ExpireTime: optional(g.Until), Via: g.Via, Disabled: g.Disabled, TeamUID: optionalUID(team.uid), Description: g.Description,
			Author: g.Author, Etag: g.Etag, CreateTime: g.CreateTime, UpdateTime: g.UpdateTime,
		})
		return change{kind: "grant", verb: "create", uid: g.UID, name: g.Name(), author: author, after: grantDoc(g), at: g.UpdateTime}, err
	})
	if err != nil {
		return admin.Grant{}, 0, err
	}
	return g, revision, nil
}

// grantID returns the id of a new grant: the one that it was given, or the next number.
func (s *Store) grantID(ctx context.Context, tx pgx.Tx, given string) (string, error) {
	for {
		id := given
		if id == "" {
			n, err := s.queries.GrantNumberNext(ctx, tx)
			if err != nil {
				return "", fmt.Errorf("take the next number: %w", err)
			}
			id = "g-" + strconv.FormatInt(n, 10)
		}
		taken, err := s.queries.GrantIDTaken(ctx, tx, dbsqlc.GrantIDTakenParams{GrantID: id, GrantName: admin.GrantName(id)})
		switch {
		case err != nil:
			return "", fmt.Errorf("look grant id up: %w", err)
		case !taken:
			return id, nil
		case given != "":
			return "", admin.ErrGrantExists
		}
		// Somebody gave this number to a grant; the next one is free, or one after it.
	}
}

// subjects looks up what a grant names.
func (s *Store) subjects(ctx context.Context, tx pgx.Tx, g admin.Grant) (admin.Subjects, error) {
	ask := func(uid policy.UID) (found, issuer bool, err error) {
		id := string(uid.ID)
		var p dbsqlc.GrantSubjectsParams
		switch uid.Type {
		case policy.TypeTeam:
			p.TeamID = id
		case policy.TypeKey:
			p.KeyName = id
		case policy.TypeAgent:
			p.AgentID = id
		case policy.TypeUser:
			p.UserID = strings.TrimPrefix(id, "users/")
			p.IssuerID, _, _ = strings.Cut(p.UserID, "~")
		case policy.TypeRole:
			team, _, inTeam := strings.Cut(id, "/")
			if !inTeam || team == "*" {
				return true, false, nil
			}
			p.TeamID = team
		default: // tags, and all agents
			return true, false, nil
		}
		row, err := s.queries.GrantSubjects(ctx, tx, p)
		if err != nil {
			return false, false, fmt.Errorf("look up what the grant names: %w", err)
		}
		return row.Team || row.Key || row.UserKnown || row.Agent, row.Issuer, nil
	}
	var known admin.Subjects
	var err error
	if known.Principal, known.Issuer, err = ask(g.Principal); err != nil {
		return known, err
	}
	known.Agents, _, err = ask(g.Agents.Of)
	return known, err
}

type teamRef struct {
	uid uuid.UUID
	id  string
}

// teamOfAgents returns the team whose agents a selector is about; none for several.
func (s *Store) teamOfAgents(ctx context.Context, tx pgx.Tx, of policy.Selector) (teamRef, error) {
	var p dbsqlc.GrantTeamOfAgentsParams
	switch of.Of.Type {
	case policy.TypeAgent:
		p.AgentID = string(of.Of.ID)
	case policy.TypeTeam:
		p.TeamID = string(of.Of.ID)
	default:
		return teamRef{}, nil
	}
	row, err := s.queries.GrantTeamOfAgents(ctx, tx, p)
	if err != nil {
		return teamRef{}, fmt.Errorf("read the team of the agents: %w", err)
	}
	return teamRef{uid: row.UID, id: row.TeamID}, nil
}

// Grant implements [admin.GrantStore].
func (s *Store) Grant(ctx context.Context, id string) (admin.Grant, error) {
	row, err := s.queries.GrantGet(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return admin.Grant{}, admin.ErrGrantNotFound
	}
	if err != nil {
		return admin.Grant{}, fault(err)
	}
	return storedGrant(row.Grant, row.TeamID)
}

// Grants implements [admin.GrantStore].
func (s *Store) Grants(ctx context.Context, q admin.GrantQuery) ([]admin.Grant, error) {
	rows, err := s.queries.GrantList(ctx, s.pool, dbsqlc.GrantListParams{
		AfterID: q.After, OnlyTeam: onlyTeam(q.Team), OnlyPrincipal: onlyTeam(q.Principal), OnlyAgents: onlyTeam(q.Agents), MaxRows: rowLimit(q.Limit),
	})
	if err != nil {
		return nil, fault(err)
	}
	grants := make([]admin.Grant, len(rows))
	for i, row := range rows {
		if grants[i], err = storedGrant(row.Grant, row.TeamID); err != nil {
			return nil, err
		}
	}
	return grants, nil
}

func (s *Store) grantInTx(ctx context.Context, tx pgx.Tx, uid uuid.UUID) (admin.Grant, error) {
	row, err := s.queries.GrantGetByUID(ctx, tx, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return admin.Grant{}, admin.ErrGrantNotFound
	}
	if err != nil {
		return admin.Grant{}, fmt.Errorf("read grant: %w", err)
	}
	return storedGrant(row.Grant, row.TeamID)
}

// UpdateGrant implements [admin.GrantStore].
func (s *Store) UpdateGrant(
	ctx context.Context, author string, uid uuid.UUID, edit func(*admin.Grant) (bool, error),
) (admin.Grant, int64, error) {
	var g admin.Grant
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		var err error
		if g, err = s.grantInTx(ctx, tx, uid); err != nil {
			return change{}, err
		}
		before := grantDoc(g)
		changed, err := edit(&g)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		g.Etag = newEtag()
		err = s.queries.GrantUpdate(ctx, tx, dbsqlc.GrantUpdateParams{
			UID: uid, ExpireTime: optional(g.Until), Disabled: g.Disabled, Description: g.Description, Etag: g.Etag, UpdateTime: g.UpdateTime,
		})
		return change{
			kind: "grant", verb: "update", uid: uid, name: g.Name(), author: author, before: before, after: grantDoc(g), at: g.UpdateTime,
		}, err
	})
	return g, revision, err
}

// DeleteGrant implements [admin.GrantStore].
func (s *Store) DeleteGrant(ctx context.Context, author string, uid uuid.UUID, check func(admin.Grant) error) (int64, error) {
	return s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		g, err := s.grantInTx(ctx, tx, uid)
		if err != nil {
			return change{}, err
		}
		if err := check(g); err != nil {
			return change{}, err
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		return change{kind: "grant", verb: "delete", uid: uid, name: g.Name(), author: author, before: grantDoc(g), at: now},
			s.queries.GrantDelete(ctx, tx, uid)
	})
}

// GrantAt implements [admin.GrantStore].
func (s *Store) GrantAt(ctx context.Context, id string, revision int64) (admin.Grant, error) {
	state, err := s.queries.GrantStateAt(ctx, s.pool, dbsqlc.GrantStateAtParams{ResourceName: admin.GrantName(id), Revision: revision})
	if errors.Is(err, pgx.ErrNoRows) || err == nil && state == nil {
		return admin.Grant{}, admin.ErrGrantNotFound
	}
	if err != nil {
		return admin.Grant{}, fault(err)
	}
	var doc grantDocument
	if err := json.Unmarshal(state, &doc); err != nil {
		return admin.Grant{}, fmt.Errorf("read grant %s: %w", id, err)
	}
	return storedGrant(doc.row(), strings.TrimPrefix(doc.Team, "teams/"))
}

// deleteGrantsNaming removes the grants that name principals or agents that are deleted:
// one of the same name must not come into them. Each grant takes a revision of its own
// after the one given, so that replicas learn of every one that is gone. It returns the
// last one, or the one given when there is no such grant.
func (s *Store) deleteGrantsNaming(
	ctx context.Context, tx pgx.Tx, author string, revision int64, now time.Time, gone ...policy.UID,
) (int64, error) {
	var p dbsqlc.GrantListNamingParams
	for _, uid := range gone {
		p.Names = append(p.Names, policy.FormatUID(uid))
		if uid.Type == policy.TypeTeam {
			p.RolePrefix = "role:" + string(uid.ID) + "/"
		}
	}
	rows, err := s.queries.GrantListNaming(ctx, tx, p)
	if err != nil {
		return 0, fmt.Errorf("read grants: %w", err)
	}
	for _, row := range rows {
		if revision, err = s.deleteGrantWith(ctx, tx, author, now, row.Grant, row.TeamID); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

// deleteGrantsOfIssuer is deleteGrantsNaming for all users of an issuer, those too that
// were never seen.
func (s *Store) deleteGrantsOfIssuer(
	ctx context.Context, tx pgx.Tx, author string, revision int64, now time.Time, issuer string,
) (int64, error) {
	rows, err := s.queries.GrantListOfIssuer(ctx, tx, "user:users/"+issuer+"~")
	if err != nil {
		return 0, fmt.Errorf("read grants: %w", err)
	}
	for _, row := range rows {
		if revision, err = s.deleteGrantWith(ctx, tx, author, now, row.Grant, row.TeamID); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

// deleteGrantWith removes a grant together with something else, under the next revision.
func (s *Store) deleteGrantWith(ctx context.Context, tx pgx.Tx, author string, now time.Time, row dbsqlc.Grant, team string) (int64, error) {
	g, err := storedGrant(row, team)
	if err != nil {
		return 0, err
	}
	revision, err := s.also(ctx, tx, change{kind: "grant", verb: "delete", uid: g.UID, name: g.Name(), author: author, before: grantDoc(g), at: now})
	if err != nil {
		return 0, err
	}
	if err := s.queries.GrantDelete(ctx, tx, g.UID); err != nil {
		return 0, fmt.Errorf("remove grant: %w", err)
	}
	return revision, nil
}
