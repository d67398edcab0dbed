package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// keyDocument is a key in the history. No hash of a secret is in it.
type keyDocument struct {
	Name        string     `json:"name"`
	DisplayName string     `json:"display_name"`
	SecretHint  string     `json:"secret_hint"`
	Disabled    bool       `json:"disabled"`
	ExpireTime  *time.Time `json:"expire_time,omitempty"`
	Secrets     int        `json:"secrets"`
	Etag        string     `json:"etag"`
}

func keyDoc(k identity.Key) keyDocument {
	return keyDocument{
		Name: k.Name(), DisplayName: k.DisplayName, SecretHint: k.SecretHint, Disabled: k.Disabled,
		ExpireTime: optional(k.ExpireTime), Secrets: len(k.Secrets), Etag: k.Etag,
	}
}

func keyOf(row dbsqlc.Key, team string, lastUsed *time.Time) identity.Key {
	return identity.Key{
		UID: row.UID, TeamUID: row.TeamUID, Team: team, ID: row.KeyID, DisplayName: row.DisplayName, SecretHint: row.SecretHint,
		Disabled: row.Disabled, ExpireTime: moment(row.ExpireTime), LastUsed: moment(lastUsed), Etag: row.Etag,
		CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
	}
}

// CreateKey implements [identity.KeyStore].
func (s *Store) CreateKey(ctx context.Context, author string, k identity.Key) (identity.Key, int64, error) {
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		team, err := s.queries.TeamGet(ctx, tx, k.Team)
		if errors.Is(err, pgx.ErrNoRows) {
			return change{}, identity.ErrTeamNotFound
		}
		if err != nil {
			return change{}, fmt.Errorf("read team: %w", err)
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
			UID: k.UID, TeamUID: k.TeamUID, KeyID: k.ID, DisplayName: k.DisplayName, SecretHint: k.SecretHint, Disabled: k.Disabled,
			ExpireTime: optional(k.ExpireTime), Etag: k.Etag, CreateTime: k.CreateTime, UpdateTime: k.UpdateTime,
		})
		if err != nil {
			return change{}, err
		}
		if err := s.writeSecrets(ctx, tx, nil, k); err != nil {
			return change{}, err
		}
		return change{kind: "key", verb: "create", uid: k.UID, name: k.Name(), author: author, after: keyDoc(k), at: k.UpdateTime}, nil
	})
	if err != nil {
		return identity.Key{}, 0, err
	}
	return k, revision, nil
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
	keys := []identity.Key{keyOf(row.Key, row.TeamID, row.LastUsedTime)}
	err = s.addSecrets(ctx, s.pool, keys)
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
		keys[i] = keyOf(row.Key, row.TeamID, row.LastUsedTime)
	}
	err = s.addSecrets(ctx, s.pool, keys)
	return keys, fault(err)
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
		keys := []identity.Key{keyOf(row.Key, row.TeamID, row.LastUsedTime)}
		if err := s.addSecrets(ctx, tx, keys); err != nil {
			return change{}, err
		}
		k = keys[0]
		before, stored := keyDoc(k), k.Secrets
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
		if err := s.writeSecrets(ctx, tx, stored, k); err != nil {
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
