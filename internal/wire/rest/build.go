package rest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Build returns how a call is sent to an agent of a version, given its payload. The tenant is that of the
// agent's interface, "" for none: it comes first in the path, and a tenant in the payload is replaced by it.
//
// Members of the payload that neither path nor query have a place for are sent where there is a body, and
// dropped where there is none. An error wraps [ErrPayload], or [ErrID] when an id cannot be in a path.
func Build(op a2a.Operation, v a2a.Version, payload []byte, tenant string) (Target, error) {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	members, fault := readMembers(payload)
	if fault != nil {
		return Target{}, fmt.Errorf("%w: %s", ErrPayload, fault.Message)
	}
	b := builder{op: op, v: v, tenant: tenant, payload: payload, members: members}
	if v == a2a.V03 {
		return b.build03()
	}
	return b.build10()
}

// SubscribeGET returns the other way to subscribe to a task: the specification says POST and its proto says
// GET, and many agents have only one of them.
func SubscribeGET(t Target) Target {
	t.Method, t.Body = http.MethodGet, nil
	return t
}

type builder struct {
	op      a2a.Operation
	v       a2a.Version
	tenant  string
	payload []byte
	members []rawMember
	path    strings.Builder
	err     error
}

func (b *builder) build10() (Target, error) {
	if b.tenant != "" {
		b.id(b.tenant)
	}
	var (
		t    = Target{Method: http.MethodGet}
		task = "id"
	)
	if b.op.Push() {
		task = "taskId"
	}
	switch b.op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		t.Method = http.MethodPost
		b.fixed(sendSegment(b.op))
		t.Body = b.withTenant()
	case a2a.GetTask:
		b.fixed(segmentTasks)
		b.id(b.text(task))
		t.Query = b.query("historyLength")
	case a2a.ListTasks:
		b.fixed(segmentTasks)
		t.Query = b.query("contextId", "status", "pageSize", "pageToken", "historyLength", "statusTimestampAfter", "includeArtifacts")
	case a2a.CancelTask, a2a.SubscribeToTask:
		t.Method = http.MethodPost
		b.fixed(segmentTasks)
		b.id(b.text(task))
		t.Body = b.verb("id", "tenant")
	case a2a.CreatePushConfig:
		t.Method = http.MethodPost
		b.configs(b.text(task))
		t.Body = b.withTenant()
	case a2a.ListPushConfigs:
		b.configs(b.text(task))
		t.Query = b.query("pageSize", "pageToken")
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		if b.op == a2a.DeletePushConfig {
			t.Method = http.MethodDelete
		}
		b.configs(b.text(task))
		b.id(b.text("id"))
	case a2a.GetExtendedCard:
		b.fixed(segmentExtendedCard)
	default:
		return Target{}, fmt.Errorf("%w: no such operation", ErrPayload)
	}
	t.Path = b.path.String()
	return t, b.err
}

func (b *builder) build03() (Target, error) {
	t := Target{Method: http.MethodGet}
	b.fixed(segmentVersion03)
	switch b.op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		t.Method = http.MethodPost
		b.fixed(sendSegment(b.op))
		t.Body = b.payload
	case a2a.GetTask:
		b.fixed(segmentTasks)
		b.id(b.taskOf("name"))
		t.Query = b.query("historyLength")
	case a2a.CancelTask, a2a.SubscribeToTask:
		t.Method = http.MethodPost
		b.fixed(segmentTasks)
		b.id(b.taskOf("name"))
		t.Body = b.verb("name")
	case a2a.CreatePushConfig:
		t.Method = http.MethodPost
		b.configs(b.taskOf("parent"))
		t.Body = b.payload
	case a2a.ListPushConfigs:
		b.configs(b.taskOf("parent"))
		t.Query = b.query("pageSize", "pageToken")
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		if b.op == a2a.DeletePushConfig {
			t.Method = http.MethodDelete
		}
		task, config, _ := a2a.ParsePushConfigName(b.text("name"))
		b.configs(task)
		b.id(config)
	case a2a.GetExtendedCard:
		b.fixed(segmentCard03)
	default:
		return Target{}, fmt.Errorf("%w: A2A 0.3 has no %s", ErrPayload, b.op)
	}
	t.Path = b.path.String()
	return t, b.err
}

