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

// Authenticate returns a gate that lets only callers with a valid credential pass
// and tells used when a key did. It runs before the body of the request is read.
func Authenticate(current func() Authenticator, clk clock.Clock, used func(uuid.UUID)) connect.RequestGateFunc {
	return func(ctx context.Context, _ connect.Spec, _ connect.Peer, header http.Header) (context.Context, error) {
		call := FromContext(ctx)
		secret, err := credential(header)
		if err == nil {
			call.Principal, err = current().Authenticate(secret, clk.Now())
		}
		if err != nil {
			refusal := unauthenticated(err)
			call.Answered, call.Code = true, refusal.Code()
			if info, ok := fault.Info(refusal); ok {
				call.Reason = info.GetReason()
			}
			return nil, refusal
		}
		if call.Principal.Kind == identity.KindKey {
			used(call.Principal.UID)
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

// unauthenticated maps what is wrong with a credential.
func unauthenticated(err error) *connect.Error {
	reason, text := errorv1.Reason_REASON_CREDENTIALS_INVALID,
		`the credential is not known here; send the key as "Authorization: Bearer sb_…"`
	switch {
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
	refusal := fault.New(connect.CodeUnauthenticated, reason, text, nil)
	refusal.Meta().Set("WWW-Authenticate", challenge)
	return refusal
}
