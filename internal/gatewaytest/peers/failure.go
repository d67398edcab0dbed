package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Failure is an error of the protocol.
type Failure struct {
	// Code is the JSON-RPC code, Reason that of google.rpc.ErrorInfo.
	Code   int
	Reason string
	// HTTP and GRPC are the statuses of version 1.0.
	HTTP int
	GRPC codes.Code

	err error
	// class is the beginning of the text by which gRPC agents of 0.3 name it.
	class string
}

// Failures returns the protocol's errors that an agent can be asked for, in the
// order of their codes.
func Failures() []Failure {
	return []Failure{
		{-32001, "TASK_NOT_FOUND", 404, codes.NotFound, a2a.ErrTaskNotFound, "TaskNotFoundError"},
		{-32002, "TASK_NOT_CANCELABLE", 400, codes.FailedPrecondition, a2a.ErrTaskNotCancelable, "TaskNotCancelableError"},
		{-32003, "PUSH_NOTIFICATION_NOT_SUPPORTED", 400, codes.FailedPrecondition, a2a.ErrPushNotificationNotSupported, "PushNotificationNotSupportedError"},
		{-32004, "UNSUPPORTED_OPERATION", 400, codes.FailedPrecondition, a2a.ErrUnsupportedOperation, "UnsupportedOperationError"},
		{-32005, "CONTENT_TYPE_NOT_SUPPORTED", 400, codes.InvalidArgument, a2a.ErrUnsupportedContentType, "ContentTypeNotSupportedError"},
		{-32006, "INVALID_AGENT_RESPONSE", 500, codes.Internal, a2a.ErrInvalidAgentResponse, "InvalidAgentResponseError"},
		{-32007, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", 400, codes.FailedPrecondition, a2a.ErrExtendedCardNotConfigured, "AuthenticatedExtendedCardNotConfiguredError"},
		{-32008, "EXTENSION_SUPPORT_REQUIRED", 400, codes.FailedPrecondition, a2a.ErrExtensionSupportRequired, "ExtensionSupportRequiredError"},
		{-32009, "VERSION_NOT_SUPPORTED", 400, codes.FailedPrecondition, a2a.ErrVersionNotSupported, "VersionNotSupportedError"},
		{-32602, "INVALID_PARAMS", 400, codes.InvalidArgument, a2a.ErrInvalidParams, "InvalidParamsError"},
		{-32603, "INTERNAL_ERROR", 500, codes.Internal, a2a.ErrInternalError, "InternalError"},
	}
}

// genericFailures are those that no script asks for.
func genericFailures() []Failure {
	return []Failure{
		{-32600, "INVALID_REQUEST", 400, codes.InvalidArgument, a2a.ErrInvalidRequest, "InvalidRequestError"},
		{-32601, "METHOD_NOT_FOUND", 404, codes.Unimplemented, a2a.ErrMethodNotFound, "MethodNotFoundError"},
		{-32700, "PARSE_ERROR", 400, codes.InvalidArgument, a2a.ErrParseError, "JSONParseError"},
	}
}

// CallError is the error of a call as it stood on the wire, in no dialect.
type CallError struct {
	// Code is the JSON-RPC code, that of the reason where the binding carries none; 0
	// means that the call failed before or after the protocol.
	Code int
	// Reason is that of google.rpc.ErrorInfo, that of the code where there is none.
	Reason string
	// Named tells whether the answer itself carried the reason.
	Named bool
	// HTTP is the status of an HTTP answer, GRPC that of a gRPC one.
	HTTP int
	GRPC codes.Code
	// Text is the message, SDK what the SDK made of it.
	Text, SDK string
}

// Error returns what is known of the error.
func (e *CallError) Error() string {
	return fmt.Sprintf("%d %s %q (HTTP %d, gRPC %s, sdk %s)", e.Code, e.Reason, e.Text, e.HTTP, e.GRPC, e.SDK)
}

// maxCaptured bounds what is kept of an answer.
const maxCaptured = 1 << 20

// capture keeps the answer to one call.
type capture struct {
	mu     sync.Mutex
	status int
	body   bytes.Buffer
	grpc   *status.Status
}

type captureKey struct{}

// capturing makes a context whose calls are kept.
func capturing(ctx context.Context) (context.Context, *capture) {
	c := &capture{}
	return context.WithValue(ctx, captureKey{}, c), c
}

// Write keeps a piece of a body.
func (c *capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.body.Write(b[:min(len(b), maxCaptured-c.body.Len())])
	return len(b), nil
}

// capturingTransport keeps answers and adds the caller's headers.
type capturingTransport struct {
	base   http.RoundTripper
	header http.Header
}

// RoundTrip sends a request.
func (t capturingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, t.header)
	resp, err := t.base.RoundTrip(r)
	c, ok := r.Context().Value(captureKey{}).(*capture)
	if err != nil || !ok {
		return resp, err
	}
	c.mu.Lock()
	c.status = resp.StatusCode
	c.mu.Unlock()
	resp.Body = tee{io.TeeReader(resp.Body, c), resp.Body}
	if resp.StatusCode >= http.StatusMultipleChoices || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		// The SDK may not look at it.
		whole, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole), failedReader{err}))
	}
	return resp, nil
}

