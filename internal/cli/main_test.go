package cli_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/cli"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/demo"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/postgres"
)

// TestMain lets the test binary stand in for the signalbox binary when a benchmark
// starts it, or Postgres is fetched.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case postgres.FetchArg:
			os.Exit(postgres.FetchMain(os.Args[2:]))
		case "serve", "bench":
			os.Exit(serveForBench())
		}
	}
	goleak.VerifyTestMain(pgtest.Wrap(m))
}

// gateway is a real gateway in this process, with the sample agents.
type gateway struct {
	url   string
	admin string
	demo  *demo.Demo
	home  string // of those who use it
}

func startGateway(t *testing.T) *gateway {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(flags)
	dir := t.TempDir()
	err := flags.Parse([]string{
		"--listen", "127.0.0.1:0", "--data-dir", dir, "--database-url", pgtest.ConnString(t), "--drain-timeout", "6s",
		"--audit-spool-bytes", "67108864",
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(flags)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, logger)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("the gateway stopped with: %v", err)
		}
	})
	<-a.Ready()
	d, err := demo.Start(ctx, demo.Options{GatewayURL: a.URL(), AdminKey: a.AdminKey(), DataDir: dir, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("the agents stopped with: %v", err)
		}
	})
	return &gateway{url: a.URL(), admin: a.AdminKey(), demo: d, home: t.TempDir()}
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// run runs a command as a user would who has the admin key, or for call the demo key.
func (g *gateway) run(t *testing.T, args ...string) result {
	t.Helper()
	key := g.admin
	if args[0] == "call" {
		key = g.demo.Key()
	}
	return g.runAs(t, key, "", args...)
}

func (g *gateway) runAs(t *testing.T, key, stdin string, args ...string) result {
	t.Helper()
	return runWith(t, map[string]string{"SIGNALBOX_SERVER": g.url, "SIGNALBOX_KEY": key, "HOME": g.home}, stdin, args...)
}

func runWith(t *testing.T, env map[string]string, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code := cli.Main(ctx, args, cli.Config{
		In: strings.NewReader(stdin), Out: &out, Err: &errs, WorkDir: filepath.Join(env["HOME"], "work"), Location: time.UTC,
		Getenv: func(name string) string { return env[name] },
	})
	return result{code: code, out: out.String(), err: errs.String()}
}

// ok fails the test unless the command did what it was asked to.
func (r result) ok(t *testing.T) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code %d\nstdout:\n%s\nstderr:\n%s", r.code, r.out, r.err)
	}
	return r
}

// lines is a writer whose reader can wait for a line.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{}, 1)} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns what was written once it contains a text.
func (l *lines) wait(t *testing.T, want string) string {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		if text := l.String(); strings.Contains(text, want) {
			return text
		}
		select {
		case <-l.changed:
		case <-deadline:
			t.Fatalf("%q was not written within a minute; got:\n%s", want, l)
		}
	}
}

var _ io.Writer = (*lines)(nil)

// testWriter writes the log of a gateway to that of a test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("gateway: %s", bytes.TrimSpace(b))
	return len(b), nil
}
