package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go/types"
)

// Grant is the simple form of a policy: somebody may do something with some agents,
// until some time.
type Grant struct {
	ID string
	// Principal is a key, a user, an agent, a team or the holders of a role.
	Principal UID
	Agents    Selector
	// Actions are actions of calls or of the management of agents, or groups of them.
	Actions []Action
	// Until is when the grant ends; the zero time means never. It has no effect at
	// this time any more. Fractions of a millisecond are dropped.
	Until time.Time
	// Via gives invoke_via as well, for calls that agents make on behalf of Principal.
	Via bool
}

// Selector says which agents: one, those with a tag, those of a team, or all.
type Selector struct {
	// Of is an agent, a tag or a team; its zero value means all agents.
	Of UID
}

// ParseSelector reads a selector: "agent:planner", "tag:internal", "team:research" or
// "all".
func ParseSelector(s string) (Selector, error) {
	if s == "all" {
		return Selector{}, nil
	}
	uid, err := ParseUID(s)
	if err != nil {
		return Selector{}, err
	}
	if !uidIs(uid, TypeAgent, TypeTag, TypeTeam) {
		return Selector{}, fmt.Errorf("%w: %q is no agent, tag or team", ErrBadName, s)
	}
	return Selector{Of: uid}, nil
}

// String returns what ParseSelector reads.
func (s Selector) String() string {
	if s.Of.IsZero() {
		return "all"
	}
	return FormatUID(s.Of)
}

// ErrBadGrant is a grant that cannot be given.
var ErrBadGrant = errors.New("the grant cannot be given")

// Validate says everything that is wrong with a grant at a time.
func (g Grant) Validate(now time.Time) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrBadGrant}, args...)...))
	}
	if g.ID == "" || len(g.ID) > maxIDBytes || strings.ContainsAny(g.ID, "/\n") {
		fault("its id %q is empty, too long or has a slash", g.ID)
	}
	if !uidIs(g.Principal, TypeKey, TypeUser, TypeAgent, TypeTeam, TypeRole) || g.Principal.ID == "" {
		fault("%q is no key, user, agent, team or role", FormatUID(g.Principal))
	}
	if of := g.Agents.Of; !of.IsZero() && (!uidIs(of, TypeAgent, TypeTag, TypeTeam) || of.ID == "") {
		fault("%q is no agent, tag or team", FormatUID(of))
	}
	if !utf8.ValidString(string(g.Principal.ID)) || !utf8.ValidString(string(g.Agents.Of.ID)) {
		fault("a name is not of UTF-8")
	}
	if len(g.Actions) == 0 {
		fault("it names no action")
	}
	for i, a := range g.Actions {
		switch {
		case !a.onAgents():
			fault("%q is no action on agents", a)
		case slices.Contains(g.Actions[:i], a):
			fault("it names %q twice", a)
		}
	}
	if g.Via && !slices.ContainsFunc(g.Actions, Invoke.Includes) {
		fault("it gives no calls that could be made on behalf of the principal")
	}
	if !g.Until.IsZero() && !g.Until.After(now) {
		fault("it ended at %s", g.Until.UTC().Format(time.RFC3339))
	}
	if y := g.Until.UTC().Year(); !g.Until.IsZero() && (y < 1970 || y > 9999) {
		fault("its end is in the year %d", y)
	}
	return errors.Join(faults...)
}

// onAgents tells whether an action, or some action of a group, is about agents.
func (a Action) onAgents() bool {
	for name, m := range loadModel().actions {
		if a.Includes(name) && slices.Contains(m.resources, TypeAgent) {
			return true
		}
	}
	return false
}

func uidIs(uid UID, of ...types.EntityType) bool { return slices.Contains(of, uid.Type) }

// Policy returns the grant as the policy that it stands for. The same grant always
// gives the same text.
func (g Grant) Policy() Policy {
	return Policy{ID: g.ID, Version: 1, Mode: ModeEnforce, Text: g.cedar()}
}

func (g Grant) cedar() string {
	actions := slices.Clone(g.Actions)
	if g.Via && !slices.Contains(actions, InvokeVia) {
		actions = append(actions, InvokeVia)
	}
	// What cannot be seen cannot be called, so a right to call brings that to see.
	calls := slices.ContainsFunc(actions, func(a Action) bool { return a != Discover && Invoke.Includes(a) })
	if calls && !slices.Contains(actions, Invoke) && !slices.Contains(actions, Discover) {
		actions = append(actions, Discover)
	}
	slices.Sort(actions)
	named := make([]string, len(actions))
	for i, a := range actions {
		named[i] = UID{Type: typeAction, ID: types.String(a)}.String()
	}

	var b strings.Builder
	b.WriteString("permit (\n  principal ")
	// Nothing is in a key or a user; == says so to who reads it.
	if uidIs(g.Principal, TypeTeam, TypeRole) {
		b.WriteString("in ")
	} else {
		b.WriteString("== ")
	}
	b.WriteString(g.Principal.String())
	b.WriteString(",\n  action in [" + strings.Join(named, ", ") + "],\n  resource ")
	switch {
	case g.Agents.Of.IsZero():
		b.WriteString("is " + string(TypeAgent))
	case g.Agents.Of.Type == TypeAgent:
		b.WriteString("== " + g.Agents.Of.String())
	default:
		b.WriteString("is " + string(TypeAgent) + " in " + g.Agents.Of.String())
	}
	b.WriteString("\n)")
	if !g.Until.IsZero() {
		b.WriteString("\nwhen { context.time < datetime(\"" + g.Until.UTC().Format("2006-01-02T15:04:05.000Z") + "\") }")
	}
	b.WriteString(";\n")
	return b.String()
}
