package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/postgres"
)

const (
	freezeTick  = time.Millisecond
	freezeLimit = 10 * time.Second
)

// Freeze makes Postgres hang, for every database of this test process: clients
// may still connect but get no answer, and nothing fails. It returns when no
// more statement is worked on. thaw lets Postgres go on; the end of the test
// does so too, and so does the end of the process, however it ends.
//
// The cluster must have been used before, by [New] or its like. Tests that run
// in parallel with the caller hang as well. Without a private Postgres the test
// is skipped.
func Freeze(t testing.TB) (thaw func()) {
	t.Helper()
	shared.mu.Lock()
	server, started := shared.private, shared.started
	shared.mu.Unlock()
	switch {
	case !started:
		t.Fatal("pgtest: Freeze before the first database was made")
	case server == nil:
		t.Skip("pgtest: only a private Postgres can be frozen, and " + ServerVar + " is set")
	}

	w := &warden{}
	t.Cleanup(w.thaw)
	ctx, cancel := context.WithTimeout(context.Background(), freezeLimit)
	defer cancel()
	if err := w.freeze(ctx, server); err != nil {
		w.thaw()
		t.Fatalf("pgtest: freeze Postgres: %v", err)
	}
	return w.thaw
}

// warden holds stopped processes. A shell that waits for the end of its input
// lets them go: a pipe is closed also when this process dies, and processes
// left stopped would stay for ever.
type warden struct {
	once   sync.Once
	shells []shell
}

type shell struct {
	cmd   *exec.Cmd
	input io.Closer
}

// freeze stops the server first, so that it starts no more backends, then the
// backends until no new one turns up.
func (w *warden) freeze(ctx context.Context, s *postgres.Server) error {
	var held []int
	fresh := []int{s.PID()}
	for len(fresh) > 0 {
		if err := w.hold(fresh); err != nil {
			return err
		}
		held = append(held, fresh...)
		for _, pid := range fresh {
			if err := awaitStop(ctx, pid); err != nil {
				return err
			}
		}
		all, err := s.Processes()
		if err != nil {
			return err
		}
		fresh = slices.DeleteFunc(all, func(pid int) bool { return slices.Contains(held, pid) })
	}
	return nil
}

// hold stops processes once there is somebody to let them go.
func (w *warden) hold(pids []int) error {
	args := []string{"-c", `read -r _; kill -CONT "$@"`, "thaw"}
	for _, pid := range pids {
		args = append(args, strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(context.Background(), "/bin/sh", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not end it
	input, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start a shell: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a shell: %w", err)
	}
	w.shells = append(w.shells, shell{cmd: cmd, input: input})
	for _, pid := range pids {
		// One that ended by itself in the meantime does no more work either.
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
	}
	return nil
}

func (w *warden) thaw() {
	w.once.Do(func() {
		for _, s := range w.shells {
			_ = s.input.Close()
			_ = s.cmd.Wait() // its exit code tells that a process has ended, which is fine
		}
	})
}

// awaitStop waits until a process runs no more: the signal is obeyed only when
// the process next comes out of the kernel.
func awaitStop(ctx context.Context, pid int) error {
	tick := time.NewTicker(freezeTick)
	defer tick.Stop()
	for !stopped(pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d does not stop: %w", pid, ctx.Err())
		}
	}
	return nil
}

// stopped reports whether a process is stopped or gone. Where the kernel does
// not tell it is taken to be.
func stopped(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	// The state follows the name, which is in brackets and may hold any sign.
	rest := bytes.TrimLeft(b[bytes.LastIndexByte(b, ')')+1:], " ")
	return len(rest) > 0 && bytes.IndexByte([]byte("TtZX"), rest[0]) >= 0
}
