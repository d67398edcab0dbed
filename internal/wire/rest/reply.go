package rest

import (
	"bytes"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// ReplyPayload returns the result in a reply of an agent that has the given status, any of 2xx. A deletion's is
// always {}, whatever was answered; a list of push configs that came as a bare array is put into its object.
// Errors wrap [ErrReply].
func ReplyPayload(op a2a.Operation, v a2a.Version, status int, body []byte) ([]byte, error) {
	if status < 200 || status > 299 {
		return nil, fmt.Errorf("%w: HTTP status %d", ErrReply, status)
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	if op == a2a.DeletePushConfig {
		return []byte("{}"), nil
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("%w: it has no body", ErrReply)
	}
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrReply)
	}
	if at := jsonrpc.CheckDepth(body, jsonrpc.MaxDepth); at >= 0 {
		return nil, fmt.Errorf("%w: it is nested deeper than %d levels", ErrReply, jsonrpc.MaxDepth)
	}
	s := jsonrpc.NewReplyScanner(body)
	defer s.Release()
	first := s.Kind()
	s.Value()
	if err := s.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReply, err)
	}
	switch {
	case first == '{':
		return body, nil
	case first == '[' && op == a2a.ListPushConfigs && v == a2a.V03:
		return append(append([]byte(`{"configs":`), body...), '}'), nil
	case first == 'n' && op == a2a.ListPushConfigs:
		return []byte("{}"), nil
	}
	return nil, fmt.Errorf("%w: it is not an object", ErrReply)
}

// ReplyStatus is the status of every success that the gateway answers.
const ReplyStatus = http.StatusOK

// AppendReply appends the body of a success, given its result. There is always a body: a client that reads
// none does no harm, one that misses it fails.
func AppendReply(dst []byte, op a2a.Operation, payload []byte) []byte {
	if op == a2a.DeletePushConfig || len(payload) == 0 {
		return append(dst, "{}"...)
	}
	return append(dst, payload...)
}

// AppendErrorEvent appends the event that ends a stream with an error.
func AppendErrorEvent(dst []byte, e *a2a.Error, v a2a.Version) []byte {
	dst = append(dst, "event: error\n"...)
	return sse.AppendEvent(dst, e.AppendREST(nil, v))
}

// ParseErrorEvent reads an event of a stream that is an error: its type says so, or it has a member error
// and nothing that a stream is made of. The second result is false for all other events.
func ParseErrorEvent(op a2a.Operation, v a2a.Version, event string, data []byte) (a2a.Error, bool) {
	if event != "error" && !hasOnlyError(data) {
		return a2a.Error{}, false
	}
	e, _ := a2a.ErrorFromREST(op, v, 0, data)
	return e, true
}

// hasOnlyError reports whether an event is an object with a member error and none of a stream's items. The
// cheap look comes first: events are many, errors few.
func hasOnlyError(data []byte) bool {
	if !bytes.Contains(data, []byte(`"error"`)) {
		return false
	}
	s := jsonrpc.NewReplyScanner(data)
	defer s.Release()
	if !s.OpenObject() {
		return false
	}
	found := false
	for s.Next() {
		switch string(s.Name()) {
		case "task", "message", "msg", "statusUpdate", "artifactUpdate":
			return false
		case "error":
			kind := s.Kind()
			found = kind == '{' || kind == '"'
		}
		s.Value()
	}
	return found && s.End() == nil
}
