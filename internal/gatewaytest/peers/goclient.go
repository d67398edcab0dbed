package peers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
)

// pollPause is what passes between two looks at a task that should be working.
const pollPause = 20 * time.Millisecond

// maxPolls bounds those looks.
const maxPolls = 100

var (
	errOutside = errors.New("the card's interface is not under the base address")
	errFound   = errors.New("an unknown task was found")
)

// runGoClient runs the scenario through a2a-go's client in this process.
func runGoClient(ctx context.Context, base, key string) (Result, error) {
	// The SDK's own HTTP client gives up after some minutes and keeps its
	// connections, which a check for leaks would see.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport}

	var found []agentcard.ResolveOption
	if key != "" {
		bearer := "Bearer " + key
		found = append(found, agentcard.WithRequestHeader("Authorization", bearer))
		ctx = a2aclient.AttachServiceParams(ctx, a2aclient.ServiceParams{"Authorization": {bearer}})
	}
	card, err := agentcard.NewResolver(hc).Resolve(ctx, base, found...)
	if err != nil {
		return Result{}, fmt.Errorf("peers: find card: %w", err)
	}
	r := Result{Card: cardOf(card)}
	if !underBase(r.Card.URL, base) {
		return r, fmt.Errorf("peers: %w: %s", errOutside, r.Card.URL)
	}
	client, err := a2aclient.NewFromCard(ctx, card, a2aclient.WithJSONRPCTransport(hc))
	if err != nil {
		return r, fmt.Errorf("peers: make client: %w", err)
	}
	defer func() { _ = client.Destroy() }()
	return r, converse(ctx, goConversation{client}, &r)
}

// conversation is what the scenario needs of a client.
type conversation interface {
	send(ctx context.Context, text string, wait bool) (Reply, error)
	stream(ctx context.Context, text string) (Stream, error)
	get(ctx context.Context, id string) (Reply, error)
	cancel(ctx context.Context, id string) (Reply, error)
	// missing names the error of a task that does not exist, and returns any other.
	missing(err error) (Missing, error)
}

// converse runs the scenario after discovery.
func converse(ctx context.Context, c conversation, r *Result) error {
	var err error
	if r.Send, err = c.send(ctx, "hello", true); err != nil {
		return fmt.Errorf("peers: send: %w", err)
	}
	if r.Message, err = c.send(ctx, "message", true); err != nil {
		return fmt.Errorf("peers: send for a message: %w", err)
	}
	if r.Stream, err = c.stream(ctx, "stream"); err != nil {
		return fmt.Errorf("peers: stream: %w", err)
	}
	slow, err := c.send(ctx, "slow", false)
	if err != nil {
		return fmt.Errorf("peers: send without waiting: %w", err)
	}
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	for range maxPolls {
		if r.Get, err = c.get(ctx, slow.ID); err != nil {
			return fmt.Errorf("peers: get: %w", err)
		}
		if r.Get.State != "submitted" {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	if r.Cancel, err = c.cancel(ctx, slow.ID); err != nil {
		return fmt.Errorf("peers: cancel: %w", err)
	}
	_, err = c.get(ctx, "no-such-task")
	if err == nil {
		return fmt.Errorf("peers: %w", errFound)
	}
	if r.Missing, err = c.missing(err); err != nil {
		return fmt.Errorf("peers: get an unknown task: %w", err)
	}
	return nil
}

// goConversation talks through the SDK.
type goConversation struct{ client *a2aclient.Client }

var _ conversation = goConversation{}

func (c goConversation) send(ctx context.Context, text string, wait bool) (Reply, error) {
	req := &a2a.SendMessageRequest{
		Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(text)),
		Config:  &a2a.SendMessageConfig{ReturnImmediately: !wait},
	}
	result, err := c.client.SendMessage(ctx, req)
	if err != nil {
		return Reply{}, err
	}
	return replyOf(result)
}

func (c goConversation) stream(ctx context.Context, text string) (Stream, error) {
	var s Stream
	req := &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(text))}
	for event, err := range c.client.SendStreamingMessage(ctx, req) {
		if err != nil {
			return s, err
		}
		s.add(event)
	}
	return s, nil
}

func (c goConversation) get(ctx context.Context, id string) (Reply, error) {
	task, err := c.client.GetTask(ctx, &a2a.GetTaskRequest{ID: a2a.TaskID(id)})
	if err != nil {
		return Reply{}, err
	}
	return taskReply(task), nil
}

func (c goConversation) cancel(ctx context.Context, id string) (Reply, error) {
	task, err := c.client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: a2a.TaskID(id)})
	if err != nil {
		return Reply{}, err
	}
	return taskReply(task), nil
}

func (goConversation) missing(err error) (Missing, error) {
	if !errors.Is(err, a2a.ErrTaskNotFound) {
		return Missing{}, err
	}
	return Missing{Code: codeTaskNotFound, Name: a2a.ErrorReason(err), Message: err.Error()}, nil
}

func cardOf(card *a2a.AgentCard) Card {
	c := Card{Name: card.Name, Streaming: card.Capabilities.Streaming}
	if len(card.SupportedInterfaces) > 0 {
		c.URL = card.SupportedInterfaces[0].URL
		c.Version = string(card.SupportedInterfaces[0].ProtocolVersion)
	}
	return c
}

func replyOf(event a2a.Event) (Reply, error) {
	switch e := event.(type) {
	case *a2a.Task:
		return taskReply(e), nil
	case *a2a.Message:
		return Reply{Kind: kindMessage, ID: e.ID, Text: partsText(e.Parts)}, nil
	default:
		return Reply{}, fmt.Errorf("unexpected reply %T", event)
	}
}

func taskReply(task *a2a.Task) Reply {
	r := Reply{Kind: kindTask, ID: string(task.ID), State: stateName(task.Status.State)}
	for _, artifact := range task.Artifacts {
		r.Text += partsText(artifact.Parts)
	}
	return r
}

func (s *Stream) add(event a2a.Event) {
	switch e := event.(type) {
	case *a2a.Task:
		s.Kinds = append(s.Kinds, kindTask)
		s.States = append(s.States, stateName(e.Status.State))
	case *a2a.Message:
		s.Kinds = append(s.Kinds, kindMessage)
	case *a2a.TaskStatusUpdateEvent:
		s.Kinds = append(s.Kinds, kindStatus)
		s.States = append(s.States, stateName(e.Status.State))
	case *a2a.TaskArtifactUpdateEvent:
		s.Kinds = append(s.Kinds, kindArtifact)
		s.Text += partsText(e.Artifact.Parts)
	}
}

// stateName turns TASK_STATE_INPUT_REQUIRED into input-required.
func stateName(state a2a.TaskState) string {
	name := strings.TrimPrefix(state.String(), "TASK_STATE_")
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
