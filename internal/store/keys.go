package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// keyDocument is a key in the history. No hash of a secret is in it.
type keyDocument struct {
	Name             string     `json:"name"`
	Agent            string     `json:"agent,omitempty"`
	CertificateNames []string   `json:"certificate_names,omitempty"`
	DisplayName      string     `json:"display_name"`
	SecretHint       string     `json:"secret_hint"`
	Disabled         bool       `json:"disabled"`
	ExpireTime       *time.Time `json:"expire_time,omitempty"`
	Secrets          int        `json:"secrets"`
	Etag             string     `json:"etag"`
}

func keyDoc(k identity.Key) keyDocument {
	d := keyDocument{
		Name: k.Name(), CertificateNames: k.CertificateNames, DisplayName: k.DisplayName, SecretHint: k.SecretHint, Disabled: k.Disabled,
		ExpireTime: optional(k.ExpireTime), Secrets: len(k.Secrets), Etag: k.Etag,
	}
	if k.AgentUID != uuid.Nil {
		d.Agent = "agents/" + k.Agent
	}
	return d
}

func keyOf(row dbsqlc.Key, team, agent string, lastUsed *time.Time) identity.Key {
	k := identity.Key{
		Agent: agent,
		UID:   row.UID, TeamUID: row.TeamUID, Team: team, ID: row.KeyID, DisplayName: row.DisplayName, SecretHint: row.SecretHint,
		Disabled: row.Disabled, ExpireTime: moment(row.ExpireTime), LastUsed: moment(lastUsed), Etag: row.Etag,
		CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
	}
	if row.AgentUID != nil {
		k.AgentUID = *row.AgentUID
	}
	return k
}

// CreateKey implements [identity.KeyStore].
func (s *Store) CreateKey(ctx context.Context, author string, k identity.Key) (identity.Key, int64, error) {
	var last int64
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		team, err := s.queries.TeamGet(ctx, tx, k.Team)
		if errors.Is(err, pgx.ErrNoRows) {
			return change{}, identity.ErrTeamNotFound
		}
		if err != nil {
			return change{}, fmt.Errorf("read team: %w", err)
		}
		agent, err := s.bindAgent(ctx, tx, team.UID, &k)
		if err != nil {
			return change{}, err
		}
		// Asked first, because a violated constraint is an error in the log of Postgres.
		taken, err := s.queries.KeyIDTaken(ctx, tx, dbsqlc.KeyIDTakenParams{TeamUID: team.UID, KeyID: k.ID})
		if err != nil {
			return change{}, fmt.Errorf("look key id up: %w", err)
		}
		if taken {
			return change{}, identity.ErrKeyExists
		}
		k.TeamUID, k.Etag = team.UID, newEtag()
		err = s.queries.KeyInsert(ctx, tx, dbsqlc.KeyInsertParams{
			UID: k.UID, TeamUID: k.TeamUID, AgentUID: agent, KeyID: k.ID, DisplayName: k.DisplayName, SecretHint: k.SecretHint, Disabled: k.Disabled,
			ExpireTime: optional(k.ExpireTime), Etag: k.Etag, CreateTime: k.CreateTime, UpdateTime: k.UpdateTime,
		})
		if err != nil {
			return change{}, err
		}
		if err := errors.Join(s.writeSecrets(ctx, tx, nil, k), s.writeCertificates(ctx, tx, nil, k)); err != nil {
			return change{}, err
		}
		last = revision
		if len(k.Roles) > 0 {
			h := identity.Holder{Kind: identity.KindKey, UID: k.UID, Name: k.Name()}
			if last, err = s.giveRoles(ctx, tx, author, h, k.Roles, k.UpdateTime); err != nil {
				return change{}, err
			}
		}
		return change{kind: "key", verb: "create", uid: k.UID, name: k.Name(), author: author, after: keyDoc(k), at: k.UpdateTime}, nil
	})
	if err != nil {
		return identity.Key{}, 0, err
	}
	return k, last, nil
}

// bindAgent finds the agent of k.Agent, if any, among those of a team.
func (s *Store) bindAgent(ctx context.Context, tx pgx.Tx, team uuid.UUID, k *identity.Key) (*uuid.UUID, error) {
	if k.Agent == "" {
		return nil, nil
	}
	agent, err := s.queries.RoleMemberAgent(ctx, tx, k.Agent)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && agent.TeamUID != team {
		return nil, registry.ErrAgentNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read agent: %w", err)
	}
	k.AgentUID = agent.UID
	return &k.AgentUID, nil
}

