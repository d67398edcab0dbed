package credential

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// entraAuthority is where Microsoft Entra is unless told otherwise.
const entraAuthority = "https://login.microsoftonline.com"

// authorization is the header that tokens go into unless told otherwise.
const authorization = "Authorization"

// refusedHeaders are those that say something else than who calls, or that the protocol
// or the connection needs. Families of them end with "-".
var refusedHeaders = []string{
	"host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect", "date", "via", "forwarded",
	"accept", "accept-encoding", "user-agent", "traceparent", "tracestate", "baggage", "cookie2", "set-cookie", "last-event-id",
	"content-", "a2a-", "x-a2a-", "grpc-", "signalbox-", "x-signalbox-", "x-forwarded-", "proxy-", "sec-",
}

// secretField is the field that the secret of a kind is given in.
func secretField(k Kind) string {
	switch k {
	case Bearer:
		return "bearer.token"
	case APIKey:
		return "api_key.value"
	case Basic:
		return "basic.password"
	case OAuth2:
		return "oauth2.client_secret"
	case AWSSigV4:
		return "aws_sigv4.secret_access_key"
	case Google:
		return "google.key_json"
	case Entra:
		return "entra.client_secret"
	case TokenExchange:
		return "token_exchange.client_secret"
	case IdentityToken: // has none
	}
	return ""
}

// normalize checks what was given. It returns what may be shown of it as it is stored,
// and the secret; empty when none was given.
func normalize(g Given) (Credential, Text, error) {
	c, secret := g.Credential, g.Secret
	// These are the gateway's to say.
	c.SentTo, c.Fingerprint, c.SetTime, c.Sealed = nil, "", time.Time{}, seal.Sealed{}
	var err error
	if c.ExtraOrigins, err = normalizeOrigins(c.ExtraOrigins); err != nil {
		return c, "", err
	}
	if secret != "" {
		if err := checkSecret(c.Kind, secret); err != nil {
			return c, "", err
		}
	}
	switch c.Kind {
	case Bearer:
	case APIKey:
		if c.Header, err = normalizeHeader("api_key.header", c.Header); err != nil {
			return c, "", err
		}
	case Basic:
		if strings.ContainsFunc(c.Username, func(r rune) bool { return r == ':' || unicode.IsControl(r) }) || c.Username == "" {
			return c, "", fault("basic.username", "must be without colons and control characters")
		}
	case OAuth2:
		if c.ClientAuthentication == "" {
			c.ClientAuthentication = ClientAuto
		}
		if c.TokenURL, err = normalizeEndpoint("oauth2.token_url", c.TokenURL); err != nil {
			return c, "", err
		}
	case AWSSigV4:
		if secret == "" && g.SessionToken != "" {
			return c, "", fault("aws_sigv4.session_token", "goes with secret_access_key, which is not given")
		}
		if g.SessionToken != "" && !visible(string(g.SessionToken)) {
			return c, "", fault("aws_sigv4.session_token", "has characters that no such token has")
		}
	case Google:
		if secret != "" {
			if secret, err = readGoogleKey(&c, secret); err != nil {
				return c, "", err
			}
		}
		if (len(c.Scopes) == 0) == (c.Audience == "") {
			return c, "", fault("google", "needs either scopes, for an access token, or an audience, for an id token")
		}
	case Entra:
		if c.Authority == "" {
			c.Authority = entraAuthority
		}
		if c.TokenURL, err = normalizeEndpoint("entra.authority", strings.TrimRight(c.Authority, "/")+"/"+url.PathEscape(c.Tenant)+"/oauth2/v2.0/token"); err != nil {
			return c, "", err
		}
	case IdentityToken:
		if err := normalizeIdentity(&c); err != nil {
			return c, "", err
		}
	case TokenExchange:
		if err := normalizeExchange(&c); err != nil {
			return c, "", err
		}
	default:
		return c, "", fault("scheme", "is needed")
	}
	for _, text := range append([]string{c.ClientID, c.Audience, c.Tenant, c.Resource}, c.Scopes...) {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return c, "", fault("scheme", "has a control character")
		}
	}
	if i := slices.IndexFunc(c.Scopes, func(s string) bool { return !visible(s) }); i >= 0 {
		return c, "", fault("scopes", "scope %d has a blank or other character that scopes have not; give each scope alone", i+1)
	}
	return c, secret, nil
}

