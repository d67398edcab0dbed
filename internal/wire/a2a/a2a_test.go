package a2a_test

import (
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestParseVersion_IgnoresThePatch(t *testing.T) {
	tests := []struct {
		text string
		want a2a.Version
		ok   bool
	}{
		{"1.0", a2a.V10, true},
		{"0.3", a2a.V03, true},
		{"0.3.0", a2a.V03, true},
		{"1.0.17", a2a.V10, true},
		{"", 0, false},
		{"1", 0, false},
		{"1.", 0, false},
		{"1.0.", 0, false},
		{"1.0.x", 0, false},
		{"1.1", 0, false},
		{"0.2.6", 0, false},
		{"99.0", 0, false},
		{"1.0.0.0", 0, false},
		{" 1.0", 0, false},
		{"v1.0", 0, false},
		{"01.0", 0, false},
	}
	for _, tt := range tests {
		got, ok := a2a.ParseVersion(tt.text)
		if got != tt.want || ok != tt.ok {
			t.Errorf("ParseVersion(%q) = %v, %v", tt.text, got, ok)
		}
		if ok && !strings.HasPrefix(tt.text, got.String()) {
			t.Errorf("%q is written %q", tt.text, got)
		}
	}
}

func TestLookupMethod_KnowsTheNamesOfBothVersions(t *testing.T) {
	tests := []struct {
		op       a2a.Operation
		v03, v10 string
	}{
		{a2a.SendMessage, "message/send", "SendMessage"},
		{a2a.SendStreamingMessage, "message/stream", "SendStreamingMessage"},
		{a2a.GetTask, "tasks/get", "GetTask"},
		{a2a.ListTasks, "", "ListTasks"},
		{a2a.CancelTask, "tasks/cancel", "CancelTask"},
		{a2a.SubscribeToTask, "tasks/resubscribe", "SubscribeToTask"},
		{a2a.CreatePushConfig, "tasks/pushNotificationConfig/set", "CreateTaskPushNotificationConfig"},
		{a2a.GetPushConfig, "tasks/pushNotificationConfig/get", "GetTaskPushNotificationConfig"},
		{a2a.ListPushConfigs, "tasks/pushNotificationConfig/list", "ListTaskPushNotificationConfigs"},
		{a2a.DeletePushConfig, "tasks/pushNotificationConfig/delete", "DeleteTaskPushNotificationConfig"},
		{a2a.GetExtendedCard, "agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"},
	}
	for _, tt := range tests {
		for v, name := range map[a2a.Version]string{a2a.V03: tt.v03, a2a.V10: tt.v10} {
			if got := a2a.MethodName(tt.op, v); got != name {
				t.Errorf("MethodName(%v, %v) = %q, want %q", tt.op, v, got, name)
			}
			if name == "" {
				continue
			}
			if op, got, ok := a2a.LookupMethod(name); op != tt.op || got != v || !ok {
				t.Errorf("LookupMethod(%q) = %v, %v, %v", name, op, got, ok)
			}
		}
	}
	for _, name := range []string{"", "/", "sendMessage", "tasks/list", "tasks/Get", "GetTask ", "ListTaskPushNotificationConfig"} {
		if op, v, ok := a2a.LookupMethod(name); ok {
			t.Errorf("LookupMethod(%q) = %v, %v", name, op, v)
		}
	}
}

func TestOperation_Properties(t *testing.T) {
	tests := []struct {
		op   a2a.Operation
		want string // s send, t streaming, p push, i idempotent, n needs a task
	}{
		{a2a.SendMessage, "s"},
		{a2a.SendStreamingMessage, "st"},
		{a2a.GetTask, "in"},
		{a2a.ListTasks, "i"},
		{a2a.CancelTask, "in"},
		{a2a.SubscribeToTask, "tin"},
		{a2a.CreatePushConfig, "pn"},
		{a2a.GetPushConfig, "pin"},
		{a2a.ListPushConfigs, "pin"},
		{a2a.DeletePushConfig, "pin"},
		{a2a.GetExtendedCard, "i"},
	}
	for _, tt := range tests {
		got := ""
		for _, p := range []struct {
			is   bool
			mark string
		}{{tt.op.Send(), "s"}, {tt.op.Streaming(), "t"}, {tt.op.Push(), "p"}, {tt.op.Idempotent(), "i"}, {tt.op.NeedsTask(), "n"}} {
			if p.is {
				got += p.mark
			}
		}
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.op, got, tt.want)
		}
	}
}

func TestParseState_TakesEverySpelling(t *testing.T) {
	tests := []struct {
		state a2a.State
		texts string
		class string
	}{
		{a2a.StateUnspecified, "unknown TASK_STATE_UNSPECIFIED whatever", ""},
		{a2a.StateSubmitted, "submitted TASK_STATE_SUBMITTED", ""},
		{a2a.StateWorking, "working TASK_STATE_WORKING", ""},
		{a2a.StateCompleted, "completed TASK_STATE_COMPLETED", "terminal"},
		{a2a.StateFailed, "failed TASK_STATE_FAILED", "terminal"},
		{a2a.StateCanceled, "canceled cancelled TASK_STATE_CANCELED TASK_STATE_CANCELLED", "terminal"},
		{a2a.StateInputRequired, "input-required TASK_STATE_INPUT_REQUIRED", "interrupted"},
		{a2a.StateRejected, "rejected TASK_STATE_REJECTED", "terminal"},
		{a2a.StateAuthRequired, "auth-required TASK_STATE_AUTH_REQUIRED", "interrupted"},
	}
	for _, tt := range tests {
		for text := range strings.FieldsSeq(tt.texts) {
			if got := a2a.ParseState(text); got != tt.state {
				t.Errorf("ParseState(%q) = %v, want %v", text, got, tt.state)
			}
		}
		if a2a.ParseState(tt.state.String()) != tt.state {
			t.Errorf("%v does not read its own name", tt.state)
		}
		if tt.state.Terminal() != (tt.class == "terminal") || tt.state.Interrupted() != (tt.class == "interrupted") {
			t.Errorf("%v: terminal %v, interrupted %v", tt.state, tt.state.Terminal(), tt.state.Interrupted())
		}
	}
}
