package a2a

import "github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"

// Error is an error as an agent answered it or as the gateway refuses a call, in no
// dialect yet.
type Error struct {
	// Code is the JSON-RPC code: one of the protocol's, or another one of whoever
	// answered.
	Code int64
	// Reason is that of google.rpc.ErrorInfo, "" when none was given and the code has
	// none.
	Reason string
	// Domain is that of google.rpc.ErrorInfo: [ProtocolDomain], [GatewayDomain] or the
	// agent's own. "" means that of the row that the error belongs to.
	Domain string
	// Message is the text for people.
	Message string
	// Metadata are the values of google.rpc.ErrorInfo: name, value, name, value.
	Metadata []string
	// Details are the other details, each an object of JSON with a member @type.
	Details [][]byte
	// Data is the data member of version 0.3, of any shape; nil for none.
	Data []byte
	// HTTPStatus is the status that came with the error or is to go with it, and
	// GRPCStatus likewise; 0 means that of the table.
	HTTPStatus, GRPCStatus int
}

// Error returns the text.
func (e *Error) Error() string { return e.Message }

// ProtocolDomain is the domain of the protocol's own errors (A2A 1.0, section 3.3.2).
const ProtocolDomain = "a2a-protocol.org"

// GatewayDomain is the domain of the gateway's own errors.
const GatewayDomain = "signalbox.dev"

// The codes of A2A's errors; those of JSON-RPC are in package jsonrpc.
const (
	CodeTaskNotFound              = -32001
	CodeTaskNotCancelable         = -32002
	CodePushNotSupported          = -32003
	CodeUnsupportedOperation      = -32004
	CodeContentTypeNotSupported   = -32005
	CodeInvalidAgentResponse      = -32006
	CodeExtendedCardNotConfigured = -32007
	CodeExtensionSupportRequired  = -32008
	CodeVersionNotSupported       = -32009
	CodeUnauthenticated           = -31401
	CodePermissionDenied          = -31403
	CodeNotFound                  = -31404
	CodeSessionTerminated         = -31409
	CodeExhausted                 = -31429
	CodeUnavailable               = -31503
)

// The status codes of gRPC that errors map to.
const (
	GRPCOK                 = 0
	GRPCCanceled           = 1
	GRPCUnknown            = 2
	GRPCInvalidArgument    = 3
	GRPCDeadlineExceeded   = 4
	GRPCNotFound           = 5
	GRPCAlreadyExists      = 6
	GRPCPermissionDenied   = 7
	GRPCResourceExhausted  = 8
	GRPCFailedPrecondition = 9
	GRPCAborted            = 10
	GRPCOutOfRange         = 11
	GRPCUnimplemented      = 12
	GRPCInternal           = 13
	GRPCUnavailable        = 14
	GRPCDataLoss           = 15
	GRPCUnauthenticated    = 16
)

// grpcNames are the names of gRPC's status codes, as google.rpc.Code has them.
var grpcNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// GRPCName returns the name of a status code of gRPC, that of UNKNOWN for numbers that are none.
func GRPCName(status int) string {
	if status < 0 || status >= len(grpcNames) {
		status = GRPCUnknown
	}
	return grpcNames[status]
}

// ParseGRPCName reads what [GRPCName] returns.
func ParseGRPCName(name string) (int, bool) {
	for status, known := range grpcNames {
		if name == known {
			return status, true
		}
	}
	return 0, false
}

// Row is one error in all dialects.
type Row struct {
	// Code is the code of JSON-RPC.
	Code int64
	// Reason is that of google.rpc.ErrorInfo, and Domain the domain it belongs to.
	Reason, Domain string
	// HTTP and GRPC are the statuses of version 1.0 (as of 1.0.1).
	HTTP, GRPC int
	// HTTP03 and GRPC03 are the statuses that agents of version 0.3 answer with. That
	// version sets none; these are what its clients tell errors by.
	HTTP03, GRPC03 int
	// Name03 is the name that begins the text of an error over gRPC in version 0.3, ""
	// when that has no such error.
	Name03 string
	// In03 says that version 0.3 has the code. It takes any code; those of 1.0 that it
	// does not have go as invalid requests.
	In03 bool
}

