package translate_test

import (
	"fmt"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestMessage_BetweenForms(t *testing.T) {
	run(t, translate.Event, []row{
		{
			name: "every member, 0.3 JSON-RPC", left: side{k, `{"kind":"message","messageId":"m-1","role":"user","contextId":"c-9","taskId":"t-4","parts":[{"kind":"text","text":"hi"}],"referenceTaskIds":["t-1"],"extensions":["urn:x"],"metadata":{"b":1,"a":2}}`},
			right: side{p1, `{"message":{"messageId":"m-1","role":"ROLE_USER","contextId":"c-9","taskId":"t-4","parts":[{"text":"hi"}],"referenceTaskIds":["t-1"],"extensions":["urn:x"],"metadata":{"b":1,"a":2}}}`},
		},
		{
			name: "every member, 0.3 ProtoJSON", left: side{p3, `{"message":{"messageId":"m-1","role":"ROLE_AGENT","contextId":"c-9","taskId":"t-4","content":[{"text":"hi"}],"referenceTaskIds":["t-1"],"extensions":["urn:x"],"metadata":{"b":1,"a":2}}}`},
			right: side{p1, `{"message":{"messageId":"m-1","role":"ROLE_AGENT","contextId":"c-9","taskId":"t-4","parts":[{"text":"hi"}],"referenceTaskIds":["t-1"],"extensions":["urn:x"],"metadata":{"b":1,"a":2}}}`},
		},
		{
			name: "within 0.3", left: side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[{"kind":"text","text":"hi"}]}`},
			right: side{p3, `{"message":{"messageId":"m","role":"ROLE_AGENT","content":[{"text":"hi"}]}}`},
		},
		{
			name: "content is called parts by later writers", oneWay: true, left: side{p3, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
		},
		{
			name: "msg of early writers", oneWay: true, left: side{p3, `{"msg":{"messageId":"m","role":"ROLE_AGENT","content":[]}}`},
			right: side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[]}`},
		},
		{
			name: "snake case", oneWay: true, left: side{p3, `{"message":{"message_id":"m","context_id":"c","task_id":"t","role":"ROLE_AGENT","content":[],"reference_task_ids":["r"]}}`},
			right: side{p1, `{"message":{"messageId":"m","contextId":"c","taskId":"t","role":"ROLE_AGENT","parts":[],"referenceTaskIds":["r"]}}`},
		},
		{
			name: "kind is the last member", oneWay: true, left: side{k, `{"messageId":"m","role":"agent","parts":[],"kind":"message"}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
		},
		{
			name: "kind is missing", oneWay: true, left: side{k, `{"messageId":"m","role":"agent","parts":[]}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
		},
		{
			name: "null is absent", oneWay: true, left: side{k, `{"kind":"message","messageId":"m","role":"agent","contextId":null,"parts":[],"metadata":null,"extensions":null}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
		},
		{
			name: "content is a stranger to 1.0", oneWay: true, left: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[],"content":[1]}}`},
			right: side{p3, `{"message":{"messageId":"m","role":"ROLE_AGENT","content":[]}}`},
		},
		{
			name: "kind is no word of 1.0", oneWay: true, left: side{p1, `{"message":{"kind":"message","messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
			right: side{p3, `{"message":{"messageId":"m","role":"ROLE_AGENT","content":[]}}`},
		},
		{
			name: "wrapped though 0.3 JSON-RPC does not", oneWay: true, left: side{k, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
		},
		{
			name: "bare though 1.0 wraps", oneWay: true, left: side{p1, `{"messageId":"m","role":"ROLE_AGENT","parts":[]}`},
			right: side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[]}`},
		},
	})
}

