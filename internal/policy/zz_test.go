package policy_test

import (
	"strings"
	"testing"
	"time"
	"fmt"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

func TestZZ(t *testing.T) {
	const scope = "permit (principal, action, resource) when { "
	for name, s := range map[string]string{
		"hasdots": scope + "resource has a" + strings.Repeat(".a", 2000) + " };",
		"and": scope + "true" + strings.Repeat(" && true", 8000) + " };",
		"or": scope + "true" + strings.Repeat(" || true", 8000) + " };",
		"andhas": scope + "context has method" + strings.Repeat(" && context has method", 2800) + " };",
		"andhasdistinct": scope + "context has method" + func() string { var b strings.Builder; for i := range 2500 { fmt.Fprintf(&b, " && context has a%d", i) }; return b.String() }() + " };",
		"plus": scope + "1" + strings.Repeat("+1", 30000) + " == 3 };",
		"set": scope + "[1" + strings.Repeat(",1", 30000) + "].contains(3) };",
		"recs": scope + strings.Repeat("{a:", 90) + "1" + strings.Repeat("}", 90) + " == 3 };",
		"ifs": scope + strings.Repeat("if true then ", 90) + "true" + strings.Repeat(" else true", 90) + " };",
		"ifcond": scope + strings.Repeat("if ", 90) + "true" + strings.Repeat(" then true else true", 90) + " };",
		"access": scope + "resource" + strings.Repeat(".team", 90) + " == 3 };",
		"errs": scope + "true" + strings.Repeat(" && resource.nope == 1", 2800) + " };",
		"errs2": scope + "true" + func() string { var b strings.Builder; for i := range 2500 { fmt.Fprintf(&b, " && resource.a%d == 1", i) }; return b.String() }() + " };",
		"many": strings.Repeat("permit(principal,action,resource);", 1900),
		"manybad": strings.Repeat("permit(principal,action,resource)when{1};", 1500),
		"parens": scope + strings.Repeat("(", 95) + "true" + strings.Repeat(")", 95) + " };",
		"like": scope + `resource.id like "` + strings.Repeat("*a", 30000) + `" };`,
	} {
		start := time.Now()
		m := policy.Check(enforced("x", s))
		t.Log(name, len(s), time.Since(start), len(m))
		start = time.Now()
		if set, err := policy.Load([]policy.Policy{enforced("x", s)}); err == nil {
			t.Log("  load", time.Since(start))
			start = time.Now()
			set.Decide(small(), ask(ci, policy.SendMessage, agentID))
			t.Log("  decide", time.Since(start))
		}
	}
}
