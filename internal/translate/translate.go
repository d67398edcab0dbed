// Package translate turns the payload of a call from the form of one dialect into that of another: requests,
// results and the items of streams, between versions 0.3 and 1.0 and between their JSON forms.
//
// A payload is read once and written once, token by token. Nothing is decoded into types, so members that
// nobody knows, numbers of any length, explicit false and the key order of data stay as they came. What the
// target has no counterpart of is dropped by rule, or refused with [ErrNotCarried] where dropping it would
// make another call of it. Members that mean something in the target but not in the source are dropped too:
// a sender of one version cannot speak in words of the other. Agent cards are not translated here.
package translate

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Form is how the payload of a call is written.
type Form uint8

// The forms of payloads. The zero Form is none.
const (
	// JSON10 is ProtoJSON of version 1.0, which JSON-RPC and REST share.
	JSON10 Form = 1 + iota
	// JSON03 is the JSON of version 0.3 in JSON-RPC, where objects have a kind.
	JSON03
	// REST03 is the ProtoJSON of version 0.3. Its requests are whole request messages, ids included.
	REST03
	// Proto10 and Proto03 are the messages of gRPC.
	Proto10
	Proto03
)

var (
	// ErrNotCarried is what errors wrap about things that the target has no counterpart of.
	ErrNotCarried = errors.New("the other dialect has no counterpart")
	// ErrMalformed is what errors wrap about payloads that are not what they should be.
	ErrMalformed = errors.New("malformed payload")
)

// String returns a name for the form that errors can show.
func (f Form) String() string {
	switch f {
	case JSON10:
		return "JSON 1.0"
	case JSON03:
		return "JSON-RPC 0.3"
	case REST03:
		return "HTTP+JSON 0.3"
	case Proto10:
		return "gRPC 1.0"
	case Proto03:
		return "gRPC 0.3"
	}
	return ""
}

// Version returns the version of the protocol that the form belongs to.
func (f Form) Version() a2a.Version {
	switch f {
	case JSON10, Proto10:
		return a2a.V10
	case JSON03, REST03, Proto03:
		return a2a.V03
	}
	return 0
}

// FormOf returns how a dialect writes payloads, 0 for a dialect that does not exist.
func FormOf(d a2a.Dialect) Form {
	old := d.Version == a2a.V03
	switch {
	case d.Version != a2a.V03 && d.Version != a2a.V10:
		return 0
	case d.Binding == a2a.GRPC && old:
		return Proto03
	case d.Binding == a2a.GRPC:
		return Proto10
	case d.Binding == a2a.REST && old:
		return REST03
	case d.Binding == a2a.JSONRPC && old:
		return JSON03
	case d.Binding == a2a.REST, d.Binding == a2a.JSONRPC:
		return JSON10
	}
	return 0
}

// payloadRole is which part of a call a payload is.
type payloadRole uint8

const (
	requestRole payloadRole = iota
	resultRole
	eventRole
)

// Request translates the request of an operation. JSON requests may be absent, which is the same as an
// object without members; a nil result says that the target sends no params at all.
//
// Whether a send waits is always written out, because the defaults differ: a 0.3 JSON-RPC caller that says
// nothing waits, one over REST or gRPC, where nothing and false are the same, does not.
func Request(op a2a.Operation, from, to Form, payload []byte) ([]byte, error) {
	return convert(requestRole, op, from, to, payload)
}

// Result translates the result of a unary operation. That of GetExtendedCard is an agent card, which only
// changes its encoding here, within one version.
func Result(op a2a.Operation, from, to Form, payload []byte) ([]byte, error) {
	return convert(resultRole, op, from, to, payload)
}

// Event translates an item of a stream. A status update gets final:true in version 0.3 when its state is
// terminal; [Stream] does better, since it knows what comes next.
func Event(from, to Form, payload []byte) ([]byte, error) {
	return convert(eventRole, a2a.SendStreamingMessage, from, to, payload)
}

func convert(r payloadRole, op a2a.Operation, from, to Form, payload []byte) ([]byte, error) {
	if from == to {
		return payload, nil
	}
	var it item
	out, err := convertJSON(r, op, from, to.json(), payload, &it)
	if err != nil {
		return nil, err
	}
	return encode(r, op, to, out)
}

// json returns the JSON form that goes with a form, which is the form itself unless it is protobuf.
func (f Form) json() Form {
	switch f {
	case Proto10:
		return JSON10
	case Proto03:
		return REST03
	default:
		return f
	}
}

// convertJSON translates a payload of any form into a JSON form.
func convertJSON(r payloadRole, op a2a.Operation, from, to Form, payload []byte, it *item) ([]byte, error) {
	if op < a2a.SendMessage || op > a2a.GetExtendedCard || from.Version() == 0 || to.Version() == 0 {
		return nil, fmt.Errorf("%w: no such operation or form", ErrNotCarried)
	}
	if op == a2a.ListTasks && from.Version() != to.Version() {
		return nil, fmt.Errorf("%w: A2A 0.3 cannot list tasks", ErrNotCarried)
	}
	if from != from.json() {
		decoded, err := decode(r, op, from, payload)
		if err != nil {
			return nil, err
		}
		from, payload = from.json(), decoded
	}
	if from == to {
		return payload, nil
	}
	if op == a2a.GetExtendedCard && r == resultRole {
		return nil, fmt.Errorf("%w: an agent card is not a payload", ErrNotCarried)
	}
	if !utf8.Valid(payload) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrMalformed)
	}
	if at := jsonrpc.CheckDepth(payload, jsonrpc.MaxDepth); at >= 0 {
		return nil, fmt.Errorf("%w: it is nested deeper than %d levels", ErrMalformed, jsonrpc.MaxDepth)
	}
	t := newTranslator(op, from, to, payload)
	defer t.release()
	switch r {
	case requestRole:
		t.request = true
		t.requestPayload()
	case resultRole:
		t.resultPayload(it)
	case eventRole:
		t.item(it)
	}
	out, err := t.finish()
	it.shift(t.start)
	return out, err
}

// resultPayload translates the result of an operation.
func (t *translator) resultPayload(it *item) {
	switch t.op {
	case a2a.SendMessage:
		t.item(it)
		if t.err == nil && it.kind != a2a.Task && it.kind != a2a.Message {
			t.fail("the result is neither a task nor a message")
		}
	case a2a.SendStreamingMessage, a2a.SubscribeToTask:
		t.item(it)
	case a2a.GetTask, a2a.CancelTask:
		t.task(it)
	case a2a.CreatePushConfig, a2a.GetPushConfig:
		t.pushResult()
	case a2a.ListPushConfigs:
		t.pushList()
	case a2a.DeletePushConfig:
		t.deleted()
	default:
		t.fail("there is no such result")
	}
}
