package token_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

func TestVerify_MapsClaims(t *testing.T) {
	s := testKeys()["ES256"]
	keys := jwks(t, s)
	type roles = []identity.RoleIn
	to := func(claim, value, team, role string) identity.ClaimMapping {
		return identity.ClaimMapping{Claim: claim, Value: value, Team: team, Role: role}
	}
	for name, tt := range map[string]struct {
		claims   map[string]any
		mappings []identity.ClaimMapping
		teams    []string
		roles    roles
	}{
		"nothing is mapped": {claims: map[string]any{"groups": []string{"dev"}}},
		"a text":            {map[string]any{"dept": "dev"}, []identity.ClaimMapping{to("dept", "dev", "research", "")}, []string{"research"}, nil},
		"a text with spaces": {
			map[string]any{"dept": "Research and Development"},
			[]identity.ClaimMapping{to("dept", "Research and Development", "research", "")},
			[]string{"research"},
			nil,
		},
		"a list": {
			map[string]any{"groups": []any{"ops", 7, nil, map[string]any{"dev": 1}, []any{"dev"}, "dev"}},
			[]identity.ClaimMapping{to("groups", "dev", "research", "publisher")},
			[]string{"research"},
			roles{{Role: "publisher", Team: "research"}},
		},
		"words": {
			map[string]any{"scope": "openid agents:audit  profile"},
			[]identity.ClaimMapping{to("scope", "agents:audit", "", "auditor"), to("scope", "agents", "x", ""), to("scope", "", "x", "")},
			nil,
			roles{{Role: "auditor"}},
		},
		"words within a list are one text": {
			map[string]any{"groups": []string{"dev ops"}},
			[]identity.ClaimMapping{to("groups", "dev", "x", ""), to("groups", "dev ops", "y", "")},
			[]string{"y"},
			nil,
		},
		"an object in an object": {
			map[string]any{"realm_access": map[string]any{"roles": []string{"a", "b"}}},
			[]identity.ClaimMapping{to("realm_access.roles", "b", "b", ""), to("realm_access.roles", "c", "c", ""), to("realm_access", "roles", "d", "")},
			[]string{"b"},
			nil,
		},
		"a name with dots": {
			map[string]any{"https://example.com/roles": []string{"a"}, "https://example.com/at": map[string]any{"x.y": "a"}},
			[]identity.ClaimMapping{to("https://example.com/roles", "a", "a", ""), to("https://example.com/at.x.y", "a", "b", "")},
			[]string{"a", "b"},
			nil,
		},
		"neither text nor list": {
			map[string]any{"a": true, "b": 1, "c": map[string]any{"dev": true}, "d": nil},
			[]identity.ClaimMapping{to("a", "true", "x", ""), to("b", "1", "x", ""), to("c", "dev", "x", ""), to("d", "", "x", ""), to("e", "", "x", "")},
			nil, nil,
		},
		"an empty text matches nothing": {
			map[string]any{"a": "", "b": []string{""}, "c": " "},
			[]identity.ClaimMapping{to("a", "", "x", ""), to("b", "", "x", ""), to("c", "", "x", ""), to("", "ada", "x", "")},
			nil, nil,
		},
		"other case": {map[string]any{"groups": []string{"Dev"}}, []identity.ClaimMapping{to("groups", "dev", "x", "")}, nil, nil},
		"in order, and once": {
			map[string]any{"groups": []string{"1", "2", "3"}},
			[]identity.ClaimMapping{
				to("groups", "1", "z", "publisher"), to("groups", "2", "a", "approver"), to("groups", "3", "z", ""), to("groups", "2", "z", "approver"),
				to("groups", "3", "z", "publisher"), to("groups", "1", "", "auditor"), to("groups", "2", "", "auditor"),
			},
			[]string{"a", "z"},
			roles{{Role: "auditor"}, {Role: "approver", Team: "a"}, {Role: "approver", Team: "z"}, {Role: "publisher", Team: "z"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := issuer(keys)
			i.Mappings = tt.mappings
			got, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(i), s.sign(t, nil, claims(tt.claims)), epoch)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.teams, got.Claims.Teams); diff != "" {
				t.Errorf("teams (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.roles, got.Claims.Roles); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
			want := ""
			if len(tt.teams) > 0 {
				want = tt.teams[0]
			}
			if got.Team != want {
				t.Errorf("the team is %q, want %q", got.Team, want)
			}
		})
	}
}

func TestVerify_PeopleCannotWriteWhatTheyLike(t *testing.T) {
	s := testKeys()["ES256"]
	i := issuer(jwks(t, s))
	for name, tt := range map[string]struct {
		name, email         any
		wantName, wantEmail string
	}{
		"usual":         {"Ada Lovelace", "ada@example.com", "Ada Lovelace", "ada@example.com"},
		"no texts":      {7, []string{"a@b"}, "", ""},
		"lines":         {" Ada\nLovelace\x1b[31m\t", "ada@example.com\nbob@example.com", "Ada Lovelace [31m", ""},
		"spaces":        {"  ", "ada lovelace@example.com", "", ""},
		"long":          {strings.Repeat("n", 300), strings.Repeat("n", 255), strings.Repeat("n", 200), ""},
		"long in UTF-8": {strings.Repeat("é", 300) + "x", "é@example.com", strings.Repeat("é", 100), "é@example.com"},
		"cut in a rune": {"x" + strings.Repeat("é", 300), "", "x" + strings.Repeat("é", 99), ""},
	} {
		t.Run(name, func(t *testing.T) {
			secret := s.sign(t, nil, claims(map[string]any{"name": tt.name, "email": tt.email}))
			got, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(i), secret, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if got.Claims.DisplayName != tt.wantName || got.Claims.Email != tt.wantEmail {
				t.Errorf("got %q and %q, want %q and %q", got.Claims.DisplayName, got.Claims.Email, tt.wantName, tt.wantEmail)
			}
		})
	}
}
