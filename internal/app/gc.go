package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapRoom is how much the heap may grow between two garbage collections when little
// of it is alive. A gateway keeps little alive and allocates for every call, so with
// Go's own setting, which lets the heap double, it would collect again after every few
// MiB.
const heapRoom = 32 << 20

// giveHeapRoom makes the collector wait for heapRoom, or for a doubling when that is
// more, so that a large heap costs no more memory than without. The environment's
// GOGC wins.
func giveHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	follow(&collection{percent: 100})
}

// collection is garbage from its beginning: its finalizer runs with each collection.
type collection struct{ percent int }

func follow(c *collection) {
	runtime.SetFinalizer(c, func(c *collection) {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		if live := sample[0].Value.Uint64(); live > 0 {
			percent := max(100, int(heapRoom*100/live))
			// Setting it stops the world for a moment: small changes are not worth that.
			if percent < c.percent*9/10 || percent > c.percent*11/10 {
				debug.SetGCPercent(percent)
				c.percent = percent
			}
		}
		follow(&collection{percent: c.percent})
	})
}
