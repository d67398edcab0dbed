package cli

import (
	"encoding/json"
	"strings"
)

// Versions of A2A that call speaks.
const (
	version10 = "1.0"
	version03 = "0.3"
)

// dialect is how a version of A2A writes things.
type dialect struct {
	version                              string
	send, stream, get, cancel, subscribe string // methods
	userRole                             string
	// kinds tells that objects say what they are in a member "kind", instead of
	// standing in a member with that name.
	kinds bool
}

func dialectOf(version string) dialect {
	if version == version03 {
		return dialect{
			version: version03, send: "message/send", stream: "message/stream", get: "tasks/get", cancel: "tasks/cancel",
			subscribe: "tasks/resubscribe", userRole: "user", kinds: true,
		}
	}
	return dialect{
		version: version10, send: "SendMessage", stream: "SendStreamingMessage", get: "GetTask", cancel: "CancelTask",
		subscribe: "SubscribeToTask", userRole: "ROLE_USER",
	}
}

// wait is the configuration that says whether to wait for the end of the task. It is
// always said: what it means not to say it differs between agents.
func (d dialect) wait(wait bool) map[string]any {
	if d.kinds {
		return map[string]any{"blocking": wait}
	}
	return map[string]any{"returnImmediately": !wait}
}

// parts writes parts.
func (d dialect) parts(parts []part) []map[string]any {
	all := make([]map[string]any, len(parts))
	for i, p := range parts {
		m := map[string]any{}
		switch {
		case p.Text != nil:
			m["text"] = *p.Text
			d.mark(m, "text")
		case p.Data != nil:
			m["data"] = p.Data
			d.mark(m, "data")
		case d.kinds:
			m["file"] = map[string]any{"bytes": p.Raw, "name": p.Filename, "mimeType": p.MediaType}
			d.mark(m, "file")
		default:
			m["raw"], m["filename"], m["mediaType"] = p.Raw, p.Filename, p.MediaType
		}
		all[i] = m
	}
	return all
}

func (d dialect) mark(m map[string]any, kind string) {
	if d.kinds {
		m["kind"] = kind
	}
}

// The types below read both versions: they name the same things alike, but for what
// stands beside each other here.

type part struct {
	Text      *string         `json:"text"`
	Data      json.RawMessage `json:"data"`
	Raw       string          `json:"raw"`
	URL       string          `json:"url"`
	Filename  string          `json:"filename"`
	MediaType string          `json:"mediaType"`
	File      *file03         `json:"file"`
}

// file03 is a file of 0.3.
type file03 struct {
	Bytes    string `json:"bytes"`
	URI      string `json:"uri"`
	Name     string `json:"name"`
	MimeType string `json:"mimeType"`
}

type message struct {
	MessageID string `json:"messageId"`
	ContextID string `json:"contextId"`
	TaskID    string `json:"taskId"`
	Parts     []part `json:"parts"`
}

type status struct {
	State   string   `json:"state"`
	Message *message `json:"message"`
}

type artifact struct {
	ArtifactID string `json:"artifactId"`
	Name       string `json:"name"`
	Parts      []part `json:"parts"`
}

type task struct {
	ID        string     `json:"id"`
	ContextID string     `json:"contextId"`
	Status    status     `json:"status"`
	Artifacts []artifact `json:"artifacts"`
}

type statusUpdate struct {
	TaskID    string `json:"taskId"`
	ContextID string `json:"contextId"`
	Status    status `json:"status"`
}

type artifactUpdate struct {
	TaskID   string   `json:"taskId"`
	Artifact artifact `json:"artifact"`
	Append   bool     `json:"append"`
}

// answer is one of its members.
type answer struct {
	Task           *task           `json:"task"`
	Message        *message        `json:"message"`
	StatusUpdate   *statusUpdate   `json:"statusUpdate"`
	ArtifactUpdate *artifactUpdate `json:"artifactUpdate"`
}

// read reads the result of a reply.
func (d dialect) read(result json.RawMessage, bareTask bool) (answer, error) {
	var a answer
	var into any = &a
	switch {
	case bareTask:
		a.Task = new(task)
		into = a.Task
	case d.kinds:
		var k struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(result, &k); err != nil {
			return answer{}, err
		}
		switch k.Kind {
		case "task":
			a.Task = new(task)
			into = a.Task
		case "message":
			a.Message = new(message)
			into = a.Message
		case "status-update":
			a.StatusUpdate = new(statusUpdate)
			into = a.StatusUpdate
		case "artifact-update":
			a.ArtifactUpdate = new(artifactUpdate)
			into = a.ArtifactUpdate
		}
	}
	if err := json.Unmarshal(result, into); err != nil {
		return answer{}, err
	}
	return a, nil
}

// stateText is a state as both versions' users know it, such as "input-required".
func taskStateText(state string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(state, "TASK_STATE_")), "_", "-")
}
