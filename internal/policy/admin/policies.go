package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// Draft is a text that a policy is to have.
type Draft struct {
	ID   string
	Text string
	// Mode is what the text does; empty means ENFORCE.
	Mode policy.Mode
	// Description is nil to leave it as it is.
	Description *string
	Comment     string
	// Replay is the one of this text that was looked at before; nil for none.
	Replay uuid.UUID
	// Etag, when not empty, must be the stored one.
	Etag string
	// ValidateOnly changes nothing.
	ValidateOnly bool
}

// errValidated ends a write that was only to be checked.
var errValidated = errors.New("nothing was to be written")

// Apply makes a policy or its next version, unless the policy is that already. It returns
// the policy before, nil for none, and after, with the revision.
func (s *Service) Apply(ctx context.Context, caller *identity.Principal, d Draft) (before *Policy, after Policy, revision int64, err error) {
	if d.Mode == "" {
		d.Mode = policy.ModeEnforce
	}
	if d.Description != nil {
		err = checkText("description", *d.Description)
	}
	if err = errors.Join(err, checkText("comment", d.Comment)); err != nil {
		return nil, Policy{}, 0, err
	}
	switch _, ours := shipped(d.ID); {
	case ours:
		return nil, Policy{}, 0, fmt.Errorf("apply policy %s: %w", d.ID, ErrPolicyShipped)
	case IsGrant(d.ID), d.ID == policy.RuleSchema:
		// Decisions name policies, grants and the schema side by side.
		return nil, Policy{}, 0, &InvalidError{Field: "policy_id", Problem: `it must not begin with "g-", as grants do, nor be "schema"`}
	case strings.ContainsRune(d.Text, 0):
		return nil, Policy{}, 0, &InvalidError{Field: "text", Problem: "has a NUL character"}
	}
	if err := compiles(policy.Policy{ID: d.ID, Mode: d.Mode, Text: d.Text}); err != nil {
		return nil, Policy{}, 0, err
	}
	replay, err := s.replayOf(ctx, d.Replay)
	if err != nil {
		return nil, Policy{}, 0, err
	}
	check := s.guarded(ctx, caller)
	var checkedOnly Policy
	after, revision, err = s.store.EditPolicy(ctx, caller.Name, d.Comment, d.ID, func(p *Policy, next int64) (bool, error) {
		before = nil
		if p.UID != uuid.Nil {
			was := p.clone()
			before = &was
		}
		if d.Etag != "" && d.Etag != p.Etag {
			return false, ErrEtagMismatch
		}
		if replay != nil && !replay.triedAs(p, d.ID, d.Text) {
			return false, ErrReplayMismatch
		}
		changed := s.apply(p, caller.Name, d)
		if err := check(next, p.Policies(), removals(p.ID)); err != nil {
			return false, err
		}
		if d.ValidateOnly {
			checkedOnly = p.clone()
			return false, errValidated
		}
		return changed, nil
	})
	if errors.Is(err, errValidated) {
		return before, checkedOnly, 0, nil
	}
	if err != nil {
		return nil, Policy{}, 0, fmt.Errorf("apply policy %s: %w", d.ID, err)
	}
	return before, after, revision, nil
}

// compiles refuses a text with mistakes, as a [*policy.MistakesError].
func compiles(p policy.Policy) error {
	if mistakes := policy.Check(p); len(mistakes) > 0 {
		return &policy.MistakesError{Mistakes: mistakes}
	}
	return nil
}

// apply puts a draft into a policy and tells whether that changes it.
func (s *Service) apply(p *Policy, author string, d Draft) bool {
	changed := p.UID == uuid.Nil
	if changed {
		p.UID, p.ID, p.Mode, p.CreateTime = uuid.New(), d.ID, policy.ModeEnforce, s.now()
	}
	if d.Description != nil && *d.Description != p.Description {
		p.Description, changed = *d.Description, true
	}
	has := func(v *Version) bool { return v != nil && v.Text == d.Text }
	switch {
	case d.Mode == policy.ModeShadow && has(p.Shadow):
		// It is tried already.
	case d.Mode == policy.ModeShadow:
		p.Shadow = s.version(p, author, d)
		changed = true
	case has(p.Shadow):
		changed = p.promote(d.Mode, d.Replay) || changed
	case has(p.Current):
		changed = p.set(d.Mode, d.Replay) || changed
	default:
		p.Current, p.Mode, p.Shadow = s.version(p, author, d), d.Mode, nil
		changed = true
	}
	if changed {
		p.UpdateTime = s.now()
	}
	return changed
}

