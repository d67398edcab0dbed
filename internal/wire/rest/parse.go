package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// The segments of the paths.
const (
	segmentVersion03    = "v1"
	segmentSend         = "message:send"
	segmentStream       = "message:stream"
	segmentTasks        = "tasks"
	segmentPush         = "pushNotificationConfigs"
	segmentExtendedCard = "extendedAgentCard"
	segmentCard03       = "card"
	segmentWellKnown    = ".well-known"

	verbCancel    = "cancel"
	verbSubscribe = "subscribe"
)

// ReasonMethodNotAllowed is the reason of the error that [Parse] returns for a path that does not have the
// HTTP method; the status is 405.
const ReasonMethodNotAllowed = "METHOD_NOT_ALLOWED"

// Parse reads the HTTP method, the escaped path below the agent ("/message:send", "/v1/tasks/t1:cancel",
// "/{tenant}/tasks/t1") and the raw query of a call.
//
// An error says by its code what is wrong: nothing is at the path (-32601), the path does not have the method
// (reason [ReasonMethodNotAllowed], HTTP status 405, and the request says which it has), or an id, the tenant
// or the query is not usable (-32602). As far as they were read, operation and version are in the request even
// then, so that the error can be answered in the caller's version.
//
// Query parameters that the operation does not have are ignored; one that stands there twice is refused.
func Parse(method, path, rawQuery string) (Request, *a2a.Error) {
	segments, fault := split(path)
	r := Request{Version: a2a.V10}
	if len(segments) > 0 && segments[0].text == segmentVersion03 {
		r.Version = a2a.V03
		segments = segments[1:]
	}
	if fault != nil {
		return r, fault
	}
	if r.Version == a2a.V10 && len(segments) > 1 && !reserved(segments[0].text) {
		r.Tenant = segments[0].text
		if problem := checkID(r.Tenant); problem != "" {
			return r, invalidParams("the tenant in the path " + problem)
		}
		segments = segments[1:]
	}
	if fault := r.match(method, segments); fault != nil {
		return r, fault
	}
	return r, r.readQuery(rawQuery)
}

// segment is one segment of a path.
type segment struct {
	escaped string
	text    string // decoded
}

// split cuts a path into its segments. A slash at the end is none.
func split(path string) ([]segment, *a2a.Error) {
	path, ok := strings.CutPrefix(path, "/")
	if !ok || path == "" {
		return nil, notFound()
	}
	var segments []segment
	for escaped := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		text, err := url.PathUnescape(escaped)
		if err != nil || !utf8.ValidString(text) {
			return segments, invalidParams("the path is not validly percent-encoded UTF-8")
		}
		segments = append(segments, segment{escaped, text})
	}
	return segments, nil
}

// reserved reports whether a first segment is none of a tenant.
func reserved(text string) bool {
	switch text {
	case segmentVersion03, segmentSend, segmentStream, segmentTasks, segmentExtendedCard, segmentWellKnown:
		return true
	}
	return false
}

// match finds the operation that the segments behind version and tenant stand for.
func (r *Request) match(method string, segments []segment) *a2a.Error {
	card := segmentExtendedCard
	if r.Version == a2a.V03 {
		card = segmentCard03
	}
	switch {
	case len(segments) == 1 && segments[0].text == segmentSend:
		return r.choose(method, option{http.MethodPost, a2a.SendMessage})
	case len(segments) == 1 && segments[0].text == segmentStream:
		return r.choose(method, option{http.MethodPost, a2a.SendStreamingMessage})
	case len(segments) == 1 && segments[0].text == card:
		return r.choose(method, option{http.MethodGet, a2a.GetExtendedCard})
	case len(segments) == 1 && segments[0].text == segmentTasks:
		return r.choose(method, option{http.MethodGet, a2a.ListTasks})
	case len(segments) == 2 && segments[0].text == segmentTasks:
		return r.matchTask(method, segments[1])
	case len(segments) == 3 && segments[0].text == segmentTasks && segments[2].text == segmentPush:
		if fault := r.choose(method, option{http.MethodPost, a2a.CreatePushConfig}, option{http.MethodGet, a2a.ListPushConfigs}); fault != nil {
			return fault
		}
		return r.setTask(segments[1].text)
	case len(segments) == 4 && segments[0].text == segmentTasks && segments[2].text == segmentPush:
		if fault := r.choose(method, option{http.MethodGet, a2a.GetPushConfig}, option{http.MethodDelete, a2a.DeletePushConfig}); fault != nil {
			return fault
		}
		if problem := checkID(segments[3].text); problem != "" {
			return invalidParams("the id of the push config in the path " + problem)
		}
		r.PushConfigID = segments[3].text
		return r.setTask(segments[1].text)
	}
	return notFound()
}

