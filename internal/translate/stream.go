package translate

import (
	"errors"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// errTaskDue tells a caller that has forgotten to answer NeedsTask.
var errTaskDue = errors.New("the task that the stream begins with is due first")

// Stream turns the items of an upstream's stream into those that the downstream's version wants.
//
// A client of 0.3 reads until an item says that it is the last one: final is true at once for a state that
// nothing follows. After a state that waits for the caller some agents end the stream and some do not, so
// such an item is held until the next one or the end shows which; whoever drives the stream decides how long.
// A client of 1.0 wants a task first, which agents of 0.3 do not promise: when something else comes first,
// the stream asks for the task. Between forms of one version items are only rewritten.
//
// A Stream has no goroutines and no clock and is not safe for concurrent use.
type Stream struct {
	op       a2a.Operation
	from, to Form

	held, heldFinal []byte // a status update, and the same as the last of the stream

	begun     bool   // something went out
	noTask    bool   // nobody could fetch the task
	snapshot  bool   // the task that went out was fetched, and no item came since
	status    []byte // of the snapshot
	artifacts []byte
	pending   []byte // the first item, which waits for the task, in 1.0 JSON
	minimal   []byte // the task that can be made of it
	taskID    string // the task that is needed
}

// NewStream returns a stream that has not begun. Op is the operation that it answers.
func NewStream(op a2a.Operation, from, to Form) *Stream {
	return &Stream{op: op, from: from, to: to}
}

// Push takes the next item of the upstream and returns the items that go on, which may be none. They may be
// there even with an error: items that came before.
func (s *Stream) Push(payload []byte) ([][]byte, error) {
	switch {
	case s.from.Version() == s.to.Version():
		out, err := Event(s.from, s.to, payload)
		if err != nil {
			return nil, err
		}
		return [][]byte{out}, nil
	case s.to.Version() == a2a.V03:
		return s.pushOld(payload)
	default:
		return s.pushNew(payload)
	}
}

// pushOld takes an item of 1.0 for a client of 0.3.
func (s *Stream) pushOld(payload []byte) ([][]byte, error) {
	out := s.Release(false)
	var it item
	item, err := convertJSON(eventRole, s.op, s.from, s.to.json(), payload, &it)
	if err != nil {
		return out, err
	}
	var last []byte
	if it.kind == a2a.StatusUpdate && it.state.Interrupted() && it.final > 0 {
		last = append(append(append([]byte(nil), item[:it.final]...), "true"...), item[it.final+len("false"):]...)
		if last, err = encode(eventRole, s.op, s.to, last); err != nil {
			return out, err
		}
	}
	if item, err = encode(eventRole, s.op, s.to, item); err != nil {
		return out, err
	}
	if last != nil {
		s.held, s.heldFinal = item, last
		return out, nil
	}
	return append(out, item), nil
}

// Hold reports whether an item is held.
func (s *Stream) Hold() bool { return s.held != nil }

// Release returns the item that is held, if any. Final says that the upstream's stream has ended; otherwise
// the time to wait for that is over.
func (s *Stream) Release(final bool) [][]byte {
	if s.held == nil {
		return nil
	}
	out := s.held
	if final {
		out = s.heldFinal
	}
	s.held, s.heldFinal = nil, nil
	return [][]byte{out}
}

// pushNew takes an item of 0.3 for a client of 1.0.
func (s *Stream) pushNew(payload []byte) ([][]byte, error) {
	if s.pending != nil {
		return nil, errTaskDue
	}
	var it item
	item, err := convertJSON(eventRole, s.op, s.from, JSON10, payload, &it)
	if err != nil {
		return nil, err
	}
	switch {
	case s.snapshot:
		s.snapshot = false
		if it.kind == a2a.Task && s.repeats(&it, item) {
			return nil, nil
		}
	case !s.begun && (it.kind == a2a.StatusUpdate || it.kind == a2a.ArtifactUpdate) && !empty(it.taskID):
		id, ok := jsonrpc.Unquote(it.taskID)
		if !ok {
			return nil, fmt.Errorf("%w: its task id is not a string", ErrMalformed)
		}
		s.pending, s.taskID, s.minimal = item, id, minimalTask(&it, item)
		if !s.noTask {
			return nil, nil
		}
		return s.PushTask(nil)
	}
	s.begun = true
	return s.encodeAll(item)
}

// repeats reports whether a task says nothing that the snapshot did not say.
func (s *Stream) repeats(it *item, task []byte) bool {
	return string(it.status.of(task)) == string(s.status) && string(it.artifacts.of(task)) == string(s.artifacts)
}

// NeedsTask returns the task that the upstream is to be asked for. As long as it does, only
// [Stream.PushTask] may be called.
func (s *Stream) NeedsTask() (taskID string, ok bool) { return s.taskID, s.pending != nil }

// PushTask gives the stream the task that it begins with, as the upstream answered GetTask, or nil when there
// is none; it then makes do with what the first item says. For SubscribeToTask it may be called before the
// first item, with the task as it was before the subscription; an upstream that begins with the same task is
// not repeated.
func (s *Stream) PushTask(task []byte) ([][]byte, error) {
	if s.begun || s.to.Version() != a2a.V10 || s.from.Version() != a2a.V03 {
		return nil, nil
	}
	first := s.minimal
	if task != nil {
		var it item
		if fetched, err := convertJSON(resultRole, a2a.GetTask, s.from, JSON10, task, &it); err == nil {
			first = append(append([]byte(`{"task":`), fetched...), '}')
			s.snapshot = s.pending == nil
			s.status, s.artifacts = it.status.of(fetched), it.artifacts.of(fetched)
		}
	}
	if first == nil {
		s.noTask = true
		return nil, nil
	}
	s.begun = true
	pending := s.pending
	s.pending, s.minimal = nil, nil
	if pending == nil {
		return s.encodeAll(first)
	}
	return s.encodeAll(first, pending)
}

// encodeAll returns items of 1.0 JSON in the form of the target.
func (s *Stream) encodeAll(items ...[]byte) ([][]byte, error) {
	for i := range items {
		out, err := encode(eventRole, s.op, s.to, items[i])
		if err != nil {
			return nil, err
		}
		items[i] = out
	}
	return items, nil
}

// minimalTask returns an item with the task that an update is about, as far as the update tells. A task that
// sends artifacts is at work.
func minimalTask(it *item, update []byte) []byte {
	out := append([]byte(`{"task":{"id":`), it.taskID...)
	if !empty(it.contextID) {
		out = append(append(out, `,"contextId":`...), it.contextID...)
	}
	out = append(out, `,"status":`...)
	if it.hasStatus && it.status.to > it.status.from {
		out = append(out, it.status.of(update)...)
	} else {
		out = append(out, `{"state":"TASK_STATE_WORKING"}`...)
	}
	return append(out, "}}"...)
}
