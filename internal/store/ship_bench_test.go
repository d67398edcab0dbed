package store_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// BenchmarkShip tells what one call costs from the spool to its event.
func BenchmarkShip(b *testing.B) {
	r := startReplica(b, pgtest.New(b), b.TempDir())
	r.drain()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range 2000 {
			r.end(r.open(), audit.Succeeded)
		}
		b.StartTimer()
		r.drain()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/2000, "µs/call")
}
