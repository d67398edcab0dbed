package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/postgres"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// OpenDatabase returns the connection string of the configured Postgres, or starts
// the private one when none is configured. stop ends what was started.
func OpenDatabase(ctx context.Context, cfg *config.Config, logger *slog.Logger) (dsn string, stop func(context.Context) error, err error) {
	if cfg.DatabaseURL != "" {
		return string(cfg.DatabaseURL), func(context.Context) error { return nil }, nil
	}
	server, err := startPrivate(ctx, cfg, logger)
	if err != nil {
		return "", nil, err
	}
	return server.ConnString(), server.Stop, nil
}

func startPrivate(ctx context.Context, cfg *config.Config, logger *slog.Logger) (*postgres.Server, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	server, err := postgres.Start(ctx, postgres.Config{
		Dir: filepath.Join(cfg.DataDir, "postgres"), CacheDir: filepath.Join(cfg.DataDir, "cache", "postgres"),
		Logger: logger.With(slog.String("component", "postgres")),
	})
	if err != nil {
		return nil, fmt.Errorf("start the private Postgres: %w", err)
	}
	return server, nil
}

// migrate brings the schema up to date.
func migrate(ctx context.Context, dsn string, logger *slog.Logger) error {
	migrator, err := store.NewMigrator(store.MigratorConfig{ConnString: dsn, Logger: logger})
	if err != nil {
		return err
	}
	_, err = migrator.Up(ctx)
	if closeErr := migrator.Close(); err == nil {
		err = closeErr
	}
	return err
}

func newPool(ctx context.Context, dsn string, maxConnections int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the database address: %w", err)
	}
	cfg.MaxConns = maxConnections
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return pool, nil
}
