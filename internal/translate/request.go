package translate

import (
	"bytes"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// requestPayload translates the request of an operation.
func (t *translator) requestPayload() {
	if isEmptyJSON(t.in) {
		t.in = []byte("{}")
		t.restart()
	}
	if !t.open("the request") {
		return
	}
	switch t.op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		t.send()
	case a2a.CreatePushConfig:
		t.pushCreate()
	case a2a.GetExtendedCard:
		t.card()
	default:
		t.reference()
	}
}

// send translates the request of a send, which is open.
func (t *translator) send() {
	hasMessage, hasConfiguration := false, false
	t.out = append(t.out, '{')
	for t.next() {
		switch name := string(t.s.Folded()); {
		case name == "MESSAGE", name == "REQUEST" && t.from == REST03: // as early writers have it
			switch {
			case hasMessage:
				t.fail("the request has two messages")
			case t.begin("message"):
				hasMessage = true
				t.message("message")
			}
		case name == "CONFIGURATION":
			if t.begin("configuration") {
				hasConfiguration = true
				t.open("configuration")
				t.configuration()
			}
		case name == "METADATA":
			t.copy("metadata")
		case name == "TENANT", name == "REQUEST" && t.to == REST03:
			t.drop()
		default:
			t.keep()
		}
	}
	if !hasMessage {
		t.fail("the request has no message")
	}
	if !hasConfiguration {
		t.key("configuration")
		t.out = append(t.out, '{')
		t.wait(nil)
		t.out = append(t.out, '}')
	}
	t.out = append(t.out, '}')
}

// configuration translates what goes with a message. The object is open.
func (t *translator) configuration() {
	hasWait, hasPush := false, false
	t.out = append(t.out, '{')
	for t.next() {
		switch string(t.s.Folded()) {
		case "BLOCKING", "RETURNIMMEDIATELY":
			if (string(t.s.Folded()) == "BLOCKING") != (t.from != JSON10) {
				t.drop() // a word of the other version
			} else if t.take() {
				hasWait = true
				t.wait(t.s.Value())
			}
		case "PUSHNOTIFICATIONCONFIG", "PUSHNOTIFICATION", "TASKPUSHNOTIFICATIONCONFIG":
			if hasPush {
				t.fail("the configuration has two push configs")
			} else if t.take() {
				hasPush = true
				t.inlinePush()
			}
		case "HISTORYLENGTH":
			if t.take() {
				t.historyLength(t.s.Value())
			}
		case "ACCEPTEDOUTPUTMODES":
			t.copy("acceptedOutputModes")
		default:
			t.keep()
		}
	}
	if !hasWait {
		t.wait(nil)
	}
	t.out = append(t.out, '}')
}

// wait writes whether the call waits for the task. Raw is the flag as it came, nil for none. It is always
// written, because the default depends on who reads it.
func (t *translator) wait(raw []byte) {
	var waits bool
	switch {
	case raw == nil:
		// In the 0.3 ProtoJSON form nothing is the same as false; elsewhere callers wait unless they say so.
		waits = t.from != REST03
	case string(raw) != "true" && string(raw) != "false":
		t.fail("the flag whether the call waits is not a boolean")
		return
	default:
		waits = (string(raw) == "true") == (t.from != JSON10)
	}
	name, value := "blocking", waits
	if t.to == JSON10 {
		name, value = "returnImmediately", !waits
	}
	t.key(name)
	if value {
		t.write("true")
	} else {
		t.write("false")
	}
}

// historyLength writes how much history the caller wants. The 0.3 ProtoJSON form cannot tell 0 from nothing.
func (t *translator) historyLength(raw []byte) {
	if (t.from == REST03 || t.to == REST03) && isZero(raw) {
		return
	}
	t.put("historyLength", raw)
}

// card translates the request for the extended card, which in 0.3 JSON-RPC has no params.
func (t *translator) card() {
	t.out = append(t.out, '{')
	for t.next() {
		if string(t.s.Folded()) == "TENANT" {
			t.drop()
			continue
		}
		t.keep()
	}
	if t.to == JSON03 && t.out[len(t.out)-1] == '{' {
		t.out = t.out[:t.start]
		return
	}
	t.out = append(t.out, '}')
}

// reference is a request that names a task or a push config of it.
type reference struct {
	task, config        []byte // JSON strings
	historyLength       []byte
	metadata            []byte
	pageSize, pageToken []byte
}

