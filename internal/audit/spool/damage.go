package spool

import (
	"context"
	"log/slog"
	"slices"
)

// DamageKind says what is wrong with a part of the spool.
type DamageKind string

const (
	// Torn is an entry that was being appended when the process died. It was never acknowledged, and nothing is lost.
	Torn DamageKind = "torn"
	// Corrupt is a range of bytes that should hold entries and does not.
	Corrupt DamageKind = "corrupt"
	// Missing is a gap in the numbers where no bytes are left.
	Missing DamageKind = "missing"
	// Unreadable is a segment that is set aside, or the rest of one whose pages the disk did not give.
	Unreadable DamageKind = "unreadable"
	// Identity is a replica or state file that was lost and had to be made anew.
	Identity DamageKind = "identity"
)

// Damage is one place where the spool is not what was written.
type Damage struct {
	// Kind says what is wrong.
	Kind DamageKind
	// File is the base name of the file concerned.
	File string
	// Offset and Length are the bytes concerned; Length is 0 where there are none.
	Offset, Length int64
	// First and Last are the numbers that cannot be read; both are 0 when none is known to be lost.
	First, Last uint64
}

// maxDamages bounds what Recovered keeps; Stats counts all.
const maxDamages = 1024

// note keeps and logs a damage, once.
func (s *Spool) note(d Damage) {
	s.damageMu.Lock()
	known := slices.ContainsFunc(s.damages, func(o Damage) bool {
		return o.Kind == d.Kind && o.File == d.File && o.Offset == d.Offset // Read may know less than Open did
	})
	if !known {
		s.damaged++
		if len(s.damages) < maxDamages {
			s.damages = append(s.damages, d)
		}
	}
	s.damageMu.Unlock()
	if known {
		return
	}
	level := slog.LevelError
	if d.Kind == Torn {
		level = slog.LevelInfo // an entry that nobody was told is recorded
	}
	s.log.LogAttrs(context.Background(), level, "spool damaged",
		slog.String("kind", string(d.Kind)), slog.String("file", d.File),
		slog.Int64("offset", d.Offset), slog.Int64("length", d.Length),
		slog.Uint64("first_number", d.First), slog.Uint64("last_number", d.Last))
}

// Recovered lists the damage found by Open, and since by Read, in the order it was found, at most 1024 of them.
// Entries behind damage are not lost: Read gives them.
func (s *Spool) Recovered() []Damage {
	s.damageMu.Lock()
	defer s.damageMu.Unlock()
	return slices.Clone(s.damages)
}
