package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

// Spool takes the entries of a replica. What it has taken survives the death of the
// process. Both methods give the entry's number, keep nothing of p, and are safe for
// concurrent use.
type Spool interface {
	// Append takes what closes a call or sums up, until there is no room at all.
	Append(p []byte) (uint64, error)
	// AppendOpening takes what begins a call or refuses one. It leaves room for
	// closing what is open and returns an error when only that room is left.
	AppendOpening(p []byte) (uint64, error)
	// Headroom returns the error that AppendOpening would return now.
	Headroom() error
}

// RecorderMetrics counts what a recorder does. Its methods are safe for concurrent use
// and quick.
type RecorderMetrics interface {
	// Recorded counts an entry that the spool took.
	Recorded(kind Kind)
	// Unrecorded counts an entry that the spool did not take: an opening whose call was
	// refused for it, or a closing, whose call will be an INTERRUPTED event.
	Unrecorded(kind Kind)
	// Summarized counts refusals that a summary stands for. Calls without a credential
	// that were served are in summaries too, and not counted here.
	Summarized(refusals int64)
}

// RecorderConfig says how a SpoolRecorder works.
type RecorderConfig struct {
	// Spool is required.
	Spool Spool
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets what somebody must act on; nil discards.
	Logger *slog.Logger
	// Metrics counts; nil discards.
	Metrics RecorderMetrics
}

// SpoolRecorder keeps the record of a replica in its spool.
type SpoolRecorder struct {
	spool   Spool
	clock   clock.Clock
	log     *slog.Logger
	metrics RecorderMetrics
	buffers sync.Pool
	flood   *flood
	reserve reserve
}

var _ Recorder = (*SpoolRecorder)(nil)

// NewRecorder returns a recorder. Its Run must run, or nothing is summed up.
func NewRecorder(cfg RecorderConfig) (*SpoolRecorder, error) {
	if cfg.Spool == nil {
		return nil, errors.New("audit: RecorderConfig.Spool is required")
	}
	r := &SpoolRecorder{
		spool: cfg.Spool, clock: cfg.Clock, log: cfg.Logger, metrics: cfg.Metrics,
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }},
	}
	if r.clock == nil {
		r.clock = clock.System{}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.metrics == nil {
		r.metrics = noMetrics{}
	}
	r.flood = newFlood()
	r.reserve.gauge, _ = cfg.Spool.(Gauge)
	return r, nil
}

const (
	// bufferSize is enough for the usual entry.
	bufferSize = 2 << 10
	// summaryPeriod is the time that one summary covers.
	summaryPeriod = time.Second
)

// Errors of a caller that gives what makes no entry.
var (
	errNoInvocation = errors.New("audit: an entry needs an invocation id and a time")
	errNoOutcome    = errors.New("audit: a closing needs one of the outcomes")
)

