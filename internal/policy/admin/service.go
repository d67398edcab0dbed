package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// DefaultMaxReplays is the number of replays that a replica works on at one time.
const DefaultMaxReplays = 2

// maxExplained is the number of recorded decisions that a replica explains at one time; the
// others wait. Each one reads the configuration of its revision.
const maxExplained = 2

// syncTimeout bounds how long a check waits for the newest configuration.
const syncTimeout = 2 * time.Second

// Config says what a Service is made of.
type Config struct {
	// Store, Decisions, Snapshot and Sync are required.
	Store     Store
	Decisions Decisions
	// Snapshot returns the configuration that this replica serves from.
	Snapshot func() *snapshot.Snapshot
	// Sync waits until Snapshot shows a revision or a later one.
	Sync func(ctx context.Context, revision int64) error
	// MaxReplays is the number of replays at one time; 0 means DefaultMaxReplays.
	MaxReplays int
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets replays that could not be kept; nil discards.
	Logger *slog.Logger
}

// Service manages policies and grants. Who may do so is decided by its callers.
type Service struct {
	store     Store
	decisions Decisions
	snapshot  func() *snapshot.Snapshot
	sync      func(ctx context.Context, revision int64) error
	clock     clock.Clock
	log       *slog.Logger
	// replays lets only so many replays work at one time; the others are refused.
	replays *semaphore.Weighted
	// ofTeams does so for those of some teams, one less: who may replay everything is not
	// kept waiting by every team.
	ofTeams *semaphore.Weighted
	// explained does the same for recorded decisions, which wait.
	explained *semaphore.Weighted
}

// New returns a Service.
func New(cfg Config) (*Service, error) {
	var faults []error
	required := func(ok bool, field string) {
		if !ok {
			faults = append(faults, fmt.Errorf("admin: Config.%s is required", field))
		}
	}
	required(cfg.Store != nil, "Store")
	required(cfg.Decisions != nil, "Decisions")
	required(cfg.Snapshot != nil, "Snapshot")
	required(cfg.Sync != nil, "Sync")
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if cfg.MaxReplays == 0 {
		cfg.MaxReplays = DefaultMaxReplays
	}
	s := &Service{
		store: cfg.Store, decisions: cfg.Decisions, snapshot: cfg.Snapshot, sync: cfg.Sync, clock: cfg.Clock, log: cfg.Logger,
		replays: semaphore.NewWeighted(int64(cfg.MaxReplays)), ofTeams: semaphore.NewWeighted(int64(max(cfg.MaxReplays-1, 1))), explained: semaphore.NewWeighted(maxExplained),
	}
	if s.clock == nil {
		s.clock = clock.System{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// now is the time as Postgres can keep it.
func (s *Service) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// checked is a check of a change of policies against the configuration that the change is
// made on top of: revision is the one that the change would make.
type checked func(revision int64, changed []policy.Policy, removed []policy.Removal) error

// guarded is the check of a write that must not lock the last admin out. The write calls it
// in its transaction, which keeps others from writing: so the configuration that the change
// is made on top of is one that this replica has in a moment, and stays the newest.
func (s *Service) guarded(ctx context.Context, caller *identity.Principal) checked {
	return func(revision int64, changed []policy.Policy, removed []policy.Removal) error {
		wait, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		if err := s.sync(wait, revision-1); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return ErrConfigurationBusy
		}
		snap := s.snapshot()
		if snap.Revision() != revision-1 {
			return ErrConfigurationBusy // the database was set back a moment ago
		}
		return s.lockout(snap, caller, changed, removed)
	}
}

// lockout refuses policies that do not compile and those after which nobody could
// administer the installation any more.
func (s *Service) lockout(snap *snapshot.Snapshot, caller *identity.Principal, changed []policy.Policy, removed []policy.Removal) error {
	after, err := snap.Policies().With(changed, removed)
	if err != nil {
		return err
	}
	now, entities := s.clock.Now(), withCaller(snap, caller)
	return policy.LastAdminLockedOut(
		policy.World{Set: snap.Policies(), Entities: entities}, policy.World{Set: after, Entities: entities}, Admins(snap, caller, now), now)
}

// callerEntities are those of a snapshot and the caller as its token says.
type callerEntities struct {
	policy.Entities
	caller policy.Entity
}

// Entity implements [policy.Entities].
func (e callerEntities) Entity(uid policy.UID) (policy.Entity, bool) {
	if uid == e.caller.UID {
		return e.caller, true
	}
	return e.Entities.Entity(uid)
}

// withCaller adds what the token of the caller gives: an admin by its token counts as one.
func withCaller(snap *snapshot.Snapshot, caller *identity.Principal) policy.Entities {
	claims := snap.Claims(caller)
	if claims.Empty() {
		return snap.Entities()
	}
	roles := make([]policy.UID, 0, len(claims.Roles))
	for _, r := range slices.Concat(claims.Roles, snap.Roles(caller.UID)) {
		roles = append(roles, policy.Role(r.Role).UID(r.Team))
	}
	return callerEntities{
		Entities: snap.Entities(), caller: policy.UserEntity(caller.Name, caller.Claims.Issuer, false, claims.Teams, roles...),
	}
}

// Admins returns who may be able to administer the installation: the admin key when there
// is one, whoever was given the role everywhere and can still call, and the caller, who
// may be an admin by its token or by policies alone.
func Admins(snap *snapshot.Snapshot, caller *identity.Principal, now time.Time) []policy.UID {
	var admins []policy.UID
	agents := map[uuid.UUID]bool{}
	add := func(p *identity.Principal) {
		if uid := snapshot.PrincipalUID(p); !slices.Contains(admins, uid) && snap.Confirm(p, now, 0) == nil {
			admins = append(admins, uid)
		}
	}
	if snap.Admins() > 0 {
		admin := identity.Admin()
		add(&admin)
	}
	if caller != nil && caller.Kind != identity.KindAnonymous {
		add(caller)
	}
	snap.EachRole(func(uid uuid.UUID, roles []identity.RoleIn) bool {
		if !slices.Contains(roles, identity.RoleIn{Role: string(policy.RoleNameAdmin)}) {
			return true
		}
		if key, ok := snap.KeyByUID(uid); ok {
			p := key.Principal()
			add(&p)
		}
		if user, ok := snap.UserByUID(uid); ok {
			// With a token that its issuer would give it now.
			token := &identity.Claims{Issuer: user.Issuer, Expires: now.Add(time.Minute)}
			add(&identity.Principal{Kind: identity.KindUser, UID: user.UID, Name: user.Name(), Claims: token})
		}
		if _, ok := snap.AgentByUID(uid); ok {
			agents[uid] = true
		}
		return true
	})
	if len(agents) > 0 { // which call with keys only
		snap.EachKey(func(key *identity.Key) bool {
			if agents[key.AgentUID] {
				p := key.Principal()
				add(&p)
			}
			return true
		})
	}
	// The order of a map must not reach what a refusal says.
	slices.SortFunc(admins, func(a, b policy.UID) int { return strings.Compare(policy.FormatUID(a), policy.FormatUID(b)) })
	return slices.Compact(admins)
}
