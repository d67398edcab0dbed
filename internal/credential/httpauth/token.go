package httpauth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	// defaultWait and defaultFetch are what Config says.
	defaultWait  = 5 * time.Second
	defaultFetch = 10 * time.Second
	// A token whose life is not told is taken for one of unknownLife, and none is kept
	// for longer than longestLife.
	unknownLife = 5 * time.Minute
	longestLife = 24 * time.Hour
	// A token is fetched anew when a fifth of its life is left, at most so much.
	longestMargin = 5 * time.Minute
	// replacePause is the time between two tokens that are given up because the agent
	// refused them: an agent that refuses everything must not make a flood of questions.
	replacePause = 10 * time.Second
	// After a failure no question is asked for firstPause, then for twice as long, up to
	// longestPause. Calls fail at once meanwhile.
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
)

// Token is a token that was fetched.
type Token struct {
	of     *tokens
	header []string // "Bearer …"
	// From refresh on another one is fetched beside the calls, and from expire on this
	// one is not used.
	refresh, expire time.Time
}

// fetch asks for a token and returns how long it is good for; 0 when that is not told.
type fetch func(context.Context) (token string, life time.Duration, err error)

// tokens fetches tokens, each once however many calls wait for it, and keeps them until
// shortly before they end.
type tokens struct {
	cfg   Config
	fetch fetch

	mu      sync.Mutex
	current *Token  // nil when there is none
	flight  *flight // nil when nothing is asked
	// failure is why the last question failed; nothing is asked before retry.
	failure  error
	failures int
	retry    time.Time
	// replaceable is when the next refused token may be given up.
	replaceable time.Time
}

// flight is a question that is under way. Its result is set before done is closed.
type flight struct {
	done  chan struct{}
	token *Token
	err   error
}

func newTokens(cfg Config, f fetch) *tokens {
	if cfg.Wait == 0 {
		cfg.Wait = defaultWait
	}
	if cfg.FetchTimeout == 0 {
		cfg.FetchTimeout = defaultFetch
	}
	return &tokens{cfg: cfg, fetch: f}
}

// Sign sets a token.
func (t *tokens) Sign(req *http.Request, _ *identity.Principal) (*Token, error) {
	token, err := t.token(req.Context())
	if err != nil {
		return nil, err
	}
	req.Header["Authorization"] = token.header
	return token, nil
}

// token returns a token that is good. It waits for no longer than Config.Wait.
func (t *tokens) token(ctx context.Context) (*Token, error) {
	t.mu.Lock()
	now := t.cfg.Clock.Now()
	if c := t.current; c != nil && now.Before(c.expire) {
		if !now.Before(c.refresh) {
			t.ask(now)
		}
		t.mu.Unlock()
		return c, nil
	}
	f := t.ask(now)
	failure := t.failure
	t.mu.Unlock()
	if f == nil {
		return nil, failure
	}
	timer := time.NewTimer(t.cfg.Wait)
	defer timer.Stop()
	select {
	case <-f.done:
		return f.token, f.err
	case <-timer.C:
		return nil, &Error{Why: TokenTimeout, Problem: "the token endpoint does not answer in time"}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask begins a question unless one is under way, which it returns then, or the last one
// failed a moment ago: then it returns nil. The lock is held.
func (t *tokens) ask(now time.Time) *flight {
	if t.flight != nil {
		return t.flight
	}
	if now.Before(t.retry) {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	t.flight = f
	t.cfg.Go(func() { t.land(f) })
	return f
}

// land asks, and notes what came of it.
func (t *tokens) land(f *flight) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(t.cfg.Background, t.cfg.FetchTimeout)
	defer cancel()
	value, life, err := t.fetch(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flight = nil
	now := t.cfg.Clock.Now()
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
			err = &Error{Why: TokenTimeout, Problem: "the token endpoint does not answer in time"}
		}
		f.err, t.failure = err, err
		pause := firstPause << min(t.failures, 6)
		t.failures++
		t.retry = now.Add(min(pause, longestPause))
		return
	}
	t.failure, t.failures, t.retry = nil, 0, time.Time{}
	if life <= 0 {
		life = unknownLife
	}
	life = min(life, longestLife)
	f.token = &Token{
		of:      t,
		header:  []string{"Bearer " + value},
		refresh: now.Add(life - min(life/5, longestMargin)),
		expire:  now.Add(life - min(life/20, 10*time.Second)), // it must still be good when it arrives
	}
	t.current = f.token
}

// Refused notes that the agent refused a request with the token. It tells whether the
// request may be tried again, with another token. A token that is refused now and then
// is replaced now and then.
func (used *Token) Refused() bool {
	t := used.of
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != used {
		return t.current != nil || t.flight != nil // somebody else has given it up already
	}
	now := t.cfg.Clock.Now()
	if now.Before(t.replaceable) {
		return false
	}
	t.replaceable = now.Add(replacePause)
	t.current = nil
	return true
}

// Doubted notes that the agent did not allow a request with the token, which may lack a
// right that was given since. Another one is fetched beside the calls.
func (used *Token) Doubted() {
	t := used.of
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Clock.Now()
	if t.current != used || now.Before(t.replaceable) {
		return
	}
	t.replaceable = now.Add(replacePause)
	t.ask(now)
}
