package cli

import (
	"context"
	"errors"
	"path"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// stopTimeout bounds the stop of a private Postgres.
const stopTimeout = 30 * time.Second

func (p *program) migrateCommand() *cobra.Command {
	cmd := parent("migrate", "Change or show the schema of the database",
		p.migrateUp(), p.migrateDown(), p.migrateStatus())
	cmd.Long = `Change or show the schema of the database: the one of --database-url, or the private one of
the data folder, which no gateway may be using meanwhile. "serve" brings it up to date by
itself.`
	config.AddFlags(cmd.PersistentFlags())
	return cmd
}

func (p *program) migrateUp() *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Apply every migration that is missing", Args: cobra.NoArgs,
		RunE: p.migrating(func(cmd *cobra.Command, m *store.Migrator) error {
			done, err := m.Up(cmd.Context())
			return errors.Join(p.printMigrated("applied", done), err)
		}),
	}
}

func (p *program) migrateDown() *cobra.Command {
	var to int64
	cmd := &cobra.Command{
		Use: "down --to VERSION", Short: "Take back every migration above a version, and the data that only they hold", Args: cobra.NoArgs,
		RunE: p.migrating(func(cmd *cobra.Command, m *store.Migrator) error {
			if to < 0 {
				return usagef("--to must not be negative")
			}
			done, err := m.Down(cmd.Context(), to)
			return errors.Join(p.printMigrated("taken back", done), err)
		}),
	}
	cmd.Flags().Int64Var(&to, "to", 0, "version that is left; 0 takes back all")
	must(cmd.MarkFlagRequired("to"))
	return cmd
}

func (p *program) migrateStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the migrations there are", Args: cobra.NoArgs,
		RunE: p.migrating(func(cmd *cobra.Command, m *store.Migrator) error {
			all, err := m.Status(cmd.Context())
			if err != nil {
				return err
			}
			t := table{header: []string{"VERSION", "MIGRATION", "APPLIED"}}
			for _, one := range all {
				applied := "no"
				if !one.AppliedTime.IsZero() {
					applied = p.when(timestamppb.New(one.AppliedTime))
				}
				t.rows = append(t.rows, []string{strconv.FormatInt(one.Version, 10), path.Base(one.Name), applied})
			}
			return p.printTable(t)
		}),
	}
}

func (p *program) printMigrated(how string, done []store.Migration) error {
	if len(done) == 0 {
		p.note("no migration was %s", how)
		return nil
	}
	t := table{}
	for _, one := range done {
		t.rows = append(t.rows, []string{how, path.Base(one.Name)})
	}
	return p.printTable(t)
}

// migrating opens the database for an action.
func (p *program) migrating(a func(cmd *cobra.Command, m *store.Migrator) error) func(*cobra.Command, []string) error {
	return run(func(cmd *cobra.Command, _ []string) error {
		if err := ranLocally(cmd); err != nil {
			return err
		}
		cfg, logger, err := p.loadConfig(cmd)
		if err != nil {
			return err
		}
		dsn, stop, err := app.OpenDatabase(cmd.Context(), cfg, logger)
		if err != nil {
			return doingf(err, "open the database")
		}
		m, err := store.NewMigrator(store.MigratorConfig{ConnString: dsn, Logger: logger})
		if err == nil {
			err = errors.Join(a(cmd, m), m.Close())
		}
		// An interrupt must not leave the private Postgres behind.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), stopTimeout)
		defer cancel()
		return errors.Join(err, stop(ctx))
	})
}
