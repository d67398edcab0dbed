package interceptor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// ErrRecordUnavailable refuses calls that cannot be recorded.
var ErrRecordUnavailable = errors.New("the call cannot be recorded, so it is refused: the gateway's local record is nearly full")

// RecordConfig says where and how calls are recorded.
type RecordConfig struct {
	// Recorder and Clock are required.
	Recorder audit.Recorder
	Clock    clock.Clock
	// Logger gets what could not be recorded.
	Logger *slog.Logger
}

// Recording is how one call comes into the record: as one event, whatever becomes of the
// call. A call that is permitted is opened before it does anything, one that is not is a
// single entry. It is used by the goroutine that serves the call. A nil Recording is that
// of a call that is not recorded, such as a look at the health.
type Recording struct {
	cfg     RecordConfig
	opening audit.Opening
	end     audit.ManagementEnd
	began   time.Time

	known  bool // whose call it is
	opened bool
	ended  bool
}

// Begin returns the recording of a request.
func (cfg RecordConfig) Begin(r *http.Request) *Recording {
	now := cfg.Clock.Now()
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New() // in no order, but one of a kind
	}
	rec := &Recording{cfg: cfg, began: now, opening: audit.Opening{
		Invocation: id, Time: now, Plane: audit.PlaneManagement, Method: strings.TrimPrefix(r.URL.Path, "/"), Dialect: dialectOf(r),
		SourceAddress: r.RemoteAddr, UserAgent: r.UserAgent(), RequestID: r.Header.Get("X-Request-Id"),
	}}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		rec.opening.SourceAddress = host
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		rec.opening.TraceID, rec.opening.ParentSpanID = sc.TraceID().String(), sc.SpanID().String()
	}
	return rec
}

func dialectOf(r *http.Request) string {
	switch content := r.Header.Get("Content-Type"); {
	case strings.HasPrefix(content, "application/grpc-web"):
		return "GRPC_WEB"
	case strings.HasPrefix(content, "application/grpc"):
		return "GRPC"
	}
	return "CONNECT"
}

// identify notes whose call it is.
func (r *Recording) identify(p identity.Principal) {
	if r == nil {
		return
	}
	r.known = true
	r.opening.Caller, r.opening.CallerUID, r.opening.Team = p.Name, p.UID, p.Team
}

// inside notes the gateway's own span.
func (r *Recording) inside(ctx context.Context) {
	sc := trace.SpanContextFromContext(ctx)
	if r == nil || !sc.IsValid() {
		return
	}
	r.opening.TraceID = sc.TraceID().String()
	if span := sc.SpanID().String(); span != r.opening.ParentSpanID {
		r.opening.SpanID = span
	}
}

// about notes what a request is about.
func (r *Recording) about(message any) {
	if r != nil {
		r.opening.Resource = resourceOf(message)
	}
}

// Read notes bytes of the request's body.
func (r *Recording) Read(n int) {
	if r != nil {
		r.opening.RequestBytes += int64(n)
	}
}

// ready refuses a call that could not be recorded.
func (r *Recording) ready() error {
	if r == nil || r.opened {
		return nil
	}
	if err := r.cfg.Recorder.Ready(); err != nil {
		return ErrRecordUnavailable
	}
	return nil
}

// Decision returns the name of the decision about the call.
func (r *Recording) Decision() string {
	if r == nil {
		return ""
	}
	return "decisions/" + r.opening.Invocation.String()
}

// Decide notes what was decided about the call. When it is permitted, the call is in the
// record from then on; the error is ErrRecordUnavailable when there is no room, and then
// nothing may be done.
func (r *Recording) Decide(d audit.Decision) error {
	if r == nil {
		return nil
	}
	if r.opened {
		// Of several decisions the first one that denies is what counts, else the first.
		if !d.Permitted && r.end.Decision == nil {
			r.end.Decision = &d
		}
		return nil
	}
	r.opening.Decision = &d
	if !d.Permitted {
		return nil
	}
	return r.open()
}

