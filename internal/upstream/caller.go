package upstream

import (
	"context"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Caller is for whom a request to an agent is made.
type Caller struct {
	Principal identity.Principal
}

// callerKey is the key of a Caller in a context.
type callerKey struct{}

// WithCaller returns a context for requests that are made for a caller. Without it a
// request is one of the gateway's own. It is needed for agents whose credential is
// [credential.Kind.ForCaller].
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, &c)
}

// callerOf returns for whom a request is made; nil for the gateway.
func callerOf(ctx context.Context) *identity.Principal {
	c, ok := ctx.Value(callerKey{}).(*Caller)
	if !ok {
		return nil
	}
	return &c.Principal
}
