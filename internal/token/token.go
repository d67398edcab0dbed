// Package token believes JSON Web Tokens (RFC 7519) of configured issuers, or says why
// not: it reads them strictly, keeps the issuers' keys, and remembers what it has
// verified.
//
// It only tells who calls and what the token gives them. What they may do is decided
// elsewhere, as is whether the user or their teams are disabled.
package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	// MaxLength is how long a token may be. Longer ones are refused without a look.
	MaxLength = 16 << 10
	// MaxSkew is how far the clocks of an issuer and the gateway may be apart, whatever
	// the issuer is configured with.
	MaxSkew = 5 * time.Minute
	// DefaultMaxTokens is how many verified tokens are remembered when nothing is said.
	DefaultMaxTokens = 16384

	// patience is how long a call waits for the keys of an issuer.
	patience = 2 * time.Second
)

// Issuers finds the issuers of one revision of the configuration.
type Issuers interface {
	// IssuerByURL returns the issuer whose tokens have this "iss". Of one revision it
	// returns the same pointer each time, and another one once the issuer has changed.
	IssuerByURL(iss string) (*identity.Issuer, bool)
}

// Config is what a [Verifier] needs.
type Config struct {
	// Client fetches keys. It decides whom to dial; redirects are not followed whatever
	// it says. It is required.
	Client *http.Client
	// Clock is the machine's when nil.
	Clock clock.Clock
	// Logger hears of issuers whose keys cannot be had; nil discards.
	Logger *slog.Logger
	// MaxTokens is how many verified tokens are remembered; 0 means DefaultMaxTokens.
	MaxTokens int
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	client *http.Client
	clock  clock.Clock
	log    *slog.Logger
	cache  *cache

	flights sync.WaitGroup // fetches that are under way
	wake    chan struct{}  // tells Run that what is due has changed; holds one

	mu sync.Mutex
	// sources holds where keys come from: those of the issuers that were last followed,
	// and of issuers that a call knew before that. Of each source everything but its keys
	// is guarded by mu too.
	sources map[sourceKey]*source
	stopped bool // Run has ended: nothing is fetched any more
}

// New returns a verifier. It knows keys that are configured; others it fetches when
// they are needed, and beforehand and anew while [Verifier.Run] runs.
func New(cfg Config) (*Verifier, error) {
	if cfg.Client == nil {
		return nil, errors.New("token: Config.Client is required")
	}
	client := *cfg.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	v := &Verifier{
		client:  &client,
		clock:   cfg.Clock,
		log:     cfg.Logger,
		wake:    make(chan struct{}, 1),
		sources: map[sourceKey]*source{},
	}
	if v.clock == nil {
		v.clock = clock.System{}
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	maxTokens := cfg.MaxTokens
	if maxTokens <= 0 {
		maxTokens = DefaultMaxTokens
	}
	v.cache = newCache(maxTokens)
	return v, nil
}

// Looks tells whether a credential has the form of a signed token: three parts with dots
// between them, of which the first begins as a JSON object does. It says nothing about
// whether it is one.
func Looks(secret string) bool {
	if !strings.HasPrefix(secret, "eyJ") {
		return false
	}
	if len(secret) > MaxLength {
		// The dots of something so long are not worth counting; it is refused as a token.
		return strings.Contains(secret[:MaxLength], ".")
	}
	return strings.Count(secret, ".") == 2
}

// Verify returns the user that a token speaks of, if it holds now. The error wraps
//
//   - [identity.ErrCredentialsInvalid]: the issuer is not known, or is disabled;
//   - [identity.ErrTokenExpired];
//   - [identity.ErrTokenInvalid], with what is wrong; never with a part of the token;
//   - [identity.ErrIssuerUnavailable]: there are no keys of the issuer yet.
//
// It waits for keys for 2 s at most, and only when the token's key is not known.
func (v *Verifier) Verify(ctx context.Context, issuers Issuers, token string, now time.Time) (identity.Principal, error) {
	if len(token) > MaxLength {
		return identity.Principal{}, invalid("it is longer than 16 KiB")
	}
	hash := v.cache.hash(token)
	if e := v.cache.get(hash, token); e != nil && e.holds(issuers, now) {
		return e.principal, nil
	}
	t, err := parse(token)
	if err != nil {
		return identity.Principal{}, err
	}
	issuer, known := issuers.IssuerByURL(t.issuer)
	if !known || issuer.Disabled {
		return identity.Principal{}, fmt.Errorf("%w: its issuer is not known here", identity.ErrCredentialsInvalid)
	}
	if !slices.Contains(issuer.Algorithms, t.alg) {
		return identity.Principal{}, invalid("its issuer does not sign with this algorithm")
	}
	if !slices.ContainsFunc(t.audience, func(aud string) bool { return slices.Contains(issuer.Audiences, aud) }) {
		return identity.Principal{}, invalid("it is meant for another audience")
	}
	// The times come before the key: a token that has expired is often of a key that its
	// issuer has no more, and nothing is to be fetched for it.
	from, until := t.window(issuer.Skew)
	if !now.Before(until) {
		return identity.Principal{}, identity.ErrTokenExpired
	}
	if now.Before(from) {
		return identity.Principal{}, invalid("it holds only later")
	}
	src := v.source(issuer)
	set, err := v.checkSignature(ctx, src, t)
	if err != nil {
		return identity.Principal{}, err
	}
	p := principal(issuer, t, strings.Clone(token))
	v.cache.put(hash, &entry{principal: p, issuer: issuer, source: src, set: set, from: from, until: until})
	return p, nil
}

// checkSignature returns the set of keys of which one made the token's signature. When
// there is none it has the keys fetched, as far as that is allowed now.
func (v *Verifier) checkSignature(ctx context.Context, src *source, t *parsed) (*keySet, error) {
	set := src.keys.Load()
	missing, err := set.check(t)
	if !missing {
		return set, err
	}
	begin := v.clock.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	// Twice: the first fetch may have begun before the key was published.
	for range 2 {
		f := v.join(src, set != nil)
		if f == nil || !v.await(ctx, f, begin, timer.C) {
			break
		}
		set = src.keys.Load()
		if missing, err = set.check(t); !missing || !f.begin.Before(begin) {
			break
		}
	}
	return set, err
}

// await waits for a fetch and tells whether it has ended. It does so until the fetch is
// patience old, so that a flood of unknown keys does not gather at an issuer that hangs.
func (v *Verifier) await(ctx context.Context, f *flight, begin time.Time, timeout <-chan time.Time) bool {
	left := patience - begin.Sub(f.begin)
	if left <= 0 {
		return false
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-f.done:
		return true
	case <-timer.C:
	case <-timeout:
	case <-ctx.Done():
	}
	return false
}

// invalid says what is wrong with a token.
func invalid(what string) error { return fmt.Errorf("%w: %s", identity.ErrTokenInvalid, what) }
