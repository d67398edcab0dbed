// Package idtoken makes the tokens that tell agents who is calling: JSON Web Tokens of the
// gateway's own (RFC 7519), signed with keys of package signkey, that agents verify with
// the keys that the gateway publishes.
package idtoken

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/lru"
	"github.com/signalbox-dev/signalbox/internal/signkey"
)

const (
	// Purpose is what the keys for tokens are stored for.
	Purpose = "identity-token"
	// Life is how long a token is valid.
	Life = 5 * time.Minute
	// backdated is how far before its making a token begins: clocks of agents may be late,
	// and most libraries allow for nothing.
	backdated = 10 * time.Second
	// defaultCacheSize is how many tokens are kept.
	defaultCacheSize = 10_000
	// gatewaySubject is the subject of what the gateway asks by itself. No principal has
	// such a name: all but that of the admin key have a slash.
	gatewaySubject = "gateway"
)

// Keys is the purpose of the keys for tokens. They replace one another every 30 days. A
// new one is published for longer before it signs than the libraries of agents keep keys
// when they do not look for how long they may. A replica that cannot reach the database
// does not see the new one, so the key before stays published for longer than its last
// token lives.
func Keys() signkey.Purpose {
	const day = 24 * time.Hour
	return signkey.Purpose{Name: Purpose, PublishTime: 20 * time.Minute, KeepTime: day, RotateAfter: 30 * day}
}

// ErrNoCaller says that a token was asked for a caller who is nobody.
var ErrNoCaller = errors.New("an anonymous caller has no identity token")

// IssuerName returns what tokens have as "iss": the public address of the gateway, and
// without one a name made of a secret that all replicas share.
func IssuerName(publicURL string, shared []byte) string {
	if publicURL != "" {
		return strings.TrimRight(publicURL, "/")
	}
	hash := sha256.Sum256(append([]byte("signalbox identity token issuer\x00"), shared...))
	id := uuid.UUID(hash[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8 of RFC 9562: one's own way
	id[8] = id[8]&0x3f | 0x80
	return "urn:uuid:" + id.String()
}

// Config says how an Issuer works.
type Config struct {
	// Keys is required; they are of the purpose [Keys].
	Keys *signkey.Keys
	// Name is what tokens have as "iss". Required.
	Name string
	// CacheSize is how many tokens are kept; 0 means 10 000.
	CacheSize int
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
}

// Issuer makes tokens, each for a caller and an audience, and keeps them until half of
// their life is over. It is safe for concurrent use.
type Issuer struct {
	keys   *signkey.Keys
	name   string
	clock  clock.Clock
	tokens *lru.Cache[subject, token]
}

// subject is all that a token depends on but the time.
type subject struct {
	kind            identity.Kind
	uid             uuid.UUID
	name, team, aud string
}

type token struct {
	text  string
	until time.Time // used no longer
}

// claims is what a token says.
type claims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	ID        string `json:"jti"`
	Kind      string `json:"signalbox.dev/kind"`
	UID       string `json:"signalbox.dev/uid,omitempty"`
	Team      string `json:"signalbox.dev/team,omitempty"`
}

// New returns an Issuer.
func New(cfg Config) (*Issuer, error) {
	if cfg.Keys == nil || cfg.Name == "" {
		return nil, errors.New("idtoken: Config.Keys and Config.Name are required")
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = defaultCacheSize
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	return &Issuer{keys: cfg.Keys, name: cfg.Name, clock: cfg.Clock, tokens: lru.New[subject, token](cfg.CacheSize)}, nil
}

// Token returns a token that tells an audience who calls; caller is nil for what the
// gateway asks by itself. It is valid for half of [Life] at least.
func (i *Issuer) Token(caller *identity.Principal, audience string) (string, error) {
	s := subject{name: gatewaySubject, aud: audience}
	if caller != nil {
		if caller.Kind == identity.KindAnonymous || caller.Name == "" {
			return "", ErrNoCaller
		}
		s = subject{kind: caller.Kind, uid: caller.UID, name: caller.Name, team: caller.Team, aud: audience}
	}
	now := i.clock.Now()
	if kept, ok := i.tokens.Get(s); ok && now.Before(kept.until) {
		return kept.text, nil
	}
	// Whoever asks for the same one now makes it too: both are valid.
	fresh, err := i.sign(s, now)
	if err != nil {
		return "", fmt.Errorf("make an identity token: %w", err)
	}
	i.tokens.Put(s, fresh)
	return fresh.text, nil
}

func (i *Issuer) sign(s subject, now time.Time) (token, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return token{}, err
	}
	from := now.Add(-backdated)
	c := claims{
		Issuer: i.name, Subject: s.name, Audience: s.aud, ID: id.String(), Kind: kindName(s), Team: identity.TeamName(s.team),
		IssuedAt: from.Unix(), NotBefore: from.Unix(), Expires: from.Add(Life).Unix(),
	}
	if s.uid != uuid.Nil {
		c.UID = s.uid.String()
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return token{}, err
	}
	jws, err := i.keys.Signing().Sign(payload, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return token{}, err
	}
	text, err := jws.CompactSerialize()
	return token{text: text, until: from.Add(Life / 2)}, err
}

// kindName is the kind of a subject as tokens have it.
func kindName(s subject) string {
	switch s.kind {
	case identity.KindAdmin:
		return "admin"
	case identity.KindKey:
		return "key"
	case identity.KindUser:
		return "user"
	case identity.KindAgent:
		return "agent"
	case identity.KindAnonymous: // which none but the gateway itself is here
	}
	return gatewaySubject
}
