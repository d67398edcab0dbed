package httpauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/lru"
)

// Identities makes tokens of the gateway's own.
type Identities interface {
	// Token returns a token that tells an audience who calls; caller is nil for what the
	// gateway asks by itself.
	Token(caller *identity.Principal, audience string) (string, error)
}

// identified shows a token of the gateway's own that says who calls.
type identified struct {
	identities       Identities
	header, audience string
	scheme           string // before the token in the header
}

func newIdentified(cfg Config, c *credential.Credential, secret credential.Secret) *identified {
	i := &identified{identities: cfg.Identities, header: c.Header, audience: secret.Audience}
	if i.audience == "" {
		i.audience = cfg.Agent
	}
	if i.header == "Authorization" {
		i.scheme = "Bearer "
	}
	return i
}

// Sign sets the header. There is no other token to try when the agent refuses this one.
func (i *identified) Sign(req *http.Request, caller *identity.Principal) (*Token, error) {
	token, err := i.identities.Token(caller, i.audience)
	if err != nil {
		return nil, &Error{Why: NoIdentity, Problem: "the gateway cannot make a token that tells the agent who calls", Err: err}
	}
	req.Header[i.header] = []string{i.scheme + token}
	return nil, nil
}

// Exchanged keeps what the tokens of callers were exchanged for, of all agents together:
// no number of callers makes it grow beyond its size.
type Exchanged struct {
	tokens *lru.Cache[exchangeKey, *tokens]
}

// exchangeKey is a caller's token at an agent. It is not the caller: a token that was made
// for less than another of the same user must not be used with the rights of that one.
type exchangeKey struct {
	at    *exchange
	token [sha256.Size]byte
}

// NewExchanged returns an Exchanged of a size.
func NewExchanged(size int) *Exchanged {
	return &Exchanged{lru.New[exchangeKey, *tokens](size)}
}

// exchange shows tokens that those of callers are exchanged for (RFC 8693).
type exchange struct {
	cfg    Config
	c      *credential.Credential
	secret credential.Secret
	// style is how the endpoint was found to take the client's secret; 0 while that is
	// not known. It is an [oauth2.AuthStyle].
	style atomic.Int64
}

func newExchange(cfg Config, c *credential.Credential, secret credential.Secret) *exchange {
	e := &exchange{cfg: cfg, c: c, secret: secret}
	e.style.Store(int64(authStyle(c)))
	return e
}

// Sign sets the token that the caller's is exchanged for. What the gateway asks by itself,
// such as the agent's card, has none to exchange and goes without.
func (e *exchange) Sign(req *http.Request, caller *identity.Principal) (*Token, error) {
	if caller == nil {
		return nil, nil
	}
	if caller.Claims == nil || caller.Claims.Token == "" {
		return nil, &Error{Why: CallerTokenRequired, Problem: NeedsCallerToken}
	}
	subject := caller.Claims.Token
	key := exchangeKey{at: e, token: sha256.Sum256([]byte(subject))}
	t, ok := e.cfg.Exchanged.tokens.Get(key)
	if !ok {
		if !e.mayHave(subject) {
			return nil, &Error{
				Why:     CallerTokenForeign,
				Problem: "your token is not sent to the agent's token endpoint " + host(e.secret.TokenURL) + ": it is not one of the issuer of the token",
			}
		}
		t = e.cfg.Exchanged.tokens.GetOrPut(key, newTokens(e.cfg, e.fetcher(subject)))
	}
	return t.Sign(req, caller)
}

// NeedsCallerToken is for callers whose credential is no token that could be exchanged.
const NeedsCallerToken = "the agent is called with a token that your own is exchanged for, and yours is an API key or a certificate: " +
	"call with a token (JWT) of one of the gateway's issuers"

// mayHave tells whether the token endpoint may see a token: whoever sees it can call in the
// caller's name, and whose endpoint that is the agent's owner says. Its issuer made it.
func (e *exchange) mayHave(token string) bool {
	endpoint, err := url.Parse(e.secret.TokenURL)
	if err != nil {
		return false
	}
	origin := credential.Origin(endpoint)
	if slices.Contains(e.cfg.ExchangeOrigins, origin) {
		return true
	}
	issuer, err := url.Parse(issuerOf(token))
	return err == nil && issuer.Host != "" && credential.Origin(issuer) == origin
}

// issuerOf returns the issuer of a token that was verified; empty when it names none.
func issuerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	// A struct would take "ISS", too.
	var claims map[string]json.RawMessage
	var issuer string
	if json.Unmarshal(payload, &claims) != nil || json.Unmarshal(claims["iss"], &issuer) != nil {
		return ""
	}
	return issuer
}

// fetcher returns what exchanges a token.
func (e *exchange) fetcher(subject string) fetch {
	return func(ctx context.Context) (string, time.Duration, error) {
		params := url.Values{
			"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token":      {subject},
			"subject_token_type": {tokenType(e.c.SubjectTokenType)},
		}
		for name, value := range map[string]string{
			"audience": e.c.Audience, "resource": e.c.Resource, "requested_token_type": tokenType(e.c.RequestedTokenType),
		} {
			if value != "" {
				params.Set(name, value)
			}
		}
		if e.c.ActorToken {
			actor, err := e.cfg.Identities.Token(nil, e.secret.TokenURL)
			if err != nil {
				return "", 0, &Error{Why: NoIdentity, Problem: "the gateway cannot make a token that tells the token endpoint who it is", Err: err}
			}
			params.Set("actor_token", actor)
			params.Set("actor_token_type", tokenType(credential.JWT))
		}
		client := clientcredentials.Config{
			ClientID: e.c.ClientID, ClientSecret: string(e.secret.Value), TokenURL: e.secret.TokenURL, Scopes: e.c.Scopes,
			EndpointParams: params, AuthStyle: oauth2.AuthStyle(e.style.Load()),
		}
		question := &bound{ctx: ctx, next: e.cfg.Client.Transport}
		value, life, err := question.ask(e.cfg.Client, e.secret.TokenURL, func(ctx context.Context) (*oauth2.Token, error) { return client.Token(ctx) }, isExchanged)
		if err == nil && client.AuthStyle == oauth2.AuthStyleAutoDetect {
			e.style.Store(int64(question.style)) // callers that come later are spared the question
		}
		return value, life, err
	}
}

// tokenType is the name of a type in RFC 8693, section 3; empty for none.
func tokenType(t credential.TokenType) string {
	const prefix = "urn:ietf:params:oauth:token-type:"
	if t == "" {
		return ""
	}
	return prefix + strings.ToLower(string(t))
}

// isExchanged tells whether an answer has a token that can be shown: "N_A" is for types
// that are no access tokens, and are shown as such nevertheless.
func isExchanged(t *oauth2.Token) bool {
	switch strings.ToLower(t.TokenType) {
	case "", "bearer", "n_a":
	default:
		return false
	}
	issued, _ := t.Extra("issued_token_type").(string)
	return issued == "" || slices.Contains([]string{tokenType(credential.AccessToken), tokenType(credential.JWT), tokenType(credential.IDToken)}, issued)
}
