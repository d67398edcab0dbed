package task

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Adoption asks that tasks and contexts of an agent that nobody owns become an owner's.
type Adoption struct {
	Agent, Owner uuid.UUID
	// Endpoint is the base URL of the instance that holds them; empty when not known.
	Endpoint string
	Items    []Item
	// SkipTaken adopts the rest when some cannot be adopted. Otherwise nothing is then.
	SkipTaken bool
	// ValidateOnly changes nothing.
	ValidateOnly bool
}

// Item is a task, a task with its context, or a context alone.
type Item struct {
	// Task is empty for a context alone. Context is adopted as well.
	Task, Context string
	// Terminal tells that the task has ended.
	Terminal bool
}

// Verdict says what became of an id.
type Verdict uint8

// The verdicts.
const (
	// Adopted is an id that was nobody's.
	Adopted Verdict = iota
	// AlreadyOwned is an id that was the owner's; its binding is left as it is.
	AlreadyOwned
	// OwnedByOther is an id of another; its binding never moves.
	OwnedByOther
	// Invalid is a text that can be no id.
	Invalid
)

// Judged is an id with what became of it.
type Judged struct {
	ID
	Verdict Verdict
	// Problem says why it is Invalid, Item which of the items named it first.
	Problem string
	Item    int
}

// AdoptionResult tells of each id of an adoption, in the order of its items and each once,
// what became of it, or what would have.
type AdoptionResult struct {
	IDs []Judged
	// Refused tells that nothing was adopted because of some that cannot be.
	Refused bool
}

// adopting is an adoption under way.
type adopting struct {
	Adoption
	judged  []Judged
	place   map[ID]int // of an id in judged
	entries []Entry    // those that may be stored
}

// read takes the items apart.
func (a *adopting) read(day int64) {
	for i, item := range a.Items {
		if item.Task == "" && item.Context == "" {
			a.judged = append(a.judged, Judged{
				ID: ID{Task, a.Agent, ""}, Verdict: Invalid, Problem: "it names neither a task nor a context", Item: i,
			})
			continue
		}
		if item.Task != "" {
			a.add(i, ID{Task, a.Agent, item.Task}, Binding{Context: item.Context, Terminal: item.Terminal, day: day})
		}
		if item.Context != "" {
			a.add(i, ID{Context, a.Agent, item.Context}, Binding{day: day})
		}
	}
	kept := a.entries[:0]
	for _, e := range a.entries {
		if a.judged[a.place[e.ID]].Verdict != Invalid {
			kept = append(kept, e)
		}
	}
	a.entries = kept
}

// add takes one id of an item.
func (a *adopting) add(item int, id ID, b Binding) {
	b.Owner, b.Endpoint = a.Owner, a.Endpoint
	if at, twice := a.place[id]; twice {
		for i := range a.entries {
			e := &a.entries[i]
			if e.ID != id {
				continue
			}
			if e.Context != "" && b.Context != "" && e.Context != b.Context {
				a.judged[at].Verdict, a.judged[at].Problem = Invalid, "it is given twice, with two contexts"
			}
			if e.Context == "" {
				e.Context = b.Context
			}
			e.Terminal = e.Terminal || b.Terminal
			break
		}
		return
	}
	j := Judged{ID: id, Item: item}
	switch {
	case len(id.ID) > a2a.MaxIDBytes:
		j.Verdict, j.Problem = Invalid, fmt.Sprintf("it is longer than %d bytes", a2a.MaxIDBytes)
	case strings.ContainsRune(id.ID, 0):
		j.Verdict, j.Problem = Invalid, "there is a zero byte in it"
	default:
		a.entries = append(a.entries, Entry{id, b})
	}
	a.place[id] = len(a.judged)
	a.judged = append(a.judged, j)
}

// judge notes whose ids are that have an owner, and tells whether the rest may be
// adopted.
func (a *adopting) judge(bound []Entry) bool {
	for _, e := range bound {
		verdict := OwnedByOther
		if e.Owner == a.Owner {
			verdict = AlreadyOwned
		}
		a.judged[a.place[e.ID]].Verdict = verdict
	}
	return !a.ValidateOnly && !a.refused()
}

// refused tells whether something stands in the way of the whole.
func (a *adopting) refused() bool {
	if a.SkipTaken {
		return false
	}
	for _, j := range a.judged {
		if j.Verdict == OwnedByOther || j.Verdict == Invalid {
			return true
		}
	}
	return false
}

// Adopt gives ids that nobody owns to an owner, all or none of those that it may. It
// waits for the database as long as ctx lets it. Other replicas find the owner when
// they are next asked for the ids: a replica remembers no id as nobody's.
func (l *Ledger) Adopt(ctx context.Context, request Adoption) (AdoptionResult, error) {
	a := &adopting{Adoption: request, place: map[ID]int{}}
	a.read(l.today())
	l.judgeUnwritten(a)
	proceed := a.judge(nil)
	var bound []Entry
	if len(a.entries) > 0 {
		var err error
		bound, err = l.cfg.Store.Adopt(ctx, a.entries, func(bound []Entry) bool {
			proceed = a.judge(bound)
			return proceed
		})
		if err != nil {
			return AdoptionResult{}, err
		}
	}
	for _, e := range bound {
		e.day = l.today()
		l.cache.put(e.ID, e.Binding)
	}
	if proceed {
		l.remember(a)
	}
	return AdoptionResult{IDs: a.judged, Refused: a.refused() && !a.ValidateOnly}, nil
}

// judgeUnwritten judges the ids that this replica has an owner for which the database
// does not know yet: they are not asked for there.
func (l *Ledger) judgeUnwritten(a *adopting) {
	var bound []Entry
	kept := a.entries[:0]
	for _, e := range a.entries {
		if b, ok := l.unwritten(e.ID); ok {
			bound = append(bound, Entry{e.ID, b})
			continue
		}
		kept = append(kept, e)
	}
	a.entries = kept
	a.judge(bound)
}

// unwritten returns the binding of an id that waits for the database.
func (l *Ledger) unwritten(id ID) (Binding, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.pending[id]; ok {
		return b, true
	}
	b, ok := l.flushing[id]
	return b, ok
}

// remember keeps what was adopted.
func (l *Ledger) remember(a *adopting) {
	l.counts.forget(countKey{a.Agent, a.Owner, ""})
	for _, e := range a.entries {
		if a.judged[a.place[e.ID]].Verdict != Adopted {
			continue
		}
		l.cache.put(e.ID, e.Binding)
		if e.Kind == Task && e.Context != "" {
			l.counts.forget(countKey{a.Agent, a.Owner, e.Context})
		}
	}
}

// Owner tells whose an id is, and false when it is nobody's. It waits for the database
// as long as ctx lets it.
func (l *Ledger) Owner(ctx context.Context, id ID) (Binding, bool, error) {
	if b, ok := l.unwritten(id); ok {
		return b, true, nil
	}
	var tasks, contexts []string
	if id.Kind == Task {
		tasks = []string{id.ID}
	} else {
		contexts = []string{id.ID}
	}
	entries, err := l.cfg.Store.Resolve(ctx, id.Agent, uuid.Nil, tasks, contexts, nil)
	if err != nil || len(entries) == 0 {
		return Binding{}, false, err
	}
	return entries[0].Binding, true, nil
}
