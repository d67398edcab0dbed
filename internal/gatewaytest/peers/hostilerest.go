package peers

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// readRESTCall reads a call of HTTP+JSON: "/{behaviour}/message:send" or, in 0.3,
// "/{behaviour}/v1/message:send". What it asks for is in the method as JSON-RPC 1.0
// names it.
func readRESTCall(r *http.Request) hostileCall {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxHostileBody))
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	call := hostileCall{Call: Call{Header: header, Path: r.URL.Path, Body: body}, rest: true, method: "SendMessage"}
	call.old = strings.Contains(r.URL.Path, "/v1/")
	switch {
	case strings.HasSuffix(r.URL.Path, "/message:stream"):
		call.method = "SendStreamingMessage"
	case strings.HasSuffix(r.URL.Path, ":subscribe"):
		call.method = "SubscribeToTask"
	case strings.Contains(r.URL.Path, "/tasks/"):
		call.method = "GetTask"
	}
	var envelope struct{ Message struct{ MessageID string } }
	// What cannot be read is answered like anything else.
	if json.Unmarshal(body, &envelope) == nil {
		call.messageID = envelope.Message.MessageID
	}
	return call
}

// restMessage is a reply with a direct message, or the task that was asked for.
func (c hostileCall) restMessage(text string) string {
	switch {
	case c.method == "GetTask":
		return `{"id":"h-task","contextId":"h-context","status":{"state":"TASK_STATE_WORKING"}}`
	case c.old:
		return `{"message":{"messageId":"h1","role":"ROLE_AGENT","content":[{"text":"` + text + `"}]}}`
	default:
		return `{"message":{"messageId":"h1","role":"ROLE_AGENT","parts":[{"text":"` + text + `"}]}}`
	}
}

// restFailure is the error of a task that is not there.
func (c hostileCall) restFailure() string {
	if c.old {
		return `{"code":-32001,"message":"no such task"}`
	}
	return `{"error":{"code":404,"status":"NOT_FOUND","message":"no such task","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}]}}`
}
