package a2a

import (
	"errors"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// MaxIDBytes bounds the ids of tasks and contexts, which are kept and looked up. The
// protocol sets no bound; no SDK makes ids of more than 36 bytes.
const MaxIDBytes = 512

// ErrNotResult is what the errors about results wrap.
var ErrNotResult = errors.New("not a result of A2A")

// Kind is what a result or an item of a stream is.
type Kind uint8

// The kinds of results. What is not about the progress of a task is Other.
const (
	Other Kind = iota
	Task
	Message
	StatusUpdate
	ArtifactUpdate
)

// String returns the kind as version 0.3 writes it, "other" for [Other].
func (k Kind) String() string {
	switch k {
	case Task:
		return "task"
	case Message:
		return "message"
	case StatusUpdate:
		return "status-update"
	case ArtifactUpdate:
		return "artifact-update"
	default:
		return "other"
	}
}

// Outcome is what the gateway reads in a result or an item of a stream.
type Outcome struct {
	// Kind is what the result is.
	Kind Kind
	// TaskID and ContextID are "" when the agent left them out.
	TaskID, ContextID string
	// State is the state of the task, [StateUnspecified] when the result does not tell.
	State State
	// Final is the flag of that name in version 0.3: no more items follow.
	Final bool
}

// ParseResult reads the result of a call or an item of its stream. It reads the bare form of version 0.3
// and the wrapped one of 1.0 in either version, since agents mix them up; where both could be meant, v
// decides. Without a kind the members that are there tell what it is. Members may be written in snake_case,
// and required ones may be missing, both of which ProtoJSON allows. Of operations that are not about a task's
// progress it reads nothing, and the kind is [Other].
func ParseResult(op Operation, v Version, result []byte) (Outcome, error) {
	switch op {
	case SendMessage, SendStreamingMessage, SubscribeToTask, GetTask, CancelTask:
	default:
		return Outcome{Kind: Other}, nil
	}
	s := jsonrpc.NewReplyScanner(result)
	defer s.Release()
	if !s.OpenObject() {
		return Outcome{}, fmt.Errorf("%w: the result of %s is not an object", ErrNotResult, op)
	}
	var outer, inner event
	if err := outer.read(s, &inner); err != nil {
		return Outcome{}, err
	}
	if err := s.End(); err != nil {
		return Outcome{}, fmt.Errorf("%w: %w", ErrNotResult, err)
	}
	return outer.resolve(op, v, inner)
}

// event collects the members that tell what a result is and whom it is about.
type event struct {
	kind                             string
	id, taskID, contextID, messageID string
	state                            State
	hasStatus, hasArtifact, final    bool

	wrapped  Kind // of the event inside
	wrappers int
}

func (e *event) resolve(op Operation, v Version, inner event) (Outcome, error) {
	bare := e.bareKind()
	if e.wrappers > 0 && (bare == Other || v == V10) {
		if e.wrappers > 1 {
			return Outcome{}, fmt.Errorf("%w: it is several things at once", ErrNotResult)
		}
		return inner.outcome(e.wrapped), nil
	}
	if bare == Other && e.id != "" && (op == GetTask || op == CancelTask) {
		bare = Task
	}
	if bare == Other {
		return Outcome{}, fmt.Errorf("%w: it is neither a task nor a message nor an update of a task", ErrNotResult)
	}
	return e.outcome(bare), nil
}

func (e *event) bareKind() Kind {
	switch e.kind {
	case "task":
		return Task
	case "message":
		return Message
	case "status-update":
		return StatusUpdate
	case "artifact-update":
		return ArtifactUpdate
	}
	switch {
	case e.hasArtifact:
		return ArtifactUpdate
	case e.hasStatus && e.id != "":
		return Task
	case e.hasStatus && e.taskID != "":
		return StatusUpdate
	case e.messageID != "":
		return Message
	}
	return Other
}

func (e *event) outcome(kind Kind) Outcome {
	o := Outcome{Kind: kind, TaskID: e.taskID, ContextID: e.contextID}
	switch kind {
	case Task:
		o.TaskID, o.State = e.id, e.state
	case StatusUpdate:
		o.State, o.Final = e.state, e.final
	default: // messages and artifacts tell nothing of the state
	}
	return o
}

// read reads the object that is open. Inner is where an event inside goes; nil means that none may be there.
func (e *event) read(s *jsonrpc.Scanner, inner *event) error {
	var fault error
	for s.Next() {
		err := e.member(s, inner)
		if fault == nil {
			fault = err
		}
	}
	return fault
}

func (e *event) member(s *jsonrpc.Scanner, inner *event) error {
	text, wrapped := (*string)(nil), Other
	switch string(s.Folded()) {
	case "KIND":
		text = &e.kind
	case "ID":
		text = &e.id
	case "TASKID":
		text = &e.taskID
	case "CONTEXTID":
		text = &e.contextID
	case "MESSAGEID":
		text = &e.messageID
	case "STATUS":
		return e.readStatus(s)
	case "ARTIFACT":
		e.hasArtifact = s.Kind() == '{'
		s.Value()
		return nil
	case "FINAL":
		e.final = s.Kind() == 't'
		s.Value()
		return nil
	case "TASK":
		wrapped = Task
	case "MESSAGE", "MSG":
		wrapped = Message
	case "STATUSUPDATE":
		wrapped = StatusUpdate
	case "ARTIFACTUPDATE":
		wrapped = ArtifactUpdate
	}
	switch {
	case text != nil:
		if err := readText(s, text); err != nil {
			return err
		}
		if len(*text) > MaxIDBytes {
			return fmt.Errorf("%w: an id in it is longer than %d bytes", ErrNotResult, MaxIDBytes)
		}
		return nil
	case wrapped != Other && inner != nil && s.OpenObject():
		e.wrappers++
		e.wrapped = wrapped
		return inner.read(s, nil)
	}
	s.Value()
	return nil
}

// readStatus reads the state out of a status.
func (e *event) readStatus(s *jsonrpc.Scanner) error {
	if s.Duplicate() {
		s.Value()
		return fmt.Errorf("%w: it has status twice", ErrNotResult)
	}
	if !s.OpenObject() {
		s.Value()
		return nil
	}
	e.hasStatus = true
	var fault error
	for s.Next() {
		if string(s.Folded()) != "STATE" {
			s.Value()
			continue
		}
		if s.Duplicate() {
			fault = fmt.Errorf("%w: its status has state twice", ErrNotResult)
		}
		raw := s.Value()
		if name, ok := jsonrpc.Unquote(raw); ok {
			e.state = ParseState(name)
		} else {
			e.state = parseStateNumber(raw)
		}
	}
	return fault
}

// readText reads a string that something is decided on; null is "".
func readText(s *jsonrpc.Scanner, into *string) error {
	raw := s.Value() // the name stays valid until the next one
	if s.Duplicate() {
		return fmt.Errorf("%w: it has %s twice", ErrNotResult, jsonrpc.QuoteName(s.Name()))
	}
	if isNull(raw) {
		return nil
	}
	text, ok := jsonrpc.Unquote(raw)
	if !ok {
		return fmt.Errorf("%w: its %s is not a string, or contains half a character", ErrNotResult, jsonrpc.QuoteName(s.Name()))
	}
	if strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%w: its %s contains a NUL", ErrNotResult, jsonrpc.QuoteName(s.Name()))
	}
	*into = text
	return nil
}
