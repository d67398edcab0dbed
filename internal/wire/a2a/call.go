package a2a

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Call is what the gateway reads in the params of a call. What was absent, null or an empty string is "".
type Call struct {
	// MessageID, ContextID, ReferenceTaskIDs and Extensions are those of the message that is sent;
	// ContextID is also the filter of ListTasks.
	MessageID        string
	ContextID        string
	ReferenceTaskIDs []string
	Extensions       []string
	// TaskID is the task that the message continues or that the call is about.
	TaskID string
	// Tenant is the tenant of the call in version 1.0, HasTenant whether there is such a member.
	Tenant    string
	HasTenant bool
	// Push is the push config that is created or sent along. It is nil when a message has none.
	Push *PushConfig
	// PushConfigID is the push config that the call is about; for a create it is that of Push.
	PushConfigID string
	// PageSize and PageToken are those of list calls.
	PageSize    int
	HasPageSize bool
	PageToken   string
	// ReturnImmediately is the flag of version 1.0, Blocking that of 0.3. Nil means that it is not given.
	ReturnImmediately *bool
	Blocking          *bool

	tenant, pageSize, pageToken place // in params
}

// PushConfig is what the gateway reads in a push notification config.
type PushConfig struct {
	// ID is the config's id, "" when the agent is to make one.
	ID string
	// URL is where notifications go.
	URL string
	// HasToken and HasAuthentication say that the config carries secrets, which the gateway does not read.
	HasToken, HasAuthentication bool

	tenant place // in params; of an inline config only
}

// place is where a member stands in params: where its name begins and ends, and where its value ends.
// Its zero value means that there is no such member.
type place struct{ name, nameEnd, end int }

func (p place) exists() bool { return p.end > 0 }

// ParseCall reads the params of a call. Params is nil when the call had none.
//
// In params, message, configuration, push configs and their authentication no name may stand twice, equal
// to a [jsonrpc.NameSet], and what the gateway reads must be spelled as the version spells it. What stands
// below parts and metadata is not looked at. Of what may be missing only that is refused which no agent
// could do without.
func ParseCall(op Operation, v Version, params []byte) (Call, *jsonrpc.Error) {
	r := callReader{op: op, v: v}
	if params == nil || isNull(params) {
		return r.finish()
	}
	r.s = jsonrpc.NewScanner(params)
	defer r.s.Release()
	if !r.s.OpenObject() {
		return Call{}, jsonrpc.InvalidParams("params is not an object")
	}
	r.object("params", paramsObject(op, v), r.param)
	if err := r.s.End(); err != nil {
		return Call{}, jsonrpc.InvalidParams("params is not valid JSON")
	}
	return r.finish()
}

// callReader reads one call and keeps the first fault. After a fault it goes on, reading no more values.
type callReader struct {
	op         Operation
	v          Version
	s          *jsonrpc.Scanner
	call       Call
	hasMessage bool
	fault      *jsonrpc.Error
}

func (r *callReader) refuse(format string, args ...any) {
	if r.fault == nil {
		r.fault = jsonrpc.InvalidParams(fmt.Sprintf(format, args...))
	}
}

func (r *callReader) finish() (Call, *jsonrpc.Error) {
	if r.fault != nil {
		return Call{}, r.fault
	}
	missing := r.call.TaskID == ""
	if r.op.Send() {
		missing = !r.hasMessage
	}
	if name := needed(r.op, r.v); name != "" && missing {
		return Call{}, jsonrpc.InvalidParams(fmt.Sprintf("params.%s is missing; %s needs it", name, MethodName(r.op, r.v)))
	}
	if r.op == CreatePushConfig {
		r.call.PushConfigID = r.push().ID
	}
	long := func(id string) bool { return len(id) > MaxIDBytes }
	if long(r.call.TaskID) || long(r.call.ContextID) || slices.ContainsFunc(r.call.ReferenceTaskIDs, long) {
		return Call{}, jsonrpc.InvalidParams(fmt.Sprintf("an id of a task or context is longer than %d bytes", MaxIDBytes))
	}
	return r.call, nil
}

// object reads the members of the object that is open, path being what the caller knows it as.
func (r *callReader) object(path string, known object, read func(path string, m member)) {
	for r.s.Next() {
		g := known.lookup(r.s.Folded())
		switch {
		case r.s.Duplicate():
			r.refuse("%s has %s twice, or in two spellings; send each member once", path, jsonrpc.QuoteName(r.s.Name()))
		case g.name != "" && g.name != string(r.s.Name()):
			r.refuse("%s has a member %s; spell it %q", path, jsonrpc.QuoteName(r.s.Name()), g.name)
		case g.member == foreignPushMember:
			r.refuse("%s.%s is not what A2A %s has; send the push config as %q", path, g.name, r.v, known.spelling(pushMember))
		case g.name != "" && r.fault == nil:
			read(path, g.member)
			continue
		}
		r.s.Value()
	}
}

// child opens the object that is the value of the current member. It returns false when that is null.
func (r *callReader) child(path, name string) bool {
	if r.s.OpenObject() {
		return true
	}
	if raw := r.s.Value(); !isNull(raw) {
		r.refuse("%s.%s is not an object", path, name)
	}
	return false
}

