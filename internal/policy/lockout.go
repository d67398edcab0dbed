package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// World is policies with the entities that they are about.
type World struct {
	Set      *Set
	Entities Entities
}

// ErrLockedOut is a change after which nobody could undo it.
var ErrLockedOut = errors.New("nobody could administer the installation any more")

// essential are the actions that someone must be able to do, because with them
// everything else can be given.
func essential() []Action {
	return []Action{ApplyPolicy, CreatePolicy, CreateGrant, CreateIssuer, CreateTeam}
}

// LastAdminLockedOut returns an error, which wraps [ErrLockedOut], when some of the
// admins could administer the installation before a change and none could after it.
// Only what does not depend on where and how an admin calls counts: a right that rests
// on an address or a time of day is no way back.
func LastAdminLockedOut(before, after World, admins []UID, now time.Time) error {
	var lost []string
	for _, admin := range admins {
		if _, ok := after.administers(admin, now); ok {
			return nil
		}
		if _, ok := before.administers(admin, now); ok {
			lost = append(lost, FormatUID(admin))
		}
	}
	if lost == nil {
		return nil
	}
	var reasons []string
	for _, admin := range admins {
		if why, _ := after.administers(admin, now); why != "" && !slices.Contains(reasons, why) {
			reasons = append(reasons, why)
		}
	}
	return fmt.Errorf("%w: %s would lose it: %s", ErrLockedOut, strings.Join(lost, ", "), strings.Join(reasons, "; "))
}

// administers tells whether a principal may do everything essential, and if not why.
func (w World) administers(admin UID, now time.Time) (string, bool) {
	if _, ok := w.Entities.Entity(admin); !ok {
		return fmt.Sprintf("%s does not exist", FormatUID(admin)), false
	}
	for _, action := range essential() {
		a := w.Set.Decide(w.Entities, Query{
			Principal: admin, Action: action, Resource: InstallationUID, Context: Context{Time: now},
		})
		switch {
		case a.Permit:
		case a.Deciding != nil:
			return fmt.Sprintf("%s is forbidden by %s", action, strings.Join(a.Deciding, ", ")), false
		default:
			return fmt.Sprintf("%s is permitted by nothing", action), false
		}
	}
	return "", true
}

// Contradictions returns the enforced statements that forbid everything that a grant
// would permit, in order: with them the grant has no effect. Statements that forbid
// only under conditions are not among them.
func (s *Set) Contradictions(e Entities, g Grant) []string {
	model := loadModel()
	if slices.ContainsFunc(g.Actions, func(a Action) bool { return model.actions[a] == nil }) {
		return nil
	}
	look := &lookup{entities: e}
	principals := look.closure(g.Principal)
	resources := []UID{{Type: TypeAgent}}
	if of := g.Agents.Of; !of.IsZero() {
		resources = look.closure(of)
	}
	covers := func(sc scope, typ UID, closure []UID) bool {
		switch sc.kind {
		case scopeIs:
			return sc.typ == typ.Type
		case scopeEq:
			return sc.uid == closure[0] && closure[0].Type == typ.Type
		case scopeIn:
			return (sc.typ == "" || sc.typ == typ.Type) && slices.Contains(closure, sc.uid)
		default:
			return true
		}
	}
	var found []string
	s.policies.Each(func(_ policyKey, c *compiled) bool {
		for _, st := range c.statements {
			if st.permit || st.mode != ModeEnforce || st.conditions != nil {
				continue
			}
			actions := !slices.ContainsFunc(g.Actions, func(a Action) bool { return !st.acts(model.actions[a]) })
			if actions && covers(st.principal, g.Principal, principals) &&
				covers(st.resource, UID{Type: TypeAgent}, resources) {
				found = append(found, st.id)
			}
		}
		return true
	})
	slices.Sort(found)
	return found
}
