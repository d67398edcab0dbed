package translate_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

const (
	oldMessage = `"message":{"kind":"message","messageId":"m","role":"user","parts":[]}`
	newMessage = `"message":{"messageId":"m","role":"ROLE_USER","parts":[]}`
	resMessage = `"message":{"messageId":"m","role":"ROLE_USER","content":[]}`
)

func TestSend_BetweenForms(t *testing.T) {
	for _, op := range []a2a.Operation{a2a.SendMessage, a2a.SendStreamingMessage} {
		run(t, request(op), []row{
			{
				name:  "all of it, 0.3 JSON-RPC",
				left:  side{k, `{` + oldMessage + `,"configuration":{"acceptedOutputModes":["text/plain"],"blocking":false,"historyLength":5,"pushNotificationConfig":{"id":"p","url":"https://h","token":"s","authentication":{"schemes":["Bearer"],"credentials":"c"}}},"metadata":{"b":9007199254740993,"a":1}}`},
				right: side{p1, `{` + newMessage + `,"configuration":{"acceptedOutputModes":["text/plain"],"returnImmediately":true,"historyLength":5,"taskPushNotificationConfig":{"id":"p","url":"https://h","token":"s","authentication":{"scheme":"Bearer","credentials":"c"}}},"metadata":{"b":9007199254740993,"a":1}}`},
			},
			{
				name:  "all of it, 0.3 ProtoJSON",
				left:  side{p3, `{` + resMessage + `,"configuration":{"acceptedOutputModes":["text/plain"],"blocking":true,"historyLength":5,"pushNotification":{"id":"p","url":"https://h","token":"s","authentication":{"schemes":["Bearer"],"credentials":"c"}}},"metadata":{"a":1}}`},
				right: side{p1, `{` + newMessage + `,"configuration":{"acceptedOutputModes":["text/plain"],"returnImmediately":false,"historyLength":5,"taskPushNotificationConfig":{"id":"p","url":"https://h","token":"s","authentication":{"scheme":"Bearer","credentials":"c"}}},"metadata":{"a":1}}`},
			},
			{
				name: "request is what early writers say", oneWay: true, left: side{p3, `{"request":{"messageId":"m","role":"ROLE_USER","content":[]},"configuration":{"blocking":true}}`},
				right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":false}}`},
			},

			{
				name: "request is a stranger to others", oneWay: true, left: side{p1, `{"request":{"taskId":"x"},` + newMessage + `,"configuration":{"returnImmediately":false}}`},
				right: side{p3, `{` + resMessage + `,"configuration":{"blocking":true}}`},
			},

			{name: "0.3 JSON-RPC waits by default", oneWay: true, left: side{k, `{` + oldMessage + `}`}, right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":false}}`}},
			{name: "with a configuration too", oneWay: true, left: side{k, `{` + oldMessage + `,"configuration":{"blocking":null}}`}, right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":false}}`}},
			{name: "0.3 ProtoJSON does not", oneWay: true, left: side{p3, `{` + resMessage + `}`}, right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":true}}`}},
			{name: "nor when it says false", left: side{p3, `{` + resMessage + `,"configuration":{"blocking":false}}`}, right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":true}}`}},
			{name: "to 0.3 it is always said", oneWay: true, left: side{p1, `{` + newMessage + `}`}, right: side{k, `{` + oldMessage + `,"configuration":{"blocking":true}}`}},
			{name: "to 0.3 ProtoJSON as well", oneWay: true, left: side{p1, `{` + newMessage + `,"configuration":{}}`}, right: side{p3, `{` + resMessage + `,"configuration":{"blocking":true}}`}},
			{name: "the default within 0.3", oneWay: true, left: side{k, `{` + oldMessage + `}`}, right: side{p3, `{` + resMessage + `,"configuration":{"blocking":true}}`}},
			{name: "the default within 0.3, back", oneWay: true, left: side{p3, `{` + resMessage + `}`}, right: side{k, `{` + oldMessage + `,"configuration":{"blocking":false}}`}},
			{name: "a word of the other version", oneWay: true, left: side{k, `{` + oldMessage + `,"configuration":{"returnImmediately":true}}`}, right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":false}}`}},

			{name: "no history in 0.3 JSON-RPC", left: side{k, `{` + oldMessage + `,"configuration":{"historyLength":0,"blocking":true}}`}, right: side{p1, `{` + newMessage + `,"configuration":{"historyLength":0,"returnImmediately":false}}`}},
			{name: "no history cannot be said in ProtoJSON", oneWay: true, left: side{p1, `{` + newMessage + `,"configuration":{"historyLength":0,"returnImmediately":false}}`}, right: side{p3, `{` + resMessage + `,"configuration":{"blocking":true}}`}},
			{name: "in ProtoJSON 0 is unset", oneWay: true, left: side{p3, `{` + resMessage + `,"configuration":{"historyLength":0,"blocking":true}}`}, right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":false}}`}},

			{
				name: "the tenant is dropped", oneWay: true, left: side{p1, `{"tenant":"x",` + newMessage + `,"configuration":{"returnImmediately":false,"taskPushNotificationConfig":{"tenant":"x","taskId":"","url":"u"}}}`},
				right: side{k, `{` + oldMessage + `,"configuration":{"blocking":true,"pushNotificationConfig":{"url":"u"}}}`},
			},
			{
				name: "a 0.3 caller names no tenant", oneWay: true, left: side{k, `{"tenant":"x",` + oldMessage + `,"configuration":{"blocking":true,"pushNotificationConfig":{"tenant":"x","taskId":"y","url":"u"}}}`},
				right: side{p1, `{` + newMessage + `,"configuration":{"returnImmediately":false,"taskPushNotificationConfig":{"url":"u"}}}`},
			},
		})
	}
}

func TestTaskCalls_BetweenForms(t *testing.T) {
	run(t, request(a2a.GetTask), []row{
		{name: "get", left: side{k, `{"id":"t","historyLength":3}`}, right: side{p1, `{"id":"t","historyLength":3}`}},
		{name: "get by name", left: side{p3, `{"name":"tasks/t","historyLength":3}`}, right: side{p1, `{"id":"t","historyLength":3}`}},
		{name: "get within 0.3", left: side{k, `{"id":"t","historyLength":3}`}, right: side{p3, `{"name":"tasks/t","historyLength":3}`}},
		{name: "history 0", left: side{k, `{"id":"t","historyLength":0}`}, right: side{p1, `{"id":"t","historyLength":0}`}},
		{name: "history 0 cannot be said in ProtoJSON", oneWay: true, left: side{k, `{"id":"t","historyLength":0}`}, right: side{p3, `{"name":"tasks/t"}`}},
		{name: "history 0 is unset in ProtoJSON", oneWay: true, left: side{p3, `{"name":"tasks/t","historyLength":0}`}, right: side{k, `{"id":"t"}`}},
		{name: "metadata is dropped", oneWay: true, left: side{k, `{"id":"t","metadata":{"a":1}}`}, right: side{p1, `{"id":"t"}`}},
		{name: "tenant is dropped", oneWay: true, left: side{p1, `{"tenant":"x","id":"t"}`}, right: side{p3, `{"name":"tasks/t"}`}},
		{name: "tenant of a 0.3 caller", oneWay: true, left: side{p3, `{"tenant":"x","id":"u","name":"tasks/t"}`}, right: side{p1, `{"id":"t"}`}},
		{name: "an id with a slash and escapes", left: side{p1, `{"id":"a/b\"ü"}`}, right: side{p3, `{"name":"tasks/a/b\"ü"}`}},
		{name: "an escaped name", oneWay: true, left: side{p3, `{"name":"tasks\/t\u0041"}`}, right: side{p1, `{"id":"tA"}`}},
	})
	run(t, request(a2a.CancelTask), []row{
		{name: "cancel", left: side{k, `{"id":"t","metadata":{"b":1,"a":2}}`}, right: side{p1, `{"id":"t","metadata":{"b":1,"a":2}}`}},
		{name: "cancel by name", left: side{p3, `{"name":"tasks/t"}`}, right: side{p1, `{"id":"t"}`}},
		{name: "cancel by name has no metadata", oneWay: true, left: side{p1, `{"id":"t","metadata":{"a":1}}`}, right: side{p3, `{"name":"tasks/t"}`}},
	})
	run(t, request(a2a.SubscribeToTask), []row{
		{name: "subscribe", left: side{k, `{"id":"t"}`}, right: side{p1, `{"id":"t"}`}},
		{name: "subscribe by name", left: side{p3, `{"name":"tasks/t"}`}, right: side{p1, `{"id":"t"}`}},
		{name: "metadata is dropped", oneWay: true, left: side{k, `{"id":"t","metadata":{"a":1}}`}, right: side{p1, `{"id":"t"}`}},
	})
}

func TestPushConfigs_BetweenForms(t *testing.T) {
	const (
		oldConfig = `{"taskId":"t-4","pushNotificationConfig":{"id":"p-1","url":"https://h","token":"o","authentication":{"schemes":["Bearer"],"credentials":"c"}}}`
		newConfig = `{"taskId":"t-4","id":"p-1","url":"https://h","token":"o","authentication":{"scheme":"Bearer","credentials":"c"}}`
		resConfig = `{"name":"tasks/t-4/pushNotificationConfigs/p-1","pushNotificationConfig":{"id":"p-1","url":"https://h","token":"o","authentication":{"schemes":["Bearer"],"credentials":"c"}}}`
	)
	run(t, request(a2a.CreatePushConfig), []row{
		{name: "create", left: side{k, oldConfig}, right: side{p1, newConfig}},
		{name: "create in ProtoJSON", left: side{p3, `{"parent":"tasks/t-4","configId":"p-1","config":` + resConfig + `}`}, right: side{p1, newConfig}},
		{name: "create within 0.3", left: side{k, oldConfig}, right: side{p3, `{"parent":"tasks/t-4","configId":"p-1","config":` + resConfig + `}`}},
		{name: "without an id", left: side{p1, `{"taskId":"t","url":"u"}`}, right: side{p3, `{"parent":"tasks/t","config":{"name":"tasks/t/pushNotificationConfigs/","pushNotificationConfig":{"url":"u"}}}`}},
		{name: "the id is where the caller asks for it", oneWay: true, left: side{p3, `{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"id":"","url":"u"}}}`}, right: side{p1, `{"taskId":"t","id":"p","url":"u"}`}},
		{name: "the id is in the name alone", oneWay: true, left: side{p3, `{"parent":"tasks/t","config":{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"url":"u"}}}`}, right: side{p1, `{"taskId":"t","id":"p","url":"u"}`}},
		{name: "None is no id", oneWay: true, left: side{p3, `{"parent":"tasks/t","config":{"name":"tasks/t/pushNotificationConfigs/None","pushNotificationConfig":{"url":"u"}}}`}, right: side{p1, `{"taskId":"t","url":"u"}`}},
		{name: "only the first scheme is carried", oneWay: true, left: side{k, `{"taskId":"t","pushNotificationConfig":{"url":"u","authentication":{"schemes":["Basic","Bearer"]}}}`}, right: side{p1, `{"taskId":"t","url":"u","authentication":{"scheme":"Basic"}}`}},
		{name: "all schemes pass within 0.3", oneWay: true, left: side{k, `{"taskId":"t","pushNotificationConfig":{"url":"u","authentication":{"schemes":["Basic","Bearer"]}}}`}, right: side{p3, `{"parent":"tasks/t","config":{"name":"tasks/t/pushNotificationConfigs/","pushNotificationConfig":{"url":"u","authentication":{"schemes":["Basic","Bearer"]}}}}`}},
		{name: "no scheme", left: side{p1, `{"taskId":"t","authentication":{"credentials":"c"}}`}, right: side{k, `{"taskId":"t","pushNotificationConfig":{"authentication":{"credentials":"c","schemes":[]}}}`}},
		{name: "tenant", oneWay: true, left: side{p1, `{"tenant":"x","taskId":"t","url":"u"}`}, right: side{k, `{"taskId":"t","pushNotificationConfig":{"url":"u"}}`}},
		{name: "tenant of a 0.3 caller", oneWay: true, left: side{k, `{"tenant":"x","taskId":"t","pushNotificationConfig":{"url":"u"}}`}, right: side{p1, `{"taskId":"t","url":"u"}`}},
	})
	run(t, request(a2a.GetPushConfig), []row{
		{name: "get", left: side{k, `{"id":"t","pushNotificationConfigId":"p"}`}, right: side{p1, `{"taskId":"t","id":"p"}`}},
		{name: "get by name", left: side{p3, `{"name":"tasks/t/pushNotificationConfigs/p"}`}, right: side{p1, `{"taskId":"t","id":"p"}`}},
		{name: "get without an id", oneWay: true, left: side{k, `{"id":"t","metadata":{"a":1}}`}, right: side{p1, `{"taskId":"t","id":"t"}`}},
		{name: "get with an empty id", oneWay: true, left: side{k, `{"id":"t","pushNotificationConfigId":""}`}, right: side{p3, `{"name":"tasks/t/pushNotificationConfigs/t"}`}},
	})
	run(t, request(a2a.ListPushConfigs), []row{
		{name: "list", left: side{k, `{"id":"t"}`}, right: side{p1, `{"taskId":"t"}`}},
		{name: "list in ProtoJSON", left: side{p3, `{"parent":"tasks/t","pageSize":5,"pageToken":"x"}`}, right: side{p1, `{"taskId":"t","pageSize":5,"pageToken":"x"}`}},
		{name: "paging is dropped", oneWay: true, left: side{p1, `{"taskId":"t","pageSize":5,"pageToken":"x"}`}, right: side{k, `{"id":"t"}`}},
	})
	run(t, request(a2a.DeletePushConfig), []row{
		{name: "delete", left: side{k, `{"id":"t","pushNotificationConfigId":"p"}`}, right: side{p1, `{"taskId":"t","id":"p"}`}},
		{name: "delete by name", left: side{p3, `{"name":"tasks/t/pushNotificationConfigs/p"}`}, right: side{p1, `{"taskId":"t","id":"p"}`}},
	})
	for _, op := range []a2a.Operation{a2a.CreatePushConfig, a2a.GetPushConfig} {
		run(t, result(op), []row{
			{name: "result", left: side{k, oldConfig}, right: side{p1, newConfig}},
			{name: "result in ProtoJSON", left: side{p3, resConfig}, right: side{p1, newConfig}},
			{name: "result within 0.3", left: side{k, oldConfig}, right: side{p3, resConfig}},
		})
	}
	run(t, result(a2a.ListPushConfigs), []row{
		{name: "list", left: side{k, `[` + oldConfig + `,` + oldConfig + `]`}, right: side{p1, `{"configs":[` + newConfig + `,` + newConfig + `],"nextPageToken":""}`}},
		{name: "empty list", left: side{k, `[]`}, right: side{p1, `{"configs":[],"nextPageToken":""}`}},
		{name: "list in ProtoJSON", left: side{p3, `{"configs":[` + resConfig + `],"nextPageToken":"n"}`}, right: side{p1, `{"configs":[` + newConfig + `],"nextPageToken":"n"}`}},
		{name: "bare list in ProtoJSON", oneWay: true, left: side{p3, `[` + resConfig + `]`}, right: side{p1, `{"configs":[` + newConfig + `],"nextPageToken":""}`}},
		{name: "paging is lost", oneWay: true, left: side{p1, `{"nextPageToken":"n","configs":[` + newConfig + `]}`}, right: side{k, `[` + oldConfig + `]`}},
		{name: "nothing at all", oneWay: true, left: side{p3, `{}`}, right: side{k, `[]`}},
		{name: "nothing at all", oneWay: true, left: side{k, `null`}, right: side{p1, `{"configs":[],"nextPageToken":""}`}},
	})
	run(t, result(a2a.DeletePushConfig), []row{
		{name: "deleted", left: side{k, `null`}, right: side{p1, `{}`}},
		{name: "deleted in ProtoJSON", left: side{p3, `{}`}, right: side{k, `null`}},
		{name: "deleted with no body", oneWay: true, left: side{k, ``}, right: side{p1, `{}`}},
	})
}

func TestCardRequest_BetweenForms(t *testing.T) {
	run(t, request(a2a.GetExtendedCard), []row{
		{name: "0.3 JSON-RPC has no params", left: side{k, ``}, right: side{p1, `{}`}},
		{name: "null params", oneWay: true, left: side{k, `null`}, right: side{p1, `{}`}},
		{name: "tenant", oneWay: true, left: side{p1, `{"tenant":"x"}`}, right: side{k, ``}},
		{name: "ProtoJSON", left: side{p3, `{}`}, right: side{p1, `{}`}},
	})
}

func TestHistoryOmitted_WhereZeroCannotBeSaid(t *testing.T) {
	for _, c := range []struct {
		name     string
		op       a2a.Operation
		from, to translate.Form
		in       string
		want     bool
	}{
		{"get", a2a.GetTask, p1, p3, `{"id":"t","historyLength":0}`, true},
		{"get to gRPC", a2a.GetTask, k, translate.Proto03, `{"historyLength":0,"id":"t"}`, true},
		{"other spellings of 0", a2a.GetTask, p1, p3, `{"id":"t","historyLength":"0"}`, true},
		{"send", a2a.SendMessage, p1, p3, `{"message":{},"configuration":{"historyLength":0}}`, true},
		{"stream", a2a.SendStreamingMessage, k, p3, `{"message":{},"configuration":{"historyLength":0}}`, true},
		{"some", a2a.GetTask, p1, p3, `{"id":"t","historyLength":1}`, false},
		{"unset", a2a.GetTask, p1, p3, `{"id":"t"}`, false},
		{"null", a2a.GetTask, p1, p3, `{"id":"t","historyLength":null}`, false},
		{"where it can be said", a2a.GetTask, p1, k, `{"id":"t","historyLength":0}`, false},
		{"where it means nothing", a2a.GetTask, p3, translate.Proto03, `{"name":"tasks/t","historyLength":0}`, false},
		{"another operation", a2a.CancelTask, p1, p3, `{"id":"t","historyLength":0}`, false},
		{"another place", a2a.SendMessage, p1, p3, `{"historyLength":0,"message":{"historyLength":0}}`, false},
		{"not JSON", a2a.GetTask, p1, p3, `{"historyLength":0`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := translate.HistoryOmitted(c.op, c.from, c.to, []byte(c.in)); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestStripHistory_LeavesTheRest(t *testing.T) {
	for in, want := range map[string]string{
		`{"id":"t","history":[{"messageId":"m"}],"x":9007199254740993}`: `{"id":"t","x":9007199254740993}`,
		`{"history":[]}`: `{}`,
		`{"task":{"history":[1],"id":"t"},"y":1}`:                `{"task":{"id":"t"},"y":1}`,
		`{"kind":"task","id":"t","history":null}`:                `{"kind":"task","id":"t"}`,
		`{"statusUpdate":{"taskId":"t","status":{"history":1}}}`: `{"statusUpdate":{"taskId":"t","status":{"history":1}}}`,
		`{"message":{"metadata":{"history":1}}}`:                 `{"message":{"metadata":{"history":1}}}`,
	} {
		got, err := translate.StripHistory(p1, a2a.SendMessage, []byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if got, err := translate.StripHistory(p1, a2a.GetTask, []byte(`{"id":`)); err == nil {
		t.Errorf("got %s of a broken task, want an error", got)
	}
}
