package a2a

import (
	"bytes"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// member is something in the params of a call that the gateway decides on.
type member uint8

const (
	ungoverned member = iota
	tenantMember
	messageMember
	configurationMember
	taskIDMember
	contextIDMember
	messageIDMember
	referenceTaskIDsMember
	extensionsMember
	waitMember // blocking or returnImmediately
	pushMember
	foreignPushMember // a push config as other dialects call it
	pushIDMember
	urlMember
	tokenMember
	authenticationMember
	pageSizeMember
	pageTokenMember
	plainMember // governed in its spelling only
)

// governed is one member of an object that the gateway decides on.
type governed struct {
	folded string // as jsonrpc.AppendFold has it
	name   string // as the dialect spells it
	member member
}

// object lists the governed members of one kind of object in one dialect.
type object []governed

func (o object) lookup(folded []byte) governed {
	for _, g := range o {
		if string(folded) == g.folded {
			return g
		}
	}
	return governed{}
}

func newObject(members ...governed) object {
	for i, g := range members {
		members[i].folded = string(jsonrpc.AppendFold(nil, []byte(g.name)))
	}
	return members
}

func named(name string, m member) governed { return governed{name: name, member: m} }

// The objects of version 1.0.
var (
	send10    = newObject(named("tenant", tenantMember), named("message", messageMember), named("configuration", configurationMember))
	task10    = newObject(named("tenant", tenantMember), named("id", taskIDMember))
	list10    = newObject(named("tenant", tenantMember), named("contextId", contextIDMember), named("pageSize", pageSizeMember), named("pageToken", pageTokenMember))
	getPush10 = newObject(named("tenant", tenantMember), named("taskId", taskIDMember), named("id", pushIDMember))
	lsPush10  = newObject(named("tenant", tenantMember), named("taskId", taskIDMember), named("pageSize", pageSizeMember), named("pageToken", pageTokenMember))
	card10    = newObject(named("tenant", tenantMember))
	push10    = newObject(named("tenant", tenantMember), named("taskId", taskIDMember), named("id", pushIDMember), named("url", urlMember),
		named("token", tokenMember), named("authentication", authenticationMember))
	config10 = newObject(named("returnImmediately", waitMember), named("taskPushNotificationConfig", pushMember),
		named("pushNotificationConfig", foreignPushMember), named("pushNotification", foreignPushMember))
	auth10 = newObject(named("scheme", plainMember), named("credentials", plainMember))
)

// The objects of version 0.3.
var (
	send03    = newObject(named("message", messageMember), named("configuration", configurationMember))
	task03    = newObject(named("id", taskIDMember))
	getPush03 = newObject(named("id", taskIDMember), named("pushNotificationConfigId", pushIDMember))
	setPush03 = newObject(named("taskId", taskIDMember), named("pushNotificationConfig", pushMember))
	push03    = newObject(named("id", pushIDMember), named("url", urlMember), named("token", tokenMember), named("authentication", authenticationMember))
	config03  = newObject(named("blocking", waitMember), named("pushNotificationConfig", pushMember),
		named("taskPushNotificationConfig", foreignPushMember), named("pushNotification", foreignPushMember))
	auth03 = newObject(named("schemes", plainMember), named("credentials", plainMember))
)

// messageObject is the same in both versions.
var messageObject = newObject(named("messageId", messageIDMember), named("taskId", taskIDMember), named("contextId", contextIDMember),
	named("referenceTaskIds", referenceTaskIDsMember), named("extensions", extensionsMember))

// paramsObject returns what is governed in the params of a call.
func paramsObject(op Operation, v Version) object {
	old := v == V03
	switch op {
	case SendMessage, SendStreamingMessage:
		return pick(old, send03, send10)
	case GetTask, CancelTask, SubscribeToTask:
		return pick(old, task03, task10)
	case ListTasks:
		return pick(old, nil, list10)
	case CreatePushConfig:
		return pick(old, setPush03, push10)
	case GetPushConfig, DeletePushConfig:
		return pick(old, getPush03, getPush10)
	case ListPushConfigs:
		return pick(old, task03, lsPush10)
	case GetExtendedCard:
		return pick(old, nil, card10)
	}
	return nil
}

func pick(old bool, v03, v10 object) object {
	if old {
		return v03
	}
	return v10
}

// needed returns the member of params that a call cannot do without, "" when there is none.
// Everything else that may be missing is the agent's to judge.
func needed(op Operation, v Version) string {
	switch {
	case op.Send():
		return "message"
	case !op.NeedsTask():
		return ""
	case op.Push() && (v == V10 || op == CreatePushConfig):
		return "taskId"
	}
	return "id"
}

func isNull(raw []byte) bool { return bytes.Equal(raw, []byte("null")) }
