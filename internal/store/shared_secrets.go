package store

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// sharedSecretSize is the number of random bytes of a shared secret.
const sharedSecretSize = 32

// SharedSecret returns the 32 random bytes that all replicas share for a purpose,
// for example to seal page tokens. The first replica that asks makes them.
func (s *Store) SharedSecret(ctx context.Context, purpose string) ([]byte, error) {
	fresh := make([]byte, sharedSecretSize)
	rand.Read(fresh) // never fails: crypto/rand ends the program instead
	var secret []byte
	err := s.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := s.queries.SharedSecretInsert(ctx, tx, dbsqlc.SharedSecretInsertParams{Purpose: purpose, SecretValue: fresh})
		if err != nil {
			return err
		}
		secret, err = s.queries.SharedSecretGet(ctx, tx, purpose)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("shared secret %s: %w", purpose, err)
	}
	return secret, nil
}
