// Package admin keeps the policies and grants of an installation: their versions and
// modes, who wrote them and why. It refuses what cannot be meant, such as a policy after
// which nobody could write another, answers what a policy would do, and tries policies on
// decisions that were recorded. What a policy says is package policy's; who may change
// one is decided by its callers.
package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

// Faults of policies and grants. A resource that the caller may not see is not found.
var (
	ErrPolicyNotFound  = errors.New("no such policy")
	ErrVersionNotFound = errors.New("the policy has no such version")
	ErrGrantNotFound   = errors.New("no such grant")
	ErrGrantExists     = errors.New("a grant of this name exists, or existed: the record names grants by their names, so they are never given out twice")
	ErrReplayNotFound  = errors.New("no such replay")
	ErrEtagMismatch    = errors.New("the etag is old: the resource changed meanwhile")
	// ErrPolicyShipped is a change of a policy that comes with the gateway.
	ErrPolicyShipped = errors.New("the policy comes with the gateway: it can be disabled, but neither changed nor deleted; disable it and write one of your own instead")
	// ErrReplayMismatch is a replay of another text than the one that comes into use.
	ErrReplayMismatch = errors.New("the replay is not of this text in this policy's place: replay the text that comes into use, as the policy that it is for, and name that replay")
	// ErrTooManyReplays says that this replica is at work on others.
	ErrTooManyReplays = errors.New("this replica is at work on other replays; try again when one of them has ended")
	// ErrConfigurationBusy says that this replica could not bring its configuration up to date.
	ErrConfigurationBusy = errors.New("this replica does not have the newest configuration, which the policy is checked against; try again in a moment")
)

// InvalidError says that a value cannot be taken.
type InvalidError struct {
	// Field is the field's path, for example "grant.expire_time".
	Field string
	// Problem says what is wrong, in words for the person who gave the value.
	Problem string
}

// Error returns field and problem.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// UnknownPrincipalError is a grant to, or a question about, somebody who is not there.
type UnknownPrincipalError struct {
	Principal string
	// Problem says what is not there.
	Problem string
}

// Error says who is not known.
func (e *UnknownPrincipalError) Error() string {
	return fmt.Sprintf("%s: %s", e.Principal, e.Problem)
}

// WithoutEffectError is a grant that changes nothing, because policies forbid all that it
// would permit.
type WithoutEffectError struct {
	// Statements are those that forbid it.
	Statements []string
}

// Error names the statements.
func (e *WithoutEffectError) Error() string {
	return "the grant would have no effect: everything that it permits is forbidden by " + strings.Join(e.Statements, ", ")
}

// Policy is a policy with its versions in use.
type Policy struct {
	UID         uuid.UUID // nil for a shipped one that was never changed
	ID          string    // "office" of "policies/office"
	Description string
	// Shipped is a policy that comes with the gateway.
	Shipped bool
	// Mode is that of Current: ENFORCE or DISABLED.
	Mode policy.Mode
	// Current is the version that is in force, or would be were it not disabled; nil for none.
	Current *Version
	// Shadow is the version that is tried beside it; nil for none.
	Shadow *Version
	// LastVersion is the newest version that there ever was.
	LastVersion int64

	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "policies/{policy}".
func (p *Policy) Name() string { return PolicyName(p.ID) }

// PolicyName makes a resource name of a policy's id.
func PolicyName(id string) string { return "policies/" + id }

// Shown is the one mode of a policy: SHADOW when it is only tried.
func (p *Policy) Shown() policy.Mode {
	if p.Current == nil {
		return policy.ModeShadow
	}
	return p.Mode
}

// Policies returns what p stands for in a set.
func (p *Policy) Policies() []policy.Policy {
	var all []policy.Policy
	if p.Current != nil {
		all = append(all, policy.Policy{ID: p.ID, Version: p.Current.Number, Mode: p.Mode, Text: p.Current.Text})
	}
	if p.Shadow != nil {
		all = append(all, policy.Policy{ID: p.ID, Version: p.Shadow.Number, Mode: policy.ModeShadow, Text: p.Shadow.Text})
	}
	return all
}

// clone returns a policy that can be changed without changing p.
func (p *Policy) clone() Policy {
	c := *p
	if p.Current != nil {
		v := *p.Current
		c.Current = &v
	}
	if p.Shadow != nil {
		v := *p.Shadow
		c.Shadow = &v
	}
	return c
}

// Version is what a policy was at some time.
type Version struct {
	Number int64
	Text   string
	// Mode is the one that it was written with.
	Mode    policy.Mode
	Author  string
	Comment string
	// RollbackOf is the version that it brings back; 0 for none.
	RollbackOf int64
	// Replay is the one that was looked at before it came into use; nil for none.
	Replay     uuid.UUID
	CreateTime time.Time
}

// shipped returns the policy of an id as it comes with the gateway.
func shipped(id string) (Policy, bool) {
	all := policy.Shipped()
	i := slices.IndexFunc(all, func(p policy.Policy) bool { return p.ID == id })
	if i < 0 {
		return Policy{}, false
	}
	return shippedPolicy(all[i]), true
}

func shippedPolicy(p policy.Policy) Policy {
	return Policy{
		ID: p.ID, Shipped: true, Mode: policy.ModeEnforce, LastVersion: 1, Description: "comes with the gateway", Etag: "shipped",
		Current: &Version{Number: 1, Text: p.Text, Mode: policy.ModeEnforce, Author: "signalbox", Comment: "comes with the gateway"},
	}
}

// Grant is a grant as it is kept.
type Grant struct {
	policy.Grant
	UID      uuid.UUID
	Disabled bool
	// Team is the id of the team whose agents it is about; empty when they are of several.
	Team        string
	Description string
	Author      string

	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "grants/{grant}".
func (g *Grant) Name() string { return GrantName(g.ID) }

// GrantName makes a resource name of a grant's id.
func GrantName(id string) string { return "grants/" + id }

// IsGrant tells the id of a grant from that of a policy.
func IsGrant(id string) bool { return strings.HasPrefix(id, "g-") }

// ResourceName returns the name of the policy or grant of an id, as it stands in
// decisions.
func ResourceName(id string) string {
	if IsGrant(id) {
		return GrantName(id)
	}
	return PolicyName(id)
}

// Sentence returns a grant in words.
func Sentence(g policy.Grant, disabled bool) string {
	var b strings.Builder
	who := strings.Replace(policy.FormatUID(g.Principal), ":", " ", 1)
	switch g.Principal.Type {
	case policy.TypeTeam:
		who = "everybody in " + who
	case policy.TypeRole:
		who = "whoever holds " + who
	}
	b.WriteString(who + " may ")
	for i, a := range g.Actions {
		switch {
		case i > 0 && i == len(g.Actions)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(a))
	}
	switch of := g.Agents.Of; {
	case of.IsZero():
		b.WriteString(" every agent")
	case of.Type == policy.TypeAgent:
		b.WriteString(" the agent " + string(of.ID))
	case of.Type == policy.TypeTag:
		b.WriteString(" the agents with the tag " + string(of.ID))
	default:
		b.WriteString(" the agents of team " + string(of.ID))
	}
	if g.Via {
		b.WriteString(", also through other agents")
	}
	if !g.Until.IsZero() {
		b.WriteString(", until " + g.Until.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if disabled {
		b.WriteString(" (disabled)")
	}
	return b.String()
}
