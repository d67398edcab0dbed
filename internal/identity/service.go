package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

// DefaultFlushInterval is the time between two writings of when keys were used.
const DefaultFlushInterval = 30 * time.Second

// newcomerPause is the time between two writings of users who came with their first token.
const newcomerPause = 100 * time.Millisecond

// MaxSecrets is the number of secrets of a key that work at one time.
const MaxSecrets = 2

// TeamStore keeps teams.
//
// Every write is one transaction that also advances the configuration revision and
// appends to its history under the author's name; it returns the new revision. An
// edit function may run more than once, each time with the team as it is stored;
// its error is returned as it is, and nothing is written. When it returns false
// nothing is written either, and the present revision is returned.
type TeamStore interface {
	// CreateTeam stores a team. It returns ErrTeamExists when the id is taken, and
	// ErrTeamIDUsed when a team that was deleted had it: events carry their team by
	// name, and a team must not read those of another.
	CreateTeam(ctx context.Context, author string, t Team) (Team, int64, error)
	// Team returns the team of an id, or ErrTeamNotFound.
	Team(ctx context.Context, id string) (Team, error)
	// Teams returns at most q.Limit teams in the order of their ids.
	Teams(ctx context.Context, q TeamQuery) ([]Team, error)
	// UpdateTeam changes a team, or returns ErrTeamNotFound.
	UpdateTeam(ctx context.Context, author string, uid uuid.UUID, edit func(*Team) (bool, error)) (Team, int64, error)
	// DeleteTeam removes a team that check does not object to, together with its
	// disabled keys and their roles. It returns ErrTeamNotFound, or ErrTeamNotEmpty when
	// the team owns agents, grants or keys that are not disabled, or somebody but its own
	// keys holds a role in it.
	DeleteTeam(ctx context.Context, author string, uid uuid.UUID, check func(Team) error) (int64, error)
}

// KeyStore keeps keys. Writes are as in [TeamStore].
type KeyStore interface {
	// CreateKey stores a key with its secrets, certificate names and roles in the team of
	// k.Team, bound to the agent of k.Agent, if any. It returns ErrTeamNotFound,
	// ErrKeyExists when the id is taken, a CertificateNameError, or what package registry
	// has for an agent that is none of the team.
	CreateKey(ctx context.Context, author string, k Key) (Key, int64, error)
	// Key returns a key of a team with its secrets and roles, or ErrKeyNotFound.
	Key(ctx context.Context, team, id string) (Key, error)
	// Keys returns at most q.Limit keys in the order of the ids of team and key.
	Keys(ctx context.Context, q KeyQuery) ([]Key, error)
	// UpdateKey changes a key, its secrets and certificate names; not its roles. It
	// returns ErrKeyNotFound or a CertificateNameError.
	UpdateKey(ctx context.Context, author string, uid uuid.UUID, edit func(*Key) (bool, error)) (Key, int64, error)
	// RecordUses notes when keys were last used. Later times win; uids of keys that
	// are gone are passed over. It is no change of configuration.
	RecordUses(ctx context.Context, uses map[uuid.UUID]time.Time) error
}

// Store keeps teams, keys, users, issuers and roles.
type Store interface {
	TeamStore
	KeyStore
	UserStore
	IssuerStore
	RoleStore
}

// TeamQuery asks for a page of teams.
type TeamQuery struct {
	Team  string // only the team of this id; empty means every one
	After string // only ids after this one
	Limit int
}

// KeyQuery asks for a page of keys.
type KeyQuery struct {
	Team      string // only keys of the team of this id; empty means of every one
	AfterTeam string // only keys after this one of this team
	AfterKey  string
	Limit     int
}

// Config says what a Service is made of.
type Config struct {
	// Store is required.
	Store Store
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// FlushInterval is the time between two writings of when keys were used; 0 means
	// DefaultFlushInterval.
	FlushInterval time.Duration
	// Logger gets failures to write uses; nil discards.
	Logger *slog.Logger
}

// Service manages teams, keys, users, issuers and roles. Who may do so is decided by its
// callers.
type Service struct {
	store Store
	clock clock.Clock
	flush time.Duration
	log   *slog.Logger

	mu   sync.Mutex
	uses map[uuid.UUID]time.Time // not yet written; at most one entry for each key
	// users are those who called and are not yet written; at most maxPendingUsers.
	users map[uuid.UUID]UserUse
	// written are users that are known to have rows, and newcomer tells that one of those
	// above may have none; it holds one.
	written  map[uuid.UUID]struct{}
	newcomer chan struct{}
}

