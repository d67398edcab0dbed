package task

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Listing decides which of an agent's tasks one list of a caller shows. It is used by
// one goroutine.
//
// Ids that this replica knows are decided from memory. The others are looked up in the
// database, the ids of one page with one statement; all looks of a listing together
// wait no longer than the ledger's Timeout. An id that could not be looked up is left
// out, as a task that is not found.
type Listing struct {
	ledger *Ledger
	key    countKey
	left   time.Duration // what may still be waited
	news   bool          // tasks of the caller were found that this replica did not know
}

// Listing returns the listing of a caller's tasks of one agent, of one context when
// contextID is not empty.
func (l *Ledger) Listing(agent, owner uuid.UUID, contextID string) *Listing {
	return &Listing{ledger: l, key: countKey{agent, owner, contextID}, left: l.cfg.Timeout}
}

// Shows tells of each id, in the order given, whether the list shows that task.
func (s *Listing) Shows(ctx context.Context, ids []string) []bool {
	shows := make([]bool, len(ids))
	var unknown []string
	for i, name := range ids {
		if name == "" {
			continue // no task that anybody could ask for
		}
		id := ID{Task, s.key.agent, name}
		if b, ok := s.ledger.lookup(id); ok {
			shows[i] = s.key.has(id, b)
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 || s.left <= 0 {
		return shows
	}
	begin := s.ledger.cfg.Clock.Now()
	found, err := s.ledger.resolve(ctx, s.left, s.key.agent, s.key.owner, unknown, nil, nil)
	s.spend(begin, err)
	for i, name := range ids {
		id := ID{Task, s.key.agent, name}
		if b, ok := found[id]; ok && s.key.has(id, b) {
			shows[i], s.news = true, true
		}
	}
	return shows
}

// Total returns how many tasks the caller has. It is the count that the ledger
// remembers, with the bindings that this replica made since. The database is asked,
// within what may still be waited, when this replica has no count or when the listing
// has met tasks of the caller that it did not know; a count that has become old is made
// anew behind the call. Without an answer it is the count of the tasks that this
// replica knows.
func (s *Listing) Total(ctx context.Context) int {
	l := s.ledger
	n, known, recount := l.counts.get(s.key, l.cfg.Clock.Now())
	if (!known || s.news) && s.left > 0 {
		begin := l.cfg.Clock.Now()
		fresh, err := l.count(ctx, s.left, s.key)
		s.spend(begin, err)
		if err == nil {
			s.news = false
			return fresh
		}
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "tasks could not be counted", slog.Any("error", err))
		// Asking has ended, and with it the recount that get may have left to us.
		n, known, recount = l.counts.get(s.key, l.cfg.Clock.Now())
	}
	if !known {
		l.counts.estimate(s.key, l.countKnown(s.key))
		n, _, recount = l.counts.get(s.key, l.cfg.Clock.Now())
	}
	if recount {
		l.recountLater(s.key)
	}
	return n
}

// spend takes what was waited from what may be. After a look that failed there is no
// other: the database does not answer, or the caller has gone.
func (s *Listing) spend(begin time.Time, err error) {
	s.left -= s.ledger.cfg.Clock.Now().Sub(begin)
	if err != nil {
		s.left = 0
	}
}
