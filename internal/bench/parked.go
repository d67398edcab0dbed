package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	parkers     = 32 // streams opened at the same time
	primeParked = 50 // calls before memory is read for the first time
)

// parkedRounds measures the memory that a target keeps per stream that is open
// and silent. Each round has a fresh process: a heap that grew before would
// take the streams in without growing.
func (r *runner) parkedRounds(ctx context.Context, report *Report, w workload) error {
	// Without a proxy there is no process to look at.
	names := slices.DeleteFunc(slices.Clone(r.opts.Targets), func(name string) bool { return name == TargetDirect })
	results := make([]Result, len(names))
	for n := range r.opts.Rounds {
		for i, name := range names {
			t, err := r.launch(ctx, name, r.upstream.addr)
			if err != nil {
				return err
			}
			report.addTarget(t)
			round, err := r.parkedRound(ctx, t, w)
			if err = errors.Join(err, t.stop()); err != nil {
				return fmt.Errorf("%s, %s, round %d: %w", w.name, name, n+1, err)
			}
			if n == 0 {
				results[i] = Result{Workload: w.name, Title: w.title, Kind: string(w.kind), Target: name, Connections: r.opts.ParkedStreams}
			}
			results[i].Rounds = append(results[i].Rounds, round)
			r.progress("%s: round %d of %d, %s: %.1f KiB per stream", w.name, n+1, r.opts.Rounds, name, round.BytesPerStream/1024)
		}
	}
	report.Results = append(report.Results, results...)
	return nil
}

func (r *runner) parkedRound(ctx context.Context, t *target, w workload) (_ Round, err error) {
	// A few calls first, so that what any process needs once is not counted
	// as a cost of streams.
	warm := workload{kind: kindUnary, mode: modeEcho, size: streamSize, conns: 1}
	first, err := r.lanes(t, warm, 0)
	if err != nil {
		return Round{}, err
	}
	for range primeParked {
		if err := prime(ctx, first); err != nil {
			return Round{}, err
		}
	}
	first[0].client.close()
	if err := pause(ctx, r.opts.Settle); err != nil {
		return Round{}, err
	}
	before, _, err := t.memory()
	if err != nil {
		return Round{}, err
	}

	w.conns = r.opts.ParkedStreams
	// Opening takes no longer than a round's grace, twice: see lanes.
	lanes, err := r.lanes(t, w, r.opts.Duration+grace)
	if err != nil {
		return Round{}, err
	}
	defer func() {
		for _, l := range lanes {
			l.client.close()
		}
	}()
	stop := context.AfterFunc(ctx, func() {
		for _, l := range lanes {
			l.client.abort()
		}
	})
	defer stop()
	begin := time.Now()
	// Whatever happens, no stream is left parked for the next round.
	defer func() {
		_, releaseErr := r.agentCall(context.WithoutCancel(ctx), http.MethodPost, pathRelease)
		err = errors.Join(err, releaseErr)
	}()
	if err := each(ctx, lanes, (*lane).openParked); err != nil {
		return Round{}, fmt.Errorf("open streams: %w", err)
	}
	opened := time.Since(begin)
	if err := pause(ctx, r.opts.Duration); err != nil {
		return Round{}, err
	}
	after, peak, err := t.memory()
	if err != nil {
		return Round{}, err
	}
	held, err := r.parkedAtAgent(ctx)
	if err != nil {
		return Round{}, err
	}
	if held != len(lanes) {
		return Round{}, fmt.Errorf("%w: %d streams were opened, %d are open at the agent", errWrongReply, len(lanes), held)
	}
	// All streams must still be alive: each gets its last event.
	if _, err := r.agentCall(ctx, http.MethodPost, pathRelease); err != nil {
		return Round{}, err
	}
	if err := each(ctx, lanes, (*lane).endParked); err != nil {
		return Round{}, fmt.Errorf("end streams: %w", err)
	}
	return Round{
		Calls:          int64(len(lanes)),
		ElapsedSeconds: opened.Seconds(),
		RSSBytes:       after,
		PeakRSSBytes:   peak,
		IdleRSSBytes:   before,
		BytesPerStream: float64(after-before) / float64(len(lanes)),
	}, nil
}

// each runs a step on all lanes, some at a time.
func each(ctx context.Context, lanes []*lane, step func(*lane, context.Context) error) error {
	var wg sync.WaitGroup
	todo := make(chan *lane, len(lanes))
	for _, l := range lanes {
		todo <- l
	}
	close(todo)
	for range parkers {
		wg.Go(func() {
			for l := range todo {
				if l.err = step(l, ctx); l.err != nil {
					l.wrong++
					return
				}
				l.calls++
			}
		})
	}
	wg.Wait()
	return failure(ctx, lanes)
}

// openParked starts a stream and reads its first event.
func (l *lane) openParked(ctx context.Context) error {
	l.request.setSeq(l.runner.seq.Add(1))
	if err := l.client.send(ctx, l.request.raw, "text/event-stream"); err != nil {
		return err
	}
	l.client.startStream()
	data, err := l.client.nextEvent()
	if err != nil {
		return fmt.Errorf("read first event: %w", err)
	}
	return l.request.checkEvent(data, false)
}

// endParked reads the event that the agent sends when it is told to go on.
func (l *lane) endParked(context.Context) error {
	data, err := l.client.nextEvent()
	if err != nil {
		return fmt.Errorf("read last event: %w", err)
	}
	if err := l.request.checkEvent(data, true); err != nil {
		return err
	}
	switch data, err := l.client.nextEvent(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("read end of stream: %w", err)
	default:
		return fmt.Errorf("%w: the stream goes on after its last event: %s", errWrongReply, excerpt(data))
	}
}
