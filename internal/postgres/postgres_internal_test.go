package postgres

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestServer_IsGivenUpAfterFailuresInARow(t *testing.T) {
	s, err := Start(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "pg"), NoSync: true, giveUpAfter: 3})
	if err != nil {
		t.Fatal(err)
	}
	// With its settings gone no server can start.
	if err := os.Remove(filepath.Join(s.dataDir, "postgresql.conf")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the server was not given up")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "3 times") || !strings.Contains(err.Error(), "postgresql.conf") {
		t.Errorf("Err() = %v, want the count and what the server said", err)
	}
	if err := s.Stop(t.Context()); err == nil {
		t.Error("Stop hides that the server was given up")
	}
	l, err := lockDir(s.cfg.Dir)
	if err != nil {
		t.Fatalf("the folder was not freed: %v", err)
	}
	l.release()
}

func TestStop_EndsTheWaitBetweenRestarts(t *testing.T) {
	s, err := Start(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "pg"), NoSync: true, giveUpAfter: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dataDir, "postgresql.conf")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("Stop waited for a server that does not come")
	}
}

// The download is real and takes a while, so it runs by night.
func TestStart_FetchesPostgresWhereThereIsNone(t *testing.T) {
	if os.Getenv("SIGNALBOX_NIGHTLY") != "1" {
		t.Skip("downloads a server; set SIGNALBOX_NIGHTLY=1")
	}
	top, err := os.MkdirTemp("/tmp", "signalbox-test-") //nolint:usetesting // another user must walk into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Dir: filepath.Join(top, "pg"), CacheDir: filepath.Join(top, "cache"), NoSync: true,
		searchDirs: []string{},
	}
	for _, round := range []string{"fetched", "cached"} {
		s, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", round, err)
		}
		if !strings.HasPrefix(s.bin.dir, cfg.CacheDir) || s.bin.major != maxMajor {
			t.Errorf("%s: runs %s from %s, want version %d from the cache", round, s.bin.version, s.bin.dir, maxMajor)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(cfg.CacheDir, fetchDir+"*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]struct {
		version string
		major   int
	}{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {"15.18", 15},
		"postgres (PostgreSQL) 18.3\n":                           {"18.3", 18},
		"postgres (PostgreSQL) 19beta1\n":                        {"19beta1", 19},
	} {
		version, major, err := parseVersion(in)
		if err != nil || version != want.version || major != want.major {
			t.Errorf("parseVersion(%q) = %q, %d, %v; want %q, %d", in, version, major, err, want.version, want.major)
		}
	}
	if _, _, err := parseVersion("BusyBox"); err == nil {
		t.Error("parseVersion accepted something else")
	}
}

func TestParseLsof_FindsServersInTheFolderOnly(t *testing.T) {
	const out = `p100
cpostgres
fcwd
n/data/pg
p101
czsh
fcwd
n/data/pg
p102
cpostgres
fcwd
n/data/other

p103
cpostgres
fcwd
n/data/pg
`
	if diff := cmp.Diff([]int{100, 103}, parseLsof(strings.NewReader(out), "/data/pg")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestBackoff_IsNothingFirstAndBounded(t *testing.T) {
	want := []time.Duration{0, 100, 200, 400, 800, 1600, 3200, 5000, 5000}
	for n, ms := range want {
		if got := backoff(n); got != ms*time.Millisecond {
			t.Errorf("backoff(%d) = %v, want %v", n, got, ms*time.Millisecond)
		}
	}
	if got := backoff(200); got != longestBackoff {
		t.Errorf("backoff(200) = %v, want %v", got, longestBackoff)
	}
}

func TestPlainPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/var/lib/signalbox/postgres/data":  true,
		"/home/a b/data":                    false,
		"/home/a,b/data":                    false,
		"/home/jürgen/data":                 false,
		"/" + strings.Repeat("x", 80):       true,
		"/" + strings.Repeat("x", 100):      false,
		"/srv/it's/data":                    false,
		"/srv/.signalbox/postgres_1-2/data": true,
	} {
		if got := plainPath(path); got != want {
			t.Errorf("plainPath(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestCacheDir_IsWhereTheServersUserCanReachIt(t *testing.T) {
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(closed, "cache", "postgres") // neither is there yet
	stranger := account{uid: 4242, gid: 4242, name: "stranger", drop: true}
	if got := cacheDir(inside, stranger); got != rootCache {
		t.Errorf("for another user: %s, want %s", got, rootCache)
	}
	if got := cacheDir(inside, account{}); got != inside {
		t.Errorf("for ourselves: %s, want %s", got, inside)
	}
	if got := cacheDir("/usr/no-such-cache", stranger); got != "/usr/no-such-cache" {
		t.Errorf("in an open folder: %s, want it as configured", got)
	}
}
