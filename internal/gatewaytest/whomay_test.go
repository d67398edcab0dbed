package gatewaytest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1/policyv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// testIssuer signs tokens that a gateway believes.
type testIssuer struct {
	key *ecdsa.PrivateKey
	url string
}

// newIssuer makes an issuer "idp" known to a gateway. Its tokens give what the claim
// "groups" says: "{team}" the team, "{team}:{role}" a role in it, ":{role}" one everywhere.
func newIssuer(t *testing.T, g *gatewaytest.Gateway, groups ...string) *testIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	i := &testIssuer{key: key, url: "https://idp.example.com"}
	issuer := &identityv1.Issuer{Url: i.url, Jwks: string(keys), Audiences: []string{"signalbox"}, Algorithms: []string{"ES256"}, EmailClaim: "email"}
	for _, group := range groups {
		team, role, _ := strings.Cut(group, ":")
		m := &identityv1.ClaimMapping{Claim: "groups", Value: group, Role: role}
		if team != "" {
			m.Team = "teams/" + team
		}
		issuer.ClaimMappings = append(issuer.ClaimMappings, m)
	}
	if _, err := g.Identity.CreateIssuer(t.Context(), &identityv1.CreateIssuerRequest{IssuerId: "idp", Issuer: issuer}); err != nil {
		t.Fatal(err)
	}
	return i
}

// token returns a token of a user of some groups.
func (i *testIssuer) token(t *testing.T, subject string, life time.Duration, groups ...string) string {
	t.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": i.url, "sub": subject, "aud": "signalbox", "iat": now.Unix(), "exp": now.Add(life).Unix(),
		"groups": groups, "email": subject + "@example.com",
	})
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// policies returns a client of the PolicyService.
func policies(g *gatewaytest.Gateway, key string) policyv1connect.PolicyServiceClient {
	return policyv1connect.NewPolicyServiceClient(http.DefaultClient, g.URL, connect.WithInterceptors(withKey(key)))
}

func withKey(key string) connect.Interceptor { return keyInterceptor{key} }

// keyInterceptor sends a key with every call.
type keyInterceptor struct{ key string }

func (k keyInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		k.set(req.Header())
		return next(ctx, req)
	}
}

func (k keyInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		k.set(conn.RequestHeader())
		return conn
	}
}

