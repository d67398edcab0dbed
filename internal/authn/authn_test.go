package authn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// fixed is a configuration that does not change.
type fixed struct{ delta snapshot.Delta }

func (f fixed) Revision(context.Context) (int64, error)                      { return f.delta.Revision, nil }
func (f fixed) All(context.Context) (snapshot.Delta, error)                  { return f.delta, nil }
func (f fixed) Since(context.Context, int64, string) (snapshot.Delta, error) { return f.delta, nil }

var (
	keyUID, agentKeyUID, agentUID = uuid.New(), uuid.New(), uuid.New()
	now                           = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// catalogue is a team "a" with a key, an agent with a key of its own, and an issuer.
func catalogue(t *testing.T, change ...func(*snapshot.Delta)) *snapshot.Snapshot {
	t.Helper()
	team, issuer := uuid.New(), uuid.New()
	d := snapshot.Delta{
		Revision: 1,
		Teams:    map[uuid.UUID]*identity.Team{team: {UID: team, ID: "a"}},
		Issuers:  map[uuid.UUID]*identity.Issuer{issuer: {UID: issuer, ID: "idp", URL: "https://idp.example.com"}},
		Users:    map[uuid.UUID]*identity.User{},
		Keys: map[uuid.UUID]*identity.Key{
			keyUID: {
				UID: keyUID, Team: "a", ID: "ci", Secrets: []identity.Secret{{SHA256: identity.HashSecret("sb_ci")}},
				CertificateNames: []string{"URI:spiffe://prod/ci", "DNS:ci.example.com"},
			},
			agentKeyUID: {
				UID: agentKeyUID, Team: "a", ID: "bot", AgentUID: agentUID, Agent: "bot",
				Secrets: []identity.Secret{{SHA256: identity.HashSecret("sb_bot")}}, CertificateNames: []string{"DNS:bot.example.com"},
			},
		},
		Agents: map[uuid.UUID]*registry.Agent{agentUID: {UID: agentUID, ID: "bot", Team: "a", State: registry.StateApproved}},
	}
	for _, c := range change {
		c(&d)
	}
	f, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{d}})
	if err != nil {
		t.Fatal(err)
	}
	return f.Current()
}

// tokens believes one token.
type tokens struct {
	principal identity.Principal
	err       error
}

func (f tokens) Verify(context.Context, token.Issuers, string, time.Time) (identity.Principal, error) {
	return f.principal, f.err
}

func verified(t *testing.T, uris []string, dns ...string) *tls.ConnectionState {
	t.Helper()
	leaf := &x509.Certificate{DNSNames: dns}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		leaf.URIs = append(leaf.URIs, u)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
}

const jwtLike = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"

