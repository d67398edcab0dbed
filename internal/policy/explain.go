package policy

import (
	"cmp"
	"slices"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	xeval "github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Explanation is an answer with how it came about.
type Explanation struct {
	Answer Answer
	// Groups are what the principal and the resource are in, themselves first.
	Principal []UID
	Resource  []UID
	// Statements are those whose scope fits, in order.
	Statements []Trace
}

// Trace is what one statement did and saw.
type Trace struct {
	Statement string
	Policy    string
	Mode      Mode
	// Effect is "permit" or "forbid".
	Effect string
	Result Result
	// Failure says why it could not be evaluated.
	Failure string
	// Values are what its conditions looked at, in order of their paths.
	Values []Value
}

// Result is what became of a statement.
type Result string

// The results of statements.
const (
	// ResultApplies is a statement whose conditions are met.
	ResultApplies Result = "APPLIES"
	// ResultNot is a statement whose conditions are not met.
	ResultNot Result = "DOES_NOT_APPLY"
	// ResultFails is a statement that could not be evaluated.
	ResultFails Result = "FAILS"
)

// Value is what stood at a path, such as resource.team.admins.
type Value struct {
	Path string
	// Value is Cedar text, or why there is none. It is cut at 1 KiB.
	Value string
}

// maxValue bounds how much of a value is shown.
const maxValue = 1 << 10

// Explain answers a question as Decide does and tells how.
func (s *Set) Explain(e Entities, q Query) Explanation {
	if err := q.Invalid(); err != nil {
		return Explanation{Answer: invalid(err)}
	}
	look := newLookup(e, &q)
	x := Explanation{Answer: s.plan(look, &q).answer(s, look, &q)}
	x.Principal, x.Resource = sortedClosure(look, q.Principal), sortedClosure(look, q.Resource)
	action := loadModel().actions[q.Action]
	r := request(action, &q, hasAll)
	for _, st := range s.index.candidates(x.Principal, action, x.Resource) {
		x.Statements = append(x.Statements, trace(st, look, r))
	}
	return x
}

func sortedClosure(look *lookup, uid UID) []UID {
	all := look.closure(uid)
	slices.SortFunc(all[1:], compareUID)
	return all
}

func trace(s *statement, look *lookup, r cedar.Request) Trace {
	t := Trace{Statement: s.id, Policy: s.policyID, Mode: s.mode, Effect: "forbid", Result: ResultNot}
	if s.permit {
		t.Effect = "permit"
	}
	if o := evaluate([]*statement{s}, look, r); len(o) > 0 {
		t.Result, t.Failure = ResultApplies, o[0].fail
		if t.Failure != "" {
			t.Result = ResultFails
		}
	}
	env := xeval.Env{Entities: look, Principal: r.Principal, Action: r.Action, Resource: r.Resource, Context: r.Context}
	for _, c := range s.ast.Conditions {
		xast.Inspect(xast.NewNode(c.Body), func(n xast.IsNode) bool {
			path, ok := pathOf(n)
			if !ok {
				return true
			}
			if !slices.ContainsFunc(t.Values, func(v Value) bool { return v.Path == path }) {
				t.Values = append(t.Values, Value{Path: path, Value: shown(n, env)})
			}
			return false
		})
	}
	slices.SortFunc(t.Values, func(a, b Value) int { return cmp.Compare(a.Path, b.Path) })
	return t
}

// pathOf writes an access to attributes of a variable as its author did, false for
// everything else.
func pathOf(n xast.IsNode) (string, bool) {
	switch n := n.(type) {
	case xast.NodeTypeVariable:
		return string(n.Name), n.Name != "context"
	case xast.NodeTypeAccess:
		path, ok := attributePath(n.Arg)
		return path + "." + string(n.Value), ok
	case xast.NodeTypeHas:
		path, ok := attributePath(n.Arg)
		return path + " has " + string(n.Value), ok
	default:
		return "", false
	}
}

func attributePath(n xast.IsNode) (string, bool) {
	if _, has := n.(xast.NodeTypeHas); has {
		return "", false
	}
	if v, ok := n.(xast.NodeTypeVariable); ok {
		return string(v.Name), true
	}
	return pathOf(n)
}

func shown(n xast.IsNode, env xeval.Env) string {
	value, err := xeval.Eval(n, env)
	if err != nil {
		return err.Error()
	}
	text := string(value.MarshalCedar())
	if _, ok := value.(types.IPAddr); ok {
		text = value.String()
	}
	if len(text) > maxValue {
		text = text[:maxValue] + "…"
	}
	return text
}