func (k keyInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (k keyInterceptor) set(h http.Header) {
	if k.key != "" {
		h.Set("Authorization", "Bearer "+k.key)
	}
}

// roleKey makes a key that holds roles.
func roleKey(t *testing.T, g *gatewaytest.Gateway, team, id string, roles ...string) string {
	t.Helper()
	made, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/" + team, KeyId: id, Roles: roles})
	if err != nil {
		t.Fatalf("create key %s: %v", id, err)
	}
	return made.GetSecret()
}

// sight is what a caller may do with an agent.
type sight string

const (
	hidden sight = "hidden"
	denied sight = "denied" // seen, but not to be sent a message
	calls  sight = "calls"
)

// Every path of both planes gives every kind of credential the same answer about an
// agent: what cannot be called cannot be seen, and the reverse.
func TestWhoMay_EveryPathOfBothPlanesDecidesAlike(t *testing.T) {
	g := gatewaytest.Start(t)
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	keyA := g.Team("a")
	keyB := g.Team("b")
	agents := []string{"acting", "org", "private", "public", "tagged", "team"}
	for id, visibility := range map[string]registryv1.Visibility{
		"private": registryv1.Visibility_VISIBILITY_PRIVATE, "team": registryv1.Visibility_VISIBILITY_TEAM,
		"org": registryv1.Visibility_VISIBILITY_ORGANIZATION, "public": registryv1.Visibility_VISIBILITY_PUBLIC,
		"tagged": registryv1.Visibility_VISIBILITY_PRIVATE, "acting": registryv1.Visibility_VISIBILITY_TEAM,
	} {
		g.Agent(id, "a", agent.URL, func(a *registryv1.Agent) {
			a.Visibility = visibility
			if id == "tagged" {
				a.Tags = []string{"internal"}
			}
		})
	}
	idp := newIssuer(t, g, "a", "a:publisher", "b", ":auditor")
	acting, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "acting", Key: &identityv1.Key{Agent: "agents/acting"}})
	if err != nil {
		t.Fatal(err)
	}
	admin := policies(g, g.AdminKey)
	if _, err := admin.CreateGrant(t.Context(), &policyv1.CreateGrantRequest{Grant: &policyv1.Grant{
		Principal: "team:b", Agents: "tag:internal", Actions: []string{"invoke"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
	}}); err != nil {
		t.Fatal(err)
	}
	forbidden := roleKey(t, g, "b", "forbidden")
	reader := roleKey(t, g, "b", "reader")
	for id, text := range map[string]string{
		"no-org": `forbid (principal == Signalbox::Key::"teams/b/keys/forbidden", action in Signalbox::Action::"invoke", resource == Signalbox::Agent::"org");`,
		"no-send": `forbid (principal == Signalbox::Key::"teams/b/keys/reader",
			action in [Signalbox::Action::"SendMessage", Signalbox::Action::"SendStreamingMessage"], resource == Signalbox::Agent::"public");`,
	} {
		if _, err := admin.ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{PolicyId: id, Text: text, Mode: policyv1.Mode_MODE_ENFORCE}); err != nil {
			t.Fatal(err)
		}
	}
	disabled := roleKey(t, g, "a", "disabled")
	if _, err := g.Identity.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: "teams/a/keys/disabled"}); err != nil {
		t.Fatal(err)
	}

	all := func(s sight, ids ...string) map[string]sight {
		m := map[string]sight{}
		for _, id := range ids {
			m[id] = s
		}
		return m
	}
	callers := []struct {
		name   string
		key    string
		agents map[string]sight // absent means hidden
		// reads are the agents whose registration the caller reads.
		reads []string
	}{
		{"the admin key", g.AdminKey, all(calls, agents...), agents},
		{"a key of the team", keyA, all(calls, agents...), agents},
		{"a key that is a member", roleKey(t, g, "a", "member", "teams/a/roles/member"), all(calls, "acting", "org", "public", "team"), []string{"acting", "org", "public", "team"}},
		{"a publisher", roleKey(t, g, "a", "publisher", "teams/a/roles/publisher"), all(calls, agents...), agents},
		{"an approver", roleKey(t, g, "a", "approver", "teams/a/roles/approver"), all(calls, "acting", "org", "public", "team"), agents},
		{"an admin of the team", roleKey(t, g, "a", "team-admin", "teams/a/roles/team-admin"), all(calls, agents...), agents},
		{"an auditor of the team", roleKey(t, g, "a", "auditor", "teams/a/roles/auditor"), nil, agents},
		{"an auditor", roleKey(t, g, "a", "auditors", "roles/auditor"), nil, agents},
		{"an admin who is no admin key", roleKey(t, g, "a", "admin", "roles/admin"), all(calls, agents...), agents},
		{"a key of another team, with a grant", keyB, all(calls, "org", "public", "tagged"), nil},
		{"a key with a forbid", forbidden, all(calls, "public", "tagged"), nil},
		{"a key that may not send", reader, map[string]sight{"org": calls, "tagged": calls, "public": denied}, nil},
		{"an agent", acting.GetSecret(), all(calls, "acting", "org", "public", "team"), []string{"acting", "org", "public", "team"}},
		{"a user of the team", idp.token(t, "ada", time.Hour, "a"), all(calls, "acting", "org", "public", "team"), []string{"acting", "org", "public", "team"}},
		{"a user who publishes", idp.token(t, "grace", time.Hour, "a:publisher"), all(calls, agents...), agents},
		{"a user of another team, with a grant", idp.token(t, "bob", time.Hour, "b"), all(calls, "org", "public", "tagged"), nil},
		{"a user of no team", idp.token(t, "eve", time.Hour), nil, nil},
		{"a user who audits", idp.token(t, "mallory", time.Hour, ":auditor"), nil, agents},
	}
	for _, c := range callers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			see := looker{g: g, key: c.key}
			for _, id := range agents {
				want := c.agents[id]
				if want == "" {
					want = hidden
				}
				see.checkAgent(t, id, want)
			}
			var listed []string
			for id := range c.agents {
				listed = append(listed, id)
			}
			slices.Sort(listed)
			if got := see.list(t); !slices.Equal(got, listed) {
				t.Errorf("GET /a2a lists %v, want %v", got, listed)
			}
			see.checkManagement(t, agents, c.reads)
		})
	}
	for name, key := range map[string]string{
		"a disabled key": disabled, "no credential": "", "garbage": "sb_garbage", "a token that has expired": idp.token(t, "ada", -time.Hour, "a"),
		"a token of nobody": "eyJhbGciOiJub25lIn0.e30.", "another's token": (&testIssuer{key: idp.key, url: "https://other.example.com"}).token(t, "ada", time.Hour, "a"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			looker{g: g, key: key}.checkStranger(t, append(agents, "nowhere"))
		})
	}
}