func TestAuthenticate_EveryKindOfCredential(t *testing.T) {
	user := identity.Principal{
		Kind: identity.KindUser, UID: uuid.New(), Name: "users/idp~ada",
		Claims: &identity.Claims{Issuer: "idp", Subject: "ada", UserID: "idp~ada", Teams: []string{"a", "gone"}, Expires: now.Add(time.Hour)},
	}
	member := user
	member.Team = "a"
	key := identity.Principal{Kind: identity.KindKey, UID: keyUID, Name: "teams/a/keys/ci", Team: "a", Key: keyUID}
	agent := identity.Principal{Kind: identity.KindAgent, UID: agentUID, Name: "agents/bot", Team: "a", Key: agentKeyUID}
	unverified := verified(t, []string{"spiffe://prod/ci"})
	unverified.VerifiedChains = nil
	teamOff := func(d *snapshot.Delta) {
		for _, team := range d.Teams {
			team.Disabled = true
		}
	}
	tests := []struct {
		name   string
		c      authn.Credential
		change func(*snapshot.Delta)
		tokens authn.Tokens
		want   identity.Principal
		err    error
	}{
		{name: "nothing", err: identity.ErrCredentialsMissing},
		{name: "an empty secret", c: authn.Credential{Given: true}, err: identity.ErrCredentialsInvalid},
		{name: "a key", c: authn.Credential{Given: true, Secret: "sb_ci"}, want: key},
		{name: "another key", c: authn.Credential{Given: true, Secret: "sb_other"}, err: identity.ErrCredentialsInvalid},
		{name: "an agent's key", c: authn.Credential{Given: true, Secret: "sb_bot"}, want: agent},
		{
			name: "an agent's key, the agent suspended", c: authn.Credential{Given: true, Secret: "sb_bot"},
			change: func(d *snapshot.Delta) { d.Agents[agentUID].State = registry.StateSuspended }, err: identity.ErrAgentNotActive,
		},
		{
			name: "an agent's key, the agent gone", c: authn.Credential{Given: true, Secret: "sb_bot"},
			change: func(d *snapshot.Delta) { delete(d.Agents, agentUID) }, err: identity.ErrAgentNotActive,
		},
		{name: "a key of a disabled team", c: authn.Credential{Given: true, Secret: "sb_ci"}, change: teamOff, err: identity.ErrTeamDisabled},
		{
			name: "a disabled key", c: authn.Credential{Given: true, Secret: "sb_ci"},
			change: func(d *snapshot.Delta) { d.Keys[keyUID].Disabled = true }, err: identity.ErrKeyDisabled,
		},
		{
			name: "a key at the moment of its end", c: authn.Credential{Given: true, Secret: "sb_ci"},
			change: func(d *snapshot.Delta) { d.Keys[keyUID].ExpireTime = now }, err: identity.ErrKeyExpired,
		},
		{name: "a certificate", c: authn.Credential{TLS: verified(t, []string{"spiffe://prod/ci"})}, want: key},
		{name: "a certificate of a host", c: authn.Credential{TLS: verified(t, nil, "other.example.com", "CI.example.com")}, want: key},
		{name: "a certificate of an agent", c: authn.Credential{TLS: verified(t, nil, "bot.example.com")}, want: agent},
		{name: "a certificate of nobody", c: authn.Credential{TLS: verified(t, nil, "x.example.com")}, err: authn.ErrCertificateUnknown},
		{name: "a certificate that was not verified", c: authn.Credential{TLS: unverified}, err: identity.ErrCredentialsMissing},
		{
			name: "a secret goes before a certificate", c: authn.Credential{Given: true, Secret: "sb_bot", TLS: verified(t, []string{"spiffe://prod/ci"})},
			want: agent,
		},
		{
			name: "a wrong secret is not made good by a certificate",
			c:    authn.Credential{Given: true, Secret: "sb_wrong", TLS: verified(t, []string{"spiffe://prod/ci"})}, err: identity.ErrCredentialsInvalid,
		},
		{name: "a token", c: authn.Credential{Given: true, Secret: jwtLike}, tokens: tokens{principal: user}, want: member},
		{name: "a token of a disabled team", c: authn.Credential{Given: true, Secret: jwtLike}, tokens: tokens{principal: user}, change: teamOff, want: user},
		{name: "a token where none are believed", c: authn.Credential{Given: true, Secret: jwtLike}, err: identity.ErrCredentialsInvalid},
		{
			name: "a token of a disabled user", c: authn.Credential{Given: true, Secret: jwtLike}, tokens: tokens{principal: user},
			change: func(d *snapshot.Delta) {
				d.Users[user.UID] = &identity.User{UID: user.UID, ID: "idp~ada", Disabled: true}
			}, err: identity.ErrUserDisabled,
		},
		{
			name: "a token of a disabled issuer", c: authn.Credential{Given: true, Secret: jwtLike}, tokens: tokens{principal: user},
			change: func(d *snapshot.Delta) {
				for _, i := range d.Issuers {
					i.Disabled = true
				}
			}, err: identity.ErrCredentialsInvalid,
		},
		{name: "a token that is not valid", c: authn.Credential{Given: true, Secret: jwtLike}, tokens: tokens{err: identity.ErrTokenInvalid}, err: identity.ErrTokenInvalid},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var used []uuid.UUID
			var seen []string
			a := authn.New(authn.Config{
				Tokens: tc.tokens, KeyUsed: func(uid uuid.UUID) { used = append(used, uid) },
				UserSeen: func(p *identity.Principal) { seen = append(seen, p.Name) },
			})
			var change []func(*snapshot.Delta)
			if tc.change != nil {
				change = append(change, tc.change)
			}
			got, err := a.Authenticate(t.Context(), catalogue(t, change...), tc.c, now)
			if !errors.Is(err, tc.err) || (tc.err == nil) != (err == nil) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("principal (-want +got):\n%s", diff)
			}
			if wantUsed := tc.want.Key != uuid.Nil; wantUsed != (len(used) == 1) || wantUsed && used[0] != tc.want.Key {
				t.Errorf("uses of keys: %v", used)
			}
			if wantSeen := tc.want.Kind == identity.KindUser; wantSeen != slices.Equal(seen, []string{user.Name}) {
				t.Errorf("users seen: %v", seen)
			}
		})
	}
}

func TestExplain_EveryReasonIsInTheContract(t *testing.T) {
	for _, err := range []error{
		identity.ErrCredentialsMissing, identity.ErrCredentialsInvalid, identity.ErrKeyExpired, identity.ErrKeyDisabled, identity.ErrTeamDisabled,
		identity.ErrUserDisabled, identity.ErrAgentNotActive, identity.ErrTokenExpired, identity.ErrTokenInvalid, identity.ErrIssuerUnavailable,
		authn.ErrCertificateUnknown,
	} {
		r := authn.Explain(fmt.Errorf("wrapped: %w", err))
		if _, ok := errorv1.Reason_value["REASON_"+r.Reason]; !ok || r.Text == "" {
			t.Errorf("%v is explained as %+v", err, r)
		}
		if (r.Error == "") != (errors.Is(err, identity.ErrCredentialsMissing) || r.Unavailable) {
			t.Errorf("%v has the challenge error %q", err, r.Error)
		}
	}
}

func TestChallenge_PointsToMetadataOnlyWhereTokensAreBelieved(t *testing.T) {
	r := authn.Explain(identity.ErrTokenExpired)
	const resource = "https://box.example.com/a2a/bot"
	got := authn.Challenge(catalogue(t), resource, r)
	if want := `Bearer realm="signalbox", error="invalid_token", resource_metadata="https://box.example.com/.well-known/oauth-protected-resource/a2a/bot"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	none := catalogue(t, func(d *snapshot.Delta) { d.Issuers = nil })
	if got := authn.Challenge(none, resource, r); strings.Contains(got, "resource_metadata") {
		t.Errorf("without issuers the challenge is %s", got)
	}
}
