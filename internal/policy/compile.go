package policy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	cedar "github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Mode says what a policy does.
type Mode string

// The modes of policies.
const (
	// ModeEnforce decides.
	ModeEnforce Mode = "ENFORCE"
	// ModeShadow records what it would have decided and changes nothing. Beside an
	// enforced policy of the same id it stands for a new version of it.
	ModeShadow Mode = "SHADOW"
	// ModeDisabled does nothing.
	ModeDisabled Mode = "DISABLED"
)

// Policy is Cedar text with an id, a version and a mode. The text holds one statement
// or several.
type Policy struct {
	ID      string
	Version int64
	Mode    Mode
	Text    string
}

// compiled is a policy in the form that deciding needs. It never changes.
type compiled struct {
	Policy
	statements []*statement
}

// statement is one permit or forbid.
type statement struct {
	// id is the policy's id, and for one of several statements a slash and its @id or
	// number behind it.
	id       string
	policyID string
	// key is the id, told from that of a shadow.
	key      cedar.PolicyID
	mode     Mode
	permit   bool
	position types.Position

	principal, resource scope
	// actions are those of the scope, nil for every action.
	actions []UID
	exact   bool // the actions themselves, not what is in them

	ast *xast.Policy
	// conditions is the statement without its scope and with the effect permit; nil
	// when it has no conditions.
	conditions *cedar.Policy
	// reads are the context's attributes that the conditions look at.
	reads attrSet
	// turns are the times, in milliseconds, at which a comparison with the time turns.
	turns []int64
	// hourly says that the hour or the weekday is looked at.
	hourly bool
	// clocked says that the time is used for more than comparisons.
	clocked bool
}

// timeless tells whether the statement's answer rests on entities alone, but for the
// turns and full hours at which it may change.
func (s *statement) timeless() bool { return s.reads&^hasClock == 0 && !s.clocked }

// scopeKind tells what a scope asks for.
type scopeKind uint8

const (
	scopeAll scopeKind = iota
	scopeIs            // a type
	scopeEq            // one entity
	scopeIn            // one entity and what is in it
)

// scope is what a statement asks of its principal or resource. A scopeIn with a type
// wants both.
type scope struct {
	kind scopeKind
	typ  types.EntityType
	uid  UID
}

// anchor is the key under which a scope is indexed: nothing, a type (scopeIs) or an
// entity (scopeIn).
type anchor struct {
	kind scopeKind
	uid  UID
}

func (s scope) anchor() anchor {
	switch s.kind {
	case scopeIs:
		return anchor{kind: scopeIs, uid: UID{Type: s.typ}}
	case scopeEq, scopeIn:
		return anchor{kind: scopeIn, uid: s.uid}
	default:
		return anchor{}
	}
}

// matches tells whether an entity, which the anchor was found for, is meant.
func (s scope) matches(uid UID) bool {
	switch s.kind {
	case scopeEq:
		return uid == s.uid
	case scopeIn:
		return s.typ == "" || s.typ == uid.Type
	default:
		return true
	}
}

// acts tells whether an action is meant.
func (s *statement) acts(a *actionModel) bool {
	switch {
	case s.actions == nil:
		return true
	case s.exact:
		return s.actions[0] == a.uid
	}
	return slices.ContainsFunc(s.actions, func(uid UID) bool { return slices.Contains(a.within, uid) })
}

