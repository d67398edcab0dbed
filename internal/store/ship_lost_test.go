package store_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// A process that lost its place to a copy of its directory finds entries of its own
// under numbers that the copy has shipped.
func TestShipper_SaysHowManyEntriesACopiedDirectoryCost(t *testing.T) {
	pool := pgtest.New(t)
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	r := startReplica(t, pool, dir)
	r.end(r.open(), audit.Succeeded)
	r.refuse()
	long := r.open()
	r.drain()
	r.stop()
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}

	first := startReplica(t, pool, dir)
	second := startReplica(t, pool, other)
	// Four entries whose numbers the second ships for others. The end of the call that was
	// open is none of them: the second's start has recorded the call as interrupted.
	first.end(first.open(), audit.Succeeded)
	first.refuse()
	first.open()
	first.end(long, audit.Succeeded)
	for range 10 {
		second.end(second.open(), audit.Succeeded)
	}
	second.drain()
	first.stop()

	// restart returns what is logged at Error.
	restart := func(r *replica) string {
		r.stop()
		var log bytes.Buffer
		startReplica(t, pool, r.dir, func(c *audit.ShipperConfig) {
			c.MaxBatch = 2
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		})
		return log.String()
	}
	if log := restart(second); log != "" {
		t.Errorf("the one whose entries are all recorded says %q", log)
	}
	if log := restart(first); !strings.Contains(log, "entries=4 first_number=5 shipped_through=24 ") {
		t.Errorf("log = %q, want that 4 entries from number 5 are lost", log)
	}
}
