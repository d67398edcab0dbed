package a2a_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// ignorePlaces leaves out where members stand; the splice tests cover it.
var ignorePlaces = cmpopts.IgnoreUnexported(a2a.Call{}, a2a.PushConfig{})

func TestParseCall_ReadsWhatItGoverns(t *testing.T) {
	yes, no := true, false
	tests := []struct {
		name   string
		op     a2a.Operation
		v      a2a.Version
		params string
		want   a2a.Call
	}{
		{
			"send 1.0", a2a.SendMessage, a2a.V10,
			`{"tenant":"acme","message":{"messageId":"m","contextId":"c","taskId":"t","role":"ROLE_USER","parts":[{"text":"x"}],
			  "referenceTaskIds":["r1","r2"],"extensions":["https://e"],"metadata":{"a":1}},
			  "configuration":{"returnImmediately":true,"historyLength":3,"taskPushNotificationConfig":
			  {"tenant":"acme","taskId":"","id":"p","url":"https://h","token":"s","authentication":{"scheme":"Bearer","credentials":"x"}}},"metadata":{}}`,
			a2a.Call{
				MessageID: "m", ContextID: "c", TaskID: "t", Tenant: "acme", HasTenant: true, ReferenceTaskIDs: []string{"r1", "r2"},
				Extensions: []string{"https://e"}, ReturnImmediately: &yes,
				Push: &a2a.PushConfig{ID: "p", URL: "https://h", HasToken: true, HasAuthentication: true},
			},
		},
		{
			"send 0.3", a2a.SendStreamingMessage, a2a.V03,
			`{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"x"}]},
			  "configuration":{"blocking":false,"pushNotificationConfig":{"url":"https://h","authentication":{"schemes":["Bearer"]}}}}`,
			a2a.Call{MessageID: "m", Blocking: &no, Push: &a2a.PushConfig{URL: "https://h", HasAuthentication: true}},
		},
		{
			"null is absent", a2a.SendMessage, a2a.V10,
			`{"tenant":null,"configuration":null,"message":{"messageId":null,"contextId":null,"taskId":null,"referenceTaskIds":null,"extensions":null}}`,
			a2a.Call{HasTenant: true},
		},
		{"null configuration", a2a.SendMessage, a2a.V10, `{"message":{},"configuration":{"returnImmediately":null,"taskPushNotificationConfig":null}}`, a2a.Call{}},
		{
			"null push members", a2a.SendMessage, a2a.V03,
			`{"message":{},"configuration":{"pushNotificationConfig":{"id":null,"url":null,"token":null,"authentication":null}}}`,
			a2a.Call{Push: &a2a.PushConfig{}},
		},
		{"escapes", a2a.SendMessage, a2a.V10, `{"m\u0065ssage":{"t\u0061skId":"t\u002d1\ud83d\ude00"}}`, a2a.Call{TaskID: "t-1😀"}},
		{
			"duplicates below parts and metadata", a2a.SendMessage, a2a.V10,
			`{"message":{"taskId":"t","parts":[{"data":{"taskId":1,"taskId":2}}],"metadata":{"task_id":1,"taskId":2,"taskId":3}},"metadata":{"a":1,"a":2}}`,
			a2a.Call{TaskID: "t"},
		},
		{"unknown members", a2a.SendMessage, a2a.V10, `{"message":{"taskId":"t","x":[{}]},"y":{"z":1}}`, a2a.Call{TaskID: "t"}},
		{"get 1.0", a2a.GetTask, a2a.V10, `{"id":"t","tenant":"","historyLength":1}`, a2a.Call{TaskID: "t", HasTenant: true}},
		{"get 0.3", a2a.GetTask, a2a.V03, `{"id":"t","metadata":{}}`, a2a.Call{TaskID: "t"}},
		{"cancel 0.3", a2a.CancelTask, a2a.V03, `{"id":"t"}`, a2a.Call{TaskID: "t"}},
		{"subscribe 1.0", a2a.SubscribeToTask, a2a.V10, `{"id":"t"}`, a2a.Call{TaskID: "t"}},
		{
			"list", a2a.ListTasks, a2a.V10, `{"contextId":"c","pageSize":10,"pageToken":"p","status":"TASK_STATE_WORKING"}`,
			a2a.Call{ContextID: "c", PageSize: 10, HasPageSize: true, PageToken: "p"},
		},
		{"list without params", a2a.ListTasks, a2a.V10, ``, a2a.Call{}},
		{"list with null params", a2a.ListTasks, a2a.V10, `null`, a2a.Call{}},
		{"list with null sizes", a2a.ListTasks, a2a.V10, `{"pageSize":null,"pageToken":null}`, a2a.Call{}},
		{
			"create push 1.0", a2a.CreatePushConfig, a2a.V10, `{"tenant":"a","taskId":"t","id":"p","url":"https://h","token":"x"}`,
			a2a.Call{TaskID: "t", Tenant: "a", HasTenant: true, PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "https://h", HasToken: true}},
		},
		{
			"set push 0.3", a2a.CreatePushConfig, a2a.V03, `{"taskId":"t","pushNotificationConfig":{"id":"p","url":"https://h"}}`,
			a2a.Call{TaskID: "t", PushConfigID: "p", Push: &a2a.PushConfig{ID: "p", URL: "https://h"}},
		},
		{"set push 0.3 without config", a2a.CreatePushConfig, a2a.V03, `{"taskId":"t"}`, a2a.Call{TaskID: "t", Push: &a2a.PushConfig{}}},
		{"get push 1.0", a2a.GetPushConfig, a2a.V10, `{"taskId":"t","id":"p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"get push 0.3", a2a.GetPushConfig, a2a.V03, `{"id":"t","pushNotificationConfigId":"p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"get push 0.3 without config id", a2a.GetPushConfig, a2a.V03, `{"id":"t"}`, a2a.Call{TaskID: "t"}},
		{"delete push 0.3", a2a.DeletePushConfig, a2a.V03, `{"id":"t","pushNotificationConfigId":"p"}`, a2a.Call{TaskID: "t", PushConfigID: "p"}},
		{"list push 1.0", a2a.ListPushConfigs, a2a.V10, `{"taskId":"t","pageSize":2}`, a2a.Call{TaskID: "t", PageSize: 2, HasPageSize: true}},
		{"list push 0.3", a2a.ListPushConfigs, a2a.V03, `{"id":"t"}`, a2a.Call{TaskID: "t"}},
		{"card 1.0", a2a.GetExtendedCard, a2a.V10, `{"tenant":"a"}`, a2a.Call{Tenant: "a", HasTenant: true}},
		{"card 0.3", a2a.GetExtendedCard, a2a.V03, ``, a2a.Call{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a2a.ParseCall(tt.op, tt.v, raw(tt.params))
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if diff := cmp.Diff(tt.want, got, ignorePlaces); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func raw(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func TestParseCall_Refuses(t *testing.T) {
	send := func(member string) string { return `{"message":{"messageId":"m",` + member + `}}` }
	config := func(member string) string { return `{"message":{"messageId":"m"},"configuration":{` + member + `}}` }
	tests := []struct {
		name    string
		op      a2a.Operation
		v       a2a.Version
		params  string
		message string
	}{
		{"no params", a2a.SendMessage, a2a.V10, ``, "params.message is missing; SendMessage needs it"},
		{"no message", a2a.SendMessage, a2a.V03, `{}`, "params.message is missing; message/send needs it"},
		{"null message", a2a.SendMessage, a2a.V10, `{"message":null}`, "params.message is missing"},
		{"message a string", a2a.SendMessage, a2a.V10, `{"message":"hi"}`, "params.message is not an object"},
		{"configuration a list", a2a.SendMessage, a2a.V10, `{"message":{},"configuration":[]}`, "params.configuration is not an object"},
		{"no id", a2a.GetTask, a2a.V10, `{"taskId":"t"}`, "params.id is missing; GetTask needs it"},
		{"empty id", a2a.CancelTask, a2a.V03, `{"id":""}`, "params.id is missing"},
		{"null params", a2a.SubscribeToTask, a2a.V10, `null`, "params.id is missing"},
		{"no taskId", a2a.GetPushConfig, a2a.V10, `{"id":"p"}`, "params.taskId is missing"},
		{"no task id 0.3", a2a.GetPushConfig, a2a.V03, `{"taskId":"t"}`, "params.id is missing"},
		{"no taskId in set", a2a.CreatePushConfig, a2a.V03, `{"pushNotificationConfig":{}}`, "params.taskId is missing"},
		{"params a list", a2a.GetTask, a2a.V10, `["t"]`, "params is not an object"},
		{"not JSON", a2a.GetTask, a2a.V10, `{"id":`, "not valid JSON"},

		{"taskId a number", a2a.SendMessage, a2a.V10, send(`"taskId":1`), "params.message.taskId is not a string"},
		{"contextId an object", a2a.SendMessage, a2a.V03, send(`"contextId":{}`), "params.message.contextId is not a string"},
		{"id a list", a2a.GetTask, a2a.V10, `{"id":["t"]}`, "params.id is not a string"},
		{"tenant a number", a2a.GetTask, a2a.V10, `{"id":"t","tenant":1}`, "params.tenant is not a string"},
		{"NUL in an id", a2a.GetTask, a2a.V10, `{"id":"t\u0000"}`, "params.id contains a character"},
		{"references a string", a2a.SendMessage, a2a.V10, send(`"referenceTaskIds":"t"`), "params.message.referenceTaskIds is not an array of strings"},
		{"a reference a number", a2a.SendMessage, a2a.V10, send(`"referenceTaskIds":["t",1]`), "params.message.referenceTaskIds is not an array of strings"},
		{"a reference null", a2a.SendMessage, a2a.V10, send(`"referenceTaskIds":[null]`), "params.message.referenceTaskIds is not an array of strings"},
		{"blocking a string", a2a.SendMessage, a2a.V03, config(`"blocking":"true"`), "params.configuration.blocking is not a boolean"},
		{"pageSize a string", a2a.ListTasks, a2a.V10, `{"pageSize":"10"}`, "params.pageSize is not an integer"},
		{"pageSize a fraction", a2a.ListTasks, a2a.V10, `{"pageSize":10.0}`, "params.pageSize is not an integer"},
		{"pageSize huge", a2a.ListTasks, a2a.V10, `{"pageSize":2147483648}`, "params.pageSize is not an integer"},
		{"push url a number", a2a.SendMessage, a2a.V10, config(`"taskPushNotificationConfig":{"url":1}`), "params.configuration.taskPushNotificationConfig.url is not a string"},
		{"push a string", a2a.SendMessage, a2a.V03, config(`"pushNotificationConfig":"x"`), "params.configuration.pushNotificationConfig is not an object"},

		{"duplicate in params", a2a.GetTask, a2a.V10, `{"id":"a","id":"b"}`, `params has "id" twice`},
		{"duplicate in another case", a2a.GetTask, a2a.V10, `{"id":"a","ID":"b"}`, `params has "ID" twice`},
		{"duplicate with escapes", a2a.GetTask, a2a.V10, `{"id":"a","\u0069d":"b"}`, `params has "id" twice`},
		{"duplicate unknown", a2a.GetTask, a2a.V10, `{"id":"a","x":1,"X_":2}`, `params has "X_" twice`},
		{"duplicate message", a2a.SendMessage, a2a.V10, `{"message":{"taskId":"a"},"message":{"taskId":"b"}}`, `params has "message" twice`},
		{"duplicate in message", a2a.SendMessage, a2a.V10, send(`"taskId":"a","task_id":"b"`), `params.message has "task_id" twice`},
		{"duplicate ungoverned in message", a2a.SendMessage, a2a.V10, send(`"parts":[],"Parts":[]`), `params.message has "Parts" twice`},
		{"duplicate long s", a2a.SendMessage, a2a.V10, send("\"taskId\":\"a\",\"ta\u017fkId\":\"b\""), "twice"},
		{"duplicate Kelvin", a2a.SendMessage, a2a.V10, send("\"taskId\":\"a\",\"tas\u212aId\":\"b\""), "twice"},
		{"duplicate in configuration", a2a.SendMessage, a2a.V10, config(`"x":1,"x":2`), `params.configuration has "x" twice`},
		{"duplicate in push", a2a.SendMessage, a2a.V10, config(`"taskPushNotificationConfig":{"url":"a","Url":"b"}`), `taskPushNotificationConfig has "Url" twice`},
		{"duplicate in authentication", a2a.CreatePushConfig, a2a.V10, `{"taskId":"t","authentication":{"scheme":"a","scheme":"b"}}`, `params.authentication has "scheme" twice`},
		{"duplicate in card params 0.3", a2a.GetExtendedCard, a2a.V03, `{"x":1,"x":2}`, `params has "x" twice`},

		{"snake_case", a2a.SendMessage, a2a.V10, send(`"task_id":"t"`), `params.message has a member "task_id"; spell it "taskId"`},
		{"TaskId", a2a.SendMessage, a2a.V03, send(`"TaskId":"t"`), `spell it "taskId"`},
		{"long s alone", a2a.SendMessage, a2a.V10, send("\"ta\u017fkId\":\"t\""), `spell it "taskId"`},
		{"ID alone", a2a.GetTask, a2a.V10, `{"ID":"t"}`, `params has a member "ID"; spell it "id"`},
		{"Message", a2a.SendMessage, a2a.V10, `{"Message":{"taskId":"t"}}`, `spell it "message"`},
		{"reference_task_ids", a2a.SendMessage, a2a.V10, send(`"reference_task_ids":["t"]`), `spell it "referenceTaskIds"`},
		{"page_token", a2a.ListTasks, a2a.V10, `{"page_token":"x"}`, `spell it "pageToken"`},
		{"Scheme", a2a.CreatePushConfig, a2a.V10, `{"taskId":"t","authentication":{"Scheme":"a"}}`, `spell it "scheme"`},
		{"return_immediately", a2a.SendMessage, a2a.V10, config(`"return_immediately":true`), `spell it "returnImmediately"`},
		{"0.3 push config in 1.0", a2a.SendMessage, a2a.V10, config(`"pushNotificationConfig":{"url":"x"}`), `send the push config as "taskPushNotificationConfig"`},
		{"1.0 push config in 0.3", a2a.SendMessage, a2a.V03, config(`"taskPushNotificationConfig":{"url":"x"}`), `send the push config as "pushNotificationConfig"`},
		{"REST push config in 0.3", a2a.SendMessage, a2a.V03, config(`"push_notification":{"url":"x"}`), "pushNotification"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a2a.ParseCall(tt.op, tt.v, raw(tt.params))
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			if err.Code != jsonrpc.CodeInvalidParams || err.Reason != jsonrpc.ReasonInvalidParams || !strings.Contains(err.Message, tt.message) {
				t.Errorf("got %d %s %q, want %q", err.Code, err.Reason, err.Message, tt.message)
			}
		})
	}
}

func TestEditParams_ChangesOnlyWhatItMust(t *testing.T) {
	const head = `{"jsonrpc":"2.0","id":1,"method":"X"`
	tests := []struct {
		name       string
		op         a2a.Operation
		body, want string
		edit       a2a.ParamsEdit
	}{
		{"nothing to do", a2a.GetTask, head + `,"params":{"id":"t"}}`, head + `,"params":{"id":"t"}}`, a2a.ParamsEdit{}},
		{"same tenant", a2a.GetTask, head + `,"params":{"id":"t", "tenant" : "a"}}`, head + `,"params":{"id":"t", "tenant" : "a"}}`, a2a.ParamsEdit{Tenant: "a"}},
		{"set", a2a.GetTask, head + `,"params":{ "id":"t"}}`, head + `,"params":{"tenant":"a", "id":"t"}}`, a2a.ParamsEdit{Tenant: "a"}},
		{"set with quotes", a2a.GetTask, head + `,"params":{"id":"t"}}`, head + `,"params":{"tenant":"a\"<b","id":"t"}}`, a2a.ParamsEdit{Tenant: `a"<b`}},
		{"set in empty params", a2a.GetExtendedCard, head + `,"params":{ } }`, head + `,"params":{"tenant":"a" } }`, a2a.ParamsEdit{Tenant: "a"}},
		{"set without params", a2a.GetExtendedCard, head + "} \n", head + `,"params":{"tenant":"a"}` + "} \n", a2a.ParamsEdit{Tenant: "a"}},
		{"set on null params", a2a.ListTasks, head + `,"params":null}`, head + `,"params":{"tenant":"a"}}`, a2a.ParamsEdit{Tenant: "a"}},
		{"remove without params", a2a.ListTasks, head + `}`, head + `}`, a2a.ParamsEdit{}},
		{"replace", a2a.GetTask, head + `,"params":{"id":"t", "tenant" : "b" }}`, head + `,"params":{"id":"t", "tenant" : "a" }}`, a2a.ParamsEdit{Tenant: "a"}},
		{"replace null", a2a.GetTask, head + `,"params":{"tenant":null,"id":"t"}}`, head + `,"params":{"tenant":"a","id":"t"}}`, a2a.ParamsEdit{Tenant: "a"}},
		{"remove first", a2a.GetTask, head + `,"params":{"tenant":"b" , "id":"t"}}`, head + `,"params":{"id":"t"}}`, a2a.ParamsEdit{}},
		{"remove last", a2a.GetTask, head + `,"params":{"id":"t" , "tenant":"b" }}`, head + `,"params":{"id":"t"  }}`, a2a.ParamsEdit{}},
		{"remove middle", a2a.GetTask, head + `,"params":{"x":"},\"tenant\"","tenant":"b","id":"t"}}`, head + `,"params":{"x":"},\"tenant\"","id":"t"}}`, a2a.ParamsEdit{}},
		{"remove only", a2a.GetExtendedCard, head + `,"params":{ "tenant":"b"}}`, head + `,"params":{ }}`, a2a.ParamsEdit{}},
		{
			"push config along", a2a.SendMessage,
			head + `,"params":{"tenant":"b","message":{},"configuration":{"taskPushNotificationConfig":{"tenant":"b","url":"u"}}}}`,
			head + `,"params":{"tenant":"a","message":{},"configuration":{"taskPushNotificationConfig":{"tenant":"a","url":"u"}}}}`,
			a2a.ParamsEdit{Tenant: "a"},
		},
		{
			"push config along, removed", a2a.SendMessage,
			head + `,"params":{"configuration":{"taskPushNotificationConfig":{"url":"u","tenant":"b"}},"message":{},"tenant":"b"}}`,
			head + `,"params":{"configuration":{"taskPushNotificationConfig":{"url":"u"}},"message":{}}}`,
			a2a.ParamsEdit{},
		},
		{"flat push config", a2a.CreatePushConfig, head + `,"params":{"tenant":"b","taskId":"t","url":"u"}}`, head + `,"params":{"taskId":"t","url":"u"}}`, a2a.ParamsEdit{}},
		{
			"numbers and order stay", a2a.SendMessage,
			head + `,"params":{"z":9007199254740993,"message":{"metadata":{"b":1,"a":1e400}},"tenant":"b"}}`,
			head + `,"params":{"z":9007199254740993,"message":{"metadata":{"b":1,"a":1e400}}}}`,
			a2a.ParamsEdit{},
		},

		{
			"page set", a2a.ListTasks, head + `,"params":{"contextId":"c"}}`, head + `,"params":{"pageToken":"p","pageSize":7,"contextId":"c"}}`,
			a2a.ParamsEdit{Page: true, PageToken: "p", PageSize: 7},
		},
		{"page without params", a2a.ListTasks, head + `}`, head + `,"params":{"pageSize":7}}`, a2a.ParamsEdit{Page: true, PageSize: 7}},
		{
			"page replaced", a2a.ListTasks, head + `,"params":{"pageSize" : 1,"pageToken":"x"}}`, head + `,"params":{"pageSize" : 7,"pageToken":"p"}}`,
			a2a.ParamsEdit{Page: true, PageToken: "p", PageSize: 7},
		},
		{"first page", a2a.ListTasks, head + `,"params":{"pageToken":"x"}}`, head + `,"params":{"pageToken":""}}`, a2a.ParamsEdit{Page: true}},
		{"tenant removed, page set", a2a.ListTasks, head + `,"params":{"tenant":"b"}}`, head + `,"params":{"pageToken":"p"}}`, a2a.ParamsEdit{Page: true, PageToken: "p"}},
		{
			"tenant removed, page replaced", a2a.ListTasks, head + `,"params":{"pageToken":"x","tenant":"b"}}`, head + `,"params":{"pageToken":"p"}}`,
			a2a.ParamsEdit{Page: true, PageToken: "p"},
		},
		{
			"all set", a2a.ListTasks, head + `,"params":{}}`, head + `,"params":{"tenant":"a","pageToken":"p","pageSize":7}}`,
			a2a.ParamsEdit{Tenant: "a", Page: true, PageToken: "p", PageSize: 7},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			req, call := mustParse(t, tt.op, body)
			if got := string(a2a.EditParams(body, req, call, tt.edit)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if string(body) != tt.body {
				t.Error("the body itself was changed")
			}
		})
	}
}

func mustParse(t *testing.T, op a2a.Operation, body []byte) (jsonrpc.Request, a2a.Call) {
	t.Helper()
	req, refusal := jsonrpc.ParseRequest(body)
	if refusal != nil {
		t.Fatalf("refused: %v", refusal)
	}
	call, refusal := a2a.ParseCall(op, a2a.V10, req.Params)
	if refusal != nil {
		t.Fatalf("refused: %v", refusal)
	}
	return req, call
}

func TestSetTenantAndSetListPage_ChangeOneThing(t *testing.T) {
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{"tenant":"b","pageSize":3}}`)
	req, call := mustParse(t, a2a.ListTasks, body)
	if got, want := string(a2a.SetTenant(body, req, call, "a")), `{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{"tenant":"a","pageSize":3}}`; got != want {
		t.Errorf("got %s", got)
	}
	if got, want := string(a2a.SetListPage(body, req, call, "p", 9)),
		`{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{"pageToken":"p","tenant":"b","pageSize":9}}`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestEnsureParams_AddsAnObject(t *testing.T) {
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"X"}`:                  `{"jsonrpc":"2.0","id":1,"method":"X","params":{}}`,
		`{"jsonrpc":"2.0","params":null,"id":1,"method":"X"}`:    `{"jsonrpc":"2.0","params":{},"id":1,"method":"X"}`,
		`{"jsonrpc":"2.0","params":{"a":1},"id":1,"method":"X"}`: `{"jsonrpc":"2.0","params":{"a":1},"id":1,"method":"X"}`,
	} {
		req, refusal := jsonrpc.ParseRequest([]byte(body))
		if refusal != nil {
			t.Fatal(refusal)
		}
		if got := string(a2a.EnsureParams([]byte(body), req)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