// matchTask reads the segment that holds the id of a task and perhaps a verb, which is what follows the last
// colon that is not encoded. Clients that do not encode ids may send others.
func (r *Request) matchTask(method string, s segment) *a2a.Error {
	var (
		id      = s.escaped
		options = []option{{http.MethodGet, a2a.GetTask}}
	)
	if at := strings.LastIndexByte(s.escaped, ':'); at >= 0 {
		switch s.escaped[at+1:] {
		case verbCancel:
			id, options = s.escaped[:at], []option{{http.MethodPost, a2a.CancelTask}}
		case verbSubscribe:
			id, options = s.escaped[:at], []option{{http.MethodPost, a2a.SubscribeToTask}, {http.MethodGet, a2a.SubscribeToTask}}
		}
	}
	if fault := r.choose(method, options...); fault != nil {
		return fault
	}
	text, err := url.PathUnescape(id)
	if err != nil {
		return invalidParams("the path is not validly percent-encoded UTF-8")
	}
	return r.setTask(text)
}

func (r *Request) setTask(id string) *a2a.Error {
	if problem := checkID(id); problem != "" {
		return invalidParams("the id of the task in the path " + problem)
	}
	r.TaskID = id
	return nil
}

// option is an operation that a path stands for with a method.
type option struct {
	method string
	op     a2a.Operation
}

func (r *Request) choose(method string, options ...option) *a2a.Error {
	for _, o := range options {
		if method == o.method {
			r.Op = o.op
			return nil
		}
	}
	r.Op = options[0].op
	for i, o := range options {
		if i > 0 {
			r.Allow += ", "
		}
		r.Allow += o.method
	}
	return &a2a.Error{
		Code: jsonrpc.CodeInvalidRequest, Reason: ReasonMethodNotAllowed, Domain: a2a.GatewayDomain,
		Message:    fmt.Sprintf("HTTP method %.20q is not for this path; use %s", method, r.Allow),
		HTTPStatus: http.StatusMethodNotAllowed,
	}
}

// checkID says what is wrong with an id for a path, "" when nothing is.
func checkID(id string) string {
	switch {
	case id == "":
		return "is empty"
	case id == "." || id == "..":
		return "is a dot segment, which not every server takes for an id"
	case !utf8.ValidString(id):
		return "is not UTF-8"
	}
	for _, c := range id {
		if c == '/' || c == '\\' || c < ' ' || c == 0x7f {
			return "contains a slash, a backslash or a control character, which not every server takes for one segment; use the JSON-RPC binding"
		}
	}
	return ""
}

func invalidParams(message string) *a2a.Error {
	return &a2a.Error{Code: jsonrpc.CodeInvalidParams, Reason: jsonrpc.ReasonInvalidParams, Message: message}
}

func notFound() *a2a.Error {
	return &a2a.Error{
		Code: jsonrpc.CodeMethodNotFound, Reason: jsonrpc.ReasonMethodNotFound,
		Message: "A2A has no such path below an agent",
	}
}
