package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/filter"
	"github.com/signalbox-dev/signalbox/internal/seal"
)

// Reader reads agents.
type Reader interface {
	// Agent returns the agent of an id (not of an alias), or ErrAgentNotFound.
	Agent(ctx context.Context, id string) (Agent, error)
	// AgentByUID returns the agent of a uid, or ErrAgentNotFound.
	AgentByUID(ctx context.Context, uid uuid.UUID) (Agent, error)
	// Agents returns at most q.Limit agents without their cards, in the order of q.
	Agents(ctx context.Context, q Query) ([]Agent, error)
	// TakenNames returns which of the names and aliases given belong to an agent
	// other than the one of the uid, in order.
	TakenNames(ctx context.Context, names []string, except uuid.UUID) ([]string, error)
	// AgentsWithoutCard returns the uids of the agents whose card was not found yet.
	AgentsWithoutCard(ctx context.Context) ([]uuid.UUID, error)
}

// Writer writes agents.
//
// Every write is one transaction that also advances the configuration revision and
// appends to its history under the author's name; it returns the new revision. An
// edit function may run more than once, each time with the agent as it is stored;
// its error is returned as it is, and nothing is written. When it returns false
// nothing is written either, and the present revision is returned. A write that
// changes Agent.Revision also stores card and endpoints under that number, for good.
type Writer interface {
	// CreateAgent stores an agent in the team of a.Team. It returns
	// [identity.ErrTeamNotFound], or a *NameTakenError.
	CreateAgent(ctx context.Context, author string, a Agent) (Agent, int64, error)
	// UpdateAgent changes an agent. It returns ErrAgentNotFound, or a *NameTakenError.
	UpdateAgent(ctx context.Context, author string, uid uuid.UUID, edit func(*Agent) (bool, error)) (Agent, int64, error)
	// SetAgentState changes an agent as UpdateAgent does, and notes in the history why.
	SetAgentState(ctx context.Context, author, reason string, uid uuid.UUID, edit func(*Agent) (bool, error)) (Agent, int64, error)
	// DeleteAgent removes an agent that check does not object to, or returns
	// ErrAgentNotFound.
	DeleteAgent(ctx context.Context, author string, uid uuid.UUID, check func(Agent) error) (int64, error)
}

// SealedAgent is an agent's secrets as they are kept.
type SealedAgent struct {
	UID uuid.UUID
	ID  string
	// Kind is that of the credential.
	Kind credential.Kind
	// Credential and ClientKey have no KeyID when there is nothing.
	Credential, ClientKey seal.Sealed
}

// Sealed keeps secrets. What is done here is no change of the configuration.
type Sealed interface {
	// SealedOtherwise returns the agents with secrets that were sealed with another key
	// than that of the id.
	SealedOtherwise(ctx context.Context, keyID string) ([]SealedAgent, error)
	// Reseal replaces an agent's secrets unless they changed since they were read.
	Reseal(ctx context.Context, was SealedAgent, secret, clientKey seal.Sealed) error
}

// Store keeps agents.
type Store interface {
	Reader
	Writer
	Sealed
}

// CardFetcher fetches agent cards. It dials only what may be dialled.
type CardFetcher interface {
	// FetchCard returns the card that an address leads to, byte for byte and not yet
	// checked: from the address itself when its path ends in ".json", and else from
	// the well-known paths below it. With an agent it shows that agent's credential, and
	// only to where that may be sent; nil shows none.
	FetchCard(ctx context.Context, as *Agent, address string) ([]byte, error)
}

// AddressChecker knows which addresses may be dialled.
type AddressChecker interface {
	// CheckURL returns an error that wraps ErrAddressForbidden when the address may
	// not be dialled. Other errors, for example that the name does not resolve, say
	// nothing about that.
	CheckURL(ctx context.Context, rawURL string) error
}

// CardVerifier verifies the signatures of agent cards.
type CardVerifier interface {
	// VerifyCard returns the id of the key of a JWKS that a signature of the card
	// verifies with, or an error that says why none does.
	VerifyCard(card, keys []byte) (keyID string, err error)
	// CheckKeys returns an error that says why a JWKS cannot be used.
	CheckKeys(keys []byte) error
}

// Order is what a list of agents is ordered by; agents that are equal in it are
// ordered by name.
type Order string

// The orders.
const (
	ByName        Order = "name"
	ByDisplayName Order = "display_name"
	ByCreateTime  Order = "create_time"
	ByUpdateTime  Order = "update_time"
)

// Query asks for a page of agents.
type Query struct {
	// Team is the id of the only team whose agents are wanted; empty means every one.
	Team       string
	Conditions []filter.Condition // on FilterFields; all must hold
	Order      Order              // empty means ByName
	Desc       bool
	After      *Cursor // nil means from the first one on
	Limit      int
}

// Cursor is a place in a list: that of one agent.
type Cursor struct {
	ID          string    `json:"i"`
	DisplayName string    `json:"d,omitzero"` // when ordered by it
	Time        time.Time `json:"t,omitzero"` // when ordered by one
}

// CursorAt returns the place of an agent in a list of an order.
func CursorAt(a *Agent, order Order) Cursor {
	c := Cursor{ID: a.ID}
	switch order {
	case ByDisplayName:
		c.DisplayName = a.DisplayName
	case ByCreateTime:
		c.Time = a.CreateTime
	case ByUpdateTime:
		c.Time = a.UpdateTime
	case ByName:
	}
	return c
}
