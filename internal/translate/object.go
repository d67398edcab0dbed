package translate

import "github.com/signalbox-dev/signalbox/internal/wire/a2a"

// object translates the members of the object that is open. It is left open, for [translator.close].
func (t *translator) object(sh shape, it *item) {
	t.out = append(t.out, '{')
	if t.to == JSON03 {
		t.write(`"kind":"`)
		switch sh {
		case taskShape:
			t.write(`task"`)
		case messageShape:
			t.write(`message"`)
		case statusShape:
			t.write(`status-update"`)
		default:
			t.write(`artifact-update"`)
		}
	}
	for t.next() {
		t.objectMember(sh, it)
	}
}

func (t *translator) objectMember(sh shape, it *item) {
	const update = statusShape | artifactShape
	folded := t.s.Folded()
	switch name := string(folded); {
	case name == "KIND":
		if t.from != JSON03 {
			t.drop()
		} else if t.take() {
			it.named = kindNamed(t.s.Value())
		}
	case name == "ID" && sh&taskShape != 0:
		it.id = t.captured("id")
	case name == "TASKID" && sh&^taskShape != 0:
		it.taskID = t.captured("taskId")
	case name == "CONTEXTID":
		t.contextID(it)
	case name == "METADATA":
		t.copy("metadata")
	case name == "STATUS" && sh&(taskShape|statusShape) != 0:
		t.statusMember(it)
	case name == "ARTIFACTS" && sh&taskShape != 0:
		if t.begin("artifacts") {
			it.artifacts.from = len(t.out)
			t.artifacts()
			it.artifacts.to = len(t.out)
		}
	case name == "HISTORY" && sh&taskShape != 0:
		if t.begin("history") {
			t.messages()
		}
	case name == "ARTIFACT" && sh&artifactShape != 0:
		if t.begin("artifact") {
			it.hasArtifact = true
			t.artifact()
		}
	case name == "APPEND" && sh&artifactShape != 0:
		t.copy("append")
	case name == "LASTCHUNK" && sh&artifactShape != 0:
		t.copy("lastChunk")
	case name == "FINAL" && sh&statusShape != 0:
		t.finalMember(it)
	case name == "FINAL" && sh&update != 0:
		t.drop()
	case sh&messageShape != 0 && t.messageMember(it):
	default:
		if kind := wrapperKind(folded); kind != a2a.Other && t.s.Kind() == '{' {
			it.wrapped = kind
			it.wrappers++
		}
		t.keep()
	}
}

// messageMember translates the current member if it is one of a message.
func (t *translator) messageMember(it *item) bool {
	switch string(t.s.Folded()) {
	case "MESSAGEID":
		it.hasMessageID = !empty(t.captured("messageId"))
	case "ROLE":
		if t.take() {
			it.hasRole = true
			t.key("role")
			t.role(t.s.Value())
		}
	case "PARTS":
		t.content(it)
	case "CONTENT":
		switch {
		case t.from == REST03:
			t.content(it)
		case t.to == REST03:
			t.drop()
		default:
			t.keep()
		}
	case "EXTENSIONS":
		t.copy("extensions")
	case "REFERENCETASKIDS":
		t.copy("referenceTaskIds")
	default:
		return false
	}
	return true
}

// captured writes the current member and returns its value.
func (t *translator) captured(name string) []byte {
	value := t.gather()
	t.put(name, value)
	return value
}

// contextID writes the context, which 0.3 JSON-RPC wants to be there even when it is empty.
func (t *translator) contextID(it *item) {
	value := t.gather()
	if empty(value) && t.to != JSON03 {
		return
	}
	it.contextID = value
	it.hasContext = value != nil
	t.put("contextId", value)
}

// content writes the parts of a message.
func (t *translator) content(it *item) {
	if it.hasParts {
		t.fail("it has its parts twice, or in two spellings")
		return
	}
	if !t.take() {
		return
	}
	it.hasParts = true
	t.key(t.partsName())
	t.parts()
}

