package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// GrantDraft is what a new grant is made of.
type GrantDraft struct {
	ID        string // empty means the next number
	Principal policy.UID
	Agents    policy.Selector
	Actions   []policy.Action
	Until     time.Time
	// Via is nil for what is usual: grants of calls give both.
	Via         *bool
	Disabled    bool
	Description string
	// AllowWithoutEffect takes the grant even when policies forbid all that it permits.
	AllowWithoutEffect bool
}

// ParsePrincipal reads the short form of who can be given something.
func ParsePrincipal(text string) (policy.UID, error) {
	uid, err := policy.ParseUID(text)
	if err != nil || hasControl(text) {
		return policy.UID{}, &InvalidError{Field: "grant.principal", Problem: `it is of the form "team:research", "key:teams/research/keys/ci", "user:users/okta~ada", "agent:planner" or "role:auditor"`}
	}
	return uid, nil
}

// ParseSelector reads which agents a grant is about.
func ParseSelector(text string) (policy.Selector, error) {
	of, err := policy.ParseSelector(text)
	if err != nil || hasControl(text) {
		return policy.Selector{}, &InvalidError{Field: "grant.agents", Problem: `it is "agent:planner", "tag:internal", "team:research" or "all"`}
	}
	return of, nil
}

// hasControl tells whether there are control characters in a text, which no name has.
func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// CreateGrant makes a grant. It returns what should be known about it, too.
func (s *Service) CreateGrant(ctx context.Context, caller *identity.Principal, d GrantDraft) (Grant, []string, int64, error) {
	now := s.now()
	calls := slices.ContainsFunc(d.Actions, func(a policy.Action) bool { return a != policy.Discover && policy.Invoke.Includes(a) })
	g := Grant{
		UID: uuid.New(), Disabled: d.Disabled, Description: d.Description, Author: caller.Name, CreateTime: now, UpdateTime: now,
		Grant: policy.Grant{
			ID: d.ID, Principal: d.Principal, Agents: d.Agents, Actions: d.Actions, Until: d.Until.UTC().Truncate(time.Millisecond), Via: calls,
		},
	}
	if d.Until.IsZero() {
		g.Until = time.Time{}
	}
	if d.Via != nil {
		g.Via = *d.Via
	}
	if err := errors.Join(checkText("grant.description", d.Description), s.checkGrant(&g, now)); err != nil {
		return Grant{}, nil, 0, err
	}
	snap := s.snapshot()
	var warnings []string
	stored, revision, err := s.store.CreateGrant(ctx, caller.Name, g, func(known Subjects) error {
		warnings = nil
		switch {
		case known.Principal:
		case g.Principal.Type == policy.TypeUser && known.Issuer:
			warnings = append(warnings, string(g.Principal.ID)+" has not been seen yet; the grant has effect once a token of that subject comes")
		default:
			return unknownPrincipal(g.Principal)
		}
		if !known.Agents {
			if g.Agents.Of.Type == policy.TypeTeam {
				return identity.ErrTeamNotFound
			}
			return registry.ErrAgentNotFound
		}
		if against := snap.Policies().Contradictions(snap.Entities(), g.Grant); len(against) > 0 && !d.AllowWithoutEffect {
			return &WithoutEffectError{Statements: against}
		}
		return nil
	})
	if err != nil {
		return Grant{}, nil, 0, fmt.Errorf("create grant: %w", err)
	}
	return stored, warnings, revision, nil
}

func unknownPrincipal(uid policy.UID) error {
	problem := "there is no such principal"
	switch uid.Type {
	case policy.TypeTeam:
		problem = "there is no such team"
	case policy.TypeKey:
		problem = "there is no such key"
	case policy.TypeUser:
		problem = "there is no such user, and no issuer of that name"
	case policy.TypeAgent:
		problem = "there is no such agent"
	case policy.TypeRole:
		problem = "there is no such role, or no such team"
	}
	return &UnknownPrincipalError{Principal: policy.FormatUID(uid), Problem: problem}
}