// compilePolicy parses one policy and, if asked to, validates it.
func compilePolicy(p Policy, validate bool) (*compiled, []Mistake) {
	mistake := func(message string) []Mistake {
		return []Mistake{{Policy: p.ID, Line: 1, Column: 1, Text: message, Source: sourceLine(p.Text, 1)}}
	}
	switch {
	case p.ID == "" || len(p.ID) > maxIDBytes || strings.ContainsAny(p.ID, "/\n"):
		return nil, mistake("a policy needs an id of at most 256 bytes without slashes")
	case p.Mode != ModeEnforce && p.Mode != ModeShadow && p.Mode != ModeDisabled:
		return nil, mistake(fmt.Sprintf("%q is no mode; the modes are ENFORCE, SHADOW and DISABLED", p.Mode))
	case len(p.Text) > maxText:
		return nil, mistake(errTooLong.Error())
	}
	tokens := tokenize(p.Text)
	if t, why := tooMuch(tokens); why != "" {
		return nil, []Mistake{at(p.ID, p.Text, t, why)}
	}
	list, err := cedar.NewPolicyListFromBytes(p.ID, []byte(p.Text))
	if err != nil {
		return nil, []Mistake{parseMistake(p.ID, p.Text, tokens, err)}
	}
	if len(list) == 0 {
		return nil, mistake("there is no permit and no forbid in the policy")
	}
	c := &compiled{Policy: p}
	var mistakes []Mistake
	seen, probed := map[string]bool{}, 0
	for i, cp := range list {
		if len(mistakes) >= maxMistakes {
			break
		}
		own := statementTokens(tokens, list, i)
		if validate {
			mistakes = append(mistakes, validationMistakes(p.ID, p.Text, own, cp, &probed)...)
		}
		s := newStatement(p, cp)
		if len(list) > 1 {
			s.id = p.ID + "/" + statementName(cp, i)
			if seen[s.id] {
				mistakes = append(mistakes, at(p.ID, p.Text, own[0], fmt.Sprintf("a second statement is called %q", statementName(cp, i))))
			}
			seen[s.id] = true
		}
		s.key = cedar.PolicyID(s.id + "\x00" + string(s.mode))
		c.statements = append(c.statements, s)
	}
	if mistakes != nil {
		return nil, mistakes
	}
	return c, nil
}

// statementTokens returns the tokens of statement number i.
func statementTokens(tokens []token, list cedar.PolicyList, i int) []token {
	end := math.MaxInt
	if i+1 < len(list) {
		end = list[i+1].Position().Offset
	}
	from, to := 0, 0
	for to < len(tokens)-1 && tokens[to].offset < end {
		if tokens[to].offset < list[i].Position().Offset {
			from = to + 1
		}
		to++
	}
	return tokens[from:to]
}

func statementName(p *cedar.Policy, i int) string {
	if id := p.Annotations()["id"]; id != "" {
		return string(id)
	}
	return strconv.Itoa(i + 1)
}

func newStatement(p Policy, cp *cedar.Policy) *statement {
	tree := (*xast.Policy)(cp.AST())
	s := &statement{
		id: p.ID, policyID: p.ID, mode: p.Mode, permit: tree.Effect == xast.EffectPermit, position: cp.Position(), ast: tree,
		principal: scopeOf(tree.Principal), resource: scopeOf(tree.Resource),
	}
	switch a := tree.Action.(type) {
	case xast.ScopeTypeEq:
		s.actions, s.exact = []UID{a.Entity}, true
	case xast.ScopeTypeIn:
		s.actions = []UID{a.Entity}
	case xast.ScopeTypeInSet:
		s.actions = append([]UID{}, a.Entities...)
	}
	if len(tree.Conditions) == 0 {
		return s
	}
	conditions := *tree
	conditions.Effect = xast.EffectPermit
	conditions.Principal, conditions.Action, conditions.Resource = xast.Scope{}.All(), xast.Scope{}.All(), xast.Scope{}.All()
	s.conditions = cedar.NewPolicyFromAST((*cedarast.Policy)(&conditions))
	for _, c := range tree.Conditions {
		xast.Inspect(xast.NewNode(c.Body), s.inspect)
	}
	slices.Sort(s.turns)
	s.turns = slices.Compact(s.turns)
	return s
}

func scopeOf(n xast.IsScopeNode) scope {
	switch n := n.(type) {
	case xast.ScopeTypeEq:
		return scope{kind: scopeEq, uid: n.Entity}
	case xast.ScopeTypeIn:
		return scope{kind: scopeIn, uid: n.Entity}
	case xast.ScopeTypeIs:
		return scope{kind: scopeIs, typ: n.Type}
	case xast.ScopeTypeIsIn:
		return scope{kind: scopeIn, typ: n.Type, uid: n.Entity}
	default:
		return scope{}
	}
}

