package peers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Row is something that a client does with an agent, and what must come of it
// whatever the two speak.
type Row struct {
	// Name says what it does.
	Name string
	// Want is what comes of it.
	Want Outcome

	run func(ctx context.Context, c *DialectClient, a *DialectAgent) (any, error)
}

// Outcome is what came of a [Row].
type Outcome struct {
	// Value is what the client got, ids replaced.
	Value any
	// Code and Reason are those of the error that ended the row, 0 and "" for none.
	Code   int
	Reason string
}

// Run does what the row says. The error tells what went wrong outside the protocol.
func (r Row) Run(ctx context.Context, c *DialectClient, a *DialectAgent) (Outcome, error) {
	value, err := r.run(ctx, c, a)
	if failed, ok := errors.AsType[*CallError](err); ok && failed.Code != 0 {
		return Outcome{Value: value, Code: failed.Code, Reason: failed.Reason}, nil
	}
	return Outcome{Value: value}, err
}

// The names of the rows that not every pair can do.
const (
	RowList         = "list"
	RowPush         = "push configs"
	RowNoHistory    = "get without history"
	RowExtendedCard = "extended card"
	RowErrorMiddle  = "error inside a stream"
)

// RowErrorPrefix begins the names of the rows of [Failures].
const RowErrorPrefix = "error "

// Rows returns all rows.
func Rows() []Row {
	rows := []Row{
		{"message reply", Outcome{Value: Answer{Kind: kindMessage, ID: someID, ContextID: someID, Parts: []Part{{Text: "direct: hello"}}}}, runSend(ScriptMessage)},
		{"task reply", Outcome{Value: doneAnswer}, runSend(ScriptTask)},
		{"failed task", Outcome{Value: Answer{Kind: kindTask, ID: someID, ContextID: someID, State: "failed", Note: "failed as asked"}}, runSend(ScriptFail)},
		{"rejected task", Outcome{Value: Answer{Kind: kindTask, ID: someID, ContextID: someID, State: "rejected", Note: "rejected as asked"}}, runSend(ScriptReject)},
		{"stream", Outcome{Value: []StreamEvent{
			{Kind: kindTask, State: "submitted"},
			{Kind: kindStatus, State: "working"},
			{Kind: kindArtifact, Text: "one "},
			{Kind: kindArtifact, Text: "two", Append: true, LastChunk: true},
			{Kind: kindStatus, State: "completed"},
		}}, runStream},
		{"subscribe after disconnect", Outcome{Value: []StreamEvent{
			{Kind: kindTask, State: "working"},
			{Kind: kindArtifact, Text: "late", LastChunk: true},
			{Kind: kindStatus, State: "completed"},
		}}, runSubscribe},
		{"subscribe to what ends meanwhile", Outcome{Value: "completed"}, runSubscribeLate},
		{"input required", Outcome{Value: [2]Answer{
			{Kind: kindTask, ID: someID, ContextID: someID, State: "input-required", Note: "what next?"}, doneAnswer,
		}}, runInput},
		{"get with history", Outcome{Value: [2][]string{
			{"user: hello", "agent: one", "agent: two", "agent: three"},
			{"agent: two", "agent: three"},
		}}, runHistory},
		{RowNoHistory, Outcome{Value: []string(nil)}, runNoHistory},
		{RowList, Outcome{Value: []Answer{doneAnswer}}, runList},
		{"cancel", Outcome{Value: [2]string{"canceled", "canceled"}}, runCancel},
		{"cancel what has ended", Outcome{Code: -32002, Reason: "TASK_NOT_CANCELABLE"}, runCancelDone},
		{"get what is not there", Outcome{Code: -32001, Reason: "TASK_NOT_FOUND"}, runGetMissing},
		{RowPush, Outcome{Value: pushWant}, runPush},
		{RowExtendedCard, Outcome{Value: []string{"echo", extendedSkill}}, runExtendedCard},
		{"text, data and files", Outcome{Value: [2][]Part{echoParts(), echoParts()}}, runParts},
		{"error before a stream", Outcome{Value: []StreamEvent(nil), Code: -32004, Reason: "UNSUPPORTED_OPERATION"}, runErrorFirst},
		{RowErrorMiddle, Outcome{Value: []StreamEvent{
			{Kind: kindTask, State: "submitted"}, {Kind: kindStatus, State: "working"},
		}, Code: -32004, Reason: "UNSUPPORTED_OPERATION"}, runErrorMiddle},
	}
	for _, f := range Failures() {
		rows = append(rows, Row{RowErrorPrefix + f.Reason, Outcome{Code: f.Code, Reason: f.Reason}, runError(f)})
	}
	return rows
}

// someID stands for an id that was there.
const someID = "some"

var (
	doneAnswer = Answer{Kind: kindTask, ID: someID, ContextID: someID, State: "completed", Parts: []Part{{Text: "done: hello"}}}
	pushWant   = pushRun{
		Created: PushConfig{TaskID: someID, ID: "p1", URL: pushURL, Token: "opaque", Scheme: "Bearer", Credentials: "s3cret"},
		Same:    true, Listed: []string{"p1"}, Left: []string{},
	}
)

