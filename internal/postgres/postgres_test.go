package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/postgres"
)

func TestStart_MakesAClusterWithDatabaseAndRole(t *testing.T) {
	d := dir(t)
	s := start(t, d)
	if got, want := value(t, s.ConnString(), "SELECT current_database() || ' ' || current_user"), "signalbox signalbox"; got != want {
		t.Errorf("connected to %q, want %q", got, want)
	}
	for setting, want := range map[string]string{
		"listen_addresses": "", "TimeZone": "UTC", "max_connections": "100", "fsync": "off",
		"server_encoding": "UTF8", "data_checksums": "on",
	} {
		if got := value(t, s.ConnString(), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	for _, folder := range []string{d, filepath.Join(d, "data")} {
		info, err := os.Stat(folder)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o700 {
			t.Errorf("%s has mode %o, want 700", folder, got)
		}
	}
}

func TestStart_IsDurableUnlessToldOtherwise(t *testing.T) {
	s, err := postgres.Start(t.Context(), postgres.Config{Dir: dir(t), MaxConnections: 17})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "17",
	} {
		if got := value(t, s.ConnString(), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
}

func TestStart_KeepsDataAcrossRestarts(t *testing.T) {
	d := dir(t)
	s := start(t, d)
	keep(t, s.ConnString())
	stop(t, s)
	wantKept(t, start(t, d).ConnString())
}

func TestStart_IgnoresTheClientVariablesOfItsEnvironment(t *testing.T) {
	t.Setenv("PGPORT", "6543")
	t.Setenv("PGDATA", "/nowhere")
	t.Setenv("PGHOST", "nowhere.invalid")
	t.Setenv("PGSSLMODE", "verify-full")
	s := start(t, dir(t))
	if got := value(t, s.ConnString(), "SHOW port"); got != "5432" {
		t.Errorf("port = %s, want 5432", got)
	}
}

func TestStart_WorksInAnyFolder(t *testing.T) {
	for name, below := range map[string]string{
		"very long path":        strings.Repeat(strings.Repeat("x", 60)+"/", 5),
		"spaces and commas":     "a folder, with (odd) 'signs'",
		"not ASCII":             "Stellwerk Köln/données",
		"below a closed folder": "closed/deeper",
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			d := filepath.Join(top, below, "pg")
			if err := os.MkdirAll(filepath.Dir(d), 0o700); err != nil {
				t.Fatal(err)
			}
			s := start(t, d)
			keep(t, s.ConnString())
			if ext := s.ExternalConnString(); ext != "" {
				wantKept(t, ext)
			}
			stop(t, s)
			wantKept(t, start(t, d).ConnString())
		})
	}
}

func TestStart_RefusesAFolderInUse(t *testing.T) {
	tests := map[string]func(t *testing.T, d string) (owner int){
		"by this process": func(t *testing.T, d string) int {
			start(t, d)
			return os.Getpid()
		},
		"by another process": func(t *testing.T, d string) int {
			c := spawn(t, d, nil)
			c.ready()
			return c.cmd.Process.Pid
		},
	}
	for name, occupy := range tests {
		t.Run(name, func(t *testing.T) {
			d := dir(t)
			owner := occupy(t, d)
			_, err := postgres.Start(t.Context(), postgres.Config{Dir: d, NoSync: true})
			inUse, ok := errors.AsType[*postgres.InUseError](err)
			if !ok {
				t.Fatalf("Start: %v, want an InUseError", err)
			}
			if inUse.Dir != d || inUse.PID != owner {
				t.Errorf("InUseError{%s, %d}, want {%s, %d}", inUse.Dir, inUse.PID, d, owner)
			}
			contains(t, err, d, "running gateway")
		})
	}
}

func TestStart_NamesWhatWasSearched(t *testing.T) {
	empty := t.TempDir()
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: dir(t), BinDir: empty})
	if _, ok := errors.AsType[*postgres.NotFoundError](err); !ok {
		t.Fatalf("Start: %v, want a NotFoundError", err)
	}
	contains(t, err, empty, "15 to 18")
}

func TestStart_RefusesAClusterOfAnotherVersion(t *testing.T) {
	d := dir(t)
	s := start(t, d)
	stop(t, s)
	version := filepath.Join(d, "data", "PG_VERSION")
	if err := os.WriteFile(version, []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: d})
	wrong, ok := errors.AsType[*postgres.VersionError](err)
	if !ok {
		t.Fatalf("Start: %v, want a VersionError", err)
	}
	if wrong.Major != 99 || len(wrong.Found) == 0 {
		t.Errorf("VersionError of major %d, found %v; want 99 and what was found", wrong.Major, wrong.Found)
	}
}

func TestStart_LeavesForeignFilesAlone(t *testing.T) {
	d := dir(t)
	file := filepath.Join(d, "data", "letter.txt")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Dir(file), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: d})
	if err == nil {
		t.Fatal("Start took a folder that holds something else")
	}
	contains(t, err, "no Postgres cluster")
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the foreign file: %v", err)
	}
}

func TestStart_EndsWithItsContext(t *testing.T) {
	d := dir(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed my mind")
	cancel(why)
	if _, err := postgres.Start(ctx, postgres.Config{Dir: d, NoSync: true}); !errors.Is(err, why) {
		t.Fatalf("Start: %v, want %v", err, why)
	}
	start(t, d) // the folder was freed
}

func TestStop_LeavesNoProcessAndFreesTheFolder(t *testing.T) {
	d := dir(t)
	s := start(t, d)
	open := connect(t, s.ConnString()) // does not hold the stop up
	pids, err := s.Processes()
	if err != nil {
		t.Fatal(err)
	}
	if len(pids) < 3 {
		t.Fatalf("Processes() = %v, want the server and its backends", pids)
	}
	stop(t, s)
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	for _, pid := range pids {
		eventually(t, "the end of a process", func() bool { return !alive(pid) })
	}
	if err := open.Ping(t.Context()); err == nil {
		t.Error("a connection outlived Stop")
	}
	if s.PID() != 0 {
		t.Errorf("PID() = %d after Stop, want 0", s.PID())
	}
	stop(t, s) // again, which does nothing
	start(t, d)
}

func TestStop_KillsAServerThatDoesNotStop(t *testing.T) {
	d := dir(t)
	s, err := postgres.Start(t.Context(), postgres.Config{Dir: d, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s.ConnString())
	pids, err := s.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		signal(t, pid, syscall.SIGSTOP)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err == nil {
		t.Error("Stop of a frozen server reported success")
	}
	wantKept(t, start(t, d).ConnString())
}
