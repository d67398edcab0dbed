package postgres_test

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A container without an init leaves a killed server a zombie for ever. Here
// the test takes the part of that process number 1.
func TestStart_SucceedsWhileNobodyReapsTheOldServer(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
	d := dir(t)
	zombie := crash(t, d)
	t.Cleanup(func() { reapAll(t) })
	eventually(t, "a zombie of ours", func() bool {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(zombie), "stat"))
		return err == nil && strings.Contains(string(b), ") Z "+strconv.Itoa(os.Getpid())+" ")
	})
	wantKept(t, start(t, d).ConnString())
	if !alive(zombie) {
		t.Error("the zombie was reaped, so this proved nothing")
	}
}

// reapAll takes the dead that the test inherited, after its own are gone.
func reapAll(t *testing.T) {
	t.Helper()
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}

func TestStart_AsAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("every other test runs as an ordinary user already")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody")
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	for name, below := range map[string]string{
		"short path": "pg",
		"long path":  strings.Repeat(strings.Repeat("x", 60)+"/", 5) + "pg",
	} {
		t.Run(name, func(t *testing.T) {
			// Unlike a test's own folder, one that another user may walk into.
			top, err := os.MkdirTemp("/tmp", "signalbox-test-") //nolint:usetesting // see above
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(top) })
			if err := os.Chown(top, uid, gid); err != nil {
				t.Fatal(err)
			}
			d := filepath.Join(top, below)
			cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}

			c := spawn(t, d, cred)
			keep(t, c.ready().External)
			c.stop()

			c = spawn(t, d, cred)
			r := c.ready()
			wantKept(t, r.External)
			signal(t, c.cmd.Process.Pid, syscall.SIGSTOP)
			signal(t, r.PID, syscall.SIGKILL)
			c.kill()

			c = spawn(t, d, cred)
			wantKept(t, c.ready().External)
			c.stop()

			// Root goes on as the owner of what is there.
			wantKept(t, start(t, d).ConnString())
		})
	}
}
