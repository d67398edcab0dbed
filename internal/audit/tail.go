package audit

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// TailConfig says what a tail sends.
type TailConfig struct {
	// Events is required.
	Events Events
	Query  Query
	// After is the sequence after which the tail begins; nil means now.
	After *int64
	// Watch tells when there are new events, for all tails of a process, and bounds how
	// many there are. nil makes a watcher for this tail alone.
	Watch *Watcher
	// Caller is who reads, as Watch counts.
	Caller string
	// Poll is the time between two looks when Watch is nil; 0 means DefaultPoll.
	Poll time.Duration
	// Silent is called whenever nothing was sent for Silence, between two calls of send.
	// Its error ends the tail. nil does nothing.
	Silent func() error
	// Silence is how long nothing is sent before Silent is called; 0 means DefaultSilence.
	Silence time.Duration
}

// DefaultSilence is how long a tail sends nothing before it says that it lives.
const DefaultSilence = 15 * time.Second

const (
	// tailBatch is the number of events that a tail reads at once.
	tailBatch = 500
	// readTimeout bounds each query of a tail, which has no time limit of its own.
	readTimeout = 10 * time.Second
)

// Tail calls send for every event that the query wants, in the order of the sequence,
// each once, as they reach the ledger. It returns nil when ctx ends, ErrTooManyTails, the
// error of send, of cfg.Silent or of the ledger; a tail that goes on after the last event
// sent misses nothing.
func Tail(ctx context.Context, cfg TailConfig, send func(Event) error) error {
	if cfg.Watch == nil {
		cfg.Watch = NewWatcher(cfg.Events, cfg.Poll)
	}
	if err := cfg.Watch.join(cfg.Caller); err != nil {
		return err
	}
	defer cfg.Watch.leave(cfg.Caller)
	if err := tail(ctx, cfg, send); err != nil && ctx.Err() == nil {
		return fmt.Errorf("tail events: %w", err)
	}
	return nil
}

func tail(ctx context.Context, cfg TailConfig, send func(Event) error) error {
	silence := cmp.Or(cfg.Silence, DefaultSilence)
	silent := time.NewTimer(silence)
	defer silent.Stop()
	sending := func(e Event) error {
		silent.Reset(silence)
		return send(e)
	}
	// The watcher's last look may be older than the tail, which begins now.
	head, err := readHead(ctx, cfg.Events)
	if err != nil {
		return err
	}
	cursor := head
	if cfg.After != nil {
		cursor = *cfg.After
	}
	for {
		// Taken before events are read, so that it tells of all that come meanwhile.
		look := cfg.Watch.next()
		if head = max(head, look.from); head > cursor {
			if cursor, err = tailThrough(ctx, cfg, cursor, head, sending); err != nil {
				return err
			}
		}
		for news := false; !news; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-look.done:
				if look.err != nil {
					return look.err
				}
				head, news = max(head, look.head), true
			case <-silent.C:
				silent.Reset(silence)
				if cfg.Silent == nil {
					continue
				}
				if err := cfg.Silent(); err != nil {
					return err
				}
			}
		}
	}
}

// tailThrough sends the events above after and up to head, and returns where it came.
func tailThrough(ctx context.Context, cfg TailConfig, after, head int64, send func(Event) error) (int64, error) {
	for after < head {
		events, err := readAfter(ctx, cfg, after, head)
		if err != nil {
			return after, err
		}
		for i := range events {
			if err := send(events[i]); err != nil {
				return after, err
			}
			after = events[i].Sequence
		}
		if len(events) < tailBatch {
			return head, nil
		}
	}
	return after, nil
}

func readAfter(ctx context.Context, cfg TailConfig, after, head int64) ([]Event, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return cfg.Events.After(ctx, cfg.Query, after, head, tailBatch)
}

func readHead(ctx context.Context, events Events) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return events.Head(ctx)
}
