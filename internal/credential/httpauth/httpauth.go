// Package httpauth puts the gateway's credentials onto requests to agents: fixed headers,
// tokens that it fetches and keeps, and signatures. Whom a request may go to is not its
// concern, and neither is how a credential is stored.
package httpauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Why says what went wrong with a credential, for programs to read.
type Why string

// The causes.
const (
	// Unreadable: what is stored was sealed with another key, or was changed.
	Unreadable Why = "CREDENTIAL_UNREADABLE"
	// NotForHost: the request would go to a host that the credential is not for.
	NotForHost Why = "HOST_NOT_ALLOWED"
	// TokenTimeout: the token endpoint did not answer in time.
	TokenTimeout Why = "TOKEN_TIMEOUT"
	// TokenUnreachable: the token endpoint could not be reached.
	TokenUnreachable Why = "TOKEN_ENDPOINT_UNREACHABLE" //nolint:gosec // a name and no credential
	// TokenRefused: the token endpoint answered with an error.
	TokenRefused Why = "TOKEN_REFUSED"
	// TokenInvalid: the token endpoint answered with something else than a token.
	TokenInvalid Why = "TOKEN_REPLY_INVALID" //nolint:gosec // a name and no credential
	// AgentRefused: the agent refused the credential.
	AgentRefused Why = "REFUSED_BY_AGENT"
	// NoIdentity: the gateway could not make a token of its own.
	NoIdentity Why = "IDENTITY_TOKEN_UNAVAILABLE"
	// CallerTokenRequired: the caller has no token that could be exchanged.
	CallerTokenRequired Why = "CALLER_TOKEN_REQUIRED" //nolint:gosec // a name and no credential
	// CallerTokenForeign: the token endpoint is none of the issuer of the caller's token.
	CallerTokenForeign Why = "CALLER_TOKEN_NOT_FOR_ENDPOINT"
)

// Error says why a request has no credential that the agent takes. Its text holds no
// secret, nothing that a token endpoint wrote but the code of an error of OAuth, and no
// address but that of a host.
type Error struct {
	Why Why
	// Problem is the text, for callers of the agent too.
	Problem string
	// Err is the cause, for the log; it may be nil.
	Err error
}

// Error returns the problem and its cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Problem
	}
	return e.Problem + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Signer puts a credential onto requests.
type Signer interface {
	// Sign sets the headers of a request that carry the credential. caller is whom the
	// request is made for; nil when the gateway asks by itself. used is the token that was
	// used, where there is one that may be replaced.
	Sign(req *http.Request, caller *identity.Principal) (used *Token, err error)
}

// Config says how a Signer works.
type Config struct {
	// Client asks for tokens; it must follow no redirect. Required for kinds that are
	// fetched.
	Client *http.Client
	// Background bounds the fetching of tokens, which no call that waits for one ends.
	// Required for kinds that are fetched.
	Background context.Context //nolint:containedctx // the life of what is fetched, not of a call
	// Go runs a function beside the calls.
	Go func(func())
	// Agent is the agent's name, "agents/{agent}", for whom tokens of the gateway's own
	// are. Required for them.
	Agent string
	// Identities makes tokens of the gateway's own. Required for them, and to show one when
	// tokens are exchanged.
	Identities Identities
	// Exchanged keeps what was exchanged. Required for that.
	Exchanged *Exchanged
	// ExchangeOrigins are those of token endpoints that may see the token of every caller.
	// Others see those of their own issuer.
	ExchangeOrigins []string
	// Wait bounds how long a call waits for a token; 0 means 5 s.
	Wait time.Duration
	// FetchTimeout bounds one question for a token; 0 means 10 s.
	FetchTimeout time.Duration
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
}

// New returns a Signer of a credential and its secret.
func New(cfg Config, c *credential.Credential, secret credential.Secret) (Signer, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	value := string(secret.Value)
	switch c.Kind {
	case credential.Bearer:
		return header{"Authorization", []string{"Bearer " + value}}, nil
	case credential.APIKey:
		return header{c.Header, []string{value}}, nil
	case credential.Basic:
		pair := base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + value))
		return header{"Authorization", []string{"Basic " + pair}}, nil
	case credential.AWSSigV4:
		return &sigV4{
			region: c.Region, service: c.Service, accessKeyID: c.AccessKeyID, secret: value,
			sessionToken: string(secret.SessionToken), clock: cfg.Clock,
		}, nil
	case credential.OAuth2, credential.Google, credential.Entra:
		if err := cfg.canFetch(); err != nil {
			return nil, err
		}
		return newTokens(cfg, fetcher(cfg.Client, c, secret)), nil
	case credential.IdentityToken:
		if cfg.Identities == nil || cfg.Agent == "" {
			return nil, errors.New("httpauth: Config.Identities and Config.Agent are required")
		}
		return newIdentified(cfg, c, secret), nil
	case credential.TokenExchange:
		if cfg.Exchanged == nil || c.ActorToken && cfg.Identities == nil {
			return nil, errors.New("httpauth: Config.Exchanged is required, and Config.Identities to show who the gateway is")
		}
		if err := cfg.canFetch(); err != nil {
			return nil, err
		}
		return newExchange(cfg, c, secret), nil
	}
	return nil, fmt.Errorf("no such kind of credential: %q", c.Kind)
}

func (c *Config) canFetch() error {
	if c.Client == nil || c.Background == nil || c.Go == nil {
		return errors.New("httpauth: Config.Client, Config.Background and Config.Go are required")
	}
	return nil
}

// header is a credential that is the same in each request.
type header struct {
	name  string
	value []string
}

// Sign sets the header.
func (h header) Sign(req *http.Request, _ *identity.Principal) (*Token, error) {
	req.Header[h.name] = h.value
	return nil, nil
}
