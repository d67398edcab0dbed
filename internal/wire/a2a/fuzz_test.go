package a2a_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/a2aproject/a2a-go/v2/a2a"
	sdkpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// reading is what somebody reads in a call, by the names of version 1.0.
type reading struct {
	Message, Context, Task, Tenant, Config, PushURL, PageToken string
	References                                                 []string
	PageSize                                                   int
}

func ours(op a2a.Operation, c a2a.Call) reading {
	r := reading{
		Message: c.MessageID, Context: c.ContextID, Task: c.TaskID, Tenant: c.Tenant, Config: c.PushConfigID,
		PageToken: c.PageToken, PageSize: c.PageSize, References: c.ReferenceTaskIDs,
	}
	if c.Push != nil {
		r.PushURL = c.Push.URL
		if op.Send() {
			r.Config = c.Push.ID
		}
	}
	return r
}

// asSDK reads params of 1.0 as an agent built on a2a-go does. It returns false when that refuses them.
func asSDK(op a2a.Operation, params []byte) (reading, bool) {
	switch op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		var q sdk.SendMessageRequest
		if json.Unmarshal(params, &q) != nil || q.Message == nil {
			return reading{}, false
		}
		r := reading{Message: q.Message.ID, Context: q.Message.ContextID, Task: string(q.Message.TaskID), Tenant: q.Tenant}
		for _, id := range q.Message.ReferenceTasks {
			r.References = append(r.References, string(id))
		}
		if q.Config != nil && q.Config.PushConfig != nil {
			r.Config, r.PushURL = q.Config.PushConfig.ID, q.Config.PushConfig.URL
		}
		return r, true
	case a2a.ListTasks:
		var q sdk.ListTasksRequest
		err := json.Unmarshal(params, &q)
		return reading{Context: q.ContextID, Tenant: q.Tenant, PageSize: q.PageSize, PageToken: q.PageToken}, err == nil
	case a2a.CreatePushConfig:
		var q sdk.PushConfig
		err := json.Unmarshal(params, &q)
		return reading{Task: string(q.TaskID), Tenant: q.Tenant, Config: q.ID, PushURL: q.URL}, err == nil
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		var q sdk.GetTaskPushConfigRequest
		err := json.Unmarshal(params, &q)
		return reading{Task: string(q.TaskID), Tenant: q.Tenant, Config: q.ID}, err == nil
	case a2a.ListPushConfigs:
		var q sdk.ListTaskPushConfigRequest
		err := json.Unmarshal(params, &q)
		return reading{Task: string(q.TaskID), Tenant: q.Tenant, PageSize: q.PageSize, PageToken: q.PageToken}, err == nil
	case a2a.GetExtendedCard:
		var q sdk.GetExtendedAgentCardRequest
		err := json.Unmarshal(params, &q)
		return reading{Tenant: q.Tenant}, err == nil
	default:
		var q sdk.CancelTaskRequest
		err := json.Unmarshal(params, &q)
		return reading{Task: string(q.ID), Tenant: q.Tenant}, err == nil
	}
}

// asProto reads params of 1.0 as an agent built on protobuf does. It returns false when that refuses them.
func asProto(op a2a.Operation, params []byte) (reading, bool) {
	into := func(m proto.Message) bool {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(params, m) == nil
	}
	switch op {
	case a2a.SendMessage, a2a.SendStreamingMessage:
		var q sdkpb.SendMessageRequest
		ok := into(&q)
		m, push := q.GetMessage(), q.GetConfiguration().GetTaskPushNotificationConfig()
		return reading{
			Message: m.GetMessageId(), Context: m.GetContextId(), Task: m.GetTaskId(), Tenant: q.GetTenant(),
			References: m.GetReferenceTaskIds(), Config: push.GetId(), PushURL: push.GetUrl(),
		}, ok
	case a2a.ListTasks:
		var q sdkpb.ListTasksRequest
		ok := into(&q)
		return reading{Context: q.GetContextId(), Tenant: q.GetTenant(), PageSize: int(q.GetPageSize()), PageToken: q.GetPageToken()}, ok
	case a2a.CreatePushConfig:
		var q sdkpb.TaskPushNotificationConfig
		ok := into(&q)
		return reading{Task: q.GetTaskId(), Tenant: q.GetTenant(), Config: q.GetId(), PushURL: q.GetUrl()}, ok
	case a2a.GetPushConfig, a2a.DeletePushConfig:
		var q sdkpb.GetTaskPushNotificationConfigRequest
		ok := into(&q)
		return reading{Task: q.GetTaskId(), Tenant: q.GetTenant(), Config: q.GetId()}, ok
	case a2a.ListPushConfigs:
		var q sdkpb.ListTaskPushNotificationConfigsRequest
		ok := into(&q)
		return reading{Task: q.GetTaskId(), Tenant: q.GetTenant(), PageSize: int(q.GetPageSize()), PageToken: q.GetPageToken()}, ok
	case a2a.GetExtendedCard:
		var q sdkpb.GetExtendedAgentCardRequest
		ok := into(&q)
		return reading{Tenant: q.GetTenant()}, ok
	default:
		var q sdkpb.CancelTaskRequest
		ok := into(&q)
		return reading{Task: q.GetId(), Tenant: q.GetTenant()}, ok
	}
}

