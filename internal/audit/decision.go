package audit

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Decision is what an authorization rested on and came to. With the policies and the
// entities of its revision it can be made again: package recorded does so.
type Decision struct {
	Permitted bool
	// Rules are the statements of policies that decided.
	Rules []string
	// Failing are the statements that could not be evaluated.
	Failing []Failure
	// Shadow is what policies that are only tried would have come to; nil for the same.
	Shadow *Shadow

	Revision int64
	// Principal and Resource are names as policies have them: "key:teams/t/keys/k",
	// "agent:planner". In events of before there were policies they are resource names.
	Principal string
	Action    string
	Resource  string
	// Time is the time that was decided for; zero means that of the event.
	Time time.Time
	// Method, Dialect and SourceAddress are those that the decision could see.
	Method        string
	Dialect       string
	SourceAddress string
	// Delegation is nil when the caller was the root, Session outside of sessions.
	Delegation *Delegation
	Session    *Session
	// ClaimedTeams and ClaimedRoles are what the caller's token gave.
	ClaimedTeams []string
	ClaimedRoles []identity.RoleIn
	// Entities are those that the decision was given beside the configuration: a JSON array
	// as cedar writes entities; nil for none.
	Entities []byte
	// Context holds values in pairs that have no place of their own, as all had in events of
	// before there were policies.
	Context []Attribute
	// InputCut says that a part of the input was too large for the entry, so that the
	// decision cannot be made again.
	InputCut bool
}

// Unseen tells whether the caller was told that what it asked for is not there, whether it
// is or not. Of what is not there nothing is decided about a call of an agent, so that a
// decision would tell.
func (e *Event) Unseen() bool { return unseen(e.Agent, e.Error) }

// Unseen is that of the event that the entry of a refusal makes.
func (e *Entry) Unseen() bool {
	return e.Kind == KindRefused && unseen(e.Opening.Agent, e.Closing.Error)
}

func unseen(agent string, e *CallError) bool {
	return agent == "" && e != nil && strings.HasSuffix(e.Reason, "_NOT_FOUND")
}

// Attribute is one named value.
type Attribute struct{ Name, Value string }

// Failure is a statement that could not be evaluated.
type Failure struct {
	Statement string
	// Effect is "permit" or "forbid".
	Effect string
	Text   string
}

// Shadow is a decision that was not made.
type Shadow struct {
	Permitted bool
	Rules     []string
	Failing   []Failure
}

// Delegation is the chain that a call stood in, by the names that policies have.
type Delegation struct {
	Root     string
	Depth    int64
	Path     []string
	Verified bool
}

// Session counts what had happened under one root.
type Session struct{ Calls, Steps, CostMicros int64 }

// The names in "context" of values with a place of their own.
const (
	contextMethod  = "method"
	contextDialect = "dialect"
	contextSource  = "sourceAddress"
)

const (
	// decisionEnd is room for what must follow the lists.
	decisionEnd = 128
	// contextRoom is room for the values of the context with a place of their own.
	contextRoom = 2 << 10
)

// appendDecision comes last: of its lists it takes what still fits, and says so. at is
// the event's time, if the entry has it.
func appendDecision(b []byte, d *Decision, at time.Time) []byte {
	if d == nil {
		return b
	}
	in := inputWriter{cut: d.InputCut, end: MaxEntry - decisionEnd - contextRoom}
	b = append(b, `,"decision":{"permitted":`...)
	b = strconv.AppendBool(b, d.Permitted)
	b = appendInt(b, `,"revision":`, d.Revision)
	b = in.text(b, `,"principal":`, d.Principal, maxName)
	b = in.text(b, `,"action":`, d.Action, maxShort)
	b = in.text(b, `,"resource":`, d.Resource, maxName)
	b = in.rest(b, d, at)

	shown := listWriter{end: MaxEntry - decisionEnd}
	end := shown.end
	if d.Method != "" || d.Dialect != "" || d.SourceAddress != "" {
		shown.end -= contextRoom
	}
	b = shown.texts(b, `,"rules":[`, d.Rules)
	shown.end = end
	b = in.context(b, d, &shown)
	b = shown.failures(b, d.Failing)
	if s := d.Shadow; s != nil && len(b) < shown.end-contextRoom {
		b = append(b, `,"shadow":{"permitted":`...)
		b = strconv.AppendBool(b, s.Permitted)
		b = shown.texts(b, `,"rules":[`, s.Rules)
		b = shown.failures(b, s.Failing)
		b = append(b, '}')
	} else if s != nil {
		shown.cut = true
	}
	b = appendFlag(b, `,"cut":true`, shown.cut)
	b = appendFlag(b, `,"input_cut":true`, in.cut)
	return append(b, '}')
}

// inputWriter writes what a decision rested on, and notes when it could not all be
// written as it is.
type inputWriter struct {
	cut bool
	end int // of the room in the entry
}

