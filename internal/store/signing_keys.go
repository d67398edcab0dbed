package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ signkey.Store = (*Store)(nil)

// SigningKeys returns the keys of a purpose that are not retired.
func (s *Store) SigningKeys(ctx context.Context, purpose string, at time.Time) ([]signkey.StoredKey, error) {
	rows, err := s.queries.SigningKeyList(ctx, s.pool, dbsqlc.SigningKeyListParams{Purpose: purpose, At: at})
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", fault(err))
	}
	keys := make([]signkey.StoredKey, len(rows))
	for i, row := range rows {
		keys[i] = signkey.StoredKey{
			KID: row.Kid, Public: row.PublicJwk, Private: seal.Sealed{KeyID: row.KekID, Data: row.SealedPrivateKey},
			CreateTime: row.CreateTime.UTC(), SignTime: row.SignTime.UTC(), RetireTime: moment(row.RetireTime),
		}
	}
	return keys, nil
}

// AddSigningKey makes a key the newest of its purpose.
func (s *Store) AddSigningKey(ctx context.Context, purpose string, k signkey.StoredKey, replaces string, retire time.Time) (bool, error) {
	err := s.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if replaces != "" {
			n, err := s.queries.SigningKeyRetire(ctx, tx, dbsqlc.SigningKeyRetireParams{Kid: replaces, Purpose: purpose, RetireTime: retire})
			if err != nil {
				return err
			}
			if n == 0 {
				return errUnchanged
			}
		}
		n, err := s.queries.SigningKeyInsert(ctx, tx, dbsqlc.SigningKeyInsertParams{
			Kid: k.KID, Purpose: purpose, PublicJwk: k.Public, SealedPrivateKey: k.Private.Data, KekID: k.Private.KeyID,
			CreateTime: k.CreateTime, SignTime: k.SignTime,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return errUnchanged
		}
		return s.queries.SigningKeyPurge(ctx, tx, dbsqlc.SigningKeyPurgeParams{Purpose: purpose, At: k.CreateTime})
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("add signing key: %w", err)
	}
	return true, nil
}

// ResealSigningKey replaces a private key that is still sealed with an older key.
func (s *Store) ResealSigningKey(ctx context.Context, kid, sealedWith string, private seal.Sealed) error {
	err := s.queries.SigningKeyReseal(ctx, s.pool, dbsqlc.SigningKeyResealParams{
		Kid: kid, OldKekID: sealedWith, SealedPrivateKey: private.Data, KekID: private.KeyID,
	})
	if err != nil {
		return fmt.Errorf("reseal signing key %s: %w", kid, fault(err))
	}
	return nil
}
