// Package a2a reads what a gateway has to know of A2A messages, in versions 0.3 and 1.0 of the JSON-RPC
// binding, and changes what it has to change, byte by byte.
//
// Nothing here decodes a message into types and encodes it again: what is not understood stays as it
// came. Requests are read strictly ([ParseCall]), so that nobody can show the gateway one id and the
// agent another; replies ([ParseResult]) and cards ([ParseCard]) are read as leniently as agents in the
// wild need it.
package a2a

import "strings"

// Version is a version of the protocol that the gateway speaks.
type Version uint8

// The versions of the protocol. The zero Version is none.
const (
	V03 Version = 1 + iota
	V10
)

// String returns the version as headers and cards have it.
func (v Version) String() string {
	switch v {
	case V03:
		return "0.3"
	case V10:
		return "1.0"
	}
	return ""
}

// ParseVersion reads Major.Minor with or without a patch, which means nothing. It returns false for
// versions that the gateway does not speak and for "".
func ParseVersion(text string) (Version, bool) {
	major, rest, ok := strings.Cut(text, ".")
	if !ok {
		return 0, false
	}
	minor, patch, hasPatch := strings.Cut(rest, ".")
	if hasPatch && !isNumeral(patch) {
		return 0, false
	}
	switch {
	case major == "0" && minor == "3":
		return V03, true
	case major == "1" && minor == "0":
		return V10, true
	}
	return 0, false
}

func isNumeral(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Operation is what a call asks for, whatever its version calls it.
type Operation uint8

// The operations of A2A. The zero Operation is none.
const (
	SendMessage Operation = 1 + iota
	SendStreamingMessage
	GetTask
	ListTasks
	CancelTask
	SubscribeToTask
	CreatePushConfig
	GetPushConfig
	ListPushConfigs
	DeletePushConfig
	GetExtendedCard
)

// String returns the method name of version 1.0.
func (o Operation) String() string { return MethodName(o, V10) }

// Send reports whether the operation sends a message, and so may start or continue a task.
func (o Operation) Send() bool { return o == SendMessage || o == SendStreamingMessage }

// Streaming reports whether the operation is answered by a stream.
func (o Operation) Streaming() bool { return o == SendStreamingMessage || o == SubscribeToTask }

// Push reports whether the operation is about push notification configs.
func (o Operation) Push() bool { return o >= CreatePushConfig && o <= DeletePushConfig }

// NeedsTask reports whether the operation is about one existing task, which the call names.
func (o Operation) NeedsTask() bool {
	return o == GetTask || o == CancelTask || o == SubscribeToTask || o.Push()
}

// Idempotent reports whether the operation may be repeated without doing more than once.
func (o Operation) Idempotent() bool {
	switch o {
	case SendMessage, SendStreamingMessage, CreatePushConfig:
		return false
	default:
		return true
	}
}

// MethodName returns what a version calls an operation, "" when it does not have it.
func MethodName(o Operation, v Version) string {
	switch v {
	case V10:
		return methodName10(o)
	case V03:
		return methodName03(o)
	}
	return ""
}

func methodName10(o Operation) string {
	switch o {
	case SendMessage:
		return "SendMessage"
	case SendStreamingMessage:
		return "SendStreamingMessage"
	case GetTask:
		return "GetTask"
	case ListTasks:
		return "ListTasks"
	case CancelTask:
		return "CancelTask"
	case SubscribeToTask:
		return "SubscribeToTask"
	case CreatePushConfig:
		return "CreateTaskPushNotificationConfig"
	case GetPushConfig:
		return "GetTaskPushNotificationConfig"
	case ListPushConfigs:
		return "ListTaskPushNotificationConfigs"
	case DeletePushConfig:
		return "DeleteTaskPushNotificationConfig"
	case GetExtendedCard:
		return "GetExtendedAgentCard"
	default:
		return ""
	}
}

func methodName03(o Operation) string {
	switch o {
	case SendMessage:
		return "message/send"
	case SendStreamingMessage:
		return "message/stream"
	case GetTask:
		return "tasks/get"
	case CancelTask:
		return "tasks/cancel"
	case SubscribeToTask:
		return "tasks/resubscribe"
	case CreatePushConfig:
		return "tasks/pushNotificationConfig/set"
	case GetPushConfig:
		return "tasks/pushNotificationConfig/get"
	case ListPushConfigs:
		return "tasks/pushNotificationConfig/list"
	case DeletePushConfig:
		return "tasks/pushNotificationConfig/delete"
	case GetExtendedCard:
		return "agent/getAuthenticatedExtendedCard"
	default: // ListTasks came with 1.0
		return ""
	}
}

// LookupMethod returns what a method name stands for and the version it belongs to.
func LookupMethod(name string) (Operation, Version, bool) {
	v := V10
	if strings.Contains(name, "/") { // names of 0.3 have one, those of 1.0 have none
		v = V03
	}
	for o := SendMessage; o <= GetExtendedCard; o++ {
		if known := MethodName(o, v); known != "" && known == name {
			return o, v, true
		}
	}
	return 0, 0, false
}
