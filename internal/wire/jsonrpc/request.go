package jsonrpc

import (
	"bytes"
	"fmt"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// Request is the envelope of a call. Its slices are parts of the body that was parsed.
type Request struct {
	// ID is the id as it was sent, a JSON string, number or null; nil when there was none.
	ID []byte
	// Method is the unescaped method name.
	Method string
	// Params is the params member as it was sent, an object or null; nil when there was none.
	Params []byte
	// ParamsOffset is where Params begins in the body.
	ParamsOffset int
}

// ParseRequest reads the envelope of a call and checks the whole body.
//
// It refuses what two parsers may read differently: a byte order mark, text that is not UTF-8, anything
// after the value, nesting deeper than [MaxDepth], members of the envelope whose names are equal to a
// [NameSet], and jsonrpc, id, method or params in another spelling. It also refuses batches and calls
// without an id, neither of which A2A has. Members of the envelope that it does not know are let pass;
// so is whatever stands inside params, provided that it is well-formed.
//
// When the body is well-formed and has one usable id, the request carries that id even if an error is
// returned, so that the error can be answered under it. Nothing is ever guessed from malformed JSON.
func ParseRequest(body []byte) (Request, *Error) {
	if bytes.HasPrefix(body, byteOrderMark) {
		return Request{}, parseError("not valid JSON at byte 0: the body begins with a byte order mark; send UTF-8 without one")
	}
	if at := CheckDepth(body, MaxDepth); at >= 0 {
		return Request{}, InvalidRequest(fmt.Sprintf("the body is nested deeper than %d levels at byte %d; flatten it", MaxDepth, at))
	}
	s := NewScanner(body)
	defer s.Release()

	var env envelope
	isObject, isBatch := s.OpenObject(), false
	if isObject {
		for s.Next() {
			env.member(s)
		}
	} else {
		isBatch = s.Kind() == '['
		s.Value()
	}
	if err := s.End(); err != nil {
		return Request{}, parseError(describe(err, body))
	}
	switch {
	case isBatch:
		return Request{}, InvalidRequest("the body is an array: A2A has no batches, send the calls one by one")
	case !isObject:
		return Request{}, InvalidRequest("the body is not a JSON object; send a JSON-RPC 2.0 request object")
	}
	return env.finish()
}

// envelope collects the members of a request and the first thing that is wrong with them. Reading goes
// on after a fault, since the id may come later and the rest of the body may be malformed.
type envelope struct {
	req        Request
	badID      bool
	hasVersion bool
	hasMethod  bool
	fault      *Error
}

func (e *envelope) refuse(err *Error) {
	if e.fault == nil {
		e.fault = err
	}
}

func (e *envelope) member(s *Scanner) {
	want := ""
	switch string(s.Folded()) {
	case "JSONRPC":
		want = "jsonrpc"
	case "ID":
		want = "id"
	case "METHOD":
		want = "method"
	case "PARAMS":
		want = "params"
	}
	if s.Duplicate() {
		e.badID = e.badID || want == "id"
		e.refuse(InvalidRequest(fmt.Sprintf("the request has %s twice, or in two spellings; send each member once", QuoteName(s.Name()))))
		s.Value()
		return
	}
	if want != "" && want != string(s.Name()) {
		e.badID = e.badID || want == "id"
		e.refuse(InvalidRequest(fmt.Sprintf("the request has a member %s; spell it %q", QuoteName(s.Name()), want)))
		s.Value()
		return
	}
	kind := s.Kind()
	switch want {
	case "jsonrpc":
		e.hasVersion = true
		if !isVersion(s.Value()) {
			e.refuse(InvalidRequest(`jsonrpc is not "2.0"; send the string "2.0"`))
		}
	case "id":
		e.req.ID = s.Value()
		if kind != '"' && kind != '0' && kind != 'n' {
			e.badID = true
			e.refuse(InvalidRequest("id is neither a string nor a number nor null"))
		}
	case "method":
		e.hasMethod = true
		method, isString := Unquote(s.Value())
		if !isString {
			e.refuse(InvalidRequest("method is not a string"))
		}
		e.req.Method = method
	case "params":
		e.req.Params = s.Value()
		e.req.ParamsOffset = s.Offset() - len(e.req.Params)
		if kind != '{' && kind != 'n' {
			e.refuse(InvalidParams("params is not an object; A2A has no positional parameters"))
		}
	default:
		s.Value()
	}
}

func (e *envelope) finish() (Request, *Error) {
	if e.badID {
		e.req.ID = nil
	}
	switch {
	case e.fault != nil:
	case !e.hasVersion:
		e.refuse(InvalidRequest(`jsonrpc is missing; send "jsonrpc":"2.0"`))
	case !e.hasMethod:
		e.refuse(InvalidRequest("method is missing"))
	case e.req.ID == nil:
		e.refuse(InvalidRequest("id is missing: A2A has no notifications, send an id with every call"))
	}
	if e.fault != nil {
		return Request{ID: e.req.ID}, e.fault
	}
	return e.req, nil
}

// isVersion reports whether a raw value is the string "2.0".
func isVersion(raw []byte) bool {
	if string(raw) == `"2.0"` {
		return true
	}
	version, _ := Unquote(raw)
	return version == "2.0"
}