// partsName returns what the target calls the parts of a message.
func (t *translator) partsName() string {
	if t.to == REST03 {
		return "content"
	}
	return "parts"
}

// finalMember translates a flag that 1.0 does not have. Between the forms of 0.3 it is kept.
func (t *translator) finalMember(it *item) {
	if t.from == JSON10 || t.to == JSON10 {
		t.drop()
		return
	}
	if t.begin("final") {
		it.final = len(t.out)
		t.out = append(t.out, t.s.Value()...)
	}
}

func (t *translator) statusMember(it *item) {
	if !t.begin("status") {
		return
	}
	it.hasStatus = true
	it.status.from = len(t.out)
	it.state = t.status()
	it.status.to = len(t.out)
}

// close writes what the object must have and ends it.
func (t *translator) close(sh shape, it *item) {
	t.defaults(sh, it)
	t.out = append(t.out, '}')
}

// defaults writes the members that a reader insists on and a writer of protobuf leaves out.
func (t *translator) defaults(sh shape, it *item) {
	if sh == messageShape {
		if !it.hasRole {
			t.key("role")
			t.role(nil)
		}
		if !it.hasParts {
			t.key(t.partsName())
			t.write("[]")
		}
	} else if t.to == JSON03 && !it.hasContext {
		t.key("contextId")
		t.write(`""`)
	}
	if sh == statusShape && it.final == 0 && t.to != JSON10 && (t.from == JSON10 || t.to == JSON03) {
		t.key("final")
		it.final = len(t.out)
		if t.from == JSON10 && it.state.Terminal() {
			t.write("true")
		} else {
			t.write("false")
		}
	}
}

// status translates the status that comes next and returns its state.
func (t *translator) status() a2a.State {
	state, hasState, hasMessage := a2a.StateUnspecified, false, false
	if !t.open("status") {
		return state
	}
	t.out = append(t.out, '{')
	for t.next() {
		switch name := string(t.s.Folded()); {
		case name == "STATE":
			if t.begin("state") {
				hasState = true
				state = parseState(t.s.Value())
				t.state(state)
			}
		case name == "MESSAGE", name == "UPDATE" && t.from == REST03: // as the protobuf field is called
			if hasMessage {
				t.fail("status has its message twice")
			} else if t.begin("message") {
				hasMessage = true
				t.message("status.message")
			}
		case name == "UPDATE" && t.to == REST03:
			t.drop()
		case name == "TIMESTAMP":
			if t.begin("timestamp") {
				t.timestamp(t.s.Value())
			}
		default:
			t.keep()
		}
	}
	if !hasState {
		t.key("state")
		t.state(state)
	}
	t.out = append(t.out, '}')
	return state
}

// message translates the message that comes next.
func (t *translator) message(what string) {
	if t.open(what) {
		var it item
		t.object(messageShape, &it)
		t.close(messageShape, &it)
	}
}

func (t *translator) messages() {
	if !t.openArray("history") {
		return
	}
	t.out = append(t.out, '[')
	for t.more() {
		t.message("a message of history")
	}
	t.out = append(t.out, ']')
}

func (t *translator) artifacts() {
	if !t.openArray("artifacts") {
		return
	}
	t.out = append(t.out, '[')
	for t.more() {
		t.artifact()
	}
	t.out = append(t.out, ']')
}

// artifact translates the artifact that comes next.
func (t *translator) artifact() {
	if !t.open("an artifact") {
		return
	}
	hasParts := false
	t.out = append(t.out, '{')
	for t.next() {
		switch string(t.s.Folded()) {
		case "ARTIFACTID":
			t.copy("artifactId")
		case "NAME":
			t.copy("name")
		case "DESCRIPTION":
			t.copy("description")
		case "METADATA":
			t.copy("metadata")
		case "EXTENSIONS":
			t.copy("extensions")
		case "PARTS":
			if t.begin("parts") {
				hasParts = true
				t.parts()
			}
		default:
			t.keep()
		}
	}
	if !hasParts {
		t.key("parts")
		t.write("[]")
	}
	t.out = append(t.out, '}')
}
