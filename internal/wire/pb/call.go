package pb

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// ParseCall reads in a request what [a2a.ParseCall] reads in the params of JSON, and refuses what that refuses.
//
// What stands below parts and metadata is not looked at. In version 0.3 ids come out of resource names,
// which must be exactly tasks/{task} or tasks/{task}/pushNotificationConfigs/{config}, without more slashes:
// other names are read differently by different agents.
func ParseCall(v a2a.Version, op a2a.Operation, payload []byte) (a2a.Call, *jsonrpc.Error) {
	t, err := lookupTable(v, op, Request)
	if err != nil {
		return a2a.Call{}, jsonrpc.InvalidParams(err.Error())
	}
	r, err := newReader(v, payload)
	if err != nil {
		return a2a.Call{}, jsonrpc.InvalidParams(err.Error())
	}
	defer r.release()
	c := callReader{r: r, v: v, op: op}
	request := c.open(root, t)
	if v == a2a.V03 {
		c.request03(&request)
	} else {
		c.request10(&request)
	}
	return c.finish()
}

// callReader reads one call and keeps the first fault.
type callReader struct {
	r     *reader
	v     a2a.Version
	op    a2a.Operation
	call  a2a.Call
	fault *jsonrpc.Error
}

func (c *callReader) refuse(format string, args ...any) {
	if c.fault == nil {
		c.fault = jsonrpc.InvalidParams(fmt.Sprintf(format, args...))
	}
}

func (c *callReader) finish() (a2a.Call, *jsonrpc.Error) {
	long := func(id string) bool { return len(id) > a2a.MaxIDBytes }
	if long(c.call.TaskID) || long(c.call.ContextID) || slices.ContainsFunc(c.call.ReferenceTaskIDs, long) {
		c.refuse("an id of a task or context is longer than %d bytes", a2a.MaxIDBytes)
	}
	if c.fault != nil {
		return a2a.Call{}, c.fault
	}
	return c.call, nil
}

// open finds the fields of a message. Of one that is malformed those that came before are there.
func (c *callReader) open(head int32, t *table) view {
	v, err := c.r.open(head, t)
	if err != nil {
		c.refuse("%s", err.Error())
	}
	return v
}

// child finds the fields of a message inside of another. It returns false when that is not there.
func (c *callReader) child(v *view, proto string) (view, bool) {
	head := v.head(proto)
	if head < 0 {
		return view{}, false
	}
	return c.open(head, v.t.fields[c.r.occs[head].field].msg), true
}

// text reads a string. Ids go into a database that takes no NUL, and no SDK makes any.
func (c *callReader) text(v *view, proto string) string {
	return c.checked(v, proto, v.bytes(proto))
}

func (c *callReader) checked(v *view, proto string, text []byte) string {
	if bytes.IndexByte(text, 0) >= 0 {
		c.refuse("%s.%s contains a character that no id may have", v.t.name, proto)
		return ""
	}
	return string(text)
}

func (c *callReader) texts(v *view, proto string) []string {
	var texts []string
	for i := v.head(proto); i >= 0; i = c.r.occs[i].next {
		texts = append(texts, c.checked(v, proto, c.r.bytes(i)))
	}
	return texts
}

func (c *callReader) flag(v *view, proto string) *bool {
	n, ok := v.varint(proto)
	if !ok {
		return nil
	}
	on := n != 0
	return &on
}

// needed reads a string that a call cannot do without.
func (c *callReader) needed(v *view, proto string) string {
	text := c.text(v, proto)
	if text == "" {
		c.missing(v, proto)
	}
	return text
}

func (c *callReader) missing(v *view, proto string) {
	c.refuse("%s.%s is missing; %s needs it", v.t.name, proto, c.op)
}

func (c *callReader) request10(q *view) {
	c.call.HasTenant = q.head("tenant") >= 0
	c.call.Tenant = c.text(q, "tenant")
	switch c.op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		c.send(q, "message")
	case a2a.ListTasks:
		c.call.ContextID = c.text(q, "context_id")
		c.page(q)
	case a2a.CreatePushConfig:
		c.call.TaskID = c.needed(q, "task_id")
		c.call.Push = c.push(q)
		c.call.PushConfigID = c.call.Push.ID
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		c.call.TaskID = c.needed(q, "task_id")
		c.call.PushConfigID = c.text(q, "id")
	case a2a.ListPushConfigs:
		c.call.TaskID = c.needed(q, "task_id")
		c.page(q)
	case a2a.GetExtendedCard:
	default:
		c.call.TaskID = c.needed(q, "id")
	}
}

