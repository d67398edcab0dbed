package api

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

const (
	fieldCredential        = "credential"
	fieldTransportSecurity = "transport_security"
	prefixClientAuth       = "CLIENT_AUTHENTICATION_"
	prefixTokenType        = "TOKEN_TYPE_"
)

// credentialToProto shows all of a credential but its secrets.
func credentialToProto(c *credential.Credential) *registryv1.Credential {
	if c == nil {
		return nil
	}
	out := &registryv1.Credential{
		ExtraOrigins: c.ExtraOrigins, SentTo: c.SentTo, Fingerprint: c.Fingerprint, SetTime: timestamp(c.SetTime),
	}
	switch c.Kind {
	case credential.Bearer:
		out.Scheme = &registryv1.Credential_Bearer{Bearer: &registryv1.BearerToken{}}
	case credential.APIKey:
		out.Scheme = &registryv1.Credential_ApiKey{ApiKey: &registryv1.ApiKeyHeader{Header: c.Header}}
	case credential.Basic:
		out.Scheme = &registryv1.Credential_Basic{Basic: &registryv1.BasicAuthentication{Username: c.Username}}
	case credential.OAuth2:
		out.Scheme = &registryv1.Credential_Oauth2{Oauth2: &registryv1.OAuth2ClientCredentials{
			TokenUrl: c.TokenURL, ClientId: c.ClientID, Scopes: c.Scopes, Audience: c.Audience,
			ClientAuthentication: clientAuthToProto(c.ClientAuthentication),
		}}
	case credential.AWSSigV4:
		out.Scheme = &registryv1.Credential_AwsSigv4{AwsSigv4: &registryv1.AwsSigV4{
			Region: c.Region, Service: c.Service, AccessKeyId: c.AccessKeyID,
		}}
	case credential.Google:
		out.Scheme = &registryv1.Credential_Google{Google: &registryv1.GoogleServiceAccount{
			Scopes: c.Scopes, Audience: c.Audience, ClientEmail: c.ClientEmail, PrivateKeyId: c.PrivateKeyID, TokenUrl: c.TokenURL,
		}}
	case credential.Entra:
		out.Scheme = &registryv1.Credential_Entra{Entra: &registryv1.EntraApplication{
			Tenant: c.Tenant, ClientId: c.ClientID, Scopes: c.Scopes, Authority: c.Authority,
		}}
	case credential.IdentityToken:
		out.Scheme = &registryv1.Credential_IdentityToken{IdentityToken: &registryv1.IdentityToken{Header: c.Header, Audience: c.Audience}}
	case credential.TokenExchange:
		out.Scheme = &registryv1.Credential_TokenExchange{TokenExchange: &registryv1.TokenExchange{
			TokenUrl: c.TokenURL, ClientId: c.ClientID, Scopes: c.Scopes, Audience: c.Audience, Resource: c.Resource,
			ClientAuthentication: clientAuthToProto(c.ClientAuthentication),
			SubjectTokenType:     tokenTypeToProto(c.SubjectTokenType), RequestedTokenType: tokenTypeToProto(c.RequestedTokenType), ActorToken: c.ActorToken,
		}}
	}
	return out
}

func clientAuthToProto(a credential.ClientAuthentication) registryv1.ClientAuthentication {
	return registryv1.ClientAuthentication(registryv1.ClientAuthentication_value[prefixClientAuth+string(a)])
}

// clientAuthOf returns the empty text for what was not given.
func clientAuthOf(a registryv1.ClientAuthentication) credential.ClientAuthentication {
	if a == registryv1.ClientAuthentication_CLIENT_AUTHENTICATION_UNSPECIFIED {
		return ""
	}
	return credential.ClientAuthentication(strings.TrimPrefix(a.String(), prefixClientAuth))
}

func tokenTypeToProto(t credential.TokenType) registryv1.TokenType {
	return registryv1.TokenType(registryv1.TokenType_value[prefixTokenType+string(t)])
}

// tokenTypeOf returns the empty text for what was not given.
func tokenTypeOf(t registryv1.TokenType) credential.TokenType {
	if t == registryv1.TokenType_TOKEN_TYPE_UNSPECIFIED {
		return ""
	}
	return credential.TokenType(strings.TrimPrefix(t.String(), prefixTokenType))
}