type tee struct {
	io.Reader
	io.Closer
}

// failedReader ends as the read before it did.
type failedReader struct{ err error }

// Read fails.
func (r failedReader) Read([]byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return 0, io.EOF
}

func captureUnary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, conn, opts...)
	keepStatus(ctx, err)
	return err
}

func captureStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := stream(ctx, desc, conn, method, opts...)
	if err != nil {
		keepStatus(ctx, err)
		return nil, err
	}
	return capturedStream{s, ctx}, nil
}

//nolint:containedctx // a stream of gRPC has a context of its own
type capturedStream struct {
	grpc.ClientStream
	ctx context.Context
}

// RecvMsg receives a message.
func (s capturedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil && !errors.Is(err, io.EOF) {
		keepStatus(s.ctx, err)
	}
	return err
}

func keepStatus(ctx context.Context, err error) {
	c, ok := ctx.Value(captureKey{}).(*capture)
	if !ok || err == nil {
		return
	}
	st, _ := status.FromError(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grpc = st
}

// failure reads the error of a call in which an SDK raised err.
func (c *capture) failure(err error) *CallError {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &CallError{HTTP: c.status, Text: err.Error()}
	if sdk, ok := errors.AsType[*a2a.Error](err); ok {
		e.SDK = a2a.ErrorReason(sdk)
	}
	if c.grpc != nil {
		e.readGRPC(c.grpc)
		return e
	}
	e.readHTTP(c.body.Bytes())
	return e
}

func (e *CallError) readGRPC(st *status.Status) {
	e.GRPC, e.Text = st.Code(), st.Message()
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			e.Reason, e.Named = info.GetReason(), true
		}
	}
	all := append(Failures(), genericFailures()...)
	for _, f := range all {
		if !e.Named && strings.HasPrefix(e.Text, f.class) {
			e.Reason, e.Named = f.Reason, true
		}
	}
	for _, f := range all {
		if e.Reason == f.Reason {
			e.Code = f.Code
			return
		}
	}
	if e.Named {
		return
	}
	switch e.GRPC {
	case codes.Unimplemented:
		e.Code, e.Reason = -32601, "METHOD_NOT_FOUND"
	case codes.InvalidArgument:
		e.Code, e.Reason = -32600, "INVALID_REQUEST"
	case codes.NotFound:
		e.Code, e.Reason = -32001, "TASK_NOT_FOUND"
	default:
	}
}

// readHTTP reads the last JSON value of an answer: an envelope of JSON-RPC, a
// google.rpc.Status, or one of the shapes that agents of 0.3 have.
func (e *CallError) readHTTP(body []byte) {
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			body = bytes.TrimSpace(data)
		}
	}
	var answer struct {
		Error   json.RawMessage `json:"error"`
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
		Details json.RawMessage `json:"details"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	if len(answer.Error) > 0 {
		inner := answer.Error
		answer.Error = nil
		if json.Unmarshal(inner, &answer) != nil {
			return
		}
	}
	if answer.Message == "" {
		return
	}
	e.Text, e.Code = answer.Message, answer.Code
	if e.Code == 0 && e.HTTP == http.StatusNotFound {
		e.Code = -32001 // agents of 0.3 leave it at the status
	}
	for _, raw := range []json.RawMessage{answer.Data, answer.Details} {
		if reason := reasonIn(raw); reason != "" {
			e.Reason, e.Named = reason, true
		}
	}
	for _, f := range append(Failures(), genericFailures()...) {
		switch {
		case e.Named && e.Reason == f.Reason && e.Code >= 0:
			e.Code = f.Code // a google.rpc.Status has the HTTP status there
			return
		case !e.Named && e.Code == f.Code:
			e.Reason = f.Reason
			return
		}
	}
}

// reasonIn finds the reason of a google.rpc.ErrorInfo, alone or in a list.
func reasonIn(raw json.RawMessage) string {
	type info struct {
		Type   string `json:"@type"`
		Reason string `json:"reason"`
	}
	var list []info
	if json.Unmarshal(raw, &list) != nil {
		var one info
		if json.Unmarshal(raw, &one) != nil {
			return ""
		}
		list = []info{one}
	}
	for _, i := range list {
		if strings.HasSuffix(i.Type, "google.rpc.ErrorInfo") {
			return i.Reason
		}
	}
	return ""
}
