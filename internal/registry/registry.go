// Package registry knows agents: their names, owners, endpoints and cards. It
// neither routes nor calls them.
package registry

import (
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Faults of the registry. An agent that the caller may not see is not found.
var (
	ErrAgentNotFound = errors.New("no such agent")
	ErrAgentExists   = errors.New("an agent of this name or alias exists")
	ErrEtagMismatch  = errors.New("the etag is old: the agent changed meanwhile")
	// ErrAgentIDUsed keeps what policies say of an agent from being about one of another team.
	ErrAgentIDUsed = errors.New("an agent of this name was another team's and was deleted; policies and grants may still name it, so no other team is given the name: choose another")
	// ErrAgentHasKeys keeps callers from losing their credential unawares.
	ErrAgentHasKeys = errors.New("keys that call as this agent are enabled; disable them first, they are deleted with the agent")
	// ErrCardUnavailable says that a card that was asked for could not be fetched.
	ErrCardUnavailable = errors.New("the agent card could not be fetched")
	// ErrAddressForbidden is what an [AddressChecker] wraps when an address may not
	// be dialled; the wrapping error names the setting that decides.
	ErrAddressForbidden = errors.New("the address may not be dialled")
)

// InvalidError says that a value cannot be taken.
type InvalidError struct {
	// Field is the field's path, for example "agent.endpoints[0].url".
	Field string
	// Problem says what is wrong, in words for the person who gave the value.
	Problem string
}

// Error returns field and problem.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// NameTakenError says which name or alias another agent has. It is an ErrAgentExists.
type NameTakenError struct{ Name string }

// Error names the name.
func (e *NameTakenError) Error() string {
	return "an agent of the name or alias " + strconv.Quote(e.Name) + " exists"
}

// Is makes the error an ErrAgentExists.
func (e *NameTakenError) Is(target error) bool { return target == ErrAgentExists }

// CardError says what is wrong with an agent card.
type CardError struct{ Problem string }

// Error returns the problem.
func (e *CardError) Error() string { return "the agent card is not valid: " + e.Problem }

// AddressError says which address may not be dialled and why.
type AddressError struct {
	// Field is where the address was given.
	Field string
	URL   string
	// Err wraps ErrAddressForbidden and names the setting.
	Err error
}

// Error returns field and reason.
func (e *AddressError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *AddressError) Unwrap() error { return e.Err }

// Visibility says who may see and call an agent.
type Visibility string

// The visibilities, from the narrowest to the widest.
const (
	VisibilityPrivate      Visibility = "PRIVATE"
	VisibilityTeam         Visibility = "TEAM"
	VisibilityOrganization Visibility = "ORGANIZATION"
	VisibilityPublic       Visibility = "PUBLIC"
)

// State says where an agent stands in its life.
type State string

// The states of an agent. Only APPROVED and DEPRECATED are callable.
const (
	StateDraft           State = "DRAFT"
	StatePendingApproval State = "PENDING_APPROVAL"
	StateApproved        State = "APPROVED"
	StateDeprecated      State = "DEPRECATED"
	StateRetired         State = "RETIRED"
	StateRejected        State = "REJECTED"
	StateSuspended       State = "SUSPENDED"
)

// Callable tells whether calls are routed to an agent in this state.
func (s State) Callable() bool { return s == StateApproved || s == StateDeprecated }

// PushMode says what happens to push notification configs.
type PushMode string

// The push modes.
const (
	PushOff    PushMode = "OFF"
	PushDirect PushMode = "DIRECT"
)

// CardSource says where an agent's card came from.
type CardSource string

// The sources of cards.
const (
	CardInline  CardSource = "INLINE"
	CardFetched CardSource = "FETCHED"
	CardNone    CardSource = "NONE"
)

// CardShape says which version's card is served for an agent.
type CardShape string

// The shapes. AUTO is that of the version which the request for the card names, and
// one for both versions when it names none.
const (
	ShapeAuto  CardShape = "AUTO"
	ShapeV10   CardShape = "V10"
	ShapeV03   CardShape = "V03"
	ShapeUnion CardShape = "UNION"
)

// CardVerification says what is known of a card's signature. The zero value is that of
// an agent without a card.
type CardVerification struct {
	State CardVerificationState
	// KeyID is the key that verified the signature.
	KeyID string
}

// CardVerificationState says whether a card's signature was verified.
type CardVerificationState string

// The states of cards.
const (
	// CardUnsigned is a card without a signature.
	CardUnsigned CardVerificationState = "UNSIGNED"
	// CardNoKey is a signed card of an agent for which no keys were given.
	CardNoKey CardVerificationState = "NO_KEY"
	// CardVerified is a card with a signature by one of the agent's keys.
	CardVerified CardVerificationState = "VERIFIED"
	// CardInvalid says that the agent serves a card that does not verify with its keys,
	// and that therefore is not used.
	CardInvalid CardVerificationState = "INVALID"
)

// Endpoint is one instance of an agent.
type Endpoint struct {
	// URL is the base URL as registered, without a trailing slash.
	URL string `json:"url"`
	// Weight is its share of the calls, at least 1.
	Weight uint32 `json:"weight"`
}

// Interface is one way to speak with an agent, as its card gives it.
type Interface struct {
	Binding string `json:"binding"`
	Version string `json:"version,omitempty"`
	URL     string `json:"url"`
	Tenant  string `json:"tenant,omitempty"`
}

// Agent is a registered agent with its current revision.
type Agent struct {
	UID         uuid.UUID
	ID          string // "echo" of "agents/echo"
	TeamUID     uuid.UUID
	Team        string // the owner team's id
	DisplayName string
	Description string
	Tags        []string
	Aliases     []string
	Visibility  Visibility
	State       State
	// Suspension is set while State is SUSPENDED.
	Suspension Suspension
	Push       PushMode
	PushHosts  []string // lower case, "*." in front for every name below
	// ForwardHeaders are canonical names of request headers passed on.
	ForwardHeaders     []string
	TrustCardAuthority bool
	// PreferredDialects are what to speak with the agent, best first, whatever callers
	// speak. Those that its card does not offer are passed over.
	PreferredDialects []a2a.Dialect
	CardShape         CardShape
	CardKeys          string // a JWKS as it was given; empty for none
	Warnings          []string
	// Credential is what the gateway shows to the agent; nil for nothing. It is never
	// changed in place. In lists it has no secret.
	Credential *credential.Credential
	// TLS is how gateway and agent know each other in TLS; nil for what the machine
	// trusts. It is never changed in place. In lists it has no certificates and no key.
	TLS *credential.TLS

	// Revision counts the changes of what follows, from 1.
	Revision         int64
	Card             []byte // as its owner wrote it; empty when CardSource is NONE, and in lists
	CardSource       CardSource
	CardVerification CardVerification
	Endpoints        []Endpoint
	Interfaces       []Interface // what the card says, best first

	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "agents/{agent}".
func (a Agent) Name() string { return "agents/" + a.ID }
