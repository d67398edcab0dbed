// Package pgtest gives tests real databases: each a clone of a migrated
// template, on one private Postgres per test process that starts at first use.
// It is for tests only.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// or, where goroutines are watched,
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }
//
// SIGNALBOX_TEST_DATABASE_URL makes it use a server that runs already, as a
// role that may create databases.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/postgres"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// ServerVar names the environment variable that gives a server to use instead
// of a private one.
const ServerVar = "SIGNALBOX_TEST_DATABASE_URL"

const (
	stepTimeout    = time.Minute
	poolCloseLimit = 10 * time.Second
	// maxConnections lets many parallel tests have pools of their own.
	maxConnections = 300
)

// shared is the one cluster of this test process.
var shared cluster

type cluster struct {
	mu       sync.Mutex
	started  bool
	err      error  // of the start, kept so that every test reports it
	server   string // connects to a database that always exists
	template string // name of the migrated database, "" until it is made
	private  *postgres.Server
	dir      string
}

// Runner is a [testing.M] that stops the cluster after the tests.
type Runner struct{ m *testing.M }

// Wrap makes a Runner, which goleak accepts in place of m.
func Wrap(m *testing.M) Runner { return Runner{m: m} }

// Run runs the tests, stops the cluster and returns the exit code.
func (r Runner) Run() int {
	code := r.m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// Main runs the tests, stops the cluster and returns the exit code.
func Main(m *testing.M) int { return Wrap(m).Run() }

// New returns a pool on a fresh migrated database, which is dropped when the
// test ends.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := stepContext()
	defer cancel()
	pool, err := pgxpool.New(ctx, ConnString(t))
	if err != nil {
		t.Fatalf("pgtest: open a pool: %v", err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			pool.Close()
		}()
		select {
		case <-closed:
		case <-time.After(poolCloseLimit):
			t.Errorf("pgtest: the test ended with %d connections of its pool in use", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

// ConnString connects this process and others of its user to a fresh migrated
// database, which is dropped when the test ends.
func ConnString(t testing.TB) string {
	t.Helper()
	return create(t, true)
}

// Empty connects to a fresh database without any tables, which is dropped when
// the test ends.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, false)
}

// create makes a database for a test.
func create(t testing.TB, migrated bool) string {
	t.Helper()
	ctx, cancel := stepContext()
	defer cancel()
	from := "template0"
	server, template, err := shared.start(ctx, migrated)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if migrated {
		from = template
	}
	name := newName("")
	if err := createDatabase(ctx, server, name, from); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := stepContext()
		defer cancel()
		if err := dropDatabase(ctx, server, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return withDatabase(server, name)
}

// start starts the cluster and makes the template if they are needed and not
// there. A failure stays: trying again would only make the tests slow.
func (c *cluster) start(ctx context.Context, migrated bool) (server, template string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return "", "", c.err
	}
	if !c.started {
		if c.err = c.startServer(ctx); c.err != nil {
			return "", "", c.err
		}
		c.started = true
	}
	if migrated && c.template == "" {
		name := newName("template_")
		if c.err = makeTemplate(ctx, c.server, name); c.err != nil {
			return "", "", c.err
		}
		c.template = name
	}
	return c.server, c.template, nil
}

func (c *cluster) startServer(ctx context.Context) error {
	if given := os.Getenv(ServerVar); given != "" {
		c.server = given
		return nil
	}
	dir, err := os.MkdirTemp("", "signalbox-pgtest-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	s, err := postgres.Start(ctx, postgres.Config{Dir: dir, NoSync: true, MaxConnections: maxConnections})
	if err != nil {
		return errors.Join(fmt.Errorf("start a private Postgres: %w", err), os.RemoveAll(dir))
	}
	c.private, c.dir = s, dir
	// Tests start other processes that need the database as well.
	if c.server = s.ExternalConnString(); c.server == "" {
		c.server = s.ConnString()
	}
	return nil
}

func makeTemplate(ctx context.Context, server, name string) error {
	if err := createDatabase(ctx, server, name, "template0"); err != nil {
		return err
	}
	m, err := store.NewMigrator(store.MigratorConfig{ConnString: withDatabase(server, name)})
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	// Nobody may be connected to a database that is cloned.
	return errors.Join(err, m.Close())
}

func (c *cluster) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return nil
	}
	c.started = false
	ctx, cancel := stepContext()
	defer cancel()
	if c.private == nil {
		if c.template == "" {
			return nil
		}
		return dropDatabase(ctx, c.server, c.template)
	}
	return errors.Join(c.private.Stop(ctx), os.RemoveAll(c.dir))
}

func createDatabase(ctx context.Context, server, name, template string) error {
	return execute(ctx, server, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s",
		pgx.Identifier{name}.Sanitize(), pgx.Identifier{template}.Sanitize()))
}

func dropDatabase(ctx context.Context, server, name string) error {
	return execute(ctx, server, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", pgx.Identifier{name}.Sanitize()))
}

func execute(ctx context.Context, conn, sql string) error {
	c, err := pgx.Connect(ctx, conn)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = c.Exec(ctx, sql)
	if err != nil {
		err = fmt.Errorf("%s: %w", sql, err)
	}
	return errors.Join(err, c.Close(ctx))
}

// newName never collides on a server that several test processes share.
func newName(kind string) string {
	return "signalbox_test_" + kind + strings.ToLower(rand.Text())
}

// withDatabase changes the database of a URL or a keyword string, in which the
// last value counts.
func withDatabase(conn, name string) string {
	if u, err := url.Parse(conn); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.Path = "/" + name
		return u.String()
	}
	return conn + " dbname=" + name
}

// stepContext bounds what this package does for a test. It is not the test's
// own, which has ended when the database is dropped.
func stepContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), stepTimeout)
}
