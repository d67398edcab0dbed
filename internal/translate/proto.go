package translate

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

func (r payloadRole) message() pb.Message {
	switch r {
	case requestRole:
		return pb.Request
	case resultRole:
		return pb.Result
	default:
		return pb.Event
	}
}

// decode turns protobuf into the JSON form of its version.
func decode(r payloadRole, op a2a.Operation, from Form, payload []byte) ([]byte, error) {
	out, err := pb.ToJSON(from.Version(), op, r.message(), payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

// encode turns the JSON form of a version into the form that was asked for.
func encode(r payloadRole, op a2a.Operation, to Form, payload []byte) ([]byte, error) {
	if to == to.json() {
		return payload, nil
	}
	out, err := pb.FromJSON(to.Version(), op, r.message(), payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

// The fields of protobuf that lead to the history of a task, the same in both versions.
const (
	responseTaskField = 1 // of SendMessageResponse and StreamResponse
	taskHistoryField  = 5

	wireVarint, wireFixed64, wireBytes, wireFixed32 = 0, 1, 2, 5
)

// stripProtoHistory returns a message without the history of its task, which is the message itself unless
// wrapped. All other fields keep their bytes.
func stripProtoHistory(message []byte, wrapped bool) ([]byte, error) {
	out := make([]byte, 0, len(message))
	for rest := message; len(rest) > 0; {
		field, wire, size, body, ok := protoField(rest)
		if !ok {
			return nil, fmt.Errorf("%w: it is not protobuf", ErrMalformed)
		}
		raw := rest[:size]
		rest = rest[size:]
		switch {
		case !wrapped && field == taskHistoryField && wire == wireBytes:
			continue
		case wrapped && field == responseTaskField && wire == wireBytes:
			inner, err := stripProtoHistory(raw[body:], false)
			if err != nil {
				return nil, err
			}
			out = binary.AppendUvarint(out, responseTaskField<<3|wireBytes)
			out = binary.AppendUvarint(out, uint64(len(inner)))
			raw = inner
		}
		out = append(out, raw...)
	}
	return out, nil
}

// protoField reads the field that comes first: its number and wire type, its size, and where in it the bytes
// of a length-delimited value begin.
func protoField(raw []byte) (field uint64, wire, size, body int, ok bool) {
	tag, n := binary.Uvarint(raw)
	if n <= 0 {
		return 0, 0, 0, 0, false
	}
	field, wire, body = tag>>3, int(tag&7), n
	switch wire {
	case wireVarint:
		_, v := binary.Uvarint(raw[n:])
		if v <= 0 {
			return 0, 0, 0, 0, false
		}
		size = n + v
	case wireFixed64:
		size = n + 8
	case wireFixed32:
		size = n + 4
	case wireBytes:
		length, v := binary.Uvarint(raw[n:])
		if v <= 0 || length > uint64(len(raw)-n-v) {
			return 0, 0, 0, 0, false
		}
		body = n + v
		size = body + int(length)
	default: // groups, which no message of A2A has
		return 0, 0, 0, 0, false
	}
	return field, wire, size, body, size <= len(raw)
}

// isEmptyJSON reports whether a payload of JSON is missing or null.
func isEmptyJSON(payload []byte) bool {
	payload = bytes.TrimSpace(payload)
	return len(payload) == 0 || string(payload) == "null"
}
