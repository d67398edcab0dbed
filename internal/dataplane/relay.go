package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
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

// pass takes an item: it is read, translated, learned from and recorded, in this order,
// and only then passed on. What cannot be translated is not recorded as passed on.
func (r *relay) pass(a *answer, flush bool) *fault {
	c := r.c
	o, err := c.outcomeOf(c.op, a.payload)
	if err != nil {
		return r.noResult(err)
	}
	mine := c.learn(o)
	r.w.from(a.header)
	if r.items == nil {
		raw := a.raw
		if c.translated() {
			raw = c.appendEvent(nil, a.payload)
		}
		c.streamEvent(o, r.w.sent()+int64(len(raw)))
		r.w.write(raw, flush)
		return nil
	}
	r.begin()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release()
	out, err := r.items.Push(a.payload)
	if err == nil {
		if id, needed := r.items.NeedsTask(); needed {
			var task []byte
			if mine { // another caller's is none of this one's business
				task = r.task(id)
			}
			out, err = r.items.PushTask(task)
		}
	}
	raw := r.encode(out)
	if err != nil {
		r.w.write(raw, flush) // what came before it goes on
		return r.noResult(err)
	}
	c.streamEvent(o, r.w.sent()+int64(len(raw)))
	r.w.write(raw, flush)
	if r.items.Hold() {
		r.held++
		mine := r.held
		r.timer = time.AfterFunc(heldFor, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.held == mine && r.timer != nil && !r.closed {
				r.release()
			}
		})
	}
	return nil
}

func (r *relay) noResult(err error) *fault {
	return invalidAgentReply(fmt.Sprintf("an event of the agent is no result of %s: %v", r.c.op, err))
}

// release passes on what is held. The lock is held.
func (r *relay) release() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.w.write(r.encode(r.items.Release(false)), true)
}

// encode makes the caller's events of items.
func (r *relay) encode(payloads [][]byte) []byte {
	var raw []byte
	for _, payload := range payloads {
		if r.c.bare {
			if stripped, err := translate.StripHistory(r.c.form(), r.c.op, payload); err == nil {
				payload = stripped
			}
		}
		raw = r.c.appendEvent(raw, payload)
	}
	return raw
}

// flush passes on what is held, before an error.
func (r *relay) flush() {
	if r.items == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release()
}

// drain returns what is held, as the last item, instead of passing it on.
func (r *relay) drain() []byte {
	if r.items == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	return r.encode(r.items.Release(true))
}

// fail ends the stream with a fault, behind what is held.
func (r *relay) fail(f *fault) {
	r.flush()
	r.close()
	r.w.fault(f)
}

// agentError ends the stream with the agent's error, behind what is held.
func (r *relay) agentError(a *answer) {
	r.flush()
	r.close()
	r.w.agentError(a)
}

// close stops the timer. Nothing that is held is passed on any more, nor the task that
// the stream would have begun with.
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
	o, err := c.learnTask(c.params.TaskID, a.payload)
	if err == nil {
		r.first, err = r.items.PushTask(a.payload)
	}
	if err != nil {
		return invalidAgentReply(fmt.Sprintf("the agent's task cannot be read: %v", err))
	}
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
	r.begun = true
	raw := r.encode(first)
	if r.over && !r.c.recorded { // no timer is here then
		r.c.closing.ResponseBytes = r.w.sent() + int64(len(raw))
		r.c.end(audit.Succeeded, http.StatusOK)
	}
	r.w.write(raw, true)
}

// empty tells whether there was nothing to pass on.
func (r *relay) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.begun && r.c.closing.StreamEvents == 0
}

// taskTimeout bounds the question for the task that a stream begins with.
const taskTimeout = 5 * time.Second

var errOtherTask = errors.New("it is another task than the one that was asked for")

// task returns a task as the agent has it now, nil when it does not tell.
func (r *relay) task(id string) []byte {
	a, f := r.getTask(id)
	if f != nil || a.err != nil {
		return nil
	}
	if _, err := r.c.learnTask(id, a.payload); err != nil {
		return nil
	}
	return a.payload
}

// learnTask learns from a task that was asked for by its id.
func (c *call) learnTask(id string, task []byte) (a2a.Outcome, error) {
	o, err := c.outcomeOf(a2a.GetTask, task)
	switch {
	case err != nil:
		return o, err
	case o.TaskID != id:
		return o, errOtherTask
	}
	c.learn(o)
	return o, nil
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
	ctx, cancel := context.WithTimeoutCause(r.ctx, taskTimeout, errUnaryTimeout)
	defer cancel()
	buf := getBuffer() // not given back: the task is a part of it
	a, f := r.c.roundTrip(ctx, out, buf)
	r.c.pinned = r.c.endpoint() // and the stream goes on where it was asked for
	return a, f
}
