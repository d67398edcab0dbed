// Package jsonrpc reads and writes the JSON-RPC 2.0 envelopes that A2A travels in.
//
// A gateway decides on what it reads and an agent acts on what it reads, so both must read the same.
// Requests are therefore scanned strictly over the whole body, and everything that two parsers are known
// to read differently is refused: see [ParseRequest]. Values below the envelope are kept as subslices of
// the input and never decoded or encoded again.
//
// The package knows nothing of HTTP and nothing of A2A beyond the rule that every call has an id.
package jsonrpc

import "github.com/go-json-experiment/json/jsontext"

// The error codes of JSON-RPC 2.0.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
)

// The reasons that go with the codes of JSON-RPC 2.0.
const (
	ReasonParse          = "PARSE_ERROR"
	ReasonInvalidRequest = "INVALID_REQUEST"
	ReasonMethodNotFound = "METHOD_NOT_FOUND"
	ReasonInvalidParams  = "INVALID_PARAMS"
	ReasonInternal       = "INTERNAL_ERROR"
)

// MaxDepth is how deep the objects and arrays of a body may be nested.
const MaxDepth = 200

// Error is a refusal as the caller will see it.
type Error struct {
	// Code is the JSON-RPC error code.
	Code int
	// Message says what is wrong and what to do about it.
	Message string
	// Reason is the machine-readable form of Code. It is not written by [AppendError]: how a reason
	// travels in the data member depends on the version of A2A that the caller speaks.
	Reason string
	// Data is the data member as JSON, nil for none.
	Data []byte
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// InvalidRequest returns an error with [CodeInvalidRequest].
func InvalidRequest(message string) *Error {
	return &Error{Code: CodeInvalidRequest, Message: message, Reason: ReasonInvalidRequest}
}

// InvalidParams returns an error with [CodeInvalidParams].
func InvalidParams(message string) *Error {
	return &Error{Code: CodeInvalidParams, Message: message, Reason: ReasonInvalidParams}
}

func parseError(message string) *Error {
	return &Error{Code: CodeParse, Message: message, Reason: ReasonParse}
}

// AppendRequest appends a request. Nil params are left out.
func AppendRequest(dst, id []byte, method string, params []byte) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `"method":`...)
	dst = AppendString(dst, method)
	if params != nil {
		dst = append(dst, `,"params":`...)
		dst = append(dst, params...)
	}
	return append(dst, '}')
}

// AppendError appends an error response. A nil id is written as null.
func AppendError(dst, id []byte, e *Error) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `"error":{"code":`...)
	dst = appendInt(dst, e.Code)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	if e.Data != nil {
		dst = append(dst, `,"data":`...)
		dst = append(dst, e.Data...)
	}
	return append(dst, "}}"...)
}

// AppendResult appends a success response. A nil id or result is written as null.
func AppendResult(dst, id, result []byte) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `"result":`...)
	dst = appendValue(dst, result)
	return append(dst, '}')
}

// AppendString appends s as a JSON string. What is not UTF-8 in s is replaced by U+FFFD;
// characters that only HTML gives a meaning are left as they are.
func AppendString[S ~[]byte | ~string](dst []byte, s S) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // the error only tells that something was replaced
	return dst
}

func appendHead(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendValue(dst, id)
	return append(dst, ',')
}

func appendValue(dst, value []byte) []byte {
	if value == nil {
		return append(dst, "null"...)
	}
	return append(dst, value...)
}
