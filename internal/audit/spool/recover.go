package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// recovery is what the segment files say.
type recovery struct {
	segments []*segment // those with entries, in order
	empty    []*segment // usable, without entries, in order
	last     uint64     // the newest readable number
	epoch    uint64     // the highest seen
	skip     uint64     // how many numbers damage behind the newest entry may have used
	damages  []Damage
}

func (r *recovery) note(d Damage) { r.damages = append(r.damages, d) }

// segmentFiles lists the segment files of dir in order, with the highest ordinal that must not be given again, and
// removes those that are released or were never finished.
func segmentFiles(dir string) (files []string, ordinal uint64, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("list spool: %w", err)
	}
	for _, n := range names {
		if strings.HasSuffix(n.Name(), tmpSuffix) || strings.HasSuffix(n.Name(), freeSuffix) {
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil {
				return nil, 0, fmt.Errorf("clean spool: %w", err)
			}
		}
		if o, ok := parseSegmentName(n.Name(), badSuffix); ok {
			ordinal = max(ordinal, o)
		}
		if o, ok := parseSegmentName(n.Name(), segSuffix); ok {
			ordinal = max(ordinal, o)
			files = append(files, filepath.Join(dir, n.Name())) // ReadDir sorts, and names are of one length
		}
	}
	return files, ordinal, nil
}

// recoverSegments maps and scans the files.
func recoverSegments(files []string, replica [16]byte) (rec *recovery, err error) {
	rec = &recovery{}
	defer func() {
		if err != nil {
			for _, g := range slices.Concat(rec.segments, rec.empty) {
				_ = g.munmap()
			}
		}
	}()
	for _, path := range files {
		ordinal, _ := parseSegmentName(filepath.Base(path), segSuffix)
		g, err := openSegment(path, ordinal, replica)
		if errors.Is(err, errNotASegment) {
			if err := rec.setAside(path); err != nil {
				return rec, err
			}
			continue
		}
		if err != nil {
			return rec, err
		}
		found, clean := rec.scan(g)
		switch {
		case found:
			rec.segments = append(rec.segments, g)
		case clean:
			rec.empty = append(rec.empty, g)
		default:
			if err := errors.Join(g.munmap(), rec.setAside(path)); err != nil {
				return rec, err
			}
		}
	}
	return rec, nil
}

// setAside renames a file that gives no entries, so that a person can look at it and the next Open does not.
func (r *recovery) setAside(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("set segment aside: %w", err)
	}
	if err := os.Rename(path, strings.TrimSuffix(path, segSuffix)+badSuffix); err != nil {
		return fmt.Errorf("set segment aside: %w", err)
	}
	r.note(Damage{Kind: Unreadable, File: filepath.Base(path), Length: info.Size()})
	r.skip += mostRecords(info.Size())
	return nil
}

// mostRecords is how many records may have stood in n bytes.
func mostRecords(n int64) uint64 { return uint64(max(n, 0)/atData) + 1 }

// scan walks g, sets its first, end and sealed, and clears what an append in progress left behind the end.
// It reports whether there are entries, and whether all of g can be used.
func (r *recovery) scan(g *segment) (found, clean bool) {
	file := filepath.Base(g.path)
	sc := newScanner(g.data, g.key)
	var tail hole
	err := r.walk(g, &sc, &tail, &found)
	g.end.Store(sc.pos)
	switch {
	case err != nil:
		r.note(Damage{Kind: Unreadable, File: file, Offset: sc.pos, Length: g.limit() - sc.pos})
		r.skip += mostRecords(g.limit() - sc.pos)
		g.sealed = true
	case tail.uncommitted && tail.end-tail.start <= recordBytes(MaxEntry):
		r.note(Damage{Kind: Torn, File: file, Offset: tail.start, Length: tail.end - tail.start})
		g.sealed = g.clear(tail) != nil
	case !tail.empty():
		// These may have been acknowledged entries. They stay where they are, and their numbers are not used again.
		r.note(Damage{Kind: Corrupt, File: file, Offset: tail.start, Length: tail.end - tail.start})
		r.skip += mostRecords(tail.end - tail.start)
		g.sealed = true
	}
	return found, !g.sealed
}

func (r *recovery) walk(g *segment, sc *scanner, tail *hole, found *bool) (err error) {
	defer catchFault(g.path, debug.SetPanicOnFault(true), &err)
	file := filepath.Base(g.path)
	for {
		e, h, ok := sc.next(r.last, g.limit())
		if !ok {
			*tail = h
			return nil
		}
		if d, ok := damageBetween(file, r.last, e.number, h, sc.pos-recordBytes(len(e.data))); ok {
			r.note(d)
		}
		if !*found {
			*found, g.first = true, e.number
		}
		r.last, r.skip = e.number, 0
		r.epoch = max(r.epoch, e.epoch)
	}
}

// damageBetween describes what was passed between two entries that were read one after the other.
// at is where the second one stands.
func damageBetween(file string, prev, next uint64, h hole, at int64) (Damage, bool) {
	d := Damage{Kind: Corrupt, File: file, Offset: h.start, Length: h.end - h.start}
	gap := prev != 0 && next > prev+1 // before the first entry stand those that were released
	if gap {
		d.First, d.Last = prev+1, next-1
	}
	if h.empty() {
		d.Kind, d.Offset = Missing, at
	}
	return d, gap || !h.empty()
}

// clear makes a range zero again.
func (g *segment) clear(h hole) (err error) {
	defer catchFault(g.path, debug.SetPanicOnFault(true), &err)
	clear(g.data[h.start:h.end])
	return nil
}
