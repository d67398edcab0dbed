package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// FetchArg is the first argument by which this program runs itself to fetch
// Postgres; main passes the others to [FetchMain].
const FetchArg = "__fetch-postgres"

const (
	rootCache  = "/var/cache/signalbox/postgres"
	fetchLimit = 10 * time.Minute
	fetchTick  = 100 * time.Millisecond
	fetchDir   = "fetch-"
)

// cacheDir is the configured one unless the server runs as another user who
// could not reach it. A server cannot be run through a handle as its data can:
// it looks for its other files under its real path.
func cacheDir(configured string, a account) string {
	parent := configured
	for {
		if _, err := os.Stat(parent); err == nil || parent == filepath.Dir(parent) {
			break
		}
		parent = filepath.Dir(parent)
	}
	if _, ok := a.enters(parent); ok {
		return configured
	}
	return rootCache
}

// fetch fills the cache with a Postgres of the major version, 0 meaning the
// newest, by a child that has dropped root's rights.
func fetch(ctx context.Context, logger *slog.Logger, cache string, a account, major int) (_ binaries, err error) {
	if major == 0 {
		major = maxMajor
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return binaries{}, fmt.Errorf("create the cache: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("not done after %s", fetchLimit))
	defer cancel()
	lock, err := lockCache(ctx, cache)
	if err != nil {
		return binaries{}, err
	}
	defer lock.release()

	final := filepath.Join(cache, strconv.Itoa(major))
	if b, err := inspect(ctx, filepath.Join(final, "bin"), a); err == nil {
		return b, nil // whoever held the lock has fetched it
	}
	if err := removeUnfinishedFetches(ctx, cache); err != nil {
		return binaries{}, err
	}
	tmp, err := os.MkdirTemp(cache, fetchDir)
	if err != nil {
		return binaries{}, fmt.Errorf("fetch Postgres: %w", err)
	}
	defer func() {
		data := filepath.Join(tmp, "run", "data")
		err = errors.Join(err, removeAbandoned(context.WithoutCancel(ctx), tmp, data))
	}()
	if err := a.own(tmp); err != nil {
		return binaries{}, err
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "no postgres on this machine, fetching one",
		slog.Int("major", major), slog.String("cache", cache))
	if err := runFetch(ctx, a, major, tmp); err != nil {
		return binaries{}, err
	}
	if err := os.RemoveAll(final); err != nil {
		return binaries{}, fmt.Errorf("replace a broken Postgres in the cache: %w", err)
	}
	if err := os.Rename(filepath.Join(tmp, "postgres"), final); err != nil {
		return binaries{}, fmt.Errorf("move Postgres into the cache: %w", err)
	}
	b, err := inspect(ctx, filepath.Join(final, "bin"), a)
	if err != nil {
		return binaries{}, fmt.Errorf("use the fetched Postgres: %w", err)
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "fetched postgres", slog.String("version", b.version), slog.String("bin", b.dir))
	return b, nil
}

// lockCache waits for the right to change a cache that several gateways share.
func lockCache(ctx context.Context, cache string) (*dirLock, error) {
	for {
		lock, err := lockDir(cache)
		if _, inUse := errors.AsType[*InUseError](err); !inUse {
			return lock, err
		}
		if !sleep(ctx, fetchTick) {
			return nil, fmt.Errorf("wait for another process that is fetching Postgres: %w", context.Cause(ctx))
		}
	}
}

func removeUnfinishedFetches(ctx context.Context, cache string) error {
	left, err := filepath.Glob(filepath.Join(cache, fetchDir+"*"))
	if err != nil {
		return fmt.Errorf("look for unfinished fetches: %w", err)
	}
	for _, dir := range left {
		if err := removeAbandoned(ctx, dir, filepath.Join(dir, "run", "data")); err != nil {
			return fmt.Errorf("remove an unfinished fetch: %w", err)
		}
	}
	return nil
}

// runFetch runs this program as [FetchMain].
func runFetch(ctx context.Context, a account, major int, dir string) error {
	exe, err := ownExecutable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // see launch
		cmd := exec.CommandContext(ctx, exe, FetchArg, strconv.Itoa(major), dir)
		cmd.Dir = "/"
		cmd.Env = serverEnv(os.Environ())
		cmd.SysProcAttr = childAttr(a, syscall.SIGKILL)
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		cmd.Stdout, cmd.Stderr = &out, &out
		ended <- cmd.Run()
	}()
	if err := <-ended; err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}

// FetchMain is the whole program of the child that fetches Postgres. Its
// arguments are the major version and a folder, in which "postgres" will hold
// the server. It returns the exit code.
func FetchMain(args []string) int {
	if err := fetchMain(args); err != nil {
		fmt.Fprintln(os.Stderr, err) // the parent process reads it
		return 1
	}
	return 0
}

func fetchMain(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s needs a version and a folder", FetchArg)
	}
	versions := map[string]embedded.PostgresVersion{
		"15": embedded.V15, "16": embedded.V16, "17": embedded.V17, "18": embedded.V18,
	}
	version, ok := versions[args[0]]
	if !ok {
		return fmt.Errorf("cannot fetch Postgres %s", args[0])
	}
	dir := args[1]
	free, err := freePort(context.Background())
	if err != nil {
		return err
	}
	// The library has no call that only downloads. It also proves that the
	// server works here, on a loopback port for a moment, so the password must
	// be one that nobody can guess.
	db := embedded.NewDatabase(embedded.DefaultConfig().
		Version(version).
		Port(free).
		Password(rand.Text()).
		CachePath(filepath.Join(dir, "archive")).
		RuntimePath(filepath.Join(dir, "run")).
		BinariesPath(filepath.Join(dir, "postgres")).
		Locale("C").
		Encoding("UTF8").
		StartParameters(map[string]string{"listen_addresses": "localhost", "unix_socket_directories": ""}).
		StartTimeout(time.Minute).
		Logger(io.Discard))
	if err := db.Start(); err != nil {
		return fmt.Errorf("fetch Postgres %s: %w", version, err)
	}
	if err := db.Stop(); err != nil {
		return fmt.Errorf("stop the fetched Postgres %s: %w", version, err)
	}
	// The cache may be shared with others who run servers of their own.
	if err := os.Chmod(filepath.Join(dir, "postgres"), 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // programs are no secret
		return fmt.Errorf("open the fetched Postgres: %w", err)
	}
	return nil
}

func freePort(ctx context.Context) (uint32, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return uint32(l.Addr().(*net.TCPAddr).Port), nil
}
