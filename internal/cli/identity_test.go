package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestIdentity_UsersIssuersAndRoles(t *testing.T) {
	g := startGateway(t)
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := func(key any) string {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "k-1"}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	public, private := writeFile(t, dir, "public.jwks", set(&key.PublicKey)), writeFile(t, dir, "private.jwks", set(key))
	issuer := []string{"issuers", "create", "idp", "--url", "http://127.0.0.1:1", "--audience", "signalbox"}
	with := func(args ...string) []string { return slices.Concat(issuer, args) }
	g.steps(t, []step{
		{args: issuer[:3], code: 2, err: `required flag(s) "audience", "url" not set`},
		{args: with("--map", "groups"), code: 2, err: `--map: "groups" is not CLAIM=VALUE:team=TEAM`},
		{args: with("--map", "groups=a:team=demo,color=red"), code: 2, err: "is not CLAIM=VALUE"},
		{args: with("--map", "groups=a:team=demo,role=king"), code: 1, err: "issuer.claim_mappings[0].role"},
		{args: with("--jwks-file", private), code: 1, err: "has a private or shared part"},
		{args: with("--jwks-file", public, "--jwks-url", "http://127.0.0.1:1/keys"), code: 2, err: "none of the others can be"},
		{
			args: with("--jwks-file", public, "--map", "groups=urn:x:eng:team=demo,role=publisher", "--map", "sub=a=b:role=auditor"),
			out:  "map          groups=urn:x:eng:team=demo,role=publisher\nmap          sub=a=b:role=auditor\n",
		},
		{args: issuer, code: 1, err: "reason  ISSUER_EXISTS"},
		{args: []string{"issuer", "show", "issuers/idp"}, out: "keys         given: k-1\n"},
		{args: []string{"issuers", "update", "idp"}, code: 2, err: "at least one of the flags"},
		{args: []string{"issuers", "update", "idp", "--jwks-url", "", "--map", "", "--skew", "10s", "--disable"}, out: "skew         10s\n", err: "confirmed by the only replica\n"},
		{args: []string{"issuers", "list"}, out: "idp   http://127.0.0.1:1  discovery  disabled"},
		{args: []string{"issuers", "update", "idp", "--enable", "-o", "json"}, out: `"nameClaim": "name"`},

		{args: []string{"users", "create", "--issuer", "idp"}, code: 2, err: `required flag(s) "subject" not set`},
		{args: []string{"users", "create", "--issuer", "idp", "--subject", "ada", "--display-name", "Ada"}, out: "name          users/idp~ada\n"},
		{args: []string{"users", "create", "--issuer", "idp", "--subject", "ada"}, code: 1, err: "reason  USER_EXISTS"},
		{args: []string{"users", "disable", "idp~ada"}, out: "state         disabled\n", err: "confirmed by the only replica\n"},
		{args: []string{"users", "list", "--disabled", "--issuer", "idp"}, out: "idp~ada  Ada           -      disabled  none"},
		{args: []string{"users", "enable", "users/idp~ada"}, out: "state         active\n"},
		{args: []string{"users", "list", "--disabled"}, out: "=", err: "there is no such user"},
		{args: []string{"users", "get", "idp~eve"}, code: 1, err: "reason  USER_NOT_FOUND"},

		{args: []string{"roles", "add", "publisher", "idp~ada", "--team", "demo"}, out: "roles  teams/demo/roles/publisher\n", err: "confirmed by the only replica\n"},
		{args: []string{"roles", "add", "roles/auditor", "users/idp~ada"}, out: "roles  roles/auditor, teams/demo/roles/publisher\n"},
		{args: []string{"roles", "add", "auditor", "agents/echo"}, out: "name   agents/echo\n"},
		{args: []string{"roles", "add", "roles/auditor", "agents/echo", "--team", "demo"}, code: 2, err: "holds everywhere"},
		{args: []string{"roles", "add", "king", "agents/echo"}, code: 1, err: "there is no role"},
		{args: []string{"roles", "add", "auditor", "ada"}, code: 2, err: `who is "ada"?`},
		{args: []string{"roles", "list", "auditor"}, out: "auditor  everywhere  agents/echo    admin     now\nauditor  everywhere  users/idp~ada"},
		{args: []string{"roles", "list", "--team", "demo"}, out: "publisher  demo  users/idp~ada"},
		{args: []string{"roles", "list", "--member", "users/idp~ada", "-o", "json"}, out: `"role": "teams/demo/roles/publisher"`},
		{args: []string{"roles", "list", "member"}, out: "=", err: "nobody holds such a role"},
		{args: []string{"roles", "remove", "auditor", "agents/echo"}, out: "roles  none\n"},
		{args: []string{"roles", "rm", "auditor", "agents/echo"}, code: 1, err: "reason  ROLE_NOT_HELD"},

		{
			args: []string{"keys", "create", "siem", "--team", "demo", "--role", "auditor", "--certificate-name", "DNS:siem.example.com", "--without-secret"},
			out:  "roles         teams/demo/roles/auditor\ncertificates  DNS:siem.example.com\nsecret        none\n",
		},
		{args: []string{"keys", "create", "--team", "demo", "--without-secret"}, code: 1, err: "without_secret"},
		{args: []string{"keys", "create", "--team", "demo", "--without-secret", "--certificate-name", "DNS:x.y", "--out", "f"}, code: 2, err: "no secret for --out"},
		{args: []string{"keys", "create", "--team", "demo", "--certificate-name", "DNS:siem.example.com"}, code: 1, err: "reason  CERTIFICATE_NAME_USED"},
		{args: []string{"roles", "remove", "auditor", "demo/siem", "--team", "demo"}, code: 1, err: "reason  LAST_ROLE"},
		{args: []string{"keys", "update", "demo/siem", "--certificate-name", ""}, out: "secret   none\n"},
		{args: []string{"keys", "create", "echo", "--team", "demo", "--agent", "echo"}, out: "sb_"},
		{args: []string{"keys", "list"}, out: "demo/echo     agents/echo"},
		{args: []string{"agents", "delete", "echo"}, code: 1, err: "reason  AGENT_HAS_KEYS"},

		{args: []string{"issuers", "delete", "idp"}, code: 1, err: "reason  ISSUER_HAS_USERS"},
		{args: []string{"users", "delete", "idp~ada"}, out: "=deleted users/idp~ada\n", err: "confirmed by the only replica\n"},
		{args: []string{"issuers", "delete", "idp"}, out: "=deleted issuers/idp\n", err: "confirmed by the only replica\n"},

		{args: []string{"teams", "disable", "demo"}, out: "state         disabled\n", err: "confirmed by the only replica\n"},
		{args: []string{"call", "echo", "hi"}, code: 1, err: "TEAM_DISABLED"},
		{args: []string{"teams", "list"}, out: "disabled"},
		{args: []string{"teams", "enable", "demo"}, out: "state         active\n"},
	})
	got := g.runAs(t, g.admin, "", "__complete", "roles", "add", "").ok(t)
	if !strings.Contains(got.out, "publisher\n") {
		t.Errorf("completions of roles: %q", got.out)
	}
}
