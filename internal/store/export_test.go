package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// SinceKnown is Since for who followed this database all along.
func (s *Store) SinceKnown(ctx context.Context, after int64) (snapshot.Delta, error) {
	var mark string
	err := s.inTx(ctx, consistent, func(ctx context.Context, tx pgx.Tx) (err error) {
		mark, err = s.mark(ctx, tx, after)
		return err
	})
	if err != nil {
		return snapshot.Delta{}, err
	}
	return s.Since(ctx, after, mark)
}
