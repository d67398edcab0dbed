package a2a_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestParseCallREST03_ReadsTheMessagesOfItsProto(t *testing.T) {
	yes := true
	tests := []struct {
		name    string
		op      a2a.Operation
		payload string
		want    a2a.Call
	}{
		{
			"send", a2a.SendMessage,
			`{"message":{"messageId":"m","taskId":"t","contextId":"c","role":"ROLE_USER","content":[{"message_id":1,"messageId":2}],"referenceTaskIds":["r"],"extensions":["x"]},"configuration":{"blocking":true,"pushNotification":{"id":"p","url":"https://h","token":"s","authentication":{"schemes":["Bearer"]}}},"metadata":{"message":1,"Message":2}}`,
			a2a.Call{MessageID: "m", TaskID: "t", ContextID: "c", ReferenceTaskIDs: []string{"r"}, Extensions: []string{"x"}, Blocking: &yes, Push: &a2a.PushConfig{ID: "p", URL: "https://h", HasToken: true, HasAuthentication: true}},
		},
		{"get", a2a.GetTask, `{"name":"tasks/t:1","historyLength":3}`, a2a.Call{TaskID: "t:1"}},
		{"cancel", a2a.CancelTask, `{"name":"tasks/t","metadata":{"name":1}}`, a2a.Call{TaskID: "t"}},
		{"subscribe", a2a.SubscribeToTask, `{"name":"tasks/t"}`, a2a.Call{TaskID: "t"}},
		{"get config", a2a.GetPushConfig, `{"name":"tasks/t/pushNotificationConfigs/p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"delete config", a2a.DeletePushConfig, `{"name":"tasks/t/pushNotificationConfigs/p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"list configs", a2a.ListPushConfigs, `{"parent":"tasks/t","pageSize":2,"pageToken":"n"}`, a2a.Call{TaskID: "t", PageSize: 2, HasPageSize: true, PageToken: "n"}},
		{
			"create", a2a.CreatePushConfig,
			`{"config":{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"id":"p","url":"https://h"}},"parent":"tasks/t","configId":"p"}`,
			a2a.Call{TaskID: "t", PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "https://h"}},
		},
		{
			"create, id of its own", a2a.CreatePushConfig, `{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"url":"https://h"}}}`,
			a2a.Call{TaskID: "t", PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "https://h"}},
		},
		{"card", a2a.GetExtendedCard, `{}`, a2a.Call{}},
		{"card without payload", a2a.GetExtendedCard, ``, a2a.Call{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var payload []byte
			if tt.payload != "" {
				payload = []byte(tt.payload)
			}
			got, refusal := a2a.ParseCallREST03(tt.op, payload)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(a2a.Call{}, a2a.PushConfig{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseCallREST03_RefusesWhatCanBeReadTwice(t *testing.T) {
	tests := []struct {
		name    string
		op      a2a.Operation
		payload string
		text    string
	}{
		{"snake case", a2a.SendMessage, `{"message":{"message_id":"m"}}`, `spell it "messageId"`},
		{"twice", a2a.SendMessage, `{"message":{"taskId":"a","taskId":"b"}}`, "twice"},
		{"two spellings", a2a.SendMessage, `{"message":{"taskId":"a","TaskID":"b"}}`, "twice"},
		{"old name of the message", a2a.SendMessage, `{"request":{"messageId":"m"},"message":{}}`, "does not have"},
		{"push config of JSON-RPC", a2a.SendMessage, `{"message":{},"configuration":{"pushNotificationConfig":{}}}`, `as "pushNotification"`},
		{"push config of 1.0", a2a.SendMessage, `{"message":{},"configuration":{"taskPushNotificationConfig":{}}}`, `as "pushNotification"`},
		{"no message", a2a.SendMessage, `{}`, "message is missing"},
		{"id of JSON-RPC", a2a.GetTask, `{"name":"tasks/t","id":"u"}`, "does not have"},
		{"name misspelled", a2a.GetTask, `{"Name":"tasks/t"}`, `spell it "name"`},
		{"no name", a2a.GetTask, `{}`, "name is missing"},
		{"no resource", a2a.GetTask, `{"name":"t"}`, "tasks/{task}"},
		{"name of a config", a2a.GetTask, `{"name":"tasks/t/pushNotificationConfigs/p"}`, "tasks/{task}"},
		{"name of a task", a2a.GetPushConfig, `{"name":"tasks/t"}`, "pushNotificationConfigs"},
		{"slash in a config", a2a.GetPushConfig, `{"name":"tasks/t/pushNotificationConfigs/p/q"}`, "pushNotificationConfigs"},
		{"name of a number", a2a.GetTask, `{"name":3}`, "not a string"},
		{"parent of a list", a2a.ListPushConfigs, `{"name":"tasks/t"}`, "does not have"},
		{"two ids", a2a.CreatePushConfig, `{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"id":"q"}}}`, "two ids"},
		{"two tasks, parent first", a2a.CreatePushConfig, `{"parent":"tasks/t","config":{"name":"tasks/u/pushNotificationConfigs/p"}}`, "another task"},
		{"two tasks, name first", a2a.CreatePushConfig, `{"config":{"name":"tasks/u/pushNotificationConfigs/p"},"parent":"tasks/t"}`, "another task"},
		{"no parent", a2a.CreatePushConfig, `{"config":{"name":"","pushNotificationConfig":{}}}`, "parent is missing"},
		{"long id", a2a.GetTask, `{"name":"tasks/` + strings.Repeat("a", a2a.MaxIDBytes+1) + `"}`, "longer"},
		{"NUL", a2a.GetTask, `{"name":"tasks/\u0000"}`, "no id may have"},
		{"list", a2a.GetTask, `[]`, "not an object"},
		{"malformed", a2a.GetTask, `{"name":"tasks/t"`, "not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, refusal := a2a.ParseCallREST03(tt.op, []byte(tt.payload))
			if refusal == nil {
				t.Fatalf("accepted as %+v", got)
			}
			if !strings.Contains(refusal.Message, tt.text) {
				t.Errorf("got %q, want %q in it", refusal.Message, tt.text)
			}
		})
	}
}
