package policy

import (
	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// LooksInto returns an entity that a text names and looks into: whose attributes or groups
// its conditions ask for, so that its answers tell of more than of the two that a question
// is about. To name one in a scope, or to compare with it, is not to look into it. What is
// the same in every installation is not meant, and a text with mistakes looks into nothing.
func LooksInto(text string) (UID, bool) {
	list, err := cedar.NewPolicyListFromBytes("", []byte(text))
	if err != nil {
		return UID{}, false
	}
	var found UID
	named := func(n xast.IsNode) {
		xast.Inspect(xast.NewNode(n), func(n xast.IsNode) bool {
			if v, ok := n.(xast.NodeValue); ok {
				if uid, ok := v.Value.(types.EntityUID); ok {
					if _, everywhere := builtin(uid); !everywhere {
						found = uid
					}
				}
			}
			return true
		})
	}
	for _, p := range list {
		for _, c := range (*xast.Policy)(p.AST()).Conditions {
			xast.Inspect(xast.NewNode(c.Body), func(n xast.IsNode) bool {
				switch n := n.(type) {
				case xast.NodeTypeAccess:
					named(n.Arg)
				case xast.NodeTypeHas:
					named(n.Arg)
				case xast.NodeTypeHasTag:
					named(n.Left)
				case xast.NodeTypeGetTag:
					named(n.Left)
				case xast.NodeTypeIn:
					named(n.Left)
				case xast.NodeTypeIsIn:
					named(n.Left)
				}
				return true
			})
		}
	}
	return found, !found.IsZero()
}
