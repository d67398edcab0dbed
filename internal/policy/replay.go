package policy

import "iter"

// Recorded is a question as it was answered once.
type Recorded struct {
	Query  Query
	Permit bool
}

// Replayed is a recorded question with the answer that it has now.
type Replayed struct {
	Recorded
	Answer Answer
}

// Change says how an answer differs from the recorded one.
type Change uint8

// The changes of answers.
const (
	ChangeNone Change = iota
	ChangeNewlyDenied
	ChangeNewlyAllowed
)

// Change compares the two answers.
func (r Replayed) Change() Change {
	switch {
	case r.Permit && !r.Answer.Permit:
		return ChangeNewlyDenied
	case !r.Permit && r.Answer.Permit:
		return ChangeNewlyAllowed
	default:
		return ChangeNone
	}
}

// replayEntries is how many answers a replay remembers; what repeats in recorded calls
// are callers and agents.
const replayEntries = 1 << 14

// Replay answers recorded questions in their order, all at one revision of the
// entities. The answers are those of deciding each one alone, whatever came before.
func Replay(w World, inputs iter.Seq[Recorded]) iter.Seq[Replayed] {
	return func(yield func(Replayed) bool) {
		cache := NewCache(replayEntries)
		for r := range inputs {
			if !yield(Replayed{Recorded: r, Answer: cache.Decide(w.Set, w.Entities, r.Query)}) {
				return
			}
		}
	}
}

// Replayer answers recorded questions of several revisions. It remembers answers from
// one revision to the next and is not safe for concurrent use.
type Replayer struct {
	set   *Set
	cache *Cache
}

// NewReplayer returns a replayer of one set. The catalogues that it is given must be
// revisions of one.
func NewReplayer(s *Set) *Replayer { return &Replayer{set: s, cache: NewCache(replayEntries)} }

// Replay answers one recorded question with the entities of its revision.
func (p *Replayer) Replay(e Entities, r Recorded) Replayed {
	return Replayed{Recorded: r, Answer: p.cache.Decide(p.set, e, r.Query)}
}
