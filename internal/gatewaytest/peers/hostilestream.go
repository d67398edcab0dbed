package peers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// HostileChunk is the text of the one artifact chunk in a stream of [Hostile].
const HostileChunk = "chunk"

// events are the four of a proper stream: a task, working, a chunk, completed.
func (c hostileCall) events(chunk string) []string {
	if c.version() == Version03 && !c.rest {
		return []string{
			`{"kind":"task","id":"h-task","contextId":"h-context","status":{"state":"submitted"}}`,
			`{"kind":"status-update","taskId":"h-task","contextId":"h-context","status":{"state":"working"},"final":false}`,
			`{"kind":"artifact-update","taskId":"h-task","contextId":"h-context",` +
				`"artifact":{"artifactId":"a1","parts":[{"kind":"text","text":"` + chunk + `"}]},"lastChunk":true}`,
			`{"kind":"status-update","taskId":"h-task","contextId":"h-context","status":{"state":"completed"},"final":true}`,
		}
	}
	return []string{
		`{"task":{"id":"h-task","contextId":"h-context","status":{"state":"TASK_STATE_SUBMITTED"}}}`,
		`{"statusUpdate":{"taskId":"h-task","contextId":"h-context","status":{"state":"TASK_STATE_WORKING"}}}`,
		`{"artifactUpdate":{"taskId":"h-task","contextId":"h-context",` +
			`"artifact":{"artifactId":"a1","parts":[{"text":"` + chunk + `"}]},"lastChunk":true}}`,
		`{"statusUpdate":{"taskId":"h-task","contextId":"h-context","status":{"state":"TASK_STATE_COMPLETED"}}}`,
	}
}

// stream answers with server-sent events.
func (h *Hostile) stream(w http.ResponseWriter, r *http.Request, b Behaviour, call hostileCall) {
	if b == SlowHeaders && !h.pause(r, h.cfg.Delay) {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := eventWriter{w: w, flush: http.NewResponseController(w).Flush}
	out.send("")
	if b == SlowFirst && !h.pause(r, h.cfg.Delay) {
		return
	}

	events := make([]string, 0, 4)
	for _, result := range call.events(HostileChunk) {
		events = append(events, call.reply(result))
	}
	switch b {
	case CutStream:
		out.send("data: " + events[0] + "\n\n")
		out.send("data: " + events[1] + "\n\n")
		panic(http.ErrAbortHandler) // breaks the connection without ending the body
	case CutEvent:
		out.send("data: " + events[0] + "\n\n")
		out.send("data: " + events[1][:len(events[1])/2])
		panic(http.ErrAbortHandler)
	case BigEvent:
		big := call.reply(call.events(strings.Repeat("x", BigEventBytes))[2])
		for _, event := range []string{events[0], big, events[3]} {
			out.send("data: " + event + "\n\n")
		}
	case CRLF:
		for _, event := range events {
			out.send("data: " + event + "\r\n\r\n")
		}
	case MultiLine:
		for _, event := range events {
			// A line may end wherever JSON allows a space.
			out.send("data: " + strings.ReplaceAll(event, `,"`, ",\ndata:  \"") + "\n\n")
		}
	case Pings:
		out.send(": ping\n\n:\n\nretry: 1000\n\n")
		for _, event := range events {
			out.send("event: message\nid: 7\nx-unknown: y\ndata:" + event + "\n\n: ping - 2026-01-01 00:00:00\n\n")
		}
	case ErrorFirst:
		out.send(call.errorEvent())
	case Split:
		for _, event := range events {
			out.pieces("data: " + event + "\n\n")
		}
	case Pretty:
		for _, event := range events {
			out.send("data: " + strings.ReplaceAll(indent(event), "\n", "\r\ndata: ") + "\r\n\r\n")
		}
	case Megabyte:
		big := call.reply(call.events(strings.Repeat("x", MegabyteBytes))[2])
		for _, event := range []string{events[0], big, events[3]} {
			out.send("data: " + event + "\n\n")
		}
	case ErrorEvent:
		out.send("data: " + events[0] + "\n\ndata: " + events[1] + "\n\n" + call.errorEvent())
	case Trailing:
		for _, event := range events {
			out.send("data: " + event + "\n\n")
		}
		out.send("data: " + events[2] + "\n\ndata: " + events[1][:len(events[1])/2] + "\n\ntrailing\n: comment\n\n")
	case StatusFirst:
		for _, event := range events[1:] {
			out.send("data: " + event + "\n\n")
		}
	case NoLastBlank:
		for _, event := range events[:3] {
			out.send("data: " + event + "\n\n")
		}
		out.send("data: " + events[3])
	case OddStream:
		out.send("data: " + call.oddReply() + "\n\n")
	default:
		for _, event := range events {
			out.send("data: " + event + "\n\n")
		}
	}
}

// errorEvent is an error inside a stream.
func (c hostileCall) errorEvent() string {
	if c.rest {
		return "event: error\ndata: " + c.failure() + "\n\n"
	}
	return "data: " + c.failure() + "\n\n"
}

// indent makes several lines of JSON.
func indent(event string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(event), "", "  "); err != nil {
		return event
	}
	return b.String()
}

// pieceBytes is the size of the pieces of Split: no line fits in.
const pieceBytes = 7

// eventWriter sends at once what it is given. A reader that has left is no error.
type eventWriter struct {
	w     io.Writer
	flush func() error
}

func (e eventWriter) send(text string) {
	_, _ = io.WriteString(e.w, text)
	_ = e.flush()
}

// pieces sends a text piece by piece.
func (e eventWriter) pieces(text string) {
	for len(text) > 0 {
		n := min(pieceBytes, len(text))
		e.send(text[:n])
		text = text[n:]
	}
}
