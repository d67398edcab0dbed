package dataplane

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// heldFor is how long an event is held back that may be the last one, which a caller of
// version 0.3 must be told: nothing in 1.0 says so but the end of the stream.
const heldFor = 300 * time.Millisecond

// relay passes the items of an agent's stream on to the writer, translated where the
// dialects differ. Its own timer works beside the call's goroutine, so it guards itself.
type relay struct {
	ctx context.Context //nolint:containedctx // of the work upstream, which is the relay's life
	c   *call
	w   *streamWriter

	mu     sync.Mutex
	items  *translate.Stream // nil when items pass as they are
	first  [][]byte          // the task that the stream begins with, until it was passed on
	begun  bool              // it was passed on
	over   bool              // it has ended already
	timer  *time.Timer       // runs while an item, or the first one, is held
	held   int               // counts the items that were held
	closed bool
}

func newRelay(ctx context.Context, c *call, w *streamWriter) *relay {
	r := &relay{ctx: ctx, c: c, w: w}
	if from, to := translate.FormOf(c.up.Dialect), c.form(); from != to {
		r.items = translate.NewStream(c.op, from, to)
	}
	return r
}

// pass takes an item, learns from it and passes it on.
func (r *relay) pass(a answer, flush bool) *fault {
	if f := r.c.streamEvent(a); f != nil {
		return f
	}
	r.w.from(a.header)
	if r.items == nil {
		if !r.c.translated() {
			r.w.write(a.raw, flush)
		} else {
			r.w.write(r.c.appendEvent(nil, a.payload), flush)
		}
		return nil
	}
	r.begin()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(false)
	out, err := r.items.Push(a.payload)
	if err == nil {
		if id, needed := r.items.NeedsTask(); needed {
			out, err = r.items.PushTask(r.task(id))
		}
	}
	r.writeAll(out, flush) // what came before an error goes on
	if err != nil {
		return invalidAgentReply(fmt.Sprintf("an event of the agent is no result of %s: %v", r.c.op, err))
	}
	if r.items.Hold() {
		r.held++
		mine := r.held
		r.timer = time.AfterFunc(heldFor, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.held == mine && r.timer != nil && !r.closed {
				r.release(false)
			}
		})
	}
	return nil
}

// release passes on what is held. The lock is held.
func (r *relay) release(final bool) {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.writeAll(r.items.Release(final), true)
}

func (r *relay) writeAll(payloads [][]byte, flush bool) {
	for i, payload := range payloads {
		if r.c.bare {
			if stripped, err := translate.StripHistory(r.c.form(), r.c.op, payload); err == nil {
				payload = stripped
			}
		}
		r.w.write(r.c.appendEvent(nil, payload), flush && i == len(payloads)-1)
	}
}

// flush passes on what is held: as the last item, or as one before an error.
func (r *relay) flush(last bool) {
	if r.items == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(last)
}

// fail ends the stream with a fault, behind what is held.
func (r *relay) fail(f *fault) {
	r.flush(false)
	r.w.fault(f)
}

// agentError ends the stream with the agent's error, behind what is held.
func (r *relay) agentError(a answer) {
	r.flush(false)
	r.w.agentError(a)
}

// close stops the timer. Nothing that is held is passed on any more.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.closed = true
}

// beginWithTask gives a caller of version 1.0 who subscribes to an agent of 0.3 the task
// first, as 1.0 promises: nothing in 0.3 does. It is read before the subscription, so
// that nothing is told twice; what happens between the two is in neither. It is passed
// on when the subscription stands, or after a moment when the agent is slow to say so:
// who acts on it must not be faster than the subscription.
func (r *relay) beginWithTask() *fault {
	c := r.c
	if c.op != a2a.SubscribeToTask || c.down.Version != a2a.V10 || c.up.Dialect.Version != a2a.V03 {
		return nil
	}
	a, f := r.getTask(c.params.TaskID)
	if f != nil {
		return f
	}
	if a.err != nil {
		return &fault{agent: a.err, outcome: c.agentError(a.err)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o, err := r.taskOutcome(a.payload)
	if err == nil {
		r.first, err = r.items.PushTask(a.payload)
	}
	if err != nil {
		return invalidAgentReply(fmt.Sprintf("the agent's task cannot be read: %v", err))
	}
	c.learn(o)
	if r.over = o.State.Terminal(); !r.over {
		r.timer = time.AfterFunc(heldFor, r.begin)
	}
	return nil
}

// stands passes the first item on when the agent has begun to answer. That is no answer
// yet in gRPC, whose headers come before any error. A task that has ended waits as well:
// most agents refuse to stream it.
func (r *relay) stands() {
	if !r.over && r.c.up.Dialect.Binding != a2a.GRPC {
		r.begin()
	}
}

// begin passes the first item on, once.
func (r *relay) begin() {
	if r.items == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	first := r.first
	r.first = nil
	if len(first) == 0 {
		return
	}
	if r.begun = true; r.over && !r.c.recorded { // no timer is here then
		r.c.end(audit.Succeeded, http.StatusOK)
	}
	r.writeAll(first, true)
}

// empty tells whether there was nothing to pass on.
func (r *relay) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.begun && r.c.closing.StreamEvents == 0
}

// task returns a task as the agent has it now, nil when it does not tell.
func (r *relay) task(id string) []byte {
	a, f := r.getTask(id)
	if f != nil || a.err != nil {
		return nil
	}
	return a.payload
}

// taskOutcome reads what the agent's answer to getTask says.
func (r *relay) taskOutcome(payload []byte) (a2a.Outcome, error) {
	d := r.c.up.Dialect
	if d.Binding == a2a.GRPC {
		return pb.ParseResult(d.Version, a2a.GetTask, pb.Result, payload)
	}
	return a2a.ParseResult(a2a.GetTask, d.Version, payload)
}

func (r *relay) getTask(id string) (answer, *fault) {
	canonical := append(jsonrpc.AppendString([]byte(`{"id":`), id), '}')
	out, f := r.c.outgoingOf(a2a.GetTask, canonical)
	if f != nil {
		return answer{}, f
	}
	// No other instance than the one that streams knows the task.
	if at := r.c.endpoint(); at != "" {
		r.c.pinned = at
	}
	buf := getBuffer() // not given back: the task is a part of it
	return r.c.roundTrip(r.ctx, out, buf)
}
