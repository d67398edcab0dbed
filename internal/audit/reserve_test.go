package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
)

func newSpool(t *testing.T, maxBytes int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), SegmentBytes: 1 << 20, MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// largest is a closing of the largest size that calls have.
func largest(id uuid.UUID) *audit.Closing {
	return &audit.Closing{
		Invocation: id, Outcome: audit.Failed, Endpoint: strings.Repeat("\x01", 3000), TaskID: strings.Repeat("\x01", 300),
		ContextID: strings.Repeat("\x01", 300), Error: &audit.CallError{Message: strings.Repeat("\x01", 2000)},
	}
}

// open opens calls and returns their ids.
func open(t *testing.T, r *audit.SpoolRecorder, n int) (ids []uuid.UUID) {
	t.Helper()
	for range n {
		o := opening("192.0.2.1:1")
		if err := r.Open(o); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, o.Invocation)
	}
	return ids
}

// fill makes calls until no new one is admitted.
func fill(t *testing.T, r *audit.SpoolRecorder) {
	t.Helper()
	for range 1 << 20 {
		o := opening("192.0.2.1:1")
		if err := r.Open(o); err != nil {
			if !errors.Is(err, audit.ErrUnavailable) {
				t.Fatal(err)
			}
			return
		}
		if err := r.Close(&audit.Closing{Invocation: o.Invocation, Outcome: audit.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the spool does not fill")
}

// entriesOf reads a spool.
func entriesOf(t *testing.T, s *spool.Spool) map[audit.Kind][]audit.Entry {
	t.Helper()
	out := map[audit.Kind][]audit.Entry{}
	var records []spool.Record
	for after := uint64(0); ; after = records[len(records)-1].Number {
		var err error
		if records, err = s.Read(after, 1000, records); err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return out
		}
		for _, record := range records {
			e, err := audit.DecodeEntry(record.Data)
			if err != nil {
				t.Fatal(err)
			}
			out[e.Kind] = append(out[e.Kind], e)
		}
	}
}

func TestRefuse_InANearlyFullSpoolIsRecordedSinglyUntilTheRoomIsNeeded(t *testing.T) {
	s := newSpool(t, 8<<20)
	r := newRecorder(t, audit.RecorderConfig{Spool: s})
	ids := open(t, r, 10)
	fill(t, r)
	before := s.Stats()
	const refusals = 3000
	for range refusals {
		o := opening("192.0.2.1:1")
		if err := r.Refuse(o, refusal(o, "RECORD_UNAVAILABLE")); err != nil {
			t.Fatal(err)
		}
	}
	taken := s.Stats().UsedBytes - before.UsedBytes
	// Ten open calls need 10 × 24 KiB at most; a quarter of the last tenth is for summaries.
	if free := before.MaxBytes/10 - 10*24<<10 - before.MaxBytes/40; taken < free-8<<10 || taken > free+8<<10 {
		t.Errorf("refusals took %d bytes of the reserve, want about %d", taken, free)
	}
	if err := r.Flush(); err != nil {
		t.Errorf("no room for a summary: %v", err)
	}
	for _, id := range ids {
		if err := r.Close(largest(id)); err != nil {
			t.Fatalf("an open call has no room for its closing: %v", err)
		}
	}
	entries := entriesOf(t, s)
	singly := len(entries[audit.KindRefused])
	summaries := entries[audit.KindSummary]
	if len(summaries) != 1 || singly < 100 || int64(singly)+summaries[0].Refusals.Count != refusals ||
		summaries[0].Refusals.Authenticated != summaries[0].Refusals.Count {
		t.Errorf("of %d refusals %d are recorded singly, and the summaries are %+v", refusals, singly, summaries)
	}
}

func TestRefuse_TakesNoRoomThatOpenCallsMayNeed(t *testing.T) {
	s := newSpool(t, 4<<20) // the last tenth is enough for the largest closings of 17 calls
	r := newRecorder(t, audit.RecorderConfig{Spool: s})
	ids := open(t, r, 40)
	fill(t, r)
	refuseOne := func() {
		t.Helper()
		o := opening("192.0.2.1:1")
		if err := r.Refuse(o, refusal(o, "RECORD_UNAVAILABLE")); err != nil {
			t.Fatal(err)
		}
	}
	refuseOne()
	if n := len(entriesOf(t, s)[audit.KindRefused]); n != 0 {
		t.Errorf("%d refusals are recorded singly, though 40 open calls may need all of the room", n)
	}
	// Most of them end as calls usually do.
	for _, id := range ids[:38] {
		if err := r.Close(&audit.Closing{Invocation: id, Outcome: audit.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	refuseOne()
	if n := len(entriesOf(t, s)[audit.KindRefused]); n != 1 {
		t.Errorf("%d refusals are recorded singly, want the one since there is room", n)
	}
}

func TestRefuseUnauthenticated_TakesNothingOfTheReserve(t *testing.T) {
	s := newSpool(t, 4<<20)
	r := newRecorder(t, audit.RecorderConfig{Spool: s})
	fill(t, r)
	refuse(t, r, "192.0.2.1:1", "CREDENTIALS_MISSING")
	if n := len(entriesOf(t, s)[audit.KindRefused]); n != 0 {
		t.Errorf("a stranger took room that is kept for closing calls")
	}
}

// gauged is a spool in memory that says how much room it has.
type gauged struct {
	*memory
	stats spool.Stats
}

func (g *gauged) Stats() spool.Stats { return g.stats }

func TestRefuse_OnAFullDiskIsCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		stats spool.Stats
		want  int
	}{
		"a full disk":    {spool.Stats{UsedBytes: 1 << 20, MaxBytes: 1 << 30, SpareFailed: true}, 0},
		"room on a disk": {spool.Stats{UsedBytes: 1 << 20, MaxBytes: 1 << 30}, 1},
	} {
		m := &gauged{&memory{nearly: fmt.Errorf("%w: no spare segment", spool.ErrNearlyFull)}, tt.stats}
		r := newRecorder(t, audit.RecorderConfig{Spool: m})
		o := opening("192.0.2.1:1")
		if err := errors.Join(r.Refuse(o, refusal(o, "RECORD_UNAVAILABLE")), r.Flush()); err != nil {
			t.Fatal(err)
		}
		if got := len(m.decoded(t, audit.KindRefused)); got != tt.want || m.calls(t) != 1 {
			t.Errorf("%s: %d recorded singly, %d in all; want %d and 1", name, got, m.calls(t), tt.want)
		}
	}
}

// Whatever calls and refusals come at once, every call that was admitted is closed.
func TestReserve_ConcurrentRefusalsNeverTakeTheRoomOfAClosing(t *testing.T) {
	s := newSpool(t, 4<<20)
	r := newRecorder(t, audit.RecorderConfig{Spool: s})
	fill(t, r)
	if err := s.Release(s.Last() - 400); err != nil { // room for some hundred calls
		t.Fatal(err)
	}
	const workers, each = 8, 400
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	begin := len(entriesOf(t, s)[audit.KindRefused])
	for range workers {
		wg.Go(func() {
			for range each {
				o := opening("192.0.2.1:1")
				if err := r.Open(o); err == nil {
					if err := r.Close(largest(o.Invocation)); err != nil {
						t.Errorf("an admitted call was not closed: %v", err)
					}
					continue
				}
				mu.Lock()
				refused++
				mu.Unlock()
				if err := r.Refuse(o, refusal(o, "RECORD_UNAVAILABLE")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	entries := entriesOf(t, s)
	counted := int64(0)
	for _, e := range entries[audit.KindSummary] {
		counted += e.Refusals.Count
	}
	singly := len(entries[audit.KindRefused]) - begin
	if refused == workers*each || singly == 0 || counted == 0 || int64(singly)+counted != int64(refused) {
		t.Errorf("of %d calls %d were refused, %d of them recorded singly, %d counted", workers*each, refused, singly, counted)
	}
}

func TestRecordAnonymous_IsCountedApartFromRefusals(t *testing.T) {
	m, c := &memory{}, newClock()
	metrics := &tallied{}
	r := newRecorder(t, audit.RecorderConfig{Spool: m, Clock: c, Metrics: metrics})
	read := func() {
		t.Helper()
		o := opening("192.0.2.1:1")
		if err := r.RecordAnonymous(o, &audit.Closing{Invocation: o.Invocation, Outcome: audit.Succeeded, HTTPStatus: 200}); err != nil {
			t.Fatal(err)
		}
	}
	for range 15 {
		read()
		refuse(t, r, "192.0.2.1:1", "CREDENTIALS_MISSING")
	}
	singly := m.decoded(t, audit.KindRefused)
	if len(singly) != 20 {
		t.Errorf("%d are recorded singly, want 20 of both together", len(singly))
	}
	for i, e := range singly {
		if want := []audit.Outcome{audit.Succeeded, audit.Refused}[i%2]; e.Closing.Outcome != want {
			t.Errorf("entry %d has outcome %s, want %s", i, e.Closing.Outcome, want)
		}
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	s := m.decoded(t, audit.KindSummary)
	want := []audit.ReasonCount{{Reason: "CREDENTIALS_MISSING", Count: 5}, {Reason: "SUCCEEDED", Count: 5}}
	if len(s) != 1 || s[0].Refusals.Count != 10 || s[0].Refusals.Authenticated != 0 || fmt.Sprint(s[0].Refusals.Reasons) != fmt.Sprint(want) {
		t.Errorf("summaries = %+v, want one of %v", s, want)
	}
	if metrics.summarized != 5 {
		t.Errorf("%d refusals were counted for metrics, want 5", metrics.summarized)
	}
}

// tallied keeps what a recorder counts.
type tallied struct{ summarized int64 }

func (*tallied) Recorded(audit.Kind)   {}
func (*tallied) Unrecorded(audit.Kind) {}
func (m *tallied) Summarized(n int64)  { m.summarized += n }
