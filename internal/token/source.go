package token

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	// fetchTimeout bounds a fetch, of the discovery document and the keys together.
	fetchTimeout = 5 * time.Second
	// damping is how often an unknown key may have the keys of its issuer fetched.
	damping = 10 * time.Second
	// minRetry and maxRetry are what comes between a fetch that failed and the next.
	minRetry, maxRetry = time.Second, 30 * time.Second
	// idle is how long Run sleeps when nothing is due.
	idle = time.Hour
)

// sourceKey is what of an issuer says where its keys come from. While it stays the same
// the keys stay, whatever else of the issuer changes.
type sourceKey struct{ url, jwksURL, jwks string }

func keyOf(issuer *identity.Issuer) sourceKey {
	return sourceKey{url: issuer.URL, jwksURL: issuer.JWKSURL, jwks: issuer.JWKS}
}

// source is where the keys of an issuer come from, and the keys.
type source struct {
	sourceKey
	issuer string // the issuer's id, for the log

	keys    atomic.Pointer[keySet]
	dropped atomic.Bool // nobody keeps the keys up to date any more

	// The rest is guarded by the verifier's mu.
	flight   *flight   // the fetch that is under way, or nil
	due      time.Time // of the next fetch
	forced   time.Time // when an unknown key last began one
	failures int       // in a row
}

// flight is a fetch that is under way. All who need its keys wait for the same.
type flight struct {
	begin  time.Time
	done   chan struct{} // closed when the keys are in place, or it has failed
	cancel context.CancelFunc
}

// source returns where the keys of an issuer come from.
func (v *Verifier) source(issuer *identity.Issuer) *source {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sourceLocked(issuer)
}

func (v *Verifier) sourceLocked(issuer *identity.Issuer) *source {
	k := keyOf(issuer)
	if s := v.sources[k]; s != nil {
		return s
	}
	s := &source{sourceKey: k, issuer: issuer.ID}
	if k.jwks != "" {
		set, err := parseKeySet([]byte(k.jwks))
		if err != nil {
			// It was checked when it was configured. Without a key nothing is believed.
			v.log.LogAttrs(context.Background(), slog.LevelWarn, "configured keys of the issuer cannot be read",
				slog.String("issuer", s.issuer), slog.Any("error", err))
		} else {
			s.keys.Store(set)
		}
	}
	v.sources[k] = s
	return s
}

// Follow says whose keys to keep: those of these issuers, unless they are disabled. The
// keys of others are forgotten. It does not wait for anything.
func (v *Verifier) Follow(issuers []*identity.Issuer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.sources
	v.sources = make(map[sourceKey]*source, len(issuers))
	for _, issuer := range issuers {
		if issuer.Disabled {
			continue
		}
		k := keyOf(issuer)
		if s := old[k]; s != nil {
			v.sources[k] = s
			continue
		}
		v.sourceLocked(issuer)
	}
	for k, s := range old {
		if v.sources[k] == s {
			continue
		}
		s.dropped.Store(true)
		if s.flight != nil {
			s.flight.cancel()
		}
	}
	v.poke()
}

// poke makes Run look at what is due.
func (v *Verifier) poke() {
	select {
	case v.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run fetches the keys of the followed issuers, and again before they are old, until the
// context ends. When it returns nothing is under way, and nothing is fetched any more.
func (v *Verifier) Run(ctx context.Context) error {
	defer v.stop()
	for {
		timer := time.NewTimer(v.startDue())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-v.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (v *Verifier) stop() {
	v.mu.Lock()
	v.stopped = true
	for _, s := range v.sources {
		if s.flight != nil {
			s.flight.cancel()
		}
	}
	v.mu.Unlock()
	v.flights.Wait()
}

// startDue begins the fetches that are due and returns the time until the next one is.
func (v *Verifier) startDue() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, next := v.clock.Now(), idle
	for _, s := range v.sources {
		if s.jwks != "" || s.flight != nil {
			continue // what is under way wakes Run when it ends
		}
		if wait := s.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		v.beginLocked(s, now)
	}
	return next
}

// join returns the fetch that a call may wait for, or nil when there is none and none may
// begin now. For an issuer that has keys, one that the call needs is not among them.
func (v *Verifier) join(s *source, hasKeys bool) *flight {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	now := v.clock.Now()
	if s.jwks != "" || s.dropped.Load() {
		return nil
	}
	if hasKeys {
		if !s.forced.IsZero() && now.Before(s.forced.Add(damping)) {
			return nil
		}
		s.forced = now
	} else if now.Before(s.due) {
		return nil // it has just failed
	}
	return v.beginLocked(s, now)
}

// beginLocked begins a fetch, or returns nil after Run has ended.
func (v *Verifier) beginLocked(s *source, now time.Time) *flight {
	if v.stopped {
		return nil
	}
	// Many calls wait for it, so it does not end with the one that began it.
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	f := &flight{begin: now, done: make(chan struct{}), cancel: cancel}
	s.flight = f
	v.flights.Go(func() {
		defer cancel()
		set, age, err := fetchKeys(ctx, v.client, s.sourceKey)
		v.land(s, f, set, age, err)
	})
	return f
}

// land takes in what a fetch has brought. What was there stays when it has failed.
func (v *Verifier) land(s *source, f *flight, set *keySet, age time.Duration, err error) {
	v.mu.Lock()
	now := v.clock.Now()
	s.flight = nil
	report := func() {}
	switch {
	case err == nil:
		// The same keys stay the same set, so that verified tokens stay remembered.
		if old := s.keys.Load(); old == nil || old.digest != set.digest {
			s.keys.Store(set)
		}
		s.due = now.Add(age)
		if s.failures > 0 {
			report = func() {
				v.log.LogAttrs(context.Background(), slog.LevelInfo, "keys of the issuer can be had again", slog.String("issuer", s.issuer))
			}
		}
		s.failures = 0
	case v.stopped || s.dropped.Load():
		// It was called off.
	default:
		s.failures++
		s.due = now.Add(min(maxRetry, minRetry<<min(s.failures-1, 10)))
		if s.failures == 1 {
			hadKeys := s.keys.Load() != nil
			report = func() {
				v.log.LogAttrs(context.Background(), slog.LevelWarn, "keys of the issuer cannot be had",
					slog.String("issuer", s.issuer), slog.Bool("has_old_keys", hadKeys), slog.Any("error", err))
			}
		}
	}
	close(f.done)
	v.mu.Unlock()
	report()
	v.poke()
}
