// Package signkey keeps the keys that the gateway signs with: ES256, shared by all
// replicas, replaced in time, and published before they sign. What is signed with them is
// for packages cardsign and idtoken; each has a purpose, and so keys, of its own.
package signkey

import (
	"context"
	"encoding/json"
	"time"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// MaxAge is how long the published keys may be kept by those who fetched them.
const MaxAge = 5 * time.Minute

// Purpose says what keys are for, and how they follow one another.
type Purpose struct {
	// Name is what the keys are stored for. Their private parts are bound to it.
	Name string
	// PublishTime is how long a new key is published before it signs: longer than replicas
	// take to learn of it and verifiers may keep an older set.
	PublishTime time.Duration
	// KeepTime is how long a key is published after its successor took over: what it
	// signed stays verifiable so long.
	KeepTime time.Duration
	// RotateAfter is how long a key signs before the next one is made by itself; 0 means
	// that none is.
	RotateAfter time.Duration
}

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
