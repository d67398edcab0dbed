package postgres_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// spawnIdle runs a process that is no Postgres, as the owner of a folder and
// in it, and returns its id. A server's own user is the case that matters:
// signals to anybody else's processes are refused anyway.
func spawnIdle(t *testing.T, folder string) int {
	t.Helper()
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(context.Background(), "cat")
	if os.Geteuid() == 0 {
		st := info.Sys().(*syscall.Stat_t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	}
	cmd.Dir = folder
	if _, err := os.Stat("/proc/self/fd"); err == nil {
		cmd.Dir = "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func replaceFirstLine(t *testing.T, path string, n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		t.Fatalf("%s has no second line", path)
	}
	if err := os.WriteFile(path, append([]byte(strconv.Itoa(n)+"\n"), rest...), 0o600); err != nil {
		t.Fatal(err)
	}
}
