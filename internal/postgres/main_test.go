package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/postgres"
)

// childVar names the folder on which a copy of this test binary acts as a
// gateway, so that tests can kill one.
const childVar = "SIGNALBOX_TEST_GATEWAY_DIR"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == postgres.FetchArg {
		os.Exit(postgres.FetchMain(os.Args[2:]))
	}
	if dir := os.Getenv(childVar); dir != "" {
		os.Exit(gatewayMain(dir))
	}
	goleak.VerifyTestMain(m)
}

// childReport is the one line that a child gateway prints once it serves.
type childReport struct {
	Error    string
	PID      int
	External string
}

// gatewayMain runs a private Postgres until its standard input ends.
func gatewayMain(dir string) int {
	ctx := context.Background()
	out := json.NewEncoder(os.Stdout)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := postgres.Start(ctx, postgres.Config{Dir: dir, NoSync: true, Logger: log})
	if err != nil {
		_ = out.Encode(childReport{Error: err.Error()})
		return 1
	}
	_ = out.Encode(childReport{PID: s.PID(), External: s.ExternalConnString()})
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(ctx); err != nil {
		return 1
	}
	return 0
}

// child is a gateway in a process of its own.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
	ended bool
}

// spawn starts a child gateway and does not wait for it to serve. A nil
// credential runs it as the caller.
func spawn(t *testing.T, dir string, cred *syscall.Credential) *child {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), executable(t))
	cmd.Env = append(os.Environ(), childVar+"="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Postgres inherits none of the child's output, so this ends with it.
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a child gateway: %v", err)
	}
	c := &child{t: t, cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(c.kill)
	return c
}

// executable is a name of this binary that any user may run.
func executable(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		return "/proc/self/exe"
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// ready waits until the child serves.
func (c *child) ready() childReport {
	c.t.Helper()
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		c.t.Fatalf("read what the child gateway reports: %v", err)
	}
	var r childReport
	if err := json.Unmarshal(line, &r); err != nil {
		c.t.Fatalf("read what the child gateway reports: %v", err)
	}
	if r.Error != "" {
		c.t.Fatalf("the child gateway did not start: %s", r.Error)
	}
	return r
}

// kill ends the child as kill -9 does.
func (c *child) kill() {
	if c.ended {
		return
	}
	c.ended = true
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	_ = c.stdin.Close()
}

// stop lets the child stop its Postgres and end by itself.
func (c *child) stop() {
	c.t.Helper()
	c.ended = true
	if err := c.stdin.Close(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the child gateway did not stop cleanly: %v", err)
	}
}

// start runs a private Postgres for the rest of the test.
func start(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := postgres.Start(t.Context(), postgres.Config{Dir: dir, NoSync: true, Logger: log})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func connect(t *testing.T, conn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), conn)
	if err != nil {
		t.Fatalf("connect to %s: %v", conn, err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func exec1(t *testing.T, conn, sql string) {
	t.Helper()
	c := connect(t, conn)
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value(t *testing.T, conn, sql string) string {
	t.Helper()
	c := connect(t, conn)
	defer c.Close(context.Background())
	var v string
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// keep writes a value that a later start must find.
func keep(t *testing.T, conn string) {
	t.Helper()
	exec1(t, conn, "CREATE TABLE kept AS SELECT 'here'::text AS v")
}

func wantKept(t *testing.T, conn string) {
	t.Helper()
	if got := value(t, conn, "SELECT v FROM kept"); got != "here" {
		t.Errorf("the kept value is %q, want %q", got, "here")
	}
}

// eventually waits for what other processes do, which no channel tells.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("send %v to %d: %v", sig, pid, err)
	}
}

// keepBusy runs queries that do not notice by themselves that their server has
// died, and one that does.
func keepBusy(t *testing.T, conn string) {
	t.Helper()
	for _, sql := range []string{
		"SELECT pg_sleep(600)",
		"DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$",
	} {
		c := connect(t, conn)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = c.Exec(ctx, sql) // ends with its server, or with the test
		}()
		t.Cleanup(func() { cancel(); <-ended })
	}
	eventually(t, "two busy backends", func() bool {
		return value(t, conn, "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'") == "2"
	})
}

// dir returns a folder for a cluster whose path is short.
func dir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "pg")
}

func contains(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not name %q", err, part)
		}
	}
}