// pushURL is a push address to which nobody sends anything.
const pushURL = "http://127.0.0.1:1/hook"

// newID makes a message id that asks for a script.
func newID(s Script) string { return string(s) + "-" + uuid.NewString() }

func hello(s Script) Message {
	return Message{ID: newID(s), Parts: []Part{{Text: "hello"}}}
}

// shape replaces the ids of an answer, which differ from run to run.
func shape(a Answer) Answer {
	if a.ID != "" {
		a.ID = someID
	}
	if a.ContextID != "" {
		a.ContextID = someID
	}
	a.History = nil
	return a
}

// shapes does the same with events, and reports ids that are missing or change.
func shapes(events []StreamEvent) ([]StreamEvent, error) {
	for i := range events {
		if events[i].ID == "" || events[i].ContextID == "" || events[i].ID != events[0].ID && events[i].Kind != kindMessage {
			return nil, fmt.Errorf("event %d has task %q and context %q", i, events[i].ID, events[i].ContextID)
		}
	}
	shaped := slices.Clone(events)
	for i := range shaped {
		shaped[i].ID, shaped[i].ContextID = "", ""
	}
	return shaped, nil
}

func runSend(s Script) func(context.Context, *DialectClient, *DialectAgent) (any, error) {
	return func(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
		a, err := c.Send(ctx, hello(s))
		return shape(a), err
	}
}

func runError(f Failure) func(context.Context, *DialectClient, *DialectAgent) (any, error) {
	return func(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
		a, err := c.Send(ctx, hello(ScriptError+Script(f.Reason)))
		if err == nil {
			return a, nil
		}
		return nil, err
	}
}

// collect is a reader of a stream that reads all.
func collect(into *[]StreamEvent) func(StreamEvent) bool {
	return func(e StreamEvent) bool {
		*into = append(*into, e)
		return true
	}
}

func runStream(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	var events []StreamEvent
	if err := c.Stream(ctx, hello(ScriptStream), collect(&events)); err != nil {
		return nil, err
	}
	return shapes(events)
}

func runErrorFirst(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	var events []StreamEvent
	err := c.Stream(ctx, hello(ScriptErrorFirst), collect(&events))
	return events, err
}

func runErrorMiddle(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	var events []StreamEvent
	failed := c.Stream(ctx, hello(ScriptErrorMiddle), collect(&events))
	shaped, err := shapes(events)
	if err != nil {
		return nil, err
	}
	return shaped, failed
}

func runSubscribe(ctx context.Context, c *DialectClient, a *DialectAgent) (any, error) {
	events, err := subscribeAfterLeaving(ctx, c, func(taskID string) error {
		if err := a.Subscribed(ctx, taskID); err != nil {
			return err
		}
		return release(a, taskID)
	})
	if err != nil {
		return nil, err
	}
	return shapes(events)
}

// runSubscribeLate lets the task end as soon as the client has something, whether or
// not the agent knows of the subscription yet. However that goes, the client learns
// how the task ended.
func runSubscribeLate(ctx context.Context, c *DialectClient, a *DialectAgent) (any, error) {
	events, err := subscribeAfterLeaving(ctx, c, func(taskID string) error { return release(a, taskID) })
	if err != nil {
		return nil, err
	}
	return events[len(events)-1].State, nil
}

func release(a *DialectAgent, taskID string) error {
	if !a.Release(taskID) {
		return fmt.Errorf("task %q waits for nothing", taskID)
	}
	return nil
}

