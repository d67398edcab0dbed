package identity

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kind tells what a principal is.
type Kind uint8

// The kinds of principals.
const (
	// KindAnonymous is a caller without a credential.
	KindAnonymous Kind = iota
	// KindAdmin is the holder of the admin key.
	KindAdmin
	// KindKey is an API key of a team.
	KindKey
	// KindUser is a person, or a program, that an issuer of tokens knows.
	KindUser
	// KindAgent is an agent that calls with a key of its own.
	KindAgent
)

// Principal is who calls. The zero value is an anonymous caller.
type Principal struct {
	Kind Kind
	// UID never changes and is never used again; ownership of tasks rests on it.
	UID uuid.UUID
	// Name is "admin", "teams/{team}/keys/{key}", "users/{user}" or "agents/{agent}";
	// empty when anonymous.
	Name string
	// Team is the id of the team that the caller's calls are recorded under; empty for the
	// admin key and for users of no team. Users of several teams have the first by name of
	// those that their tokens give, else of all.
	Team string
	// Key is the uid of the key that was shown: that of a KindKey itself, and one that is
	// bound to the agent for a KindAgent. It is nil for all others.
	Key uuid.UUID
	// Claims is what the token of a KindUser says of them, besides what is stored. It is
	// nil for all others and never changes.
	Claims *Claims
}

// AdminUID is the uid of the admin key as a principal, in every installation.
var AdminUID = uuid.MustParse("00000000-0000-4000-8000-000000000001")

// Admin returns the principal of the admin key.
func Admin() Principal { return Principal{Kind: KindAdmin, UID: AdminUID, Name: "admin"} }

// RoleIn is a role that somebody holds, in a team or everywhere.
type RoleIn struct {
	// Role is one of the roles of package policy, such as "publisher".
	Role string `json:"role"`
	// Team is a team's id; empty means everywhere.
	Team string `json:"team,omitempty"`
}

// Compare orders roles by team, then by name.
func (r RoleIn) Compare(other RoleIn) int {
	if c := strings.Compare(r.Team, other.Team); c != 0 {
		return c
	}
	return strings.Compare(r.Role, other.Role)
}

// Claims is what a verified token says of a user, after the mappings of its issuer. It
// is shared and must not be changed.
type Claims struct {
	// Issuer is the id of the issuer, and Subject the token's "sub".
	Issuer, Subject string
	// UserID is the last part of the user's name.
	UserID string
	// DisplayName and Email are for people. Nothing is decided by them.
	DisplayName, Email string
	// Teams are ids of teams, and Roles roles, that the token gives; sorted, without
	// repetition, and empty in tokens without mapped claims.
	Teams []string
	Roles []RoleIn
	// Expires is the token's "exp".
	Expires time.Time
	// Token is the token itself. It is only ever shown to an exchange of tokens.
	Token string
}

// Same tells whether two claims give the same teams and roles to the same user.
func (c *Claims) Same(other *Claims) bool {
	return c.Issuer == other.Issuer && c.Subject == other.Subject && slices.Equal(c.Teams, other.Teams) && slices.Equal(c.Roles, other.Roles)
}