// looker looks at a gateway with one credential.
type looker struct {
	g   *gatewaytest.Gateway
	key string
}

// sends are the ways to send a message that are HTTP requests.
func sends(agent string) map[string][3]string {
	base := "/a2a/" + agent
	return map[string][3]string{
		"JSON-RPC 1.0":           {base, gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", "")), "1.0"},
		"JSON-RPC 1.0 streaming": {base, gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m", "hi", "")), "1.0"},
		"JSON-RPC 0.3":           {base, gatewaytest.Request("message/send", gatewaytest.Message03("m", "hi", "")), ""},
		"JSON-RPC path":          {base + "/message/send", gatewaytest.Request("message/send", gatewaytest.Message03("m", "hi", "")), ""},
		"HTTP+JSON 1.0":          {base + "/message:send", gatewaytest.Message("m", "hi", ""), "1.0"},
		"HTTP+JSON 0.3": {
			base + "/v1/message:send",
			`{"message":{"messageId":"m","role":"ROLE_USER","content":[{"text":"hi"}]}}`, "",
		},
	}
}

// checkAgent looks at one agent in every way that there is.
func (l looker) checkAgent(t *testing.T, id string, want sight) {
	t.Helper()
	for name, call := range sends(id) {
		r := l.g.Do(http.MethodPost, call[0], l.key, call[1], "A2A-Version", call[2])
		got := calls
		switch body := string(r.Body); {
		case strings.Contains(body, "AGENT_NOT_FOUND"):
			got = hidden
		case strings.Contains(body, "PERMISSION_DENIED"):
			got = denied
		case r.Status != http.StatusOK || strings.Contains(body, `"error"`):
			t.Errorf("%s of %s: HTTP %d %.300s", name, id, r.Status, body)
			continue
		}
		if got != want {
			t.Errorf("%s of %s: %s, want %s: %.300s", name, id, got, want, r.Body)
		}
		if got == hidden {
			l.sameAsNowhere(t, name, id, r, func(nowhere string) gatewaytest.Reply {
				other := sends(nowhere)[name]
				return l.g.Do(http.MethodPost, other[0], l.key, other[1], "A2A-Version", other[2])
			})
		}
	}
	for _, card := range []string{"/.well-known/agent-card.json", "/.well-known/agent.json"} {
		r := l.g.Do(http.MethodGet, "/a2a/"+id+card, l.key, "")
		if seen := r.Status == http.StatusOK; seen != (want != hidden) {
			t.Errorf("%s of %s: HTTP %d, want it %s", card, id, r.Status, want)
		}
	}
	// Another's task is not found where the agent is seen, and else the agent is not.
	r := l.g.Call(id, l.key, "GetTask", `{"id":"another's"}`, "A2A-Version", "1.0")
	wanted := "TASK_NOT_FOUND"
	if want == hidden {
		wanted = "AGENT_NOT_FOUND"
	}
	if got := r.Error(t).Info(t).Reason; got != wanted {
		t.Errorf("GetTask of %s: %s, want %s", id, got, wanted)
	}
	for _, v := range []a2a.Version{a2a.V10, a2a.V03} {
		l.checkGRPC(t, id, a2a.Dialect{Binding: a2a.GRPC, Version: v}, want)
	}
}

func (l looker) checkGRPC(t *testing.T, id string, d a2a.Dialect, want sight) {
	t.Helper()
	card := fmt.Sprintf(`{"name":"x","description":"x","version":"1","capabilities":{},"skills":[],"defaultInputModes":["text/plain"],`+
		`"defaultOutputModes":["text/plain"],"protocolVersion":"0.3.0","preferredTransport":"GRPC","url":%[1]q,`+
		`"supportedInterfaces":[{"url":%[1]q,"protocolBinding":"GRPC","protocolVersion":"1.0","tenant":%[2]q}]}`,
		strings.TrimPrefix(l.g.URL, "http://"), id)
	c := peers.NewDialectClient(t, d, peers.ClientConfig{Card: []byte(card), Key: l.key, Agent: id})
	_, err := c.Send(t.Context(), peers.Message{ID: "m", Parts: []peers.Part{{Text: "hi"}}})
	failed, ok := errors.AsType[*peers.CallError](err)
	got := calls
	switch {
	case ok && failed.Reason == "AGENT_NOT_FOUND":
		got = hidden
	case ok && failed.Reason == "PERMISSION_DENIED":
		got = denied
	case err != nil:
		t.Errorf("%s of %s: %v (%+v)", d, id, err, failed)
		return
	}
	if got != want {
		t.Errorf("%s of %s: %s, want %s: %v", d, id, got, want, err)
	}
}

// sameAsNowhere checks that an answer about a hidden agent is that about one that does
// not exist.
func (l looker) sameAsNowhere(t *testing.T, name, id string, r gatewaytest.Reply, ask func(nowhere string) gatewaytest.Reply) {
	t.Helper()
	nowhere := strings.Repeat("z", len(id))
	other := ask(nowhere)
	if got := strings.ReplaceAll(string(other.Body), nowhere, id); other.Status != r.Status || got != string(r.Body) {
		t.Errorf("%s tells the hidden %s (HTTP %d %s) from what does not exist (HTTP %d %s)", name, id, r.Status, r.Body, other.Status, other.Body)
	}
}

// list returns the names in GET /a2a.
func (l looker) list(t *testing.T) []string {
	t.Helper()
	var all []string
	for token := ""; ; {
		r := l.g.Do(http.MethodGet, "/a2a?pageSize=2&pageToken="+token, l.key, "")
		var page struct {
			Agents []struct {
				Name string `json:"name"`
			} `json:"agents"`
			Next string `json:"nextPageToken"`
		}
		if err := json.Unmarshal(r.Body, &page); err != nil || r.Status != http.StatusOK {
			t.Fatalf("GET /a2a: HTTP %d %s", r.Status, r.Body)
		}
		for _, a := range page.Agents {
			all = append(all, a.Name)
		}
		if token = page.Next; token == "" {
			return all
		}
	}
}

// checkManagement compares what lists show with what can be read one by one.
func (l looker) checkManagement(t *testing.T, agents, reads []string) {
	t.Helper()
	ctx := t.Context()
	registry, identity, events := l.g.Clients(l.key)
	compare := func(what string, listed, all []string, get func(name string) error) {
		t.Helper()
		for _, name := range all {
			err := get(name)
			if code := connect.CodeOf(err); err != nil && code != connect.CodeNotFound && code != connect.CodePermissionDenied {
				t.Errorf("get %s: %v", name, err)
			}
			if got := slices.Contains(listed, name); got != (err == nil) {
				t.Errorf("%s: %s is listed: %t, read: %v", what, name, got, err)
			}
		}
	}
	var listed []string
	if res, err := registry.ListAgents(ctx, &registryv1.ListAgentsRequest{PageSize: 250}); err == nil {
		for _, a := range res.GetAgents() {
			listed = append(listed, strings.TrimPrefix(a.GetName(), "agents/"))
		}
	} else if connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("list agents: %v", err)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, reads) {
		t.Errorf("ListAgents shows %v, want %v", listed, reads)
	}
	compare("agents", listed, agents, func(id string) error {
		_, err := registry.GetAgent(ctx, &registryv1.GetAgentRequest{Name: "agents/" + id})
		return err
	})
	compare("teams", names(t, func() ([]*identityv1.Team, error) {
		res, err := identity.ListTeams(ctx, &identityv1.ListTeamsRequest{PageSize: 250})
		return res.GetTeams(), err
	}), allTeams(t, l.g), func(name string) error {
		_, err := identity.GetTeam(ctx, &identityv1.GetTeamRequest{Name: name})
		return err
	})
	compare("keys", names(t, func() ([]*identityv1.Key, error) {
		res, err := identity.ListKeys(ctx, &identityv1.ListKeysRequest{Parent: "teams/-", PageSize: 250})
		return res.GetKeys(), err
	}), allKeys(t, l.g.Identity), func(name string) error {
		_, err := identity.GetKey(ctx, &identityv1.GetKeyRequest{Name: name})
		return err
	})
	rules := policies(l.g, l.key)
	compare("policies", names(t, func() ([]*policyv1.Policy, error) {
		res, err := rules.ListPolicies(ctx, &policyv1.ListPoliciesRequest{PageSize: 250})
		return res.GetPolicies(), err
	}), []string{"policies/no-org", "policies/no-send"}, func(name string) error {
		_, err := rules.GetPolicy(ctx, &policyv1.GetPolicyRequest{Name: name})
		return err
	})
	compare("grants", names(t, func() ([]*policyv1.Grant, error) {
		res, err := rules.ListGrants(ctx, &policyv1.ListGrantsRequest{PageSize: 250})
		return res.GetGrants(), err
	}), allGrants(t, l.g), func(name string) error {
		_, err := rules.GetGrant(ctx, &policyv1.GetGrantRequest{Name: name})
		return err
	})
	compare("issuers", names(t, func() ([]*identityv1.Issuer, error) {
		res, err := identity.ListIssuers(ctx, &identityv1.ListIssuersRequest{PageSize: 250})
		return res.GetIssuers(), err
	}), []string{"issuers/idp"}, func(name string) error {
		_, err := identity.GetIssuer(ctx, &identityv1.GetIssuerRequest{Name: name})
		return err
	})
	// Of events there are more all the time: those between the first and the last that are
	// listed can be read when they are listed, and the others cannot.
	res, err := events.ListEvents(ctx, &auditv1.ListEventsRequest{PageSize: 250})
	if err != nil && connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("list events: %v", err)
	}
	seen := map[string]bool{}
	oldest, newest := int64(0), int64(1)<<62 // who may list none may read none
	if err == nil {
		newest = -1 // what comes after an empty list may be read
	}
	for i, e := range res.GetEvents() {
		seen[e.GetName()], oldest = true, e.GetSequence()
		if i == 0 {
			newest = e.GetSequence()
		}
	}
	whole, err := l.g.Audit.ListEvents(ctx, &auditv1.ListEventsRequest{PageSize: 250})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range whole.GetEvents() {
		_, err := events.GetEvent(ctx, &auditv1.GetEventRequest{Name: e.GetName()})
		if s := e.GetSequence(); s >= oldest && s <= newest && (err == nil) != seen[e.GetName()] {
			t.Errorf("event %s of %q is listed: %t, read: %v", e.GetName(), e.GetTeam(), seen[e.GetName()], err)
		}
	}
}

