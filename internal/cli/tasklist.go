package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// readAdoption reads the tasks and contexts of a file: lines, or JSON when it begins as
// an object or a list does.
func (p *program) readAdoption(path string) ([]*taskv1.AdoptionEntry, error) {
	data, err := p.readSource(path)
	if err != nil {
		return nil, err
	}
	// Some editors put a mark of the encoding in front.
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if start := bytes.TrimSpace(data); len(start) == 0 || (start[0] != '{' && start[0] != '[') {
		return readTaskLines(data)
	}
	entries, more, err := readTaskJSON(data)
	if more {
		p.note("warning: the list in %s has further pages, which are not in it", path)
	}
	return entries, err
}

// readTaskLines reads lines "task ID [CONTEXT]" and "context ID". Empty ones and those
// that begin with # are passed over.
func readTaskLines(data []byte) ([]*taskv1.AdoptionEntry, error) {
	var entries []*taskv1.AdoptionEntry
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "task" && len(words) == 2:
			entries = append(entries, &taskv1.AdoptionEntry{TaskId: words[1]})
		case words[0] == "task" && len(words) == 3:
			entries = append(entries, &taskv1.AdoptionEntry{TaskId: words[1], ContextId: words[2]})
		case words[0] == "context" && len(words) == 2:
			entries = append(entries, &taskv1.AdoptionEntry{ContextId: words[1]})
		default:
			return nil, fmt.Errorf(`line %d is neither "task ID [CONTEXT]" nor "context ID"`, n)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("a line is no id: %w", err)
	}
	return entries, nil
}

// listedTask is a task as agents of every version write it, a list of them, or the
// JSON-RPC answer around that.
type listedTask struct {
	ID json.RawMessage `json:"id"`
	// ContextID and ContextName are two ways to write the same.
	ContextID   string `json:"contextId"`
	ContextName string `json:"context_id"`
	Status      struct {
		State json.RawMessage `json:"state"`
	} `json:"status"`
	Tasks         []json.RawMessage `json:"tasks"`
	NextPageToken string            `json:"nextPageToken"`
	Result        json.RawMessage   `json:"result"`
}

// readTaskJSON reads JSON values one after the other. more tells that a list among them
// is not the whole.
func readTaskJSON(data []byte) (entries []*taskv1.AdoptionEntry, more bool, err error) {
	values := json.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var raw json.RawMessage
		if err := values.Decode(&raw); errors.Is(err, io.EOF) {
			return entries, more, nil
		} else if err != nil {
			return nil, false, fmt.Errorf("JSON value %d: %w", n, err)
		}
		found, cut, err := tasksIn(raw)
		if err != nil {
			return nil, false, fmt.Errorf("JSON value %d: %w", n, err)
		}
		entries, more = append(entries, found...), more || cut
	}
}

// tasksIn returns the tasks in one JSON value.
func tasksIn(raw json.RawMessage) (entries []*taskv1.AdoptionEntry, more bool, err error) {
	inner := []json.RawMessage{}
	if raw = bytes.TrimSpace(raw); raw[0] == '[' {
		if err := json.Unmarshal(raw, &inner); err != nil {
			return nil, false, err
		}
	} else {
		var t listedTask
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, false, err
		}
		switch {
		case t.Result != nil:
			inner = append(inner, t.Result)
		case t.Tasks != nil:
			inner, more = t.Tasks, t.NextPageToken != ""
		default:
			e, err := t.entry()
			return []*taskv1.AdoptionEntry{e}, false, err
		}
	}
	for _, v := range inner {
		found, cut, err := tasksIn(v)
		if err != nil {
			return nil, false, err
		}
		entries, more = append(entries, found...), more || cut
	}
	return entries, more, nil
}

// entry makes an entry of one task.
func (t *listedTask) entry() (*taskv1.AdoptionEntry, error) {
	e := &taskv1.AdoptionEntry{ContextId: t.ContextID}
	if e.ContextId == "" {
		e.ContextId = t.ContextName
	}
	if err := json.Unmarshal(t.ID, &e.TaskId); err != nil || e.TaskId == "" {
		return nil, errors.New(`a task has no "id" that is a text`)
	}
	var state string
	if json.Unmarshal(t.Status.State, &state) == nil {
		e.Terminal = a2a.ParseState(state).Terminal()
	}
	return e, nil
}