// version makes the next version of a policy.
func (s *Service) version(p *Policy, author string, d Draft) *Version {
	p.LastVersion++
	return &Version{
		Number: p.LastVersion, Text: d.Text, Mode: d.Mode, Author: author, Comment: d.Comment, Replay: d.Replay, CreateTime: s.now(),
	}
}

// promote makes the version that was tried the current one.
func (p *Policy) promote(mode policy.Mode, replay uuid.UUID) bool {
	p.Current, p.Shadow, p.Mode = p.Shadow, nil, mode
	if replay != uuid.Nil {
		p.Current.Replay = replay
	}
	return true
}

// set gives the current version a mode; nothing is tried beside it any more.
func (p *Policy) set(mode policy.Mode, replay uuid.UUID) bool {
	changed := p.Mode != mode || p.Shadow != nil
	p.Mode, p.Shadow = mode, nil
	if replay != uuid.Nil && p.Current.Replay != replay {
		p.Current.Replay, changed = replay, true
	}
	return changed
}

// removals take a policy and its shadow out of a set.
func removals(id string) []policy.Removal {
	return []policy.Removal{{ID: id}, {ID: id, Shadow: true}}
}

// replayOf returns the replay that a write names, nil for none.
func (s *Service) replayOf(ctx context.Context, id uuid.UUID) (*Replay, error) {
	if id == uuid.Nil {
		return nil, nil
	}
	r, err := s.store.Replay(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("look for replay %s: %w", id, err)
	}
	return &r, nil
}

// triedAs tells whether a replay is of a text in the place that it is to have: that of a
// policy of an id, or besides all others while the policy has no version in force.
func (r *Replay) triedAs(was *Policy, id, text string) bool {
	inForce := was.Current != nil && was.Mode == policy.ModeEnforce
	return r.Mode == policy.ModeEnforce && (r.Policy == id || r.Policy == "" && !inForce) && r.DraftSHA256 == sha256.Sum256([]byte(text))
}

// checkText refuses control characters but line breaks: Postgres takes no NUL, and
// terminals obey escapes.
func checkText(field, text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return &InvalidError{Field: field, Problem: "has a control character"}
	}
	return nil
}

// Policy returns the policy of an id, also one that comes with the gateway, or
// ErrPolicyNotFound.
func (s *Service) Policy(ctx context.Context, id string) (Policy, error) {
	p, err := s.store.Policy(ctx, id)
	if errors.Is(err, ErrPolicyNotFound) {
		if p, ok := shipped(id); ok {
			return p, nil
		}
	}
	if err != nil {
		return Policy{}, fmt.Errorf("get policy %s: %w", id, err)
	}
	return withText(p), nil
}

// withText gives a shipped policy the text that this program has of it.
func withText(p Policy) Policy {
	if !p.Shipped {
		return p
	}
	if own, ok := shipped(p.ID); ok {
		if p.Current != nil {
			own.Current.Replay = p.Current.Replay
		}
		p.Current, p.LastVersion = own.Current, own.LastVersion
	}
	return p
}

// Policies returns at most limit policies after an id, those that come with the gateway
// too, and whether there are more.
func (s *Service) Policies(ctx context.Context, after string, limit int) ([]Policy, bool, error) {
	all, err := s.store.Policies(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("list policies: %w", err)
	}
	for i := range all {
		all[i] = withText(all[i])
	}
	for _, own := range policy.Shipped() {
		if !slices.ContainsFunc(all, func(p Policy) bool { return p.ID == own.ID }) {
			all = append(all, shippedPolicy(own))
		}
	}
	all = slices.DeleteFunc(all, func(p Policy) bool { return p.ID <= after })
	slices.SortFunc(all, func(a, b Policy) int { return strings.Compare(a.ID, b.ID) })
	if len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, nil
}