func sendSegment(op a2a.Operation) string {
	if op == a2a.SendStreamingMessage {
		return segmentStream
	}
	return segmentSend
}

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *builder) fixed(segment string) {
	b.path.WriteByte('/')
	b.path.WriteString(segment)
}

// id adds a segment that holds an id. Everything is encoded that is not unreserved, colons above all.
func (b *builder) id(id string) {
	if problem := checkID(id); problem != "" {
		b.fail(fmt.Errorf("%w: it %s", ErrID, problem))
		return
	}
	b.path.WriteByte('/')
	escape(&b.path, id)
}

func (b *builder) configs(task string) {
	b.fixed(segmentTasks)
	b.id(task)
	b.fixed(segmentPush)
}

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func escape(dst *strings.Builder, text string) {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		c := text[i]
		if strings.IndexByte(unreserved, c) >= 0 {
			dst.WriteByte(c)
			continue
		}
		dst.WriteByte('%')
		dst.WriteByte(digits[c>>4])
		dst.WriteByte(digits[c&15])
	}
}

func (b *builder) find(name string) (rawMember, bool) {
	for _, m := range b.members {
		if string(m.name) == `"`+name+`"` {
			return m, true
		}
	}
	return rawMember{}, false
}

// text returns a member that is a string, "" when it is absent.
func (b *builder) text(name string) string {
	m, ok := b.find(name)
	if !ok {
		return ""
	}
	text, ok := jsonrpc.Unquote(m.value)
	if !ok && string(m.value) != "null" {
		b.fail(fmt.Errorf("%w: %s is not a string", ErrPayload, name))
	}
	return text
}

// taskOf returns the id in a member that names a task.
func (b *builder) taskOf(name string) string {
	task, _ := a2a.ParseTaskName(b.text(name))
	return task
}

// query returns the query that holds the given members, in the order of the payload.
func (b *builder) query(names ...string) string {
	var query strings.Builder
	for _, m := range b.members {
		name := ""
		for _, known := range names {
			if string(m.name) == `"`+known+`"` {
				name = known
			}
		}
		if name == "" || string(m.value) == "null" {
			continue
		}
		value := string(m.value)
		switch value[0] {
		case '"':
			text, ok := jsonrpc.Unquote(m.value)
			if !ok {
				b.fail(fmt.Errorf("%w: %s contains half a character", ErrPayload, name))
			}
			value = text
		case '{', '[':
			b.fail(fmt.Errorf("%w: %s is neither text nor a number nor a flag", ErrPayload, name))
			continue
		}
		if value == "" {
			continue
		}
		if query.Len() > 0 {
			query.WriteByte('&')
		}
		query.WriteString(name)
		query.WriteByte('=')
		escape(&query, value)
	}
	return query.String()
}

// verb adds the verb to the path of a call and returns its body: what the payload has besides the given members.
// Most agents read no body there, but some want JSON if they read it; a subscription goes without.
func (b *builder) verb(names ...string) []byte {
	var rest []rawMember
	// An agent that merges path and body must not find another id in the body.
	names = append(names, "taskId", "name", "parent")
	for _, m := range b.members {
		mine := false
		for _, name := range names {
			mine = mine || string(m.name) == `"`+name+`"`
		}
		if !mine {
			rest = append(rest, m)
		}
	}
	if b.op == a2a.CancelTask {
		b.path.WriteString(":" + verbCancel)
		return join(nil, nil, rest)
	}
	b.path.WriteString(":" + verbSubscribe)
	if len(rest) == 0 {
		return nil
	}
	return join(nil, nil, rest)
}

// withTenant returns the payload with the tenant of the call, without any when there is none.
func (b *builder) withTenant() []byte {
	m, has := b.find("tenant")
	if text, _ := jsonrpc.Unquote(m.value); has == (b.tenant != "") && text == b.tenant {
		return b.payload
	}
	var own []ownMember
	if b.tenant != "" {
		own = append(own, ownMember{"tenant", b.tenant})
	}
	var rest []rawMember
	for _, m := range b.members {
		if string(m.name) != `"tenant"` {
			rest = append(rest, m)
		}
	}
	return join(own, nil, rest)
}