// Open records that a call was admitted. The error is ErrUnavailable when the spool
// has no room for it.
func (r *SpoolRecorder) Open(o *Opening) error {
	if o.Invocation == uuid.Nil || o.Time.IsZero() {
		return errNoInvocation
	}
	buf := r.buffer()
	*buf = appendOpened((*buf)[:0], o)
	room := closingRoom(o.Plane == PlaneManagement)
	r.reserve.open.Add(room)
	_, err := r.spool.AppendOpening(*buf)
	r.buffers.Put(buf)
	if err != nil {
		r.reserve.open.Add(-room)
		r.metrics.Unrecorded(KindOpened)
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	r.metrics.Recorded(KindOpened)
	return nil
}

// Close records the end of an opened call. An error means that the end is lost, and
// that the call will be an INTERRUPTED event after the next start.
func (r *SpoolRecorder) Close(c *Closing) error {
	if c.Invocation == uuid.Nil {
		return errNoInvocation
	}
	if !c.Outcome.Known() {
		return fmt.Errorf("%w, not %q", errNoOutcome, c.Outcome)
	}
	buf := r.buffer()
	*buf = appendClosed((*buf)[:0], c, r.clock.Now())
	_, err := r.spool.Append(*buf)
	r.reserve.open.Add(-closingRoom(c.Management != nil))
	r.buffers.Put(buf)
	if err != nil {
		r.metrics.Unrecorded(KindClosed)
		r.log.LogAttrs(context.Background(), slog.LevelError, "end of a call not recorded",
			slog.String("invocation", c.Invocation.String()), slog.String("outcome", string(c.Outcome)), slog.Any("error", err))
		return fmt.Errorf("record the end of call %s: %w", c.Invocation, err)
	}
	r.metrics.Recorded(KindClosed)
	return nil
}

// Refuse records a refused call. When the spool is nearly full, its entry is taken from
// the room that is kept for closing calls, as long as that certainly suffices for those
// that are open; beyond that the call is counted in the next summary.
func (r *SpoolRecorder) Refuse(o *Opening, c *Closing) error {
	return r.refuse(o, c, true)
}

// RefuseUnauthenticated records a refused call whose caller is not known, or counts it
// when there are too many.
func (r *SpoolRecorder) RefuseUnauthenticated(o *Opening, c *Closing) error {
	return r.unauthenticated(o, c)
}

// RecordAnonymous records a call without a credential that was served, such as a read
// of a PUBLIC agent's card, as one entry. It shares the limits of
// RefuseUnauthenticated: beyond them such calls are counted in the same summary, under
// a reason of their own, which is the name of their outcome.
func (r *SpoolRecorder) RecordAnonymous(o *Opening, c *Closing) error {
	return r.unauthenticated(o, c)
}

func (r *SpoolRecorder) unauthenticated(o *Opening, c *Closing) error {
	// Both planes share the limits: a flood is one, wherever it goes.
	if !r.flood.allow(o.SourceAddress, r.clock.Now()) {
		r.count(o, c, false)
		return nil
	}
	return r.refuse(o, c, false)
}

func (r *SpoolRecorder) refuse(o *Opening, c *Closing, authenticated bool) error {
	if o.Invocation == uuid.Nil || o.Time.IsZero() {
		return errNoInvocation
	}
	if !c.Outcome.Known() {
		return fmt.Errorf("%w, not %q", errNoOutcome, c.Outcome)
	}
	buf := r.buffer()
	*buf = appendRefused((*buf)[:0], o, c)
	_, err := r.spool.AppendOpening(*buf)
	if authenticated && errors.Is(err, spool.ErrNearlyFull) {
		err = r.reserve.append(r.spool, *buf)
	}
	r.buffers.Put(buf)
	if err == nil {
		r.metrics.Recorded(KindRefused)
		return nil
	}
	r.metrics.Unrecorded(KindRefused)
	r.count(o, c, authenticated)
	return nil // the next summary records it
}

func (r *SpoolRecorder) count(o *Opening, c *Closing, authenticated bool) {
	reason := ""
	switch {
	case c.Error != nil:
		reason = c.Error.Reason
	case c.Outcome == Succeeded:
		reason = servedReason
	}
	r.flood.count(o.Plane, o.SourceAddress, reason, authenticated, r.clock.Now())
}

// Ready returns ErrUnavailable when a new call could not be recorded.
func (r *SpoolRecorder) Ready() error {
	if err := r.spool.Headroom(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Run records each second what was counted, and says when the spool runs out of room
// and has it again, until ctx ends; then it records the counts once more. Call
// [SpoolRecorder.Flush] when refusals may come after that.
func (r *SpoolRecorder) Run(ctx context.Context) error {
	tick := time.NewTicker(summaryPeriod)
	defer tick.Stop()
	var refusing, failing bool
	for {
		select {
		case <-ctx.Done():
			return r.Flush()
		case <-tick.C:
		}
		switch err := r.Ready(); {
		case err != nil && !refusing:
			refusing = true
			r.log.LogAttrs(ctx, slog.LevelError, "calls are refused because they cannot be recorded", slog.Any("error", err))
		case err == nil && refusing:
			refusing = false
			r.log.LogAttrs(ctx, slog.LevelInfo, "calls can be recorded again")
		}
		err := r.Flush()
		if err != nil && !failing {
			r.log.LogAttrs(ctx, slog.LevelError, "refusals are counted but cannot be recorded", slog.Any("error", err))
		}
		failing = err != nil
	}
}

// Flush records as one entry of each plane what was counted since the last time. After
// an error the counts are kept for the next time.
func (r *SpoolRecorder) Flush() error {
	return errors.Join(r.flush(PlaneData), r.flush(PlaneManagement))
}

func (r *SpoolRecorder) flush(plane Plane) error {
	counts := r.flood.take(plane)
	if counts == nil {
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		r.flood.giveBack(plane, counts)
		return fmt.Errorf("make an invocation id: %w", err)
	}
	refusals := counts.refusals()
	buf := r.buffer()
	*buf = appendSummary((*buf)[:0], id, plane, &refusals)
	_, err = r.spool.Append(*buf)
	r.buffers.Put(buf)
	if err != nil {
		r.flood.giveBack(plane, counts)
		return fmt.Errorf("record a summary of refusals: %w", err)
	}
	r.metrics.Recorded(KindSummary)
	r.metrics.Summarized(refusals.Count - counts.reasons[servedReason])
	return nil
}

func (r *SpoolRecorder) buffer() *[]byte {
	buf, _ := r.buffers.Get().(*[]byte)
	return buf
}

type noMetrics struct{}

func (noMetrics) Recorded(Kind)              {}
func (noMetrics) Unrecorded(Kind)            {}
func (noMetrics) Summarized(int64)           {}
func (noMetrics) Shipped(int, time.Duration) {}
func (noMetrics) ShipFailed()                {}
