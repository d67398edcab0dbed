// Package postgres runs the gateway's private Postgres: a real server as a
// child process on a unix socket, for whoever has given no database URL. It
// makes the cluster, survives the death of either process at any moment, and
// restarts the server for as long as the gateway lives.
//
// It is not a connection pool and knows nothing of what is stored; see package
// store. The folder looks like this:
//
//	Dir/lock        held by the one gateway that uses the folder
//	Dir/data        the cluster; it appears only when it is complete
//	Dir/data.new-*  a cluster being made
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// The superuser role and the database that every private cluster has.
const (
	Role     = "signalbox"
	Database = "signalbox"
)

const (
	// port only names the socket file; the server never listens on TCP.
	port                  = 5432
	defaultMaxConnections = 100
	startFailuresAllowed  = 10
	// stableAfter is how long a server must have run before its earlier
	// failures are forgotten.
	stableAfter    = 10 * time.Second
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 5 * time.Second
)

// Config says where the private Postgres lives and how it is found.
type Config struct {
	// Dir is the folder of the cluster; it is created with mode 0700. Required.
	Dir string
	// CacheDir is where fetched server binaries are kept; empty means
	// cache/postgres beside Dir. Root uses /var/cache/signalbox/postgres
	// instead if the server's user could not reach it.
	CacheDir string
	// BinDir is the folder of postgres and initdb; empty means search, and
	// fetch when nothing is found.
	BinDir string
	// NoSync gives up durability for speed. Only for tests.
	NoSync bool
	// MaxConnections is the server's max_connections; 0 means 100.
	MaxConnections int
	// Logger gets what the server says and what is done to it; nil discards.
	Logger *slog.Logger

	// For tests: the folders to search, nil meaning the usual ones, and the
	// failures in a row after which the server is given up.
	searchDirs  []string
	giveUpAfter int
}

// Server is a private Postgres that is running, or being restarted.
type Server struct {
	cfg     Config
	log     *slog.Logger
	account account
	bin     binaries
	dataDir string
	lock    *dirLock
	reach   *reach

	cancel context.CancelFunc // begins the stop
	kill   chan struct{}      // closed when a stop takes too long
	killed sync.Once
	done   chan struct{}

	mu  sync.Mutex
	pid int
	err error
}

// Start makes the cluster if there is none, clears up after any crash, starts
// the server and returns when it answers queries. ctx bounds the start alone.
//
// It returns an [*InUseError] when another gateway uses the folder, a
// [*NotFoundError] when there are no binaries, and a [*VersionError] when those
// found cannot run this cluster.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Dir == "" {
		return nil, errors.New("postgres: Config.Dir is required")
	}
	if cfg.MaxConnections < 0 {
		return nil, errors.New("postgres: Config.MaxConnections is negative")
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", cfg.Dir, err)
	}
	if cfg.CacheDir == "" {
		cfg.CacheDir = filepath.Join(cfg.Dir, "..", "cache", "postgres")
	}
	if cfg.CacheDir, err = filepath.Abs(cfg.CacheDir); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", cfg.CacheDir, err)
	}
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, defaultMaxConnections)
	cfg.giveUpAfter = cmp.Or(cfg.giveUpAfter, startFailuresAllowed)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}

	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the private Postgres: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:     cfg,
		log:     cfg.Logger,
		dataDir: filepath.Join(cfg.Dir, "data"),
		lock:    lock,
		kill:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()

	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	p, err := s.boot(ctx)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go s.supervise(life, p)
	return s, nil
}

// prepare finds the account and the binaries, makes the cluster if there is
// none, and opens the way to it.
func (s *Server) prepare(ctx context.Context) error {
	major, err := clusterMajor(s.dataDir)
	if err != nil {
		return err
	}
	if s.account, err = serverAccount(s.dataDir); err != nil {
		return err
	}
	if s.bin, err = findBinaries(ctx, s.cfg, s.account, major); err != nil {
		return err
	}
	if err := removeUnfinished(ctx, s.cfg.Dir); err != nil {
		return err
	}
	if major == 0 {
		if err := s.initdb(ctx); err != nil {
			return err
		}
	}
	s.reach, err = openReach(s.dataDir, s.account)
	return err
}

// boot clears up after whatever happened before, starts a server and waits
// until it answers.
func (s *Server) boot(ctx context.Context) (*process, error) {
	if err := clearCrash(ctx, s.dataDir, s.reach.socketDir); err != nil {
		return nil, err
	}
	p, err := s.launch(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx, p); err != nil {
		p.kill()
		<-p.exited
		return nil, errors.Join(err, s.sweep(ctx, p))
	}
	p.serving.Store(true)
	s.mu.Lock()
	s.pid = p.pid
	s.mu.Unlock()
	s.log.LogAttrs(ctx, slog.LevelInfo, "private postgres ready",
		slog.String("version", s.bin.version), slog.Int("pid", p.pid), slog.String("dir", s.dataDir))
	return p, nil
}

