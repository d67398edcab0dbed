package identity_test

import (
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

func TestCertificateName_HasOneForm(t *testing.T) {
	for _, tc := range []struct {
		kind, value, want string // an empty want means that it stands for nobody
	}{
		{"URI", "spiffe://example.org/ns/a/sa/ci", "URI:spiffe://example.org/ns/a/sa/ci"},
		{"URI", "urn:uuid:1b4e28ba", "URI:urn:uuid:1b4e28ba"},
		{"URI", "spiffe://Example.org/CI", "URI:spiffe://Example.org/CI"}, // a path has its case
		{"URI", "SPIFFE://example.org/ci", "URI:spiffe://example.org/ci"},
		{"URI", "no-scheme", ""},
		{"URI", "spiffe://example.org/a b", ""},
		{"URI", "spiffe://example.org/" + strings.Repeat("x", 2048), ""},
		{"DNS", "CI.Example.Org", "DNS:ci.example.org"},
		{"DNS", "ci.example.org.", "DNS:ci.example.org"},
		{"DNS", "*.example.org", ""},
		{"DNS", "a..b", ""},
		{"DNS", "-a.example.org", ""},
		{"DNS", "10.0.0.1", ""},
		{"DNS", "", ""},
		{"DNS", "exämple.org", ""},
		{"EMAIL", "Ada@Example.org", "EMAIL:ada@example.org"},
		{"EMAIL", "Ada <ada@example.org>", ""},
		{"EMAIL", "ada", ""},
		{"EMAIL", "ada@example.org\x00", ""},
		{"IP", "10.0.0.1", ""},
		{"", "", ""},
	} {
		got, ok := identity.CertificateName(tc.kind, tc.value)
		if ok != (tc.want != "") || ok && got != tc.want {
			t.Errorf("%s %.60q: %q, %t; want %q", tc.kind, tc.value, got, ok, tc.want)
		}
		if ok {
			kind, value, _ := strings.Cut(got, ":")
			if again, ok := identity.CertificateName(kind, value); !ok || again != got {
				t.Errorf("%q is written as %q the second time", got, again)
			}
		}
	}
}

func TestParseRole_ReadsWhatNameWrites(t *testing.T) {
	for name, want := range map[string]identity.RoleIn{
		"roles/auditor":                   {Role: "auditor"},
		"teams/research/roles/team-admin": {Role: "team-admin", Team: "research"},
	} {
		got, ok := identity.ParseRole(name)
		if !ok || got != want || got.Name() != name {
			t.Errorf("%s: %+v, %t; want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "auditor", "roles/", "roles/a/b", "teams//roles/a", "teams/x/keys/a", "teams/x", "teams/x/roles/"} {
		if got, ok := identity.ParseRole(name); ok {
			t.Errorf("%q was read as %+v", name, got)
		}
	}
}
