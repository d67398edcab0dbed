package translate_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func update10(state string) string {
	return `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_` + state + `"}}}`
}

func update03(state, final string) string {
	return `{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"` + state + `"},"final":` + final + `}`
}

func texts(out [][]byte) []string {
	var all []string
	for _, o := range out {
		all = append(all, string(o))
	}
	return all
}

func push(t *testing.T, s *translate.Stream, in string, want ...string) {
	t.Helper()
	out, err := s.Push([]byte(in))
	if err != nil {
		t.Fatalf("push %s: %v", in, err)
	}
	if diff := cmp.Diff(want, texts(out)); diff != "" {
		t.Errorf("push %s (-want +got):\n%s", in, diff)
	}
}

func TestStream_FinalAtOnceForTerminalStates(t *testing.T) {
	for now, old := range map[string]string{"COMPLETED": "completed", "FAILED": "failed", "CANCELED": "canceled", "REJECTED": "rejected"} {
		s := translate.NewStream(a2a.SendStreamingMessage, p1, k)
		push(t, s, update10("WORKING"), update03("working", "false"))
		push(t, s, update10(now), update03(old, "true"))
		if s.Hold() {
			t.Errorf("a %s update is held", old)
		}
	}
}

func TestStream_HoldsInterruptedStatesUntilTheNextItem(t *testing.T) {
	for now, old := range map[string]string{"INPUT_REQUIRED": "input-required", "AUTH_REQUIRED": "auth-required"} {
		s := translate.NewStream(a2a.SubscribeToTask, p1, k)
		push(t, s, update10(now))
		if !s.Hold() {
			t.Fatalf("a %s update is not held", old)
		}
		push(t, s, update10("WORKING"), update03(old, "false"), update03("working", "false"))
		push(t, s, update10(now))
		push(t, s, update10(now), update03(old, "false"))
		if got := texts(s.Release(true)); cmp.Diff([]string{update03(old, "true")}, got) != "" {
			t.Errorf("at the end: got %v", got)
		}
		if s.Hold() || s.Release(true) != nil {
			t.Error("an item is released twice")
		}
		push(t, s, update10(now))
		if got := texts(s.Release(false)); cmp.Diff([]string{update03(old, "false")}, got) != "" {
			t.Errorf("after the wait: got %v", got)
		}
	}
}

