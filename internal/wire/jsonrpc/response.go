package jsonrpc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotResponse is what every error of [ParseResponse] wraps.
var ErrNotResponse = errors.New("not a JSON-RPC 2.0 response")

// Response is the envelope of a reply. Its slices are parts of the body that was parsed.
type Response struct {
	// ID is the id as it was sent, nil when there was none.
	ID []byte
	// Result is the result member as it was sent. It is nil when the reply has none, which some agents
	// mean when they delete something, and when Error is set.
	Result []byte
	// Error is the error member, nil when the reply has none.
	Error *ErrorObject
}

// ErrorObject is the error that an agent answered with.
type ErrorObject struct {
	// Code is the code, of any number range.
	Code int64
	// Message is the text, "" when there was none.
	Message string
	// Data is the data member as it was sent, nil when there was none.
	Data []byte
}

// ParseResponse reads the envelope of what an agent has answered and checks the whole body.
//
// It is as strict as [ParseRequest] about the shape of the JSON, except that an escape may stand for half
// of a surrogate pair. A reply has either a result or an error; a member that is null beside the other
// counts as absent. With neither, jsonrpc and id must be there.
func ParseResponse(body []byte) (Response, error) {
	resp, err := parseResponse(body)
	if err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrNotResponse, err)
	}
	return resp, nil
}

func parseResponse(body []byte) (Response, error) {
	if bytes.HasPrefix(body, byteOrderMark) {
		return Response{}, errors.New("it begins with a byte order mark")
	}
	if !utf8.Valid(body) {
		return Response{}, errors.New("it is not UTF-8")
	}
	if at := CheckDepth(body, MaxDepth); at >= 0 {
		return Response{}, fmt.Errorf("it is nested deeper than %d levels at byte %d", MaxDepth, at)
	}
	s := NewReplyScanner(body)
	defer s.Release()

	var (
		resp  Response
		reply replyEnvelope
	)
	if !s.OpenObject() {
		s.Value()
		if err := s.End(); err != nil {
			return Response{}, errors.New(describe(err, body))
		}
		return Response{}, errors.New("it is not an object")
	}
	for s.Next() {
		reply.member(s, &resp)
	}
	if err := s.End(); err != nil {
		return Response{}, errors.New(describe(err, body))
	}
	return resp, reply.finish(&resp)
}

// replyEnvelope collects the members of a reply and the first thing that is wrong with them.
type replyEnvelope struct {
	hasVersion bool
	err        error
}

func (r *replyEnvelope) refuse(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *replyEnvelope) member(s *Scanner, resp *Response) {
	want := ""
	switch string(s.Folded()) {
	case "JSONRPC":
		want = "jsonrpc"
	case "ID":
		want = "id"
	case "RESULT":
		want = "result"
	case "ERROR":
		want = "error"
	}
	if s.Duplicate() {
		r.refuse(fmt.Errorf("it has %s twice, or in two spellings", QuoteName(s.Name())))
		s.Value()
		return
	}
	if want != "" && want != string(s.Name()) {
		r.refuse(fmt.Errorf("it has a member %s instead of %q", QuoteName(s.Name()), want))
		s.Value()
		return
	}
	kind := s.Kind()
	switch want {
	case "jsonrpc":
		r.hasVersion = true
		if !isVersion(s.Value()) {
			r.refuse(errors.New(`its jsonrpc is not "2.0"`))
		}
	case "id":
		resp.ID = s.Value()
		if kind != '"' && kind != '0' && kind != 'n' {
			r.refuse(errors.New("its id is neither a string nor a number nor null"))
		}
	case "result":
		resp.Result = s.Value()
	case "error":
		if kind == 'n' {
			s.Value()
			return
		}
		object, err := readErrorObject(s)
		if err != nil {
			r.refuse(err)
		}
		resp.Error = object
	default:
		s.Value()
	}
}

func (r *replyEnvelope) finish(resp *Response) error {
	if r.err != nil {
		return r.err
	}
	if !r.hasVersion {
		return errors.New("it has no jsonrpc")
	}
	if resp.Error == nil {
		if resp.ID == nil {
			return errors.New("it has no id")
		}
		return nil
	}
	if resp.Result != nil && !bytes.Equal(resp.Result, []byte("null")) {
		return errors.New("it has both a result and an error")
	}
	resp.Result = nil
	return nil
}

func readErrorObject(s *Scanner) (*ErrorObject, error) {
	if !s.OpenObject() {
		s.Value()
		return nil, errors.New("its error is not an object")
	}
	var (
		object  ErrorObject
		hasCode bool
		fault   error
	)
	for s.Next() {
		value := s.Value() // the name stays valid until the next one
		if s.Err() != nil {
			break
		}
		switch {
		case s.Duplicate():
			fault = firstError(fault, fmt.Errorf("its error has %s twice, or in two spellings", QuoteName(s.Name())))
		case string(s.Name()) == "code":
			code, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				fault = firstError(fault, errors.New("its error code is not an integer"))
			}
			object.Code, hasCode = code, true
		case string(s.Name()) == "message":
			object.Message = replaceHalves(value)
		case string(s.Name()) == "data":
			object.Data = value
		}
	}
	if fault == nil && !hasCode {
		fault = errors.New("its error has no code")
	}
	return &object, fault
}

// replaceHalves returns what a JSON string stands for, with U+FFFD for halves of surrogate pairs: the text
// of an error is shown to people, nothing is decided on it. What is no string gives "".
func replaceHalves(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, raw) // the error only tells that something was replaced
	return string(text)
}

// firstError returns the first of two errors.
func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
