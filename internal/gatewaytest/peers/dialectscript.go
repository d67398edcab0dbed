package peers

import (
	"context"
	"iter"
	"net/http"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"google.golang.org/grpc/metadata"
)

// Script is the prefix of a message id that makes a [DialectAgent] do something.
type Script string

// The scripts. Prefixes of conformance suites work as they do for [StartScripted]; what
// has no prefix is answered by its text, as agents of [StartAgent] do.
const (
	ScriptMessage     Script = "mx-message"      // a direct message, "direct: " and the text
	ScriptTask        Script = "mx-task"         // a task with one artifact, "done: " and the text, completed
	ScriptStream      Script = "mx-stream"       // submitted, working, an artifact in two chunks, completed
	ScriptHold        Script = "mx-hold"         // submitted, working; when released an artifact, completed
	ScriptInput       Script = "mx-input"        // a question, input required; the next message is answered as ScriptTask
	ScriptEcho        Script = "mx-echo"         // a task whose artifact has the parts of the message
	ScriptHistory     Script = "mx-history"      // a task with four messages, completed
	ScriptFail        Script = "mx-fail"         // a task that fails
	ScriptReject      Script = "mx-reject"       // a task that is rejected
	ScriptError       Script = "mx-error-"       // the error whose reason follows, of [Failures]
	ScriptErrorFirst  Script = "mx-stream-first" // a stream that is an error
	ScriptErrorMiddle Script = "mx-stream-mid"   // a stream that ends with an error after two events
)

// matrixExecutor follows a [Script].
type matrixExecutor struct {
	agent *DialectAgent
	// stop ends the tasks that wait when nobody released them.
	stop <-chan struct{}
}

var _ a2asrv.AgentExecutor = matrixExecutor{}

// Execute answers a message.
func (e matrixExecutor) Execute(ctx context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	e.agent.receive(ec.Message)
	id := ec.Message.ID
	if strings.HasPrefix(id, "tck-") || strings.HasPrefix(id, "test-") {
		return scriptedExecutor{hold: DefaultHold, stop: e.stop}.Execute(ctx, ec)
	}
	if !strings.HasPrefix(id, "mx-") {
		return textExecutor{stop: e.stop}.Execute(ctx, ec)
	}
	s, text := scene{ec}, partsText(ec.Message.Parts)
	is := func(script Script) bool { return strings.HasPrefix(id, string(script)) }
	return func(yield func(a2a.Event, error) bool) {
		say := func(events ...a2a.Event) bool {
			for _, event := range events {
				if !yield(event, nil) {
					return false
				}
			}
			return true
		}
		if is(ScriptMessage) {
			reply := a2a.NewMessage(a2a.MessageRoleAgent, a2a.NewTextPart("direct: "+text))
			reply.ContextID = ec.ContextID
			say(reply)
			return
		}
		var released <-chan struct{}
		if is(ScriptHold) {
			released = e.agent.hold(ec.TaskID)
		}
		if ec.StoredTask == nil {
			task := a2a.NewSubmittedTask(ec, ec.Message)
			if is(ScriptHistory) {
				for _, said := range []string{"one", "two", "three"} {
					task.History = append(task.History, a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart(said)))
				}
			}
			if !say(task) {
				return
			}
		}
		switch {
		case is(ScriptStream):
			say(s.work(chunks(ec, "one ", "two")...)...)
		case is(ScriptHold):
			if !say(s.status(a2a.TaskStateWorking)) {
				return
			}
			select {
			case <-released:
			case <-ctx.Done():
				return
			case <-e.stop:
				return
			}
			say(s.artifact(a2a.NewTextPart("late")), s.status(a2a.TaskStateCompleted))
		case is(ScriptInput):
			say(s.note(a2a.TaskStateInputRequired, "what next?"))
		case is(ScriptEcho):
			say(s.artifact(ec.Message.Parts...), s.status(a2a.TaskStateCompleted))
		case is(ScriptFail):
			say(s.note(a2a.TaskStateFailed, "failed as asked"))
		case is(ScriptReject):
			say(s.note(a2a.TaskStateRejected, "rejected as asked"))
		default:
			say(s.artifact(a2a.NewTextPart("done: "+text)), s.status(a2a.TaskStateCompleted))
		}
	}
}

// Cancel cancels a task.
func (matrixExecutor) Cancel(_ context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCanceled, nil), nil)
	}
}

// failingHandler answers with the errors that a message id asks for, passes on the
// rest, and tells the agent of subscriptions.
type failingHandler struct {
	a2asrv.RequestHandler

	agent *DialectAgent
}

// SubscribeToTask joins a task.
func (h failingHandler) SubscribeToTask(ctx context.Context, req *a2a.SubscribeToTaskRequest) iter.Seq2[a2a.Event, error] {
	events := h.RequestHandler.SubscribeToTask(ctx, req)
	return func(yield func(a2a.Event, error) bool) {
		for event, err := range events {
			if err == nil {
				h.agent.subscribe(req.ID)
			}
			if !yield(event, err) {
				return
			}
		}
	}
}

// SendMessage answers a message.
func (h failingHandler) SendMessage(ctx context.Context, req *a2a.SendMessageRequest) (a2a.SendMessageResult, error) {
	if err := askedError(req); err != nil {
		return nil, err
	}
	return h.RequestHandler.SendMessage(ctx, req)
}

// SendStreamingMessage answers a message with a stream.
func (h failingHandler) SendStreamingMessage(ctx context.Context, req *a2a.SendMessageRequest) iter.Seq2[a2a.Event, error] {
	if err := askedError(req); err != nil {
		return func(yield func(a2a.Event, error) bool) { yield(nil, err) }
	}
	if req.Message == nil || !strings.HasPrefix(req.Message.ID, string(ScriptErrorMiddle)) {
		return h.RequestHandler.SendStreamingMessage(ctx, req)
	}
	return func(yield func(a2a.Event, error) bool) {
		info := a2a.TaskInfo{TaskID: a2a.NewTaskID(), ContextID: a2a.NewContextID()}
		for _, event := range []a2a.Event{a2a.NewSubmittedTask(info, req.Message), a2a.NewStatusUpdateEvent(info, a2a.TaskStateWorking, nil)} {
			if !yield(event, nil) {
				return
			}
		}
		yield(nil, a2a.NewError(a2a.ErrUnsupportedOperation, "failed in the middle"))
	}
}

// askedError returns the error that a message asks for.
func askedError(req *a2a.SendMessageRequest) error {
	if req == nil || req.Message == nil {
		return nil
	}
	if strings.HasPrefix(req.Message.ID, string(ScriptErrorFirst)) {
		return a2a.NewError(a2a.ErrUnsupportedOperation, "failed at once")
	}
	asked, ok := strings.CutPrefix(req.Message.ID, string(ScriptError))
	if !ok {
		return nil
	}
	for _, f := range Failures() {
		if strings.HasPrefix(asked, f.Reason) {
			return a2a.NewError(f.err, "asked for "+f.Reason)
		}
	}
	return nil
}

// metadataOf returns the metadata of a call as headers.
func metadataOf(ctx context.Context) http.Header {
	md, _ := metadata.FromIncomingContext(ctx)
	h := http.Header{}
	for name, values := range md {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}