// reference translates a request that names a task or one of its push configs. The object is open.
func (t *translator) reference() {
	var r reference
	base := len(t.unknown)
	for t.next() {
		t.referenceMember(&r)
	}
	if t.err != nil || t.s.Err() != nil {
		return
	}
	if empty(r.task) || r.task[0] != '"' {
		t.fail("the request names no task")
		return
	}
	if (t.op == a2a.GetPushConfig || t.op == a2a.DeletePushConfig) && empty(r.config) {
		if t.op == a2a.DeletePushConfig || t.from != JSON03 {
			t.fail("the request names no push config")
			return
		}
		// 0.3 JSON-RPC may leave the config out, and its agents name a task's first one after the task.
		r.config = r.task
	}
	t.out = append(t.out, '{')
	t.writeReference(&r)
	t.writeUnknown(base, false, nil)
	t.out = append(t.out, '}')
}

func (t *translator) referenceMember(r *reference) {
	named := t.op == a2a.GetPushConfig || t.op == a2a.DeletePushConfig
	list := t.op == a2a.ListPushConfigs
	switch name := string(t.s.Folded()); {
	case name == "TENANT":
		t.drop()
	case name == "METADATA" && t.from != REST03:
		r.metadata = t.gather()
	case name == "HISTORYLENGTH" && t.op == a2a.GetTask:
		r.historyLength = t.gather()
	case t.from == REST03 && (name == "NAME" && !list || name == "PARENT" && list):
		t.resourceName(t.gather(), &r.task, &r.config, named)
	case t.from == JSON10 && t.op.Push() && name == "TASKID", t.from == JSON10 && !t.op.Push() && name == "ID",
		t.from == JSON03 && name == "ID":
		r.task = t.gather()
	case t.from == JSON10 && named && name == "ID", t.from == JSON03 && named && name == "PUSHNOTIFICATIONCONFIGID":
		r.config = t.gather()
	case t.from != JSON03 && list && name == "PAGESIZE":
		r.pageSize = t.gather()
	case t.from != JSON03 && list && name == "PAGETOKEN":
		r.pageToken = t.gather()
	case ofReference(name):
		t.drop() // a word of another form
	default:
		t.remember()
	}
}

// ofReference reports whether some form has a member of such a request by that folded name.
func ofReference(folded string) bool {
	switch folded {
	case "ID", "NAME", "PARENT", "TASKID", "PUSHNOTIFICATIONCONFIGID", "HISTORYLENGTH", "METADATA", "PAGESIZE", "PAGETOKEN":
		return true
	}
	return false
}

func (t *translator) writeReference(r *reference) {
	named := t.op == a2a.GetPushConfig || t.op == a2a.DeletePushConfig
	list := t.op == a2a.ListPushConfigs
	if !named {
		r.config = nil
	}
	switch t.to {
	case JSON10:
		if t.op.Push() {
			t.put("taskId", r.task)
			t.put("id", r.config)
		} else {
			t.put("id", r.task)
		}
	case JSON03:
		t.put("id", r.task)
		t.put("pushNotificationConfigId", r.config)
	default:
		if list {
			t.key("parent")
		} else {
			t.key("name")
		}
		t.writeResourceName(r.task, r.config)
	}
	if r.historyLength != nil {
		t.historyLength(r.historyLength)
	}
	if t.to == JSON03 || (t.to == JSON10 && t.op == a2a.CancelTask) {
		t.put("metadata", r.metadata)
	}
	if t.to != JSON03 {
		t.put("pageSize", r.pageSize)
		t.put("pageToken", r.pageToken)
	}
}

const (
	taskCollection   = "tasks/"
	configCollection = "/pushNotificationConfigs/"
)

// resourceName reads tasks/{task}, or with a config tasks/{task}/pushNotificationConfigs/{config}, as JSON
// strings.
func (t *translator) resourceName(raw []byte, task, config *[]byte, named bool) {
	if raw == nil {
		return
	}
	rest, ok := bytes.CutPrefix(unquoted(raw), []byte(taskCollection))
	id := []byte(nil)
	if at := bytes.LastIndex(rest, []byte(configCollection)); named && at >= 0 {
		rest, id = rest[:at], rest[at+len(configCollection):]
	}
	if !ok || len(rest) == 0 {
		t.fail("a resource name is not tasks/{id}")
		return
	}
	*task = jsonrpc.AppendString(nil, rest)
	if len(id) > 0 {
		*config = jsonrpc.AppendString(nil, id)
	}
}

// writeResourceName is the reverse of resourceName. Task is a JSON string, config too unless it is nil.
func (t *translator) writeResourceName(task, config []byte) {
	t.out = append(t.out, '"')
	t.write(taskCollection)
	t.out = append(t.out, task[1:len(task)-1]...)
	if config != nil {
		t.write(configCollection)
		t.out = append(t.out, config[1:len(config)-1]...)
	}
	t.out = append(t.out, '"')
}
