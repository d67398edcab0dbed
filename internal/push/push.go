// Package push remembers which push notification configs agents were given on behalf
// of callers, and takes them back when a caller loses its rights: an agent that still
// had one would go on telling a revoked caller about its tasks.
package push

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// ErrUnstorable says that the database will never take a note, however often it is
// tried.
var ErrUnstorable = errors.New("the database does not take this")

// ErrNoConfig says that the agent has no such config or task, or no push
// notifications at all: there is nothing left to delete.
var ErrNoConfig = errors.New("the agent has no such push config")

// ID names a config.
type ID struct {
	Agent uuid.UUID
	Task  string
	// Config is the config's id; empty when the agent made one that it did not tell.
	Config string
}

// Config is a config that an agent was given.
type Config struct {
	ID
	// Owner is the uid of the principal that gave it.
	Owner uuid.UUID
	// Version is what the agent was spoken to in.
	Version a2a.Version
	// Endpoint is the base URL of the instance that has it.
	Endpoint string
	// Time is when the agent was given it, or removed it.
	Time time.Time
}

// KeepID returns a config's id if it is one that can be kept, else "": then all
// configs of the task are deleted when the time comes.
func KeepID(id string) string {
	if len(id) > a2a.MaxIDBytes || strings.IndexByte(id, 0) >= 0 {
		return ""
	}
	return id
}

// Claim is a config that this replica is to delete.
type Claim struct {
	Config
	// Attempts is how often that was begun, this time included.
	Attempts int
}

// Due names whose configs are to be deleted: those of owners that lost their rights
// and those at agents that take no push configs any more.
type Due struct {
	Owners, Agents []uuid.UUID
}

// Empty tells that nobody's are.
func (d Due) Empty() bool { return len(d.Owners) == 0 && len(d.Agents) == 0 }

// Store keeps notes for all replicas. Every method is bounded by its context.
type Store interface {
	// Write notes configs and forgets removed ones, unless these were noted again
	// since. No id occurs twice. ErrUnstorable says that one of them can never be stored.
	Write(ctx context.Context, noted, removed []Config) error
	// Holders returns everybody of whom there are notes, in no order.
	Holders(ctx context.Context) (owners, agents []uuid.UUID, err error)
	// Claim returns up to limit configs of those that are due, those never tried
	// first. No replica is given them again before the lease is over.
	Claim(ctx context.Context, due Due, lease time.Duration, limit int) ([]Claim, error)
	// Settle forgets a claimed config when retry is 0, else it may be claimed again
	// after that time. A config that was noted again since stays.
	Settle(ctx context.Context, c Claim, retry time.Duration) error
	// Tidy forgets configs of agents that are gone and those noted before a time. The
	// attempts of those that are not due are forgotten.
	Tidy(ctx context.Context, due Due, gone []uuid.UUID, notedBefore time.Time) error
}

// Target is where and how an agent is called.
type Target struct {
	// Agent is whose credential is shown; nil shows none.
	Agent *registry.Agent
	// Dialect is what is spoken there.
	Dialect a2a.Dialect
	// URL is the address to call. It must not be changed.
	URL *url.URL
	// Tenant is what each call names in dialects that have tenants; it may be empty.
	Tenant string
}

// RPCError is an error that an agent answered with, in whatever dialect.
type RPCError struct {
	// Code is the code that JSON-RPC has for the error.
	Code int64
	// Message is the agent's text for people.
	Message string
}

// Error returns the message.
func (e *RPCError) Error() string { return e.Message }

// Agents calls agents. Both methods return ErrNoConfig when the agent says that there
// is nothing such, and an [*RPCError] when it answers with another error.
type Agents interface {
	// DeletePushConfig deletes a config of a task.
	DeletePushConfig(ctx context.Context, at Target, taskID, configID string) error
	// ListPushConfigs returns the ids of all configs of a task.
	ListPushConfigs(ctx context.Context, at Target, taskID string) ([]string, error)
}

// Snapshots gives the configuration that tells who has which rights.
type Snapshots interface {
	// Current returns the newest snapshot that this replica has.
	Current() *snapshot.Snapshot
	// Age returns how long ago it was confirmed to be the newest there is.
	Age() time.Duration
	// Changed returns a channel that is closed when the snapshot is replaced.
	Changed() <-chan struct{}
}
