package postgres_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/postgres"
)

// awaitAnswer waits until a restarted server answers.
func awaitAnswer(t *testing.T, s *postgres.Server, oldPID int) {
	t.Helper()
	eventually(t, "a new server that answers", func() bool {
		select {
		case <-s.Done():
			t.Fatalf("the server was given up: %v", s.Err())
		default:
		}
		if pid := s.PID(); pid == 0 || pid == oldPID {
			return false
		}
		c, err := pgx.Connect(t.Context(), s.ConnString())
		if err != nil {
			return false
		}
		defer c.Close(context.Background())
		return c.Ping(t.Context()) == nil
	})
}

func TestServer_ServesAgainAfterItsPostgresWasKilled(t *testing.T) {
	for name, busy := range map[string]bool{"idle": false, "with queries running": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, dir(t))
			conn := s.ConnString()
			keep(t, conn)
			for range 2 {
				if busy {
					keepBusy(t, conn)
				}
				pid := s.PID()
				signal(t, pid, syscall.SIGKILL)
				awaitAnswer(t, s, pid)
				wantKept(t, conn)
			}
		})
	}
}

func TestStart_SucceedsAtFirstTryAfterAKill(t *testing.T) {
	for name, tc := range map[string]struct{ server, busy bool }{
		"of the gateway":                              {server: false, busy: false},
		"of the gateway with queries running":         {server: false, busy: true},
		"of gateway and server":                       {server: true, busy: false},
		"of gateway and server, with queries running": {server: true, busy: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := dir(t)
			c := spawn(t, d, nil)
			r := c.ready()
			keep(t, r.External)
			if tc.busy {
				keepBusy(t, r.External)
			}
			if tc.server {
				// Held, the gateway cannot restart what is killed under it.
				signal(t, c.cmd.Process.Pid, syscall.SIGSTOP)
				signal(t, r.PID, syscall.SIGKILL)
			}
			c.kill()
			wantKept(t, start(t, d).ConnString())
		})
	}
}

// crash leaves a cluster as kill -9 of gateway and server does.
func crash(t *testing.T, d string) (serverPID int) {
	t.Helper()
	c := spawn(t, d, nil)
	r := c.ready()
	keep(t, r.External)
	signal(t, c.cmd.Process.Pid, syscall.SIGSTOP)
	signal(t, r.PID, syscall.SIGKILL)
	c.kill()
	return r.PID
}

func TestStart_SucceedsWhenAForeignProcessGotTheOldID(t *testing.T) {
	d := dir(t)
	crash(t, d)
	data := filepath.Join(d, "data")
	other := spawnIdle(t, data)
	replaceFirstLine(t, filepath.Join(data, "postmaster.pid"), other)
	replaceFirstLine(t, filepath.Join(data, ".s.PGSQL.5432.lock"), other)
	wantKept(t, start(t, d).ConnString())
	if !alive(other) {
		t.Error("the foreign process was killed")
	}
}

func TestStart_SucceedsWhenTheLockFileIsBroken(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "half a line": "123", "no number": "x\ny\n"} {
		t.Run(name, func(t *testing.T) {
			d := dir(t)
			crash(t, d)
			if err := os.WriteFile(filepath.Join(d, "data", "postmaster.pid"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			wantKept(t, start(t, d).ConnString())
		})
	}
}

func TestStart_SucceedsAfterAnInterruptedInitdb(t *testing.T) {
	d := dir(t)
	for _, file := range []string{"PG_VERSION", "global/pg_control", "base/1/PG_VERSION"} {
		c := spawn(t, d, nil)
		eventually(t, "initdb at work on "+file, func() bool {
			made, err := filepath.Glob(filepath.Join(d, "data.new-*", file))
			return err == nil && len(made) > 0
		})
		c.kill()
		if _, err := os.Stat(filepath.Join(d, "data")); err == nil {
			t.Fatalf("killed while making %s, there is a cluster already", file)
		}
	}
	keep(t, start(t, d).ConnString())
	if left, err := filepath.Glob(filepath.Join(d, "data.new-*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestStart_SparesAPersonsShellInTheFolder(t *testing.T) {
	d := dir(t)
	crash(t, d)
	shell := spawnIdle(t, filepath.Join(d, "data"))
	start(t, d)
	if !alive(shell) {
		t.Error("a process that is no Postgres was killed")
	}
}
