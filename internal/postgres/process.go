package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	readyTick   = 5 * time.Millisecond
	connectTime = 5 * time.Second
	logLineMax  = 64 << 10
	logTail     = 20
	logCloses   = time.Second
)

// process is one run of the server.
type process struct {
	pid    int
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // valid after exited

	// serving is false while refused connections are no news: at the start and
	// at the stop.
	serving atomic.Bool
	log     *os.File
	logged  chan struct{} // closed when the log was read to its end

	mu   sync.Mutex
	tail []string // the last lines, for the error of a failed start
}

// launch starts the server and returns at once.
func (s *Server) launch(ctx context.Context) (*process, error) {
	// A pipe of our own: with one of os/exec's the wait for the server would
	// last until its last backend has closed it.
	rd, wr, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.bin.path("postgres"), s.serverArgs()...)
	s.configure(cmd, s.reach, syscall.SIGINT) // SIGINT is the fast shutdown
	cmd.Stdout, cmd.Stderr = wr, wr
	p := &process{cmd: cmd, exited: make(chan struct{}), log: rd, logged: make(chan struct{})}

	started := make(chan error, 1)
	go func() {
		// The death signal comes with the end of the thread that started the
		// child. It stays locked, so it lives exactly as long as this wait.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	err = <-started
	_ = wr.Close()
	if err != nil {
		_ = rd.Close()
		if errors.Is(err, syscall.EPERM) && s.account.drop {
			return nil, fmt.Errorf("start postgres as user %s, since it refuses root: %w", s.account.name, err)
		}
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	p.pid = cmd.Process.Pid
	go p.readLog(context.WithoutCancel(ctx), s.log)
	return p, nil
}

func (s *Server) serverArgs() []string {
	settings := []string{
		"listen_addresses=",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=" + s.reach.serverSoc,
		"unix_socket_permissions=0700",
		"max_connections=" + strconv.Itoa(s.cfg.MaxConnections),
		"shared_buffers=64MB",
		// A query that can rule out no partition of events locks each with its indexes.
		"max_locks_per_transaction=512",
		"jit=off", // our statements are short
		"timezone=UTC",
		"log_timezone=UTC",
		"logging_collector=off",
		"log_destination=stderr",
		"log_line_prefix=[%p] ",
		"lc_messages=C",
		"cluster_name=signalbox",
	}
	// Also without fsync an acknowledged commit survives the death of the
	// server, though not that of the machine.
	durable := "on"
	if s.cfg.NoSync {
		durable = "off"
	}
	settings = append(settings, "synchronous_commit=on", "fsync="+durable, "full_page_writes="+durable)
	args := []string{"-D", s.reach.serverDir}
	for _, v := range settings {
		args = append(args, "-c", v)
	}
	return args
}

// waitReady returns when the server answers a query and has the database.
func (s *Server) waitReady(ctx context.Context, p *process) error {
	for {
		err := s.ensureDatabase(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("postgres ended while starting: %w", p.failure())
		default:
		}
		if !sleep(ctx, readyTick) {
			return fmt.Errorf("wait for postgres to answer: %w (last: %w)", context.Cause(ctx), err)
		}
	}
}

// ensureDatabase creates the database if it is missing, which is also the case
// when the first start was interrupted.
func (s *Server) ensureDatabase(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, connStringTo(s.reach.host, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", Database).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{Database}.Sanitize())
	return err
}

func (p *process) interrupt() { _ = p.cmd.Process.Signal(syscall.SIGINT) } // gone already is as good

func (p *process) kill() { _ = p.cmd.Process.Kill() } // gone already is as good

// failure joins how the server ended with the last that it said.
func (p *process) failure() error {
	p.awaitLog()
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.err
	if err == nil {
		err = errEnded
	}
	if len(p.tail) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.Join(p.tail, "\n"))
}

// awaitLog waits for the end of the log, which comes when the last process has
// closed it; but not for ever, because one that cannot be killed may hold it.
func (p *process) awaitLog() {
	t := time.NewTimer(logCloses)
	defer t.Stop()
	select {
	case <-p.logged:
	case <-t.C:
	}
}

func (p *process) closeLog() {
	p.awaitLog()
	_ = p.log.Close()
	<-p.logged
}

// readLog passes what the server says on to the logger, line by line.
func (p *process) readLog(ctx context.Context, logger *slog.Logger) {
	defer close(p.logged)
	br := bufio.NewReaderSize(p.log, logLineMax)
	for {
		line, cut, err := br.ReadLine()
		for cut && err == nil {
			_, cut, err = br.ReadLine() // the rest of an overlong line is dropped
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			p.remember(text)
			logger.LogAttrs(ctx, p.level(text), "postgres", slog.String("line", text))
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				logger.LogAttrs(ctx, slog.LevelWarn, "reading the log of postgres", slog.Any("error", err))
			}
			return
		}
	}
}

func (p *process) remember(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tail) == logTail {
		p.tail = append(p.tail[:0], p.tail[1:]...)
	}
	p.tail = append(p.tail, line)
}

// level is Warn for what went wrong. While the server starts and stops it
// refuses clients, which is no news; a failed start has its own error.
func (p *process) level(line string) slog.Level {
	if !p.serving.Load() {
		return slog.LevelDebug
	}
	if _, said, ok := strings.Cut(line, "] "); ok {
		for _, severity := range []string{"ERROR:", "FATAL:", "PANIC:"} {
			if strings.HasPrefix(said, severity) {
				return slog.LevelWarn
			}
		}
	}
	return slog.LevelDebug
}
