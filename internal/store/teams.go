package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ identity.Store = (*Store)(nil)

// teamDocument is a team in the history.
type teamDocument struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	Disabled    bool   `json:"disabled"`
	Etag        string `json:"etag"`
}

func teamDoc(t identity.Team) teamDocument {
	return teamDocument{Name: t.Name(), DisplayName: t.DisplayName, Disabled: t.Disabled, Etag: t.Etag}
}

func teamOf(row dbsqlc.Team) identity.Team {
	return identity.Team{
		UID: row.UID, ID: row.TeamID, DisplayName: row.DisplayName, Disabled: row.Disabled, Etag: row.Etag,
		CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
	}
}

// CreateTeam implements [identity.TeamStore].
func (s *Store) CreateTeam(ctx context.Context, author string, t identity.Team) (identity.Team, int64, error) {
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		// Asked first, because a violated constraint is an error in the log of Postgres.
		// Nobody else writes configuration meanwhile.
		used, err := s.queries.TeamIDUsed(ctx, tx, dbsqlc.TeamIDUsedParams{TeamID: t.ID, TeamName: t.Name()})
		switch {
		case err != nil:
			return change{}, fmt.Errorf("look team id up: %w", err)
		case used.Present:
			return change{}, identity.ErrTeamExists
		case used.Deleted:
			return change{}, identity.ErrTeamIDUsed
		}
		t.Etag = newEtag()
		err = s.queries.TeamInsert(ctx, tx, dbsqlc.TeamInsertParams{
			UID: t.UID, TeamID: t.ID, DisplayName: t.DisplayName, Etag: t.Etag, CreateTime: t.CreateTime, UpdateTime: t.UpdateTime,
		})
		return change{kind: "team", verb: "create", uid: t.UID, name: t.Name(), author: author, after: teamDoc(t), at: t.UpdateTime}, err
	})
	if err != nil {
		return identity.Team{}, 0, err
	}
	return t, revision, nil
}

// Team implements [identity.TeamStore].
func (s *Store) Team(ctx context.Context, id string) (identity.Team, error) {
	row, err := s.queries.TeamGet(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.Team{}, identity.ErrTeamNotFound
	}
	return teamOf(row), fault(err)
}

// Teams implements [identity.TeamStore].
func (s *Store) Teams(ctx context.Context, q identity.TeamQuery) ([]identity.Team, error) {
	rows, err := s.queries.TeamList(ctx, s.pool, dbsqlc.TeamListParams{
		AfterID: q.After, OnlyTeam: onlyTeam(q.Team), MaxRows: rowLimit(q.Limit),
	})
	if err != nil {
		return nil, fault(err)
	}
	teams := make([]identity.Team, len(rows))
	for i, row := range rows {
		teams[i] = teamOf(row)
	}
	return teams, nil
}

// UpdateTeam implements [identity.TeamStore].
func (s *Store) UpdateTeam(
	ctx context.Context, author string, uid uuid.UUID, edit func(*identity.Team) (bool, error),
) (identity.Team, int64, error) {
	var t identity.Team
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		var err error
		if t, err = s.teamInTx(ctx, tx, uid); err != nil {
			return change{}, err
		}
		before := teamDoc(t)
		changed, err := edit(&t)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		t.Etag = newEtag()
		err = s.queries.TeamUpdate(ctx, tx, dbsqlc.TeamUpdateParams{
			UID: uid, DisplayName: t.DisplayName, Disabled: t.Disabled, Etag: t.Etag, UpdateTime: t.UpdateTime,
		})
		return change{
			kind: "team", verb: "update", uid: uid, name: t.Name(), author: author, before: before, after: teamDoc(t), at: t.UpdateTime,
		}, err
	})
	return t, revision, err
}

// DeleteTeam implements [identity.TeamStore]. The team's row in the history has the
// first revision that the deletion takes, and each of its keys and what they hold one of
// its own after that, so that replicas learn of all that is gone.
func (s *Store) DeleteTeam(ctx context.Context, author string, uid uuid.UUID, check func(identity.Team) error) (int64, error) {
	var last int64
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		t, err := s.teamInTx(ctx, tx, uid)
		if err != nil {
			return change{}, err
		}
		if err := check(t); err != nil {
			return change{}, err
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		owns, err := s.queries.TeamOwns(ctx, tx, uid)
		if err != nil {
			return change{}, fmt.Errorf("look for what the team owns: %w", err)
		}
		if owns.Agents || owns.EnabledKeys || owns.Grants || owns.Roles {
			return change{}, identity.ErrTeamNotEmpty
		}
		if last, err = s.deleteTeamKeys(ctx, tx, author, uid, revision, now); err != nil {
			return change{}, err
		}
		if last, err = s.deleteGrantsNaming(ctx, tx, author, last, now, policy.TeamUID(t.ID)); err != nil {
			return change{}, err
		}
		return change{kind: "team", verb: "delete", uid: uid, name: t.Name(), author: author, before: teamDoc(t), at: now},
			s.queries.TeamDelete(ctx, tx, uid)
	})
	if err != nil {
		return 0, err
	}
	return last, nil
}

// deleteTeamKeys removes the keys of a team and returns the last revision that it took,
// or the one given when there is none.
func (s *Store) deleteTeamKeys(
	ctx context.Context, tx pgx.Tx, author string, team uuid.UUID, revision int64, now time.Time,
) (int64, error) {
	rows, err := s.queries.KeyListOfTeam(ctx, tx, team)
	if err != nil {
		return 0, fmt.Errorf("read keys: %w", err)
	}
	keys := make([]identity.Key, len(rows))
	for i, row := range rows {
		keys[i] = keyOf(row.Key, row.TeamID, row.AgentID, nil)
	}
	if revision, err = s.noteDeletedKeys(ctx, tx, author, keys, revision, now); err != nil {
		return 0, err
	}
	if err := s.queries.KeyDeleteOfTeam(ctx, tx, team); err != nil {
		return 0, fmt.Errorf("remove keys: %w", err)
	}
	return revision, nil
}

func (s *Store) teamInTx(ctx context.Context, tx pgx.Tx, uid uuid.UUID) (identity.Team, error) {
	row, err := s.queries.TeamGetByUID(ctx, tx, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.Team{}, identity.ErrTeamNotFound
	}
	if err != nil {
		return identity.Team{}, fmt.Errorf("read team: %w", err)
	}
	return teamOf(row), nil
}

// txTime returns when the transaction began, for changes that leave no resource
// whose update time could be taken.
func txTime(ctx context.Context, tx pgx.Tx) (now time.Time, err error) {
	err = tx.QueryRow(ctx, "SELECT now()").Scan(&now)
	return now, err
}

func rowLimit(n int) int32 {
	return int32(min(max(n, 0), math.MaxInt32))
}