// names returns the names in a list; none where it is denied.
func names[T interface{ GetName() string }](t *testing.T, list func() ([]T, error)) []string {
	t.Helper()
	all, err := list()
	if err != nil && connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("list: %v", err)
	}
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = one.GetName()
	}
	return out
}

func allTeams(t *testing.T, g *gatewaytest.Gateway) []string {
	return names(t, func() ([]*identityv1.Team, error) {
		res, err := g.Identity.ListTeams(t.Context(), &identityv1.ListTeamsRequest{PageSize: 250})
		return res.GetTeams(), err
	})
}

func allKeys(t *testing.T, c identityv1connect.IdentityServiceClient) []string {
	return names(t, func() ([]*identityv1.Key, error) {
		res, err := c.ListKeys(t.Context(), &identityv1.ListKeysRequest{Parent: "teams/-", PageSize: 250})
		return res.GetKeys(), err
	})
}

func allGrants(t *testing.T, g *gatewaytest.Gateway) []string {
	return names(t, func() ([]*policyv1.Grant, error) {
		res, err := policies(g, g.AdminKey).ListGrants(t.Context(), &policyv1.ListGrantsRequest{PageSize: 250})
		return res.GetGrants(), err
	})
}

// checkStranger checks that without a valid credential nothing is told apart but the cards
// of PUBLIC agents.
func (l looker) checkStranger(t *testing.T, agents []string) {
	t.Helper()
	first := map[string]string{}
	for _, id := range agents {
		for name, call := range sends(id) {
			r := l.g.Do(http.MethodPost, call[0], l.key, call[1], "A2A-Version", call[2])
			got := fmt.Sprintf("%d %s", r.Status, strings.ReplaceAll(string(r.Body), id, "AGENT"))
			if r.Status != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s of %s: HTTP %d %s", name, id, r.Status, r.Body)
			}
			if first[name] == "" {
				first[name] = got
			}
			if got != first[name] {
				t.Errorf("%s tells %s from %s: %s", name, id, agents[0], got)
			}
		}
		want := http.StatusUnauthorized
		if l.key == "" && id == "public" {
			want = http.StatusOK
		}
		if r := l.g.Do(http.MethodGet, "/a2a/"+id+"/.well-known/agent-card.json", l.key, ""); r.Status != want {
			t.Errorf("the card of %s: HTTP %d, want %d", id, r.Status, want)
		}
	}
	if r := l.g.Do(http.MethodGet, "/a2a", l.key, ""); r.Status != http.StatusUnauthorized {
		t.Errorf("GET /a2a: HTTP %d", r.Status)
	}
	registry, _, _ := l.g.Clients(l.key)
	if _, err := registry.GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/public"}); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("GetAgent: %v", err)
	}
}
