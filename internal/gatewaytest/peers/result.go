package peers

import (
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Card is what a client learned from an agent card.
type Card struct {
	Name string `json:"name"`
	// URL is the address of the interface that the client calls.
	URL string `json:"url"`
	// Version is the protocol version as the card spells it: "1.0", "0.3" or "0.3.0".
	Version   string `json:"version"`
	Streaming bool   `json:"streaming"`
}

// Reply is a task or a message as a client understood it.
type Reply struct {
	// Kind is "task" or "message".
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// State is a task's state in the spelling of protocol 0.3, such as
	// "input-required", whatever the version; it is empty for a message.
	State string `json:"state"`
	// Text is that of the message, or of all artifacts of the task.
	Text string `json:"text"`
}

// Stream is what a client read from one stream.
type Stream struct {
	// Kinds are the kinds of the events in their order: "task", "message",
	// "status-update" or "artifact-update".
	Kinds []string `json:"kinds"`
	// States are those of the tasks and status updates among the events.
	States []string `json:"states"`
	// Text is that of all artifact chunks.
	Text string `json:"text"`
}

// Missing is the error that a client raised for a task that does not exist.
type Missing struct {
	// Code is the JSON-RPC error code that the client saw or has for the error.
	Code int `json:"code"`
	// Name is the client's own name for the error.
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Result is what one run of the scenario gave.
type Result struct {
	Card    Card    `json:"card"`
	Send    Reply   `json:"send"`
	Message Reply   `json:"message"`
	Stream  Stream  `json:"stream"`
	Get     Reply   `json:"get"`
	Cancel  Reply   `json:"cancel"`
	Missing Missing `json:"missing"`
	// File are the parts of the answer to "file", of clients of [SDKs] only.
	File []FilePart `json:"file"`
}

// FilePart is a part as a client of [SDKs] read it.
type FilePart struct {
	Text      string `json:"text"`
	Bytes     []byte `json:"bytes"`
	URL       string `json:"url"`
	Filename  string `json:"filename"`
	MediaType string `json:"mediaType"`
	Data      any    `json:"data"`
}

// fileParts are the parts of the answer to "file": what the agent got, and what the
// client sent.
func fileParts() []FilePart {
	blob := []byte("\x00\x01binary\xff\xfe")
	return []FilePart{
		{Text: fmt.Sprintf("got: %x", blob)},
		{Bytes: blob, Filename: "blob.bin", MediaType: "application/octet-stream"},
		{URL: "https://files.example/a.pdf", Filename: "a.pdf", MediaType: "application/pdf"},
		{Data: map[string]any{"list": []any{1.0, true, "x"}, "n": 3.5}},
	}
}

// codeTaskNotFound is the JSON-RPC code of a task that does not exist.
const codeTaskNotFound = -32001

// want is what the scenario gives against an agent of the kind, ids, address
// and error texts left out.
func want(agent Kind) Result {
	r := Result{
		Card:    Card{Name: "peer-" + string(agent), Version: "1.0", Streaming: true},
		Send:    Reply{Kind: kindTask, State: "completed", Text: "echo: hello"},
		Message: Reply{Kind: kindMessage, Text: "reply: message"},
		Stream: Stream{
			Kinds:  []string{kindTask, kindStatus, kindArtifact, kindArtifact, kindArtifact, kindStatus},
			States: []string{"submitted", "working", "completed"},
			Text:   "one two three",
		},
		Get:     Reply{Kind: kindTask, State: "working"},
		Cancel:  Reply{Kind: kindTask, State: "canceled"},
		Missing: Missing{Code: codeTaskNotFound},
	}
	switch agent {
	case JS03, Py03, Go03:
		r.Card.Version = Version03
	default:
	}
	return r
}

const (
	kindTask     = "task"
	kindMessage  = "message"
	kindStatus   = "status-update"
	kindArtifact = "artifact-update"
)

// Diff returns how a result differs from what an agent of the kind gives when
// it is called at base, and "" when it does not. Names of cards are compared
// too: a gateway leaves them alone.
func Diff(agent Kind, base string, got Result) string {
	expected := want(agent)
	if got.File != nil {
		expected.File = fileParts()
	}
	return diff(expected, base, got)
}

func diff(expected Result, base string, got Result) string {
	var b strings.Builder
	ignore := cmp.Options{
		cmpopts.IgnoreFields(Card{}, "URL"),
		cmpopts.IgnoreFields(Reply{}, "ID"),
		cmpopts.IgnoreFields(Missing{}, "Name", "Message"),
	}
	// a2a-go leaves out the patch, in the old card too; a gateway may put it there.
	if expected.Card.Version == Version03 {
		got.Card.Version = strings.TrimSuffix(got.Card.Version, ".0")
	}
	if d := cmp.Diff(expected, got, ignore); d != "" {
		fmt.Fprintf(&b, "result (-want +got):\n%s", d)
	}
	if !underBase(got.Card.URL, base) {
		fmt.Fprintf(&b, "card's interface %q is not below %q\n", got.Card.URL, base)
	}
	for name, id := range map[string]string{"send": got.Send.ID, "message": got.Message.ID, "get": got.Get.ID} {
		if id == "" {
			fmt.Fprintf(&b, "%s has no id\n", name)
		}
	}
	if got.Get.ID != got.Cancel.ID {
		fmt.Fprintf(&b, "got task %q and cancelled %q\n", got.Get.ID, got.Cancel.ID)
	}
	return b.String()
}

// underBase tells whether an address is base or lies below it.
func underBase(url, base string) bool {
	base = strings.TrimRight(base, "/")
	return url == base || strings.HasPrefix(url, base+"/")
}
