package cli

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

// Flags of what the gateway shows to an agent.
const (
	flagBearer          = "credential-bearer-file" //nolint:gosec // a name and no credential
	flagHeader          = "credential-header"
	flagHeaderValue     = "credential-value-file"
	flagBasic           = "credential-basic-file"
	flagOAuth2          = "credential-oauth2"
	flagAWS             = "credential-aws"
	flagGoogle          = "credential-google"
	flagEntra           = "credential-entra"
	flagIdentity        = "credential-identity-token"
	flagExchange        = "credential-exchange"
	flagScope           = "credential-scope"
	flagAudience        = "credential-audience"
	flagOrigin          = "credential-origin"
	flagClearCredential = "clear-credential" //nolint:gosec // a name and no credential
	flagCA              = "ca-file"
	flagClientCert      = "client-cert"
	flagClientKey       = "client-key"
	flagTLSName         = "tls-server-name"
	flagClearTLS        = "clear-tls"
)

// sourceHelp is how every secret is given: never as an argument, which other users of the
// machine can read.
const sourceHelp = ` ("-" is standard input, env:NAME a variable)`

// credentialFlags are the credential and the TLS of an agent.
type credentialFlags struct {
	bearer, header, headerValue, basic string
	oauth2, aws, google, entra         string
	identity, exchange                 string
	scopes, origins                    []string
	audience                           string
	ca, clientCert, clientKey, tlsName string
	clearCredential, clearTLS          bool
}

// schemeFlags are the flags of which each gives a credential of its own.
func schemeFlags() []string {
	return []string{flagBearer, flagHeader, flagBasic, flagOAuth2, flagAWS, flagGoogle, flagEntra, flagIdentity, flagExchange}
}

func tlsFlags() []string { return []string{flagCA, flagClientCert, flagClientKey, flagTLSName} }

func (f *credentialFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	file := func(at *string, name, usage string, kinds ...string) {
		flags.StringVar(at, name, "", usage+sourceHelp)
		must(cmd.MarkFlagFilename(name, kinds...))
	}
	file(&f.bearer, flagBearer, "show the agent the bearer token in this file")
	flags.StringVar(&f.header, flagHeader, "", "show the agent an API key in this header; the value comes from --"+flagHeaderValue)
	file(&f.headerValue, flagHeaderValue, "file with the value for --"+flagHeader)
	file(&f.basic, flagBasic, "show the agent the USER:PASSWORD in this file")
	file(&f.oauth2, flagOAuth2, "show the agent tokens of the OAuth 2.0 client in this file", "yaml", "yml", "json")
	file(&f.aws, flagAWS, "sign requests with the AWS key in this file, version 4", "yaml", "yml", "json")
	file(&f.google, flagGoogle, "show the agent tokens of the Google service account whose key file this is", "json")
	file(&f.entra, flagEntra, "show the agent tokens of the Microsoft Entra application in this file", "yaml", "yml", "json")
	flags.StringVar(&f.identity, flagIdentity, "", "tell the agent who calls, with a token of the gateway's own in this header; without =HEADER in Authorization")
	flags.Lookup(flagIdentity).NoOptDefVal = "Authorization"
	file(&f.exchange, flagExchange, "show the agent tokens that those of callers are exchanged for, as the OAuth 2.0 client in this file (RFC 8693)", "yaml", "yml", "json")
	flags.StringSliceVar(&f.scopes, flagScope, nil, "scope of the tokens of --"+flagGoogle+"; repeat it for more")
	flags.StringVar(&f.audience, flagAudience, "", "audience of id tokens of --"+flagGoogle+", instead of scopes, or of --"+flagIdentity+", instead of the agent's name")
	flags.StringSliceVar(&f.origins, flagOrigin, nil, "origin that the credential may be sent to beside the agent's own, for example https://h.example.com:8443; repeat it for more")
	file(&f.ca, flagCA, "certificates of the authorities that the agent's certificate is issued by, PEM", "pem", "crt")
	file(&f.clientCert, flagClientCert, "certificate to show to the agent, PEM", "pem", "crt")
	file(&f.clientKey, flagClientKey, "private key of --"+flagClientCert+", PEM", "pem", "key")
	flags.StringVar(&f.tlsName, flagTLSName, "", "name that the agent's certificate must be for, instead of the host that is called")
	cmd.MarkFlagsMutuallyExclusive(schemeFlags()...)
	cmd.MarkFlagsRequiredTogether(flagHeader, flagHeaderValue)
}