// PolicyUpdate says what to change of a policy; nil leaves a field as it is.
type PolicyUpdate struct {
	Description *string
	// Mode brings the version that is tried into force when it is ENFORCE.
	Mode *policy.Mode
	// DiscardShadow ends the trial of a version.
	DiscardShadow bool
	// Replay is the one that was looked at before, of the text that comes into force.
	Replay uuid.UUID
	// Etag, when not empty, must be the stored one.
	Etag string
}

// UpdatePolicy changes the mode or the description of a policy.
func (s *Service) UpdatePolicy(ctx context.Context, caller *identity.Principal, id string, u PolicyUpdate) (Policy, int64, error) {
	if u.Description != nil {
		if err := checkText("policy.description", *u.Description); err != nil {
			return Policy{}, 0, err
		}
	}
	replay, err := s.replayOf(ctx, u.Replay)
	if err != nil {
		return Policy{}, 0, err
	}
	p, revision, err := s.change(ctx, caller, "", id, u.Etag, func(p *Policy) (bool, error) {
		was := p.clone()
		changed, err := u.update(p)
		if err != nil {
			return false, err
		}
		if replay != nil && !u.fits(replay, &was, p) {
			return false, ErrReplayMismatch
		}
		return changed, nil
	})
	if err != nil {
		return Policy{}, 0, fmt.Errorf("update policy %s: %w", id, err)
	}
	return p, revision, nil
}

// fits tells whether a replay is of what the update does: of the text that comes into
// force, or of the absence of a policy that is disabled.
func (u PolicyUpdate) fits(r *Replay, was, is *Policy) bool {
	if u.Mode != nil && *u.Mode == policy.ModeDisabled {
		return r.Mode == policy.ModeDisabled && r.Policy == is.ID
	}
	return is.Current != nil && r.triedAs(was, is.ID, is.Current.Text)
}

func (u PolicyUpdate) update(p *Policy) (changed bool, err error) {
	if u.Description != nil && *u.Description != p.Description {
		if p.Shipped {
			return false, ErrPolicyShipped
		}
		p.Description, changed = *u.Description, true
	}
	if u.DiscardShadow && p.Shadow != nil {
		if p.Current == nil {
			return false, &InvalidError{Field: "policy.shadow_version", Problem: "the policy has no other version; disable or delete it"}
		}
		p.Shadow, changed = nil, true
	}
	if u.Mode == nil {
		return changed, nil
	}
	switch mode := *u.Mode; {
	case mode == policy.ModeShadow && p.Shipped:
		return false, ErrPolicyShipped
	case mode == policy.ModeShadow:
		if p.Current != nil {
			if p.Shadow == nil {
				p.Shadow = p.Current
			}
			p.Current, p.Mode, changed = nil, policy.ModeEnforce, true
		}
	case p.Current == nil, mode == policy.ModeEnforce && p.Shadow != nil:
		changed = p.promote(mode, u.Replay) || changed
	default:
		changed = p.set(mode, u.Replay) || changed
	}
	return changed, nil
}

// change edits a policy that is there, and must not lock the last admin out.
func (s *Service) change(
	ctx context.Context, caller *identity.Principal, reason, id, etag string, edit func(p *Policy) (bool, error),
) (after Policy, revision int64, err error) {
	check := s.guarded(ctx, caller)
	after, revision, err = s.store.EditPolicy(ctx, caller.Name, reason, id, func(p *Policy, next int64) (bool, error) {
		if p.UID == uuid.Nil {
			own, ok := shipped(id)
			if !ok {
				return false, ErrPolicyNotFound
			}
			*p = own
		}
		*p = withText(*p)
		if etag != "" && etag != p.Etag {
			return false, ErrEtagMismatch
		}
		changed, err := edit(p)
		if err != nil || !changed {
			return false, err
		}
		p.UpdateTime = s.now()
		if p.UID == uuid.Nil { // a shipped one gets a row with its first change
			p.UID, p.CreateTime = uuid.New(), p.UpdateTime
		}
		return true, check(next, p.Policies(), removals(id))
	})
	return withText(after), revision, err
}

