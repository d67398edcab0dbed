package audit

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// DefaultPoll is the time between two looks for new events.
const DefaultPoll = 250 * time.Millisecond

// How many tails of one Watcher may be open.
const (
	// MaxCallerTails bounds those of one caller.
	MaxCallerTails = 100
	// MaxTails bounds all.
	MaxTails = 1000
)

// Watcher looks for new events on behalf of all tails of a process: however many are
// open, the database is asked once per poll, and not at all while none is. Its methods
// are safe for concurrent use.
type Watcher struct {
	events Events
	poll   time.Duration

	mu      sync.Mutex
	tails   int
	callers map[string]int
	pending *look
	stop    func() // ends the looking, and returns when it has ended
}

// look is what tails wait for: that there are new events, or that it cannot be known.
type look struct {
	from int64         // the head when the look began
	done chan struct{} // closed when head, which is above from, or err is valid
	head int64
	err  error
}

// NewWatcher returns a watcher of events. poll is the time between two looks; 0 means
// DefaultPoll.
func NewWatcher(events Events, poll time.Duration) *Watcher {
	return &Watcher{events: events, poll: cmp.Or(poll, DefaultPoll), callers: make(map[string]int)}
}

// join counts a tail, and begins to look when it is the first.
func (w *Watcher) join(caller string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tails >= MaxTails || w.callers[caller] >= MaxCallerTails {
		return ErrTooManyTails
	}
	w.tails++
	w.callers[caller]++
	if w.tails > 1 {
		return nil
	}
	// The looking belongs to no one tail.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	w.pending = &look{done: make(chan struct{})}
	w.stop = func() {
		cancel()
		<-ended
	}
	go func() {
		defer close(ended)
		w.run(ctx)
	}()
	return nil
}

// leave is for each join that succeeded.
func (w *Watcher) leave(caller string) {
	w.mu.Lock()
	w.tails--
	if w.callers[caller]--; w.callers[caller] == 0 {
		delete(w.callers, caller)
	}
	var stop func()
	if w.tails == 0 {
		stop = w.stop
	}
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// next returns the look whose end tells of the next news.
func (w *Watcher) next() *look {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending
}

func (w *Watcher) run(ctx context.Context) {
	for pause(ctx, w.poll) {
		head, err := readHead(ctx, w.events)
		w.tell(ctx, head, err)
	}
}

// tell ends the pending look when there is news, and begins the next. Whoever was busy
// when it ended sees by where the next one begins that there was news.
func (w *Watcher) tell(ctx context.Context, head int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending
	// The last tail may have left during the look, and a first one come: then this is no
	// news for it.
	if ctx.Err() != nil || err == nil && head <= p.from {
		return
	}
	p.head, p.err = max(head, p.from), err
	w.pending = &look{from: p.head, done: make(chan struct{})}
	close(p.done)
}