// normalizeHeader checks the name of a header that is to carry a credential.
func normalizeHeader(field, name string) (string, error) {
	lower := strings.ToLower(name)
	if lower == "" || slices.ContainsFunc(refusedHeaders, func(r string) bool {
		return lower == r || strings.HasSuffix(r, "-") && strings.HasPrefix(lower, r)
	}) || strings.HasSuffix(lower, "-bin") {
		return "", fault(field, "%q cannot carry a credential: the protocol or the connection has a use for it", name)
	}
	return textproto.CanonicalMIMEHeaderKey(name), nil
}

func normalizeIdentity(c *Credential) (err error) {
	if c.Header == "" {
		c.Header = authorization
	}
	if c.Header, err = normalizeHeader("identity_token.header", c.Header); err != nil {
		return err
	}
	if c.Audience == "" {
		return nil
	}
	all, err := normalizeOrigins([]string{c.Audience})
	if err != nil {
		return fault("identity_token.audience", "must be an origin, for example https://agents.example.com, or be left out")
	}
	c.Audience = all[0]
	return nil
}

func normalizeExchange(c *Credential) (err error) {
	if c.ClientAuthentication == "" {
		c.ClientAuthentication = ClientAuto
	}
	if c.SubjectTokenType == "" {
		c.SubjectTokenType = JWT
	}
	if c.Resource != "" {
		u, err := url.Parse(c.Resource)
		if err != nil || !u.IsAbs() || u.Fragment != "" || !visible(c.Resource) {
			return fault("token_exchange.resource", "must be an absolute URI without a fragment (RFC 8707)")
		}
	}
	c.TokenURL, err = normalizeEndpoint("token_exchange.token_url", c.TokenURL)
	return err
}

// checkSecret refuses secrets that could not be sent.
func checkSecret(kind Kind, secret Text) error {
	text := string(secret)
	bad := false
	switch kind {
	case Bearer, AWSSigV4:
		bad = !visible(text)
	case APIKey:
		bad = text != strings.TrimSpace(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
	case Basic, OAuth2, Entra, TokenExchange:
		bad = !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl)
	case Google, IdentityToken:
	}
	if bad {
		return fault(secretField(kind), "has blanks, line ends or other characters that cannot be sent; does it come from a file with a line end?")
	}
	return nil
}

// visible tells whether a text is of ASCII letters, digits and marks alone.
func visible(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// normalizeEndpoint checks the address of a token endpoint.
func normalizeEndpoint(field, raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", fault(field, "is not a URL") // the text of url.Error repeats the address
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return "", fault(field, "must begin with https:// or http:// and name a host")
	case u.User != nil:
		return "", fault(field, "must not hold a user name or password")
	case u.Fragment != "":
		return "", fault(field, "must not have a fragment (#…)")
	}
	u.Host = strings.ToLower(u.Host)
	return u.String(), nil
}

func normalizeOrigins(given []string) ([]string, error) {
	var all []string
	for i, raw := range given {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fault("extra_origins", "number %d is no origin; write for example https://agents.example.com:8443", i+1)
		}
		all = union(all, []string{Origin(u)})
	}
	return all, nil
}

// readGoogleKey reads the key file of a service account and returns its private key.
func readGoogleKey(c *Credential, file Text) (Text, error) {
	const field = "google.key_json"
	var key struct {
		Type         string `json:"type"`
		ClientEmail  string `json:"client_email"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		TokenURI     string `json:"token_uri"`
	}
	switch err := json.Unmarshal([]byte(file), &key); {
	case err != nil:
		return "", fault(field, "is not JSON") // the error's text may repeat parts of it
	case key.Type != "service_account" || key.ClientEmail == "" || key.PrivateKey == "":
		return "", fault(field, "is no key file of a service account: type, client_email or private_key are not those of one")
	case len(key.ClientEmail) > 500 || len(key.PrivateKeyID) > 200 || len(key.TokenURI) > 2000 ||
		strings.ContainsFunc(key.ClientEmail+key.PrivateKeyID, unicode.IsControl):
		return "", fault(field, "is no key file of a service account: its texts are too long")
	}
	if key.TokenURI == "" {
		key.TokenURI = "https://oauth2.googleapis.com/token"
	}
	block, _ := pem.Decode([]byte(key.PrivateKey))
	if block == nil {
		return "", fault(field, "has a private_key that is not PEM")
	}
	if !isRSA(block.Bytes) {
		return "", fault(field, "has a private_key that is no RSA key")
	}
	c.ClientEmail, c.PrivateKeyID = key.ClientEmail, key.PrivateKeyID
	var err error
	c.TokenURL, err = normalizeEndpoint(field, key.TokenURI)
	return Text(key.PrivateKey), err
}

func isRSA(der []byte) bool {
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return false
	}
	_, ok := key.(*rsa.PrivateKey)
	return ok
}
