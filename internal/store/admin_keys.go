package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ identity.AdminStore = (*Store)(nil)

// errNotFirst ends a transaction that found an admin key where none should be.
var errNotFirst = errors.New("there is an admin key")

// AdminKeys implements [identity.AdminStore].
func (s *Store) AdminKeys(ctx context.Context) ([][32]byte, error) {
	hashes, err := s.adminKeys(ctx, s.pool)
	return hashes, fault(err)
}

func (s *Store) adminKeys(ctx context.Context, db dbsqlc.DBTX) ([][32]byte, error) {
	rows, err := s.queries.AdminKeyList(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("read admin keys: %w", err)
	}
	hashes := make([][32]byte, len(rows))
	for i, row := range rows {
		copy(hashes[i][:], row) // a CHECK holds its length
	}
	return hashes, nil
}

// AddAdminKey implements [identity.AdminStore].
func (s *Store) AddAdminKey(ctx context.Context, author string, hash [32]byte, onlyFirst bool) (bool, error) {
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		if onlyFirst {
			known, err := s.adminKeys(ctx, tx)
			if err != nil {
				return change{}, err
			}
			if len(known) > 0 {
				return change{}, errNotFirst
			}
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		_, err = s.queries.AdminKeyInsert(ctx, tx, dbsqlc.AdminKeyInsertParams{SecretSHA256: hash[:], CreateTime: now})
		if errors.Is(err, pgx.ErrNoRows) {
			return change{}, errUnchanged
		}
		return change{kind: "admin_key", verb: "create", uid: uuid.New(), name: "admin", author: author, at: now}, err
	})
	if errors.Is(err, errNotFirst) {
		return false, nil
	}
	return err == nil, err
}