// Rollback makes a new version of a policy with the text of an old one, and brings it
// into force.
func (s *Service) Rollback(ctx context.Context, caller *identity.Principal, id string, version int64, comment, etag string) (Policy, int64, error) {
	fail := func(err error) (Policy, int64, error) {
		return Policy{}, 0, fmt.Errorf("roll policy %s back: %w", id, err)
	}
	if err := checkText("comment", comment); err != nil {
		return Policy{}, 0, err
	}
	if _, ok := shipped(id); ok {
		return fail(ErrPolicyShipped)
	}
	p, err := s.store.Policy(ctx, id)
	if err != nil {
		return fail(err)
	}
	old, err := s.store.Versions(ctx, p.UID, version+1, 1)
	if err != nil {
		return fail(err)
	}
	if len(old) == 0 || old[0].Number != version {
		return fail(ErrVersionNotFound)
	}
	// The schema may have changed since.
	if err := compiles(policy.Policy{ID: id, Mode: policy.ModeEnforce, Text: old[0].Text}); err != nil {
		return fail(err)
	}
	after, revision, err := s.change(ctx, caller, comment, id, etag, func(now *Policy) (bool, error) {
		if now.UID != p.UID {
			return false, ErrPolicyNotFound // it was deleted and made anew
		}
		v := s.version(now, caller.Name, Draft{Text: old[0].Text, Mode: policy.ModeEnforce, Comment: comment})
		v.RollbackOf = version
		now.Current, now.Mode, now.Shadow = v, policy.ModeEnforce, nil
		return true, nil
	})
	if err != nil {
		return fail(err)
	}
	return after, revision, nil
}

// DeletePolicy removes a policy.
func (s *Service) DeletePolicy(ctx context.Context, caller *identity.Principal, id, etag string) (revision int64, err error) {
	if _, ok := shipped(id); ok {
		return 0, fmt.Errorf("delete policy %s: %w", id, ErrPolicyShipped)
	}
	check := s.guarded(ctx, caller)
	revision, err = s.store.DeletePolicy(ctx, caller.Name, id, func(p Policy, next int64) error {
		if etag != "" && etag != p.Etag {
			return ErrEtagMismatch
		}
		return check(next, nil, removals(id))
	})
	if err != nil {
		return 0, fmt.Errorf("delete policy %s: %w", id, err)
	}
	return revision, nil
}

// VersionDiff is a version with what differs from the one before.
type VersionDiff struct {
	Version
	// Diff is a unified diff.
	Diff string
	// Now is what the version does; empty when it is not in use.
	Now policy.Mode
}

// Versions returns at most limit versions of a policy below a number, the newest first, 0
// for all, and whether there are more.
func (s *Service) Versions(ctx context.Context, p *Policy, before int64, limit int) ([]VersionDiff, bool, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	var all []Version
	if p.Shipped {
		if before > p.Current.Number {
			all = []Version{*p.Current}
		}
	} else {
		var err error
		// One more tells whether there is a next page, and is what the last one differs from.
		if all, err = s.store.Versions(ctx, p.UID, before, limit+1); err != nil {
			return nil, false, fmt.Errorf("list versions of policy %s: %w", p.ID, err)
		}
	}
	shown := all[:min(limit, len(all))]
	out := make([]VersionDiff, len(shown))
	for i, v := range shown {
		out[i] = VersionDiff{Version: v}
		was, name := "", "/dev/null"
		if i+1 < len(all) {
			was, name = all[i+1].Text, VersionName(p.ID, all[i+1].Number)
		}
		out[i].Diff = unifiedDiff(name, VersionName(p.ID, v.Number), was, v.Text)
		switch {
		case p.Current != nil && p.Current.Number == v.Number:
			out[i].Now = p.Mode
		case p.Shadow != nil && p.Shadow.Number == v.Number:
			out[i].Now = policy.ModeShadow
		}
	}
	return out, len(all) > limit, nil
}

// VersionName returns the resource name of a version.
func VersionName(id string, number int64) string {
	return PolicyName(id) + "/versions/" + strconv.FormatInt(number, 10)
}
