package gatewaytest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1/policyv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// actingKey makes an agent of a team that calls with a key of its own.
func actingKey(t *testing.T, g *gatewaytest.Gateway, id, team, url string) string {
	t.Helper()
	g.Agent(id, team, url, func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_TEAM })
	made, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{
		Parent: "teams/" + team, KeyId: id, Key: &identityv1.Key{Agent: "agents/" + id},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetSecret()
}

// Tasks of users and agents are theirs alone as those of keys are: in every dialect, on
// every replica, after a restart, with whatever token or key they come.
func TestOwnership_OfUsersAndAgentsIsThatOfKeys(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(g, "held", agent)
	idp := newIssuer(t, g, "demo")
	acting := actingKey(t, g, "acting", "demo", agent.URL)
	again, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{
		Parent: "teams/demo", KeyId: "acting-2", Key: &identityv1.Key{Agent: "agents/acting"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// The same principal with another credential comes to the same tasks.
	owners := map[string][2]string{
		"teams/demo/keys": {key, key},
		"users/idp~ada":   {idp.token(t, "ada", time.Hour, "demo"), idp.token(t, "ada", 2*time.Hour, "demo")},
		"users/idp~bob":   {idp.token(t, "bob", time.Hour, "demo"), idp.token(t, "bob", 2*time.Hour, "demo")},
		"agents/acting":   {acting, again.GetSecret()},
	}
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	begun := map[string]peers.StreamEvent{}
	for name, keys := range owners {
		c := peers.NewDialectClient(t, agent.Dialect, peers.ClientConfig{Base: g.AgentURL("held"), Key: keys[0], Agent: "held"})
		err := c.Stream(t.Context(), peers.Message{ID: string(peers.ScriptHold) + strings.ReplaceAll(name, "/", "-"), Parts: []peers.Part{{Text: "hi"}}},
			func(e peers.StreamEvent) bool {
				begun[name] = e
				return e.State != "working"
			})
		if err != nil || begun[name].ID == "" {
			t.Fatalf("%s began %+v, %v", name, begun[name], err)
		}
	}
	check := func(when string, r *gatewaytest.Gateway, n int) {
		t.Helper()
		for _, d := range a2a.Dialects {
			for owner, task := range begun {
				for name, keys := range owners {
					c := peers.NewDialectClient(t, d, peers.ClientConfig{Base: r.AgentURL("held"), Key: keys[n], Agent: "held"})
					got, err := c.Get(t.Context(), task.ID, 0)
					switch {
					case name != owner && (err == nil || !strings.Contains(err.Error(), "-32001")):
						t.Errorf("%s, %s: %s gets the task of %s: %+v, %v", when, d, name, owner, got, err)
					case name == owner && (err != nil || got.State != "working"):
						t.Errorf("%s, %s: %s gets %+v, %v of its own", when, d, name, got, err)
					}
				}
			}
		}
	}
	check("where they began", g, 0)
	check("on another replica, with another credential", second, 1)
	wantNotFound(t, "another's", second, a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V03}, key, begun["users/idp~ada"])
	g.Stop()
	second.Stop()
	check("after a restart", gatewaytest.StartOver(t, g.DSN, g.DataDir), 1)
}

func TestAdopt_ForUsersAndAgents(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(g, "held", agent)
	idp := newIssuer(t, g, "demo")
	acting := actingKey(t, g, "acting", "demo", agent.URL)
	if _, err := g.Identity.CreateUser(t.Context(), &identityv1.CreateUserRequest{User: &identityv1.User{Issuer: "issuers/idp", Subject: "ada"}}); err != nil {
		t.Fatal(err)
	}
	for owner, secret := range map[string]string{"users/idp~ada": idp.token(t, "ada", time.Hour, "demo"), "agents/acting": acting} {
		task := heldAt(t, agent, strings.ReplaceAll(owner, "/", "-"))
		by := key // a key of the team gives to an agent of it
		if strings.HasPrefix(owner, "users/") {
			if _, err := adopt(t.Context(), g, key, "held", owner, task); connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("a key gave a task to %s, whom it may not see: %v", owner, err)
			}
			by = g.AdminKey
		}
		if _, err := adopt(t.Context(), g, by, "held", owner, task); err != nil {
			t.Fatalf("adopt for %s: %v", owner, err)
		}
		c := peers.NewDialectClient(t, agent.Dialect, peers.ClientConfig{Base: g.AgentURL("held"), Key: secret, Agent: "held"})
		if got, err := c.Get(t.Context(), task.ID, 0); err != nil || got.State != "working" {
			t.Errorf("%s gets %+v, %v", owner, got, err)
		}
		wantNotFound(t, "not adopted for it", g, agent.Dialect, key, task)
	}
}

