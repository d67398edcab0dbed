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
	ErrTeamNotFound = errors.New("no such team")
	ErrTeamExists   = errors.New("a team of this name exists")
	ErrTeamIDUsed   = errors.New("a team of this name existed and was deleted; its events carry the name, so it is never given out again: choose another")
	ErrTeamNotEmpty = errors.New("the team still owns agents or enabled keys; delete its agents and disable its keys first")
	ErrKeyNotFound  = errors.New("no such key")
	ErrKeyExists    = errors.New("a key of this name exists")
	ErrEtagMismatch = errors.New("the etag is old: the resource changed meanwhile")
)

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
	Etag        string
	CreateTime  time.Time
	UpdateTime  time.Time
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
	UID         uuid.UUID
	TeamUID     uuid.UUID
	Team        string // the team's id
	ID          string
	DisplayName string
	SecretHint  string
	Disabled    bool
	ExpireTime  time.Time // zero means never
	Secrets     []Secret  // the current one first
	LastUsed    time.Time // zero means never; not loaded into snapshots
	Etag        string
	CreateTime  time.Time
	UpdateTime  time.Time
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
)

// Principal is who calls. The zero value is an anonymous caller.
type Principal struct {
	Kind Kind
	// UID never changes and is never used again; ownership of tasks rests on it.
	UID uuid.UUID
	// Name is "admin" or "teams/{team}/keys/{key}"; empty when anonymous.
	Name string
	// Team is the id of the caller's team; empty for the admin key.
	Team string
}

// AdminUID is the uid of the admin key as a principal, in every installation.
var AdminUID = uuid.MustParse("00000000-0000-4000-8000-000000000001")

// Admin returns the principal of the admin key.
func Admin() Principal { return Principal{Kind: KindAdmin, UID: AdminUID, Name: "admin"} }

// Principal returns the key as a caller.
func (k Key) Principal() Principal {
	return Principal{Kind: KindKey, UID: k.UID, Name: k.Name(), Team: k.Team}
}

// Faults of credentials. They are told apart only towards the holder of the secret.
var (
	ErrCredentialsMissing = errors.New("no credential was given")
	ErrCredentialsInvalid = errors.New("the credential is not known")
	ErrKeyExpired         = errors.New("the key has expired")
	ErrKeyDisabled        = errors.New("the key is disabled")
)
