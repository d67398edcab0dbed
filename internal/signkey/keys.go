package signkey

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/seal"
)

// storeLimit bounds one question to the store.
const storeLimit = 10 * time.Second

// Config says what keys are for, where they are and what seals them.
type Config struct {
	// Purpose, Store and Seal are required.
	Purpose Purpose
	Store   Store
	Seal    *seal.Ring
	// Refresh is the time between two looks for keys of other replicas; 0 means a minute.
	Refresh time.Duration
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets outages and keys that cannot be used; nil discards.
	Logger *slog.Logger
}

// Keys are the keys of a purpose. Their private parts are in the database, sealed, and in
// memory.
type Keys struct {
	cfg     Config
	current atomic.Pointer[keySet]

	mu       sync.Mutex      // held while keys are loaded, never for signing
	unusable map[string]bool // the keys that a log line told about
}

// keySet is the keys that are not retired, the newest first.
type keySet struct {
	keys []*Key // one at least
	jwks []byte
	// newest is the id of the newest key, which this replica perhaps cannot unseal.
	newest string
}

// Open loads the keys, and makes the first one when there is none. It fails with an
// [*seal.UnknownKeyError] when none of them was sealed with a key that this replica has.
func Open(ctx context.Context, cfg Config) (*Keys, error) {
	switch {
	case cfg.Purpose.Name == "" || cfg.Purpose.PublishTime <= MaxAge || cfg.Purpose.KeepTime <= 0:
		return nil, errors.New("signkey: Config.Purpose needs a name, keys that are published for longer than they may be cached before they sign, and kept after")
	case cfg.Store == nil:
		return nil, errors.New("signkey: Config.Store is required")
	case cfg.Seal == nil:
		return nil, errors.New("signkey: Config.Seal is required")
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = time.Minute
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	k := &Keys{cfg: cfg, unusable: map[string]bool{}}
	if err := k.refresh(ctx); errors.Is(err, errNoKeys) {
		if _, err := k.add(ctx, nil); err != nil {
			return nil, err
		}
		if err := k.refresh(ctx); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return k, k.reseal(ctx)
}

var errNoKeys = errors.New("there is no signing key")

// Run looks for keys of other replicas, and makes the next key when it is time, until ctx
// ends. While the store cannot be reached the keys stay as they are.
func (k *Keys) Run(ctx context.Context) error {
	ticker := time.NewTicker(k.cfg.Refresh)
	defer ticker.Stop()
	failing := false
	purpose := slog.String("purpose", k.cfg.Purpose.Name)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := k.refresh(ctx)
		if err == nil && k.due() {
			_, err = k.Rotate(ctx)
		}
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "signing keys cannot be read or replaced, using those already known", purpose, slog.Any("error", err))
		case err == nil && failing:
			failing = false
			k.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "signing keys can be read again", purpose)
		}
	}
}

// due tells whether it is time for the next key.
func (k *Keys) due() bool {
	set := k.current.Load()
	newest := set.keys[0]
	if k.cfg.Purpose.RotateAfter == 0 || newest.KID() != set.newest {
		return false // what this replica cannot unseal is another's to replace
	}
	return !k.cfg.Clock.Now().Before(newest.stored.SignTime.Add(k.cfg.Purpose.RotateAfter))
}

// Rotate makes a new key and returns its id. It is published at once and signs after
// [Purpose.PublishTime]; the one before stays published for [Purpose.KeepTime] more. Of
// replicas that do this at the same time one makes a key, whose id all return.
func (k *Keys) Rotate(ctx context.Context) (string, error) {
	if err := k.refresh(ctx); err != nil {
		return "", fmt.Errorf("rotate the signing key: %w", err)
	}
	newest := k.current.Load().keys[0]
	made, err := k.add(ctx, newest)
	if err != nil {
		return "", fmt.Errorf("rotate the signing key: %w", err)
	}
	if err := k.refresh(ctx); err != nil {
		return made, fmt.Errorf("load the new signing key: %w", err)
	}
	kid := k.current.Load().keys[0].KID()
	if kid == newest.KID() {
		return "", fmt.Errorf("rotate the signing key: %s is not the newest, but this replica cannot unseal its successor", kid)
	}
	if made != "" {
		k.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "made a new signing key", slog.String("purpose", k.cfg.Purpose.Name), slog.String("kid", made))
	}
	return kid, nil
}

