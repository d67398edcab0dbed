// Package identity knows teams, their API keys, and who a caller is. It does not
// decide what a caller may do: that is package policy.
package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Faults of identities. A resource that the caller may not see is not found.
var (
	ErrTeamNotFound   = errors.New("no such team")
	ErrTeamExists     = errors.New("a team of this name exists")
	ErrTeamIDUsed     = errors.New("a team of this name existed and was deleted; its events carry the name, so it is never given out again: choose another")
	ErrTeamNotEmpty   = errors.New("the team still owns agents, enabled keys or grants, or somebody holds a role in it; delete its agents and grants, disable its keys and take the roles away first")
	ErrKeyNotFound    = errors.New("no such key")
	ErrKeyExists      = errors.New("a key of this name exists")
	ErrUserNotFound   = errors.New("no such user")
	ErrUserExists     = errors.New("a user of this issuer and subject exists")
	ErrIssuerNotFound = errors.New("no such issuer")
	ErrIssuerExists   = errors.New("an issuer of this name exists")
	ErrIssuerIDUsed   = errors.New("an issuer of this name existed and was deleted; its users were named after it, so it is never given out again: choose another")
	ErrIssuerURLUsed  = errors.New("another issuer has this url: tokens must say whose they are")
	ErrIssuerHasUsers = errors.New("users of this issuer hold roles; take them away first")
	ErrRoleNotHeld    = errors.New("the role is not held")
	// ErrLastRole keeps a key from what keys without a role may do.
	ErrLastRole = errors.New("this is the key's last role, and without one it would do what keys of its team may do, which can be more; give it another role first, or disable it")
	// ErrCertificateNameUsed says that a name in certificates stands for another key.
	ErrCertificateNameUsed = errors.New("another key has this certificate name")
	ErrEtagMismatch        = errors.New("the etag is old: the resource changed meanwhile")
)

// CertificateNameError says which name in certificates stands for another key. It is an
// ErrCertificateNameUsed.
type CertificateNameError struct{ Name string }

// Error names the name.
func (e *CertificateNameError) Error() string {
	return "another key has the certificate name " + e.Name
}

// Is makes the error an ErrCertificateNameUsed.
func (e *CertificateNameError) Is(target error) bool { return target == ErrCertificateNameUsed }

// InvalidError says that a value cannot be taken.
type InvalidError struct {
	// Field is the field's path, for example "expire_time".
	Field string
	// Problem says what is wrong, in words for the person who gave the value.
	Problem string
}

// Error returns field and problem.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// SecretPrefix begins every API key's secret, so that scanners find leaked ones.
const SecretPrefix = "sb_"

// Team owns agents and keys.
type Team struct {
	UID         uuid.UUID
	ID          string // "demo" of "teams/demo"
	DisplayName string
	// Disabled refuses whoever calls as a member of this team alone.
	Disabled   bool
	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "teams/{team}".
func (t Team) Name() string { return TeamName(t.ID) }

// TeamName makes a resource name of a team's id; the empty id has the empty name.
func TeamName(id string) string {
	if id == "" {
		return ""
	}
	return "teams/" + id
}

// KeyName makes a resource name of the ids of a key and its team.
func KeyName(team, key string) string { return "teams/" + team + "/keys/" + key }

// Key is an API key of a team.
type Key struct {
	UID     uuid.UUID
	TeamUID uuid.UUID
	Team    string // the team's id
	ID      string
	// AgentUID and Agent, its id, say as which agent the key calls; nil means as itself. It
	// is an agent of the same team and never changes.
	AgentUID uuid.UUID
	Agent    string
	// CertificateNames are the names in client certificates that stand for the key:
	// "URI:spiffe://…", "DNS:…" or "EMAIL:…". Each belongs to one key.
	CertificateNames []string
	DisplayName      string
	SecretHint       string
	Disabled         bool
	ExpireTime       time.Time // zero means never
	Secrets          []Secret  // the current one first; none for a key of certificates alone
	// Roles are those that the key holds, in order; not loaded into snapshots.
	Roles      []RoleIn
	LastUsed   time.Time // zero means never; not loaded into snapshots
	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "teams/{team}/keys/{key}".
func (k Key) Name() string { return KeyName(k.Team, k.ID) }

// Secret is one accepted secret of a key, known by its hash alone.
type Secret struct {
	SHA256     [32]byte
	ExpireTime time.Time // zero means as long as the key
}

// NewSecret makes a secret of 256 random bits. It returns the secret itself, to be
// shown once, its hash, to be stored, and its first characters, to tell keys apart.
func NewSecret() (secret string, hash [32]byte, hint string) {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	secret = SecretPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return secret, HashSecret(secret), secret[:len(SecretPrefix)+4]
}

// HashSecret returns what is stored of a secret. A plain hash is enough, because
// the secret itself has 256 random bits.
func HashSecret(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// Principal returns the key as a caller: as itself, or as the agent that it is bound to.
func (k Key) Principal() Principal {
	if k.AgentUID != uuid.Nil {
		return Principal{Kind: KindAgent, UID: k.AgentUID, Name: "agents/" + k.Agent, Team: k.Team, Key: k.UID}
	}
	return Principal{Kind: KindKey, UID: k.UID, Name: k.Name(), Team: k.Team, Key: k.UID}
}

// Faults of credentials. They are told apart only towards the holder of the secret.
var (
	ErrCredentialsMissing = errors.New("no credential was given")
	ErrCredentialsInvalid = errors.New("the credential is not known")
	ErrKeyExpired         = errors.New("the key has expired")
	ErrKeyDisabled        = errors.New("the key is disabled")
	ErrTeamDisabled       = errors.New("the team is disabled")
	ErrUserDisabled       = errors.New("the user is disabled")
	// ErrAgentNotActive is a key of an agent that is suspended or may not be called any more.
	ErrAgentNotActive = errors.New("the agent is not active")
	// ErrCertificateAmbiguous is a client certificate with names of several keys.
	ErrCertificateAmbiguous = errors.New("several keys have names of the client certificate")
	ErrTokenExpired         = errors.New("the token has expired")
	// ErrTokenInvalid is wrapped with what is wrong with a token.
	ErrTokenInvalid = errors.New("the token is not valid")
	// ErrIssuerUnavailable says that the keys of an issuer are not known now.
	ErrIssuerUnavailable = errors.New("the keys of the token's issuer cannot be had now")
)
