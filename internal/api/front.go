package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

// revisionHeader names the configuration revision that the replica served from.
const revisionHeader = "X-Signalbox-Revision"

// front stands before the RPC library. What the library itself refuses, before any
// handler of ours, it refuses tersely: an unknown method as plain text, a wrong
// content type without a word, a malformed body without a reason. The front holds
// such answers back and writes them anew in the same protocol. It also writes the
// one log line of each call, and sees to it that each is in the record.
type front struct {
	services map[string]service // by "/{service}/"
	meter    *meter
	errors   *connect.ErrorWriter
	revision func() int64
	record   interceptor.RecordConfig
	clock    clock.Clock
	log      *slog.Logger
}

// service is one RPC service.
type service struct {
	handler http.Handler
	methods map[string]methodKind
}

// methodKind is what the front must know of a method.
type methodKind struct {
	streams bool // the reply is a stream
	get     bool // GET is served as well
	large   bool // requests may be more than smallRequest
}

// ServeHTTP serves one call.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := f.clock.Now()
	call := &interceptor.Call{Method: methodOf(r.URL.Path), Source: sourceOf(r.RemoteAddr), TLS: r.TLS, Origin: originOf(r)}
	if isRecorded(r.URL.Path) {
		call.Record = f.record.Begin(r)
	}
	held := &heldWriter{
		rw: w, call: call, revision: f.revision, before: maps.Clone(w.Header()), gone: func() bool { return r.Context().Err() != nil },
	}
	ctx := interceptor.NewContext(r.Context(), call)
	defer func() {
		if panicked := recover(); panicked != nil {
			if panicked == http.ErrAbortHandler { //nolint:errorlint // panics carry the value itself
				call.Failed(interceptor.Internal())
				held.record(0)
				panic(panicked)
			}
			f.log.LogAttrs(ctx, slog.LevelError, "management call panicked",
				slog.String("panic", fmt.Sprint(panicked)), slog.String("stack", string(debug.Stack())))
			if held.sent {
				call.Failed(interceptor.Internal())
			} else {
				f.refuse(held, r, interceptor.Internal(), 0)
			}
		}
		held.record(held.status)
		f.logCall(r, call, f.clock.Now().Sub(began).String())
	}()
	name, method := splitProcedure(r.URL.Path)
	svc, ok := f.services[name]
	if !ok {
		f.refuse(held, r, unknownMethod(r), http.StatusNotFound)
		return
	}
	kind, ok := svc.methods[method]
	if !ok {
		f.refuse(held, r, unknownMethod(r), http.StatusNotFound)
		return
	}
	held.streams = kind.streams
	inner := r.WithContext(ctx)
	inner.Body = &countedBody{ReadCloser: r.Body, record: call.Record}
	var body *meteredBody
	if kind.large {
		if body = f.meter.measure(inner); body != nil {
			defer body.leave()
		}
	}
	svc.handler.ServeHTTP(held, inner)
	if call.Answered {
		held.finish()
		return
	}
	if body != nil && body.refused != nil {
		f.refuse(held, r, body.refused, 0)
		return
	}
	err, status := held.refusal(r, kind)
	f.refuse(held, r, err, status)
}

// splitProcedure returns "/{service}/" and the method of a path.
func splitProcedure(path string) (service, method string) {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i+1], path[i+1:]
	}
	return "", ""
}

func (f *front) logCall(r *http.Request, call *interceptor.Call, duration string) {
	code := "ok"
	if call.Code != 0 {
		code = call.Code.String()
	}
	principal := call.Principal.Name
	if principal == "" {
		principal = "anonymous"
	}
	attrs := []slog.Attr{
		slog.String("method", clip(r.URL.Path)), slog.String("code", code),
		slog.String("duration", duration), slog.String("principal", principal),
	}
	if call.Reason != "" {
		attrs = append(attrs, slog.String("reason", call.Reason))
	}
	f.log.LogAttrs(r.Context(), slog.LevelInfo, "management call", attrs...)
}

// clip bounds what a caller can make a log line hold.
func clip(text string) string { return text[:min(len(text), 200)] }

// refuse writes an error in the protocol of the request. A status other than 0
// takes the place of the one that goes with the code, where the protocol shows one.
func (f *front) refuse(w *heldWriter, r *http.Request, err *connect.Error, status int) {
	w.reset()
	w.call.Answered = true
	w.call.Failed(err)
	if status != 0 && !isGRPC(r) {
		w.status = status
	}
	// An error while writing means that the caller has gone.
	_ = f.errors.Write(w, r, err)
	w.finish()
}