// setup is a gateway with an agent "held" of team "demo", which only its team may call.
type setup struct {
	g     *gatewaytest.Gateway
	idp   *testIssuer
	agent *peers.DialectAgent
	rules policyv1connect.PolicyServiceClient
}

func disableDemo(t *testing.T, s *setup) error {
	_, err := s.g.Identity.UpdateTeam(t.Context(), &identityv1.UpdateTeamRequest{
		Team: &identityv1.Team{Name: "teams/demo", Disabled: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
	})
	return err
}

// granted makes a key of another team that a grant lets call.
func granted(t *testing.T, s *setup) string {
	t.Helper()
	secret := roleKey(t, s.g, "other", "guest")
	if _, err := s.rules.CreateGrant(t.Context(), &policyv1.CreateGrantRequest{GrantId: "g-test", Grant: &policyv1.Grant{
		Principal: "key:teams/other/keys/guest", Agents: "agent:held", Actions: []string{"invoke"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
	}}); err != nil {
		t.Fatal(err)
	}
	return secret
}

// Whatever takes a right away ends the open streams that rest on it, in every dialect,
// and nobody else's.
func TestRevoke_WhateverTheRightRestedOn(t *testing.T) {
	// Each begins with a caller that may call and a right to take away.
	for name, tc := range map[string]struct {
		caller func(t *testing.T, s *setup) (secret string)
		revoke func(t *testing.T, s *setup) error
	}{
		"a user is disabled": {
			func(t *testing.T, s *setup) string { return s.idp.token(t, "ada", time.Hour, "demo") },
			func(t *testing.T, s *setup) error {
				for deadline := time.Now().Add(revokedWithin); ; { // users who have just come are written soon, not at once
					_, err := s.g.Identity.DisableUser(t.Context(), &identityv1.DisableUserRequest{Name: "users/idp~ada"})
					if connect.CodeOf(err) != connect.CodeNotFound || time.Now().After(deadline) {
						return err
					}
				}
			},
		},
		"an issuer is disabled": {
			func(t *testing.T, s *setup) string { return s.idp.token(t, "ada", time.Hour, "demo") },
			func(t *testing.T, s *setup) error {
				_, err := s.g.Identity.UpdateIssuer(t.Context(), &identityv1.UpdateIssuerRequest{
					Issuer: &identityv1.Issuer{Name: "issuers/idp", Disabled: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
				})
				return err
			},
		},
		"a team of a user is disabled": {
			func(t *testing.T, s *setup) string { return s.idp.token(t, "ada", time.Hour, "demo") },
			disableDemo,
		},
		"the team of a key is disabled": {
			func(t *testing.T, s *setup) string { return roleKey(t, s.g, "demo", "extra") },
			disableDemo,
		},
		"an agent that calls is suspended": {
			func(t *testing.T, s *setup) string { return actingKey(t, s.g, "acting", "demo", s.agent.URL) },
			func(t *testing.T, s *setup) error {
				_, err := s.g.Registry.SuspendAgent(t.Context(), &registryv1.SuspendAgentRequest{Name: "agents/acting", Reason: "test"})
				return err
			},
		},
		"a role is taken away": {
			func(t *testing.T, s *setup) string {
				return roleKey(t, s.g, "other", "helper", "teams/demo/roles/member", "teams/other/roles/member")
			},
			func(t *testing.T, s *setup) error {
				_, err := s.g.Identity.RemoveRoleMember(t.Context(), &identityv1.RemoveRoleMemberRequest{
					Role: "teams/demo/roles/member", Member: "teams/other/keys/helper",
				})
				return err
			},
		},
		"a grant is disabled": {
			granted,
			func(t *testing.T, s *setup) error {
				_, err := s.rules.UpdateGrant(t.Context(), &policyv1.UpdateGrantRequest{
					Grant: &policyv1.Grant{Name: "grants/g-test", Disabled: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
				})
				return err
			},
		},
		"a grant is deleted": {
			granted,
			func(t *testing.T, s *setup) error {
				_, err := s.rules.DeleteGrant(t.Context(), &policyv1.DeleteGrantRequest{Name: "grants/g-test"})
				return err
			},
		},
		"a grant ends": {
			granted,
			func(t *testing.T, s *setup) error {
				_, err := s.rules.UpdateGrant(t.Context(), &policyv1.UpdateGrantRequest{
					Grant:      &policyv1.Grant{Name: "grants/g-test", ExpireTime: timestamppb.New(time.Now().Add(2 * time.Second))},
					UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expire_time"}},
				})
				return err
			},
		},
		"a policy forbids": {
			func(t *testing.T, s *setup) string { return roleKey(t, s.g, "demo", "extra") },
			func(t *testing.T, s *setup) error {
				_, err := s.rules.ApplyPolicy(t.Context(), &policyv1.ApplyPolicyRequest{
					PolicyId: "stop", Mode: policyv1.Mode_MODE_ENFORCE,
					Text: `forbid (principal == Signalbox::Key::"teams/demo/keys/extra", action in Signalbox::Action::"invoke", resource);`,
				})
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &setup{g: gatewaytest.Start(t)}
			s.g.Team("demo")
			bystander := s.g.Team("bystanders")
			s.g.Team("other")
			s.agent = peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
			registerDialect(s.g, "held", s.agent)
			s.idp, s.rules = newIssuer(t, s.g, "demo"), policies(s.g, s.g.AdminKey)
			// Only who belongs to the team, or has a grant, may call; and the bystander.
			if _, err := s.g.Registry.UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
				Agent:      &registryv1.Agent{Name: "agents/held", Visibility: registryv1.Visibility_VISIBILITY_TEAM},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"visibility"}},
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.rules.CreateGrant(t.Context(), &policyv1.CreateGrantRequest{Grant: &policyv1.Grant{
				Principal: "team:bystanders", Agents: "agent:held", Actions: []string{"invoke"},
			}}); err != nil {
				t.Fatal(err)
			}
			secret := tc.caller(t, s)
			others, kept := openStreams(t, s.g, bystander)
			_, ends := openStreams(t, s.g, secret)
			begin := time.Now()
			if err := tc.revoke(t, s); err != nil {
				t.Fatal(err)
			}
			// New calls are refused as soon as the write is answered, or when the right ends.
			deadline := begin.Add(revokedWithin)
			for {
				r := s.g.Call("held", secret, "SendMessage", gatewaytest.Message("m", "hi", ""), "A2A-Version", "1.0")
				if r.Status == http.StatusUnauthorized || r.Status == http.StatusNotFound {
					break
				}
				if time.Now().After(deadline) || name != "a grant ends" {
					t.Fatalf("a new call after %s: HTTP %d %s", time.Since(begin), r.Status, r.Body)
				}
			}
			checkRevoked(t, s.g, begin, ends())
			for _, id := range others {
				s.agent.Release(id)
			}
			for d, err := range kept() {
				if err != nil {
					t.Errorf("%s: the stream of another ended with %v", d, err)
				}
			}
		})
	}
}