func TestRole_BetweenForms(t *testing.T) {
	for _, c := range []struct{ role, want10, want03 string }{
		{`"role":"user",`, "ROLE_USER", "user"},
		{`"role":"agent",`, "ROLE_AGENT", "agent"},
		{`"role":"ROLE_USER",`, "ROLE_USER", "user"},
		{`"role":"ROLE_AGENT",`, "ROLE_AGENT", "agent"},
		{`"role":1,`, "ROLE_USER", "user"},
		{`"role":2,`, "ROLE_AGENT", "agent"},
		{`"role":0,`, "ROLE_AGENT", "agent"},
		{`"role":"ROLE_UNSPECIFIED",`, "ROLE_AGENT", "agent"},
		{`"role":"system",`, "system", "system"},
	} {
		run(t, translate.Event, []row{
			{
				name: "to 1.0 " + c.role, oneWay: true, left: side{k, `{"kind":"message",` + c.role + `"messageId":"m","parts":[]}`},
				right: side{p1, `{"message":{"role":"` + c.want10 + `","messageId":"m","parts":[]}}`},
			},
			{
				name: "to 0.3 " + c.role, oneWay: true, left: side{p1, `{"message":{` + c.role + `"messageId":"m","parts":[]}}`},
				right: side{k, `{"kind":"message","role":"` + c.want03 + `","messageId":"m","parts":[]}`},
			},
			{
				name: "from 0.3 ProtoJSON " + c.role, oneWay: true, left: side{p3, `{"message":{` + c.role + `"messageId":"m","content":[]}}`},
				right: side{p1, `{"message":{"role":"` + c.want10 + `","messageId":"m","parts":[]}}`},
			},
		})
	}
	run(t, request(a2a.SendMessage), []row{{
		name: "who sends a request without a role is the user", oneWay: true,
		left:  side{p1, `{"message":{"messageId":"m","role":"ROLE_UNSPECIFIED","parts":[]},"configuration":{"returnImmediately":true}}`},
		right: side{k, `{"message":{"kind":"message","messageId":"m","role":"user","parts":[]},"configuration":{"blocking":false}}`},
	}})
	run(t, translate.Event, []row{{
		name: "who answers without a role is the agent", oneWay: true,
		left: side{p1, `{"message":{"messageId":"m"}}`}, right: side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[]}`},
	}})
}

func TestState_BetweenForms(t *testing.T) {
	for _, s := range []struct {
		number        int
		old, rest, v1 string
		others        []string
	}{
		{1, "submitted", "TASK_STATE_SUBMITTED", "TASK_STATE_SUBMITTED", nil},
		{2, "working", "TASK_STATE_WORKING", "TASK_STATE_WORKING", nil},
		{3, "completed", "TASK_STATE_COMPLETED", "TASK_STATE_COMPLETED", nil},
		{4, "failed", "TASK_STATE_FAILED", "TASK_STATE_FAILED", nil},
		{5, "canceled", "TASK_STATE_CANCELLED", "TASK_STATE_CANCELED", []string{`"cancelled"`}},
		{6, "input-required", "TASK_STATE_INPUT_REQUIRED", "TASK_STATE_INPUT_REQUIRED", nil},
		{7, "rejected", "TASK_STATE_REJECTED", "TASK_STATE_REJECTED", nil},
		{8, "auth-required", "TASK_STATE_AUTH_REQUIRED", "TASK_STATE_AUTH_REQUIRED", nil},
		{0, "unknown", "TASK_STATE_UNSPECIFIED", "TASK_STATE_UNSPECIFIED", []string{`"paused"`, `99`, `""`}},
	} {
		spellings := append(s.others, `"`+s.old+`"`, `"`+s.rest+`"`, `"`+s.v1+`"`, fmt.Sprint(s.number))
		for _, spelling := range spellings {
			for _, from := range []translate.Form{p1, k, p3} {
				for to, want := range map[translate.Form]string{p1: s.v1, k: s.old, p3: s.rest} {
					if from == to {
						continue
					}
					in, out := `{"id":"t","contextId":"c","status":{"state":`+spelling+`}}`, `{"id":"t","contextId":"c","status":{"state":"`+want+`"}}`
					if to == k {
						out = `{"kind":"task",` + out[1:]
					}
					run(t, result(a2a.GetTask), []row{{name: fmt.Sprintf("%s from %s to %s", spelling, from, to), left: side{from, in}, right: side{to, out}, oneWay: true}})
				}
			}
		}
	}
}

func TestTask_BetweenForms(t *testing.T) {
	const (
		oldTask = `{"kind":"task","id":"t-4","contextId":"c-9","status":{"state":"input-required","timestamp":"2026-02-03T04:05:06.789Z","message":{"kind":"message","messageId":"m-2","role":"agent","parts":[{"kind":"text","text":"which year?"}]}},"artifacts":[{"artifactId":"a-1","name":"draft","description":"d","parts":[{"kind":"text","text":"…"}],"metadata":{"x":1},"extensions":["urn:x"]}],"history":[{"kind":"message","messageId":"m-1","role":"user","parts":[]}],"metadata":{"y":2}}`
		newTask = `{"id":"t-4","contextId":"c-9","status":{"state":"TASK_STATE_INPUT_REQUIRED","timestamp":"2026-02-03T04:05:06.789Z","message":{"messageId":"m-2","role":"ROLE_AGENT","parts":[{"text":"which year?"}]}},"artifacts":[{"artifactId":"a-1","name":"draft","description":"d","parts":[{"text":"…"}],"metadata":{"x":1},"extensions":["urn:x"]}],"history":[{"messageId":"m-1","role":"ROLE_USER","parts":[]}],"metadata":{"y":2}}`
		resTask = `{"id":"t-4","contextId":"c-9","status":{"state":"TASK_STATE_INPUT_REQUIRED","timestamp":"2026-02-03T04:05:06.789Z","message":{"messageId":"m-2","role":"ROLE_AGENT","content":[{"text":"which year?"}]}},"artifacts":[{"artifactId":"a-1","name":"draft","description":"d","parts":[{"text":"…"}],"metadata":{"x":1},"extensions":["urn:x"]}],"history":[{"messageId":"m-1","role":"ROLE_USER","content":[]}],"metadata":{"y":2}}`
	)
	for _, op := range []a2a.Operation{a2a.GetTask, a2a.CancelTask} {
		run(t, result(op), []row{
			{name: op.String() + " 0.3 JSON-RPC", left: side{k, oldTask}, right: side{p1, newTask}},
			{name: op.String() + " 0.3 ProtoJSON", left: side{p3, resTask}, right: side{p1, newTask}},
			{name: op.String() + " within 0.3", left: side{k, oldTask}, right: side{p3, resTask}},
		})
	}
	run(t, result(a2a.SendMessage), []row{
		{name: "wrapped by a send", left: side{k, oldTask}, right: side{p1, `{"task":` + newTask + `}`}},
		{name: "wrapped by a send in 0.3 ProtoJSON", left: side{p3, `{"task":` + resTask + `}`}, right: side{p1, `{"task":` + newTask + `}`}},
		{name: "message", left: side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[]}`}, right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`}},
		{name: "without kind", oneWay: true, left: side{k, `{"id":"t","contextId":"c","status":{"state":"working"}}`}, right: side{p1, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`}},
	})
	run(t, result(a2a.GetTask), []row{
		{
			name: "history and artifacts are null", oneWay: true, left: side{k, `{"kind":"task","id":"t","contextId":"c","status":{"state":"working","message":null},"history":null,"artifacts":null}`},
			right: side{p1, `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}`},
		},
		{
			name: "0.3 JSON-RPC needs a context", left: side{p1, `{"id":"t","status":{"state":"TASK_STATE_WORKING"}}`},
			right: side{k, `{"kind":"task","id":"t","status":{"state":"working"},"contextId":""}`},
		},
		{
			name: "a state is needed", oneWay: true, left: side{p3, `{"id":"t","contextId":"c","status":{}}`},
			right: side{k, `{"kind":"task","id":"t","contextId":"c","status":{"state":"unknown"}}`},
		},
		{
			name: "update is the protobuf name of the message of a status", oneWay: true, left: side{p3, `{"id":"t","status":{"state":"TASK_STATE_WORKING","update":{"messageId":"m","role":"ROLE_AGENT","content":[]}}}`},
			right: side{p1, `{"id":"t","status":{"state":"TASK_STATE_WORKING","message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}}`},
		},
		{
			name: "an artifact without parts", oneWay: true, left: side{p1, `{"id":"t","contextId":"c","artifacts":[{"artifactId":"a"}]}`},
			right: side{k, `{"kind":"task","id":"t","contextId":"c","artifacts":[{"artifactId":"a","parts":[]}]}`},
		},
		{
			name: "wrapped though it should not be", oneWay: true, left: side{p1, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
			right: side{k, `{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}`},
		},
		{
			name: "white space", oneWay: true, left: side{k, "{ \"kind\" : \"task\" ,\n \"id\" : \"t\", \"contextId\":\"c\", \"metadata\" : { \"a\" : 1 } }"},
			right: side{p1, `{"id":"t","contextId":"c","metadata":{ "a" : 1 }}`},
		},
	})
}

