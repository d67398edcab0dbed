package api_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

// record is the record of a plane, in memory, so that it can be full.
type record struct {
	recorder *audit.SpoolRecorder

	mu      sync.Mutex
	entries [][]byte
	full    bool // of all but the last tenth
}

func newRecord(t *testing.T, c clock.Clock) *record {
	t.Helper()
	r := &record{}
	var err error
	r.recorder, err = audit.NewRecorder(audit.RecorderConfig{Spool: r, Clock: c})
	must(t, err)
	return r
}

func (r *record) Append(p []byte) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, bytes.Clone(p))
	return uint64(len(r.entries)), nil
}

func (r *record) AppendOpening(p []byte) (uint64, error) {
	if err := r.Headroom(); err != nil {
		return 0, err
	}
	return r.Append(p)
}

func (r *record) Headroom() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return spool.ErrNearlyFull
	}
	return nil
}

// Stats tells of room for refusals.
func (r *record) Stats() spool.Stats { return spool.Stats{MaxBytes: 1 << 30} }

func (r *record) fill(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

// forget begins the record anew.
func (r *record) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = nil
}

// bytes returns everything that was recorded, as it was written.
func (r *record) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.entries, []byte("\n"))
}

// events returns the events of the calls that ended, and how many are open.
func (r *record) events(t *testing.T) (events []audit.Event, open int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var entries []audit.SpooledEntry
	for i, data := range r.entries {
		entry, err := audit.DecodeEntry(data)
		must(t, err)
		entries = append(entries, audit.SpooledEntry{Number: uint64(i + 1), Epoch: 1, Time: time.Now(), Data: data, Entry: entry})
	}
	pairing := audit.PairUp(entries)
	for _, pair := range pairing.Events {
		var opened, closed *audit.Entry
		if pair.Opened != nil {
			opened = &pair.Opened.Entry
		}
		if pair.Closed != nil {
			closed = &pair.Closed.Entry
		}
		e, err := audit.Merge(opened, closed)
		must(t, err)
		events = append(events, e)
	}
	return events, len(pairing.Open)
}

// one waits for the event of the only call since the record was begun.
func (r *record) one(t *testing.T) audit.Event {
	t.Helper()
	eventually(t, "the event of the call", func() bool {
		events, open := r.events(t)
		return len(events) > 0 && open == 0
	})
	events, _ := r.events(t)
	if len(events) != 1 {
		t.Fatalf("the call has %d events: %+v", len(events), events)
	}
	return events[0]
}
