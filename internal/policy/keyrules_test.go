package policy_test

import (
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// What keys may do that were given no role is said here once more, in Go: the shipped
// policies must come to the same.

func key(team string) identity.Principal {
	return identity.Principal{Kind: identity.KindKey, UID: uuid.New(), Name: identity.KeyName(team, "k"), Team: team}
}

// resourceKind tells what a resource is.
type resourceKind string

// The kinds of resources.
const (
	kindAgent resourceKind = "agent"
	kindTeam  resourceKind = "team"
	kindKey   resourceKind = "key"
	kindEvent resourceKind = "event"
)

// resource is what an action is done to, with the attributes that rules look at.
type resource struct {
	Kind resourceKind
	// Name is the resource name, for the record alone.
	Name string
	// Team is the id of the team that owns the resource. For an event it is the
	// team of the caller of the recorded call.
	Team string
	// Visibility is set for agents.
	Visibility registry.Visibility
}

// keyRequest is one question.
type keyRequest struct {
	Principal identity.Principal
	Action    policy.Action
	Resource  resource
}

// keyDecision is the answer. Its zero value is a denial.
type keyDecision struct {
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

// decideByRules answers a question. What no rule permits is denied. What a principal may
// invoke it may discover, and the reverse, but for the card of a PUBLIC agent,
// which everybody may read.
func decideByRules(r keyRequest) keyDecision {
	p, res := r.Principal, r.Resource
	if p.Kind == identity.KindAdmin {
		return keyDecision{Permit: true, Rules: byAdmin}
	}
	ownTeam := p.Kind == identity.KindKey && p.Team != "" && p.Team == res.Team
	switch {
	case res.Kind == kindAgent && (r.Action == policy.Invoke || r.Action == policy.Discover):
		visible := p.Kind == identity.KindKey &&
			(res.Visibility == registry.VisibilityOrganization || res.Visibility == registry.VisibilityPublic)
		switch {
		case ownTeam && visible:
			return keyDecision{Permit: true, Rules: byOwnTeamVisible}
		case ownTeam:
			return keyDecision{Permit: true, Rules: byOwnTeam}
		case visible:
			return keyDecision{Permit: true, Rules: byVisible}
		case r.Action == policy.Discover && res.Visibility == registry.VisibilityPublic:
			return keyDecision{Permit: true, Rules: byPublicCard}
		}
	case res.Kind == kindAgent && ownTeam:
		return keyDecision{Permit: true, Rules: byOwnTeam}
	case ownTeam && r.Action == policy.Read:
		return keyDecision{Permit: true, Rules: byOwnTeamRead}
	}
	return keyDecision{}
}