func isGRPC(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func unknownMethod(r *http.Request) *connect.Error {
	return fault.New(connect.CodeUnimplemented, errorv1.Reason_REASON_NOT_FOUND,
		fmt.Sprintf("there is no method %s; methods are /{package}.{Service}/{Method}, and reflection lists them", clip(r.URL.Path)),
		map[string]string{"path": clip(r.URL.Path)})
}

// maxHeld is the number of bytes of a terse answer that are looked at.
const maxHeld = 64 << 10

// heldWriter holds back what is written until the call is answered.
type heldWriter struct {
	rw       http.ResponseWriter
	call     *interceptor.Call
	revision func() int64
	before   http.Header // the headers that were there before the RPC library
	status   int         // held back, or forced by refuse
	body     bytes.Buffer
	sent     bool
	streams  bool // the method answers with a stream, whose end is recorded where it is seen
	gone     func() bool
}

// record records the end of the call, before the first byte of the answer is sent.
func (w *heldWriter) record(status int) {
	w.call.Record.End(interceptor.Result{Call: w.call, CallerLeft: w.gone(), Status: status})
}

// Header implements [http.ResponseWriter].
func (w *heldWriter) Header() http.Header { return w.rw.Header() }

// WriteHeader implements [http.ResponseWriter].
func (w *heldWriter) WriteHeader(status int) {
	if !w.call.Answered {
		w.status = status
		return
	}
	if w.sent {
		return
	}
	if w.status != 0 {
		status = w.status
	}
	w.send(status)
	w.rw.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *heldWriter) Write(b []byte) (int, error) {
	if !w.call.Answered {
		if w.body.Len() < maxHeld {
			w.body.Write(b)
		}
		return len(b), nil
	}
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.rw.Write(b)
}

// Flush implements [http.Flusher], which connect wants for streams.
func (w *heldWriter) Flush() {
	if !w.call.Answered {
		return
	}
	w.send(http.StatusOK)
	if flusher, ok := w.rw.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.rw }

// send adds the headers of every answer, once.
func (w *heldWriter) send(status int) {
	if !w.sent {
		if !w.streams || w.call.Code != 0 {
			w.record(status)
		}
		w.sent = true
		w.rw.Header().Set(revisionHeader, strconv.FormatInt(w.revision(), 10))
	}
}

// finish is for answers without a body.
func (w *heldWriter) finish() { w.send(http.StatusOK) }

// reset forgets what was held back.
func (w *heldWriter) reset() {
	header := w.rw.Header()
	clear(header)
	maps.Copy(header, w.before)
	w.status = 0
	w.body.Reset()
}

// refusal reads what the RPC library refused the request with and says it in a way
// that helps. The status is 0 where the code's own fits.
func (w *heldWriter) refusal(r *http.Request, kind methodKind) (*connect.Error, int) {
	switch w.status {
	case http.StatusUnsupportedMediaType:
		if r.Method == http.MethodGet {
			return fault.New(connect.CodeInvalidArgument, errorv1.Reason_REASON_MALFORMED_REQUEST,
				"GET needs the query parameters connect=v1, encoding=json and message, and no body; or use POST", nil), 0
		}
		return unsupportedType(r, kind), http.StatusUnsupportedMediaType
	case http.StatusMethodNotAllowed:
		allowed := http.MethodPost
		if kind.get {
			allowed = "GET, POST"
		}
		err := fault.New(connect.CodeUnimplemented, errorv1.Reason_REASON_METHOD_NOT_ALLOWED,
			fmt.Sprintf("%s is not served here; use %s", clip(r.Method), allowed), map[string]string{"allowed": allowed})
		if !isGRPC(r) {
			err.Meta().Set("Allow", allowed)
		}
		return err, http.StatusMethodNotAllowed
	}
	code, text := w.held()
	text = strings.TrimPrefix(text, "unmarshal message: ")
	if rest, ok := strings.CutPrefix(text, "proto:"); ok {
		// The space after it varies on purpose.
		text = strings.TrimLeft(rest, " \u00a0")
	}
	reason := interceptor.ReasonOf(code)
	switch {
	case interceptor.Malformed(code, text):
		code, reason = connect.CodeInvalidArgument, errorv1.Reason_REASON_MALFORMED_REQUEST
	case code == connect.CodeUnknown:
		code = connect.CodeInvalidArgument
	case code == connect.CodeUnimplemented: // an unknown compression
		reason = errorv1.Reason_REASON_CONTENT_TYPE_UNSUPPORTED
	}
	return fault.New(code, reason, text, nil), 0
}

// held returns code and text of the error that is held back.
func (w *heldWriter) held() (connect.Code, string) {
	header := w.rw.Header()
	for _, prefix := range []string{http.TrailerPrefix, ""} {
		if status := first(header, prefix+"Grpc-Status"); status != "" {
			n, err := strconv.ParseUint(status, 10, 32)
			text, textErr := url.PathUnescape(first(header, prefix+"Grpc-Message"))
			if err != nil || textErr != nil {
				break
			}
			return connect.Code(n), text
		}
	}
	body := w.body.Bytes()
	type wireError struct {
		Code    connect.Code `json:"code"`
		Message string       `json:"message"`
	}
	var unary wireError
	if json.Unmarshal(body, &unary) == nil && unary.Code != 0 {
		return unary.Code, unary.Message
	}
	var end struct {
		Error wireError `json:"error"`
	}
	const envelope = 5 // flags and length before a message of a stream
	if len(body) > envelope && json.Unmarshal(body[envelope:], &end) == nil && end.Error.Code != 0 {
		return end.Error.Code, end.Error.Message
	}
	return connect.CodeInvalidArgument, "the request cannot be read"
}

// first looks a key up as it is: trailers stand in the map under names that are not
// canonical.
func first(header http.Header, key string) string {
	if values := header[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func unsupportedType(r *http.Request, kind methodKind) *connect.Error {
	given := clip(r.Header.Get("Content-Type"))
	metadata := map[string]string{"content_type": given}
	if kind.streams {
		return fault.New(connect.CodeInvalidArgument, errorv1.Reason_REASON_CONTENT_TYPE_UNSUPPORTED, fmt.Sprintf(
			"this method answers with a stream, which %q cannot carry; use application/connect+json with the message in an envelope, or a gRPC, gRPC-Web or Connect client",
			given), metadata)
	}
	return fault.New(connect.CodeInvalidArgument, errorv1.Reason_REASON_CONTENT_TYPE_UNSUPPORTED, fmt.Sprintf(
		"the content type %q is not read here; send application/json, application/proto, or gRPC", given), metadata)
}
