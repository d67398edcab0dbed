//go:build unix && !linux

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// longestSocketPath is the room in sockaddr_un, less the final zero.
const longestSocketPath = 103

// haveHandles reports whether an open folder can be named by its number.
func haveHandles() bool { return false }

func ownExecutable() (string, error) { return os.Executable() }

// childAttr drops the rights of a child. Nothing here can tie its life to ours:
// what survives a killed gateway is ended by the next start.
func childAttr(a account, _ syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// processesIn returns the Postgres processes that work in a folder, zombies not
// counted. Others, such as a person's shell, are left out.
func processesIn(dir string) ([]int, error) {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", dir, err)
	}
	// lsof exits with 1 when it lists nothing.
	out, err := exec.CommandContext(context.Background(), "lsof", "-a", "-w", "-d", "cwd", "-F", "pcn").Output()
	if _, listedNothing := errors.AsType[*exec.ExitError](err); err != nil && !listedNothing {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return parseLsof(bytes.NewReader(out), real), nil
}

func killIn(pid int, dir string) {
	if pids, err := processesIn(dir); err == nil && slices.Contains(pids, pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
	}
}