// addClear adds the flags that take away; only an update has them.
func (f *credentialFlags) addClear(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.clearCredential, flagClearCredential, false, "show the agent no credential any more")
	cmd.Flags().BoolVar(&f.clearTLS, flagClearTLS, false, "trust what the gateway's machine trusts, and show the agent no certificate")
	cmd.MarkFlagsMutuallyExclusive(append(schemeFlags(), flagClearCredential)...)
	for _, name := range tlsFlags() {
		cmd.MarkFlagsMutuallyExclusive(name, flagClearTLS)
	}
}

// names are the flags of which each is a change.
func (*credentialFlags) names() []string {
	return slices.Concat(schemeFlags(), tlsFlags())
}

// source is a flag and the source that it was given.
type source struct{ flag, value string }

// sources are those that can be standard input.
func (f *credentialFlags) sources() []source {
	return []source{
		{flagBearer, f.bearer},
		{flagHeaderValue, f.headerValue},
		{flagBasic, f.basic},
		{flagOAuth2, f.oauth2},
		{flagAWS, f.aws},
		{flagGoogle, f.google},
		{flagEntra, f.entra},
		{flagExchange, f.exchange},
		{flagCA, f.ca},
		{flagClientCert, f.clientCert},
		{flagClientKey, f.clientKey},
	}
}

// checkStdin refuses standard input for two flags.
func checkStdin(sources []source) error {
	first := ""
	for _, s := range sources {
		switch {
		case s.value != "-":
		case first != "":
			return usagef("--%s and --%s cannot both be read from standard input", first, s.flag)
		default:
			first = s.flag
		}
	}
	return nil
}

// set gives an agent what the flags say, and returns which fields they are about.
func (f *credentialFlags) set(p *program, flags *pflag.FlagSet, a *registryv1.Agent) (paths []string, err error) {
	if a.Credential, err = f.credential(p, flags); err != nil {
		return nil, err
	}
	if a.Credential != nil || f.clearCredential {
		paths = append(paths, "credential")
	}
	if slices.ContainsFunc(tlsFlags(), flags.Changed) {
		if a.TransportSecurity, err = f.tls(p); err != nil {
			return nil, err
		}
	}
	if a.TransportSecurity != nil || f.clearTLS {
		paths = append(paths, "transport_security")
	}
	return paths, nil
}

