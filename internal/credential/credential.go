// Package credential knows what the gateway shows to agents to prove who it is: the
// schemes, what may be told of a credential and what not, how its secrets are kept, and
// where they may be sent. Package httpauth puts credentials onto requests.
package credential

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// Kind is a way to show a credential.
type Kind string

// The kinds.
const (
	Bearer   Kind = "BEARER"
	APIKey   Kind = "API_KEY"
	Basic    Kind = "BASIC"
	OAuth2   Kind = "OAUTH2"
	AWSSigV4 Kind = "AWS_SIGV4"
	Google   Kind = "GOOGLE"
	Entra    Kind = "ENTRA"
	// IdentityToken is a token of the gateway's own that says who calls.
	IdentityToken Kind = "IDENTITY_TOKEN"
	// TokenExchange is a token that the caller's own is exchanged for (RFC 8693).
	TokenExchange Kind = "TOKEN_EXCHANGE"
)

// TokenType names a type of tokens of RFC 8693, section 3.
type TokenType string

// The types. JWTs are what callers show, whatever they are for.
const (
	AccessToken TokenType = "ACCESS_TOKEN"
	IDToken     TokenType = "ID_TOKEN"
	JWT         TokenType = "JWT"
)

// ClientAuthentication says how an OAuth 2.0 client shows its secret.
type ClientAuthentication string

// The ways. AUTO tries HEADER, and BODY when that is refused.
const (
	ClientAuto   ClientAuthentication = "AUTO"
	ClientHeader ClientAuthentication = "HEADER"
	ClientBody   ClientAuthentication = "BODY"
)

// Credential is all of a credential that may be shown. It is stored as JSON, beside its
// sealed secret.
type Credential struct {
	Kind Kind `json:"kind"`
	// Header is the header of API_KEY and IDENTITY_TOKEN.
	Header string `json:"header,omitempty"`
	// Username is that of BASIC.
	Username string `json:"username,omitempty"`
	// TokenURL is where tokens are asked for, of OAUTH2, GOOGLE, ENTRA and TOKEN_EXCHANGE.
	TokenURL string `json:"token_url,omitempty"`
	// ClientID is that of OAUTH2, ENTRA and TOKEN_EXCHANGE.
	ClientID string `json:"client_id,omitempty"`
	// Scopes and Audience are what is asked for. Audience is also whom an IDENTITY_TOKEN is
	// for, where it is not the agent's name.
	Scopes   []string `json:"scopes,omitempty"`
	Audience string   `json:"audience,omitempty"`
	// ClientAuthentication is that of OAUTH2 and TOKEN_EXCHANGE.
	ClientAuthentication ClientAuthentication `json:"client_authentication,omitempty"`
	// Tenant and Authority are those of ENTRA.
	Tenant    string `json:"tenant,omitempty"`
	Authority string `json:"authority,omitempty"`
	// ClientEmail and PrivateKeyID are those of GOOGLE.
	ClientEmail  string `json:"client_email,omitempty"`
	PrivateKeyID string `json:"private_key_id,omitempty"`
	// Region, Service and AccessKeyID are those of AWS_SIGV4.
	Region      string `json:"region,omitempty"`
	Service     string `json:"service,omitempty"`
	AccessKeyID string `json:"access_key_id,omitempty"`
	// Resource, SubjectTokenType, RequestedTokenType and ActorToken are those of
	// TOKEN_EXCHANGE. RequestedTokenType may be empty; ActorToken says that the gateway
	// shows who it is, too.
	Resource           string    `json:"resource,omitempty"`
	SubjectTokenType   TokenType `json:"subject_token_type,omitempty"`
	RequestedTokenType TokenType `json:"requested_token_type,omitempty"`
	ActorToken         bool      `json:"actor_token,omitempty"`

	// ExtraOrigins are where it may be sent beside the agent's endpoints.
	ExtraOrigins []string `json:"extra_origins,omitempty"`
	// SentTo are all origins that it may be sent to. What counts is their copy that is
	// sealed with the secret.
	SentTo []string `json:"sent_to"`
	// Fingerprint changes when the secret does. It is made of what is sealed, not of the
	// secret, so that no guess at a password can be tried on it. It is empty for kinds
	// without a secret.
	Fingerprint string    `json:"fingerprint"`
	SetTime     time.Time `json:"set_time"`
	// Sealed is the secret.
	Sealed seal.Sealed `json:"-"`
}

