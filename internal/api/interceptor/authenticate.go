package interceptor

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// Gate lets only callers with a valid credential pass.
type Gate struct {
	// Callers tells who calls under the configuration that Current returns.
	Callers *authn.Authenticator
	Current func() *snapshot.Snapshot
	// Stale tells that Current cannot be relied on any more; nil means never.
	Stale func() bool
	// Clock tells the time.
	Clock clock.Clock
	// PublicURL is where the gateway is reached; empty means where the caller reached it.
	PublicURL string
}

// errStale refuses calls of a replica that does not know whether keys still hold.
var errStale = errors.New("this replica could not confirm its configuration for too long; try another one, or again later")

// authenticate returns whose a credential is.
func (g Gate) authenticate(ctx context.Context, c authn.Credential) (identity.Principal, error) {
	if g.Stale != nil && g.Stale() {
		return identity.Principal{}, errStale
	}
	return g.Callers.Authenticate(ctx, g.Current(), c, g.Clock.Now())
}

// confirm returns what is wrong with a credential that held before.
func (g Gate) confirm(c authn.Credential, p *identity.Principal) error {
	if g.Stale != nil && g.Stale() {
		return errStale
	}
	is, err := g.Callers.Confirm(g.Current(), c, p, g.Clock.Now())
	if err == nil && p.Claims != nil && !p.Claims.Same(is.Claims) {
		// What goes on goes on as who called; as whom it calls now it may call anew.
		err = identity.ErrCredentialsInvalid
	}
	return err
}

// Request returns the gate for a handler. It runs before the body of a request is read.
func (g Gate) Request() connect.RequestGateFunc {
	return func(ctx context.Context, _ connect.Spec, peer connect.Peer, header http.Header) (context.Context, error) {
		call := FromContext(ctx)
		shown, err := credential(header)
		shown.TLS = call.TLS
		if err == nil {
			call.Principal, err = g.authenticate(ctx, shown)
		}
		if err != nil {
			refusal := unauthenticated(err)
			if refusal.Code() == connect.CodeUnauthenticated && peer.Protocol == connect.ProtocolConnect {
				// gRPC would send it as a trailer, where HTTP forbids it.
				resource := g.PublicURL
				if resource == "" {
					resource = call.Origin
				}
				refusal.Meta().Set("WWW-Authenticate", authn.Challenge(g.Current(), resource, authn.Explain(err)))
			}
			call.Answered = true
			call.Failed(refusal)
			return nil, refusal
		}
		call.Record.identify(call.Principal)
		call.Confirm = func() error {
			if err := g.confirm(shown, &call.Principal); err != nil {
				return unauthenticated(err)
			}
			return nil
		}
		return ctx, nil
	}
}

// errTwoCredentials refuses requests that could be understood in two ways.
var errTwoCredentials = errors.New("authorization and x-api-key hold different credentials")

// credential returns the secret that a request carries.
func credential(header http.Header) (authn.Credential, error) {
	bearer, other := "", false
	if values := header.Values("Authorization"); len(values) > 0 {
		scheme, rest, _ := strings.Cut(values[0], " ")
		if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
			other = true
		}
		bearer = strings.TrimSpace(rest)
	}
	apiKey := strings.TrimSpace(header.Get("X-Api-Key"))
	switch {
	case other:
		return authn.Credential{}, identity.ErrCredentialsInvalid
	case bearer != "" && apiKey != "" && bearer != apiKey:
		return authn.Credential{}, errTwoCredentials
	}
	secret := cmp.Or(bearer, apiKey)
	return authn.Credential{Secret: secret, Given: secret != ""}, nil
}

// unauthenticated maps why a caller is not known.
func unauthenticated(err error) *connect.Error {
	switch {
	case errors.Is(err, errStale):
		return fault.New(connect.CodeUnavailable, errorv1.Reason_REASON_CONFIGURATION_STALE, err.Error(), nil)
	case errors.Is(err, errTwoCredentials):
		return fault.New(connect.CodeUnauthenticated, errorv1.Reason_REASON_CREDENTIALS_INVALID, err.Error(), nil)
	}
	r, code := authn.Explain(err), connect.CodeUnauthenticated
	if r.Unavailable {
		code = connect.CodeUnavailable
	}
	return fault.New(code, errorv1.Reason(errorv1.Reason_value["REASON_"+r.Reason]), r.Text, nil)
}