// checkGrant refuses what cannot be meant.
func (s *Service) checkGrant(g *Grant, now time.Time) error {
	check := g.Grant
	if check.ID == "" {
		check.ID = "g-0" // the store gives it a number
	}
	if err := check.Validate(now); err != nil {
		return &InvalidError{Field: "grant", Problem: strings.ReplaceAll(withoutSentinel(err, policy.ErrBadGrant), "\n", "; ")}
	}
	if g.Principal == policy.AdminKeyUID {
		return &InvalidError{Field: "grant.principal", Problem: "the admin key may do everything already"}
	}
	if role := g.Principal; role.Type == policy.TypeRole {
		if err := checkRole(string(role.ID)); err != nil {
			return err
		}
	}
	if len(g.Actions) == 1 && g.Actions[0] == policy.Discover {
		return &InvalidError{Field: "grant.actions", Problem: "discover alone shows nothing: what may not be called may not be seen; give invoke, or single operations, which bring discover along"}
	}
	return nil
}

// withoutSentinel is a joined error's text without the text of a sentinel before each part.
func withoutSentinel(err, sentinel error) string {
	return strings.ReplaceAll(err.Error(), sentinel.Error()+": ", "")
}

// checkRole refuses roles that nobody can hold. Whether the team exists is the store's to
// know.
func checkRole(id string) error {
	team, name, inTeam := strings.Cut(id, "/")
	if !inTeam {
		team, name = "", id
	}
	role := policy.Role(name)
	if role == policy.RoleNameTeamKey && !inTeam {
		return nil
	}
	if team == "*" && slices.Contains(policy.Roles(), role) {
		return nil
	}
	if err := role.Assignable(inTeam); err != nil {
		return &UnknownPrincipalError{Principal: "role:" + id, Problem: withoutSentinel(err, policy.ErrBadRole)}
	}
	return nil
}

// Grant returns the grant of an id, or ErrGrantNotFound.
func (s *Service) Grant(ctx context.Context, id string) (Grant, error) {
	g, err := s.store.Grant(ctx, id)
	if err != nil {
		return Grant{}, fmt.Errorf("get grant %s: %w", id, err)
	}
	return g, nil
}

// Grants returns a page of grants and whether there are more.
func (s *Service) Grants(ctx context.Context, q GrantQuery) ([]Grant, bool, error) {
	if hasControl(q.Principal) || hasControl(q.Agents) {
		return nil, false, nil // nothing is named so
	}
	limit := q.Limit
	q.Limit++ // one more than asked for tells whether there is a next page
	grants, err := s.store.Grants(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list grants: %w", err)
	}
	if len(grants) > limit {
		return grants[:limit], true, nil
	}
	return grants, false, nil
}

// GrantUpdate says what to change of a grant; nil leaves a field as it is.
type GrantUpdate struct {
	Until       *time.Time // the zero time means never
	Disabled    *bool
	Description *string
	// Etag, when not empty, must be the stored one.
	Etag string
}

// UpdateGrant changes a grant.
func (s *Service) UpdateGrant(ctx context.Context, caller *identity.Principal, uid uuid.UUID, u GrantUpdate) (Grant, int64, error) {
	g, revision, err := s.store.UpdateGrant(ctx, caller.Name, uid, func(g *Grant) (bool, error) {
		now, changed := s.now(), false
		if u.Etag != "" && u.Etag != g.Etag {
			return false, ErrEtagMismatch
		}
		if u.Until != nil {
			until := *u.Until
			if !until.IsZero() {
				until = until.UTC().Truncate(time.Millisecond)
			}
			if !until.Equal(g.Until) {
				g.Until, changed = until, true
				if err := s.checkGrant(g, now); err != nil {
					return false, err
				}
			}
		}
		if u.Disabled != nil && *u.Disabled != g.Disabled {
			g.Disabled, changed = *u.Disabled, true
		}
		if u.Description != nil && *u.Description != g.Description {
			if err := checkText("grant.description", *u.Description); err != nil {
				return false, err
			}
			g.Description, changed = *u.Description, true
		}
		if changed {
			g.UpdateTime = now
		}
		return changed, nil
	})
	if err != nil {
		return Grant{}, 0, fmt.Errorf("update grant: %w", err)
	}
	return g, revision, nil
}

// DeleteGrant takes a grant away; an etag that is not empty must be the stored one.
func (s *Service) DeleteGrant(ctx context.Context, caller *identity.Principal, uid uuid.UUID, etag string) (int64, error) {
	revision, err := s.store.DeleteGrant(ctx, caller.Name, uid, func(g Grant) error {
		if etag != "" && etag != g.Etag {
			return ErrEtagMismatch
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete grant: %w", err)
	}
	return revision, nil
}
