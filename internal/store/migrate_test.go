package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/db"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

// special gives the SQL value for a column ("table.column") whose constraints
// the values that fillAll makes up do not meet.
func special() map[string]string {
	return map[string]string{
		// Only a suspended agent has a time of its suspension.
		"agents.lifecycle_state": "'APPROVED'",
		"agents.suspend_time":    "NULL",
		// It goes with what is sealed, which is nothing unless it is given.
		"agents.credential": "NULL",
		// Names with a form.
		"key_certificates.certificate_name": "'DNS:x'",
		"grants.grant_id":                   "'g-1'",
		// The first role of the list holds everywhere alone.
		"role_members.role_name": "'auditor'",
	}
}

func TestMigrator_GoesUpDownAndUpOnAFilledDatabase(t *testing.T) {
	ctx := t.Context()
	conn, m := newMigrator(t, store.MigratorConfig{})
	applied, err := m.Up(ctx)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(db.Migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(applied), len(files); got != want {
		t.Fatalf("%d migrations applied, want the %d files", got, want)
	}
	c := connect(t, conn)
	schema := describe(t, c)
	newest := applied[len(applied)-1].Version

	// Each step down and up again, over the same data: it must stand in
	// nobody's way, and what is older must keep its rows.
	fillAll(t, c)
	for _, step := range slices.Backward(applied) {
		below := step.Version - 1
		if _, err := m.Down(ctx, below); err != nil {
			t.Fatalf("down to %d: %v", below, err)
		}
		kept := rows(t, c)
		for table, n := range kept {
			if n == 0 {
				t.Errorf("down to %d emptied %s", below, table)
			}
		}
		if below == 0 && len(kept) > 0 {
			t.Errorf("tables left at version 0: %v", kept)
		}
		if _, err := m.Up(ctx); err != nil {
			t.Fatalf("up to %d from %d: %v", newest, below, err)
		}
		if diff := cmp.Diff(schema, describe(t, c)); diff != "" {
			t.Errorf("the schema differs after down to %d and up (-before +after)\n%s", below, diff)
		}
		for table, n := range rows(t, c) {
			if had, older := kept[table]; older && n != had {
				t.Errorf("%s has %d rows after down to %d and up, had %d", table, n, below, had)
			}
		}
	}
	fillAll(t, c) // what was made anew takes rows like the first
}

func TestMigrator_FindsNothingToDoTheSecondTime(t *testing.T) {
	_, m := newMigrator(t, store.MigratorConfig{})
	for _, want := range []bool{true, false} {
		applied, err := m.Up(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(applied) > 0; got != want {
			t.Errorf("applied %v", applied)
		}
	}
}

func twoSteps() fstest.MapFS {
	return fstest.MapFS{
		"00001_one.sql": {Data: []byte("-- +goose Up\nCREATE TABLE one (n int);\n-- +goose Down\nDROP TABLE one;\n")},
		"00002_two.sql": {Data: []byte("-- +goose Up\nCREATE TABLE two (n int);\n-- +goose Down\nDROP TABLE two;\n")},
	}
}

func TestMigrator_StatusTellsWhatIsApplied(t *testing.T) {
	ctx := t.Context()
	for _, tableLock := range []bool{false, true} {
		t.Run(fmt.Sprintf("table lock %v", tableLock), func(t *testing.T) {
			_, m := newMigrator(t, store.MigratorConfig{Migrations: twoSteps(), TableLock: tableLock})
			wantStatus(t, m, "1 00001_one.sql pending", "2 00002_two.sql pending")
			if _, err := m.Up(ctx); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, m, "1 00001_one.sql applied", "2 00002_two.sql applied")
			done, err := m.Down(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]store.Migration{{Version: 2, Name: "00002_two.sql"}}, done); diff != "" {
				t.Errorf("Down (-want +got)\n%s", diff)
			}
			wantStatus(t, m, "1 00001_one.sql applied", "2 00002_two.sql pending")
		})
	}
}

