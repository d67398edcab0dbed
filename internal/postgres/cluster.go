package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const unfinished = "data.new-"

// clusterMajor returns the major version that made a cluster, 0 when there is
// no cluster yet.
func clusterMajor(dataDir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dataDir, "PG_VERSION"))
	if err == nil {
		major, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return 0, fmt.Errorf("read the version of the cluster in %s: %w", dataDir, err)
		}
		return major, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read the version of the cluster: %w", err)
	}
	entries, err := os.ReadDir(dataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("look for a cluster: %w", err)
	}
	if len(entries) > 0 {
		return 0, fmt.Errorf("the folder %s holds files but no Postgres cluster: empty it or choose another data directory", dataDir)
	}
	return 0, nil
}

// removeUnfinished removes what an interrupted initdb left.
func removeUnfinished(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for unfinished clusters: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := removeAbandoned(ctx, path, path); err != nil {
			return fmt.Errorf("remove an unfinished cluster: %w", err)
		}
	}
	return nil
}

// removeAbandoned removes a folder that programs may still be writing to whose
// parent has just been killed: those at work in dataDir are ended, others, who
// have not got that far or are dying, come to their end when nothing is left to
// work on.
func removeAbandoned(ctx context.Context, path, dataDir string) error {
	ctx, cancel := context.WithTimeout(ctx, orphanLimit)
	defer cancel()
	for {
		if err := endOrphans(ctx, dataDir, 0); err != nil {
			return err
		}
		err := os.RemoveAll(path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.ENOTEMPTY) || !sleep(ctx, orphanTick) {
			return err
		}
	}
}

// initdb makes the cluster beside its place and moves it there when it is
// complete, so that dying in the middle leaves no half one.
func (s *Server) initdb(ctx context.Context) (err error) {
	s.log.LogAttrs(ctx, slog.LevelInfo, "making a private postgres cluster",
		slog.String("version", s.bin.version), slog.String("dir", s.dataDir), slog.String("bin", s.bin.dir))
	tmp, err := os.MkdirTemp(s.cfg.Dir, unfinished)
	if err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeAbandoned(context.WithoutCancel(ctx), tmp, tmp))
		}
	}()
	if err := s.account.own(tmp); err != nil {
		return err
	}
	if !haveHandles() {
		// The server's user must be able to walk in by name.
		if err := s.account.own(s.cfg.Dir); err != nil {
			return err
		}
	}
	r, err := openReach(tmp, s.account)
	if err != nil {
		return err
	}
	defer r.close()

	args := []string{
		"-D", r.serverDir, "-U", Role, "--auth=trust", "-E", "UTF8", "--locale=C",
		"--data-checksums", "--no-instructions",
	}
	if s.cfg.NoSync {
		args = append(args, "--no-sync")
	}
	out, err := s.run(ctx, r, s.bin.path("initdb"), args...)
	if err != nil {
		return fmt.Errorf("make a cluster: initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(tmp, s.dataDir); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	if s.cfg.NoSync {
		return nil
	}
	return syncDir(s.cfg.Dir)
}

// run runs a short-lived program of the server's as the server's user and
// returns what it printed. The program dies with this process.
func (s *Server) run(ctx context.Context, r *reach, path string, args ...string) ([]byte, error) {
	// Its death signal comes with the end of the thread that started it.
	type result struct {
		out []byte
		err error
	}
	ended := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		cmd := exec.CommandContext(ctx, path, args...)
		s.configure(cmd, r, syscall.SIGKILL)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		err := cmd.Run()
		ended <- result{out.Bytes(), err}
	}()
	res := <-ended
	if res.err != nil && ctx.Err() != nil {
		res.err = context.Cause(ctx)
	}
	return res.out, res.err
}

// configure sets what all children have in common.
func (s *Server) configure(cmd *exec.Cmd, r *reach, death syscall.Signal) {
	cmd.Dir = "/" // entered after rights are dropped: any other folder may be closed
	cmd.Env = serverEnv(os.Environ())
	cmd.SysProcAttr = childAttr(s.account, death)
	if r.handle != nil {
		cmd.ExtraFiles = []*os.File{r.handle}
	}
}

// serverEnv removes the variables that would change the server's settings and
// keeps its messages in English, where their severity can be read.
func serverEnv(env []string) []string {
	kept := make([]string, 0, len(env)+1)
	for _, e := range env {
		if strings.HasPrefix(e, "PG") || strings.HasPrefix(e, "LC_") || strings.HasPrefix(e, "LANG") ||
			strings.HasPrefix(e, "SIGNALBOX_") || strings.HasPrefix(e, "DATABASE_URL=") {
			continue
		}
		kept = append(kept, e)
	}
	return append(kept, "LC_ALL=C")
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