// writeCertificates makes the stored certificate names those of k.
func (s *Store) writeCertificates(ctx context.Context, tx pgx.Tx, stored []string, k identity.Key) error {
	if slices.Equal(stored, k.CertificateNames) {
		return nil
	}
	// Asked first, because a violated constraint is an error in the log of Postgres.
	taken, err := s.queries.KeyCertificateTaken(ctx, tx, dbsqlc.KeyCertificateTakenParams{Names: k.CertificateNames, KeyUID: k.UID})
	if err != nil {
		return fmt.Errorf("look certificate names up: %w", err)
	}
	if len(taken) > 0 {
		return &identity.CertificateNameError{Name: taken[0]}
	}
	fresh := slices.DeleteFunc(slices.Clone(k.CertificateNames), func(name string) bool { return slices.Contains(stored, name) })
	err = s.queries.KeyCertificateKeep(ctx, tx, dbsqlc.KeyCertificateKeepParams{KeyUID: k.UID, Kept: orEmpty(k.CertificateNames)})
	if err != nil {
		return fmt.Errorf("remove certificate names: %w", err)
	}
	err = s.queries.KeyCertificateInsert(ctx, tx, dbsqlc.KeyCertificateInsertParams{KeyUID: k.UID, Names: orEmpty(fresh)})
	if err != nil {
		return fmt.Errorf("store certificate names: %w", err)
	}
	return nil
}

// noteDeletedKeys writes into the history that keys are gone, takes their roles away, and
// returns the last revision that it took, or the one given when there is none. The rows of
// the keys are for the caller to remove.
func (s *Store) noteDeletedKeys(
	ctx context.Context, tx pgx.Tx, author string, keys []identity.Key, revision int64, now time.Time,
) (int64, error) {
	if len(keys) == 0 {
		return revision, nil
	}
	if err := errors.Join(s.addSecrets(ctx, tx, keys), s.addCertificates(ctx, tx, keys)); err != nil {
		return 0, err
	}
	holders := make([]identity.Holder, len(keys))
	for i, k := range keys {
		var err error
		revision, err = s.also(ctx, tx, change{kind: "key", verb: "delete", uid: k.UID, name: k.Name(), author: author, before: keyDoc(k), at: now})
		if err != nil {
			return 0, err
		}
		holders[i] = identity.Holder{Kind: identity.KindKey, UID: k.UID, Name: k.Name()}
	}
	revision, err := s.dropRoles(ctx, tx, author, holders, revision, now)
	if err != nil {
		return 0, err
	}
	uids := make([]policy.UID, len(keys))
	for i, k := range keys {
		uids[i] = policy.KeyUID(k.Name())
	}
	return s.deleteGrantsNaming(ctx, tx, author, revision, now, uids...)
}

// writeSecrets makes the stored secrets those of k.
func (s *Store) writeSecrets(ctx context.Context, tx pgx.Tx, stored []identity.Secret, k identity.Key) error {
	known := make(map[[32]byte]time.Time, len(stored))
	for _, secret := range stored {
		known[secret.SHA256] = secret.ExpireTime
	}
	kept := make([][]byte, 0, len(k.Secrets))
	for _, secret := range k.Secrets {
		kept = append(kept, secret.SHA256[:])
		expire, ok := known[secret.SHA256]
		switch {
		case !ok:
			err := s.queries.KeySecretInsert(ctx, tx, dbsqlc.KeySecretInsertParams{
				SecretSHA256: secret.SHA256[:], KeyUID: k.UID, ExpireTime: optional(secret.ExpireTime), CreateTime: k.UpdateTime,
			})
			if err != nil {
				return fmt.Errorf("store secret: %w", err)
			}
		case !expire.Equal(secret.ExpireTime):
			err := s.queries.KeySecretSetExpiry(ctx, tx, dbsqlc.KeySecretSetExpiryParams{
				SecretSHA256: secret.SHA256[:], ExpireTime: optional(secret.ExpireTime),
			})
			if err != nil {
				return fmt.Errorf("limit secret: %w", err)
			}
		}
	}
	if err := s.queries.KeySecretKeep(ctx, tx, dbsqlc.KeySecretKeepParams{KeyUID: k.UID, Kept: kept}); err != nil {
		return fmt.Errorf("remove old secrets: %w", err)
	}
	return nil
}

