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

// AddFirstAdminKey implements [identity.AdminStore].
func (s *Store) AddFirstAdminKey(ctx context.Context, author string, hash [32]byte) (bool, error) {
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		known, err := s.adminKeys(ctx, tx)
		if err != nil {
			return change{}, err
		}
		if len(known) > 0 {
			return change{}, errNotFirst
		}
		return s.insertAdminKey(ctx, tx, author, "create", hash)
	})
	if errors.Is(err, errNotFirst) {
		return false, nil
	}
	return err == nil, err
}

// SetAdminKey implements [identity.AdminStore].
func (s *Store) SetAdminKey(ctx context.Context, author string, hash [32]byte) (int, error) {
	removed := 0
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		known, err := s.adminKeys(ctx, tx)
		if err != nil {
			return change{}, err
		}
		if len(known) == 1 && known[0] == hash {
			return change{}, errUnchanged
		}
		gone, err := s.queries.AdminKeyKeep(ctx, tx, hash[:])
		if err != nil {
			return change{}, fmt.Errorf("remove admin keys: %w", err)
		}
		removed = int(gone)
		verb := "create"
		if len(known) > 0 {
			verb = "update"
		}
		return s.insertAdminKey(ctx, tx, author, verb, hash)
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// insertAdminKey stores a hash unless it is there. Whichever hashes came or went, the
// history says that admin keys changed, and replicas then read all that there are.
func (s *Store) insertAdminKey(ctx context.Context, tx pgx.Tx, author, verb string, hash [32]byte) (change, error) {
	now, err := txTime(ctx, tx)
	if err != nil {
		return change{}, err
	}
	_, err = s.queries.AdminKeyInsert(ctx, tx, dbsqlc.AdminKeyInsertParams{SecretSHA256: hash[:], CreateTime: now})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // no row: it was there already
		return change{}, fmt.Errorf("store admin key: %w", err)
	}
	return change{kind: "admin_key", verb: verb, uid: uuid.New(), name: "admin", author: author, at: now}, nil
}