// New returns a Service. Its Run must run for uses to be written.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil {
		return nil, errors.New("identity: Config.Store is required")
	}
	s := &Service{
		store: cfg.Store, clock: cfg.Clock, flush: cfg.FlushInterval, log: cfg.Logger,
		uses: map[uuid.UUID]time.Time{}, users: map[uuid.UUID]UserUse{}, written: map[uuid.UUID]struct{}{}, newcomer: make(chan struct{}, 1),
	}
	if s.clock == nil {
		s.clock = clock.System{}
	}
	if s.flush == 0 {
		s.flush = DefaultFlushInterval
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// now is the time as Postgres can keep it.
func (s *Service) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// CreateTeam makes a team and returns it with the configuration revision from which
// on it exists.
func (s *Service) CreateTeam(ctx context.Context, author, id, displayName string) (Team, int64, error) {
	if err := checkText("team.display_name", displayName); err != nil {
		return Team{}, 0, err
	}
	now := s.now()
	t, revision, err := s.store.CreateTeam(ctx, author, Team{
		UID: uuid.New(), ID: id, DisplayName: displayName, CreateTime: now, UpdateTime: now,
	})
	if err != nil {
		return Team{}, 0, fmt.Errorf("create team %s: %w", id, err)
	}
	return t, revision, nil
}

// Team returns the team of an id, or ErrTeamNotFound.
func (s *Service) Team(ctx context.Context, id string) (Team, error) {
	t, err := s.store.Team(ctx, id)
	if err != nil {
		return Team{}, fmt.Errorf("get team %s: %w", id, err)
	}
	return t, nil
}

// Teams returns a page of teams and whether there are more.
func (s *Service) Teams(ctx context.Context, q TeamQuery) ([]Team, bool, error) {
	limit := q.Limit
	q.Limit++ // one more than asked for tells whether there is a next page
	teams, err := s.store.Teams(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list teams: %w", err)
	}
	if len(teams) > limit {
		return teams[:limit], true, nil
	}
	return teams, false, nil
}

// TeamUpdate says what to change of a team; nil leaves a field as it is.
type TeamUpdate struct {
	DisplayName *string
	Disabled    *bool
	// Etag, when not empty, must be the stored one.
	Etag string
}

// UpdateTeam changes a team.
func (s *Service) UpdateTeam(ctx context.Context, author string, uid uuid.UUID, u TeamUpdate) (Team, int64, error) {
	t, revision, err := s.store.UpdateTeam(ctx, author, uid, func(t *Team) (bool, error) {
		if u.Etag != "" && u.Etag != t.Etag {
			return false, ErrEtagMismatch
		}
		before := *t
		set(&t.DisplayName, u.DisplayName)
		set(&t.Disabled, u.Disabled)
		if t.DisplayName == before.DisplayName && t.Disabled == before.Disabled {
			return false, nil
		}
		if err := checkText("team.display_name", t.DisplayName); err != nil {
			return false, err
		}
		t.UpdateTime = s.now()
		return true, nil
	})
	if err != nil {
		return Team{}, 0, fmt.Errorf("update team: %w", err)
	}
	return t, revision, nil
}

// DeleteTeam removes a team that owns nothing but disabled keys, and those with it; an
// etag that is not empty must be the stored one.
func (s *Service) DeleteTeam(ctx context.Context, author string, uid uuid.UUID, etag string) (int64, error) {
	revision, err := s.store.DeleteTeam(ctx, author, uid, func(t Team) error {
		if etag != "" && etag != t.Etag {
			return ErrEtagMismatch
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete team: %w", err)
	}
	return revision, nil
}

// KeyDraft is what a new key is made of.
type KeyDraft struct {
	Team        string // the owner team's id
	ID          string // empty means a random one
	DisplayName string
	Disabled    bool
	ExpireTime  time.Time // zero means never
	// Agent is the id of the agent as which the key calls; empty means as itself.
	Agent string
	// CertificateNames are the names in client certificates that stand for the key.
	CertificateNames []string
	// WithoutSecret makes a key for which only certificates stand.
	WithoutSecret bool
	// Roles are what the key holds from the beginning. Which roles can be given is for the
	// caller to know.
	Roles []RoleIn
}

// CreateKey makes a key. The secret is returned this once; it is empty when none was
// wanted.
func (s *Service) CreateKey(ctx context.Context, author string, d KeyDraft) (Key, string, int64, error) {
	now := s.now()
	names, err := normalizeCertificateNames(d.CertificateNames)
	if err := errors.Join(checkExpiry(d.ExpireTime, now), checkText("key.display_name", d.DisplayName), err); err != nil {
		return Key{}, "", 0, err
	}
	switch {
	case d.WithoutSecret && len(names) == 0:
		return Key{}, "", 0, &InvalidError{Field: "without_secret", Problem: "such a key needs key.certificate_names, or nobody could use it"}
	case d.Agent != "" && len(d.Roles) > 0:
		return Key{}, "", 0, &InvalidError{Field: "roles", Problem: "the key calls as agents/" + d.Agent + ", which is what can hold roles"}
	}
	if d.ID == "" {
		d.ID = randomKeyID()
	}
	k := Key{
		UID: uuid.New(), Team: d.Team, ID: d.ID, Agent: d.Agent, CertificateNames: names, DisplayName: d.DisplayName,
		Disabled: d.Disabled, ExpireTime: d.ExpireTime.Truncate(time.Microsecond), Roles: sortRoles(d.Roles), CreateTime: now, UpdateTime: now,
	}
	secret := ""
	if !d.WithoutSecret {
		var hash [32]byte
		secret, hash, k.SecretHint = NewSecret()
		k.Secrets = []Secret{{SHA256: hash}}
	}
	k, revision, err := s.store.CreateKey(ctx, author, k)
	if err != nil {
		return Key{}, "", 0, fmt.Errorf("create key of team %s: %w", d.Team, err)
	}
	return k, secret, revision, nil
}

// randomKeyID makes an id that begins with a letter, so that it can be given on
// create as well.
func randomKeyID() string { return "k" + strings.ToLower(rand.Text()[:11]) }

// checkText refuses control characters: Postgres takes no NUL, and terminals obey escapes.
func checkText(field, text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return &InvalidError{Field: field, Problem: "has a control character"}
	}
	return nil
}

func checkExpiry(expire, now time.Time) error {
	if !expire.IsZero() && !expire.After(now) {
		return &InvalidError{Field: "key.expire_time", Problem: "must lie in the future; to stop a key now, disable it"}
	}
	return nil
}

// Key returns a key of a team, or ErrKeyNotFound.
func (s *Service) Key(ctx context.Context, team, id string) (Key, error) {
	k, err := s.store.Key(ctx, team, id)
	if err != nil {
		return Key{}, fmt.Errorf("get key %s: %w", KeyName(team, id), err)
	}
	return s.withUse(k), nil
}

// Keys returns a page of keys and whether there are more.
func (s *Service) Keys(ctx context.Context, q KeyQuery) ([]Key, bool, error) {
	limit := q.Limit
	q.Limit++
	keys, err := s.store.Keys(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list keys: %w", err)
	}
	more := len(keys) > limit
	if more {
		keys = keys[:limit]
	}
	for i := range keys {
		keys[i] = s.withUse(keys[i])
	}
	return keys, more, nil
}

// KeyUpdate says what to change of a key; nil leaves a field as it is.
type KeyUpdate struct {
	DisplayName *string
	Disabled    *bool
	ExpireTime  *time.Time // the zero time means never
	// CertificateNames are the names in client certificates that stand for the key.
	CertificateNames *[]string
	// Etag, when not empty, must be the stored one.
	Etag string
}

// UpdateKey changes a key.
func (s *Service) UpdateKey(ctx context.Context, author string, uid uuid.UUID, u KeyUpdate) (Key, int64, error) {
	k, revision, err := s.store.UpdateKey(ctx, author, uid, func(k *Key) (bool, error) {
		now := s.now()
		if u.Etag != "" && u.Etag != k.Etag {
			return false, ErrEtagMismatch
		}
		changed := false
		if u.DisplayName != nil && *u.DisplayName != k.DisplayName {
			if err := checkText("key.display_name", *u.DisplayName); err != nil {
				return false, err
			}
			k.DisplayName, changed = *u.DisplayName, true
		}
		if u.Disabled != nil && *u.Disabled != k.Disabled {
			k.Disabled, changed = *u.Disabled, true
		}
		if u.ExpireTime != nil {
			expire := u.ExpireTime.UTC().Truncate(time.Microsecond)
			if !expire.Equal(k.ExpireTime) {
				if err := checkExpiry(expire, now); err != nil {
					return false, err
				}
				k.ExpireTime, changed = expire, true
			}
		}
		if u.CertificateNames != nil {
			names, err := normalizeCertificateNames(*u.CertificateNames)
			if err != nil {
				return false, err
			}
			if !slices.Equal(names, k.CertificateNames) {
				k.CertificateNames, changed = names, true
			}
		}
		if changed {
			k.UpdateTime = now
		}
		return changed, nil
	})
	if err != nil {
		return Key{}, 0, fmt.Errorf("update key: %w", err)
	}
	return s.withUse(k), revision, nil
}

// RotateKey gives a key a new secret, returned this once. The present one works for
// the overlap; one that an earlier rotation left stops at once, so that never more
// than MaxSecrets work.
func (s *Service) RotateKey(ctx context.Context, author string, uid uuid.UUID, overlap time.Duration) (Key, string, int64, error) {
	secret, hash, hint := NewSecret()
	k, revision, err := s.store.UpdateKey(ctx, author, uid, func(k *Key) (bool, error) {
		now := s.now()
		secrets := []Secret{{SHA256: hash}}
		if overlap > 0 && len(k.Secrets) > 0 && k.Secrets[0].ExpireTime.IsZero() {
			secrets = append(secrets, Secret{SHA256: k.Secrets[0].SHA256, ExpireTime: now.Add(overlap).Truncate(time.Microsecond)})
		}
		k.Secrets, k.SecretHint, k.UpdateTime = secrets, hint, now
		return true, nil
	})
	if err != nil {
		return Key{}, "", 0, fmt.Errorf("rotate key: %w", err)
	}
	return s.withUse(k), secret, revision, nil
}

// PreviousSecretExpiry returns when the secret before the last rotation stops
// working, and false when none works beside the current one.
func (k Key) PreviousSecretExpiry(now time.Time) (time.Time, bool) {
	for _, secret := range k.Secrets {
		if !secret.ExpireTime.IsZero() && secret.ExpireTime.After(now) {
			return secret.ExpireTime, true
		}
	}
	return time.Time{}, false
}

// RecordUse notes that a key was used now. It takes no time and touches no database.
func (s *Service) RecordUse(uid uuid.UUID) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.After(s.uses[uid]) {
		s.uses[uid] = now
	}
}

// withUse shows a use that is not yet written.
func (s *Service) withUse(k Key) Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	if used := s.uses[k.UID]; used.After(k.LastUsed) {
		k.LastUsed = used
	}
	return k
}