// add makes a key, and returns "" when another replica was first.
func (k *Keys) add(ctx context.Context, replaces *Key) (string, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make a signing key: %w", err)
	}
	now := k.cfg.Clock.Now()
	fresh := StoredKey{CreateTime: now, SignTime: now}
	old, retire := "", time.Time{}
	if replaces != nil {
		fresh.SignTime = now.Add(k.cfg.Purpose.PublishTime)
		old, retire = replaces.KID(), fresh.SignTime.Add(k.cfg.Purpose.KeepTime)
	}
	public, err := publicKey(private)
	if err != nil {
		return "", err
	}
	fresh.KID = public.KeyID
	if fresh.Public, err = json.Marshal(public); err != nil {
		return "", fmt.Errorf("write the public key: %w", err)
	}
	if fresh.Private, err = k.seal(private, fresh.KID); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	added, err := k.cfg.Store.AddSigningKey(ctx, k.cfg.Purpose.Name, fresh, old, retire)
	if err != nil || !added {
		return "", err
	}
	return fresh.KID, nil
}

// sealedFor is what a sealed private key is bound to.
func (k *Keys) sealedFor(kid string) []byte {
	return []byte("signing key\x00" + k.cfg.Purpose.Name + "\x00" + kid)
}

func (k *Keys) seal(private *ecdsa.PrivateKey, kid string) (seal.Sealed, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return seal.Sealed{}, fmt.Errorf("write the private key: %w", err)
	}
	return k.cfg.Seal.Seal(der, k.sealedFor(kid))
}

// unseal reads a stored key. What it returns comes from the sealed part alone, so that
// nobody who can write to the database has a key of their own published.
func (k *Keys) unseal(s StoredKey) (*Key, error) {
	der, err := k.cfg.Seal.Unseal(s.Private, k.sealedFor(s.KID))
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("the private key is not of the curve P-256")
	}
	public, err := publicKey(private)
	if err != nil {
		return nil, err
	}
	if public.KeyID != s.KID {
		return nil, errors.New("the private key belongs to another key")
	}
	return &Key{private: private, public: public, stored: s}, nil
}

// refresh loads the keys.
func (k *Keys) refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	stored, err := k.cfg.Store.SigningKeys(ctx, k.cfg.Purpose.Name, k.cfg.Clock.Now())
	if err != nil {
		return err
	}
	if len(stored) == 0 {
		return errNoKeys
	}
	known := map[string]*Key{}
	if before := k.current.Load(); before != nil {
		for _, key := range before.keys {
			known[key.KID()] = key
		}
	}
	set := &keySet{newest: stored[0].KID}
	var faults []error
	for _, s := range stored {
		key := known[s.KID]
		if key == nil {
			if key, err = k.unseal(s); err != nil {
				err = fmt.Errorf("key %s for signing, purpose %s: %w", s.KID, k.cfg.Purpose.Name, err)
				faults = append(faults, err)
				k.complain(ctx, s.KID, err)
				continue
			}
		} else {
			updated := *key // others may be signing with it
			updated.stored = s
			key = &updated
		}
		set.keys = append(set.keys, key)
	}
	if len(set.keys) == 0 {
		return errors.Join(faults...)
	}
	if set.jwks, err = jwksOf(set); err != nil {
		return err
	}
	k.current.Store(set)
	return nil
}

// complain logs a key that cannot be used, once. The caller holds mu.
func (k *Keys) complain(ctx context.Context, kid string, err error) {
	if k.unusable[kid] {
		return
	}
	k.unusable[kid] = true
	k.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a signing key cannot be used by this replica",
		slog.String("purpose", k.cfg.Purpose.Name), slog.String("kid", kid), slog.Any("error", err))
}

// reseal brings the keys that an older key-encryption key sealed under the one that
// seals now, so that the older one can be taken away.
func (k *Keys) reseal(ctx context.Context) error {
	for _, key := range k.current.Load().keys {
		old := key.stored.Private.KeyID
		if old == k.cfg.Seal.ID() {
			continue
		}
		sealed, err := k.seal(key.private, key.KID())
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, storeLimit)
		err = k.cfg.Store.ResealSigningKey(ctx, key.KID(), old, sealed)
		cancel()
		if err != nil {
			return err
		}
		k.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "sealed a signing key with the present key-encryption key",
			slog.String("purpose", k.cfg.Purpose.Name), slog.String("kid", key.KID()), slog.String("sealed_before_with", old))
	}
	return nil
}

// JWKS returns the published keys as a JSON Web Key Set.
func (k *Keys) JWKS() []byte { return slices.Clone(k.current.Load().jwks) }

// Signing returns the key to sign with: the newest whose time has come.
func (k *Keys) Signing() *Key {
	keys := k.current.Load().keys
	now := k.cfg.Clock.Now()
	for _, key := range keys {
		if !key.stored.SignTime.After(now) {
			return key
		}
	}
	return keys[len(keys)-1] // the clock of whoever made it is ahead of ours
}
