package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// callFlags are what can be said about a call.
type callFlags struct {
	stream, noWait, raw    bool
	contextID, taskID      string
	data, files            []string
	version                string
	get, cancel, subscribe string
}

const versionAuto = "auto"

func (p *program) callCommand() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call AGENT [TEXT]",
		Short: "Call an agent through the gateway",
		Long: `Send a message to an agent and print its answer. What the agent says goes to standard
output, how its task stands to standard error. TEXT "-" is read from standard input.

The version of the protocol is that of the agent's card, which is read first, unless
--version gives it. A task that ends as failed, rejected or canceled is an error.`,
		Example: `  signalbox call echo "hello"
  signalbox call planner "compare trains and planes" --stream
  signalbox call echo "slow work" --no-wait
  signalbox call echo --get TASK
  signalbox call echo --cancel TASK`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: p.completing(agentNames),
		RunE: run(func(cmd *cobra.Command, args []string) error {
			if f.raw && cmd.Flags().Changed(flagOutput) {
				return usagef("give --json or --%s, not both", flagOutput)
			}
			s, err := p.settings(demoKeyFile)
			if err != nil {
				return err
			}
			for _, w := range s.warnings {
				p.note("warning: %s", w)
			}
			transport := newTransport(s)
			defer transport.CloseIdleConnections()
			c := &caller{
				p: p, flags: f, agent: short(full(agentsCollection, args[0])), server: s.server,
				client: newClient(s, transport),
			}
			if err := c.call(cmd.Context(), args[1:]); err != nil {
				return &gatewayError{settings: s, err: doingf(err, "call %s", args[0])}
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.stream, "stream", false, "print what the agent says as it comes")
	flags.BoolVar(&f.noWait, "no-wait", false, "return as soon as the agent has a task, without waiting for its end")
	flags.BoolVar(&f.raw, "json", false, "print the replies as they came, each on a line; on a terminal with control characters escaped")
	flags.StringVar(&f.contextID, "context", "", "go on in this context")
	flags.StringVar(&f.taskID, "task", "", "go on with this task")
	flags.StringArrayVar(&f.data, "data", nil, "add a part with this JSON value; repeat it for more")
	flags.StringArrayVar(&f.files, "file", nil, "add a part with this file; repeat it for more")
	must(cmd.MarkFlagFilename("file"))
	flags.StringVar(&f.version, "version", versionAuto, "version of the protocol: 1.0, 0.3, or auto: as the agent's card says")
	must(cmd.RegisterFlagCompletionFunc("version", fixed(versionAuto, version10, version03)))
	flags.StringVar(&f.get, "get", "", "show this task instead of sending a message")
	flags.StringVar(&f.cancel, "cancel", "", "cancel this task instead")
	flags.StringVar(&f.subscribe, "subscribe", "", "follow this task instead")
	cmd.MarkFlagsMutuallyExclusive("get", "cancel", "subscribe")
	for _, other := range []string{"stream", "no-wait", "context", "task", "data", "file"} {
		for _, instead := range []string{"get", "cancel", "subscribe"} {
			cmd.MarkFlagsMutuallyExclusive(other, instead)
		}
	}
	cmd.MarkFlagsMutuallyExclusive("stream", "no-wait")
	return cmd
}

// caller makes one call.
type caller struct {
	p      *program
	flags  callFlags
	agent  string
	server string
	client *http.Client
}

func (c *caller) call(ctx context.Context, text []string) error {
	f := c.flags
	other := f.get != "" || f.cancel != "" || f.subscribe != ""
	switch {
	case other && len(text) > 0:
		return usagef("a message is sent without --get, --cancel and --subscribe")
	case !other && len(text) == 0 && len(f.data) == 0 && len(f.files) == 0:
		return usagef("what should be said? Write: signalbox call %s TEXT", c.agent)
	case !slices.Contains([]string{versionAuto, version10, version03}, f.version):
		return usagef("--version: %q is not 1.0, 0.3 or auto", f.version)
	}
	parts, err := c.parts(text)
	if err != nil {
		return err
	}
	version := f.version
	if version == versionAuto {
		if version, err = c.cardVersion(ctx); err != nil {
			return err
		}
	}
	dialect := dialectOf(version)
	req := c.request(dialect, parts)
	show := newReplyPrinter(c.p, c.agent, dialect, f)
	err = c.send(ctx, dialect, req, show.reply)
	if err := errors.Join(err, show.finish()); err != nil {
		if ctx.Err() != nil && show.taskID != "" {
			return &interruptedError{agent: c.agent, task: show.taskID}
		}
		return err
	}
	return show.verdict()
}

// interruptedError is a call that the user did not wait for.
type interruptedError struct{ agent, task string }

// Error says what was not waited for.
func (e *interruptedError) Error() string { return "interrupted before the end of task " + e.task }

// next says how to come back to the task.
func (e *interruptedError) next() []string {
	return []string{
		fmt.Sprintf("the task goes on; follow it with: signalbox call %s --subscribe %s", e.agent, printable(e.task)),
		fmt.Sprintf("or stop it with: signalbox call %s --cancel %s", e.agent, printable(e.task)),
	}
}

// request is what is asked for.
func (c *caller) request(d dialect, parts []part) request {
	f := c.flags
	switch {
	case f.get != "":
		return request{method: d.get, params: map[string]any{"id": f.get}, bareTask: true}
	case f.cancel != "":
		return request{method: d.cancel, params: map[string]any{"id": f.cancel}, bareTask: true}
	case f.subscribe != "":
		return request{method: d.subscribe, params: map[string]any{"id": f.subscribe}, stream: true}
	}
	message := map[string]any{
		"messageId": newID(),
		"role":      d.userRole,
		"parts":     d.parts(parts),
	}
	if d.kinds {
		message["kind"] = "message"
	}
	if f.contextID != "" {
		message["contextId"] = f.contextID
	}
	if f.taskID != "" {
		message["taskId"] = f.taskID
	}
	params := map[string]any{"message": message}
	if f.stream {
		return request{method: d.stream, params: params, stream: true}
	}
	params["configuration"] = d.wait(!f.noWait)
	return request{method: d.send, params: params}
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString() // that one panics where no randomness can be had
	}
	return id.String()
}

// parts reads what is sent.
func (c *caller) parts(text []string) ([]part, error) {
	var parts []part
	for _, t := range text {
		if t == "-" {
			read, err := io.ReadAll(c.p.in)
			if err != nil {
				return nil, fmt.Errorf("read standard input: %w", err)
			}
			t = strings.TrimSuffix(string(read), "\n")
		}
		parts = append(parts, part{Text: &t})
	}
	for _, d := range c.flags.data {
		if !json.Valid([]byte(d)) {
			return nil, usagef("--data: %s is no JSON", d)
		}
		parts = append(parts, part{Data: json.RawMessage(d)})
	}
	for _, path := range c.flags.files {
		content, err := c.p.readSource(path)
		if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		kind := mime.TypeByExtension(filepath.Ext(path))
		if kind == "" {
			kind = http.DetectContentType(content)
		}
		parts = append(parts, part{
			Raw: base64.StdEncoding.EncodeToString(content), Filename: filepath.Base(path), MediaType: kind,
		})
	}
	return parts, nil
}
