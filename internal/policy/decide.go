package policy

import (
	"iter"
	"slices"
	"time"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// Answer is what a set decides about a question. Its zero value is a denial. Its
// slices may be shared and must not be changed.
type Answer struct {
	Permit bool
	// Deciding names the statements that decided, in order: on a permit those that
	// permit, on a denial those that forbid and those that would have to be evaluated
	// to know whether they forbid. It is empty when nothing permits.
	Deciding []string
	// Failing are the statements that could not be evaluated, in order.
	Failing []Failure
	// Shadow is what the answer would be if every policy in SHADOW were enforced; nil
	// when it would be the same.
	Shadow *Shadow
	// Until is when the answer may change by itself: it holds at every time before, but
	// not at this one. The zero time means that it does not rest on the time.
	Until time.Time
}

// Failure is a statement that could not be evaluated.
type Failure struct {
	Statement string `json:"statement"`
	// Effect is "permit" or "forbid". A permit that fails does not permit, a forbid
	// that fails denies.
	Effect string `json:"effect"`
	// Line and Column are where the statement begins in its policy.
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

// Shadow is an answer that was not given.
type Shadow struct {
	Permit   bool      `json:"permit"`
	Deciding []string  `json:"deciding,omitempty"`
	Failing  []Failure `json:"failing,omitempty"`
}

// RuleSchema is named by answers to questions that the schema does not have.
const RuleSchema = "schema"

// outcome is a statement that is satisfied or, when it has a text, fails.
type outcome struct {
	s    *statement
	fail string
}

// Decide answers a question. What nothing permits is denied; a forbid wins over any
// permit; a forbid that cannot be evaluated denies, and a permit that cannot be
// evaluated does not permit. Statements whose scope does not fit are not evaluated.
// A question that the schema does not have is denied.
func (s *Set) Decide(e Entities, q Query) Answer { return s.decide(e, &q) }

func (s *Set) decide(e Entities, q *Query) Answer {
	if err := q.Invalid(); err != nil {
		return invalid(err)
	}
	look := newLookup(e, q)
	return s.plan(look, q).answer(s, look, q)
}

func invalid(err error) Answer {
	return Answer{Deciding: []string{RuleSchema}, Failing: []Failure{{Statement: RuleSchema, Effect: "forbid", Text: err.Error()}}}
}

// plan is what can be said about a principal, an action and a resource without the
// context: what the statements come to that do not look at it, and those that do.
// It never changes.
type plan struct {
	token *setToken
	// rests are the entities that were looked at, with their generations. Only caches
	// want to know.
	rests []rest
	// window is the time in which the plan holds.
	window window
	// until is the end of the part of it that enforced statements are the cause of.
	until window
	fixed []outcome
	// open are the statements that must be evaluated for every question, and reads is
	// what they look at.
	open  []*statement
	reads attrSet
	// done is the answer when nothing is open or nothing comes of it.
	done Answer
}

// rest is an entity that something rests on.
type rest struct {
	uid        UID
	generation uint64
}

func (s *Set) plan(look *lookup, q *Query) *plan {
	action := loadModel().actions[q.Action]
	found := s.index.candidates(look.closure(q.Principal), action, look.closure(q.Resource))
	p := &plan{token: s.token, window: always(), until: always()}
	now := q.Context.Time.UnixMilli()
	var fixed []*statement
	reads := attrSet(0)
	for _, st := range found {
		if !st.timeless() {
			p.open = append(p.open, st)
			p.reads |= st.reads
			continue
		}
		fixed = append(fixed, st)
		reads |= st.reads
		st.window(now, &p.window)
		if st.mode == ModeEnforce {
			st.window(now, &p.until)
		}
	}
	p.fixed = evaluate(fixed, look, request(action, q, reads))
	p.done = s.judge(p.fixed)
	p.done.Until = p.until.end()
	return p
}

// answer evaluates what the plan left open.
func (p *plan) answer(s *Set, look *lookup, q *Query) Answer {
	if p.open == nil {
		return p.done
	}
	outcomes := evaluate(p.open, look, request(loadModel().actions[q.Action], q, p.reads))
	a := p.done
	if len(outcomes) > 0 {
		outcomes = append(outcomes, p.fixed...)
		slices.SortFunc(outcomes, func(a, b outcome) int { return compareStatements(a.s, b.s) })
		a = s.judge(outcomes)
	}
	until, now := p.until, q.Context.Time.UnixMilli()
	for _, st := range p.open {
		if st.mode == ModeEnforce {
			st.window(now, &until)
		}
	}
	a.Until = until.end()
	return a
}

func request(action *actionModel, q *Query, reads attrSet) cedar.Request {
	return cedar.Request{
		Principal: q.Principal, Action: action.uid, Resource: q.Resource, Context: q.Context.record(reads),
	}
}

// evaluate returns the statements that are satisfied or fail, in their order.
func evaluate(statements []*statement, entities types.EntityGetter, r cedar.Request) []outcome {
	var d cedar.Diagnostic
	if slices.ContainsFunc(statements, func(s *statement) bool { return s.conditions != nil }) {
		_, d = cedar.Authorize(conditions(statements), entities, r)
	}
	var outcomes []outcome
	for _, s := range statements {
		switch {
		case s.conditions == nil:
			outcomes = append(outcomes, outcome{s: s})
		case len(d.Reasons) > 0 && d.Reasons[0].PolicyID == s.key:
			outcomes = append(outcomes, outcome{s: s})
			d.Reasons = d.Reasons[1:]
		case len(d.Errors) > 0 && d.Errors[0].PolicyID == s.key:
			outcomes = append(outcomes, outcome{s: s, fail: d.Errors[0].Message})
			d.Errors = d.Errors[1:]
		}
	}
	return outcomes
}

// conditions are statements as cedar evaluates them here: each one a permit, so that
// all that are satisfied are named, in order.
type conditions []*statement

// All returns the conditions of the statements that have some.
func (c conditions) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, s := range c {
			if s.conditions != nil && !yield(s.key, s.conditions) {
				return
			}
		}
	}
}

