// Package interceptor holds what every call of the management plane goes through:
// identity, validation, recovery, the shape of errors, and the record.
package interceptor

import (
	"context"
	"crypto/tls"
	"net/netip"

	"connectrpc.com/connect"

	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Call is what is learned of one call on its way. It is written by the goroutine
// that serves the call.
type Call struct {
	// Principal is who calls, once it is known.
	Principal identity.Principal
	// Method is the last part of the path, and Source the caller's address.
	Method string
	Source netip.Addr
	// Origin is the scheme and authority that the caller used, and TLS the state of the
	// connection; nil without TLS.
	Origin string
	TLS    *tls.ConnectionState
	// Confirm, once the principal is known, tells whether the credential still holds. It
	// returns what a new call with it would be refused with.
	Confirm func() error
	// Answered tells that whatever is sent from now on has its final form. Before, it
	// is the RPC library that found fault with the request.
	Answered bool
	// Code is how the call ended; 0 means without an error.
	Code connect.Code
	// Reason is the reason of the error, and Message its text.
	Reason, Message string
	// Record is how the call is recorded; nil when it is not.
	Record *Recording
}

// Failed notes the error that the call ended with, in its final form.
func (c *Call) Failed(err *connect.Error) {
	c.Code, c.Message = err.Code(), err.Message()
	if info, ok := fault.Info(err); ok {
		c.Reason = info.GetReason()
	}
}

type callKey struct{}

// NewContext returns a context that carries a call.
func NewContext(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// FromContext returns the call that a context carries, or an empty one.
func FromContext(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

// Principal returns who calls.
func Principal(ctx context.Context) identity.Principal { return FromContext(ctx).Principal }
