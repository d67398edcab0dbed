package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	xeval "github.com/cedar-policy/cedar-go/x/exp/eval"
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
// Only what does not depend on where, how and when an admin calls counts: a right that
// rests on an address or a time of day is no way back, and a forbid that rests on them
// is in the way. Where there was no such right before, one that there is now counts.
func LastAdminLockedOut(before, after World, admins []UID, now time.Time) error {
	for _, certain := range []bool{true, false} {
		if err := lockedOut(before, after, admins, now, certain); err != errNobodyBefore { //nolint:errorlint // it is never wrapped
			return err
		}
	}
	return nil
}

// errNobodyBefore says that there was nobody who could lose something.
var errNobodyBefore = errors.New("nobody could administer the installation before")

func lockedOut(before, after World, admins []UID, now time.Time, certain bool) error {
	var lost, reasons []string
	for _, admin := range admins {
		why, ok := after.administers(admin, now, certain)
		if ok {
			return nil
		}
		if !slices.Contains(reasons, why) {
			reasons = append(reasons, why)
		}
		if _, ok := before.administers(admin, now, certain); ok {
			lost = append(lost, FormatUID(admin))
		}
	}
	if lost == nil {
		return errNobodyBefore
	}
	return fmt.Errorf("%w: %s would lose it: %s", ErrLockedOut, strings.Join(lost, ", "), strings.Join(reasons, "; "))
}

// administers tells whether a principal may do everything essential, and if not why.
// With certain it must be so whatever the context of a call is.
func (w World) administers(admin UID, now time.Time, certain bool) (string, bool) {
	if _, ok := w.Entities.Entity(admin); !ok {
		return fmt.Sprintf("%s does not exist", FormatUID(admin)), false
	}
	for _, action := range essential() {
		q := Query{Principal: admin, Action: action, Resource: InstallationUID, Context: Context{Time: now}}
		a := w.Set.Decide(w.Entities, q)
		switch {
		case a.Permit:
		case a.Deciding != nil:
			return fmt.Sprintf("%s is forbidden by %s", action, strings.Join(a.Deciding, ", ")), false
		default:
			return fmt.Sprintf("%s is permitted by nothing", action), false
		}
		if !certain {
			continue
		}
		switch forbids, permitted := w.Set.whatever(w.Entities, q); {
		case forbids != nil:
			return fmt.Sprintf("%s is forbidden by %s, depending on the address, the time or the method of a call", action, strings.Join(forbids, ", ")), false
		case !permitted:
			return fmt.Sprintf("%s is permitted by nothing that holds for every address, time and method of a call", action), false
		}
	}
	return "", true
}

// whatever answers a question without its context: the statements that may forbid in some
// context, and whether something permits in every one.
func (s *Set) whatever(e Entities, q Query) (forbids []string, permitted bool) {
	look := newLookup(e, &q)
	action := loadModel().actions[q.Action]
	env := xeval.Env{Entities: look, Principal: q.Principal, Action: action.uid, Resource: q.Resource}
	for _, st := range s.index.candidates(look.closure(q.Principal), action, look.closure(q.Resource)) {
		if st.mode != ModeEnforce {
			continue
		}
		holds := perhapsTrue
		for _, c := range st.ast.Conditions {
			is := perhaps(c.Body, env)
			if !c.Condition {
				is = is.not()
			}
			holds = min(holds, is)
		}
		switch {
		case st.permit:
			permitted = permitted || holds == perhapsTrue
		case holds != perhapsFalse:
			forbids = append(forbids, st.id)
		}
	}
	return forbids, permitted
}

// truth is what is known of a condition while the context is not. Of two that must both
// hold the lesser one counts.
type truth uint8

const (
	perhapsFalse truth = iota // in no context
	perhapsBoth
	perhapsTrue // in every context
)

func (t truth) not() truth { return perhapsTrue - t }

// perhaps evaluates a condition as far as it does not look at the context.
func perhaps(n xast.IsNode, env xeval.Env) truth {
	switch n := n.(type) {
	case xast.NodeTypeAnd:
		return min(perhaps(n.Left, env), perhaps(n.Right, env))
	case xast.NodeTypeOr:
		return max(perhaps(n.Left, env), perhaps(n.Right, env))
	case xast.NodeTypeNot:
		return perhaps(n.Arg, env).not()
	case xast.NodeTypeIfThenElse:
		then, otherwise, is := perhaps(n.Then, env), perhaps(n.Else, env), perhaps(n.If, env)
		switch {
		case is == perhapsTrue, then == otherwise:
			return then
		case is == perhapsFalse:
			return otherwise
		}
		return perhapsBoth
	}
	looks := false
	xast.Inspect(xast.NewNode(n), func(n xast.IsNode) bool {
		looks = looks || isContext(n)
		return !looks
	})
	if looks {
		return perhapsBoth
	}
	switch value, err := xeval.Eval(n, env); {
	case err != nil:
		return perhapsBoth
	case value == types.True:
		return perhapsTrue
	}
	return perhapsFalse
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
