package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of the histograms in nanoseconds, with three significant digits.
const (
	histMin    = 100
	histMax    = int64(10 * time.Minute)
	histDigits = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(histMin, histMax, histDigits) }

// lane is one connection with all that its calls need and leave behind. It
// belongs to one goroutine at a time.
type lane struct {
	runner  *runner
	client  *client
	request *request
	stream  bool

	calls, wrong int64
	events       int64
	err          error                   // ends the lane
	whole        *hdrhistogram.Histogram // time to the end of the reply; nil where streams park
	first        *hdrhistogram.Histogram // time to the first event; likewise
}

// lanes makes the connections of a round, not yet dialled.
func (r *runner) lanes(t *target, w workload, d time.Duration) ([]*lane, error) {
	bufSize := 16 << 10
	if w.kind == kindParked {
		bufSize = 4 << 10
	}
	lanes := make([]*lane, w.conns)
	for i := range lanes {
		req, err := newRequest(t.endpoint, t.header, w, r.nonce)
		if err != nil {
			return nil, err
		}
		lanes[i] = &lane{
			runner:  r,
			client:  newClient(t.endpoint.Host, bufSize, time.Now().Add(d+grace)),
			request: req,
			stream:  w.kind == kindStream,
		}
		if w.kind != kindParked {
			lanes[i].whole, lanes[i].first = newHistogram(), newHistogram()
		}
	}
	return lanes, nil
}

// call makes one call and checks its reply. from is when the call was due.
func (l *lane) call(ctx context.Context, from time.Time) error {
	l.request.setSeq(l.runner.seq.Add(1))
	var err error
	if l.stream {
		err = l.callStream(ctx, from)
	} else {
		err = l.callUnary(ctx)
	}
	if err == nil {
		err = l.whole.RecordValue(int64(time.Since(from)))
	}
	if err != nil {
		l.wrong++
		l.err = err
		return err
	}
	l.calls++
	return nil
}

func (l *lane) callUnary(ctx context.Context) error {
	if err := l.client.send(ctx, l.request.raw, "application/json"); err != nil {
		return err
	}
	body, err := l.client.readBody()
	if err != nil {
		return err
	}
	return l.request.checkEcho(body)
}

func (l *lane) callStream(ctx context.Context, from time.Time) error {
	if err := l.client.send(ctx, l.request.raw, "text/event-stream"); err != nil {
		return err
	}
	l.client.startStream()
	for n := 1; ; n++ {
		data, err := l.client.nextEvent()
		switch {
		case errors.Is(err, io.EOF) && n == streamEvents+1:
			l.events += streamEvents
			return nil
		case errors.Is(err, io.EOF) || n > streamEvents:
			return fmt.Errorf("%w: the stream had %d events, want %d", errWrongReply, n-1, streamEvents)
		case err != nil:
			return fmt.Errorf("read event %d: %w", n, err)
		}
		if n == 1 {
			if err := l.first.RecordValue(int64(time.Since(from))); err != nil {
				return err
			}
		}
		if err := l.request.checkEvent(data, n == streamEvents); err != nil {
			return fmt.Errorf("event %d: %w", n, err)
		}
	}
}

// prime dials all connections by one call each, so that no round measures
// the making of connections, and forgets those calls.
func prime(ctx context.Context, lanes []*lane) error {
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() { _ = l.call(ctx, time.Now()) }) // the lane keeps the error
	}
	wg.Wait()
	if err := failure(ctx, lanes); err != nil {
		return err
	}
	for _, l := range lanes {
		l.calls, l.events = 0, 0
		l.whole.Reset()
		l.first.Reset()
	}
	return nil
}

// closedLoop lets each lane call again as soon as it has its reply.
func closedLoop(ctx context.Context, lanes []*lane, end time.Time) error {
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			for now := time.Now(); now.Before(end) && ctx.Err() == nil; now = time.Now() {
				if l.call(ctx, now) != nil {
					return // failure reports it
				}
			}
		})
	}
	wg.Wait()
	return failure(ctx, lanes)
}

