package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/idtoken"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// openIdentities makes what tells agents who calls, with keys that kek seals.
func (a *App) openIdentities(ctx context.Context, s *store.Store, kek *seal.Ring) (httpauth.Identities, error) {
	keys, err := signkey.Open(ctx, signkey.Config{Purpose: idtoken.Keys(), Store: s, Seal: kek, Logger: a.logger})
	if err != nil {
		return nil, fmt.Errorf("open the keys for identity tokens: %w", err)
	}
	a.tokenKeys = keys
	var shared []byte
	if a.cfg.PublicURL == "" {
		if shared, err = s.SharedSecret(ctx, "identity-token-issuer"); err != nil {
			return nil, err
		}
	}
	name := idtoken.IssuerName(a.cfg.PublicURL, shared)
	if a.cfg.PublicURL == "" {
		a.logger.LogAttrs(ctx, slog.LevelInfo, "public_url is not set: identity tokens for agents name their issuer so", slog.String("iss", name))
	}
	return idtoken.New(idtoken.Config{Keys: keys, Name: name})
}
