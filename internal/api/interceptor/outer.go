package interceptor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
)

// Outer stands around validation and handlers. It bounds unary calls, recovers
// panics, gives every error its final form, and refuses calls that cannot be recorded.
type Outer struct {
	// Timeout bounds unary calls.
	Timeout time.Duration
	// Convert maps what handlers return.
	Convert func(ctx context.Context, err error) *connect.Error
	// Logger gets panics.
	Logger *slog.Logger
}

var _ connect.Interceptor = (*Outer)(nil)

// WrapUnary implements [connect.Interceptor].
func (o *Outer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (res connect.AnyResponse, err error) {
		call := FromContext(ctx)
		call.Answered = true
		bounded, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		defer func() { err = o.finish(ctx, call, req.Spec(), err, recover()) }()
		call.Record.inside(ctx)
		call.Record.about(req.Any())
		if err := call.Record.ready(); err != nil {
			return nil, err
		}
		return next(bounded, req)
	}
}

// WrapStreamingClient implements [connect.Interceptor]; there are no clients here.
func (o *Outer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [connect.Interceptor].
func (o *Outer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) (err error) {
		call := FromContext(ctx)
		call.Answered = true
		sent := &countedConn{StreamingHandlerConn: conn}
		defer func() {
			panicked := recover()
			if !aborted(panicked) {
				// The record has the end before the caller does.
				defer func() {
					call.Record.End(Result{Call: call, CallerLeft: ctx.Err() != nil, Status: http.StatusOK, Stream: true, Messages: sent.messages})
				}()
			}
			err = o.finish(ctx, call, conn.Spec(), err, panicked)
		}()
		call.Record.inside(ctx)
		if err := call.Record.ready(); err != nil {
			return err
		}
		return next(ctx, sent)
	}
}

// countedConn counts the messages that are sent.
type countedConn struct {
	connect.StreamingHandlerConn
	messages int64
}

// Send implements [connect.StreamingHandlerConn].
func (c *countedConn) Send(message any) error {
	err := c.StreamingHandlerConn.Send(message)
	if err == nil && message != nil {
		c.messages++
	}
	return err
}

// aborted tells whether a panic is net/http's own way to end a call.
func aborted(panicked any) bool {
	err, ok := panicked.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// finish makes the error that the caller gets of an error or a panic.
func (o *Outer) finish(ctx context.Context, call *Call, spec connect.Spec, err error, panicked any) error {
	if panicked != nil {
		if aborted(panicked) {
			panic(panicked)
		}
		o.Logger.LogAttrs(ctx, slog.LevelError, "handler panicked", slog.String("method", spec.Procedure),
			slog.String("panic", fmt.Sprint(panicked)), slog.String("stack", string(debug.Stack())))
		err = Internal()
	}
	if err == nil {
		return nil
	}
	final := o.final(ctx, err)
	call.Failed(final)
	return final
}

// Internal is what a caller gets for a fault of the gateway.
func Internal() *connect.Error {
	return fault.New(connect.CodeInternal, errorv1.Reason_REASON_INTERNAL, "a fault of the gateway; its log has the cause", nil)
}

func (o *Outer) final(ctx context.Context, err error) *connect.Error {
	if invalid, ok := errors.AsType[*protovalidate.ValidationError](err); ok {
		return invalidMessage(err, invalid)
	}
	final, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return o.Convert(ctx, err)
	}
	if _, ok := fault.Info(final); ok {
		return final
	}
	if Malformed(final.Code(), final.Message()) {
		return fault.New(connect.CodeInvalidArgument, errorv1.Reason_REASON_MALFORMED_REQUEST, final.Message(), nil)
	}
	fault.Add(final, ReasonOf(final.Code()), nil)
	return final
}

// Malformed tells whether an error of the RPC library blames the bytes of a request: a
// stream that ends within a message, or that has none or more than the one it should
// have. The codes alone, which are those of gRPC, would blame the gateway or the method.
func Malformed(code connect.Code, text string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch code { //nolint:exhaustive // the others say what they mean
	case connect.CodeInternal:
		return begins("protocol error:") || begins("corrupt response:") || begins("unmarshal end stream message:") ||
			begins("unmarshal web trailers:")
	case connect.CodeUnimplemented:
		return strings.HasSuffix(text, " has zero messages") || strings.HasSuffix(text, " has multiple messages")
	}
	return false
}

// invalidMessage adds the reason to what the validator found. The error carries
// all violations already; the reason names the first.
func invalidMessage(err error, invalid *protovalidate.ValidationError) *connect.Error {
	final, ok := errors.AsType[*connect.Error](err)
	if !ok {
		final = connect.NewError(connect.CodeInvalidArgument, invalid)
		if detail, err := connect.NewErrorDetail(invalid.ToProto()); err == nil {
			final.AddDetail(detail)
		}
	}
	metadata := map[string]string{}
	if len(invalid.Violations) > 0 {
		first := invalid.Violations[0].Proto
		metadata["field"] = protovalidate.FieldPathString(first.GetField())
		metadata["rule"] = first.GetRuleId()
		metadata["problem"] = first.GetMessage()
	}
	fault.Add(final, errorv1.Reason_REASON_INVALID_ARGUMENT, metadata)
	return final
}

// ReasonOf returns the reason that stands for a code when nothing better is known.
func ReasonOf(code connect.Code) errorv1.Reason {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeUnknown:
		return errorv1.Reason_REASON_MALFORMED_REQUEST
	case connect.CodeResourceExhausted:
		return errorv1.Reason_REASON_REQUEST_TOO_LARGE
	case connect.CodeDeadlineExceeded, connect.CodeCanceled:
		return errorv1.Reason_REASON_REQUEST_TIMEOUT
	case connect.CodeNotFound, connect.CodeUnimplemented:
		return errorv1.Reason_REASON_NOT_FOUND
	case connect.CodeUnauthenticated:
		return errorv1.Reason_REASON_CREDENTIALS_INVALID
	case connect.CodePermissionDenied:
		return errorv1.Reason_REASON_PERMISSION_DENIED
	case connect.CodeUnavailable:
		return errorv1.Reason_REASON_SHUTTING_DOWN
	case connect.CodeAlreadyExists, connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeInternal, connect.CodeDataLoss:
	}
	return errorv1.Reason_REASON_INTERNAL
}
