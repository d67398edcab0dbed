package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

// memory is a spool that can be full, which the real one is only on a full disk. The
// real one is used wherever nothing must be full.
type memory struct {
	mu      sync.Mutex
	entries [][]byte
	nearly  error  // what AppendOpening fails with
	full    error  // what both fail with
	during  func() // called at the begin of Append; nil does nothing
}

func (m *memory) Append(p []byte) (uint64, error) {
	if m.during != nil {
		m.during()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full != nil {
		return 0, m.full
	}
	m.entries = append(m.entries, bytes.Clone(p))
	return uint64(len(m.entries)), nil
}

func (m *memory) AppendOpening(p []byte) (uint64, error) {
	if err := m.Headroom(); err != nil {
		return 0, err
	}
	return m.Append(p)
}

func (m *memory) Headroom() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nearly
}

func (m *memory) set(nearly, full error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nearly, m.full = nearly, full
}

// decoded returns the entries of a kind.
func (m *memory) decoded(t *testing.T, kind audit.Kind) []audit.Entry {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []audit.Entry
	for _, data := range m.entries {
		e, err := audit.DecodeEntry(data)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// calls returns how many calls the entries stand for.
func (m *memory) calls(t *testing.T) (n int64) {
	t.Helper()
	for _, e := range m.decoded(t, audit.KindSummary) {
		n += e.Refusals.Count
	}
	return n + int64(len(m.decoded(t, audit.KindRefused)))
}

func newRecorder(t *testing.T, cfg audit.RecorderConfig) *audit.SpoolRecorder {
	t.Helper()
	r, err := audit.NewRecorder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func opening(source string) *audit.Opening {
	return &audit.Opening{Invocation: uuid.Must(uuid.NewV7()), Time: time.Now(), SourceAddress: source, Agent: "echo", Method: "SendMessage"}
}

func refusal(o *audit.Opening, reason string) *audit.Closing {
	return &audit.Closing{
		Invocation: o.Invocation, Outcome: audit.Refused, HTTPStatus: 401, Error: &audit.CallError{Code: -31401, Reason: reason, Message: "no"},
	}
}

func refuse(t *testing.T, r *audit.SpoolRecorder, source, reason string) {
	t.Helper()
	o := opening(source)
	if err := r.RefuseUnauthenticated(o, refusal(o, reason)); err != nil {
		t.Fatal(err)
	}
}

// ticking is a clock that a test moves.
type ticking struct {
	mu  sync.Mutex
	now time.Time
}

func (c *ticking) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticking) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *ticking { return &ticking{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

var _ clock.Clock = (*ticking)(nil)

func TestRefuseUnauthenticated_RecordsTwentyASecondOfOneSource(t *testing.T) {
	m, c := &memory{}, newClock()
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: c})
	for range 100 {
		refuse(t, r, "192.0.2.1:40000", "CREDENTIALS_MISSING")
	}
	if got := len(m.decoded(t, audit.KindRefused)); got != 20 {
		t.Errorf("%d of 100 at once are recorded singly, want 20", got)
	}
	for port := range 40 {
		refuse(t, r, fmt.Sprintf("192.0.2.1:%d", port+1), "CREDENTIALS_MISSING")
	}
	if got := len(m.decoded(t, audit.KindRefused)); got != 20 {
		t.Errorf("another port of the source got an entry of its own")
	}
	refuse(t, r, "192.0.2.2:40000", "CREDENTIALS_MISSING")
	if got := len(m.decoded(t, audit.KindRefused)); got != 21 {
		t.Errorf("another source has no entry: %d, want 21", got)
	}
	c.advance(500 * time.Millisecond)
	for range 100 {
		refuse(t, r, "192.0.2.1", "CREDENTIALS_MISSING")
	}
	if got := len(m.decoded(t, audit.KindRefused)); got != 31 {
		t.Errorf("after half a second there are %d, want 10 more than 21", got)
	}
}

func TestRefuseUnauthenticated_OneIPv6SubscriberIsOneSource(t *testing.T) {
	m := &memory{}
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: newClock()})
	for i := range 100 {
		refuse(t, r, fmt.Sprintf("[2001:db8:0:1::%x]:443", i+1), "CREDENTIALS_MISSING")
	}
	if got := len(m.decoded(t, audit.KindRefused)); got != 20 {
		t.Errorf("%d of one /64 are recorded singly, want 20", got)
	}
	refuse(t, r, "[2001:db8:0:2::1]:443", "CREDENTIALS_MISSING")
	if got := len(m.decoded(t, audit.KindRefused)); got != 21 {
		t.Errorf("another /64 has no entry of its own")
	}
}

