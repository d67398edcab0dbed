package a2a_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestParseResult_TellsWhatItIs(t *testing.T) {
	tests := []struct {
		name   string
		op     a2a.Operation
		v      a2a.Version
		result string
		want   a2a.Outcome
	}{
		{
			"task 0.3", a2a.SendMessage, a2a.V03, `{"kind":"task","id":"t","contextId":"c","status":{"state":"input-required","message":{"taskId":"x"}},"history":[{"taskId":"y"}]}`,
			a2a.Outcome{Kind: a2a.Task, TaskID: "t", ContextID: "c", State: a2a.StateInputRequired},
		},
		{
			"message 0.3", a2a.SendMessage, a2a.V03, `{"kind":"message","messageId":"m","contextId":"c","taskId":"t","parts":[]}`,
			a2a.Outcome{Kind: a2a.Message, TaskID: "t", ContextID: "c"},
		},
		{
			"status 0.3", a2a.SendStreamingMessage, a2a.V03, `{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"completed"},"final":true}`,
			a2a.Outcome{Kind: a2a.StatusUpdate, TaskID: "t", ContextID: "c", State: a2a.StateCompleted, Final: true},
		},
		{
			"artifact 0.3", a2a.SubscribeToTask, a2a.V03, `{"kind":"artifact-update","taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}`,
			a2a.Outcome{Kind: a2a.ArtifactUpdate, TaskID: "t", ContextID: "c"},
		},
		{
			"task 1.0", a2a.SendMessage, a2a.V10, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_CANCELED"}}}`,
			a2a.Outcome{Kind: a2a.Task, TaskID: "t", ContextID: "c", State: a2a.StateCanceled},
		},
		{"message 1.0", a2a.SendMessage, a2a.V10, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`, a2a.Outcome{Kind: a2a.Message}},
		{
			"status 1.0", a2a.SendStreamingMessage, a2a.V10, `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_FAILED"}}}`,
			a2a.Outcome{Kind: a2a.StatusUpdate, TaskID: "t", ContextID: "c", State: a2a.StateFailed},
		},
		{
			"artifact 1.0", a2a.SendStreamingMessage, a2a.V10, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{}}}`,
			a2a.Outcome{Kind: a2a.ArtifactUpdate, TaskID: "t", ContextID: "c"},
		},
		{
			"bare task 1.0", a2a.GetTask, a2a.V10, `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}`,
			a2a.Outcome{Kind: a2a.Task, TaskID: "t", ContextID: "c", State: a2a.StateWorking},
		},
		{
			"cancelled task 0.3", a2a.CancelTask, a2a.V03, `{"id":"t","contextId":"c","kind":"task","status":{"state":"cancelled"}}`,
			a2a.Outcome{Kind: a2a.Task, TaskID: "t", ContextID: "c", State: a2a.StateCanceled},
		},

		{"no kind: task", a2a.SendMessage, a2a.V03, `{"id":"t","status":{"state":"working"}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t", State: a2a.StateWorking}},
		{"no kind: message", a2a.SendMessage, a2a.V03, `{"messageId":"m","parts":[]}`, a2a.Outcome{Kind: a2a.Message}},
		{"no kind: status", a2a.SendStreamingMessage, a2a.V03, `{"taskId":"t","status":{"state":"working"}}`, a2a.Outcome{Kind: a2a.StatusUpdate, TaskID: "t", State: a2a.StateWorking}},
		{"no kind: artifact", a2a.SendStreamingMessage, a2a.V03, `{"taskId":"t","artifact":{}}`, a2a.Outcome{Kind: a2a.ArtifactUpdate, TaskID: "t"}},
		{"wrapped in 0.3", a2a.SendMessage, a2a.V03, `{"task":{"id":"t","status":{"state":"TASK_STATE_CANCELLED"}}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t", State: a2a.StateCanceled}},
		{"wrapped get", a2a.GetTask, a2a.V10, `{"task":{"id":"t","status":{"state":3}}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t", State: a2a.StateCompleted}},
		{"bare in 1.0", a2a.SendMessage, a2a.V10, `{"kind":"task","id":"t","status":{"state":"working"}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t", State: a2a.StateWorking}},
		{
			"kind wins in 0.3", a2a.SendMessage, a2a.V03, `{"kind":"task","id":"t","status":{"state":"working"},"message":{"messageId":"m"}}`,
			a2a.Outcome{Kind: a2a.Task, TaskID: "t", State: a2a.StateWorking},
		},
		{"task without status", a2a.GetTask, a2a.V10, `{"id":"t"}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t"}},
		{
			"snake_case", a2a.SendStreamingMessage, a2a.V10, `{"status_update":{"task_id":"t","context_id":"c","status":{"state":"TASK_STATE_WORKING"}}}`,
			a2a.Outcome{Kind: a2a.StatusUpdate, TaskID: "t", ContextID: "c", State: a2a.StateWorking},
		},
		{"null ids and nulls beside", a2a.SendMessage, a2a.V10, `{"task":null,"message":{"messageId":"m","taskId":null,"contextId":null}}`, a2a.Outcome{Kind: a2a.Message}},
		{"unknown state", a2a.GetTask, a2a.V10, `{"id":"t","status":{"state":"TASK_STATE_PONDERING"}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t"}},
		{"state out of range", a2a.GetTask, a2a.V10, `{"id":"t","status":{"state":99}}`, a2a.Outcome{Kind: a2a.Task, TaskID: "t"}},
		{"empty update", a2a.SendStreamingMessage, a2a.V10, `{"statusUpdate":{}}`, a2a.Outcome{Kind: a2a.StatusUpdate}},
		{"half an emoji", a2a.SendStreamingMessage, a2a.V10, `{"artifactUpdate":{"taskId":"t","artifact":{"parts":[{"text":"\ud83d"}]}}}`, a2a.Outcome{Kind: a2a.ArtifactUpdate, TaskID: "t"}},
		{"push", a2a.DeletePushConfig, a2a.V10, `null`, a2a.Outcome{}},
		{"card", a2a.GetExtendedCard, a2a.V10, `{"id":1}`, a2a.Outcome{}},
		{"no result", a2a.DeletePushConfig, a2a.V10, ``, a2a.Outcome{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a2a.ParseResult(tt.op, tt.v, raw(tt.result))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseResult_RefusesWhatItCannotTell(t *testing.T) {
	for name, result := range map[string]string{
		"nothing":          ``,
		"null":             `null`,
		"text":             `"done"`,
		"list":             `[]`,
		"empty":            `{}`,
		"unrelated":        `{"answer":42}`,
		"two at once":      `{"task":{"id":"t"},"message":{"messageId":"m"}}`,
		"one thing twice":  `{"task":{"id":"t"},"task":{"id":"u"}}`,
		"id twice":         `{"task":{"id":"t","id":"u"}}`,
		"id in two cases":  `{"task":{"id":"t","Id":"u"}}`,
		"state twice":      `{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING","state":"TASK_STATE_COMPLETED"}}}`,
		"status twice":     `{"task":{"id":"t","status":{},"status":{}}}`,
		"id a number":      `{"task":{"id":1}}`,
		"id half an emoji": `{"task":{"id":"\ud83d"}}`,
		"cut off":          `{"task":{"id":"t"`,
		"id only":          `{"id":"t"}`,
	} {
		if got, err := a2a.ParseResult(a2a.SendMessage, a2a.V10, raw(result)); !errors.Is(err, a2a.ErrNotResult) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestParseTaskList_ReadsAPage(t *testing.T) {
	const page = `{"tasks":[{"id":"a","contextId":"c","status":{"state":"TASK_STATE_WORKING"},"n":9007199254740993}, {"id":"b","status":{"state":3}}],"nextPageToken":"n","x":1,"pageSize":2,"totalSize":9}`
	got, err := a2a.ParseTaskList([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	want := a2a.TaskList{NextPageToken: "n", Tasks: []a2a.ListedTask{
		{Raw: []byte(`{"id":"a","contextId":"c","status":{"state":"TASK_STATE_WORKING"},"n":9007199254740993}`), ID: "a", ContextID: "c", State: a2a.StateWorking},
		{Raw: []byte(`{"id":"b","status":{"state":3}}`), ID: "b", State: a2a.StateCompleted},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	rewritten := a2a.AppendTaskList([]byte("> "), []byte(page), [][]byte{got.Tasks[0].Raw}, "ours", 1, 4)
	const wantPage = `> {"tasks":[{"id":"a","contextId":"c","status":{"state":"TASK_STATE_WORKING"},"n":9007199254740993}],"nextPageToken":"ours","x":1,"pageSize":1,"totalSize":4}`
	if string(rewritten) != wantPage {
		t.Errorf("got %s", rewritten)
	}
	if got := string(a2a.AppendTaskList(nil, []byte(`{}`), nil, "", 50, 0)); got != `{"tasks":[],"nextPageToken":"","pageSize":50,"totalSize":0}` {
		t.Errorf("got %s", got)
	}
	for _, empty := range []string{`{}`, `{"tasks":null,"nextPageToken":null}`, `{"tasks":[]}`} {
		if got, err := a2a.ParseTaskList([]byte(empty)); err != nil || len(got.Tasks) != 0 || got.NextPageToken != "" {
			t.Errorf("%s: %+v, %v", empty, got, err)
		}
	}
	for _, bad := range []string{``, `null`, `[]`, `{"tasks":{}}`, `{"tasks":[1]}`, `{"tasks":[{"id":1}]}`, `{"tasks":[],"tasks":[]}`, `{"tasks":[{"id":"a"`, `{"nextPageToken":1}`} {
		if got, err := a2a.ParseTaskList([]byte(bad)); !errors.Is(err, a2a.ErrNotResult) {
			t.Errorf("%s: %+v, %v", bad, got, err)
		}
	}
}
