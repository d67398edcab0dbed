package spool

import (
	"context"
	"fmt"
	"hash/crc32"
	"log/slog"
	"path/filepath"
	"slices"
)

// Append records an entry that closes what is open, or sums up, and returns its number. Numbers are consecutive over
// all epochs of the replica and start at 1. When Append returns, the entry survives the death of the process.
// The error is [ErrFull] when the entry would pass the cap or the disk has no room; the spool does not keep p.
func (s *Spool) Append(p []byte) (uint64, error) { return s.append(p, false) }

// AppendOpening is Append for an entry that opens a call, or refuses one: it leaves room for closing what is open,
// and returns [ErrNearlyFull] when only that room is left.
func (s *Spool) AppendOpening(p []byte) (uint64, error) { return s.append(p, true) }

// Headroom returns the error that AppendOpening would return for a small entry, at the cost of one atomic load.
func (s *Spool) Headroom() error {
	if r := s.refusal.Load(); r != nil {
		return r.err
	}
	return nil
}

func (s *Spool) append(p []byte, opening bool) (uint64, error) {
	if len(p) > MaxEntry {
		return 0, fmt.Errorf("append %d bytes: %w", len(p), ErrTooLarge)
	}
	sum := crc32.Checksum(p, castagnoli)
	e := entry{epoch: s.epoch, nanos: s.clock.Now().UnixNano(), data: p}

	s.mu.Lock()
	err := s.place(&e, sum, opening)
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if s.waiting.Load() {
		s.wake()
	}
	return e.number, nil
}

// place numbers and writes e. It is called with mu held, and lets go of it while it waits for a spare.
func (s *Spool) place(e *entry, sum uint32, opening bool) error {
	need := recordBytes(len(e.data))
	for {
		switch {
		case s.closed:
			return ErrClosed
		case opening && s.used+need > s.nearlyBytes:
			return ErrNearlyFull
		case opening && s.spareErr != nil:
			return s.refusal.Load().err
		case s.used+need > s.maxBytes:
			return ErrFull
		}
		if s.active == nil || !s.active.fits(need) {
			if s.spare != nil {
				s.rotate()
				continue
			}
			if s.spareErr != nil {
				return fmt.Errorf("%w: %w", ErrFull, s.spareErr)
			}
			// The spare is being made. This is a burst of a whole segment in the time that takes.
			s.ready.Wait()
			continue
		}
		e.number = s.next
		if err := s.active.write(*e, sum); err != nil {
			// The segment's end stays before the record, so nobody reads it. The number was not given out.
			s.active.sealed = true
			s.faulted = append(s.faulted, s.active)
			s.active = nil
			s.kickMaintain()
			continue
		}
		s.next++
		s.appended = true
		s.used += need
		s.last.Store(e.number)
		if s.used+usualEntry > s.nearlyBytes {
			s.judge()
		}
		return nil
	}
}

// rotate makes the spare the segment that is appended to. It is called with mu held.
func (s *Spool) rotate() {
	g := s.spare
	g.first = s.next
	segs := append(slices.Clone(*s.segments.Load()), g)
	s.segments.Store(&segs)
	s.active, s.spare = g, nil
	s.kickMaintain()
}

func (s *Spool) kickMaintain() {
	select {
	case s.kick <- struct{}{}:
	default: // it is awake already, and looks at everything
	}
}

// usualEntry is what an opening needs: without room for one, Headroom must say so, though a smaller one
// may still fit.
const usualEntry = 2 << 10

// judge stores what Headroom answers. It is called with mu held, whenever that may have changed.
func (s *Spool) judge() {
	var err error
	switch {
	case s.closed:
		err = ErrClosed
	case s.used+usualEntry > s.nearlyBytes:
		err = ErrNearlyFull
	case s.spareErr != nil:
		err = fmt.Errorf("%w: no spare segment: %w", ErrNearlyFull, s.spareErr)
	}
	before := s.refusal.Load()
	switch {
	case err == nil && before != nil:
		s.refusal.Store(nil)
	case err != nil && (before == nil || before.err != err): //nolint:errorlint // the same value, or store it
		s.refusal.Store(&refusal{err: err})
	}
}

// maintain keeps one spare ready until ctx ends.
func (s *Spool) maintain(ctx context.Context) {
	defer close(s.stopped)
	for {
		s.noteFaults()
		s.provide(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		case <-s.retry:
		}
	}
}

// provide makes the spare if there is none.
func (s *Spool) provide(ctx context.Context) {
	s.mu.Lock()
	if s.spare != nil || s.closed {
		s.mu.Unlock()
		return
	}
	retired := s.retired
	s.retired = nil
	s.mu.Unlock()
	g, err := s.makeSpare(ctx, retired)
	if err == nil {
		s.ordinal++
	}
	s.mu.Lock()
	before := s.spareErr
	s.spare, s.spareErr = g, err
	s.judge()
	s.ready.Broadcast()
	s.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.log.LogAttrs(ctx, slog.LevelError, "no spare spool segment, new calls are refused", slog.Any("error", err))
	case err == nil && before != nil:
		s.log.LogAttrs(ctx, slog.LevelInfo, "spare spool segment ready again")
	}
}

// makeSpare makes an empty segment, of the retired one if there is one and it serves.
func (s *Spool) makeSpare(ctx context.Context, retired *segment) (*segment, error) {
	if retired != nil {
		g, err := retired.recycle(s.dir, s.ordinal+1, s.replica)
		if err == nil {
			return g, nil
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "spool segment not recycled", slog.Any("error", err))
	}
	return createSegment(s.dir, s.ordinal+1, s.segmentBytes, s.replica, s.alloc)
}

// noteFaults reports segments that append had to give up.
func (s *Spool) noteFaults() {
	s.mu.Lock()
	faulted := s.faulted
	s.faulted = nil
	s.mu.Unlock()
	for _, g := range faulted {
		end := g.end.Load()
		s.note(Damage{Kind: Unreadable, File: filepath.Base(g.path), Offset: end, Length: g.limit() - end})
	}
}