// judge makes an answer of what the statements come to.
func (s *Set) judge(outcomes []outcome) Answer {
	enforced := verdict(outcomes, func(o outcome) bool { return o.s.mode == ModeEnforce })
	a := Answer{Permit: enforced.Permit, Deciding: enforced.Deciding, Failing: enforced.Failing}
	if s.shadows == 0 {
		return a
	}
	would := verdict(outcomes, func(o outcome) bool {
		if o.s.mode == ModeShadow {
			return true
		}
		_, replaced := s.policies.Get(policyKey{id: o.s.policyID, shadow: true})
		return !replaced
	})
	if would.Permit != a.Permit || !slices.Equal(would.Deciding, a.Deciding) || !slices.Equal(would.Failing, a.Failing) {
		a.Shadow = &would
	}
	return a
}

func verdict(outcomes []outcome, counts func(outcome) bool) Shadow {
	var v Shadow
	var permits, forbids []string
	for _, o := range outcomes {
		if !counts(o) {
			continue
		}
		if o.fail != "" {
			effect := "forbid"
			if o.s.permit {
				effect = "permit"
			}
			v.Failing = append(v.Failing, Failure{
				Statement: o.s.id, Effect: effect, Line: o.s.position.Line, Column: o.s.position.Column, Text: o.fail,
			})
		}
		switch {
		case !o.s.permit:
			forbids = append(forbids, o.s.id)
		case o.fail == "":
			permits = append(permits, o.s.id)
		}
	}
	v.Permit, v.Deciding = forbids == nil && permits != nil, permits
	if forbids != nil {
		v.Deciding = forbids
	}
	return v
}

// lookup reads entities for one decision and remembers which. It asks for each one
// once. It is what cedar reads entities from.
type lookup struct {
	entities  Entities
	extra     []Entity
	principal UID
	claims    Claims
	seen      []seenEntity
}

func newLookup(e Entities, q *Query) *lookup {
	return &lookup{entities: e, extra: q.Extra, principal: q.Principal, claims: q.Claims}
}

type seenEntity struct {
	uid    UID
	entity Entity
	ok     bool
	rests  bool // on the catalogue
}

var _ types.EntityGetter = (*lookup)(nil)

// Get returns an entity, false when there is none.
func (l *lookup) Get(uid UID) (Entity, bool) {
	if uid.Type == TypeTag {
		return Entity{UID: uid}, true
	}
	for i := range l.seen {
		if l.seen[i].uid == uid {
			return l.seen[i].entity, l.seen[i].ok
		}
	}
	found := seenEntity{uid: uid}
	if found.entity, found.ok = builtin(uid); !found.ok {
		if i := slices.IndexFunc(l.extra, func(e Entity) bool { return e.UID == uid }); i >= 0 {
			found.entity, found.ok = l.extra[i], true
		} else {
			found.rests = true
			found.entity, found.ok = l.entities.Entity(uid)
			if uid.Type == TypeUser && uid == l.principal {
				found.entity, found.ok = l.claims.user(uid, found.entity, found.ok)
			}
		}
	}
	l.seen = append(l.seen, found)
	return found.entity, found.ok
}

// closure returns an entity and everything that it is in.
func (l *lookup) closure(uid UID) []UID {
	found := make([]UID, 1, 8)
	found[0] = uid
	for i := 0; i < len(found); i++ {
		if found[i].Type == TypeTag {
			continue
		}
		e, ok := l.Get(found[i])
		if !ok {
			continue
		}
		for parent := range e.Parents.All() {
			if !slices.Contains(found, parent) {
				found = append(found, parent)
			}
		}
	}
	return found
}

// rests returns what was read of the catalogue, with its generations.
func (l *lookup) rests() []rest {
	var all []rest
	for _, e := range l.seen {
		if e.rests {
			all = append(all, rest{uid: e.uid, generation: l.entities.Generation(e.uid)})
		}
	}
	return all
}
