package translate

import (
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// shape is a set of kinds whose members an object may have.
type shape uint8

const (
	taskShape shape = 1 << iota
	messageShape
	statusShape
	artifactShape
	anyShape = taskShape | messageShape | statusShape | artifactShape
)

// item is what is learned about a result or an item of a stream while it is translated. Its slices belong
// to the input; its spans are places in the output.
type item struct {
	kind a2a.Kind

	named                  a2a.Kind // by its member kind
	wrapped                a2a.Kind // what is inside, if it is a wrapper
	wrappers               int
	id, taskID, contextID  []byte
	state                  a2a.State
	hasStatus, hasArtifact bool
	hasMessageID, hasRole  bool
	hasParts, hasContext   bool
	final                  int // where the value of final begins, 0 when it is not written
	status, artifacts      span
}

// span is a place in the output.
type span struct{ from, to int }

func (p span) of(out []byte) []byte { return out[p.from:p.to] }

// shift makes places count from the start of the output proper.
func (it *item) shift(start int) {
	for _, at := range [...]*int{&it.final, &it.status.from, &it.status.to, &it.artifacts.from, &it.artifacts.to} {
		if *at > 0 {
			*at -= start
		}
	}
}

// bareKind returns what an object without a wrapper is: what it says, or else what its members tell.
func (it *item) bareKind() a2a.Kind {
	switch {
	case it.named != a2a.Other:
		return it.named
	case it.hasArtifact:
		return a2a.ArtifactUpdate
	case it.hasStatus && !empty(it.id):
		return a2a.Task
	case it.hasStatus && !empty(it.taskID):
		return a2a.StatusUpdate
	case it.hasMessageID:
		return a2a.Message
	}
	return a2a.Other
}

// wrapper returns the name of the member that holds a kind.
func wrapper(k a2a.Kind) string {
	switch k {
	case a2a.Task:
		return "task"
	case a2a.Message:
		return "message"
	case a2a.StatusUpdate:
		return "statusUpdate"
	case a2a.ArtifactUpdate:
		return "artifactUpdate"
	default:
		return ""
	}
}

// wrapperKind is the reverse of wrapper for a folded name. The name msg is what early writers have.
func wrapperKind(folded []byte) a2a.Kind {
	switch string(folded) {
	case "TASK":
		return a2a.Task
	case "MESSAGE", "MSG":
		return a2a.Message
	case "STATUSUPDATE":
		return a2a.StatusUpdate
	case "ARTIFACTUPDATE":
		return a2a.ArtifactUpdate
	}
	return a2a.Other
}

func shapeOf(k a2a.Kind) shape {
	switch k {
	case a2a.Task:
		return taskShape
	case a2a.Message:
		return messageShape
	case a2a.StatusUpdate:
		return statusShape
	case a2a.ArtifactUpdate:
		return artifactShape
	default:
		return anyShape
	}
}

// item translates the result of a send or an item of a stream. As agents mix the bare form of 0.3 and the
// wrapped one up, either is read where the other was due.
func (t *translator) item(it *item) {
	if t.from == JSON03 {
		t.bareItem(it)
		return
	}
	t.wrappedItem(it)
}

// bareItem translates an object that is not wrapped, from 0.3 JSON-RPC. What it is may be clear only at its
// end, so that the wrapper is written last, into the room before it.
func (t *translator) bareItem(it *item) {
	if !t.open("the item") {
		return
	}
	t.object(anyShape, it)
	if t.err != nil || t.s.Err() != nil {
		return
	}
	if it.kind = it.bareKind(); it.kind == a2a.Other {
		if it.wrappers != 1 {
			t.fail("it is neither a task nor a message nor an update of a task")
			return
		}
		*it = item{}
		t.restart()
		t.wrappedItem(it)
		return
	}
	t.close(shapeOf(it.kind), it)
	prefix := wrapper(it.kind)
	t.start = room - len(prefix) - len(`{"":`)
	at := append(t.out[:t.start], `{"`...)
	at = append(at, prefix...)
	_ = append(at, `":`...)
	t.out = append(t.out, '}')
}

// wrappedItem translates an object whose one member says what it holds. Other members are kept: next to it,
// or inside of it where the target has no wrapper.
func (t *translator) wrappedItem(it *item) {
	if !t.open("the item") {
		return
	}
	bare, merge := t.to == JSON03, t.to == JSON03 || t.from == JSON03
	if !bare {
		t.out = append(t.out, '{')
	}
	base := len(t.unknown)
	var inner []byte
	for t.next() {
		kind := wrapperKind(t.s.Folded())
		switch {
		case kind == a2a.Other || (t.s.Kind() != '{' && t.s.Kind() != 'n'):
			if merge {
				t.remember()
			} else {
				t.keep()
			}
		case !t.take():
		case it.kind != a2a.Other:
			t.fail("it is several things at once")
		default:
			it.kind = kind
			if !bare {
				t.key(wrapper(kind))
			}
			from := t.s.Offset()
			t.open(wrapper(kind))
			t.object(shapeOf(kind), it)
			inner = t.in[from:t.s.Offset()]
			if !merge {
				t.close(shapeOf(kind), it)
			}
		}
	}
	switch {
	case t.err != nil || t.s.Err() != nil:
	case it.kind == a2a.Other:
		t.misplacedBare(it)
	case merge:
		t.defaults(shapeOf(it.kind), it)
		t.adopt(base, inner)
		t.out = append(t.out, '}')
		if !bare {
			t.out = append(t.out, '}')
		}
	default:
		t.out = append(t.out, '}')
	}
}

// adopt writes the members that stood beside a wrapper into what it held. Inner is that, with the colon
// before it.
func (t *translator) adopt(base int, inner []byte) {
	if len(t.unknown) == base {
		return
	}
	var taken jsonrpc.NameSet
	for _, name := range [...]string{
		"kind", "id", "taskId", "contextId", "messageId", "status", "artifact", "artifacts", "history",
		"parts", "content", "role", "final", "append", "lastChunk", "metadata", "extensions", "referenceTaskIds",
	} {
		taken.Add([]byte(name))
	}
	s := jsonrpc.NewReplyScanner(inner[1:])
	defer s.Release()
	for s.OpenObject(); s.Next(); s.Value() {
		taken.Add(s.Name())
	}
	t.writeUnknown(base, true, &taken)
}

// misplacedBare translates an object that should have been wrapped and is not.
func (t *translator) misplacedBare(it *item) {
	t.restart()
	kind := a2a.Other
	if t.s.OpenObject() {
		kind = t.look()
	}
	if kind == a2a.Other {
		t.fail("it is neither a task nor a message nor an update of a task")
		return
	}
	t.restart()
	*it = item{kind: kind}
	bare := t.to == JSON03
	if !bare {
		t.out = append(t.out, '{')
		t.key(wrapper(kind))
	}
	t.open("the item")
	t.object(shapeOf(kind), it)
	t.close(shapeOf(kind), it)
	if !bare {
		t.out = append(t.out, '}')
	}
}

// look returns what the members of the open object tell that it is.
func (t *translator) look() a2a.Kind {
	var it item
	for t.next() {
		switch string(t.s.Folded()) {
		case "KIND":
			it.named = kindNamed(t.s.Value())
			continue
		case "ID":
			it.id = t.s.Value()
			continue
		case "TASKID":
			it.taskID = t.s.Value()
			continue
		case "MESSAGEID":
			it.hasMessageID = !empty(t.s.Value())
			continue
		case "STATUS":
			it.hasStatus = t.s.Kind() == '{'
		case "ARTIFACT":
			it.hasArtifact = t.s.Kind() == '{'
		}
		t.drop()
	}
	return it.bareKind()
}

func kindNamed(raw []byte) a2a.Kind {
	switch string(unquoted(raw)) {
	case "task":
		return a2a.Task
	case "message":
		return a2a.Message
	case "status-update":
		return a2a.StatusUpdate
	case "artifact-update":
		return a2a.ArtifactUpdate
	}
	return a2a.Other
}

// task translates a result that is a task, which no form wraps.
func (t *translator) task(it *item) {
	if !t.open("the task") {
		return
	}
	it.kind = a2a.Task
	t.object(taskShape, it)
	if it.wrappers == 1 && it.wrapped == a2a.Task && (empty(it.id) || t.from == JSON10) {
		t.unwrapTask(it)
		return
	}
	if empty(it.id) || (it.named != a2a.Task && it.named != a2a.Other) {
		t.fail("it is not a task")
	}
	t.close(taskShape, it)
}

// unwrapTask translates a task that is wrapped though it should not be.
func (t *translator) unwrapTask(it *item) {
	if t.err != nil {
		return
	}
	t.restart()
	t.open("the task")
	*it = item{kind: a2a.Task}
	for t.next() {
		if wrapperKind(t.s.Folded()) == a2a.Task && t.s.OpenObject() {
			t.object(taskShape, it)
			t.close(taskShape, it)
			continue
		}
		t.drop()
	}
	if empty(it.id) {
		t.fail("it is not a task")
	}
}
