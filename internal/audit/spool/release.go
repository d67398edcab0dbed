package spool

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
)

// Release says that every entry up to and with through is safe elsewhere. Segments that hold nothing else are
// deleted, or kept empty for later entries; the newest stays, because it holds the numbering. Nothing is remembered across Open: entries of a segment that was kept are then
// read again, and released again. A number that was not given out yet is [ErrAhead].
func (s *Spool) Release(through uint64) error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	next, all := s.next, through >= s.last.Load()
	segs := *s.segments.Load()
	var end int64 // of the last segment, at the moment of all
	if len(segs) > 0 {
		end = segs[len(segs)-1].end.Load()
	}
	s.mu.Unlock()
	if through >= next {
		return fmt.Errorf("release through %d, the next number is %d: %w", through, next, ErrAhead)
	}
	if through <= s.freed {
		return nil
	}

	var bytes int64
	drop := 0
	for i, g := range segs {
		final := i == len(segs)-1
		to, whole := int64(0), false
		switch {
		case !final && through >= segs[i+1].first-1:
			to, whole = g.end.Load(), true
		case final && all:
			to = end
		default:
			to = s.offsetAfter(g, through)
		}
		bytes += max(to-g.released, 0)
		g.released = max(to, g.released)
		if !whole {
			break
		}
		drop++
	}
	s.freed = through

	s.mu.Lock()
	s.used -= bytes
	// Appends may have added segments behind those seen above.
	kept := slices.Clone((*s.segments.Load())[drop:])
	s.segments.Store(&kept)
	s.judge()
	keep := s.retired == nil
	s.mu.Unlock()

	var errs []error
	for _, g := range segs[:drop] {
		if s.cursor.seg == g {
			s.cursor = cursor{}
		}
		if keep && !g.sealed && int64(len(g.data)) == s.segmentBytes && g.retire() == nil {
			s.mu.Lock()
			s.retired = g
			s.mu.Unlock()
			keep = false
			continue
		}
		errs = append(errs, g.remove())
	}
	if drop > 0 {
		// Without it a loss of power could bring back some of them and not others, which would look like a gap.
		errs = append(errs, syncDir(s.dir))
		s.mu.Lock()
		if s.spareErr != nil {
			s.kickMaintain()
		}
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// offsetAfter returns where the entries of g above through begin.
func (s *Spool) offsetAfter(g *segment, through uint64) (to int64) {
	if s.cursor.seg == g && s.cursor.number == through {
		return s.cursor.sc.pos // the common case: what was just read was shipped
	}
	sc := newScanner(g.data, g.key)
	sc.pos = g.released
	to = sc.pos
	var err error
	defer catchFault(g.path, debug.SetPanicOnFault(true), &err) // after a fault the rest counts as used until all of g is released
	for prev, end := uint64(0), g.end.Load(); ; {
		e, _, ok := sc.next(prev, end)
		if !ok || e.number > through {
			return to
		}
		prev, to = e.number, sc.pos
	}
}

// Advance makes the next number follow through, if it does not already. It is for the start: when the place where entries are
// kept safe knows of a later number of this replica than the spool does, the directory has lost entries (a crash of the machine,
// a restored copy), and to give out their numbers again would make new entries look like those. It must come before
// the first append of the epoch, and is [ErrAhead] after it.
func (s *Spool) Advance(through uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case through < s.next:
		return nil
	case s.appended:
		return fmt.Errorf("advance to %d, the next number is %d: %w", through, s.next, ErrAhead)
	}
	s.next = through + 1
	return nil
}
