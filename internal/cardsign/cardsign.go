// Package cardsign signs the agent cards that the gateway serves and verifies the
// signatures of those that it was given, as JSON Web Signatures over the canonical forms
// of package a2a. It keeps the gateway's keys and publishes them. It never fetches
// anything: whose signature counts is what the caller says.
package cardsign

import (
	"context"
	"encoding/json"
	"time"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// Purpose is what the keys of this package are stored for.
const Purpose = "agent-card"

const (
	// PublishTime is how long a new key is published before it signs: longer than replicas
	// take to learn of it and verifiers may keep an older set.
	PublishTime = 10 * time.Minute
	// KeepTime is how long a key is published after its successor took over: cards that
	// it signed stay verifiable so long.
	KeepTime = 30 * 24 * time.Hour
)

// StoredKey is a key as the database has it.
type StoredKey struct {
	// KID is the RFC 7638 thumbprint of the public key.
	KID string
	// Public is the public key as a JSON Web Key.
	Public json.RawMessage
	// Private is the sealed private key.
	Private seal.Sealed
	// CreateTime is when the key was made, SignTime from when it signs.
	CreateTime, SignTime time.Time
	// RetireTime is when the key is published no more; zero for the newest.
	RetireTime time.Time
}

// Store keeps keys. All replicas share it.
type Store interface {
	// SigningKeys returns the keys of a purpose that are not retired at a time, the
	// newest first; none is no error.
	SigningKeys(ctx context.Context, purpose string, at time.Time) ([]StoredKey, error)
	// AddSigningKey makes a key the newest of its purpose, in the place of the one with
	// the id replaces, which retires at the given time; "" means that there is none yet.
	// It returns false and changes nothing when another key is the newest. Keys that are
	// retired at the key's CreateTime are forgotten.
	AddSigningKey(ctx context.Context, purpose string, k StoredKey, replaces string, retire time.Time) (bool, error)
	// ResealSigningKey replaces a private key that is still sealed with the given
	// key-encryption key.
	ResealSigningKey(ctx context.Context, kid, sealedWith string, private seal.Sealed) error
}
