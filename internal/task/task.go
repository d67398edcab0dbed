// Package task knows whose a task or context is and which instance of its agent
// holds it. Ownership is what keeps one caller's work from another's eyes.
package task

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrUnavailable says that the database was needed and did not answer in time.
var ErrUnavailable = errors.New("ownership cannot be looked up: the database does not answer")

// ErrUnstorable says that the database will never take an entry, however often it is
// tried.
var ErrUnstorable = errors.New("the database does not take this")

// Kind tells tasks from contexts.
type Kind uint8

// The kinds of ids.
const (
	Task Kind = iota
	Context
)

// ID names a task or context of an agent. Ids are unique within one agent only.
type ID struct {
	Kind  Kind
	Agent uuid.UUID
	ID    string
}

// Binding says whose a task or context is.
type Binding struct {
	// Owner is the uid of the principal that it belongs to.
	Owner uuid.UUID
	// Endpoint is the base URL of the instance that holds it; empty when not known.
	Endpoint string
	// Context is the context id of a task; empty when not known.
	Context string
	// Terminal tells that a terminal state of the task was seen.
	Terminal bool

	day int64 // when this replica last stored it, in days since 1970
}

// Entry is a binding with what it binds.
type Entry struct {
	ID
	Binding
}

// Store keeps bindings for all replicas. Every method is bounded by its context.
type Store interface {
	// Resolve returns the bindings of tasks and contexts of one agent, in one
	// statement; an id that is bound to nobody is left out. Each id of claims is a
	// context: it is bound to owner when it is bound to nobody, and its binding is
	// returned; but none is when one of tasks is not the owner's.
	Resolve(ctx context.Context, agent, owner uuid.UUID, tasks, contexts, claims []string) ([]Entry, error)
	// Write stores bindings. One that is stored with another owner is left as it is,
	// and its stored form is returned. ErrUnstorable says that one of them can never
	// be stored; then none is.
	Write(ctx context.Context, entries []Entry) (conflicts []Entry, err error)
	// Adopt binds entries of one agent, each id once, in one transaction, and returns
	// those that were bound, as they were. It calls proceed with them before anything is
	// stored, and again with all of them when more have become another's meanwhile; when
	// proceed returns false nothing is stored. What is bound is left as it is.
	Adopt(ctx context.Context, entries []Entry, proceed func(bound []Entry) bool) (bound []Entry, err error)
	// Count returns how many tasks of one agent an owner has, in one context when
	// contextID is not empty, without those that except names.
	Count(ctx context.Context, agent, owner uuid.UUID, contextID string, except []string) (int, error)
	// Purge removes what ended or was last used before the given times.
	Purge(ctx context.Context, terminalBefore, contextUsedBefore time.Time) error
}
