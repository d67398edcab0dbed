package a2a

import (
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Members that only the messages of package a2a.v1 have.
const (
	nameMember     member = 200 + iota // the resource that a call is about
	parentMember                       // the task that it is about
	configIDMember                     // the id of a config that is created
	configMember                       // the config that is created, under its name
	foreignMember                      // what other dialects call an id
)

// The objects of a2a.v1.
var (
	sendREST03    = newObject(named("message", messageMember), named("configuration", configurationMember), named("request", foreignMember))
	nameREST03    = newObject(named("name", nameMember), named("id", foreignMember), named("taskId", foreignMember), named("parent", foreignMember))
	parentREST03  = newObject(named("parent", parentMember), named("id", foreignMember), named("taskId", foreignMember), named("name", foreignMember), named("pageSize", pageSizeMember), named("pageToken", pageTokenMember))
	createREST03  = newObject(named("parent", parentMember), named("configId", configIDMember), named("config", configMember), named("id", foreignMember), named("taskId", foreignMember), named("name", foreignMember), named("pushNotificationConfig", foreignMember))
	wrapperREST03 = newObject(named("name", nameMember), named("pushNotificationConfig", pushMember), named("id", foreignMember), named("taskId", foreignMember))
	configREST03  = newObject(named("blocking", waitMember), named("pushNotification", pushMember),
		named("taskPushNotificationConfig", foreignPushMember), named("pushNotificationConfig", foreignPushMember))
)

// ParseCallREST03 reads the payload of a call of version 0.3 in the form of package a2a.v1, the whole request
// message as JSON, as [ParseCall] reads params. A resource name gives the ids that it is made of. Members that
// other dialects have in its place are refused, since a translation would take them for the id.
func ParseCallREST03(op Operation, payload []byte) (Call, *jsonrpc.Error) {
	r := rest03Reader{callReader: callReader{op: op, v: V03}}
	if payload != nil && !isNull(payload) {
		r.s = jsonrpc.NewScanner(payload)
		defer r.s.Release()
		if !r.s.OpenObject() {
			return Call{}, jsonrpc.InvalidParams("the request is not an object")
		}
		r.object("request", requestREST03(op), r.request)
		if err := r.s.End(); err != nil {
			return Call{}, jsonrpc.InvalidParams("the request is not valid JSON")
		}
	}
	return r.finish()
}

func requestREST03(op Operation) object {
	switch op {
	case SendMessage, SendStreamingMessage:
		return sendREST03
	case GetTask, CancelTask, SubscribeToTask, GetPushConfig, DeletePushConfig:
		return nameREST03
	case CreatePushConfig:
		return createREST03
	case ListPushConfigs:
		return parentREST03
	default:
		return nil
	}
}

// rest03Reader reads one call in the form of a2a.v1.
type rest03Reader struct {
	callReader
	configIDs [3]string // as configId, in the config's name and in the config itself
}

func (r *rest03Reader) request(path string, m member) {
	switch m {
	case messageMember:
		if r.child(path, "message") {
			r.hasMessage = true
			r.object(path+".message", messageObject, r.message)
		}
	case configurationMember:
		if r.child(path, "configuration") {
			r.object(path+".configuration", configREST03, r.configuration)
		}
	case nameMember:
		name := r.text(path, "name")
		if r.op.Push() {
			r.call.TaskID, r.call.PushConfigID = r.configName(path, name)
			return
		}
		r.call.TaskID = r.taskName(path, "name", name)
	case parentMember:
		r.call.TaskID = r.taskName(path, "parent", r.text(path, "parent"))
	case configIDMember:
		r.configIDs[0] = r.text(path, "configId")
	case configMember:
		if r.child(path, "config") {
			r.push()
			r.object(path+".config", wrapperREST03, r.wrapper)
		}
	case pageSizeMember:
		r.call.pageSize = r.located(func() { r.call.PageSize, r.call.HasPageSize = r.integer(path, "pageSize") })
	case pageTokenMember:
		r.call.pageToken = r.located(func() { r.call.PageToken = r.text(path, "pageToken") })
	default:
		r.foreign(path)
	}
}

// wrapper reads what package a2a.v1 has around a push config.
func (r *rest03Reader) wrapper(path string, m member) {
	switch m {
	case nameMember:
		name := r.text(path, "name")
		if name == "" {
			return
		}
		task, config := r.configName(path, name)
		r.configIDs[1] = config
		r.sameTask(path, task)
	case pushMember:
		if r.child(path, "pushNotificationConfig") {
			r.object(path+".pushNotificationConfig", push03, r.pushMember)
			r.configIDs[2] = r.push().ID
		}
	default:
		r.foreign(path)
	}
}

// sameTask checks the task in the name of a config. It may come before the parent does, so finish looks again.
func (r *rest03Reader) sameTask(path, task string) {
	if r.call.TaskID == "" {
		r.call.TaskID = task
	}
	if task != r.call.TaskID {
		r.refuse("%s.name is of another task than parent", path)
	}
}

func (r *rest03Reader) foreign(path string) {
	r.s.Value()
	r.refuse("%s has a member %s, which A2A 0.3 does not have here", path, jsonrpc.QuoteName(r.s.Name()))
}

func (r *rest03Reader) configuration(path string, m member) {
	if m == pushMember {
		r.inlinePush(path, "pushNotification")
		return
	}
	r.callReader.configuration(path, m)
}

// taskName returns the id in the name of a task.
func (r *rest03Reader) taskName(path, member, name string) string {
	id, ok := ParseTaskName(name)
	if !ok && name != "" {
		r.refuse("%s.%s is not of the form tasks/{task}", path, member)
	}
	if member == "parent" && r.call.TaskID != "" && r.call.TaskID != id {
		r.refuse("%s.config.name is of another task than parent", path)
	}
	return id
}

// configName returns the ids in the name of a push config.
func (r *rest03Reader) configName(path, name string) (task, config string) {
	task, config, ok := ParsePushConfigName(name)
	if !ok && name != "" {
		r.refuse("%s.name is not of the form tasks/{task}/pushNotificationConfigs/{config}", path)
	}
	return task, config
}

func (r *rest03Reader) finish() (Call, *jsonrpc.Error) {
	if r.fault != nil {
		return Call{}, r.fault
	}
	if r.op == CreatePushConfig {
		id := ""
		for _, other := range r.configIDs {
			if id != "" && other != "" && id != other {
				return Call{}, jsonrpc.InvalidParams("request has two ids for the config: configId, config.name and config.pushNotificationConfig.id must agree")
			}
			if id == "" {
				id = other
			}
		}
		r.push().ID = id
	}
	if r.op.Send() && !r.hasMessage {
		return Call{}, jsonrpc.InvalidParams(fmt.Sprintf("request.message is missing; %s needs it", r.op))
	}
	if name := neededREST03(r.op); name != "" && r.call.TaskID == "" {
		return Call{}, jsonrpc.InvalidParams(fmt.Sprintf("request.%s is missing; %s needs it", name, r.op))
	}
	return r.callReader.finish()
}

// neededREST03 returns the member that names the task of a call.
func neededREST03(op Operation) string {
	switch {
	case !op.NeedsTask():
		return ""
	case op == CreatePushConfig || op == ListPushConfigs:
		return "parent"
	}
	return "name"
}

// TaskName returns the name that package a2a.v1 has for a task. It returns false for ids that no name can hold.
func TaskName(task string) (string, bool) {
	return "tasks/" + task, task != "" && !strings.Contains(task, "/")
}

// ParseTaskName reads what [TaskName] returns.
func ParseTaskName(name string) (task string, ok bool) {
	task, ok = strings.CutPrefix(name, "tasks/")
	if !ok || task == "" || strings.Contains(task, "/") {
		return "", false
	}
	return task, true
}

// PushConfigName returns the name that package a2a.v1 has for a push config. It returns false for ids that no
// name can hold.
func PushConfigName(task, config string) (string, bool) {
	name, ok := TaskName(task)
	return name + "/pushNotificationConfigs/" + config, ok && config != "" && !strings.Contains(config, "/")
}

// ParsePushConfigName reads what [PushConfigName] returns.
func ParsePushConfigName(name string) (task, config string, ok bool) {
	name, ok = strings.CutPrefix(name, "tasks/")
	if !ok {
		return "", "", false
	}
	task, rest, _ := strings.Cut(name, "/")
	config, ok = strings.CutPrefix(rest, "pushNotificationConfigs/")
	if !ok || task == "" || config == "" || strings.Contains(config, "/") {
		return "", "", false
	}
	return task, config, true
}
