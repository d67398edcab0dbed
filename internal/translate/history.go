package translate

import (
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// HistoryOmitted reports whether a request asks for no history at all where the target can only ask for a
// number or for whatever the agent likes. The history is then to be taken out of every answer to it, with
// [StripHistory].
func HistoryOmitted(op a2a.Operation, from, to Form, payload []byte) bool {
	if to.json() != REST03 || from.json() == REST03 || (!op.Send() && op != a2a.GetTask) {
		return false
	}
	if from != from.json() {
		decoded, err := decode(requestRole, op, from, payload)
		if err != nil {
			return false
		}
		payload = decoded
	}
	s := jsonrpc.NewReplyScanner(payload)
	defer s.Release()
	if !s.OpenObject() {
		return false
	}
	omitted := false
	for s.Next() {
		switch name := string(s.Folded()); {
		case op == a2a.GetTask && name == "HISTORYLENGTH":
			omitted = isZero(s.Value())
		case op.Send() && name == "CONFIGURATION" && s.OpenObject():
			for s.Next() {
				if string(s.Folded()) == "HISTORYLENGTH" {
					omitted = isZero(s.Value())
				} else {
					s.Value()
				}
			}
		default:
			s.Value()
		}
	}
	return omitted && s.Err() == nil
}

// StripHistory returns the result of an operation, or an item of its stream, without the history of its task.
// What is no task stays as it is.
func StripHistory(form Form, op a2a.Operation, payload []byte) ([]byte, error) {
	if form != form.json() {
		return stripProtoHistory(payload, op != a2a.GetTask && op != a2a.CancelTask)
	}
	s := jsonrpc.NewReplyScanner(payload)
	defer s.Release()
	if !s.OpenObject() {
		return nil, fmt.Errorf("%w: the result is not an object", ErrMalformed)
	}
	out := stripHistory(make([]byte, 0, len(payload)), s, payload, true)
	if err := s.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

// stripHistory appends the object that is open without its history, and without that of a task inside.
func stripHistory(dst []byte, s *jsonrpc.Scanner, payload []byte, outer bool) []byte {
	dst = append(dst, '{')
	for s.Next() {
		name := payload[s.NameOffset():s.Offset()]
		isTask := outer && string(s.Folded()) == "TASK"
		if string(s.Folded()) == "HISTORY" {
			s.Value()
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(dst, name...), ':')
		if isTask && s.OpenObject() {
			dst = stripHistory(dst, s, payload, false)
		} else {
			dst = append(dst, s.Value()...)
		}
	}
	return append(dst, '}')
}