// text appends a text; most are short and plain.
func (w *inputWriter) text(b []byte, member, s string, limit int) []byte {
	w.cut = w.cut || len(s) > limit || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0
	return appendText(b, member, s, limit)
}

// context appends the values that have a place of their own, then the others.
func (w *inputWriter) context(b []byte, d *Decision, shown *listWriter) []byte {
	const opening = `,"context":{`
	start := len(b)
	b = append(b, opening...)
	b = w.text(b, `,"`+contextMethod+`":`, d.Method, maxShort)
	b = w.text(b, `,"`+contextDialect+`":`, d.Dialect, maxDialect)
	b = w.text(b, `,"`+contextSource+`":`, d.SourceAddress, maxAddress)
	for i, a := range d.Context {
		before := len(b)
		b = append(b, ',')
		b = appendString(b, a.Name, maxShort)
		b = append(b, ':')
		b = appendString(b, a.Value, maxValue)
		if i == maxListed || len(b) > shown.end {
			b, shown.cut = b[:before], true
			break
		}
	}
	first := start + len(opening)
	if len(b) == first {
		if len(d.Context) == 0 {
			return b[:start]
		}
		return append(b, '}')
	}
	// The first value needs no comma before it.
	b = append(b[:first], b[first+1:]...)
	return append(b, '}')
}

// rest appends the input that few decisions have.
func (w *inputWriter) rest(b []byte, d *Decision, at time.Time) []byte {
	if t := d.Time.UTC(); !t.IsZero() && !t.Truncate(time.Microsecond).Equal(at.Truncate(time.Microsecond)) {
		if y := t.Year(); y < 1970 || y > 9999 {
			w.cut = true
		} else {
			b = appendTime(append(b, `,"time":`...), t)
		}
	}
	if len(d.ClaimedTeams) > 0 {
		b = append(b, `,"claimed_teams":[`...)
		for i, team := range d.ClaimedTeams {
			if b = w.element(b, i, team); w.cut {
				break
			}
		}
		b = append(b, ']')
	}
	if len(d.ClaimedRoles) > 0 {
		b = append(b, `,"claimed_roles":[`...)
		for i, r := range d.ClaimedRoles {
			name := r.Role
			if r.Team != "" {
				name = r.Team + "/" + r.Role
			}
			if b = w.element(b, i, name); w.cut {
				break
			}
		}
		b = append(b, ']')
	}
	if g := d.Delegation; g != nil {
		b = append(b, `,"delegation":{"verified":`...)
		b = strconv.AppendBool(b, g.Verified)
		b = appendInt(b, `,"depth":`, g.Depth)
		b = w.text(b, `,"root":`, g.Root, maxName)
		b = append(b, `,"path":[`...)
		for i, agent := range g.Path {
			if b = w.element(b, i, agent); w.cut {
				break
			}
		}
		b = append(b, `]}`...)
	}
	if s := d.Session; s != nil {
		b = append(b, `,"session":{"calls":`...)
		b = strconv.AppendInt(b, s.Calls, 10)
		b = appendInt(b, `,"steps":`, s.Steps)
		b = appendInt(b, `,"cost_micros":`, s.CostMicros)
		b = append(b, '}')
	}
	if len(d.Entities) > 0 {
		if len(b)+len(d.Entities) > w.end || !isCompact(d.Entities, '[') {
			w.cut = true
		} else {
			b = append(append(b, `,"entities":`...), d.Entities...)
		}
	}
	return b
}

// element appends element number i of a list, unless there is no room for it.
func (w *inputWriter) element(b []byte, i int, s string) []byte {
	before := len(b)
	if i > 0 {
		b = append(b, ',')
	}
	if s == "" {
		b = append(b, `""`...)
	} else {
		b = w.text(b, "", s, maxName)
	}
	if i == maxListed || len(b) > w.end {
		w.cut = true
		return b[:before]
	}
	return b
}

// listWriter writes lists that are shown to people, as far as there is room.
type listWriter struct {
	cut bool
	end int
}

// texts appends a list behind a member with its bracket; nothing for an empty one.
func (w *listWriter) texts(b []byte, member string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, member...)
	for i, s := range list {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s, maxName)
		if i == maxListed || len(b) > w.end {
			b, w.cut = b[:before], true
			break
		}
	}
	return append(b, ']')
}

