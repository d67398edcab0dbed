package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// replyPrinter prints what an agent answers.
type replyPrinter struct {
	p       *program
	agent   string
	dialect dialect
	flags   callFlags

	taskID, contextID string
	state             string // the last that was shown
	artifact          string // the one whose text was written last
	midLine           bool   // standard output stands in the middle of a line
	replies           int
	shown             map[string]bool // artifacts and messages that were printed
}

func newReplyPrinter(p *program, agent string, d dialect, f callFlags) *replyPrinter {
	return &replyPrinter{p: p, agent: agent, dialect: d, flags: f, shown: map[string]bool{}}
}

// reply prints one reply. A nil result is one with an error, which is shown elsewhere.
func (r *replyPrinter) reply(raw []byte, result json.RawMessage, bareTask bool) error {
	r.replies++
	machine := r.flags.raw || r.p.flags.output != outputTable
	if machine {
		if err := r.machine(raw); err != nil {
			return err
		}
	}
	if result == nil {
		return nil
	}
	a, err := r.dialect.read(result, bareTask)
	if err != nil {
		return fmt.Errorf("the reply is not of A2A %s: %w", r.dialect.version, err)
	}
	if machine {
		r.remember(a)
		return nil
	}
	switch {
	case a.Message != nil:
		r.contextID = a.Message.ContextID
		return r.message(a.Message)
	case a.Task != nil:
		return r.task(a.Task)
	case a.StatusUpdate != nil:
		r.taskID, r.contextID = a.StatusUpdate.TaskID, a.StatusUpdate.ContextID
		return r.status(a.StatusUpdate.Status)
	case a.ArtifactUpdate != nil:
		return r.chunk(a.ArtifactUpdate)
	}
	return fmt.Errorf("the reply is not of A2A %s: it is neither a task nor a message", r.dialect.version)
}

// machine prints a reply for programs.
func (r *replyPrinter) machine(raw []byte) error {
	if !r.flags.raw {
		if r.flags.stream || r.flags.subscribe != "" {
			return r.p.printRecord(raw)
		}
		return r.p.printJSON(raw)
	}
	raw = r.p.forTerminal(bytes.TrimRight(raw, "\n"))
	return r.p.write(append(slices.Clip(raw), '\n'))
}

// remember keeps what verdict needs.
func (r *replyPrinter) remember(a answer) {
	switch {
	case a.Task != nil:
		r.taskID, r.state = a.Task.ID, taskStateText(a.Task.Status.State)
	case a.StatusUpdate != nil:
		r.taskID, r.state = a.StatusUpdate.TaskID, taskStateText(a.StatusUpdate.Status.State)
	}
}

func (r *replyPrinter) task(t *task) error {
	r.taskID, r.contextID = t.ID, t.ContextID
	for _, a := range t.Artifacts {
		if r.shown[a.ArtifactID] {
			continue
		}
		r.shown[a.ArtifactID] = true
		if err := r.parts(a.ArtifactID, a.Parts); err != nil {
			return err
		}
	}
	return r.status(t.Status)
}

func (r *replyPrinter) chunk(u *artifactUpdate) error {
	r.taskID = u.TaskID
	id := u.Artifact.ArtifactID
	r.shown[id] = true
	if !u.Append && r.artifact == id {
		r.artifact = "" // it begins anew
	}
	return r.parts(id, u.Artifact.Parts)
}

func (r *replyPrinter) message(m *message) error {
	if m.MessageID != "" && r.shown[m.MessageID] {
		return nil
	}
	r.shown[m.MessageID] = true
	return r.parts("message "+m.MessageID, m.Parts)
}

func (r *replyPrinter) status(s status) error {
	if s.Message != nil {
		if err := r.message(s.Message); err != nil {
			return err
		}
	}
	state := taskStateText(s.State)
	if state == r.state {
		return nil
	}
	r.state = state
	if err := r.endLine(); err != nil {
		return err
	}
	r.p.note("task %s %s", printable(r.taskID), printable(state))
	return nil
}

// parts prints parts of one thing; those of another begin on a new line.
func (r *replyPrinter) parts(of string, parts []part) error {
	if r.artifact != of {
		if err := r.endLine(); err != nil {
			return err
		}
		r.artifact = of
	}
	for _, p := range parts {
		if p.Text != nil {
			if err := r.text(*p.Text); err != nil {
				return err
			}
			continue
		}
		if err := r.endLine(); err != nil {
			return err
		}
		line, err := p.describe()
		if err != nil {
			return err
		}
		if err := r.p.line(line); err != nil {
			return err
		}
	}
	return nil
}

func (r *replyPrinter) text(text string) error {
	if text == "" {
		return nil
	}
	r.midLine = !strings.HasSuffix(text, "\n")
	return r.p.write([]byte(safeText(text)))
}

// safeText keeps lines and tabs, and takes out what else could control a terminal.
func safeText(text string) string {
	return strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || (c >= ' ' && (c < 0x7f || c >= 0xa0)) {
			return c
		}
		return -1
	}, text)
}

// describe is a part that is no text, on a line or more.
func (p part) describe() (string, error) {
	raw, link, name, kind := p.Raw, p.URL, p.Filename, p.MediaType
	if p.File != nil {
		raw, link, name, kind = p.File.Bytes, p.File.URI, p.File.Name, p.File.MimeType
	}
	switch {
	case p.Data != nil:
		text, err := indentJSON(p.Data)
		return strings.TrimSuffix(string(text), "\n"), err
	case link != "":
		return oneLine(printable("[file " + name + " " + kind + " " + link + "]")), nil
	}
	return oneLine(printable(fmt.Sprintf("[file %s %s %d bytes]", name, kind, base64.StdEncoding.DecodedLen(len(raw))-strings.Count(raw, "=")))), nil
}

func (r *replyPrinter) endLine() error {
	if !r.midLine {
		return nil
	}
	r.midLine = false
	return r.p.line("")
}

// finish ends what was begun.
func (r *replyPrinter) finish() error { return r.endLine() }

// endedError is a task that did not do what it was for.
type endedError struct{ agent, task, state string }

// Error says how the task ended.
func (e *endedError) Error() string {
	return fmt.Sprintf("the agent %s the task %s", map[string]string{
		"failed": "failed at", "rejected": "rejected", "canceled": "canceled",
	}[e.state], e.task)
}

// verdict says what can be done next, and whether the call did what it was for.
func (r *replyPrinter) verdict() error {
	switch {
	case r.replies == 0:
		return fmt.Errorf("the agent ended the stream without a word")
	case r.state == "failed", r.state == "rejected", r.state == "canceled" && r.flags.cancel == "" && r.flags.get == "":
		if r.flags.get != "" { // the question was how it stands
			return nil
		}
		return &endedError{agent: r.agent, task: r.taskID, state: r.state}
	case r.flags.raw || r.p.flags.output != outputTable:
		return nil
	case r.state == "input-required":
		r.p.note("answer with: signalbox call %s --task %s TEXT", r.agent, printable(r.taskID))
	case r.state == "submitted", r.state == "working":
		r.p.note("see how it goes with: signalbox call %s --get %s", r.agent, printable(r.taskID))
	}
	return nil
}
