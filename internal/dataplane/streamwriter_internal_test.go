package dataplane

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// quietExchange notes the deadlines of writes.
type quietExchange struct {
	exchange

	header   http.Header
	deadline time.Time
	written  int
}

func (x *quietExchange) Context() context.Context            { return context.Background() }
func (x *quietExchange) ReplyHeader() http.Header            { return x.header }
func (x *quietExchange) WriteStatus(int)                     {}
func (x *quietExchange) Flush() error                        { return nil }
func (x *quietExchange) SetWriteDeadline(at time.Time) error { x.deadline = at; return nil }
func (x *quietExchange) Write(p []byte) (int, error)         { x.written += len(p); return len(p), nil }

// HTTP/2 enforces the deadline of writes even when nothing is written, so it must never
// be reached by a stream that is merely quiet.
func TestStreamWriter_AQuietStreamNeverReachesItsWriteDeadline(t *testing.T) {
	for _, d := range a2a.Dialects {
		synctest.Test(t, func(t *testing.T) {
			x := &quietExchange{header: http.Header{}}
			p := &Proxy{limits: Limits{}.withDefaults(), cfg: Config{Clock: clock.System{}}}
			w := newStreamWriter(&call{p: p, x: x, down: d, snap: new(snapshot.Snapshot), start: time.Now()})
			for range 400 { // an hour, by no multiple of anything
				time.Sleep(9 * time.Second)
				synctest.Wait()
				w.mu.Lock()
				started, left := w.started, time.Until(x.deadline)
				w.mu.Unlock()
				if !started || left <= 0 {
					t.Fatalf("%s: started %t, %s left until the deadline", d, started, left)
				}
			}
			w.close()
			if wrote := x.written > 0; wrote == (d.Binding == a2a.GRPC) {
				t.Errorf("%s: %d bytes were written into a quiet stream", d, x.written)
			}
		})
	}
}