func TestStreamItems_BetweenForms(t *testing.T) {
	run(t, translate.Event, []row{
		{
			name: "task", left: side{k, `{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}`},
			right: side{p1, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
		},
		{
			name: "status update", left: side{p1, `{"statusUpdate":{"taskId":"t-4","contextId":"c-9","status":{"state":"TASK_STATE_WORKING"},"metadata":{"a":1}}}`},
			right: side{k, `{"kind":"status-update","taskId":"t-4","contextId":"c-9","status":{"state":"working"},"metadata":{"a":1},"final":false}`},
		},
		{
			name: "last status update", left: side{p1, `{"statusUpdate":{"taskId":"t-4","contextId":"c-9","status":{"state":"TASK_STATE_CANCELED"}}}`},
			right: side{p3, `{"statusUpdate":{"taskId":"t-4","contextId":"c-9","status":{"state":"TASK_STATE_CANCELLED"},"final":true}}`},
		},
		{
			name: "final passes within 0.3", left: side{k, `{"kind":"status-update","taskId":"t","contextId":"c","final":true,"status":{"state":"input-required"}}`},
			right: side{p3, `{"statusUpdate":{"taskId":"t","contextId":"c","final":true,"status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}`},
		},
		{
			name: "ProtoJSON leaves final:false out", oneWay: true, left: side{p3, `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"}}}`},
			right: side{k, `{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"completed"},"final":false}`},
		},
		{
			name: "final of a 1.0 agent counts for nothing", oneWay: true, left: side{p1, `{"statusUpdate":{"taskId":"t","contextId":"c","final":true,"status":{"state":"TASK_STATE_WORKING"}}}`},
			right: side{k, `{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"working"},"final":false}`},
		},
		{
			name: "artifact update", left: side{k, `{"kind":"artifact-update","taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"kind":"text","text":"x"}]},"append":true,"lastChunk":false,"metadata":{"a":1}}`},
			right: side{p1, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"text":"x"}]},"append":true,"lastChunk":false,"metadata":{"a":1}}}`},
		},
		{
			name: "artifact update in 0.3 ProtoJSON", left: side{p3, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"text":"x"}]},"append":true}}`},
			right: side{p1, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"text":"x"}]},"append":true}}`},
		},
		{
			name: "status update without kind", oneWay: true, left: side{k, `{"taskId":"t","contextId":"c","status":{"state":"working"},"final":false}`},
			right: side{p1, `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
		},
		{
			name: "artifact update without kind", oneWay: true, left: side{k, `{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}`},
			right: side{p1, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}}`},
		},
		{
			name: "task without kind", oneWay: true, left: side{k, `{"id":"t","contextId":"c","status":{"state":"working"}}`},
			right: side{p1, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
		},
		{
			name: "snake case wrapper", oneWay: true, left: side{p1, `{"status_update":{"task_id":"t","context_id":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
			right: side{k, `{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"working"},"final":false}`},
		},
	})
}

