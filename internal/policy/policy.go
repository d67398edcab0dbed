// Package policy is the one place that decides who may do what. Both planes ask it
// for calls, cards, lists and administration alike; it reads no database and knows
// no protocol.
package policy

import (
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// Action is what a principal wants to do.
type Action string

// The actions of the data plane, then those of the management plane.
const (
	// Discover is to see an agent in lists and read its card.
	Discover Action = "discover"
	// Invoke is to call any method of an agent.
	Invoke Action = "invoke"
	// Read is to read a resource through the management plane.
	Read Action = "read"
	// Write is to create, change or delete a resource through the management plane.
	Write Action = "write"
)

// ResourceKind tells what a resource is.
type ResourceKind string

// The kinds of resources.
const (
	KindAgent ResourceKind = "agent"
	KindTeam  ResourceKind = "team"
	KindKey   ResourceKind = "key"
	KindEvent ResourceKind = "event"
)

// Resource is what an action is done to, with the attributes that rules look at.
type Resource struct {
	Kind ResourceKind
	// Name is the resource name, for the record alone.
	Name string
	// Team is the id of the team that owns the resource. For an event it is the
	// team of the caller of the recorded call.
	Team string
	// Visibility is set for agents.
	Visibility registry.Visibility
}

// Request is one question.
type Request struct {
	Principal identity.Principal
	Action    Action
	Resource  Resource
}

// Decision is the answer. Its zero value is a denial.
type Decision struct {
	Permit bool
	// Rules names the rules that permitted, in a fixed order; empty on a denial.
	Rules []string
}

// Names of the built-in rules, as they stand in decisions.
const (
	RuleAdmin       = "admin"
	RuleOwnTeam     = "own-team"
	RuleVisible     = "visible-agent"
	RulePublicCard  = "public-card"
	RuleOwnTeamRead = "own-team-read"
)

// One backing array for each set of rules, so that deciding allocates nothing.
var (
	byAdmin          = []string{RuleAdmin}
	byOwnTeam        = []string{RuleOwnTeam}
	byVisible        = []string{RuleVisible}
	byOwnTeamVisible = []string{RuleOwnTeam, RuleVisible}
	byPublicCard     = []string{RulePublicCard}
	byOwnTeamRead    = []string{RuleOwnTeamRead}
)

// Decide answers a question. What no rule permits is denied. What a principal may
// invoke it may discover, and the reverse, but for the card of a PUBLIC agent,
// which everybody may read.
func Decide(r Request) Decision {
	p, res := r.Principal, r.Resource
	if p.Kind == identity.KindAdmin {
		return Decision{Permit: true, Rules: byAdmin}
	}
	ownTeam := p.Kind == identity.KindKey && p.Team != "" && p.Team == res.Team
	switch {
	case res.Kind == KindAgent && (r.Action == Invoke || r.Action == Discover):
		visible := p.Kind == identity.KindKey &&
			(res.Visibility == registry.VisibilityOrganization || res.Visibility == registry.VisibilityPublic)
		switch {
		case ownTeam && visible:
			return Decision{Permit: true, Rules: byOwnTeamVisible}
		case ownTeam:
			return Decision{Permit: true, Rules: byOwnTeam}
		case visible:
			return Decision{Permit: true, Rules: byVisible}
		case r.Action == Discover && res.Visibility == registry.VisibilityPublic:
			return Decision{Permit: true, Rules: byPublicCard}
		}
	case res.Kind == KindAgent && ownTeam:
		return Decision{Permit: true, Rules: byOwnTeam}
	case ownTeam && r.Action == Read:
		return Decision{Permit: true, Rules: byOwnTeamRead}
	}
	return Decision{}
}