// asJavaScript reads params as JSON.parse does: names exactly, the last of several.
func asJavaScript(op a2a.Operation, v a2a.Version, params []byte) reading {
	var p map[string]any
	_ = json.Unmarshal(params, &p) // no params is an empty object
	in := func(o map[string]any, name string) map[string]any {
		m, _ := o[name].(map[string]any)
		return m
	}
	str := func(o map[string]any, name string) string {
		s, _ := o[name].(string)
		return s
	}
	var r reading
	if v == a2a.V10 {
		r.Tenant = str(p, "tenant")
	}
	pushName := map[a2a.Version]string{a2a.V03: "pushNotificationConfig", a2a.V10: "taskPushNotificationConfig"}[v]
	switch {
	case op.Send():
		m, push := in(p, "message"), in(in(p, "configuration"), pushName)
		r.Message, r.Context, r.Task = str(m, "messageId"), str(m, "contextId"), str(m, "taskId")
		r.Config, r.PushURL = str(push, "id"), str(push, "url")
		list, _ := m["referenceTaskIds"].([]any)
		for _, id := range list {
			text, _ := id.(string)
			r.References = append(r.References, text)
		}
	case op == a2a.ListTasks:
		if v == a2a.V10 {
			size, _ := p["pageSize"].(float64)
			r.Context, r.PageToken, r.PageSize = str(p, "contextId"), str(p, "pageToken"), int(size)
		}
	case op == a2a.GetExtendedCard:
	case op.Push() && v == a2a.V03 && op != a2a.CreatePushConfig:
		r.Task = str(p, "id")
		if op != a2a.ListPushConfigs {
			r.Config = str(p, "pushNotificationConfigId")
		}
	case op == a2a.CreatePushConfig && v == a2a.V03:
		r.Task, r.Config, r.PushURL = str(p, "taskId"), str(in(p, pushName), "id"), str(in(p, pushName), "url")
	case op == a2a.ListPushConfigs:
		size, _ := p["pageSize"].(float64)
		r.Task, r.PageToken, r.PageSize = str(p, "taskId"), str(p, "pageToken"), int(size)
	case op.Push():
		r.Task, r.Config = str(p, "taskId"), str(p, "id")
		if op == a2a.CreatePushConfig {
			r.PushURL = str(p, "url")
		}
	default:
		r.Task = str(p, "id")
	}
	return r
}

func same(a, b reading) bool {
	refs := slices.Equal(a.References, b.References)
	return refs && a.Message == b.Message && a.Context == b.Context && a.Task == b.Task && a.Tenant == b.Tenant &&
		a.Config == b.Config && a.PushURL == b.PushURL && a.PageToken == b.PageToken && a.PageSize == b.PageSize
}

// FuzzParseCall proves that nobody reads another call than the gateway does.
func FuzzParseCall(f *testing.F) {
	for op := a2a.SendMessage; op <= a2a.GetExtendedCard; op++ {
		for _, params := range []string{
			`{"tenant":"a","id":"t","taskId":"u","contextId":"c","pageSize":5,"pageToken":"p","url":"h","metadata":{"id":1,"id":2}}`,
			`{"message":{"messageId":"m","contextId":"c","taskId":"t","referenceTaskIds":["r"],"role":"ROLE_USER","parts":[{"text":"x"}]},` +
				`"configuration":{"taskPushNotificationConfig":{"id":"p","url":"h","tenant":"b"},"pushNotificationConfig":null}}`,
			`{"message":{"message_id":"m","taſkId":"t"},"configuration":{"pushNotificationConfig":{"id":"p","url":"h"}}}`,
			`{"id":"t","pushNotificationConfigId":"p","ID":"u"}`,
			`{"taskId":"t","pushNotificationConfig":{"id":"p","url":"h"}}`,
		} {
			f.Add(byte(op), true, []byte(params))
			f.Add(byte(op), false, []byte(params))
		}
	}
	f.Fuzz(func(t *testing.T, opByte byte, isNew bool, params []byte) {
		op := a2a.SendMessage + a2a.Operation(opByte)%a2a.GetExtendedCard
		v := a2a.V03
		if isNew {
			v = a2a.V10
		}
		checkReadings(t, op, v, params)
	})
}