func TestRefuseUnauthenticated_RecordsTwoHundredASecondInAll(t *testing.T) {
	m := &memory{}
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: newClock()})
	for i := range 10000 {
		refuse(t, r, fmt.Sprintf("10.0.%d.%d:1", i/250, i%250), "CREDENTIALS_MISSING")
	}
	if got := len(m.decoded(t, audit.KindRefused)); got != 200 {
		t.Errorf("%d of 10 000 sources are recorded singly, want 200", got)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	summaries := m.decoded(t, audit.KindSummary)
	if len(summaries) != 1 {
		t.Fatalf("%d summaries, want 1", len(summaries))
	}
	if s := summaries[0].Refusals; s.Count != 9800 || s.Sources != 4096 || !s.SourcesCapped {
		t.Errorf("summary = %+v, want 9800 refusals of more than 4096 sources", s)
	}
}

func TestFlush_SaysWhatWasCounted(t *testing.T) {
	m, c := &memory{}, newClock()
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: c})
	for range 20 {
		refuse(t, r, "192.0.2.1:1", "CREDENTIALS_MISSING")
	}
	begin := c.Now()
	for range 3 {
		refuse(t, r, "192.0.2.1:1", "CREDENTIALS_MISSING")
	}
	for range 2 {
		c.advance(time.Millisecond)
		refuse(t, r, "192.0.2.1:1", "")
	}
	if err := errors.Join(r.Flush(), r.Flush()); err != nil {
		t.Fatal(err)
	}
	got := m.decoded(t, audit.KindSummary)
	if len(got) != 1 {
		t.Fatalf("%d summaries, want 1 of two flushes", len(got))
	}
	event, err := audit.Merge(&got[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	if event.Count != 5 || event.Outcome != audit.Summary || !event.Time.Equal(begin) || event.Invocation == uuid.Nil {
		t.Errorf("event = %+v, want a SUMMARY of 5 calls from %s", event, begin)
	}
	if want := "5 calls from 1 sources: CREDENTIALS_MISSING 3, UNSPECIFIED 2"; event.Error.Message != want {
		t.Errorf("message = %q, want %q", event.Error.Message, want)
	}
}

// Whatever the spool, the clock and the flood do, each refusal is counted once.
func TestRefusals_NoneIsLostAndNoneCountedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := newRecorder(t, audit.RecorderConfig{Spool: m})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		var wg sync.WaitGroup
		const workers, each = 8, 500
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					o := opening(fmt.Sprintf("10.0.0.%d:%d", (w*i)%97, i+1))
					c := refusal(o, fmt.Sprintf("REASON_%d", i%100))
					f := r.RefuseUnauthenticated
					if i%5 == 0 {
						f = r.Refuse
					}
					if err := f(o, c); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(i%7) * time.Millisecond) // the bubble's clock
				}
			})
		}
		for i := range 6 {
			time.Sleep(300 * time.Millisecond)
			switch i % 3 {
			case 0:
				m.set(spool.ErrNearlyFull, nil)
			case 1:
				m.set(spool.ErrNearlyFull, spool.ErrFull)
			case 2:
				m.set(nil, nil)
			}
		}
		wg.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := m.calls(t); got != workers*each {
			t.Errorf("the entries stand for %d refusals, want %d", got, workers*each)
		}
		if n := len(m.decoded(t, audit.KindSummary)); n < 2 || n > 5 {
			t.Errorf("%d summaries of 2 seconds, want one a second", n)
		}
	})
}

