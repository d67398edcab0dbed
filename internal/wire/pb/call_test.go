package pb_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// bytesOf returns the protobuf of a message in JSON.
func bytesOf(t testing.TB, k messageKind, text string) []byte {
	t.Helper()
	payload, err := pb.FromJSON(k.v, k.op, k.m, []byte(text))
	if err != nil {
		t.Fatalf("FromJSON(%s): %v", text, err)
	}
	return payload
}

func TestParseCall_ReadsWhatTheGatewayDecidesOn(t *testing.T) {
	tests := []struct {
		name string
		v    a2a.Version
		op   a2a.Operation
		text string
		want a2a.Call
	}{
		{
			"send", a2a.V10, a2a.SendStreamingMessage, `{"tenant":"x","message":{"messageId":"m","contextId":"c","taskId":"t","extensions":["e"],"referenceTaskIds":["r","s"],"parts":[{"text":"x"}]},` +
				`"configuration":{"returnImmediately":false,"taskPushNotificationConfig":{"id":"p","url":"u","token":"k","authentication":{}}}}`,
			a2a.Call{
				MessageID: "m", ContextID: "c", TaskID: "t", Extensions: []string{"e"}, ReferenceTaskIDs: []string{"r", "s"}, Tenant: "x", HasTenant: true,
				ReturnImmediately: new(false), Push: &a2a.PushConfig{ID: "p", URL: "u", HasToken: true, HasAuthentication: true},
			},
		},
		{
			"send in 0.3", a2a.V03, a2a.SendMessage, `{"message":{"messageId":"m","taskId":"t"},"configuration":{"blocking":true,"pushNotification":{"url":"u"}}}`,
			a2a.Call{MessageID: "m", TaskID: "t", Blocking: new(true), Push: &a2a.PushConfig{URL: "u"}},
		},
		{"an empty tenant", a2a.V10, a2a.GetExtendedCard, `{"tenant":""}`, a2a.Call{HasTenant: true}},
		{"get", a2a.V10, a2a.GetTask, `{"id":"t","historyLength":0}`, a2a.Call{TaskID: "t"}},
		{"get in 0.3", a2a.V03, a2a.GetTask, `{"name":"tasks/a:b c%2F"}`, a2a.Call{TaskID: "a:b c%2F"}},
		{"subscribe in 0.3", a2a.V03, a2a.SubscribeToTask, `{"name":"tasks/tasks"}`, a2a.Call{TaskID: "tasks"}},
		{"list", a2a.V10, a2a.ListTasks, `{"contextId":"c","pageSize":0,"pageToken":"p"}`, a2a.Call{ContextID: "c", HasPageSize: true, PageToken: "p"}},
		{"create", a2a.V10, a2a.CreatePushConfig, `{"taskId":"t","id":"p","url":"u"}`, a2a.Call{TaskID: "t", PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "u"}}},
		{
			"create in 0.3", a2a.V03, a2a.CreatePushConfig, `{"parent":"tasks/t","configId":"p","config":{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"id":"p","url":"u"}}}`,
			a2a.Call{TaskID: "t", PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "u"}},
		},
		{
			"create in 0.3 with an id beside", a2a.V03, a2a.CreatePushConfig, `{"parent":"tasks/t","configId":"p","config":{"name":"tasks/t","pushNotificationConfig":{"url":"u"}}}`,
			a2a.Call{TaskID: "t", PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "u"}},
		},
		{
			"create in 0.3 without an id", a2a.V03, a2a.CreatePushConfig, `{"parent":"tasks/t","config":{"name":"tasks/t/pushNotificationConfigs/None","pushNotificationConfig":{"url":"u"}}}`,
			a2a.Call{TaskID: "t", Push: &a2a.PushConfig{URL: "u"}},
		},
		{"get config", a2a.V10, a2a.GetPushConfig, `{"taskId":"t","id":"p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"delete config in 0.3", a2a.V03, a2a.DeletePushConfig, `{"name":"tasks/t/pushNotificationConfigs/p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"the only config in 0.3", a2a.V03, a2a.GetPushConfig, `{"name":"tasks/t/pushNotificationConfigs/"}`, a2a.Call{TaskID: "t"}},
		{"list configs", a2a.V10, a2a.ListPushConfigs, `{"taskId":"t","pageSize":3}`, a2a.Call{TaskID: "t", PageSize: 3, HasPageSize: true}},
		{"list configs in 0.3", a2a.V03, a2a.ListPushConfigs, `{"parent":"tasks/t","pageToken":"x"}`, a2a.Call{TaskID: "t", PageToken: "x"}},
		{"card in 0.3", a2a.V03, a2a.GetExtendedCard, `{}`, a2a.Call{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, refusal := pb.ParseCall(tt.v, tt.op, bytesOf(t, messageKind{tt.v, tt.op, pb.Request}, tt.text))
			if refusal != nil {
				t.Fatalf("ParseCall: %v", refusal)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(a2a.Call{}, a2a.PushConfig{})); diff != "" {
				t.Errorf("ParseCall (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseCall_Refuses(t *testing.T) {
	long := strings.Repeat("x", a2a.MaxIDBytes+1)
	tests := []struct {
		name string
		v    a2a.Version
		op   a2a.Operation
		text string
		want string
	}{
		{"no message", a2a.V10, a2a.SendMessage, `{}`, "SendMessageRequest.message is missing"},
		{"no message in 0.3", a2a.V03, a2a.SendMessage, `{}`, "SendMessageRequest.request is missing"},
		{"no id", a2a.V10, a2a.CancelTask, `{"id":""}`, "CancelTaskRequest.id is missing; CancelTask needs it"},
		{"no task", a2a.V10, a2a.CreatePushConfig, `{"url":"u"}`, "TaskPushNotificationConfig.task_id is missing"},
		{"no name", a2a.V03, a2a.GetTask, `{}`, "GetTaskRequest.name is missing"},
		{"an id for a name", a2a.V03, a2a.GetTask, `{"name":"t"}`, "not of the form tasks/{task}"},
		{"a name without an id", a2a.V03, a2a.GetTask, `{"name":"tasks/"}`, "not of the form tasks/{task}"},
		{"a name below something", a2a.V03, a2a.GetTask, `{"name":"/tasks/t"}`, "not of the form tasks/{task}"},
		{"the name of a config for that of a task", a2a.V03, a2a.CancelTask, `{"name":"tasks/t/pushNotificationConfigs/c"}`, "not of the form tasks/{task}"},
		{"the name of a task for that of a config", a2a.V03, a2a.GetPushConfig, `{"name":"tasks/t"}`, "not of the form tasks/{task}/pushNotificationConfigs/{config}"},
		{"a name with more slashes", a2a.V03, a2a.GetPushConfig, `{"name":"tasks/t/pushNotificationConfigs/c/d"}`, "not of the form"},
		{"a task that is called like the collection", a2a.V03, a2a.GetPushConfig, `{"name":"tasks/pushNotificationConfigs/pushNotificationConfigs/c"}`, "not of the form"},
		{"two ids", a2a.V03, a2a.CreatePushConfig, `{"parent":"tasks/t","configId":"a","config":{"pushNotificationConfig":{"id":"b"}}}`, "config_id is not the id"},
		{"two tasks", a2a.V03, a2a.CreatePushConfig, `{"parent":"tasks/t","config":{"name":"tasks/u/pushNotificationConfigs/b"}}`, "does not name the task"},
		{"an id and another name", a2a.V03, a2a.CreatePushConfig, `{"parent":"tasks/t","configId":"a","config":{"name":"tasks/t/pushNotificationConfigs/b"}}`, "does not name the task"},
		{"a NUL", a2a.V10, a2a.GetTask, `{"id":"a\u0000"}`, "GetTaskRequest.id contains a character"},
		{"a NUL in a list", a2a.V10, a2a.SendMessage, `{"message":{"referenceTaskIds":["a","\u0000"]}}`, "Message.reference_task_ids contains a character"},
		{"a long id", a2a.V10, a2a.GetTask, `{"id":"` + long + `"}`, "longer than 512 bytes"},
		{"a long reference", a2a.V10, a2a.SendMessage, `{"message":{"referenceTaskIds":["` + long + `"]}}`, "longer than 512 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, refusal := pb.ParseCall(tt.v, tt.op, bytesOf(t, messageKind{tt.v, tt.op, pb.Request}, tt.text))
			if refusal == nil || refusal.Code != jsonrpc.CodeInvalidParams || !strings.Contains(refusal.Message, tt.want) {
				t.Errorf("ParseCall: %v, want %q", refusal, tt.want)
			}
		})
	}
	for name, payload := range map[string][]byte{"half a field": {0x0a, 9}, "no UTF-8": field(nil, 1, 0xff)} {
		if _, refusal := pb.ParseCall(a2a.V10, a2a.GetTask, payload); refusal == nil || refusal.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s: ParseCall: %v, want invalid params", name, refusal)
		}
	}
	if _, refusal := pb.ParseCall(a2a.V03, a2a.ListTasks, nil); refusal == nil {
		t.Error("0.3 lists tasks")
	}
}

func TestParseResult_ReadsEveryKind(t *testing.T) {
	tests := []struct {
		name string
		k    messageKind
		text string
		want a2a.Outcome
	}{
		{"task", event10, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t", ContextID: "c", State: a2a.StateWorking}},
		{"message", event10, `{"message":{"taskId":"t","contextId":"c"}}`, a2a.Outcome{Kind: a2a.Message, TaskID: "t", ContextID: "c"}},
		{"status", event10, `{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_FAILED"}}}`, a2a.Outcome{Kind: a2a.StatusUpdate, TaskID: "t", State: a2a.StateFailed}},
		{"artifact", event10, `{"artifactUpdate":{"taskId":"t"}}`, a2a.Outcome{Kind: a2a.ArtifactUpdate, TaskID: "t"}},
		{"status in 0.3", event03, `{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_CANCELLED"},"final":true}}`, a2a.Outcome{Kind: a2a.StatusUpdate, TaskID: "t", State: a2a.StateCanceled, Final: true}},
		{"bare task", messageKind{a2a.V03, a2a.CancelTask, pb.Result}, `{"id":"t","status":{"state":99}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t"}},
		{"answer", messageKind{a2a.V03, a2a.SendMessage, pb.Result}, `{"message":{}}`, a2a.Outcome{Kind: a2a.Message}},
		{"other", card10, `{}`, a2a.Outcome{Kind: a2a.Other}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pb.ParseResult(tt.k.v, tt.k.op, tt.k.m, bytesOf(t, tt.k, tt.text))
			if err != nil || got != tt.want {
				t.Errorf("ParseResult = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	for name, text := range map[string]string{"nothing": `{}`, "a NUL": `{"task":{"id":"\u0000"}}`, "a long id": `{"message":{"contextId":"` + strings.Repeat("x", 600) + `"}}`} {
		if got, err := pb.ParseResult(a2a.V10, a2a.SubscribeToTask, pb.Event, bytesOf(t, event10, text)); !errors.Is(err, a2a.ErrNotResult) {
			t.Errorf("%s: ParseResult = %+v, %v, want ErrNotResult", name, got, err)
		}
	}
}

func TestParsePushConfig_ReadsIDs(t *testing.T) {
	get10, get03 := messageKind{a2a.V10, a2a.GetPushConfig, pb.Result}, messageKind{a2a.V03, a2a.GetPushConfig, pb.Result}
	list10, list03 := messageKind{a2a.V10, a2a.ListPushConfigs, pb.Result}, messageKind{a2a.V03, a2a.ListPushConfigs, pb.Result}
	for _, tt := range []struct {
		k          messageKind
		text, want string
	}{
		{get10, `{"id":"p","taskId":"t"}`, "p"},
		{get10, `{}`, ""},
		{get03, `{"name":"tasks/t/pushNotificationConfigs/q","pushNotificationConfig":{"id":"p"}}`, "p"},
		{get03, `{"name":"tasks/t/pushNotificationConfigs/q","pushNotificationConfig":{"url":"u"}}`, "q"},
	} {
		if got, err := pb.ParsePushConfigID(tt.k.v, bytesOf(t, tt.k, tt.text)); err != nil || got != tt.want {
			t.Errorf("ParsePushConfigID(%s) = %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		k    messageKind
		text string
		want a2a.PushConfigList
	}{
		{list10, `{"configs":[{"id":"p"},{}],"nextPageToken":"n"}`, a2a.PushConfigList{IDs: []string{"p", ""}, NextPageToken: "n"}},
		{list03, `{"configs":[{"pushNotificationConfig":{"id":"p"}}]}`, a2a.PushConfigList{IDs: []string{"p"}}},
		{list03, `{}`, a2a.PushConfigList{}},
	} {
		got, err := pb.ParsePushConfigList(tt.k.v, bytesOf(t, tt.k, tt.text))
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("ParsePushConfigList(%s): %v\n%s", tt.text, err, diff)
		}
	}
	if _, err := pb.ParsePushConfigID(a2a.V10, []byte{0x0a}); !errors.Is(err, a2a.ErrNotResult) {
		t.Errorf("ParsePushConfigID of half a field: %v", err)
	}
	if _, err := pb.ParsePushConfigList(a2a.V03, field(nil, 1, 0x12, 9)); !errors.Is(err, a2a.ErrNotResult) {
		t.Errorf("ParsePushConfigList of half a field: %v", err)
	}
}

func TestSetTenant_LeavesEveryOtherByte(t *testing.T) {
	unknown := []byte{0xf8, 0x06, 0x01}       // field 111
	long := []byte{0x18, 0x80, 0x80, 0x80, 0} // a varint longer than it must be
	get := append(append(append([]byte{}, unknown...), 0x12, 1, 't'), long...)
	tenant := func(text string) []byte { return field(nil, 1, []byte(text)...) }
	push := func(tenant []byte) []byte {
		inner := append(append([]byte{}, unknown...), tenant...)
		return field(field(unknown, 2, 0x0a, 1, 'm'), 3, append(field(nil, 2, inner...), unknown...)...)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := []struct {
		name          string
		op            a2a.Operation
		payload       []byte
		tenant        string
		want, removed []byte
	}{
		{"added", a2a.GetTask, get, "acme", join(tenant("acme"), get), get},
		{"replaced", a2a.GetTask, join(unknown, tenant("x"), get), "acme", join(unknown, tenant("acme"), get), join(unknown, get)},
		{"of many", a2a.GetTask, join(tenant("x"), get, tenant("y")), "acme", join(tenant("acme"), get), get},
		{"with another number", a2a.ListPushConfigs, []byte{0x0a, 1, 't', 0x22, 1, 'x'}, "ab", []byte{0x0a, 1, 't', 0x22, 2, 'a', 'b'}, []byte{0x0a, 1, 't'}},
		{"of a push config", a2a.SendMessage, push(tenant("x")), "acme", join(tenant("acme"), push(tenant("acme"))), push(nil)},
		{"of a push config without one", a2a.SendMessage, push(nil), "acme", join(tenant("acme"), push(nil)), push(nil)},
		{"of nothing", a2a.GetExtendedCard, nil, "acme", tenant("acme"), nil},
		{"beside a field of another type", a2a.GetTask, []byte{0x08, 1}, "a", []byte{0x0a, 1, 'a', 0x08, 1}, []byte{0x08, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := bytes.Clone(tt.payload)
			got, err := pb.SetTenant(tt.op, tt.payload, tt.tenant)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("SetTenant = %x, %v\nwant        %x", got, err, tt.want)
			}
			got, err = pb.SetTenant(tt.op, tt.payload, "")
			if err != nil || !bytes.Equal(got, tt.removed) {
				t.Errorf("SetTenant to nothing = %x, %v\nwant                   %x", got, err, tt.removed)
			}
			if !bytes.Equal(before, tt.payload) {
				t.Error("the payload was changed")
			}
		})
	}
	if _, err := pb.SetTenant(a2a.GetTask, []byte{0x0a, 9}, "x"); !errors.Is(err, pb.ErrPayload) {
		t.Errorf("SetTenant of half a field: %v", err)
	}
}
