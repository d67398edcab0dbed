package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"time"
)

// maxReadBytes bounds the data of one Read, so that memory is bounded whatever the limit of entries is.
const maxReadBytes = 8 << 20

// Record is one entry as it was appended.
type Record struct {
	// Number is the entry's place among all of the replica.
	Number uint64
	// Epoch is the one in which it was appended.
	Epoch uint64
	// Time is when it was appended.
	Time time.Time
	// Data is a copy of what was appended. It belongs to whoever holds the Record, until that one passes the
	// Record to Read again.
	Data []byte
}

// cursor is where the last Read stopped, so that the next goes on without a search.
type cursor struct {
	seg    *segment // nil means nowhere
	sc     scanner
	number uint64 // of the entry before sc.pos
}

func (c *cursor) enter(g *segment) { c.seg, c.sc = g, newScanner(g.data, g.key) }

// Read returns entries with numbers above after, in order, at most limit and at most some 8 MiB, none when there are
// none yet. It overwrites buf, reusing the memory of its records, and returns it grown or cut to the result. Reading on from
// the last number of the Read before costs nothing but the entries. Damage is passed over and reported by
// [Spool.Recovered]; when nothing but damage is left, the error is [ErrDamaged].
func (s *Spool) Read(after uint64, limit int, buf []Record) ([]Record, error) {
	buf = buf[:0]
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.dead {
		return buf, ErrClosed
	}
	last := s.last.Load()
	if last <= after || limit <= 0 {
		return buf, nil
	}
	segs := *s.segments.Load()
	c := &s.cursor
	i := slices.Index(segs, c.seg)
	if i < 0 || c.number != after {
		i = max(sort.Search(len(segs), func(i int) bool { return segs[i].first > after+1 })-1, 0)
		c.enter(segs[i])
		c.number = 0
	}
	for size := 0; len(buf) < limit && size < maxReadBytes; {
		// A segment that has a successor in segs is complete, and so is this end.
		end := c.seg.end.Load()
		if c.sc.pos >= end {
			if i++; i == len(segs) {
				break
			}
			c.enter(segs[i])
			continue
		}
		var n int
		buf, n = s.readOne(after, end, buf)
		size += n
	}
	if len(buf) == 0 && c.sc.pos >= c.seg.end.Load() {
		return buf, fmt.Errorf("read entries %d to %d: %w", after+1, last, ErrDamaged)
	}
	return buf, nil
}

// readOne takes the entry at the cursor, or passes over what is not one, and returns the bytes it copied.
func (s *Spool) readOne(after uint64, end int64, buf []Record) ([]Record, int) {
	c := &s.cursor
	file := filepath.Base(c.seg.path)
	start := c.sc.pos
	var e entry
	var h hole
	var ok bool
	out, err := buf, error(nil)
	func() {
		defer catchFault(c.seg.path, debug.SetPanicOnFault(true), &err)
		if e, h, ok = c.sc.next(c.number, end); ok && e.number > after {
			out = appendRecord(buf, e)
		}
	}()
	switch {
	case err != nil:
		s.note(Damage{Kind: Unreadable, File: file, Offset: start, Length: end - start})
		c.sc.pos = end
		return buf, 0
	case !ok:
		s.note(Damage{Kind: Corrupt, File: file, Offset: start, Length: end - start})
		c.sc.pos = end
		return buf, 0
	}
	// A gap without bytes is known since Open, or was left on purpose by Advance.
	if !h.empty() {
		d, _ := damageBetween(file, c.number, e.number, h, c.sc.pos)
		s.note(d)
	}
	c.number = e.number
	if e.number <= after {
		return out, 0 // however much is passed over, what follows must be reached
	}
	return out, len(e.data)
}

// appendRecord copies e behind buf, into the memory of the record that stood there before if that fits.
func appendRecord(buf []Record, e entry) []Record {
	if len(buf) < cap(buf) {
		buf = buf[:len(buf)+1]
	} else {
		buf = append(buf, Record{})
	}
	r := &buf[len(buf)-1]
	// One large entry must not keep its room for ever in every place of the buffer it passes through.
	if kept := cap(r.Data); kept > 16<<10 && kept/4 > len(e.data) {
		r.Data = nil
	}
	*r = Record{Number: e.number, Epoch: e.epoch, Time: time.Unix(0, e.nanos), Data: append(r.Data[:0], e.data...)}
	return buf
}

// Wait returns when an entry with a number above after exists, with the cause when ctx ends first, or with ErrClosed.
func (s *Spool) Wait(ctx context.Context, after uint64) error {
	for {
		if s.last.Load() > after {
			return nil
		}
		woken, err := s.arm()
		if err != nil {
			return err
		}
		// Appending stores the number, then looks whether anybody waits; this is the other order.
		if s.last.Load() > after {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-woken:
		}
	}
}

// arm returns a channel that the next append or Close closes.
func (s *Spool) arm() (<-chan struct{}, error) {
	s.waitMu.Lock()
	defer s.waitMu.Unlock()
	if s.wakeup == nil {
		s.wakeup = make(chan struct{})
	}
	s.waiting.Store(true)
	// Close sets this before it wakes, so a channel handed out here is closed by it.
	if r := s.refusal.Load(); r != nil && r.err == ErrClosed { //nolint:errorlint // stored by judge as it is
		return nil, ErrClosed
	}
	return s.wakeup, nil
}

func (s *Spool) wake() {
	s.waitMu.Lock()
	defer s.waitMu.Unlock()
	if s.wakeup != nil {
		close(s.wakeup)
		s.wakeup = nil
	}
	s.waiting.Store(false)
}