func (w *listWriter) failures(b []byte, list []Failure) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, `,"failing":[`...)
	for i, f := range list {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"statement":`...)
		b = appendString(b, f.Statement, maxName)
		b = appendText(b, `,"effect":`, f.Effect, maxShort)
		b = appendText(b, `,"text":`, f.Text, maxValue)
		b = append(b, '}')
		if i == maxListed || len(b) > w.end {
			b, w.cut = b[:before], true
			break
		}
	}
	return append(b, ']')
}

// isCompact tells whether data is compact JSON that begins with a bracket, and of a size
// that entries have room for. Names are not given twice in it, and its text is UTF-8.
func isCompact(data []byte, bracket byte) bool {
	if len(data) < 2 || len(data) > MaxDocument || data[0] != bracket {
		return false
	}
	if !jsontext.Value(data).IsValid() {
		return false
	}
	compact := jsontext.Value(bytes.Clone(data))
	return compact.Compact() == nil && len(compact) == len(data)
}

// readDecision reads what appendDecision wrote.
func readDecision(value []byte) (*Decision, error) {
	d := new(Decision)
	return d, eachMember(value, d.read)
}

func (d *Decision) read(name, value []byte) (err error) {
	switch string(name) {
	case `"permitted"`:
		return readBool(value, &d.Permitted)
	case `"revision"`:
		return readInt(value, &d.Revision)
	case `"principal"`:
		return readText(value, &d.Principal, maxName)
	case `"action"`:
		return readText(value, &d.Action, maxShort)
	case `"resource"`:
		return readText(value, &d.Resource, maxName)
	case `"rules"`:
		return readTexts(value, &d.Rules)
	case `"context"`:
		return eachMember(value, d.readContext)
	case `"failing"`:
		return readFailures(value, &d.Failing)
	case `"shadow"`:
		d.Shadow = new(Shadow)
		return eachMember(value, d.Shadow.read)
	case `"time"`:
		return readTime(value, &d.Time)
	case `"claimed_teams"`:
		return readTexts(value, &d.ClaimedTeams)
	case `"claimed_roles"`:
		var names []string
		if err := readTexts(value, &names); err != nil {
			return err
		}
		for _, n := range names {
			r := identity.RoleIn{Role: n}
			if team, role, in := strings.Cut(n, "/"); in {
				r = identity.RoleIn{Role: role, Team: team}
			}
			d.ClaimedRoles = append(d.ClaimedRoles, r)
		}
		return nil
	case `"delegation"`:
		d.Delegation = new(Delegation)
		return eachMember(value, d.Delegation.read)
	case `"session"`:
		d.Session = new(Session)
		return eachMember(value, d.Session.read)
	case `"entities"`:
		if !isCompact(value, '[') {
			// The rest is evidence all the same.
			d.InputCut = true
			return skip(value)
		}
		d.Entities = bytes.Clone(value)
		return nil
	case `"input_cut"`:
		var cut bool
		err = readBool(value, &cut)
		d.InputCut = d.InputCut || cut
		return err
	default:
		return skip(value)
	}
}

func (d *Decision) readContext(name, value []byte) (err error) {
	a := Attribute{}
	if a.Name, err = readString(name, maxShort); err != nil {
		return err
	}
	switch a.Name {
	case contextMethod:
		return readText(value, &d.Method, maxShort)
	case contextDialect:
		return readText(value, &d.Dialect, maxDialect)
	case contextSource:
		return readText(value, &d.SourceAddress, maxAddress)
	}
	if err := readText(value, &a.Value, maxValue); err != nil {
		return err
	}
	d.Context = append(d.Context, a)
	return nil
}

func (s *Shadow) read(name, value []byte) error {
	switch string(name) {
	case `"permitted"`:
		return readBool(value, &s.Permitted)
	case `"rules"`:
		return readTexts(value, &s.Rules)
	case `"failing"`:
		return readFailures(value, &s.Failing)
	default:
		return skip(value)
	}
}

func (g *Delegation) read(name, value []byte) error {
	switch string(name) {
	case `"verified"`:
		return readBool(value, &g.Verified)
	case `"depth"`:
		return readInt(value, &g.Depth)
	case `"root"`:
		return readText(value, &g.Root, maxName)
	case `"path"`:
		return readTexts(value, &g.Path)
	default:
		return skip(value)
	}
}

func (s *Session) read(name, value []byte) error {
	switch string(name) {
	case `"calls"`:
		return readInt(value, &s.Calls)
	case `"steps"`:
		return readInt(value, &s.Steps)
	case `"cost_micros"`:
		return readInt(value, &s.CostMicros)
	default:
		return skip(value)
	}
}

func readTexts(value []byte, to *[]string) error {
	return eachElement(value, func(value []byte) error {
		s, err := readString(value, maxName)
		*to = append(*to, s)
		return err
	})
}

func readFailures(value []byte, to *[]Failure) error {
	return eachElement(value, func(value []byte) error {
		var f Failure
		err := eachMember(value, func(name, value []byte) error {
			switch string(name) {
			case `"statement"`:
				return readText(value, &f.Statement, maxName)
			case `"effect"`:
				return readText(value, &f.Effect, maxShort)
			case `"text"`:
				return readText(value, &f.Text, maxValue)
			default:
				return skip(value)
			}
		})
		*to = append(*to, f)
		return err
	})
}