func TestMigrator_ReturnsWhatWasDoneBeforeAFailure(t *testing.T) {
	files := twoSteps()
	files["00003_three.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE one (n int);\n")}
	_, m := newMigrator(t, store.MigratorConfig{Migrations: files})
	done, err := m.Up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "00003_three.sql") {
		t.Errorf("Up: %v, want the file's name", err)
	}
	if len(done) != 2 {
		t.Errorf("done %v, want the first two", done)
	}
	wantStatus(t, m, "1 00001_one.sql applied", "2 00002_two.sql applied", "3 00003_three.sql pending")
}

func TestMigrator_OlderProgramLeavesANewerDatabaseAlone(t *testing.T) {
	ctx := t.Context()
	conn, newer := newMigrator(t, store.MigratorConfig{Migrations: twoSteps()})
	if _, err := newer.Up(ctx); err != nil {
		t.Fatal(err)
	}
	old := twoSteps()
	delete(old, "00002_two.sql")
	_, older := newMigrator(t, store.MigratorConfig{ConnString: conn, Migrations: old})
	if done, err := older.Up(ctx); err != nil || len(done) > 0 {
		t.Errorf("Up = %v, %v; want nothing", done, err)
	}
	if _, err := older.Down(ctx, 0); !errors.Is(err, store.ErrUnknownMigration) {
		t.Errorf("Down: %v, want ErrUnknownMigration", err)
	}
	wantStatus(t, newer, "1 00001_one.sql applied", "2 00002_two.sql applied")
}

// Replicas of a new version start at the same time.
func TestMigrator_ConcurrentUpsApplyEachMigrationOnce(t *testing.T) {
	for _, tableLock := range []bool{false, true} {
		t.Run(fmt.Sprintf("table lock %v", tableLock), func(t *testing.T) {
			conn := pgtest.Empty(t)
			var (
				wg    sync.WaitGroup
				mu    sync.Mutex
				total int
			)
			for range 4 {
				_, m := newMigrator(t, store.MigratorConfig{ConnString: conn, TableLock: tableLock})
				wg.Go(func() {
					done, err := m.Up(t.Context())
					if err != nil {
						t.Errorf("Up: %v", err)
					}
					mu.Lock()
					defer mu.Unlock()
					total += len(done)
				})
			}
			wg.Wait()
			files, err := fs.Glob(db.Migrations, "migrations/*.sql")
			if err != nil {
				t.Fatal(err)
			}
			if total != len(files) {
				t.Errorf("%d migrations applied by all together, want %d", total, len(files))
			}
		})
	}
}

func TestNewMigrator_RefusesABadConfig(t *testing.T) {
	for name, cfg := range map[string]store.MigratorConfig{
		"no database":   {},
		"bad URL":       {ConnString: "postgres://[::1"},
		"no migrations": {ConnString: "host=/nowhere", Migrations: fstest.MapFS{}},
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := store.NewMigrator(cfg); err == nil {
				_ = m.Close()
				t.Error("no error")
			}
		})
	}
}

// newMigrator fills in an empty database if none is given.
func newMigrator(t *testing.T, cfg store.MigratorConfig) (conn string, m *store.Migrator) {
	t.Helper()
	if cfg.ConnString == "" {
		cfg.ConnString = pgtest.Empty(t)
	}
	m, err := store.NewMigrator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return cfg.ConnString, m
}

func wantStatus(t *testing.T, m *store.Migrator, want ...string) {
	t.Helper()
	status, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range status {
		state := "applied"
		if s.AppliedTime.IsZero() {
			state = "pending"
		}
		got = append(got, fmt.Sprintf("%d %s %s", s.Version, s.Name, state))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Status (-want +got)\n%s", diff)
	}
}

