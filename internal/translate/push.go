package translate

import (
	"bytes"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// pushLevel is which of the objects around a push config is read.
type pushLevel uint8

const (
	pushConfig  pushLevel = iota // the config itself: flat in 1.0, without a task in 0.3
	pushWrapper                  // what 0.3 has around it, with the task
	pushRequest                  // what 0.3 ProtoJSON has around that in a create
)

// push is what a push config is made of, whatever its form. The slices are JSON, nil for what is missing.
type push struct {
	task, id         []byte
	url, token, auth []byte
	named            []byte // the id that the resource name has
	requested        []byte // the id that a create asks for
}

// read reads the members of the object that is open.
func (t *translator) readPush(p *push, level pushLevel) {
	flat := t.from == JSON10 && level == pushConfig
	for t.next() {
		switch name := string(t.s.Folded()); {
		case name == "TENANT":
			t.drop()
		case name == "TASKID" && (flat || t.from == JSON03 && level == pushWrapper):
			p.task = t.gather()
		case level == pushConfig && name == "ID":
			p.id = t.gather()
		case level == pushConfig && name == "URL":
			p.url = t.gather()
		case level == pushConfig && name == "TOKEN":
			p.token = t.gather()
		case level == pushConfig && name == "AUTHENTICATION":
			p.auth = t.gather()
		case t.from == REST03 && level == pushWrapper && name == "NAME":
			t.pushName(p)
		case level == pushWrapper && name == "PUSHNOTIFICATIONCONFIG":
			if t.take() && t.open("pushNotificationConfig") {
				t.readPush(p, pushConfig)
			}
		case level == pushRequest && name == "PARENT":
			t.resourceName(t.gather(), &p.task, new([]byte), false)
		case level == pushRequest && name == "CONFIGID":
			p.requested = t.gather()
		case level == pushRequest && name == "CONFIG":
			if t.take() && t.open("config") {
				t.readPush(p, pushWrapper)
			}
		case ofPush(name):
			t.drop() // a word of another form
		default:
			t.remember()
		}
	}
}

// ofPush reports whether some form has a member of that folded name at some level of a push config.
func ofPush(folded string) bool {
	switch folded {
	case "TASKID", "ID", "URL", "TOKEN", "AUTHENTICATION", "NAME", "PUSHNOTIFICATIONCONFIG", "PARENT", "CONFIGID", "CONFIG":
		return true
	}
	return false
}

// pushName reads the resource name of a config. That of a config which has no id yet may be anything: one SDK
// writes the word None into it.
func (t *translator) pushName(p *push) {
	raw := t.gather()
	name := unquoted(raw)
	rest, ok := bytes.CutPrefix(name, []byte(taskCollection))
	if !ok {
		return
	}
	task, id := rest, []byte(nil)
	if at := bytes.LastIndex(rest, []byte(configCollection)); at >= 0 {
		task, id = rest[:at], rest[at+len(configCollection):]
	}
	if len(task) > 0 && p.task == nil {
		p.task = jsonrpc.AppendString(nil, task)
	}
	if len(id) > 0 && string(id) != "None" {
		p.named = jsonrpc.AppendString(nil, id)
	}
}

// settleID decides on the id of a config that has several.
func (t *translator) settleID(p *push) {
	requested := !empty(p.requested)
	switch {
	case requested && !empty(p.id) && !bytes.Equal(unquoted(p.requested), unquoted(p.id)):
		t.fail("a push config has two ids")
	case requested:
		p.id = p.requested
	case empty(p.id) && p.named != nil:
		p.id = p.named
	}
	if !empty(p.id) && p.id[0] != '"' || !empty(p.task) && p.task[0] != '"' {
		t.fail("an id of a push config is not a string")
	}
}

// pushCreate translates the request that creates a push config. The object is open.
func (t *translator) pushCreate() {
	var p push
	base := len(t.unknown)
	switch t.from {
	case JSON03:
		t.readPush(&p, pushWrapper)
	case REST03:
		t.readPush(&p, pushRequest)
	default:
		t.readPush(&p, pushConfig)
	}
	t.settleID(&p)
	if empty(p.task) {
		t.fail("the request names no task")
	}
	if t.err != nil || t.s.Err() != nil {
		return
	}
	if t.to != REST03 {
		t.writePush(&p, base)
		return
	}
	t.out = append(t.out, '{')
	t.key("parent")
	t.writeResourceName(p.task, nil)
	if !empty(p.id) {
		t.put("configId", p.id)
	}
	t.key("config")
	t.writePush(&p, base)
	t.out = append(t.out, '}')
}

// pushResult translates a push config that an agent answers with.
func (t *translator) pushResult() {
	if !t.open("the push config") {
		return
	}
	var p push
	base := len(t.unknown)
	if t.from == JSON10 {
		t.readPush(&p, pushConfig)
	} else {
		t.readPush(&p, pushWrapper)
	}
	if t.settleID(&p); t.err == nil && t.s.Err() == nil {
		t.writePush(&p, base)
	}
}

// inlinePush translates the push config that goes with a message, of a task that does not exist yet.
func (t *translator) inlinePush() {
	switch t.to {
	case JSON10:
		t.key("taskPushNotificationConfig")
	case JSON03:
		t.key("pushNotificationConfig")
	default:
		t.key("pushNotification")
	}
	if !t.open("the push config") {
		return
	}
	var p push
	base := len(t.unknown)
	t.readPush(&p, pushConfig)
	t.settleID(&p)
	if t.err == nil && t.s.Err() == nil {
		t.writeConfig(&p, base, false)
	}
}

// writePush writes a config with its task.
func (t *translator) writePush(p *push, base int) {
	if t.to == JSON10 {
		t.writeConfig(p, base, true)
		return
	}
	t.out = append(t.out, '{')
	switch {
	case t.to == JSON03:
		t.put("taskId", p.task)
	case !empty(p.task):
		t.key("name")
		id := p.id
		if id == nil {
			id = []byte(`""`)
		}
		t.writeResourceName(p.task, id)
	}
	t.key("pushNotificationConfig")
	t.writeConfig(p, base, false)
	t.out = append(t.out, '}')
}

// writeConfig writes the config itself.
func (t *translator) writeConfig(p *push, base int, withTask bool) {
	t.out = append(t.out, '{')
	if withTask {
		t.put("taskId", p.task)
	}
	t.put("id", p.id)
	t.put("url", p.url)
	t.put("token", p.token)
	if p.auth != nil {
		t.key("authentication")
		t.authentication(p.auth)
	}
	t.writeUnknown(base, true, nil)
	t.out = append(t.out, '}')
}

// authentication translates how the agent authenticates itself to the webhook. Version 1.0 has one scheme, the
// first that 0.3 lists.
func (t *translator) authentication(raw []byte) {
	if raw[0] != '{' {
		t.fail("authentication is not an object")
		return
	}
	outer, in := t.s, t.in
	t.s, t.in = jsonrpc.NewReplyScanner(raw), raw
	defer func() {
		t.s.Release()
		t.s, t.in = outer, in
	}()
	t.s.OpenObject()
	hasSchemes := false
	t.out = append(t.out, '{')
	for t.next() {
		switch name := string(t.s.Folded()); {
		case name == "SCHEMES" && t.from != JSON10:
			hasSchemes = t.schemes() || hasSchemes
		case name == "SCHEME" && t.from == JSON10:
			if scheme := t.gather(); !empty(scheme) {
				hasSchemes = true
				t.key("schemes")
				t.out = append(t.out, '[')
				t.out = append(t.out, scheme...)
				t.out = append(t.out, ']')
			}
		case name == "CREDENTIALS":
			t.copy("credentials")
		case name == "SCHEME", name == "SCHEMES":
			t.drop()
		default:
			t.keep()
		}
	}
	if !hasSchemes && t.to == JSON03 {
		t.key("schemes")
		t.write("[]")
	}
	t.out = append(t.out, '}')
}

// schemes writes the current member, the schemes of 0.3, and reports whether it did.
func (t *translator) schemes() bool {
	if !t.take() {
		return false
	}
	if t.to != JSON10 {
		t.key("schemes")
		t.out = append(t.out, t.s.Value()...)
		return true
	}
	if !t.openArray("schemes") {
		return false
	}
	for first := true; t.err == nil && t.s.More(); first = false {
		scheme := t.s.Value()
		if first && !empty(scheme) {
			t.put("scheme", scheme)
		}
	}
	return true
}

// pushList translates a list of push configs, which in 0.3 JSON-RPC is the bare array.
func (t *translator) pushList() {
	if isEmptyJSON(t.in) {
		t.in = []byte("[]")
		t.restart()
	}
	bare := t.to == JSON03
	if t.s.Kind() == '[' {
		if !bare {
			t.write(`{"configs":`)
		}
		t.pushConfigs()
		if !bare {
			t.write(`,"nextPageToken":""}`)
		}
		return
	}
	if !t.open("the list of push configs") {
		return
	}
	hasConfigs, hasToken := false, false
	if !bare {
		t.out = append(t.out, '{')
	}
	for t.next() {
		switch name := string(t.s.Folded()); {
		case name == "CONFIGS":
			if t.take() {
				hasConfigs = true
				if !bare {
					t.key("configs")
				}
				t.pushConfigs()
			}
		case bare, t.from == JSON03: // an array has no place for more
			t.drop()
		case name == "NEXTPAGETOKEN":
			if t.begin("nextPageToken") {
				hasToken = true
				t.out = append(t.out, t.s.Value()...)
			}
		default:
			t.keep()
		}
	}
	if !hasConfigs {
		if t.from == JSON03 {
			t.fail("the list of push configs is not an array")
		}
		if !bare {
			t.key("configs")
		}
		t.write("[]")
	}
	if !bare {
		if !hasToken {
			t.key("nextPageToken")
			t.write(`""`)
		}
		t.out = append(t.out, '}')
	}
}

func (t *translator) pushConfigs() {
	if !t.openArray("configs") {
		return
	}
	t.out = append(t.out, '[')
	for t.more() {
		t.pushResult()
	}
	t.out = append(t.out, ']')
}

// deleted writes the result of a delete, of which nothing is ever said.
func (t *translator) deleted() {
	if isEmptyJSON(t.in) {
		t.in = []byte("null")
		t.restart()
	}
	t.s.Value()
	if t.to == JSON03 {
		t.write("null")
	} else {
		t.write("{}")
	}
}