func (f *credentialFlags) credential(p *program, flags *pflag.FlagSet) (*registryv1.Credential, error) {
	c := &registryv1.Credential{ExtraOrigins: notEmpty(f.origins)}
	text := func(flag, source string) (string, error) {
		raw, err := p.readSecret(source)
		if err != nil {
			return "", doingf(err, "read --%s", flag)
		}
		value := strings.TrimRight(string(raw), "\r\n")
		if value == "" {
			return "", usagef("--%s: there is nothing in %s", flag, source)
		}
		return value, nil
	}
	if len(f.scopes) > 0 && f.google == "" || f.audience != "" && f.google == "" && f.identity == "" {
		return nil, usagef("--%s is for --%s, and --%s for that and --%s; in the files of the others they have lines of their own", flagScope, flagGoogle, flagAudience, flagIdentity)
	}
	switch {
	case flags.Changed(flagBearer):
		token, err := text(flagBearer, f.bearer)
		c.Scheme = &registryv1.Credential_Bearer{Bearer: &registryv1.BearerToken{Token: token}}
		return c, err
	case flags.Changed(flagHeader):
		value, err := text(flagHeaderValue, f.headerValue)
		c.Scheme = &registryv1.Credential_ApiKey{ApiKey: &registryv1.ApiKeyHeader{Header: f.header, Value: value}}
		return c, err
	case flags.Changed(flagBasic):
		pair, err := text(flagBasic, f.basic)
		if err != nil {
			return nil, err
		}
		user, password, ok := strings.Cut(pair, ":")
		if !ok {
			return nil, usagef("--%s: there is no USER:PASSWORD in %s", flagBasic, f.basic)
		}
		c.Scheme = &registryv1.Credential_Basic{Basic: &registryv1.BasicAuthentication{Username: user, Password: password}}
		return c, nil
	case flags.Changed(flagGoogle):
		key, err := text(flagGoogle, f.google)
		c.Scheme = &registryv1.Credential_Google{Google: &registryv1.GoogleServiceAccount{KeyJson: key, Scopes: notEmpty(f.scopes), Audience: f.audience}}
		return c, err
	case flags.Changed(flagOAuth2):
		scheme := &registryv1.OAuth2ClientCredentials{}
		c.Scheme = &registryv1.Credential_Oauth2{Oauth2: scheme}
		return c, p.readScheme(flagOAuth2, f.oauth2, scheme)
	case flags.Changed(flagAWS):
		scheme := &registryv1.AwsSigV4{}
		c.Scheme = &registryv1.Credential_AwsSigv4{AwsSigv4: scheme}
		return c, p.readScheme(flagAWS, f.aws, scheme)
	case flags.Changed(flagEntra):
		scheme := &registryv1.EntraApplication{}
		c.Scheme = &registryv1.Credential_Entra{Entra: scheme}
		return c, p.readScheme(flagEntra, f.entra, scheme)
	case flags.Changed(flagIdentity):
		c.Scheme = &registryv1.Credential_IdentityToken{IdentityToken: &registryv1.IdentityToken{Header: f.identity, Audience: f.audience}}
		return c, nil
	case flags.Changed(flagExchange):
		scheme := &registryv1.TokenExchange{}
		c.Scheme = &registryv1.Credential_TokenExchange{TokenExchange: scheme}
		return c, p.readScheme(flagExchange, f.exchange, scheme)
	case len(f.origins) > 0:
		return nil, usagef("--%s goes with the credential that is sent there: give that too", flagOrigin)
	}
	return nil, nil
}

func (f *credentialFlags) tls(p *program) (*registryv1.TransportSecurity, error) {
	t := &registryv1.TransportSecurity{ServerName: f.tlsName}
	for _, file := range []struct {
		flag, source string
		to           *string
	}{
		{flagCA, f.ca, &t.CaCertificates},
		{flagClientCert, f.clientCert, &t.ClientCertificate},
		{flagClientKey, f.clientKey, &t.ClientKey},
	} {
		if file.source == "" {
			continue
		}
		raw, err := p.readSecret(file.source)
		if err != nil {
			return nil, doingf(err, "read --%s", file.flag)
		}
		*file.to = string(raw)
	}
	return t, nil
}

// keepTLS leaves what the flags do not name as it is.
func (f *credentialFlags) keepTLS(flags *pflag.FlagSet, given, was *registryv1.TransportSecurity) {
	if !flags.Changed(flagCA) {
		given.CaCertificates = was.GetCaCertificates()
	}
	if !flags.Changed(flagClientCert) {
		given.ClientCertificate = was.GetClientCertificate()
	}
	if !flags.Changed(flagTLSName) {
		given.ServerName = was.GetServerName()
	}
}

// readSecret reads a file, standard input or a variable.
func (p *program) readSecret(source string) ([]byte, error) {
	name, ok := strings.CutPrefix(source, "env:")
	if !ok {
		return p.readSource(source)
	}
	value := p.getenv(name)
	if value == "" {
		return nil, fmt.Errorf("the variable %s is not set", name)
	}
	return []byte(value), nil
}