func connect(t *testing.T, conn string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(conn)
	if err != nil {
		t.Fatal(err)
	}
	// The schema changes under this connection: nothing may be cached.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// fillAll puts a row into every table that has none. All ids are the same, so
// that references hold once the table they point to has its row.
func fillAll(t *testing.T, c *pgx.Conn) {
	t.Helper()
	counts := rows(t, c)
	empty := slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), func(table string) bool { return counts[table] > 0 })
	for len(empty) > 0 {
		var waiting []string
		var last error
		for _, table := range empty {
			_, err := c.Exec(t.Context(), insertInto(t, c, table))
			pgErr, _ := errors.AsType[*pgconn.PgError](err)
			switch {
			case err == nil:
			case pgErr != nil && pgErr.Code == foreignKeyViolation:
				waiting, last = append(waiting, table), err
			default:
				t.Fatalf("fill table %s (see special): %v", table, err)
			}
		}
		if len(waiting) == len(empty) {
			t.Fatalf("fill tables %v: %v", waiting, last)
		}
		empty = waiting
	}
}

const foreignKeyViolation = "23503"

// insertInto makes up a row: every column without a default gets a value, the
// nullable ones too. Where a check lists what is allowed it is the first.
func insertInto(t *testing.T, c *pgx.Conn, table string) string {
	t.Helper()
	found, err := c.Query(t.Context(), `
		SELECT a.attname::text, format_type(a.atttypid, NULL),
		    coalesce((
		        SELECT substring(pg_get_constraintdef(k.oid) FROM '\((?:''[^'']*''::text|ARRAY\[''[^'']*''::text)')
		        FROM pg_constraint k
		        WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
		        LIMIT 1
		    ), '')
		FROM pg_attribute a
		WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
		    AND NOT a.atthasdef AND a.attidentity = ''
		ORDER BY a.attnum`, table)
	if err != nil {
		t.Fatal(err)
	}
	var (
		columns, values    []string
		name, kind, listed string
	)
	_, err = pgx.ForEachRow(found, []any{&name, &kind, &listed}, func() error {
		value, ok := special()[table+"."+name]
		switch _, allowed, isList := strings.Cut(listed, "'"); {
		case ok:
		case isList:
			allowed, _, _ = strings.Cut(allowed, "'")
			value = "'" + allowed + "'"
		default:
			if value, ok = madeUp()[strings.TrimSuffix(kind, "[]")]; !ok {
				return fmt.Errorf("no value is known for %s.%s of type %s; add one", table, name, kind)
			}
			if strings.HasSuffix(kind, "[]") {
				value = "'{}'"
			}
		}
		columns, values = append(columns, pgx.Identifier{name}.Sanitize()), append(values, value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(columns) == 0 {
		return fmt.Sprintf("INSERT INTO %s DEFAULT VALUES", table)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(columns, ", "), strings.Join(values, ", "))
}

// madeUp has a value for each type that the schema uses.
func madeUp() map[string]string {
	return map[string]string{
		"uuid":                     "'00000000-0000-7000-8000-000000000001'",
		"text":                     "'x'",
		"bigint":                   "1",
		"integer":                  "1",
		"smallint":                 "1",
		"double precision":         "1",
		"boolean":                  "true",
		"timestamp with time zone": "now()",
		"bytea":                    "sha256('x')", // 32 bytes, as hashes of secrets must have
		"jsonb":                    "'{}'",
	}
}

// rows counts the rows of each of our tables.
func rows(t *testing.T, c *pgx.Conn) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for _, table := range list(t, c, `
		SELECT relname::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
		    AND relname NOT LIKE 'goose\_%'`) {
		var n int
		if err := c.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

// describe lists everything that makes up the schema.
func describe(t *testing.T, c *pgx.Conn) []string {
	t.Helper()
	return slices.Concat(
		list(t, c, `
			SELECT format('column %s.%s %s null=%s default=%s', table_name, column_name, data_type, is_nullable, column_default)
			FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`),
		list(t, c, `
			SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
			FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY conrelid::regclass::text, conname`),
		list(t, c, `SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname`),
		list(t, c, `
			SELECT format('trigger %s: %s', tgname, pg_get_triggerdef(oid))
			FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname`),
		list(t, c, `
			SELECT format('function %s: %s', proname, pg_get_functiondef(oid))
			FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname`),
	)
}

func list(t *testing.T, c *pgx.Conn, sql string) []string {
	t.Helper()
	found, err := c.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return values
}