func TestStream_FinalInProtoJSON(t *testing.T) {
	s := translate.NewStream(a2a.SendStreamingMessage, p1, p3)
	push(t, s, update10("INPUT_REQUIRED"))
	want := []string{`{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"},"final":true}}`}
	if diff := cmp.Diff(want, texts(s.Release(true))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStream_MembersBesideTheWrapperDoNotMoveFinal(t *testing.T) {
	s := translate.NewStream(a2a.SendStreamingMessage, p1, k)
	push(t, s, `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}},"x":"final false"}`)
	want := []string{`{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"input-required"},"final":true,"x":"final false"}`}
	if diff := cmp.Diff(want, texts(s.Release(true))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStream_WhatIsHeldSurvivesABrokenItem(t *testing.T) {
	s := translate.NewStream(a2a.SendStreamingMessage, p1, k)
	push(t, s, update10("INPUT_REQUIRED"))
	out, err := s.Push([]byte(`{`))
	if !errors.Is(err, translate.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
	if diff := cmp.Diff([]string{update03("input-required", "false")}, texts(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStream_TasksAndMessagesToOldClients(t *testing.T) {
	s := translate.NewStream(a2a.SendStreamingMessage, p1, k)
	push(t, s, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}`, `{"kind":"task","id":"t","contextId":"c","status":{"state":"input-required"}}`)
	push(t, s, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}}`, `{"kind":"artifact-update","taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}`)
	push(t, s, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"}}}`, `{"kind":"task","id":"t","contextId":"c","status":{"state":"completed"}}`)
	if s.Hold() {
		t.Error("a task is held")
	}
}

func TestStream_TaskFirstForNewClients(t *testing.T) {
	for name, c := range map[string]struct {
		first, task string
		want        []string
	}{
		"fetched": {
			update03("working", "false"), `{"kind":"task","id":"t","contextId":"c","status":{"state":"submitted"},"history":[]}`,
			[]string{`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_SUBMITTED"},"history":[]}}`, update10("WORKING")},
		},
		"made of a status": {
			update03("working", "false"), "",
			[]string{`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`, update10("WORKING")},
		},
		"made of an artifact": {
			`{"kind":"artifact-update","taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}`, "",
			[]string{`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}}`},
		},
		"made because the fetched one is broken": {
			update03("failed", "true"), `{"kind":"message","messageId":"m"}`,
			[]string{`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_FAILED"}}}`, update10("FAILED")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := translate.NewStream(a2a.SendStreamingMessage, k, p1)
			push(t, s, c.first)
			if id, ok := s.NeedsTask(); !ok || id != "t" {
				t.Fatalf("NeedsTask() = %q, %t; want the task", id, ok)
			}
			if _, err := s.Push([]byte(update03("working", "false"))); err == nil {
				t.Error("an item is taken before the task that is due")
			}
			var task []byte
			if c.task != "" {
				task = []byte(c.task)
			}
			out, err := s.PushTask(task)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, texts(out)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, ok := s.NeedsTask(); ok {
				t.Error("the task is needed twice")
			}
			push(t, s, update03("working", "false"), update10("WORKING"))
		})
	}
}

func TestStream_NoTaskIsNeeded(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"task first":            {`{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}`, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
		"message first":         {`{"kind":"message","messageId":"m","role":"agent","parts":[]}`, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}`},
		"update without a task": {`{"kind":"status-update","contextId":"c","status":{"state":"working"}}`, `{"statusUpdate":{"contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := translate.NewStream(a2a.SendStreamingMessage, k, p1)
			push(t, s, c.in, c.want)
			if _, ok := s.NeedsTask(); ok {
				t.Error("a task is needed")
			}
			push(t, s, update03("input-required", "true"), update10("INPUT_REQUIRED"))
			push(t, s, update03("working", "false"), update10("WORKING")) // nothing ends at final:true
		})
	}
}

func TestStream_SnapshotBeforeASubscription(t *testing.T) {
	const (
		task    = `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"},"artifacts":[{"artifactId":"a","parts":[]}]}`
		oldTask = `{"kind":"task","id":"t","contextId":"c","status":{"state":"working"},"artifacts":[{"artifactId":"a","parts":[]}]}`
	)
	begin := func(t *testing.T) *translate.Stream {
		s := translate.NewStream(a2a.SubscribeToTask, k, p1)
		out, err := s.PushTask([]byte(oldTask))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{`{"task":` + task + `}`}, texts(out)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		return s
	}
	t.Run("the same task is not repeated", func(t *testing.T) {
		s := begin(t)
		push(t, s, oldTask)
		push(t, s, oldTask, `{"task":`+task+`}`) // what comes later is news
	})
	t.Run("a task that has moved on is news", func(t *testing.T) {
		push(t, begin(t), `{"kind":"task","id":"t","contextId":"c","status":{"state":"completed"}}`, `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"}}}`)
	})
	t.Run("an update follows", func(t *testing.T) {
		s := begin(t)
		push(t, s, update03("working", "false"), update10("WORKING"))
		push(t, s, oldTask, `{"task":`+task+`}`)
	})
	t.Run("without a snapshot the first update makes do", func(t *testing.T) {
		s := translate.NewStream(a2a.SubscribeToTask, k, p1)
		if out, err := s.PushTask(nil); out != nil || err != nil {
			t.Fatalf("got %v, %v; want nothing", out, err)
		}
		push(t, s, update03("working", "false"), `{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}`, update10("WORKING"))
	})
}

func TestStream_WithinAVersionItemsPass(t *testing.T) {
	s := translate.NewStream(a2a.SendStreamingMessage, k, p3)
	push(t, s, update03("input-required", "true"), `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"},"final":true}}`)
	if _, needs := s.NeedsTask(); needs || s.Hold() {
		t.Error("something is held within a version")
	}
	if _, err := s.Push([]byte(`{`)); !errors.Is(err, translate.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}