// Run writes uses of keys and who called until ctx ends, and then once more.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.flush)
	defer ticker.Stop()
	// Who disables a user who has just come must find the user, so newcomers are written
	// soon, and many of them at once.
	newcomer, again := s.newcomer, time.NewTimer(newcomerPause)
	defer again.Stop()
	for {
		select {
		case <-ticker.C:
			s.Flush(ctx)
		case <-newcomer:
			s.flushUsers(ctx)
			newcomer = nil
			again.Reset(newcomerPause)
		case <-again.C:
			newcomer = s.newcomer
		case <-ctx.Done():
			// What was used is worth a moment more.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			s.Flush(ctx)
			return nil
		}
	}
}

// Flush writes the uses and users that were recorded so far. What cannot be written is
// kept for the next time.
func (s *Service) Flush(ctx context.Context) {
	s.flushUses(ctx)
	s.flushUsers(ctx)
}

func (s *Service) flushUses(ctx context.Context) {
	s.mu.Lock()
	uses := s.uses
	s.uses = make(map[uuid.UUID]time.Time, len(uses))
	s.mu.Unlock()
	if len(uses) == 0 {
		return
	}
	err := s.store.RecordUses(ctx, uses)
	if err == nil {
		return
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "last uses of keys not written, trying again",
		slog.Int("keys", len(uses)), slog.Any("error", err))
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, at := range uses {
		if at.After(s.uses[uid]) {
			s.uses[uid] = at
		}
	}
}
