package peers

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
)

// DefaultHold is how long the scripted agent works on what somebody wants to
// subscribe to again.
const DefaultHold = 4 * time.Second

// StartScripted starts an agent of kind [Go] or [Go03] that answers by the
// prefix of the message id, as conformance suites expect of the agent they
// test. A message id without such a prefix is answered as "tck-complete-task".
// hold is how long "test-resubscribe-message-id" works; 0 means [DefaultHold].
func StartScripted(t testing.TB, k Kind, hold time.Duration) *Agent {
	t.Helper()
	if k != Go && k != Go03 {
		t.Fatalf("peers: no scripted agent of kind %q", k)
	}
	if hold == 0 {
		hold = DefaultHold
	}
	return startGoAgent(t, k, "scripted", scriptedExecutor{hold: hold, stop: t.Context().Done()})
}

// scriptedExecutor follows the script that a message id names.
type scriptedExecutor struct {
	hold time.Duration
	stop <-chan struct{}
}

var _ a2asrv.AgentExecutor = scriptedExecutor{}

// script makes the events that follow the submitted task. A nil event stands
// for the time to hold.
type script func(s scene) []a2a.Event

// scripts are tried in this order: a longer prefix stands before its own beginning.
func scripts() []struct {
	prefix string
	play   script
} {
	return []struct {
		prefix string
		play   script
	}{
		{"tck-complete-task", func(s scene) []a2a.Event { return []a2a.Event{s.note(a2a.TaskStateCompleted, "Hello from TCK")} }},
		{"tck-artifact-text", func(s scene) []a2a.Event { return s.answer(a2a.NewTextPart("Generated text content")) }},
		{"tck-artifact-file-url", func(s scene) []a2a.Event {
			part := a2a.NewFileURLPart("https://example.com/output.txt", "text/plain")
			part.Filename = "output.txt"
			return s.answer(part)
		}},
		{"tck-artifact-file", func(s scene) []a2a.Event { return s.answer(filePart()) }},
		{"tck-artifact-data", func(s scene) []a2a.Event {
			return s.answer(a2a.NewDataPart(map[string]any{"key": "value", "count": 42}))
		}},
		{"tck-input-required", func(s scene) []a2a.Event { return []a2a.Event{s.note(a2a.TaskStateInputRequired, "what next?")} }},
		{"tck-reject-task", func(s scene) []a2a.Event { return []a2a.Event{s.note(a2a.TaskStateRejected, "rejected")} }},
		{"tck-stream-001", func(s scene) []a2a.Event { return s.work(s.artifact(a2a.NewTextPart("Stream hello from TCK"))) }},
		{"tck-stream-002", func(s scene) []a2a.Event { return []a2a.Event{s.status(a2a.TaskStateCompleted)} }},
		{"tck-stream-003", func(s scene) []a2a.Event { return s.work(s.artifact(a2a.NewTextPart("Stream task lifecycle"))) }},
		{"tck-stream-ordering-001", func(s scene) []a2a.Event { return s.work(s.artifact(a2a.NewTextPart("Ordered output"))) }},
		{"tck-stream-artifact-text", func(s scene) []a2a.Event { return s.work(s.artifact(a2a.NewTextPart("Streamed text content"))) }},
		{"tck-stream-artifact-file", func(s scene) []a2a.Event { return s.work(s.artifact(filePart())) }},
		{"tck-stream-artifact-chunked", func(s scene) []a2a.Event { return s.work(chunks(s.ec, "chunk-1 ", "chunk-2")...) }},
		{"test-resubscribe-message-id", func(s scene) []a2a.Event { return s.work(nil) }},
	}
}

// Execute plays the script of a message.
func (e scriptedExecutor) Execute(ctx context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		id := ec.Message.ID
		if strings.HasPrefix(id, "tck-message-response") {
			yield(a2a.NewMessage(a2a.MessageRoleAgent, a2a.NewTextPart("Direct message response")), nil)
			return
		}
		if ec.StoredTask == nil && !yield(a2a.NewSubmittedTask(ec, ec.Message), nil) {
			return
		}
		all := scripts()
		play := all[0].play
		for _, s := range all {
			if strings.HasPrefix(id, s.prefix) {
				play = s.play
				break
			}
		}
		for _, event := range play(scene{ec}) {
			if event == nil {
				if !e.wait(ctx) {
					return
				}
				continue
			}
			if !yield(event, nil) {
				return
			}
		}
	}
}

// Cancel cancels a task.
func (scriptedExecutor) Cancel(_ context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCanceled, nil), nil)
	}
}

func (e scriptedExecutor) wait(ctx context.Context) bool {
	timer := time.NewTimer(e.hold)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-e.stop:
		return false
	}
}

// scene makes the events of one task.
type scene struct{ ec *a2asrv.ExecutorContext }

func (s scene) status(state a2a.TaskState) a2a.Event {
	return a2a.NewStatusUpdateEvent(s.ec, state, nil)
}

func (s scene) note(state a2a.TaskState, text string) a2a.Event {
	return a2a.NewStatusUpdateEvent(s.ec, state, a2a.NewMessageForTask(a2a.MessageRoleAgent, s.ec, a2a.NewTextPart(text)))
}

func (s scene) artifact(parts ...*a2a.Part) a2a.Event {
	event := a2a.NewArtifactEvent(s.ec, parts...)
	event.LastChunk = true
	return event
}

// answer is an artifact and the end.
func (s scene) answer(part *a2a.Part) []a2a.Event {
	return []a2a.Event{s.artifact(part), s.status(a2a.TaskStateCompleted)}
}

// work is what comes between working and the end.
func (s scene) work(events ...a2a.Event) []a2a.Event {
	all := append([]a2a.Event{s.status(a2a.TaskStateWorking)}, events...)
	return append(all, s.status(a2a.TaskStateCompleted))
}

func filePart() *a2a.Part {
	part := a2a.NewRawPart([]byte("Generated file content"))
	part.Filename, part.MediaType = "output.txt", "text/plain"
	return part
}
