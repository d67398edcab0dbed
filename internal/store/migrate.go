package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/signalbox-dev/signalbox/db"
)

// ErrUnknownMigration means that the database has a migration that this program
// does not have: a newer program made it, and only that one can take it back.
var ErrUnknownMigration = errors.New("the database has a migration that this version of Signalbox does not know")

// Replicas that start together wait for the one that migrates: a try each
// second, for five minutes.
const (
	migrateLockPeriod = time.Second
	migrateLockTries  = 300
)

// MigratorConfig says which database to migrate and how.
type MigratorConfig struct {
	// ConnString is the database's URL or keyword string. Required.
	ConnString string
	// Migrations holds the numbered SQL files; nil means Signalbox's own.
	Migrations fs.FS
	// TableLock excludes other migrators by a row instead of a session lock. It
	// is for poolers in transaction mode and engines without advisory locks.
	TableLock bool
	// Logger gets a line for each migration; nil discards.
	Logger *slog.Logger
}

// Migrator changes the schema of one database, step by step and never two at a
// time, whoever runs them.
type Migrator struct {
	db       *sql.DB
	provider *goose.Provider
	log      *slog.Logger
}

// Migration is one step of the schema.
type Migration struct {
	Version     int64
	Name        string    // of its file
	AppliedTime time.Time // zero when it is not applied
}

// NewMigrator makes a Migrator; it connects at the first use. The caller closes
// it.
func NewMigrator(cfg MigratorConfig) (*Migrator, error) {
	if cfg.ConnString == "" {
		return nil, errors.New("store: MigratorConfig.ConnString is required")
	}
	conn, err := pgx.ParseConfig(cfg.ConnString)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	files := cfg.Migrations
	if files == nil {
		if files, err = fs.Sub(db.Migrations, "migrations"); err != nil {
			return nil, fmt.Errorf("open the migrations: %w", err)
		}
	}
	locker, err := migrationLock(cfg.TableLock)
	if err != nil {
		return nil, fmt.Errorf("prepare the migration lock: %w", err)
	}
	handle := stdlib.OpenDB(*conn)
	provider, err := goose.NewProvider(goose.DialectPostgres, handle, files, locker,
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the migrations: %w", err), handle.Close())
	}
	return &Migrator{
		db: handle, provider: provider,
		log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
	}, nil
}

func migrationLock(byTable bool) (goose.ProviderOption, error) {
	if byTable {
		l, err := lock.NewPostgresTableLocker(
			lock.WithTableLockTimeout(migrateLockPeriod, migrateLockTries),
			lock.WithTableLogger(slog.New(slog.DiscardHandler)), // its errors are returned as well
		)
		return goose.WithLocker(l), err
	}
	l, err := lock.NewPostgresSessionLocker(
		lock.WithLockTimeout(uint64(migrateLockPeriod/time.Second), migrateLockTries))
	return goose.WithSessionLocker(l), err
}

// Up applies every migration that is missing and returns those, in order. A
// database that is ahead of this program is left as it is.
func (m *Migrator) Up(ctx context.Context) ([]Migration, error) {
	results, err := m.provider.Up(ctx)
	return m.finish(ctx, "up", results, err)
}

// Down takes back every migration above the version, newest first, and returns
// those; 0 takes back all. It drops the data that only they can hold. It
// returns [ErrUnknownMigration] when the database is ahead of this program.
func (m *Migrator) Down(ctx context.Context, toVersion int64) ([]Migration, error) {
	results, err := m.provider.DownTo(ctx, toVersion)
	if errors.Is(err, goose.ErrVersionNotFound) {
		return nil, fmt.Errorf("migrate down: %w: %w", ErrUnknownMigration, err)
	}
	return m.finish(ctx, "down", results, err)
}

// finish logs and returns what was done, also before a failure.
func (m *Migrator) finish(ctx context.Context, direction string, results []*goose.MigrationResult, err error) ([]Migration, error) {
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
		err = fmt.Errorf("%s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	}
	done := make([]Migration, 0, len(results))
	for _, r := range results {
		done = append(done, Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path)})
		m.log.LogAttrs(ctx, slog.LevelInfo, "migrated", slog.String("direction", direction),
			slog.String("migration", path.Base(r.Source.Path)), slog.Duration("duration", r.Duration))
	}
	if err != nil {
		return done, fmt.Errorf("migrate %s: %w", direction, err)
	}
	return done, nil
}

// Status returns all migrations of this program, oldest first, with those that
// are not applied.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	status, err := m.provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of the migrations: %w", err)
	}
	all := make([]Migration, 0, len(status))
	for _, s := range status {
		all = append(all, Migration{Version: s.Source.Version, Name: path.Base(s.Source.Path), AppliedTime: s.AppliedAt})
	}
	return all, nil
}

// Close closes the Migrator's connections.
func (m *Migrator) Close() error {
	if err := m.db.Close(); err != nil {
		return fmt.Errorf("close the migrator: %w", err)
	}
	return nil
}