func (r *callReader) param(path string, m member) {
	switch m {
	case tenantMember:
		r.call.HasTenant = true
		r.call.tenant = r.located(func() { r.call.Tenant = r.text(path, "tenant") })
	case messageMember:
		if r.child(path, "message") {
			r.hasMessage = true
			r.object("params.message", messageObject, r.message)
		}
	case configurationMember:
		if r.child(path, "configuration") {
			r.object("params.configuration", pick(r.v == V03, config03, config10), r.configuration)
		}
	case taskIDMember:
		r.call.TaskID = r.text(path, needed(r.op, r.v))
	case contextIDMember:
		r.call.ContextID = r.text(path, "contextId")
	case pageSizeMember:
		r.call.pageSize = r.located(func() { r.call.PageSize, r.call.HasPageSize = r.integer(path, "pageSize") })
	case pageTokenMember:
		r.call.pageToken = r.located(func() { r.call.PageToken = r.text(path, "pageToken") })
	case pushIDMember:
		if r.op == CreatePushConfig {
			r.pushMember(path, m)
			return
		}
		r.call.PushConfigID = r.text(path, paramsObject(r.op, r.v).spelling(pushIDMember))
	case pushMember:
		r.inlinePush(path, "pushNotificationConfig")
	default: // the members of a push config, which in 1.0 are those of params
		r.pushMember(path, m)
	}
}

func (r *callReader) message(path string, m member) {
	switch m {
	case messageIDMember:
		r.call.MessageID = r.text(path, "messageId")
	case taskIDMember:
		r.call.TaskID = r.text(path, "taskId")
	case contextIDMember:
		r.call.ContextID = r.text(path, "contextId")
	case referenceTaskIDsMember:
		r.call.ReferenceTaskIDs = r.texts(path, "referenceTaskIds")
	case extensionsMember:
		r.call.Extensions = r.texts(path, "extensions")
	default:
		r.s.Value()
	}
}

func (r *callReader) configuration(path string, m member) {
	switch m {
	case waitMember:
		if r.v == V03 {
			r.call.Blocking = r.flag(path, "blocking")
		} else {
			r.call.ReturnImmediately = r.flag(path, "returnImmediately")
		}
	case pushMember:
		r.inlinePush(path, pick(r.v == V03, config03, config10).spelling(pushMember))
	default:
		r.s.Value()
	}
}

// inlinePush reads a push config that is the value of the current member.
func (r *callReader) inlinePush(path, name string) {
	if r.child(path, name) {
		r.push()
		r.object(path+"."+name, pick(r.v == V03, push03, push10), r.pushMember)
	}
}

func (r *callReader) pushMember(path string, m member) {
	switch m {
	case tenantMember:
		r.push().tenant = r.located(func() { r.text(path, "tenant") })
	case taskIDMember:
		r.text(path, "taskId") // the task does not exist yet; only the type is checked
	case pushIDMember:
		r.push().ID = r.text(path, "id")
	case urlMember:
		r.push().URL = r.text(path, "url")
	case tokenMember:
		r.push().HasToken = r.text(path, "token") != ""
	case authenticationMember:
		if r.child(path, "authentication") {
			r.push().HasAuthentication = true
			r.object(path+".authentication", pick(r.v == V03, auth03, auth10), func(string, member) { r.s.Value() })
		}
	default:
		r.s.Value()
	}
}

// push returns the config of the call, made when it is first needed.
func (r *callReader) push() *PushConfig {
	if r.call.Push == nil {
		r.call.Push = new(PushConfig)
	}
	return r.call.Push
}

// located returns where the current member stands, whose value the given function reads.
func (r *callReader) located(read func()) place {
	at := place{name: r.s.NameOffset(), nameEnd: r.s.Offset()}
	read()
	at.end = r.s.Offset()
	return at
}

// text reads a string. Ids go into a database that takes no NUL, and no SDK makes any.
func (r *callReader) text(path, name string) string {
	if r.s.Kind() != '"' {
		if raw := r.s.Value(); !isNull(raw) {
			r.refuse("%s.%s is not a string", path, name)
		}
		return ""
	}
	text, ok := r.s.String()
	if !ok || strings.IndexByte(text, 0) >= 0 {
		r.refuse("%s.%s contains a character that no id may have", path, name)
		return ""
	}
	return text
}

func (r *callReader) texts(path, name string) []string {
	if !r.s.OpenArray() {
		if raw := r.s.Value(); !isNull(raw) {
			r.refuse("%s.%s is not an array of strings", path, name)
		}
		return nil
	}
	var texts []string
	for r.s.More() {
		if r.s.Kind() != '"' {
			r.s.Value()
			r.refuse("%s.%s is not an array of strings", path, name)
			continue
		}
		texts = append(texts, r.text(path, name))
	}
	return texts
}

func (r *callReader) flag(path, name string) *bool {
	kind := r.s.Kind()
	r.s.Value()
	switch kind {
	case 't', 'f':
		on := kind == 't'
		return &on
	case 'n':
	default:
		r.refuse("%s.%s is not a boolean", path, name)
	}
	return nil
}

// integer reads an integer of 32 bits. Other forms of numbers and strings, which ProtoJSON also takes,
// are refused: not every agent reads them, and not all read the same.
func (r *callReader) integer(path, name string) (int, bool) {
	raw := r.s.Value()
	if isNull(raw) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		r.refuse("%s.%s is not an integer of 32 bits", path, name)
		return 0, false
	}
	return int(n), true
}

// spelling returns how an object spells a member.
func (o object) spelling(m member) string {
	for _, g := range o {
		if g.member == m {
			return g.name
		}
	}
	return ""
}