// readScheme reads a file whose members are those of a message. A member can also be
// read from elsewhere: client_secret_file names a file, client_secret_env a variable.
// Errors never repeat a value.
func (p *program) readScheme(flag, source string, into proto.Message) error {
	raw, err := p.readSecret(source)
	if err != nil {
		return doingf(err, "read --%s", flag)
	}
	var members map[string]yaml.Node
	if err := yaml.Unmarshal(raw, &members); err != nil || len(members) == 0 {
		return usagef("--%s: %s is no YAML of names and values; it may have: %s", flag, source, strings.Join(memberNames(into), ", "))
	}
	m := into.ProtoReflect()
	for name, node := range members {
		values, err := nodeValues(&node)
		if err != nil {
			return usagef("--%s: %s: %s %v", flag, source, name, err)
		}
		field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if base, from, ok := elsewhere(name); field == nil && ok && len(values) == 1 {
			field = m.Descriptor().Fields().ByName(protoreflect.Name(base))
			place := from + values[0]
			if from == "" && !filepath.IsAbs(place) && source != "-" && !strings.HasPrefix(source, "env:") {
				place = filepath.Join(filepath.Dir(source), place)
			}
			value, err := p.readSecret(place)
			if err != nil {
				return doingf(err, "read %s of --%s", name, flag)
			}
			values = []string{strings.TrimRight(string(value), "\r\n")}
		}
		if field == nil {
			return usagef("--%s: %s has %q, which is none of: %s", flag, source, name, strings.Join(memberNames(into), ", "))
		}
		if err := setMember(m, field, values); err != nil {
			return usagef("--%s: %s: %s %v", flag, source, name, err)
		}
	}
	return nil
}

// elsewhere splits the name of a member that says where its value is.
func elsewhere(name string) (base, from string, ok bool) {
	if base, ok = strings.CutSuffix(name, "_file"); ok {
		return base, "", true
	}
	base, ok = strings.CutSuffix(name, "_env")
	return base, "env:", ok
}

// nodeValues are the texts of a scalar or of a list of scalars, as they are written: a
// secret of digits is no number.
func nodeValues(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, nil
	case yaml.SequenceNode:
		values := make([]string, len(n.Content))
		for i, one := range n.Content {
			if one.Kind != yaml.ScalarNode {
				return nil, errors.New("is a list of something else than texts")
			}
			values[i] = one.Value
		}
		return values, nil
	default:
		return nil, errors.New("is neither a text nor a list of texts")
	}
}

func setMember(m protoreflect.Message, f protoreflect.FieldDescriptor, values []string) error {
	switch {
	case f.IsList():
		list := m.Mutable(f).List()
		for _, v := range values {
			list.Append(protoreflect.ValueOfString(v))
		}
		return nil
	case len(values) != 1:
		return errors.New("takes one value")
	case f.Kind() == protoreflect.EnumKind:
		all := f.Enum().Values()
		prefix := strings.TrimSuffix(string(all.Get(0).Name()), "UNSPECIFIED")
		v := all.ByName(protoreflect.Name(prefix + strings.ToUpper(values[0])))
		if v == nil {
			var known []string
			for i := 1; i < all.Len(); i++ {
				known = append(known, strings.ToLower(strings.TrimPrefix(string(all.Get(i).Name()), prefix)))
			}
			return errors.New("is not one of " + strings.Join(known, ", "))
		}
		m.Set(f, protoreflect.ValueOfEnum(v.Number()))
		return nil
	case f.Kind() == protoreflect.BoolKind:
		if values[0] != "true" && values[0] != "false" {
			return errors.New("is neither true nor false")
		}
		m.Set(f, protoreflect.ValueOfBool(values[0] == "true"))
		return nil
	}
	m.Set(f, protoreflect.ValueOfString(values[0]))
	return nil
}

