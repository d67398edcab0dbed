package admin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// PolicyStore keeps policies.
//
// Every write is one transaction that also advances the configuration revision and
// appends to its history under the author's name; it returns the new revision. The
// functions that writes are given may run more than once, each time with the resource as
// it is stored and the revision that the write would make: nothing comes between the
// revision before and this one. Their errors are returned as they are, and nothing is
// written. When an edit returns false nothing is written either, and the present
// revision is returned.
type PolicyStore interface {
	// Policy returns the policy that was written under an id, or ErrPolicyNotFound. Of a
	// shipped one it has the row alone, without a text.
	Policy(ctx context.Context, id string) (Policy, error)
	// Policies returns every policy that was written, in the order of their ids.
	Policies(ctx context.Context) ([]Policy, error)
	// Versions returns at most limit versions of a policy below a number, the newest first.
	Versions(ctx context.Context, uid uuid.UUID, before int64, limit int) ([]Version, error)
	// EditPolicy changes a policy, or makes one: then the edit is given one without a uid.
	// A version whose number is that of LastVersion, and was not before, is kept. The
	// reason goes into the history.
	EditPolicy(ctx context.Context, author, reason, id string, edit func(p *Policy, revision int64) (bool, error)) (Policy, int64, error)
	// DeletePolicy removes a policy, or returns ErrPolicyNotFound.
	DeletePolicy(ctx context.Context, author, id string, check func(p Policy, revision int64) error) (int64, error)
}

// GrantStore keeps grants. Writes are as in [PolicyStore].
type GrantStore interface {
	// CreateGrant stores a grant; one without an id gets the next number. check is told
	// which of the names in the grant there are. It returns ErrGrantExists when the id is
	// or was taken.
	CreateGrant(ctx context.Context, author string, g Grant, check func(Subjects) error) (Grant, int64, error)
	// Grant returns the grant of an id, or ErrGrantNotFound.
	Grant(ctx context.Context, id string) (Grant, error)
	// Grants returns at most q.Limit grants in the order of their ids.
	Grants(ctx context.Context, q GrantQuery) ([]Grant, error)
	// UpdateGrant changes a grant, or returns ErrGrantNotFound.
	UpdateGrant(ctx context.Context, author string, uid uuid.UUID, edit func(*Grant) (bool, error)) (Grant, int64, error)
	// DeleteGrant removes a grant that check does not object to, or returns ErrGrantNotFound.
	DeleteGrant(ctx context.Context, author string, uid uuid.UUID, check func(Grant) error) (int64, error)
	// GrantAt returns what a grant was at a revision, or ErrGrantNotFound.
	GrantAt(ctx context.Context, id string, revision int64) (Grant, error)
}

// Subjects tells which of the names in a grant there are.
type Subjects struct {
	// Principal is there. Of a user, Issuer says that its issuer is.
	Principal, Issuer bool
	// Agents are there: the agent or the team that is named. Tags always are.
	Agents bool
}

// GrantQuery asks for a page of grants.
type GrantQuery struct {
	Team      string // only about agents of the team of this id; empty means all
	Principal string // only to this principal, in its short form
	Agents    string // only about these agents, as selectors are written
	After     string // only ids after this one
	Limit     int
}

// ReplayStore keeps what replays came to.
type ReplayStore interface {
	// CreateReplay stores a replay.
	CreateReplay(ctx context.Context, r Replay) error
	// Replay returns a replay, or ErrReplayNotFound.
	Replay(ctx context.Context, uid uuid.UUID) (Replay, error)
}

// HistoryStore knows what the configuration was.
type HistoryStore interface {
	// Timeline returns the entities and policies of the revisions from first to last.
	Timeline(ctx context.Context, first, last int64) (*policy.Timeline, error)
	// RevisionAt returns the newest revision that was made before a time; 0 when there is
	// none.
	RevisionAt(ctx context.Context, t time.Time) (int64, error)
	// Revision returns the newest revision.
	Revision(ctx context.Context) (int64, error)
}

// Store keeps policies, grants and replays, and knows their past.
type Store interface {
	PolicyStore
	GrantStore
	ReplayStore
	HistoryStore
}

// Decisions reads recorded decisions.
type Decisions interface {
	// Head returns the sequence of the newest event.
	Head(ctx context.Context) (int64, error)
	// First returns the sequence of the first event that was recorded at a time or later;
	// 0 when there is none.
	First(ctx context.Context, since time.Time) (int64, error)
	// Decisions returns the decisions of the events with sequences above after and up to
	// through that a query finds, in their order. What lies between after and through must
	// be little: it is read at once.
	Decisions(ctx context.Context, q audit.Query, after, through int64) ([]Recorded, error)
}