// checkReadings reports whether a call is accepted, and fails when somebody then reads another one than we.
func checkReadings(t *testing.T, op a2a.Operation, v a2a.Version, params []byte) bool {
	t.Helper()
	body := slices.Concat([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":`), params, []byte(`}`))
	req, refusal := jsonrpc.ParseRequest(body)
	if refusal != nil {
		_, _ = a2a.ParseCall(op, v, params) // must not panic on what is no JSON
		return false
	}
	call, refusal := a2a.ParseCall(op, v, req.Params)
	if refusal != nil {
		return false
	}
	got := ours(op, call)
	if want := asJavaScript(op, v, req.Params); !same(got, want) {
		t.Errorf("%v %v: %s: we read %+v, JavaScript %+v", op, v, params, got, want)
	}
	if v == a2a.V03 {
		return true
	}
	if want, ok := asSDK(op, req.Params); ok && !same(got, want) {
		t.Errorf("%v: %s: we read %+v, a2a-go %+v", op, params, got, want)
	}
	if want, ok := asProto(op, req.Params); ok && !same(got, want) {
		t.Errorf("%v: %s: we read %+v, protobuf %+v", op, params, got, want)
	}
	checkEdits(t, op, body, req, call)
	return true
}

// TestParseCall_NobodyReadsAnotherCall writes every name in every way that some parser takes for it, alone and
// beside the right one, before and behind it.
func TestParseCall_NobodyReadsAnotherCall(t *testing.T) {
	names := []string{
		"tenant", "message", "configuration", "id", "taskId", "contextId", "messageId", "referenceTaskIds", "url", "pageSize",
		"pageToken", "taskPushNotificationConfig", "pushNotificationConfig", "pushNotificationConfigId",
	}
	templates := []string{
		`{%}`, `{"id":"a","taskId":"b","url":"c",%}`, `{"message":{%}}`, `{"message":{},"configuration":{%}}`,
		`{"message":{},"configuration":{"taskPushNotificationConfig":{%}}}`, `{"message":{},"configuration":{"pushNotificationConfig":{%}}}`,
		`{"taskId":"b","pushNotificationConfig":{%}}`,
	}
	values := []string{`"x"`, `7`, `["x"]`, `{"id":"x","url":"x","taskId":"x"}`}
	ops := []a2a.Operation{ // one for each kind of params
		a2a.SendMessage, a2a.GetTask, a2a.ListTasks, a2a.CreatePushConfig, a2a.GetPushConfig, a2a.ListPushConfigs, a2a.GetExtendedCard,
	}
	accepted := 0
	for _, op := range ops {
		for _, v := range []a2a.Version{a2a.V03, a2a.V10} {
			for _, name := range names {
				for _, spelling := range spellings(name) {
					for _, value := range values {
						member := `"` + spelling + `":` + value
						right := `"` + name + `":` + strings.ReplaceAll(value, "x", "y")
						for _, members := range []string{member, member + "," + right, right + "," + member} {
							for _, template := range templates {
								if checkReadings(t, op, v, []byte(strings.Replace(template, "%", members, 1))) {
									accepted++
								}
							}
						}
					}
				}
			}
		}
	}
	if accepted == 0 {
		t.Error("nothing was accepted, so nothing was compared")
	}
}

// spellings returns ways to write a name in JSON that some parser takes for it.
func spellings(name string) []string {
	var snake strings.Builder
	for _, r := range name {
		if 'A' <= r && r <= 'Z' {
			snake.WriteByte('_')
		}
		snake.WriteRune(r)
	}
	return []string{
		name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], strings.ToLower(snake.String()),
		fmt.Sprintf(`\u%04x%s`, name[0], name[1:]), strings.ReplaceAll(name, "s", "\u017f"), strings.ReplaceAll(name, "k", "\u212a"),
	}
}

// checkEdits changes an accepted call and reads it again.
func checkEdits(t *testing.T, op a2a.Operation, body []byte, req jsonrpc.Request, call a2a.Call) {
	for _, e := range []a2a.ParamsEdit{
		{}, {Tenant: "x\"y"}, {Page: op == a2a.ListTasks, PageToken: "next", PageSize: 7}, {Tenant: "z", Page: op == a2a.ListTasks, PageSize: 9},
	} {
		before := bytes.Clone(body)
		out := a2a.EditParams(body, req, call, e)
		if !bytes.Equal(body, before) {
			t.Fatal("the body itself was changed")
		}
		req2, refusal := jsonrpc.ParseRequest(out)
		if refusal != nil {
			t.Fatalf("%s became %s: %v", body, out, refusal)
		}
		got, refusal := a2a.ParseCall(op, a2a.V10, req2.Params)
		if refusal != nil {
			t.Fatalf("%s became %s: %v", body, out, refusal)
		}
		want := ours(op, call)
		want.Tenant = e.Tenant
		if e.Page {
			want.PageToken = e.PageToken
			want.PageSize = e.PageSize
		}
		if !same(ours(op, got), want) {
			t.Errorf("%s became %s: %+v, want %+v", body, out, ours(op, got), want)
		}
	}
}

func FuzzParseResult(f *testing.F) {
	f.Add(byte(0), true, []byte(`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`))
	f.Add(byte(1), false, []byte(`{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"completed"},"final":true}`))
	f.Fuzz(func(t *testing.T, opByte byte, isNew bool, result []byte) {
		op := a2a.SendMessage + a2a.Operation(opByte)%a2a.GetExtendedCard
		v := a2a.V03
		if isNew {
			v = a2a.V10
		}
		got, err := a2a.ParseResult(op, v, result)
		if err != nil || got.Kind == a2a.Other {
			return
		}
		// Names are read without regard to case, as a2a-go reads them; protobuf reads them exactly or not at all.
		if v == a2a.V10 && op.Streaming() {
			var event sdk.StreamResponse
			if json.Unmarshal(result, &event) == nil {
				info := event.TaskInfo()
				if string(info.TaskID) != got.TaskID && !bytes.ContainsRune(result, '_') {
					t.Errorf("we read task %q, a2a-go %q", got.TaskID, info.TaskID)
				}
			}
		}
	})
}

func FuzzParseTaskList(f *testing.F) {
	f.Add([]byte(`{"tasks":[{"id":"a","contextId":"c","status":{"state":3}}],"nextPageToken":"n","x":[1]}`))
	f.Fuzz(func(t *testing.T, result []byte) {
		list, err := a2a.ParseTaskList(result)
		if err != nil {
			return
		}
		var tasks [][]byte
		for _, task := range list.Tasks {
			tasks = append(tasks, task.Raw)
		}
		out := a2a.AppendTaskList(nil, result, tasks, "ours", 3, 4)
		again, err := a2a.ParseTaskList(out)
		if err != nil || again.NextPageToken != "ours" || len(again.Tasks) != len(list.Tasks) {
			t.Fatalf("%s became %s: %+v, %v", result, out, again, err)
		}
		for i, task := range again.Tasks {
			if !bytes.Equal(task.Raw, list.Tasks[i].Raw) {
				t.Errorf("task %s became %s", list.Tasks[i].Raw, task.Raw)
			}
		}
	})
}

func BenchmarkParseCall1KB(b *testing.B) {
	params := []byte(`{"message":{"messageId":"m-1","contextId":"c-1","taskId":"t-1","role":"ROLE_USER","parts":[{"text":"` +
		strings.Repeat("hello world ", 75) + `"}]}}`)
	b.SetBytes(int64(len(params)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a2a.ParseCall(a2a.SendMessage, a2a.V10, params); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseResult1KB(b *testing.B) {
	result := []byte(`{"task":{"id":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_COMPLETED"},"artifacts":[{"artifactId":"a","parts":[{"text":"` +
		strings.Repeat("hello world ", 75) + `"}]}]}}`)
	b.SetBytes(int64(len(result)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a2a.ParseResult(a2a.SendMessage, a2a.V10, result); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSetTenant1KB(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m-1","parts":[{"text":"` +
		strings.Repeat("hello world ", 75) + `"}]}}}`)
	req, refusal := jsonrpc.ParseRequest(body)
	if refusal != nil {
		b.Fatal(refusal)
	}
	call, refusal := a2a.ParseCall(a2a.SendMessage, a2a.V10, req.Params)
	if refusal != nil {
		b.Fatal(refusal)
	}
	b.ReportAllocs()
	for b.Loop() {
		a2a.SetTenant(body, req, call, "acme")
	}
}