// subscribeAfterLeaving begins a task that waits, leaves its stream, and joins it again.
// At the first event of that it does what comes next.
func subscribeAfterLeaving(ctx context.Context, c *DialectClient, next func(taskID string) error) ([]StreamEvent, error) {
	var taskID string
	err := c.Stream(ctx, hello(ScriptHold), func(e StreamEvent) bool {
		taskID = e.ID
		return e.State != "working"
	})
	if err != nil {
		return nil, err
	}
	var events []StreamEvent
	var failed error
	err = c.Subscribe(ctx, taskID, func(e StreamEvent) bool {
		if events = append(events, e); len(events) == 1 {
			failed = next(taskID)
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("task %q gave no event", taskID)
	}
	return events, nil
}

func runInput(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	asked, err := c.Send(ctx, hello(ScriptInput))
	if err != nil {
		return nil, err
	}
	next := hello(ScriptTask)
	next.TaskID, next.ContextID = asked.ID, asked.ContextID
	done, err := c.Send(ctx, next)
	if err != nil {
		return nil, err
	}
	if done.ID != asked.ID || done.ContextID != asked.ContextID {
		return nil, fmt.Errorf("task %q of context %q went on as %q of %q", asked.ID, asked.ContextID, done.ID, done.ContextID)
	}
	return [2]Answer{shape(asked), shape(done)}, nil
}

func runHistory(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	task, err := c.Send(ctx, hello(ScriptHistory))
	if err != nil {
		return nil, err
	}
	all, err := c.Get(ctx, task.ID, -1)
	if err != nil {
		return nil, err
	}
	last, err := c.Get(ctx, task.ID, 2)
	return [2][]string{all.History, last.History}, err
}

func runNoHistory(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	task, err := c.Send(ctx, hello(ScriptHistory))
	if err != nil {
		return nil, err
	}
	none, err := c.Get(ctx, task.ID, 0)
	return none.History, err
}

func runList(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	task, err := c.Send(ctx, hello(ScriptTask))
	if err != nil {
		return nil, err
	}
	tasks, err := c.List(ctx, task.ContextID)
	if err != nil {
		return nil, err
	}
	for i := range tasks {
		if tasks[i].ID != task.ID {
			return nil, fmt.Errorf("task %q is listed as %q", task.ID, tasks[i].ID)
		}
		tasks[i] = shape(tasks[i])
	}
	return tasks, nil
}

func runCancel(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	m := hello(ScriptHold)
	m.Immediately = true
	begun, err := c.Send(ctx, m)
	if err != nil {
		return nil, err
	}
	if begun.State != "submitted" && begun.State != "working" {
		return nil, fmt.Errorf("the task began as %q", begun.State)
	}
	canceled, err := c.Cancel(ctx, begun.ID)
	if err != nil {
		return nil, err
	}
	got, err := c.Get(ctx, begun.ID, -1)
	return [2]string{canceled.State, got.State}, err
}

func runCancelDone(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	task, err := c.Send(ctx, hello(ScriptTask))
	if err != nil {
		return nil, err
	}
	_, err = c.Cancel(ctx, task.ID)
	return nil, err
}

func runGetMissing(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	_, err := c.Get(ctx, "no-such-task", -1)
	return nil, err
}

// pushRun is what came of the calls of push configs.
type pushRun struct {
	Created PushConfig
	// Same tells that what was got is what was created.
	Same         bool
	Listed, Left []string
}

func runPush(ctx context.Context, c *DialectClient, _ *DialectAgent) (any, error) {
	task, err := c.Send(ctx, hello(ScriptInput))
	if err != nil {
		return nil, err
	}
	want := PushConfig{TaskID: task.ID, ID: "p1", URL: pushURL, Token: "opaque", Scheme: "Bearer", Credentials: "s3cret"}
	var run pushRun
	if run.Created, err = c.CreatePush(ctx, want); err != nil {
		return nil, err
	}
	got, err := c.GetPush(ctx, task.ID, "p1")
	if err != nil {
		return nil, err
	}
	run.Same = got == run.Created
	ids := func() ([]string, error) {
		list, err := c.ListPush(ctx, task.ID)
		names := []string{}
		for _, p := range list {
			names = append(names, p.ID)
		}
		return names, err
	}
	if run.Listed, err = ids(); err != nil {
		return nil, err
	}
	if err = c.DeletePush(ctx, task.ID, "p1"); err != nil {
		return nil, err
	}
	if run.Left, err = ids(); err != nil {
		return nil, err
	}
	if run.Created.TaskID == task.ID {
		run.Created.TaskID = someID
	}
	return run, nil
}

func runExtendedCard(ctx context.Context, c *DialectClient, a *DialectAgent) (any, error) {
	card, err := c.ExtendedCard(ctx)
	if err != nil {
		return nil, err
	}
	if card.Name != cardName(a.Dialect) {
		return nil, fmt.Errorf("the extended card is of %q", card.Name)
	}
	for _, u := range card.URLs {
		if authority(u) != authority(c.Address) {
			return nil, fmt.Errorf("the extended card leads to %q, the public one to %q", u, c.Address)
		}
	}
	return card.Skills, nil
}

// authority is the host and port of an address with or without a scheme.
func authority(address string) string {
	if parsed, err := url.Parse(address); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return address
}

// echoParts are parts of every kind.
func echoParts() []Part {
	return []Part{
		{Text: "a <b>&amp;</b> é \u2028 \U0001f600"},
		{Data: `{"empty":{},"list":[1,true,null,"x"],"n":3.5}`},
		{Bytes: []byte("\x00\x01binary\xff\xfe"), Filename: "blob.bin", MediaType: "application/octet-stream"},
		{Bytes: []byte("aGVsbG8="), Filename: "looks-encoded.txt", MediaType: "text/plain"},
		{URL: "https://files.example/a%20b.pdf?x=1&y=2", Filename: "a b.pdf", MediaType: "application/pdf"},
	}
}

func runParts(ctx context.Context, c *DialectClient, a *DialectAgent) (any, error) {
	m := Message{ID: newID(ScriptEcho), Parts: echoParts()}
	answer, err := c.Send(ctx, m)
	if err != nil {
		return nil, err
	}
	return [2][]Part{a.Received(m.ID), answer.Parts}, nil
}

// IsError tells whether a row is one of [Failures], and which.
func (r Row) IsError() (Failure, bool) {
	reason, ok := strings.CutPrefix(r.Name, RowErrorPrefix)
	if !ok {
		return Failure{}, false
	}
	i := slices.IndexFunc(Failures(), func(f Failure) bool { return f.Reason == reason })
	if i < 0 {
		return Failure{}, false
	}
	return Failures()[i], true
}
