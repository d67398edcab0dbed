package dataplane

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Codes of the gateway's own refusals; the protocol's are in a2a and jsonrpc.
const (
	codeUnauthenticated = -31401
	codeDenied          = -31403
	codeNotFound        = -31404
	codeUnavailable     = -31503
)

// Codes of A2A 1.0, section 5.4, of which 0.3 has all but the last.
const (
	codeTaskNotFound         = -32001
	codePushNotSupported     = -32003
	codeUnsupportedOperation = -32004
	codeContentType          = -32005
	codeInvalidAgentReply    = -32006
	codeVersionUnsupported   = -32009
)

// Domains of google.rpc.ErrorInfo.
const (
	domainGateway  = "signalbox.dev"
	domainProtocol = "a2a-protocol.org"
)

// fault is a refusal or failure as the caller will see it. Its text holds nothing of
// an agent's address and nothing that another caller owns.
type fault struct {
	status     int // HTTP status when no stream has begun; 0 means 200, in HTTP+JSON that of the code
	mirror     int // HTTP status of JSON-RPC when statuses are mirrored; 0 means status
	grpc       int // gRPC status; 0 means that of the code
	code       int
	reason     string
	domain     string // empty means the gateway's
	message    string
	metadata   []string // name, value, name, value …
	retryAfter int      // seconds; 0 means none
	allow      string   // value of the Allow header
	challenge  string   // value of the WWW-Authenticate header
	outcome    audit.Outcome
	// agent is the error that an agent answered with to a request of the gateway's own;
	// it stands for all of the above but the outcome.
	agent *a2a.Error
}

func (f *fault) Error() string { return f.message }

// with adds a named value for programs to read.
func (f *fault) with(name, value string) *fault {
	f.metadata = append(f.metadata, name, value)
	return f
}

func unauthenticated(reason, message, challenge string) *fault {
	return &fault{
		status: 401, code: codeUnauthenticated, reason: reason, message: message, challenge: challenge,
		outcome: audit.Refused,
	}
}

// agentNotFound is the same for an agent that does not exist and for one that the
// caller may not see.
func agentNotFound() *fault {
	return &fault{
		status: 404, code: codeNotFound, reason: "AGENT_NOT_FOUND", outcome: audit.Refused,
		message: "there is no agent of this name that you may call; GET /a2a lists those that you may",
	}
}

func notFound(path string) *fault {
	return &fault{
		status: 404, code: codeNotFound, reason: "NOT_FOUND", outcome: audit.Refused,
		message: fmt.Sprintf("nothing is at %.200q; post JSON-RPC to /a2a/{agent}", path),
	}
}

func methodNotAllowed(method, allow string) *fault {
	return &fault{
		status: 405, code: jsonrpc.CodeInvalidRequest, reason: "METHOD_NOT_ALLOWED", allow: allow, outcome: audit.Refused,
		message: fmt.Sprintf("HTTP method %.20q is not for this path; use %s", method, allow),
	}
}

// protocolFault is an error of JSON-RPC itself.
func protocolFault(e *jsonrpc.Error) *fault {
	return &fault{code: e.Code, reason: e.Reason, message: e.Message, outcome: audit.Refused}
}

func invalidParams(message string) *fault {
	return &fault{code: jsonrpc.CodeInvalidParams, reason: jsonrpc.ReasonInvalidParams, message: message, outcome: audit.Refused}
}

// taskNotFound is the same for a task that does not exist and for one of another caller.
func taskNotFound() *fault {
	return &fault{
		code: codeTaskNotFound, reason: "TASK_NOT_FOUND", domain: domainProtocol, outcome: audit.Refused,
		message: "task not found: there is no task of this id that is yours",
	}
}

// contextNotUsable has one fixed text, so that nothing can be learned from it.
func contextNotUsable() *fault {
	return &fault{
		code: jsonrpc.CodeInvalidParams, reason: "CONTEXT_NOT_USABLE", outcome: audit.Refused,
		message: "this contextId cannot be used; leave it out to begin a new context",
	}
}

func versionNotSupported(message string) *fault {
	return &fault{
		code: codeVersionUnsupported, reason: "VERSION_NOT_SUPPORTED", domain: domainProtocol, outcome: audit.Refused,
		message: message,
	}
}

// unsupportedOperation is for what the agent's dialect has no counterpart of.
func unsupportedOperation(message string) *fault {
	return &fault{
		code: codeUnsupportedOperation, reason: "UNSUPPORTED_OPERATION", domain: domainProtocol, outcome: audit.Refused,
		message: message,
	}
}

func pushNotSupported(message string) *fault {
	return &fault{
		code: codePushNotSupported, reason: "PUSH_NOTIFICATION_NOT_SUPPORTED", domain: domainProtocol, outcome: audit.Refused,
		message: message,
	}
}

func unavailable(reason, message string) *fault {
	return &fault{mirror: 503, code: codeUnavailable, reason: reason, message: message, retryAfter: 1, outcome: audit.Refused}
}

func upstreamUnreachable(message string) *fault {
	return &fault{
		mirror: 503, code: codeUnavailable, reason: "UPSTREAM_UNREACHABLE", message: message, retryAfter: 1,
		outcome: audit.Unavailable,
	}
}

func upstreamTimeout(message string) *fault {
	return &fault{
		mirror: 503, code: codeUnavailable, reason: "UPSTREAM_TIMEOUT", message: message, outcome: audit.TimedOut,
	}
}

func upstreamInterrupted() *fault {
	return &fault{
		mirror: 503, code: codeUnavailable, reason: "UPSTREAM_INTERRUPTED", outcome: audit.Unavailable,
		message: "the agent closed its stream before the end of an event; subscribe to the task or get it to go on",
	}
}

func invalidAgentReply(message string) *fault {
	return &fault{
		code: codeInvalidAgentReply, reason: "INVALID_AGENT_RESPONSE", domain: domainProtocol, message: message,
		outcome: audit.Unavailable,
	}
}

func shuttingDown() *fault {
	return unavailable("SHUTTING_DOWN", "the gateway is shutting down; call again, another replica may answer")
}

// httpStatus is what a unary reply with this fault is sent with.
func (f *fault) httpStatus(mirrored bool) int {
	switch {
	case mirrored && f.mirror != 0:
		return f.mirror
	case f.status != 0:
		return f.status
	}
	return 200
}

// toError is the fault in no dialect yet.
func (f *fault) toError() *a2a.Error {
	if f.agent != nil {
		return translatedError(f.agent)
	}
	e := &a2a.Error{
		Code: int64(f.code), Reason: f.reason, Domain: f.domain, Message: f.message, Metadata: f.metadata,
		HTTPStatus: f.status, GRPCStatus: f.grpc,
	}
	if e.Domain == "" {
		e.Domain = domainGateway
	}
	if f.retryAfter != 0 {
		e.Metadata = append(slices.Clip(e.Metadata), "retry_after_s", strconv.Itoa(f.retryAfter))
	}
	return e
}
