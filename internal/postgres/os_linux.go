package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// longestSocketPath is the room in sockaddr_un, less the final zero.
const longestSocketPath = 107

// haveHandles reports whether an open folder can be named by its number.
func haveHandles() bool {
	info, err := os.Stat("/proc/self/fd")
	return err == nil && info.IsDir()
}

// ownExecutable is named so that a child may run it even if its user could not
// walk down to it, and also after the file was replaced.
func ownExecutable() (string, error) {
	if haveHandles() {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// childAttr drops the rights of a child and ties its life to ours: death is the
// signal that it gets when the thread that started it ends.
func childAttr(a account, death syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C at a terminal is for the gateway alone
		Pdeathsig: death,
	}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// processesIn returns the Postgres processes that work in a folder, zombies not
// counted. Others, such as a person's shell, are left out.
func processesIn(dir string) ([]int, error) {
	want, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", dir, err)
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if worksIn(pid, want) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// worksIn reads the program's name first, because looking into the folder of a
// foreign process may hang on a dead network mount.
func worksIn(pid int, dir fs.FileInfo) bool {
	base := filepath.Join("/proc", strconv.Itoa(pid))
	comm, err := os.ReadFile(filepath.Join(base, "comm"))
	if err != nil || !isPostgres(strings.TrimSpace(string(comm))) {
		return false
	}
	// By identity and not by name: the folder may have been moved.
	cwd, err := os.Stat(filepath.Join(base, "cwd"))
	return err == nil && os.SameFile(cwd, dir)
}

// killIn kills a process if it still works in the folder. The handle that
// os.FindProcess holds makes sure that it is no other one by now.
func killIn(pid int, dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		return
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer func() { _ = p.Release() }()
	if worksIn(pid, info) {
		_ = p.Kill() // gone already is as good
	}
}
