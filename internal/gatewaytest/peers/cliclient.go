package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
)

// runCLIClient runs the scenario through a2a-go's command, which finds the
// card anew for every call.
func runCLIClient(ctx context.Context, base, key string) (Result, error) {
	tr, err := install(ctx, GoCLI)
	if err != nil {
		return Result{}, err
	}
	c := cliConversation{argv: []string{tr.cli(), "--output", "json"}, base: base}
	if key != "" {
		c.argv = append(c.argv, "--auth", "Bearer "+key)
	}
	var r Result
	card := new(a2a.AgentCard)
	if err := c.run(ctx, card, "discover", base); err != nil {
		return r, fmt.Errorf("peers: find card: %w", err)
	}
	r.Card = cardOf(card)
	if !underBase(r.Card.URL, base) {
		return r, fmt.Errorf("peers: %w: %s", errOutside, r.Card.URL)
	}
	return r, converse(ctx, c, &r)
}

// cliConversation talks through the command.
type cliConversation struct {
	argv []string
	base string
}

var _ conversation = cliConversation{}

// run decodes what one call of the command prints.
func (c cliConversation) run(ctx context.Context, into any, args ...string) error {
	out, err := output(ctx, slices.Concat(c.argv, args)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("read %q: %w", out, err)
	}
	return nil
}

func (c cliConversation) send(ctx context.Context, text string, wait bool) (Reply, error) {
	args := []string{"send", c.base, text}
	if !wait {
		args = append(args, "--immediate")
	}
	// Task and message are printed bare: only a task has a status.
	var raw json.RawMessage
	if err := c.run(ctx, &raw, args...); err != nil {
		return Reply{}, err
	}
	var probe struct{ Status *json.RawMessage }
	if err := json.Unmarshal(raw, &probe); err != nil {
		return Reply{}, err
	}
	var event a2a.Event = new(a2a.Message)
	if probe.Status != nil {
		event = new(a2a.Task)
	}
	if err := json.Unmarshal(raw, event); err != nil {
		return Reply{}, fmt.Errorf("read %q: %w", raw, err)
	}
	return replyOf(event)
}

func (c cliConversation) stream(ctx context.Context, text string) (Stream, error) {
	var s Stream
	out, err := output(ctx, slices.Concat(c.argv, []string{"send", c.base, text, "--stream"})...)
	if err != nil {
		return s, err
	}
	events := json.NewDecoder(bytes.NewReader(out))
	for {
		var event a2a.StreamResponse
		err := events.Decode(&event)
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("read %q: %w", out, err)
		}
		s.add(event.Event)
	}
}

func (c cliConversation) get(ctx context.Context, id string) (Reply, error) {
	task := new(a2a.Task)
	if err := c.run(ctx, task, "get", "task", c.base, id); err != nil {
		return Reply{}, err
	}
	return taskReply(task), nil
}

func (c cliConversation) cancel(ctx context.Context, id string) (Reply, error) {
	task := new(a2a.Task)
	if err := c.run(ctx, task, "cancel", c.base, id); err != nil {
		return Reply{}, err
	}
	return taskReply(task), nil
}

// missing reads the error's text: the command prints no code.
func (cliConversation) missing(err error) (Missing, error) {
	failed, ok := errors.AsType[*exitError](err)
	if !ok || !strings.Contains(strings.ToLower(failed.stderr), a2a.ErrTaskNotFound.Error()) {
		return Missing{}, err
	}
	return Missing{Code: codeTaskNotFound, Name: "exit", Message: failed.stderr}, nil
}