// Fetched tells whether tokens are asked for, which may be refused and replaced.
func (k Kind) Fetched() bool { return k == OAuth2 || k == Google || k == Entra || k == TokenExchange }

// ForCaller tells whether what is shown depends on who calls.
func (k Kind) ForCaller() bool { return k == IdentityToken || k == TokenExchange }

// hasSecret tells whether the owner gives a secret.
func (k Kind) hasSecret() bool { return k != IdentityToken }

// Text is a secret. Nothing prints it, or writes it as JSON.
type Text string

const redacted = "[redacted]"

// Format hides the secret from every verb of fmt.
func (Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the secret.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the secret from encoders.
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Given is a credential as its owner gives it.
type Given struct {
	Credential
	// Secret is the token, value, password, client secret, secret key or key file; empty
	// keeps the one that is stored.
	Secret Text
	// SessionToken goes with the secret key of AWS_SIGV4.
	SessionToken Text
}

// FaultError says what is wrong with what was given.
type FaultError struct {
	// Field is its path below the credential.
	Field string
	// Problem says what is wrong, in words for the person who gave the value. It never
	// repeats a secret.
	Problem string
}

// Error returns field and problem.
func (e *FaultError) Error() string { return e.Field + ": " + e.Problem }

func fault(field, format string, args ...any) error {
	return &FaultError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Sealer seals secrets. It is a [seal.Ring].
type Sealer interface {
	Seal(plaintext, associatedData []byte) (seal.Sealed, error)
	Unsealer
	// ID is the fingerprint of the key that seals.
	ID() string
}

// Unsealer unseals secrets.
type Unsealer interface {
	Unseal(s seal.Sealed, associatedData []byte) ([]byte, error)
}

// Secret is what is sealed of a credential.
type Secret struct {
	Value, SessionToken Text
	// TokenURL is where the secret may be sent for a token.
	TokenURL string
	// SentTo are the origins that it, or a token, may be sent to.
	SentTo []string
	// Audience is whom an IDENTITY_TOKEN is for, where it is not the agent's name.
	Audience string
}

// secretDocument is a Secret as it is sealed.
type secretDocument struct {
	Value        string   `json:"value"`
	SessionToken string   `json:"session_token,omitempty"`
	TokenURL     string   `json:"token_url,omitempty"`
	SentTo       []string `json:"sent_to"`
	Audience     string   `json:"audience,omitempty"`
}

// associated binds what is sealed to the agent and the field it is for.
func associated(agent uuid.UUID, field string) []byte {
	return []byte("signalbox agent " + agent.String() + " " + field)
}

// Open unseals the secret of an agent's credential.
func Open(u Unsealer, agent uuid.UUID, c *Credential) (Secret, error) {
	plain, err := u.Unseal(c.Sealed, associated(agent, Field(c.Kind)))
	if err != nil {
		return Secret{}, err
	}
	var doc secretDocument
	if err := json.Unmarshal(plain, &doc); err != nil {
		return Secret{}, seal.ErrNotAuthentic // the text may hold the secret
	}
	return Secret{Value: Text(doc.Value), SessionToken: Text(doc.SessionToken), TokenURL: doc.TokenURL, SentTo: doc.SentTo, Audience: doc.Audience}, nil
}

func (s Secret) seal(with Sealer, agent uuid.UUID, kind Kind) (seal.Sealed, error) {
	plain, err := json.Marshal(secretDocument{
		Value: string(s.Value), SessionToken: string(s.SessionToken), TokenURL: s.TokenURL, SentTo: s.SentTo, Audience: s.Audience,
	})
	if err != nil {
		return seal.Sealed{}, fmt.Errorf("write the secret: %w", err)
	}
	return with.Seal(plain, associated(agent, Field(kind)))
}

// Make seals what was given for an agent with endpoints at some addresses. was is the
// credential that it takes the place of; nil when there is none. Without a new secret that
// of was is kept, if it goes nowhere that it did not go before. It returns was when
// nothing changes, and a [*FaultError] for what cannot be taken.
func Make(with Sealer, agent uuid.UUID, g Given, was *Credential, endpoints []string, now time.Time) (*Credential, error) {
	c, value, err := normalize(g)
	if err != nil {
		return nil, err
	}
	c.SentTo = union(origins(endpoints), c.ExtraOrigins)
	secret := Secret{Value: value, SessionToken: g.SessionToken, TokenURL: c.TokenURL, SentTo: c.SentTo}
	if c.Kind == IdentityToken {
		if secret.Audience, err = audienceOf(&c); err != nil {
			return nil, err
		}
	}
	stored, openErr := Secret{}, error(nil)
	if was != nil {
		stored, openErr = Open(with, agent, was)
	}
	kept := value == "" && c.Kind.hasSecret()
	switch {
	case kept && (was == nil || was.Kind != c.Kind):
		return nil, fault(secretField(c.Kind), "is needed")
	case kept && openErr != nil:
		return nil, fault(secretField(c.Kind), "must be given again: the stored one cannot be read (%v)", openErr)
	case kept:
		if c.Kind == Google { // read from the key file, which is kept
			c.TokenURL, c.ClientEmail, c.PrivateKeyID = was.TokenURL, was.ClientEmail, was.PrivateKeyID
			secret.TokenURL = c.TokenURL
		}
		if c.TokenURL != stored.TokenURL {
			return nil, fault(secretField(c.Kind), "must be given again: it was not given for %s", c.TokenURL)
		}
		if fresh := missing(c.SentTo, stored.SentTo); fresh != "" {
			return nil, fault(secretField(c.Kind), "must be given again: it was not given for %s", fresh)
		}
		secret.Value, secret.SessionToken = stored.Value, stored.SessionToken
	}
	same := was != nil && openErr == nil && was.Kind == c.Kind && secret.Value == stored.Value && secret.SessionToken == stored.SessionToken
	if same {
		c.Fingerprint, c.SetTime, c.Sealed = was.Fingerprint, was.SetTime, was.Sealed
		if reflect.DeepEqual(c, *was) && reflect.DeepEqual(secret, stored) {
			return was, nil
		}
	}
	if c.Sealed, err = secret.seal(with, agent, c.Kind); err != nil {
		return nil, err
	}
	c.SetTime = now
	if !same && c.Kind.hasSecret() {
		sum := sha256.Sum256(c.Sealed.Data)
		c.Fingerprint = hex.EncodeToString(sum[:8])
	}
	return &c, nil
}

// CheckEndpoints refuses endpoints that the credential would newly be sent to: who may
// change an agent must not learn its secret by that.
func (c *Credential) CheckEndpoints(endpoints []string) error {
	if fresh := missing(origins(endpoints), c.SentTo); fresh != "" {
		return fault("", "must be given again, or removed, with this change: it was not given for %s", fresh)
	}
	return nil
}

// audienceOf returns whom tokens are for; empty for the agent's name. An agent that takes
// tokens for an origin would take those that another agent was sent for it, so nobody else
// may be sent them: all of the agent's own requests must go to that origin.
func audienceOf(c *Credential) (string, error) {
	if c.Audience == "" {
		return "", nil
	}
	for _, origin := range c.SentTo {
		if origin != c.Audience {
			return "", fault("identity_token.audience",
				"must be the origin that all of the agent's endpoints have, as tokens for %s must not be sent to %s; without an audience they are for the agent's name", c.Audience, origin)
		}
	}
	return c.Audience, nil
}

// Allows tells whether the secret may be sent to the origin of an address.
func (s *Secret) Allows(u *url.URL) bool { return slices.Contains(s.SentTo, Origin(u)) }

// Origin returns scheme, host and port of an address; the port is left out when it is
// that of the scheme.
func Origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return scheme + "://" + host
}

// origins returns the origins of addresses that were checked before.
func origins(addresses []string) []string {
	var all []string
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil {
			all = union(all, []string{Origin(u)})
		}
	}
	return all
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return all
}

// missing returns the first of some that is none of others; empty when there is none.
func missing(some, others []string) string {
	for _, s := range some {
		if !slices.Contains(others, s) {
			return s
		}
	}
	return ""
}

// Reseal seals what another key of the ring sealed. It returns what it was given when it
// was sealed with the first key.
func Reseal(with Sealer, agent uuid.UUID, field string, s seal.Sealed) (seal.Sealed, error) {
	if s.KeyID == "" || s.KeyID == with.ID() {
		return s, nil
	}
	plain, err := with.Unseal(s, associated(agent, field))
	if err != nil {
		return s, err
	}
	return with.Seal(plain, associated(agent, field))
}

// Field names the secret of a credential of a kind, for Reseal.
func Field(kind Kind) string { return "credential " + string(kind) }

// ClientKeyField names the private key of a client certificate.
const ClientKeyField = "client key"
