package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// shutdownGrace is what a server gets that is about to stop because its
	// gateway died: a clean stop makes the next start quicker.
	shutdownGrace = 500 * time.Millisecond
	orphanTick    = 5 * time.Millisecond
	orphanLimit   = 10 * time.Second
)

// clearCrash removes what may keep a server from starting after a crash. The
// caller holds the lock of the folder, so nothing found here has a live owner.
// The order matters: the lock file may only be taken over once nobody is left
// who works under it.
func clearCrash(ctx context.Context, dataDir, socketDir string) error {
	if err := endOrphans(ctx, dataDir, shutdownGrace); err != nil {
		return err
	}
	if err := adoptPIDFile(filepath.Join(dataDir, "postmaster.pid")); err != nil {
		return err
	}
	// The socket's own lock file holds the same process id and has the same
	// trouble with it, but no memory behind it: it can go.
	for _, name := range []string{".s.PGSQL." + strconv.Itoa(port), ".s.PGSQL." + strconv.Itoa(port) + ".lock"} {
		if err := os.Remove(filepath.Join(socketDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old socket: %w", err)
		}
	}
	return nil
}

// endOrphans ends every server process that still works in the folder: a busy
// backend whose server was killed holds the shared memory for as long as its
// query lasts. A server that still has its main process may be shutting down;
// it gets the grace to finish.
func endOrphans(ctx context.Context, dataDir string, grace time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, orphanLimit, errors.New("they did not end"))
	defer cancel()
	graceOver := time.NewTimer(grace)
	defer graceOver.Stop()
	patient := grace > 0
	for {
		pids, err := processesIn(dataDir)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		select {
		case <-graceOver.C:
			patient = false
		default:
		}
		if !patient || !slices.Contains(pids, readPID(filepath.Join(dataDir, "postmaster.pid"))) {
			for _, pid := range pids {
				killIn(pid, dataDir)
			}
		}
		if !sleep(ctx, orphanTick) {
			return fmt.Errorf("end the Postgres processes %v left in %s: %w", pids, dataDir, context.Cause(ctx))
		}
	}
}

// adoptPIDFile puts our own process id on the first line of a left-over
// postmaster.pid. The old one may be alive in name, as a zombie that nobody
// reaps or as somebody else's new process, and then Postgres refuses to start;
// its parent's id it ignores. The file is not removed because its other lines
// let Postgres make sure that nobody is attached to the old shared memory.
func adoptPIDFile(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the server's lock file: %w", err)
	}
	_, rest, whole := bytes.Cut(b, []byte("\n"))
	if !whole {
		// Cut off by the crash; Postgres refuses such a file and it tells nothing.
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the server's lock file: %w", err)
		}
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at the server's lock file: %w", err)
	}
	// Through a second file, or dying here would leave half of it.
	tmp := path + ".new"
	if err := os.WriteFile(tmp, slices.Concat([]byte(strconv.Itoa(os.Getpid())+"\n"), rest), 0o600); err != nil {
		return fmt.Errorf("take over the server's lock file: %w", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(tmp, int(owner(info)), int(group(info))); err != nil {
			return fmt.Errorf("take over the server's lock file: %w", err)
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("take over the server's lock file: %w", err)
	}
	return nil
}

// isPostgres tells a server process by its program's name, also when a package
// has wrapped it.
func isPostgres(program string) bool {
	return strings.Contains(program, "postgres") || strings.Contains(program, "postmaster")
}

// parseLsof reads the output of lsof -F pcn and returns the server processes
// whose folder is dir.
func parseLsof(r io.Reader, dir string) []int {
	var (
		pids    []int
		pid     int
		program string
	)
	for sc := bufio.NewScanner(r); sc.Scan(); {
		kind, value := byte(0), ""
		if line := sc.Text(); line != "" {
			kind, value = line[0], line[1:]
		}
		switch kind {
		case 'p':
			pid, _ = strconv.Atoi(value) // 0 is never listed
			program = ""
		case 'c':
			program = value
		case 'n':
			if value == dir && pid > 0 && isPostgres(program) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
