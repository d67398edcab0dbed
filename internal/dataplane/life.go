package dataplane

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

// life watches for signs of life and gives up when none came for too long. A sign
// costs a store: the timer looks for itself whether it came too early.
type life struct {
	clock clock.Clock
	limit time.Duration
	end   func()
	last  atomic.Int64 // when the last sign came, in nanoseconds since 1970

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func newLife(c clock.Clock, limit time.Duration, end func()) *life {
	l := &life{clock: c, limit: limit, end: end}
	l.sign()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(limit, l.look)
	return l
}

// sign notes that there is life.
func (l *life) sign() { l.last.Store(l.clock.Now().UnixNano()) }

func (l *life) look() {
	silent := l.clock.Now().Sub(time.Unix(0, l.last.Load()))
	if silent >= l.limit {
		l.end()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.timer.Reset(l.limit - silent)
	}
}

// stop ends the watch.
func (l *life) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.timer.Stop()
}