func (r *Recording) open() error {
	if err := r.cfg.Recorder.Open(&r.opening); err != nil {
		return ErrRecordUnavailable
	}
	r.opened = true
	return nil
}

// Changed notes what the call changed: the resource before and after, as JSON objects
// without secrets, nil where there was none, and the revision that was made of it.
func (r *Recording) Changed(resource string, before, after []byte, revision int64) {
	if r == nil {
		return
	}
	r.end.Resource, r.end.Before, r.end.After, r.end.Revision = resource, before, after, revision
}

// Result is how a call ended.
type Result struct {
	Call       *Call
	CallerLeft bool
	// Status is the HTTP status of the answer; 0 when there was none.
	Status int
	// Stream tells that the answer is a stream, and Messages how many were sent of it.
	Stream   bool
	Messages int64
}

// End records how the call ended, once.
func (r *Recording) End(res Result) {
	if r == nil || r.ended {
		return
	}
	r.ended = true
	c := audit.Closing{
		Invocation: r.opening.Invocation, Duration: r.cfg.Clock.Now().Sub(r.began), Outcome: r.outcome(res.Call),
		HTTPStatus: res.Status, StreamEvents: res.Messages, CallerLeft: res.CallerLeft, Management: &r.end,
	}
	if res.CallerLeft {
		c.HTTPStatus = 0
		// A stream without an end ends so, and without an error. What a unary call did is
		// done all the same.
		if res.Stream && c.Outcome == audit.Succeeded {
			c.Outcome = audit.CallerLeft
		}
	}
	if res.Call.Code != 0 {
		c.Error = &audit.CallError{Code: int(res.Call.Code), Reason: res.Call.Reason, Message: told(res.Call)}
	}
	var err error
	switch {
	case !r.known:
		err = r.cfg.Recorder.RefuseUnauthenticated(&r.opening, &c)
	case r.opened || c.Outcome == audit.Succeeded && r.open() == nil:
		err = r.cfg.Recorder.Close(&c)
	default:
		err = r.cfg.Recorder.Refuse(&r.opening, &c)
	}
	if err != nil {
		r.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "the end of a management call was not recorded",
			slog.String("invocation", r.opening.Invocation.String()), slog.Any("error", err))
	}
}

// outcome says how a call ended by the error that it ended with.
func (r *Recording) outcome(call *Call) audit.Outcome {
	switch call.Code {
	case 0:
		return audit.Succeeded
	case connect.CodeCanceled:
		return audit.CallerLeft
	case connect.CodeDeadlineExceeded:
		return audit.TimedOut
	case connect.CodeUnavailable:
		switch call.Reason {
		case fault.Name(errorv1.Reason_REASON_RECORD_UNAVAILABLE), fault.Name(errorv1.Reason_REASON_CONFIGURATION_STALE):
			return audit.Refused
		}
		return audit.Unavailable
	case connect.CodeUnauthenticated:
		if r.opened {
			return audit.Revoked
		}
		return audit.Refused
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss:
		return audit.Failed
	case connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodePermissionDenied,
		connect.CodeResourceExhausted, connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeOutOfRange, connect.CodeUnimplemented:
	}
	return audit.Refused
}

// told is what the caller was told, less what it may have told itself: parsers quote the
// body that they cannot read, and a body may hold secrets, as addresses may.
func told(call *Call) string {
	if call.Reason == fault.Name(errorv1.Reason_REASON_MALFORMED_REQUEST) {
		return "the request could not be read"
	}
	return WithoutCredentials(call.Message)
}

var (
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#"'@]*@`)
	urlQuery = regexp.MustCompile(`(https?://[^\s?#"']*)\?[^\s"']*`)
)

// WithoutCredentials takes user names, passwords and queries out of the addresses in a text.
func WithoutCredentials(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return urlQuery.ReplaceAllString(WithoutUserInfo(text), "$1?[redacted]")
}

// WithoutUserInfo takes user names and passwords out of the addresses in a text.
func WithoutUserInfo(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return userInfo.ReplaceAllString(text, "${1}[redacted]@")
}
