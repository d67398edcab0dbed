package pgtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

func count(t *testing.T, conn, sql string, args ...any) int {
	t.Helper()
	c, err := pgx.Connect(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var n int
	if err := c.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

const tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"

func TestNew_IsMigratedAndApartFromOthers(t *testing.T) {
	t.Parallel()
	one, two := pgtest.New(t), pgtest.New(t)
	const insert = "INSERT INTO shared_secrets (purpose, secret_value) VALUES ('test', 'x')"
	for _, pool := range []interface {
		Ping(context.Context) error
	}{one, two} {
		if err := pool.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Exec(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Exec(t.Context(), insert); err != nil {
		t.Errorf("the second database has the row of the first: %v", err)
	}
}

func TestEmpty_HasNoTables(t *testing.T) {
	t.Parallel()
	if n := count(t, pgtest.Empty(t), tables); n != 0 {
		t.Errorf("%d tables, want none", n)
	}
}

func TestConnString_DatabaseIsDroppedAfterTheTest(t *testing.T) {
	server := pgtest.Empty(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		conn := pgtest.ConnString(t)
		cfg, err := pgx.ParseConfig(conn)
		if err != nil {
			t.Fatal(err)
		}
		name = cfg.Database
		if n := count(t, conn, tables); n == 0 {
			t.Error("no tables, want those of the migrations")
		}
	})
	if n := count(t, server, "SELECT count(*) FROM pg_database WHERE datname = $1", name); n != 0 {
		t.Errorf("the database %s is still there", name)
	}
}

func TestFreeze_HangsUntilThawed(t *testing.T) {
	pool := pgtest.New(t)
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		thaw := pgtest.Freeze(t)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := pool.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping while frozen: %v, want to wait in vain", err)
		}
		cancel()

		answered := make(chan error, 1)
		go func() { answered <- pool.Ping(context.Background()) }()
		select {
		case err := <-answered:
			t.Errorf("Ping while frozen returned: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		thaw()
		thaw() // again, which does nothing
		if err := <-answered; err != nil {
			t.Errorf("Ping after the thaw: %v", err)
		}
	}
	pgtest.Freeze(t) // the end of the test must thaw, or its cleanup hangs
}
