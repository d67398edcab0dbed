package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

func issuerOf(row dbsqlc.Issuer) (identity.Issuer, error) {
	i := identity.Issuer{
		UID: row.UID, ID: row.IssuerID, DisplayName: row.DisplayName, Disabled: row.Disabled, URL: row.IssuerURL,
		JWKS: row.JWKS, JWKSURL: row.JWKSURL, Audiences: row.Audiences, Algorithms: row.Algorithms,
		Skew: time.Duration(row.SkewMS) * time.Millisecond, NameClaim: row.NameClaim, EmailClaim: row.EmailClaim,
		Etag: row.Etag, CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
	}
	copy(i.UserKey[:], row.UserKey) // a CHECK holds its length
	if err := json.Unmarshal(row.ClaimMappings, &i.Mappings); err != nil {
		return identity.Issuer{}, fmt.Errorf("read %s: %w", i.Name(), err)
	}
	return i, nil
}

func userOf(row dbsqlc.User, issuer string) identity.User {
	return identity.User{
		UID: row.UID, ID: row.UserID, IssuerUID: row.IssuerUID, Issuer: issuer, Subject: row.Subject, DisplayName: row.DisplayName,
		Email: row.Email, Disabled: row.Disabled, LastUsed: moment(row.LastUsedTime), Etag: row.Etag,
		CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
	}
}

// allIdentities reads teams, users, issuers and roles.
func (s *Store) allIdentities(ctx context.Context, tx pgx.Tx, d *snapshot.Delta) error {
	teams, err := s.queries.TeamSnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read teams: %w", err)
	}
	users, err := s.queries.UserSnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	issuers, err := s.queries.IssuerSnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read issuers: %w", err)
	}
	roles, err := s.queries.RoleMemberSnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read roles: %w", err)
	}
	d.Teams = make(map[uuid.UUID]*identity.Team, len(teams))
	addTeams(d, teams)
	d.Users = make(map[uuid.UUID]*identity.User, len(users))
	for _, row := range users {
		u := userOf(row.User, row.IssuerID)
		d.Users[u.UID] = &u
	}
	d.Issuers = make(map[uuid.UUID]*identity.Issuer, len(issuers))
	if err := addIssuers(d, issuers); err != nil {
		return err
	}
	d.Roles = map[uuid.UUID][]identity.RoleIn{}
	for _, row := range roles {
		d.Roles[row.PrincipalUID] = append(d.Roles[row.PrincipalUID], identity.RoleIn{Role: row.RoleName, Team: row.TeamID})
	}
	return nil
}

func addTeams(d *snapshot.Delta, rows []dbsqlc.Team) {
	for _, row := range rows {
		t := teamOf(row)
		d.Teams[t.UID] = &t
	}
}

func addIssuers(d *snapshot.Delta, rows []dbsqlc.Issuer) error {
	for _, row := range rows {
		i, err := issuerOf(row)
		if err != nil {
			return err
		}
		d.Issuers[i.UID] = &i
	}
	return nil
}

// changedTeams reads teams of some uids; those that are gone are nil.
func (s *Store) changedTeams(ctx context.Context, tx pgx.Tx, uids []uuid.UUID, d *snapshot.Delta) error {
	d.Teams = map[uuid.UUID]*identity.Team{}
	absent(d.Teams, uids)
	rows, err := s.queries.TeamSnapshotOf(ctx, tx, uids)
	if err != nil {
		return fmt.Errorf("read teams: %w", err)
	}
	addTeams(d, rows)
	return nil
}

// changedUsers reads users of some uids. Those of whom only tokens tell are read as well,
// which does no harm.
func (s *Store) changedUsers(ctx context.Context, tx pgx.Tx, uids []uuid.UUID, d *snapshot.Delta) error {
	absent(d.Users, uids)
	return s.addUsers(ctx, tx, uids, d)
}

// addUsers reads those of some uids that are users.
func (s *Store) addUsers(ctx context.Context, tx pgx.Tx, uids []uuid.UUID, d *snapshot.Delta) error {
	rows, err := s.queries.UserSnapshotOf(ctx, tx, uids)
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	for _, row := range rows {
		u := userOf(row.User, row.IssuerID)
		d.Users[u.UID] = &u
	}
	return nil
}

func (s *Store) changedIssuers(ctx context.Context, tx pgx.Tx, uids []uuid.UUID, d *snapshot.Delta) error {
	d.Issuers = map[uuid.UUID]*identity.Issuer{}
	absent(d.Issuers, uids)
	rows, err := s.queries.IssuerSnapshotOf(ctx, tx, uids)
	if err != nil {
		return fmt.Errorf("read issuers: %w", err)
	}
	return addIssuers(d, rows)
}

// changedRoles reads the roles of principals, and those of them that are users: a user
// who had nothing but a token is known to replicas from then on.
func (s *Store) changedRoles(ctx context.Context, tx pgx.Tx, principals []uuid.UUID, d *snapshot.Delta) error {
	d.Roles = map[uuid.UUID][]identity.RoleIn{}
	absent(d.Roles, principals)
	rows, err := s.queries.RoleMemberSnapshotOf(ctx, tx, principals)
	if err != nil {
		return fmt.Errorf("read roles: %w", err)
	}
	for _, row := range rows {
		d.Roles[row.PrincipalUID] = append(d.Roles[row.PrincipalUID], identity.RoleIn{Role: row.RoleName, Team: row.TeamID})
	}
	return s.addUsers(ctx, tx, principals, d)
}

// absent notes uids as gone, unless they are found later.
func absent[T any](into map[uuid.UUID]T, uids []uuid.UUID) {
	var none T
	for _, uid := range uids {
		into[uid] = none
	}
}
