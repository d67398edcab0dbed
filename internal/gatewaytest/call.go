package gatewaytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Reply is what a call over plain HTTP gave.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Error is the JSON-RPC error of a reply.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// ErrorInfo is the detail that refusals carry.
type ErrorInfo struct {
	Type     string            `json:"@type"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata"`
}

// Error returns the JSON-RPC error of a reply, the zero value when it has none.
func (r Reply) Error(t testing.TB) Error {
	t.Helper()
	var envelope struct {
		Error Error `json:"error"`
	}
	if err := json.Unmarshal(r.Body, &envelope); err != nil {
		t.Fatalf("HTTP %d with a body that is no JSON: %.300q", r.Status, r.Body)
	}
	return envelope.Error
}

// Info returns the ErrorInfo of an error, of either version's form.
func (e Error) Info(t testing.TB) ErrorInfo {
	t.Helper()
	var list []ErrorInfo
	if err := json.Unmarshal(e.Data, &list); err == nil && len(list) == 1 {
		return list[0]
	}
	var one ErrorInfo
	if err := json.Unmarshal(e.Data, &one); err != nil {
		t.Fatalf("error data is no ErrorInfo: %.300q", e.Data)
	}
	return one
}

// Do sends a request with a key, unless that is empty, and further headers in pairs.
func (g *Gateway) Do(method, path, key, body string, headers ...string) Reply {
	g.t.Helper()
	resp := g.Open(method, path, key, body, headers...)
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: read the reply: %v", method, path, err)
	}
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: read}
}

// Open is Do for replies that are read as they come; the caller closes the body.
func (g *Gateway) Open(method, path, key, body string, headers ...string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := Client.Do(req)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// Client calls gateways in tests; it follows no redirect.
var Client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Call posts a JSON-RPC call to an agent.
func (g *Gateway) Call(agent, key, method, params string, headers ...string) Reply {
	g.t.Helper()
	return g.Do(http.MethodPost, "/a2a/"+agent, key, Request(method, params), headers...)
}

// Request is a JSON-RPC request with id 7.
func Request(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, method, params)
}

// Message is the params of a send of A2A 1.0 with one text; further members of the
// message may follow, each with a comma in front.
func Message(id, text, more string) string {
	return fmt.Sprintf(`{"message":{"messageId":%q,"role":"ROLE_USER","parts":[{"text":%q}]%s}}`, id, text, more)
}

// Message03 is the same of A2A 0.3.
func Message03(id, text, more string) string {
	return fmt.Sprintf(`{"message":{"kind":"message","messageId":%q,"role":"user","parts":[{"kind":"text","text":%q}]%s}}`, id, text, more)
}
