package interceptor

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Authenticator knows whose a secret is.
type Authenticator interface {
	// Authenticate fails with [identity.ErrCredentialsInvalid],
	// [identity.ErrKeyDisabled] or [identity.ErrKeyExpired].
	Authenticate(secret string, now time.Time) (identity.Principal, error)
}

// challenge tells a caller how to give a credential.
const challenge = `Bearer realm="signalbox"`

// Gate lets only callers with a valid credential pass.
type Gate struct {
	// Current returns who knows the credentials now.
	Current func() Authenticator
	// Stale tells that Current cannot be relied on any more; nil means never.
	Stale func() bool
	// Clock tells the time.
	Clock clock.Clock
	// Used is told of each use of a key.
	Used func(uuid.UUID)
}

// errStale refuses calls of a replica that does not know whether keys still hold.
var errStale = errors.New("this replica could not confirm its configuration for too long; try another one, or again later")

// authenticate returns whose a secret is.
func (g Gate) authenticate(secret string) (identity.Principal, error) {
	if g.Stale != nil && g.Stale() {
		return identity.Principal{}, errStale
	}
	return g.Current().Authenticate(secret, g.Clock.Now())
}

// Request returns the gate for a handler. It runs before the body of a request is read.
func (g Gate) Request() connect.RequestGateFunc {
	return func(ctx context.Context, _ connect.Spec, peer connect.Peer, header http.Header) (context.Context, error) {
		call := FromContext(ctx)
		secret, err := credential(header)
		if err == nil {
			call.Principal, err = g.authenticate(secret)
		}
		if err != nil {
			refusal := unauthenticated(err)
			if refusal.Code() == connect.CodeUnauthenticated && peer.Protocol == connect.ProtocolConnect {
				// gRPC would send it as a trailer, where HTTP forbids it.
				refusal.Meta().Set("WWW-Authenticate", challenge)
			}
			call.Answered = true
			call.Failed(refusal)
			return nil, refusal
		}
		call.Record.identify(call.Principal)
		if call.Principal.Kind == identity.KindKey {
			g.Used(call.Principal.UID)
		}
		call.Confirm = func() error {
			if _, err := g.authenticate(secret); err != nil {
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
func credential(header http.Header) (string, error) {
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
		return "", identity.ErrCredentialsInvalid
	case bearer != "" && apiKey != "" && bearer != apiKey:
		return "", errTwoCredentials
	case bearer != "":
		return bearer, nil
	case apiKey != "":
		return apiKey, nil
	}
	return "", identity.ErrCredentialsMissing
}

// unauthenticated maps why a caller is not known.
func unauthenticated(err error) *connect.Error {
	reason, text := errorv1.Reason_REASON_CREDENTIALS_INVALID,
		`the credential is not known here; send the key as "Authorization: Bearer sb_…"`
	switch {
	case errors.Is(err, errStale):
		return fault.New(connect.CodeUnavailable, errorv1.Reason_REASON_CONFIGURATION_STALE, err.Error(), nil)
	case errors.Is(err, identity.ErrCredentialsMissing):
		reason, text = errorv1.Reason_REASON_CREDENTIALS_MISSING,
			`a key is needed; send it as "Authorization: Bearer sb_…" or as x-api-key`
	case errors.Is(err, identity.ErrKeyDisabled):
		reason, text = errorv1.Reason_REASON_KEY_DISABLED, "the key is disabled"
	case errors.Is(err, identity.ErrKeyExpired):
		reason, text = errorv1.Reason_REASON_KEY_EXPIRED, "the key has expired, or was replaced by a rotation whose overlap has ended"
	case errors.Is(err, errTwoCredentials):
		text = err.Error()
	}
	return fault.New(connect.CodeUnauthenticated, reason, text, nil)
}