func TestTimestamps_BecomeUTC(t *testing.T) {
	for in, want := range map[string]string{
		"2026-02-03T04:05:06.789Z":         "2026-02-03T04:05:06.789Z",
		"2026-02-03T04:05:06.789012":       "2026-02-03T04:05:06.789012Z",
		"2026-02-03T04:05:06":              "2026-02-03T04:05:06Z",
		"2026-02-03 04:05:06":              "2026-02-03T04:05:06Z",
		"2026-02-03T04:05:06.120000+00:00": "2026-02-03T04:05:06.120000Z",
		"2026-02-03T04:05:06.1-00:00":      "2026-02-03T04:05:06.1Z",
		"2026-02-03T01:05:06.5+02:30":      "2026-02-02T22:35:06.5Z",
		"2026-12-31T23:05:06-0200":         "2027-01-01T01:05:06Z",
		"2026-02-03T04:05:06+01":           "2026-02-03T03:05:06Z",
		"2026-02-03t04:05:06z":             "2026-02-03T04:05:06Z",
		"2026-02-03T04:05:06.1234567891Z":  "2026-02-03T04:05:06.123456789Z",
		"2026-02-03":                       "2026-02-03",
		"2026-02-03T04:05:06.Z":            "2026-02-03T04:05:06.Z",
		"2026-02-03T04:05:06 UTC":          "2026-02-03T04:05:06 UTC",
		"2026-13-03T04:05:06+01:00":        "2026-13-03T04:05:06+01:00",
		"0001-01-01T00:00:00+01:00":        "0001-01-01T00:00:00+01:00",
		"2026-02-03T04:05:06+1:00":         "2026-02-03T04:05:06+1:00",
		"yesterday":                        "yesterday",
	} {
		for _, from := range []translate.Form{k, p3} {
			run(t, result(a2a.GetTask), []row{{
				name: in, oneWay: true,
				left:  side{from, `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING","timestamp":"` + in + `"}}`},
				right: side{p1, `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING","timestamp":"` + want + `"}}`},
			}})
		}
		run(t, result(a2a.GetTask), []row{{
			name: in + " passes to 0.3", oneWay: true,
			left:  side{p1, `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING","timestamp":"` + in + `"}}`},
			right: side{k, `{"kind":"task","id":"t","contextId":"c","status":{"state":"working","timestamp":"` + in + `"}}`},
		}})
	}
}

