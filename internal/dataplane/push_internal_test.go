package dataplane

import "testing"

func TestHostAllowed_NamesAndNamesBelow(t *testing.T) {
	allowed := []string{"hooks.example.com", "*.below.example.org", "192.0.2.7", "2001:db8::7"}
	for host, want := range map[string]bool{
		"hooks.example.com":              true,
		"HOOKS.Example.COM":              true,
		"hooks.example.com.":             true,
		"a.below.example.org":            true,
		"a.b.below.example.org":          true,
		"A.BELOW.example.org.":           true,
		"192.0.2.7":                      true,
		"2001:db8::7":                    true,
		"":                               false,
		".":                              false,
		"example.com":                    false,
		"a.hooks.example.com":            false,
		"xhooks.example.com":             false,
		"hooks.example.com.evil.example": false,
		"below.example.org":              false,
		".below.example.org":             false,
		"xbelow.example.org":             false,
		"xybelow.example.org":            false,
		"a.below.example.org.evil.test":  false,
		"a.below.example.orgx":           false,
		"*.below.example.org":            true, // no such name can be looked up
		"hooks.example.com..":            false,
		"192.0.2.70":                     false,
		"192.0.2.7.evil.example":         false,
		"hooks.example.com%00.evil.test": false,
		"hooks\u3002example\u3002com":    false,
	} {
		if got := hostAllowed(host, allowed); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
	if hostAllowed("hooks.example.com", nil) {
		t.Error("an empty list allows a host")
	}
}