// rows is the table of errors. Where a code or a status stands for several, the first
// is what it means when nothing else tells.
var rows = [...]Row{
	{jsonrpc.CodeParse, jsonrpc.ReasonParse, ProtocolDomain, 400, GRPCInvalidArgument, 400, GRPCInternal, "JSONParseError", true},
	{jsonrpc.CodeInvalidRequest, jsonrpc.ReasonInvalidRequest, ProtocolDomain, 400, GRPCInvalidArgument, 400, GRPCInvalidArgument, "InvalidRequestError", true},
	{jsonrpc.CodeMethodNotFound, jsonrpc.ReasonMethodNotFound, ProtocolDomain, 404, GRPCUnimplemented, 404, GRPCUnimplemented, "MethodNotFoundError", true},
	{jsonrpc.CodeInvalidParams, jsonrpc.ReasonInvalidParams, ProtocolDomain, 400, GRPCInvalidArgument, 422, GRPCInvalidArgument, "InvalidParamsError", true},
	{jsonrpc.CodeInternal, jsonrpc.ReasonInternal, ProtocolDomain, 500, GRPCInternal, 500, GRPCInternal, "InternalError", true},
	{CodeTaskNotFound, "TASK_NOT_FOUND", ProtocolDomain, 404, GRPCNotFound, 404, GRPCNotFound, "TaskNotFoundError", true},
	{CodeTaskNotCancelable, "TASK_NOT_CANCELABLE", ProtocolDomain, 400, GRPCFailedPrecondition, 409, GRPCFailedPrecondition, "TaskNotCancelableError", true},
	{CodePushNotSupported, "PUSH_NOTIFICATION_NOT_SUPPORTED", ProtocolDomain, 400, GRPCFailedPrecondition, 501, GRPCUnimplemented, "PushNotificationNotSupportedError", true},
	{CodeUnsupportedOperation, "UNSUPPORTED_OPERATION", ProtocolDomain, 400, GRPCFailedPrecondition, 501, GRPCUnimplemented, "UnsupportedOperationError", true},
	{CodeContentTypeNotSupported, "CONTENT_TYPE_NOT_SUPPORTED", ProtocolDomain, 400, GRPCInvalidArgument, 415, GRPCInvalidArgument, "ContentTypeNotSupportedError", true},
	{CodeInvalidAgentResponse, "INVALID_AGENT_RESPONSE", ProtocolDomain, 500, GRPCInternal, 502, GRPCInternal, "InvalidAgentResponseError", true},
	{CodeExtendedCardNotConfigured, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", ProtocolDomain, 400, GRPCFailedPrecondition, 404, GRPCFailedPrecondition, "AuthenticatedExtendedCardNotConfiguredError", true},
	{CodeExtensionSupportRequired, "EXTENSION_SUPPORT_REQUIRED", ProtocolDomain, 400, GRPCFailedPrecondition, 400, GRPCInvalidArgument, "", false},
	{CodeVersionNotSupported, "VERSION_NOT_SUPPORTED", ProtocolDomain, 400, GRPCFailedPrecondition, 400, GRPCInvalidArgument, "", false},
	{CodeUnauthenticated, "UNAUTHENTICATED", GatewayDomain, 401, GRPCUnauthenticated, 401, GRPCUnauthenticated, "", true},
	{CodePermissionDenied, "PERMISSION_DENIED", GatewayDomain, 403, GRPCPermissionDenied, 403, GRPCPermissionDenied, "", true},
	{CodeNotFound, "NOT_FOUND", GatewayDomain, 404, GRPCNotFound, 404, GRPCNotFound, "", true},
	{CodeSessionTerminated, "SESSION_TERMINATED", GatewayDomain, 409, GRPCFailedPrecondition, 409, GRPCFailedPrecondition, "", true},
	{CodeExhausted, "RESOURCE_EXHAUSTED", GatewayDomain, 429, GRPCResourceExhausted, 429, GRPCResourceExhausted, "", true},
	{CodeUnavailable, "UNAVAILABLE", GatewayDomain, 503, GRPCUnavailable, 503, GRPCUnavailable, "", true},
	{CodeUnavailable, "UPSTREAM_TIMEOUT", GatewayDomain, 504, GRPCDeadlineExceeded, 504, GRPCDeadlineExceeded, "", true},
}

// Rows returns the table of errors.
func Rows() []Row { return append([]Row(nil), rows[:]...) }

// LookupCode returns the row of a code of JSON-RPC, the first when there are several.
func LookupCode(code int64) (Row, bool) {
	for _, row := range rows {
		if row.Code == code {
			return row, true
		}
	}
	return Row{}, false
}

// LookupReason returns the row of a reason in a domain, "" meaning any.
func LookupReason(reason, domain string) (Row, bool) {
	if reason == "" {
		return Row{}, false
	}
	for _, row := range rows {
		if row.Reason == reason && (domain == "" || domain == row.Domain) {
			return row, true
		}
	}
	return Row{}, false
}

func mustRow(code int64) Row {
	row, ok := LookupCode(code)
	if !ok {
		panic("a2a: the table of errors has no such code")
	}
	return row
}

// FallbackHTTP returns what an HTTP status means when the body does not tell: op is what
// was asked for, 0 when that is not known.
func FallbackHTTP(op Operation, status int) Row {
	code := int64(jsonrpc.CodeInternal)
	switch status {
	case 401:
		code = CodeUnauthenticated
	case 403:
		code = CodePermissionDenied
	case 404:
		switch {
		case op == GetExtendedCard:
			code = CodeExtendedCardNotConfigured
		case op.NeedsTask() || op.Send():
			code = CodeTaskNotFound
		default:
			code = jsonrpc.CodeMethodNotFound
		}
	case 405:
		code = jsonrpc.CodeMethodNotFound
	case 409:
		code = CodeTaskNotCancelable
	case 415:
		code = CodeContentTypeNotSupported
	case 422:
		code = jsonrpc.CodeInvalidParams
	case 429:
		code = CodeExhausted
	case 501:
		code = unimplemented(op)
	case 502:
		code = CodeInvalidAgentResponse
	case 503:
		code = CodeUnavailable
	case 408, 504:
		row, _ := LookupReason("UPSTREAM_TIMEOUT", GatewayDomain)
		return row
	default:
		if status >= 400 && status < 500 {
			code = jsonrpc.CodeInvalidRequest
		}
	}
	return mustRow(code)
}

// FallbackGRPC returns what a status of gRPC means when neither a reason nor the text
// tells: op is what was asked for, 0 when that is not known.
func FallbackGRPC(op Operation, status int) Row {
	code := int64(jsonrpc.CodeInternal)
	switch status {
	case GRPCInvalidArgument, GRPCOutOfRange:
		code = jsonrpc.CodeInvalidParams
	case GRPCNotFound:
		code = CodeTaskNotFound
		if op == GetExtendedCard {
			code = CodeExtendedCardNotConfigured
		}
	case GRPCFailedPrecondition:
		switch op {
		case CancelTask:
			code = CodeTaskNotCancelable
		case GetExtendedCard:
			code = CodeExtendedCardNotConfigured
		default:
			code = unimplemented(op)
		}
	case GRPCUnimplemented:
		code = unimplemented(op)
	case GRPCUnauthenticated:
		code = CodeUnauthenticated
	case GRPCPermissionDenied:
		code = CodePermissionDenied
	case GRPCResourceExhausted:
		code = CodeExhausted
	case GRPCUnavailable:
		code = CodeUnavailable
	case GRPCDeadlineExceeded:
		row, _ := LookupReason("UPSTREAM_TIMEOUT", GatewayDomain)
		return row
	}
	return mustRow(code)
}

// unimplemented returns the code of an operation that an agent does not have.
func unimplemented(op Operation) int64 {
	if op.Push() {
		return CodePushNotSupported
	}
	return CodeUnsupportedOperation
}

// Row returns the row that the error belongs to, that of an internal error when there is
// none. A reason decides only among the rows of one code: the code is what was decided on
// when the error was read.
func (e *Error) Row() Row {
	row, ok := e.row()
	if !ok {
		return mustRow(jsonrpc.CodeInternal)
	}
	return row
}

func (e *Error) row() (Row, bool) {
	if row, ok := LookupReason(e.Reason, e.Domain); ok && row.Code == e.Code {
		return row, true
	}
	return LookupCode(e.Code)
}

// codeIn returns the code that a version has for the error: 0.3 does not have all of 1.0's.
func (e *Error) codeIn(v Version) int64 {
	if row, ok := e.row(); ok && v == V03 && !row.In03 {
		return jsonrpc.CodeInvalidRequest
	}
	return e.Code
}

// RESTStatus returns the HTTP status that goes with the error over REST.
func (e *Error) RESTStatus(v Version) int {
	row, known := e.row()
	switch {
	case e.HTTPStatus != 0:
		return e.HTTPStatus
	case !known && e.GRPCStatus != 0:
		return httpOfGRPC(e.GRPCStatus)
	case !known:
		return 500
	case v == V03:
		return row.HTTP03
	}
	return row.HTTP
}

// RPCStatus returns the status that goes with the error over gRPC.
func (e *Error) RPCStatus(v Version) int {
	row, known := e.row()
	switch {
	case e.GRPCStatus != 0:
		return e.GRPCStatus
	case !known && e.HTTPStatus != 0:
		return FallbackHTTP(0, e.HTTPStatus).GRPC
	case !known:
		return GRPCInternal
	case v == V03:
		return row.GRPC03
	}
	return row.GRPC
}

// httpOfGRPC returns the HTTP status that google.rpc.Code gives a status of gRPC.
func httpOfGRPC(status int) int {
	switch status {
	case GRPCCanceled:
		return 499
	case GRPCInvalidArgument, GRPCFailedPrecondition, GRPCOutOfRange:
		return 400
	case GRPCDeadlineExceeded:
		return 504
	case GRPCNotFound:
		return 404
	case GRPCAlreadyExists, GRPCAborted:
		return 409
	case GRPCPermissionDenied:
		return 403
	case GRPCResourceExhausted:
		return 429
	case GRPCUnimplemented:
		return 501
	case GRPCUnavailable:
		return 503
	case GRPCUnauthenticated:
		return 401
	}
	return 500
}