// lags is how late the pacer itself was: the part of an open loop's latency
// that is the generator's fault.
type lags = *hdrhistogram.Histogram

// openLoop makes calls at a constant rate however slow the replies are, and
// counts each from when it was due. So a target that stalls is charged for
// every call that would have come in the meantime, not only for one per
// connection.
func openLoop(ctx context.Context, lanes []*lane, begin time.Time, rate float64, d time.Duration) (lags, error) {
	total := int64(rate * d.Seconds())
	// Room for all, so that the pacer never waits for a connection.
	due := make(chan time.Time, total)
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			for at := range due {
				if ctx.Err() != nil || l.call(ctx, at) != nil {
					return
				}
			}
		})
	}
	lag := newHistogram()
	var paceErr error
	wg.Go(func() {
		defer close(due)
		// The thread's timer is made exact, so the thread must not go back
		// to the others: without an unlock it ends with this goroutine.
		runtime.LockOSThread()
		if paceErr = exactSleep(); paceErr != nil {
			return
		}
		for i := range total {
			at := begin.Add(time.Duration(float64(i) * float64(time.Second) / rate))
			if paceErr = sleepUntil(ctx, at); paceErr != nil {
				return
			}
			if paceErr = lag.RecordValue(int64(time.Since(at))); paceErr != nil {
				return
			}
			due <- at
		}
	})
	wg.Wait()
	if err := failure(ctx, lanes); err != nil {
		return nil, err
	}
	if paceErr != nil {
		return nil, fmt.Errorf("keep the rate: %w", paceErr)
	}
	return lag, nil
}

// failure tells of all lanes whose call went wrong, with the first error.
func failure(ctx context.Context, lanes []*lane) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var calls, wrong int64
	var first error
	for _, l := range lanes {
		calls += l.calls + l.wrong
		wrong += l.wrong
		if first == nil {
			first = l.err
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%d of %d calls went wrong, the first one: %w", wrong, calls, first)
}

// summarise turns what the lanes saw and the processes used into a Round.
func summarise(lanes []*lane, elapsed time.Duration, before, after snapshot, rss, peak int64, lag lags) (Round, error) {
	round := Round{ElapsedSeconds: elapsed.Seconds(), RSSBytes: rss, PeakRSSBytes: peak}
	whole, first := newHistogram(), newHistogram()
	for _, l := range lanes {
		round.Calls += l.calls
		round.Events += l.events
		round.Reconnects += int64(l.client.dials - 1)
		if whole.Merge(l.whole)+first.Merge(l.first) > 0 {
			return Round{}, errors.New("merge histograms: values were dropped")
		}
	}
	if round.Calls == 0 {
		return Round{}, errors.New("no call ended within the round")
	}
	calls := float64(round.Calls)
	round.Throughput = calls / elapsed.Seconds()
	round.P50, round.P90 = micros(whole, 50), micros(whole, 90)
	round.P99, round.P999 = micros(whole, 99), micros(whole, 99.9)
	round.Max = float64(whole.Max()) / 1e3
	round.CPUPerCall = perCall(after.target.own-before.target.own, calls)
	round.ChildCPUPerCall = perCall(after.target.children-before.target.children, calls)
	round.AgentCPUPerCall = perCall(after.agent-before.agent, calls)
	round.ClientCPUPerCall = perCall(after.ourselves-before.ourselves, calls)
	round.OthersPercent = othersPercent(before, after, runtime.NumCPU())
	if round.Events > 0 {
		round.FirstP50, round.FirstP99 = micros(first, 50), micros(first, 99)
		round.CPUPerEvent = perCall(after.target.own-before.target.own, float64(round.Events))
	}
	if lag != nil {
		round.LagP50, round.LagP99 = micros(lag, 50), micros(lag, 99)
	}
	return round, nil
}

func micros(h *hdrhistogram.Histogram, percentile float64) float64 {
	return float64(h.ValueAtPercentile(percentile)) / 1e3
}

func perCall(d time.Duration, calls float64) float64 { return float64(d) / 1e3 / calls }