// supervise keeps a server running until ctx ends, then stops it.
func (s *Server) supervise(ctx context.Context, p *process) {
	defer close(s.done)
	defer s.release()
	defer s.cancel()

	failures := 0
	stable := time.NewTimer(stableAfter)
	defer stable.Stop()
	for {
		select {
		case <-ctx.Done():
			s.setErr(s.shutdown(context.WithoutCancel(ctx), p))
			return
		case <-stable.C:
			failures = 0
			continue
		case <-p.exited:
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "private postgres ended, restarting it",
			slog.Int("pid", p.pid), slog.Any("error", p.err))

		next, err := s.restart(ctx, p, &failures)
		switch {
		case ctx.Err() != nil && next == nil:
			return // stopped while there was no server; nothing is left to stop
		case err != nil:
			s.log.LogAttrs(ctx, slog.LevelError, "private postgres given up", slog.Any("error", err))
			s.setErr(err)
			return
		}
		p = next
		stable.Reset(stableAfter)
	}
}

// restart tries to replace a server that ended, waiting longer after each
// failure. It returns no server when ctx ended or it gave up.
func (s *Server) restart(ctx context.Context, dead *process, failures *int) (*process, error) {
	err := s.sweep(ctx, dead)
	for {
		if *failures >= s.cfg.giveUpAfter {
			return nil, fmt.Errorf("private postgres failed %d times in a row: %w", *failures, errors.Join(err, dead.failure()))
		}
		if !sleep(ctx, backoff(*failures)) {
			return nil, context.Cause(ctx)
		}
		*failures++
		var p *process
		if p, err = s.boot(ctx); err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "private postgres not restarted",
			slog.Int("failures", *failures), slog.Any("error", err))
	}
}

// backoff is nothing for the first restart, then doubles.
func backoff(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	wait := firstBackoff
	for n := 1; n < failures && wait < longestBackoff; n++ {
		wait *= 2
	}
	return min(wait, longestBackoff)
}

// shutdown asks for a fast shutdown and waits for its end, or kills the server
// when told to.
func (s *Server) shutdown(ctx context.Context, p *process) error {
	p.serving.Store(false)
	p.interrupt()
	var err error
	select {
	case <-p.exited:
	case <-s.kill:
		p.kill()
		<-p.exited
		err = errKilled
	}
	return errors.Join(err, s.sweep(ctx, p))
}

// sweep ends what a server left behind and closes its log.
func (s *Server) sweep(ctx context.Context, p *process) error {
	s.mu.Lock()
	s.pid = 0
	s.mu.Unlock()
	// Also when the start was given up: nothing may stay behind.
	err := endOrphans(context.WithoutCancel(ctx), s.dataDir, 0)
	p.closeLog()
	return err
}

// release gives up everything that [Start] took, last of all the folder.
func (s *Server) release() {
	if s.reach != nil {
		s.reach.close()
	}
	s.lock.release()
}

// Stop shuts the server down, ending open connections, waits until its process
// is gone and frees the folder. When ctx ends first the server is killed, which
// costs it a crash recovery at the next start and Stop an error.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.killed.Do(func() { close(s.kill) })
		<-s.done
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("stop private postgres: %w", err)
	}
	return nil
}

// Done is closed when the server has ended for good: after [Server.Stop], or
// when restarting it was given up.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err tells why the server ended for good. It is nil before [Server.Done] is
// closed and after a clean stop.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// PID returns the process id of the server, 0 while there is none.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Processes returns the process ids of the server and all its backends, in no
// order.
func (s *Server) Processes() ([]int, error) { return processesIn(s.dataDir) }

// ConnString connects this process, and only this one, to the database. It
// stays valid when the server is restarted.
func (s *Server) ConnString() string { return connString(s.reach.host) }

// ExternalConnString connects a person with psql on this machine, as root or
// as the server's user, while this process lives. It is empty where no such
// connection can exist.
func (s *Server) ExternalConnString() string {
	if s.reach.external == "" {
		return ""
	}
	return connString(s.reach.external)
}

func (s *Server) setErr(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func connString(host string) string { return connStringTo(host, Database) }

// connStringTo needs no quoting: a host is always a path that [plainPath]
// accepts. Everything that could come from PG* variables is spelled out.
func connStringTo(host, database string) string {
	return "host=" + host + " port=" + strconv.Itoa(port) + " user=" + Role + " dbname=" + database + " sslmode=disable"
}

// sleep waits for d and reports whether ctx was still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
