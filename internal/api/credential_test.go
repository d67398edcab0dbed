package api_test

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/seal"
)

// newRing is a key-encryption key of the test's own.
func newRing(t *testing.T) *seal.Ring {
	t.Helper()
	ring, err := seal.Open(t.Context(), seal.Config{DataDir: t.TempDir()})
	must(t, err)
	return ring
}

const secretMarker = "s3cret-marker"

func bearerCredential(token string) *registryv1.Credential {
	return &registryv1.Credential{Scheme: &registryv1.Credential_Bearer{Bearer: &registryv1.BearerToken{Token: token}}}
}

// stored returns the secret of an agent as the served configuration has it.
func stored(t *testing.T, p *plane, ring *seal.Ring, name string) string {
	t.Helper()
	a, ok := p.follower.Current().Agent(name)
	if !ok || a.Credential == nil {
		return ""
	}
	secret, err := credential.Open(ring, a.UID, a.Credential)
	must(t, err)
	return string(secret.Value)
}

func TestAgents_ACredentialIsWrittenAndNeverRead(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "demo")
	c := p.as(secret)
	made, err := c.CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "a", Agent: &registryv1.Agent{
		Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:1/x"}}, CardJson: []byte(plainCard), Credential: bearerCredential(secretMarker),
	}})
	must(t, err)
	want := &registryv1.Credential{
		Scheme: &registryv1.Credential_Bearer{Bearer: &registryv1.BearerToken{}}, SentTo: []string{"http://127.0.0.1:1"},
	}
	if diff := cmp.Diff(want, made.GetCredential(), protocmp.Transform(), protocmp.IgnoreFields(want, "fingerprint", "set_time")); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	fingerprint := made.GetCredential().GetFingerprint()
	update := func(change *registryv1.Agent, paths ...string) (*registryv1.Agent, error) {
		change.Name = "agents/a"
		mask := &fieldmaskpb.FieldMask{Paths: paths}
		return c.UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: change, UpdateMask: mask})
	}
	stays := func(what string, a *registryv1.Agent, err error) {
		t.Helper()
		if err != nil || a.GetCredential().GetFingerprint() != fingerprint || stored(t, p, p.ring, "a") != secretMarker {
			t.Errorf("%s: fingerprint %q, want %q; %v", what, a.GetCredential().GetFingerprint(), fingerprint, err)
		}
	}
	got, err := update(&registryv1.Agent{DisplayName: "A"})
	stays("another field", got, err)
	etag := got.GetEtag()
	got, err = update(got)
	stays("writing back what was read", got, err)
	if got.GetEtag() != etag {
		t.Error("writing back what was read is a change")
	}
	got, err = update(&registryv1.Agent{Endpoints: got.GetEndpoints(), Push: got.GetPush(), CardJson: got.GetCardJson()}, "*")
	stays("all fields from a client that does not know credentials", got, err)
	got, err = update(&registryv1.Agent{Credential: bearerCredential("")}, "credential")
	stays("the scheme without a secret", got, err)

	for name, tc := range map[string]struct {
		change *registryv1.Agent
		field  string
	}{
		"an endpoint elsewhere":  {&registryv1.Agent{Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.2:1"}}}, "agent.credential"},
		"another scheme":         {&registryv1.Agent{Credential: &registryv1.Credential{Scheme: &registryv1.Credential_ApiKey{ApiKey: &registryv1.ApiKeyHeader{Header: "X-Key"}}}}, "agent.credential.api_key.value"},
		"an origin":              {&registryv1.Agent{Credential: &registryv1.Credential{Scheme: bearerCredential("").GetScheme(), ExtraOrigins: []string{"https://h"}}}, "agent.credential.bearer.token"},
		"a token that cannot go": {&registryv1.Agent{Credential: bearerCredential(secretMarker + "\r\nX: y")}, "agent.credential.bearer.token"},
		"no scheme":              {&registryv1.Agent{Credential: &registryv1.Credential{}}, ""},
		"a key without its certificate": {
			&registryv1.Agent{TransportSecurity: &registryv1.TransportSecurity{ClientKey: secretMarker}}, "agent.transport_security.client_certificate",
		},
	} {
		_, err := update(tc.change)
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), tc.field) || strings.Contains(fmt.Sprintf("%+v", err), secretMarker) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err = update(&registryv1.Agent{Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.2:1"}}, Credential: bearerCredential("next")})
	if err != nil || got.GetCredential().GetFingerprint() == fingerprint || stored(t, p, p.ring, "a") != "next" {
		t.Errorf("another secret at another endpoint: %v, %v", got.GetCredential(), err)
	}
	list, err := c.ListAgents(t.Context(), &registryv1.ListAgentsRequest{})
	if err != nil || !proto.Equal(list.GetAgents()[0].GetCredential(), got.GetCredential()) {
		t.Errorf("a list shows %v, %v", list.GetAgents(), err)
	}
	got, err = update(&registryv1.Agent{}, "credential")
	if err != nil || got.GetCredential() != nil || stored(t, p, p.ring, "a") != "" {
		t.Errorf("named and not set: %v, %v", got.GetCredential(), err)
	}
	if text := p.log.String(); strings.Contains(text, secretMarker) {
		t.Errorf("the log has the secret:\n%s", text)
	}
	var history string
	must(t, p.pool.QueryRow(t.Context(), `SELECT string_agg(coalesce(before_state::text, '') || coalesce(after_state::text, ''), '') FROM config_changes WHERE resource_kind = 'agent'`).Scan(&history))
	if strings.Contains(history, secretMarker) || !strings.Contains(history, fingerprint) {
		t.Errorf("the history has the secret, or nothing of the credential: %s", history)
	}
}
