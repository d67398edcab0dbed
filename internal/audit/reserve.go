package audit

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/signalbox-dev/signalbox/internal/audit/spool"
)

// Gauge is what a [Spool] may be besides: one that tells how much room it has. Without
// it no refusal is recorded singly in a spool that is nearly full.
type Gauge interface {
	// Stats returns a moment of the spool.
	Stats() spool.Stats
}

var (
	_ Spool = (*spool.Spool)(nil)
	_ Gauge = (*spool.Spool)(nil)
)

const (
	// maxClosing is the room that the largest closing of the data plane takes in a spool.
	maxClosing = 24 << 10
	// recordHead is the room that a record takes besides its data, at most.
	recordHead = 64
	// maxManagementClosing is that of a management call, which has documents.
	maxManagementClosing = MaxEntry + recordHead
)

// errReserved says that what room there is belongs to the calls that are open.
var errReserved = errors.New("audit: the room that is left is kept for closing what is open")

// reserve is the last tenth of a spool, where openings are refused. It is there for
// closing what is open, and is far more than that usually takes. What certainly is not
// needed for it may take refusals.
type reserve struct {
	gauge Gauge // nil when the spool has none
	// open is the room for the closings of calls whose opening is recorded, or may be at
	// any moment, and whose closing is not.
	open atomic.Int64
	mu   sync.Mutex // a look at the room and the append that rests on it are one step
}

// closingRoom is what is kept for the closing of a call.
func closingRoom(management bool) int64 {
	if management {
		return maxManagementClosing
	}
	return maxClosing
}

// append records an entry out of the reserve, unless that would leave less than every
// open call may need for its closing, and a quarter of the reserve for summaries.
func (r *reserve) append(s Spool, p []byte) error {
	if r.gauge == nil {
		return errReserved
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A closing that comes in between takes no more than is kept for it.
	open := r.open.Load()
	st := r.gauge.Stats()
	if st.SpareFailed {
		// The disk may be full: how much room there is depends on the segment in use.
		return errReserved
	}
	keep := open + st.MaxBytes/10/4
	if st.MaxBytes-st.UsedBytes-int64(len(p))-recordHead < keep {
		return errReserved
	}
	_, err := s.Append(p)
	return err
}