func memberNames(m proto.Message) []string {
	fields := m.ProtoReflect().Descriptor().Fields()
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = string(fields.Get(i).Name())
	}
	return names
}

// credentialText is what a credential is, without its secret.
func (p *program) credentialText(c *registryv1.Credential) []string {
	if c == nil {
		return nil
	}
	var kind string
	switch s := c.GetScheme().(type) {
	case *registryv1.Credential_Bearer:
		kind = "bearer token"
	case *registryv1.Credential_ApiKey:
		kind = "API key in " + s.ApiKey.GetHeader()
	case *registryv1.Credential_Basic:
		kind = "user " + s.Basic.GetUsername() + " with password"
	case *registryv1.Credential_Oauth2:
		kind = "OAuth 2.0 client " + s.Oauth2.GetClientId() + " at " + s.Oauth2.GetTokenUrl()
		kind += scopesText(s.Oauth2.GetScopes(), s.Oauth2.GetAudience())
	case *registryv1.Credential_AwsSigv4:
		kind = "AWS signature of " + s.AwsSigv4.GetAccessKeyId() + " for " + s.AwsSigv4.GetService() + " in " + s.AwsSigv4.GetRegion()
	case *registryv1.Credential_Google:
		kind = "Google service account " + s.Google.GetClientEmail() + scopesText(s.Google.GetScopes(), s.Google.GetAudience())
	case *registryv1.Credential_Entra:
		kind = "Entra application " + s.Entra.GetClientId() + " of " + s.Entra.GetTenant() + scopesText(s.Entra.GetScopes(), "")
	case *registryv1.Credential_IdentityToken:
		kind = "token of the gateway's own, which says who calls, in " + s.IdentityToken.GetHeader() + scopesText(nil, s.IdentityToken.GetAudience())
	case *registryv1.Credential_TokenExchange:
		kind = "token in exchange for the caller's, by OAuth 2.0 client " + s.TokenExchange.GetClientId() + " at " + s.TokenExchange.GetTokenUrl()
		kind += scopesText(s.TokenExchange.GetScopes(), s.TokenExchange.GetAudience())
		if resource := s.TokenExchange.GetResource(); resource != "" {
			kind += ", resource " + resource
		}
	}
	set := "set " + p.moment(c.GetSetTime())
	if c.GetFingerprint() != "" {
		set = "fingerprint " + c.GetFingerprint() + ", " + set
	}
	lines := []string{oneLine(kind), oneLine(set)}
	for _, origin := range c.GetSentTo() {
		lines = append(lines, "sent to "+oneLine(origin))
	}
	return lines
}

func scopesText(scopes []string, audience string) string {
	text := ""
	if len(scopes) > 0 {
		text += ", scopes " + strings.Join(scopes, " ")
	}
	if audience != "" {
		text += ", audience " + audience
	}
	return text
}

// tlsText is how gateway and agent know each other in TLS.
func (p *program) tlsText(t *registryv1.TransportSecurity) []string {
	var lines []string
	for rest := []byte(t.GetCaCertificates()); ; {
		var block *pem.Block
		if block, rest = pem.Decode(bytes.TrimSpace(rest)); block == nil {
			break
		}
		name := "an authority"
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			name = c.Subject.String()
		}
		sum := sha256.Sum256(block.Bytes)
		lines = append(lines, oneLine("trusts "+name+", SHA-256 "+hex.EncodeToString(sum[:8])+"…"))
	}
	if hash := t.GetClientCertificateSha256(); hash != "" {
		lines = append(lines, oneLine("shows the certificate with SHA-256 "+hash[:min(16, len(hash))]+"…, good until "+p.moment(t.GetClientCertificateExpireTime())))
	}
	if t.GetServerName() != "" {
		lines = append(lines, "expects a certificate for "+oneLine(t.GetServerName()))
	}
	return lines
}
