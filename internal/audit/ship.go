package audit

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrReplaced says that another process has begun to ship under the same replica's
// identity, which a copied data directory can bring about.
var ErrReplaced = errors.New("another process ships as this replica")

// Ledger is where the entries of all replicas become events.
//
// Every method is one transaction. An error may also mean that the transaction was
// committed and its answer lost, so all may be repeated.
type Ledger interface {
	// Register makes p the process that ships for its replica, and returns the number
	// of the last entry that is in the ledger; 0 when there is none.
	Register(ctx context.Context, p Process) (uint64, error)
	// Recorded returns those of the calls that have an event, and those that are open.
	Recorded(ctx context.Context, invocations []uuid.UUID) (ended, open []uuid.UUID, err error)
	// Ship appends the events that the entries finish, in order, and keeps the openings
	// that they leave open. It passes over entries that are in the ledger already. It
	// returns ErrReplaced when p is not the process that ships.
	Ship(ctx context.Context, p Process, entries []SpooledEntry) (Shipment, error)
	// Interrupt appends an INTERRUPTED event for at most limit openings of p's replica
	// with numbers up to through, and returns how many there were.
	Interrupt(ctx context.Context, p Process, through uint64, limit int) (int, error)
	// WriteOff does the same for openings of other replicas whose last sign of life is
	// older than age.
	WriteOff(ctx context.Context, p Process, age time.Duration, limit int) (int, error)
	// Heartbeat is a sign of life. It tells which revision of the configuration the
	// replica serves.
	Heartbeat(ctx context.Context, p Process, servedRevision int64) error
	// Leave says that p's replica serves no calls until it is registered again. When p is
	// not the process that ships, it does nothing.
	Leave(ctx context.Context, p Process) error
}

// Process is one run of a replica.
type Process struct {
	Replica uuid.UUID
	Epoch   uint64
	// Instance is random, and tells two processes apart that have the same directory.
	Instance uuid.UUID
}

// Shipment says what became of entries.
type Shipment struct {
	// Through is the number of the last entry that is in the ledger.
	Through uint64
	// Events is how many were appended.
	Events int
	// Late are calls whose closing came after their event, which was INTERRUPTED by
	// then. The event stays; the closing is dropped.
	Late []uuid.UUID
}

// SpooledEntry is an entry as it stood in a spool.
type SpooledEntry struct {
	Number uint64
	Epoch  uint64
	// Time is when it was appended.
	Time time.Time
	// Data is the entry as it was written, and is what the ledger keeps.
	Data []byte
	// Entry is what Data says, unless Fault says that it cannot be read.
	Entry Entry
	Fault error
}

// Pairing sorts the entries of one shipment.
type Pairing struct {
	// Events are finished calls in the order of the entries that finished them. An
	// event of which Opened is nil needs its opening from the ledger.
	Events []Pair
	// Open are openings that are not closed yet.
	Open []*SpooledEntry
	// Unreadable are entries that make no event.
	Unreadable []*SpooledEntry
}

// Pair is the entries of one finished call.
type Pair struct {
	// Opened is an opening, a refusal or a summary.
	Opened *SpooledEntry
	// Closed is nil for a refusal and a summary.
	Closed *SpooledEntry
}

// PairUp finds the openings of closings among entries, which are in order. The result
// refers to entries.
func PairUp(entries []SpooledEntry) Pairing {
	var p Pairing
	opened := make(map[uuid.UUID]*SpooledEntry, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Fault != nil {
			p.Unreadable = append(p.Unreadable, e)
			continue
		}
		switch e.Entry.Kind {
		case KindOpened:
			opened[e.Entry.Invocation()] = e
		case KindClosed:
			id := e.Entry.Invocation()
			p.Events = append(p.Events, Pair{Opened: opened[id], Closed: e})
			delete(opened, id)
		case KindRefused, KindSummary:
			p.Events = append(p.Events, Pair{Opened: e})
		}
	}
	if len(opened) == 0 {
		return p
	}
	for i := range entries {
		e := &entries[i]
		if e.Fault == nil && e.Entry.Kind == KindOpened && opened[e.Entry.Invocation()] == e {
			p.Open = append(p.Open, e)
		}
	}
	return p
}