// Key implements [identity.KeyStore].
func (s *Store) Key(ctx context.Context, team, id string) (identity.Key, error) {
	row, err := s.queries.KeyGet(ctx, s.pool, dbsqlc.KeyGetParams{TeamID: team, KeyID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.Key{}, identity.ErrKeyNotFound
	}
	if err != nil {
		return identity.Key{}, fault(err)
	}
	keys := []identity.Key{keyOf(row.Key, row.TeamID, row.AgentID, row.LastUsedTime)}
	err = s.complete(ctx, s.pool, keys)
	return keys[0], fault(err)
}

// Keys implements [identity.KeyStore].
func (s *Store) Keys(ctx context.Context, q identity.KeyQuery) ([]identity.Key, error) {
	rows, err := s.queries.KeyList(ctx, s.pool, dbsqlc.KeyListParams{
		AfterTeam: q.AfterTeam, AfterKey: q.AfterKey, OnlyTeam: onlyTeam(q.Team), MaxRows: rowLimit(q.Limit),
	})
	if err != nil {
		return nil, fault(err)
	}
	keys := make([]identity.Key, len(rows))
	for i, row := range rows {
		keys[i] = keyOf(row.Key, row.TeamID, row.AgentID, row.LastUsedTime)
	}
	err = s.complete(ctx, s.pool, keys)
	return keys, fault(err)
}

// complete reads what keys have beside their rows: secrets, certificate names and roles.
func (s *Store) complete(ctx context.Context, db dbsqlc.DBTX, keys []identity.Key) error {
	if err := errors.Join(s.addSecrets(ctx, db, keys), s.addCertificates(ctx, db, keys)); err != nil {
		return err
	}
	uids := make([]uuid.UUID, len(keys))
	for i, k := range keys {
		uids[i] = k.UID
	}
	roles, err := s.rolesOf(ctx, db, uids)
	for i := range keys {
		keys[i].Roles = roles[keys[i].UID]
	}
	return err
}

// addSecrets reads the secrets of keys.
func (s *Store) addSecrets(ctx context.Context, db dbsqlc.DBTX, keys []identity.Key) error {
	if len(keys) == 0 {
		return nil
	}
	uids := make([]uuid.UUID, len(keys))
	place := make(map[uuid.UUID]int, len(keys))
	for i, k := range keys {
		uids[i], place[k.UID] = k.UID, i
	}
	rows, err := s.queries.KeySecretList(ctx, db, uids)
	if err != nil {
		return fmt.Errorf("read secrets: %w", err)
	}
	for _, row := range rows {
		k := &keys[place[row.KeyUID]]
		k.Secrets = append(k.Secrets, secretOf(row.SecretSHA256, row.ExpireTime))
	}
	return nil
}

func secretOf(hash []byte, expire *time.Time) identity.Secret {
	secret := identity.Secret{ExpireTime: moment(expire)}
	copy(secret.SHA256[:], hash) // a CHECK holds its length
	return secret
}

// UpdateKey implements [identity.KeyStore].
func (s *Store) UpdateKey(
	ctx context.Context, author string, uid uuid.UUID, edit func(*identity.Key) (bool, error),
) (identity.Key, int64, error) {
	var k identity.Key
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		row, err := s.queries.KeyGetByUID(ctx, tx, uid)
		if errors.Is(err, pgx.ErrNoRows) {
			return change{}, identity.ErrKeyNotFound
		}
		if err != nil {
			return change{}, fmt.Errorf("read key: %w", err)
		}
		keys := []identity.Key{keyOf(row.Key, row.TeamID, row.AgentID, row.LastUsedTime)}
		if err := s.complete(ctx, tx, keys); err != nil {
			return change{}, err
		}
		k = keys[0]
		before, secrets, names := keyDoc(k), k.Secrets, k.CertificateNames
		changed, err := edit(&k)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		k.Etag = newEtag()
		err = s.queries.KeyUpdate(ctx, tx, dbsqlc.KeyUpdateParams{
			UID: uid, DisplayName: k.DisplayName, SecretHint: k.SecretHint, Disabled: k.Disabled,
			ExpireTime: optional(k.ExpireTime), Etag: k.Etag, UpdateTime: k.UpdateTime,
		})
		if err != nil {
			return change{}, fmt.Errorf("store key: %w", err)
		}
		if err := errors.Join(s.writeSecrets(ctx, tx, secrets, k), s.writeCertificates(ctx, tx, names, k)); err != nil {
			return change{}, err
		}
		return change{
			kind: "key", verb: "update", uid: uid, name: k.Name(), author: author, before: before, after: keyDoc(k), at: k.UpdateTime,
		}, nil
	})
	return k, revision, err
}

// RecordUses implements [identity.KeyStore].
func (s *Store) RecordUses(ctx context.Context, uses map[uuid.UUID]time.Time) error {
	p := dbsqlc.KeyUseRecordParams{Uids: make([]uuid.UUID, 0, len(uses)), Times: make([]time.Time, 0, len(uses))}
	for uid, at := range uses {
		p.Uids = append(p.Uids, uid)
		p.Times = append(p.Times, at)
	}
	if err := s.queries.KeyUseRecord(ctx, s.pool, p); err != nil {
		return fmt.Errorf("record uses: %w", fault(err))
	}
	return nil
}

// addCertificates reads the certificate names of keys.
func (s *Store) addCertificates(ctx context.Context, db dbsqlc.DBTX, keys []identity.Key) error {
	if len(keys) == 0 {
		return nil
	}
	uids := make([]uuid.UUID, len(keys))
	place := make(map[uuid.UUID]int, len(keys))
	for i, k := range keys {
		uids[i], place[k.UID] = k.UID, i
	}
	rows, err := s.queries.KeyCertificateList(ctx, db, uids)
	if err != nil {
		return fmt.Errorf("read certificate names: %w", err)
	}
	for _, row := range rows {
		k := &keys[place[row.KeyUID]]
		k.CertificateNames = append(k.CertificateNames, row.CertificateName)
	}
	return nil
}
