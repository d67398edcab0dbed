// Package cardsign signs the agent cards that the gateway serves and verifies the
// signatures of those that it was given, as JSON Web Signatures over the canonical forms
// of package a2a. Its keys are kept by package signkey. It never fetches anything: whose
// signature counts is what the caller says.
package cardsign

import (
	"time"

	"github.com/signalbox-dev/signalbox/internal/signkey"
)

const (
	// Purpose is what the keys for cards are stored for.
	Purpose = "agent-card"
	// PublishTime is how long a new key is published before it signs.
	PublishTime = 10 * time.Minute
	// KeepTime is how long a key is published after its successor took over: cards that
	// it signed stay verifiable so long.
	KeepTime = 30 * 24 * time.Hour
)

// Keys is the purpose of the keys for agent cards. None replaces another by itself: cards
// are kept by those who read them.
func Keys() signkey.Purpose {
	return signkey.Purpose{Name: Purpose, PublishTime: PublishTime, KeepTime: KeepTime}
}