// inspect notes what a part of the conditions looks at. It returns false for what it
// has dealt with as a whole.
func (s *statement) inspect(n xast.IsNode) bool {
	switch n := n.(type) {
	case xast.NodeTypeLessThan:
		return !s.compares(n.BinaryNode, 0, 1)
	case xast.NodeTypeGreaterThanOrEqual:
		return !s.compares(n.BinaryNode, 0, 1)
	case xast.NodeTypeLessThanOrEqual:
		return !s.compares(n.BinaryNode, 1, 0)
	case xast.NodeTypeGreaterThan:
		return !s.compares(n.BinaryNode, 1, 0)
	case xast.NodeTypeEquals:
		return !s.compares(n.BinaryNode, 0, 0) || !s.compares(n.BinaryNode, 1, 1)
	case xast.NodeTypeNotEquals:
		return !s.compares(n.BinaryNode, 0, 0) || !s.compares(n.BinaryNode, 1, 1)
	case xast.NodeTypeHas:
		if isContext(n.Arg) {
			s.reads |= attrByName(n.Value)
			return false
		}
	case xast.NodeTypeAccess:
		if isContext(n.Arg) {
			s.read(attrByName(n.Value))
			return false
		}
	case xast.NodeTypeVariable:
		if isContext(n) {
			s.read(hasAll)
		}
	}
	return true
}

func (s *statement) read(attrs attrSet) {
	s.reads |= attrs
	s.clocked = s.clocked || attrs&hasTime != 0
	s.hourly = s.hourly || attrs&(hasHour|hasWeekday) != 0
}

// compares notes a comparison of the time with a fixed one: it turns so many
// milliseconds after that, depending on the side that the time stands on.
func (s *statement) compares(n xast.BinaryNode, timeLeft, timeRight int64) bool {
	turn, after := int64(0), timeLeft
	var fixed bool
	switch {
	case isTime(n.Left):
		turn, fixed = fixedTime(n.Right)
	case isTime(n.Right):
		turn, fixed = fixedTime(n.Left)
		after = timeRight
	}
	if !fixed || turn > math.MaxInt64-after {
		return false
	}
	s.reads |= hasTime
	s.turns = append(s.turns, turn+after)
	return true
}

func isContext(n xast.IsNode) bool {
	v, ok := n.(xast.NodeTypeVariable)
	return ok && v.Name == "context"
}

func isTime(n xast.IsNode) bool {
	a, ok := n.(xast.NodeTypeAccess)
	return ok && isContext(a.Arg) && a.Value == attrTime
}

func fixedTime(n xast.IsNode) (int64, bool) {
	call, ok := n.(xast.NodeTypeExtensionCall)
	if !ok || call.Name != "datetime" || len(call.Args) != 1 {
		return 0, false
	}
	value, ok := call.Args[0].(xast.NodeValue)
	if !ok {
		return 0, false
	}
	text, ok := value.Value.(types.String)
	if !ok {
		return 0, false
	}
	t, err := types.ParseDatetime(string(text))
	return t.Milliseconds(), err == nil
}

// window narrows a span of time, in milliseconds, to the part around now in which the
// statement's answer does not change by itself.
func (s *statement) window(now int64, w *window) {
	const hour = int64(time.Hour / time.Millisecond)
	if s.clocked {
		w.narrow(now, now+1)
		return
	}
	for _, t := range s.turns {
		if t <= now {
			w.from = max(w.from, t)
		} else {
			w.until = min(w.until, t)
		}
	}
	if s.hourly {
		start := now - (now%hour+hour)%hour
		w.narrow(start, start+hour)
	}
}

// window is a span of time in milliseconds: from is in it, until is not.
type window struct{ from, until int64 }

func always() window { return window{from: math.MinInt64, until: math.MaxInt64} }

func (w *window) narrow(from, until int64) {
	w.from, w.until = max(w.from, from), min(w.until, until)
}

func (w window) holds(now int64) bool { return w.from <= now && now < w.until }

// end returns the time at which the window ends, the zero time when it never does.
func (w window) end() time.Time {
	if w.until == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMilli(w.until).UTC()
}