func TestFlush_ThatFailsKeepsWhatCameMeanwhileAsWell(t *testing.T) {
	m := &memory{nearly: spool.ErrNearlyFull, full: spool.ErrFull}
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: newClock()})
	m.during = func() { refuse(t, r, "192.0.2.2:1", "B") }
	refuse(t, r, "192.0.2.1:1", "A")
	if err := r.Flush(); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Flush = %v, want ErrFull", err)
	}
	m.during = nil
	m.set(nil, nil)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "2 calls from 2 sources: A 1, B 1"
	if s := m.decoded(t, audit.KindSummary); len(s) != 1 || s[0].Refusals.String() != want {
		t.Errorf("summaries = %+v, want %q", s, want)
	}
}

func TestRefuse_WithoutRoomIsCountedNotDropped(t *testing.T) {
	m := &memory{nearly: spool.ErrNearlyFull}
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: newClock()})
	o := opening("192.0.2.1:1")
	if err := r.Refuse(o, refusal(o, "SPOOL_FULL")); err != nil {
		t.Errorf("Refuse: %v", err)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	s := m.decoded(t, audit.KindSummary)
	if len(s) != 1 || s[0].Refusals.Count != 1 || s[0].Refusals.Authenticated != 1 {
		t.Errorf("summaries = %+v, want one of one authenticated call", s)
	}
}

func TestOpen_WithoutRoomRefusesTheCall(t *testing.T) {
	m := &memory{nearly: spool.ErrNearlyFull}
	r := newRecorder(t, audit.RecorderConfig{Spool: m})
	for name, err := range map[string]error{"Open": r.Open(opening("192.0.2.1:1")), "Ready": r.Ready()} {
		if !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, spool.ErrNearlyFull) {
			t.Errorf("%s = %v, want ErrUnavailable because of the spool", name, err)
		}
	}
	m.set(nil, nil)
	if err := errors.Join(r.Ready(), r.Open(opening("192.0.2.1:1"))); err != nil {
		t.Errorf("with room: %v", err)
	}
}

func TestClose_ThatIsLostIsReported(t *testing.T) {
	var logged bytes.Buffer
	m := &memory{full: spool.ErrFull}
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Logger: slog.New(slog.NewJSONHandler(&logged, nil))})
	o := opening("192.0.2.1:1")
	if err := r.Close(refusal(o, "X")); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Close = %v, want ErrFull", err)
	}
	if got := logged.String(); !strings.Contains(got, `"ERROR"`) || !strings.Contains(got, o.Invocation.String()) {
		t.Errorf("log = %s, want an error that names the call", got)
	}
}

func TestRecorder_RefusesEntriesThatMakeNoEvent(t *testing.T) {
	m := &memory{}
	r := newRecorder(t, audit.RecorderConfig{Spool: m})
	good := opening("192.0.2.1:1")
	if err := r.Open(&audit.Opening{Time: good.Time}); err == nil {
		t.Error("Open without an invocation works")
	}
	if err := r.Open(&audit.Opening{Invocation: good.Invocation}); err == nil {
		t.Error("Open without a time works")
	}
	if err := r.Close(&audit.Closing{Invocation: good.Invocation}); err == nil {
		t.Error("Close without an outcome works")
	}
	if err := r.Refuse(good, &audit.Closing{Outcome: "PERHAPS"}); err == nil {
		t.Error("Refuse with an unknown outcome works")
	}
	if len(m.entries) != 0 {
		t.Errorf("%d entries were written", len(m.entries))
	}
}