func (c *callReader) request03(q *view) {
	switch c.op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		c.send(q, "request")
	case a2a.CreatePushConfig:
		c.call.TaskID = c.taskName(q, "parent")
		c.create03(q)
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		c.configName(q)
	case a2a.ListPushConfigs:
		c.call.TaskID = c.taskName(q, "parent")
		c.page(q)
	case a2a.GetExtendedCard:
	default:
		c.call.TaskID = c.taskName(q, "name")
	}
}

func (c *callReader) page(q *view) {
	n, ok := q.varint("page_size")
	c.call.PageSize, c.call.HasPageSize = int(int32(n)), ok
	c.call.PageToken = c.text(q, "page_token")
}

func (c *callReader) send(q *view, proto string) {
	m, ok := c.child(q, proto)
	if !ok {
		c.missing(q, proto)
		return
	}
	c.call.MessageID = c.text(&m, "message_id")
	c.call.ContextID = c.text(&m, "context_id")
	c.call.TaskID = c.text(&m, "task_id")
	c.call.Extensions = c.texts(&m, "extensions")
	c.call.ReferenceTaskIDs = c.texts(&m, "reference_task_ids")

	configuration, ok := c.child(q, "configuration")
	if !ok {
		return
	}
	name := "task_push_notification_config"
	if c.v == a2a.V03 {
		name = "push_notification"
		c.call.Blocking = c.flag(&configuration, "blocking")
	} else {
		c.call.ReturnImmediately = c.flag(&configuration, "return_immediately")
	}
	if push, ok := c.child(&configuration, name); ok {
		c.call.Push = c.push(&push)
	}
}

// push reads a push config, which has the same names in both versions.
func (c *callReader) push(p *view) *a2a.PushConfig {
	c.text(p, "tenant") // as task_id of a message's own; only looked through
	c.text(p, "task_id")
	push := &a2a.PushConfig{ID: c.text(p, "id"), URL: c.text(p, "url"), HasToken: c.text(p, "token") != ""}
	_, push.HasAuthentication = c.child(p, "authentication")
	return push
}

// create03 reads the config that is created in version 0.3. Its id may stand in three places, of which
// agents look at one or another, so they must not contradict each other.
func (c *callReader) create03(q *view) {
	id := c.text(q, "config_id")
	c.call.Push = new(a2a.PushConfig)
	if config, ok := c.child(q, "config"); ok {
		if push, ok := c.child(&config, "push_notification_config"); ok {
			c.call.Push = c.push(&push)
		}
		own := c.call.Push.ID
		if id != "" && own != "" && id != own {
			c.refuse("%s.config_id is not the id of the push config; send the same id in both", q.t.name)
		}
		if id == "" {
			id = own
		}
		c.agrees(&config, id)
	}
	c.call.Push.ID, c.call.PushConfigID = id, id
}

// agrees checks that the name of a config that is created names the same task and, where both are given, the
// same config as the request. A config whose id the agent is to make may have anything in its name there.
func (c *callReader) agrees(config *view, id string) {
	name := c.text(config, "name")
	if name == "" {
		return
	}
	task, own, ok := splitConfigName(name)
	if !ok {
		task, ok = splitTaskName(name)
	}
	if !ok || task != c.call.TaskID || own != "" && id != "" && own != id {
		c.refuse("%s.name does not name the task and push config of the request", config.t.name)
	}
}

func (c *callReader) taskName(q *view, proto string) string {
	name := c.needed(q, proto)
	id, ok := splitTaskName(name)
	if !ok {
		c.refuse("%s.%s is not of the form tasks/{task}", q.t.name, proto)
	}
	return id
}

func (c *callReader) configName(q *view) {
	name := c.needed(q, "name")
	task, config, ok := splitConfigName(name)
	if !ok {
		c.refuse("%s.name is not of the form tasks/{task}%s{config}", q.t.name, configsCollection)
	}
	c.call.TaskID, c.call.PushConfigID = task, config
}

// The resource names of version 0.3.
const (
	tasksCollection   = "tasks/"
	configsCollection = "/pushNotificationConfigs/"
)

func splitTaskName(name string) (task string, ok bool) {
	task, ok = strings.CutPrefix(name, tasksCollection)
	return task, ok && task != "" && !strings.Contains(task, "/")
}

func splitConfigName(name string) (task, config string, ok bool) {
	name, ok = strings.CutPrefix(name, tasksCollection)
	if !ok {
		return "", "", false
	}
	task, config, ok = strings.Cut(name, configsCollection)
	// Agents search for the collection anywhere in the name: a task that ends with its word misleads them.
	misleading := strings.HasSuffix(task, strings.Trim(configsCollection, "/"))
	return task, config, ok && task != "" && !misleading && !strings.Contains(task, "/") && !strings.Contains(config, "/")
}
