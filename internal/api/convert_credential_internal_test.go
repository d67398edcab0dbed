package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

// What depends on the caller is read and shown whole, but for its secret.
func TestConvertCredential_OfKindsForCallers(t *testing.T) {
	exchange := &registryv1.TokenExchange{
		TokenUrl: "https://idp.example/token", ClientId: "gw", ClientSecret: "s3cret-marker", Scopes: []string{"a", "b"}, Audience: "planner",
		Resource: "https://planner.example", ClientAuthentication: registryv1.ClientAuthentication_CLIENT_AUTHENTICATION_HEADER,
		SubjectTokenType: registryv1.TokenType_TOKEN_TYPE_ACCESS_TOKEN, RequestedTokenType: registryv1.TokenType_TOKEN_TYPE_ID_TOKEN, ActorToken: true,
	}
	shown := proto.CloneOf(exchange)
	shown.ClientSecret = ""
	identity := &registryv1.Credential_IdentityToken{IdentityToken: &registryv1.IdentityToken{Header: "X-Who", Audience: "https://planner.example"}}
	for name, tc := range map[string]struct {
		given, want *registryv1.Credential
		secret      string
	}{
		"identity token": {&registryv1.Credential{Scheme: identity}, &registryv1.Credential{Scheme: identity}, ""},
		"token exchange": {
			&registryv1.Credential{Scheme: &registryv1.Credential_TokenExchange{TokenExchange: exchange}},
			&registryv1.Credential{Scheme: &registryv1.Credential_TokenExchange{TokenExchange: shown}}, "s3cret-marker",
		},
		"token exchange with the least": {
			&registryv1.Credential{Scheme: &registryv1.Credential_TokenExchange{TokenExchange: &registryv1.TokenExchange{TokenUrl: "https://idp.example/token"}}},
			&registryv1.Credential{Scheme: &registryv1.Credential_TokenExchange{TokenExchange: &registryv1.TokenExchange{TokenUrl: "https://idp.example/token"}}}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := credentialOf(tc.given)
			if string(g.Secret) != tc.secret {
				t.Error("the secret was not read")
			}
			if diff := cmp.Diff(tc.want, credentialToProto(&g.Credential), protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