// credentialOf reads a credential that was given; nil for none.
func credentialOf(in *registryv1.Credential) *credential.Given {
	if in == nil {
		return nil
	}
	g := &credential.Given{Credential: credential.Credential{ExtraOrigins: in.GetExtraOrigins()}}
	switch scheme := in.GetScheme().(type) {
	case *registryv1.Credential_Bearer:
		g.Kind, g.Secret = credential.Bearer, credential.Text(scheme.Bearer.GetToken())
	case *registryv1.Credential_ApiKey:
		g.Kind, g.Header, g.Secret = credential.APIKey, scheme.ApiKey.GetHeader(), credential.Text(scheme.ApiKey.GetValue())
	case *registryv1.Credential_Basic:
		g.Kind, g.Username, g.Secret = credential.Basic, scheme.Basic.GetUsername(), credential.Text(scheme.Basic.GetPassword())
	case *registryv1.Credential_Oauth2:
		s := scheme.Oauth2
		g.Kind, g.TokenURL, g.ClientID, g.Secret = credential.OAuth2, s.GetTokenUrl(), s.GetClientId(), credential.Text(s.GetClientSecret())
		g.Scopes, g.Audience = s.GetScopes(), s.GetAudience()
		g.ClientAuthentication = clientAuthOf(s.GetClientAuthentication())
	case *registryv1.Credential_AwsSigv4:
		s := scheme.AwsSigv4
		g.Kind, g.Region, g.Service, g.AccessKeyID = credential.AWSSigV4, s.GetRegion(), s.GetService(), s.GetAccessKeyId()
		g.Secret, g.SessionToken = credential.Text(s.GetSecretAccessKey()), credential.Text(s.GetSessionToken())
	case *registryv1.Credential_Google:
		s := scheme.Google
		g.Kind, g.Scopes, g.Audience, g.Secret = credential.Google, s.GetScopes(), s.GetAudience(), credential.Text(s.GetKeyJson())
	case *registryv1.Credential_Entra:
		s := scheme.Entra
		g.Kind, g.Tenant, g.ClientID, g.Secret = credential.Entra, s.GetTenant(), s.GetClientId(), credential.Text(s.GetClientSecret())
		g.Scopes, g.Authority = s.GetScopes(), s.GetAuthority()
	case *registryv1.Credential_IdentityToken:
		g.Kind, g.Header, g.Audience = credential.IdentityToken, scheme.IdentityToken.GetHeader(), scheme.IdentityToken.GetAudience()
	case *registryv1.Credential_TokenExchange:
		s := scheme.TokenExchange
		g.Kind, g.TokenURL, g.ClientID, g.Secret = credential.TokenExchange, s.GetTokenUrl(), s.GetClientId(), credential.Text(s.GetClientSecret())
		g.Scopes, g.Audience, g.Resource = s.GetScopes(), s.GetAudience(), s.GetResource()
		g.ClientAuthentication = clientAuthOf(s.GetClientAuthentication())
		g.SubjectTokenType, g.RequestedTokenType, g.ActorToken = tokenTypeOf(s.GetSubjectTokenType()), tokenTypeOf(s.GetRequestedTokenType()), s.GetActorToken()
	}
	return g
}

// tlsToProto shows all but the private key.
func tlsToProto(t *credential.TLS) *registryv1.TransportSecurity {
	if t == nil {
		return nil
	}
	return &registryv1.TransportSecurity{
		CaCertificates: t.CA, ClientCertificate: t.Certificate, ServerName: t.ServerName,
		ClientCertificateSha256: t.CertificateSHA256, ClientCertificateExpireTime: timestamp(t.ExpireTime),
	}
}

func tlsOf(in *registryv1.TransportSecurity) *credential.GivenTLS {
	if in == nil {
		return nil
	}
	return &credential.GivenTLS{
		CA: in.GetCaCertificates(), Certificate: in.GetClientCertificate(), ServerName: in.GetServerName(), Key: credential.Text(in.GetClientKey()),
	}
}

// secretsUpdate adds to an update what it does to credential and transport security. A
// client that does not know these fields leaves them out when it writes all of an agent
// back, so only who names them takes them away.
func secretsUpdate(u *registry.Update, in *registryv1.Agent, fields map[string]bool, mask *fieldmaskpb.FieldMask) {
	if fields[fieldCredential] {
		u.Credential = credentialOf(in.GetCredential())
		u.ClearCredential = u.Credential == nil && slices.Contains(mask.GetPaths(), fieldCredential)
	}
	if fields[fieldTransportSecurity] {
		u.TLS = tlsOf(in.GetTransportSecurity())
		u.ClearTLS = u.TLS == nil && slices.Contains(mask.GetPaths(), fieldTransportSecurity)
	}
}