func TestUnknownMembers_KeepTheirBytes(t *testing.T) {
	const u = `"x-Unknown_1":{"b":9007199254740993,"a":[1.0,1e2,false,null,"\u00e9\/"]}`
	run(t, translate.Event, []row{
		{
			name:  "task, 0.3 JSON-RPC",
			left:  side{k, `{"kind":"task","id":"t","contextId":"c",` + u + `,"status":{"state":"working",` + u + `,"message":{"kind":"message","messageId":"m","role":"agent","parts":[{"kind":"text","text":"x",` + u + `}],` + u + `}},"artifacts":[{"artifactId":"a",` + u + `,"parts":[{"kind":"data","data":{"n":9007199254740993,` + u + `},"metadata":{` + u + `}}]}]}`},
			right: side{p1, `{"task":{"id":"t","contextId":"c",` + u + `,"status":{"state":"TASK_STATE_WORKING",` + u + `,"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"x",` + u + `}],` + u + `}},"artifacts":[{"artifactId":"a",` + u + `,"parts":[{"data":{"n":9007199254740993,` + u + `},"metadata":{` + u + `}}]}]}}`},
		},
		{
			name:  "task, 0.3 ProtoJSON",
			left:  side{p3, `{` + u + `,"task":{"id":"t","contextId":"c",` + u + `,"history":[{"messageId":"m","role":"ROLE_AGENT","content":[{"data":{"data":{` + u + `}},` + u + `}],` + u + `}]}}`},
			right: side{p1, `{` + u + `,"task":{"id":"t","contextId":"c",` + u + `,"history":[{"messageId":"m","role":"ROLE_AGENT","parts":[{"data":{` + u + `},` + u + `}],` + u + `}]}}`},
		},
		{
			name: "beside the wrapper", oneWay: true,
			left:  side{p1, `{` + u + `,"task":{"id":"t","contextId":"c","z":1},"z":2,"kind":3,"y":4}`},
			right: side{k, `{"kind":"task","id":"t","contextId":"c","z":1,` + u + `,"y":4}`},
		},
		{
			name: "inside of a file", oneWay: true,
			left:  side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[{"z":1,"kind":"file","file":{"uri":"u",` + u + `,"z":2,"text":"t"}}]}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"url":"u","z":1,` + u + `}]}}`},
		},
		{
			name: "inside of ProtoJSON data", oneWay: true,
			left:  side{p3, `{"message":{"messageId":"m","role":"ROLE_AGENT","content":[{"data":{` + u + `,"data":{}}}]}}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"data":{},` + u + `}]}}`},
		},
	})
	run(t, request(a2a.SendMessage), []row{
		{
			name:  "request",
			left:  side{k, `{"message":{"kind":"message","messageId":"m","role":"user","parts":[]},"configuration":{"blocking":true,` + u + `,"pushNotificationConfig":{"url":"u","authentication":{"schemes":["Basic"],` + u + `},` + u + `}},"metadata":{` + u + `},` + u + `}`},
			right: side{p1, `{"message":{"messageId":"m","role":"ROLE_USER","parts":[]},"configuration":{"returnImmediately":false,` + u + `,"taskPushNotificationConfig":{"url":"u","authentication":{"scheme":"Basic",` + u + `},` + u + `}},"metadata":{` + u + `},` + u + `}`},
		},
	})
	run(t, request(a2a.GetTask), []row{
		{name: "get", left: side{k, `{"id":"t","historyLength":3,` + u + `}`}, right: side{p1, `{"id":"t","historyLength":3,` + u + `}`}},
		{name: "get by name", left: side{p3, `{"name":"tasks/t",` + u + `}`}, right: side{p1, `{"id":"t",` + u + `}`}},
	})
	run(t, result(a2a.GetPushConfig), []row{
		{name: "push config", left: side{p1, `{"taskId":"t","id":"p","url":"u",` + u + `}`}, right: side{k, `{"taskId":"t","pushNotificationConfig":{"id":"p","url":"u",` + u + `}}`}},
		{name: "around a push config", oneWay: true, left: side{k, `{"taskId":"t",` + u + `,"url":"dropped","pushNotificationConfig":{"id":"p","x-unknown1":1}}`}, right: side{p1, `{"taskId":"t","id":"p",` + u + `}`}},
	})
}
