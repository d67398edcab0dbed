package dataplane_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

func TestCall_BadInputGetsAReasonAndOneRecord(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Limits.RequestBytes = 1 << 20 })
	key, other := g.Team("demo"), g.Team("other")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	g.Agent("secret", "demo", agent.URL, func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_TEAM })

	ctx := t.Context()
	expired, err := g.Identity.CreateKey(ctx, &identityv1.CreateKeyRequest{
		Parent: "teams/demo", Key: &identityv1.Key{ExpireTime: timestamppb.New(time.Now().Add(50 * time.Millisecond))},
	})
	if err != nil {
		t.Fatal(err)
	}
	disabled, err := g.Identity.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/demo"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Identity.DisableKey(ctx, &identityv1.DisableKeyRequest{Name: disabled.GetKey().GetName()}); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(expired.GetKey().GetExpireTime().AsTime()))

	good := gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", ""))
	envelope := func(s string) string { return strings.Replace(good, `"jsonrpc":"2.0",`, s, 1) }
	message := func(more string) string {
		return gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", more))
	}
	tests := []struct {
		name       string
		method     string // empty means POST
		path, key  string
		body       string
		headers    []string
		wantStatus int
		wantCode   int
		wantReason string
		wantText   string // part of the message
	}{
		{"no credential", "", "/a2a/echo", "", good, nil, 401, -31401, "CREDENTIALS_MISSING", "Authorization: Bearer"},
		{"unknown credential", "", "/a2a/echo", "sb_wrong", good, nil, 401, -31401, "CREDENTIALS_INVALID", "not known"},
		{"no bearer", "", "/a2a/echo", "", good, []string{"Authorization", "Basic eDp5"}, 401, -31401, "CREDENTIALS_INVALID", ""},
		{"expired key", "", "/a2a/echo", expired.GetSecret(), good, nil, 401, -31401, "KEY_EXPIRED", "expired"},
		{"disabled key", "", "/a2a/echo", disabled.GetSecret(), good, nil, 401, -31401, "KEY_DISABLED", "disabled"},
		{"unknown agent without a credential", "", "/a2a/none", "", good, nil, 401, -31401, "CREDENTIALS_MISSING", ""},
		{"unknown agent", "", "/a2a/none", key, good, nil, 404, -31404, "AGENT_NOT_FOUND", "GET /a2a"},
		{"invisible agent", "", "/a2a/secret", other, good, nil, 404, -31404, "AGENT_NOT_FOUND", "GET /a2a"},
		{"get", "GET", "/a2a/echo", key, "", nil, 405, -32600, "METHOD_NOT_ALLOWED", "POST"},
		{"post to the list", "POST", "/a2a", key, good, nil, 405, -32600, "METHOD_NOT_ALLOWED", "GET"},
		{"content type", "", "/a2a/echo", key, good, []string{"Content-Type", "text/plain"}, 415, -32005, "CONTENT_TYPE_NOT_SUPPORTED", "application/json"},
		{"other charset", "", "/a2a/echo", key, good, []string{"Content-Type", "application/json; charset=latin1"}, 415, -32005, "CONTENT_TYPE_NOT_SUPPORTED", ""},
		{"compressed", "", "/a2a/echo", key, good, []string{"Content-Encoding", "gzip"}, 415, -32005, "CONTENT_TYPE_NOT_SUPPORTED", "not compressed"},
		{"too large", "", "/a2a/echo", key, message(`,"metadata":{"x":"` + strings.Repeat("x", 1<<20) + `"}`), nil, 413, -32600, "REQUEST_TOO_LARGE", "1048576"},
		{"malformed", "", "/a2a/echo", key, `{"jsonrpc":"2.0",`, nil, 200, -32700, "PARSE_ERROR", ""},
		{"empty", "", "/a2a/echo", key, ``, nil, 200, -32700, "PARSE_ERROR", ""},
		{"batch", "", "/a2a/echo", key, `[` + good + `]`, nil, 200, -32600, "INVALID_REQUEST", "one by one"},
		{"trailing data", "", "/a2a/echo", key, good + good, nil, 200, -32700, "PARSE_ERROR", ""},
		{"byte order mark", "", "/a2a/echo", key, "\ufeff" + good, nil, 200, -32700, "PARSE_ERROR", ""},
		{"invalid UTF-8", "", "/a2a/echo", key, strings.Replace(good, "hi", "h\xff", 1), nil, 200, -32700, "PARSE_ERROR", ""},
		{"deep nesting", "", "/a2a/echo", key, message(`,"metadata":{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`), nil, 200, -32600, "INVALID_REQUEST", "200"},
		{"nesting bomb", "", "/a2a/echo", key, strings.Repeat("[", 500_000), nil, 200, -32600, "INVALID_REQUEST", ""},
		{"no jsonrpc", "", "/a2a/echo", key, envelope(``), nil, 200, -32600, "INVALID_REQUEST", "2.0"},
		{"notification", "", "/a2a/echo", key, strings.Replace(good, `"id":7,`, ``, 1), nil, 200, -32600, "INVALID_REQUEST", "id"},
		{"unknown method", "", "/a2a/echo", key, gatewaytest.Request("tasks/explode", "{}"), nil, 200, -32601, "METHOD_NOT_FOUND", "tasks/explode"},
		{"wrong params", "", "/a2a/echo", key, gatewaytest.Request("SendMessage", `{"message":"hi"}`), nil, 200, -32602, "INVALID_PARAMS", "message"},
		{"params of a wrong type", "", "/a2a/echo", key, message(`,"taskId":5`), nil, 200, -32602, "INVALID_PARAMS", "taskId"},
		{"two methods", "", "/a2a/echo", key, envelope(`"jsonrpc":"2.0","method":"GetTask",`), nil, 200, -32600, "INVALID_REQUEST", "method"},
		{"two methods by case", "", "/a2a/echo", key, envelope(`"jsonrpc":"2.0","Method":"GetTask",`), nil, 200, -32600, "INVALID_REQUEST", "ethod"},
		{"two contexts by escape", "", "/a2a/echo", key, message(`,"contextId":"a","context\u0049d":"b"`), nil, 200, -32602, "INVALID_PARAMS", "contextId"},
		{"two contexts by snake case", "", "/a2a/echo", key, message(`,"contextId":"a","context_id":"b"`), nil, 200, -32602, "INVALID_PARAMS", "two spellings"},
		{"a context in snake case alone", "", "/a2a/echo", key, message(`,"context_id":"b"`), nil, 200, -32602, "INVALID_PARAMS", "contextId"},
		{"a task by case folding", "", "/a2a/echo", key, message(`,"taſkId":"b"`), nil, 200, -32602, "INVALID_PARAMS", "taskId"},
		{"unknown version", "", "/a2a/echo", key, good, []string{"A2A-Version", "99.0"}, 200, -32009, "VERSION_NOT_SUPPORTED", "99.0"},
		{"contradicting version", "", "/a2a/echo", key, good, []string{"A2A-Version", "0.3"}, 200, -32009, "VERSION_NOT_SUPPORTED", "SendMessage"},
		{"other method on the path form", "", "/a2a/echo/message/send", key, gatewaytest.Request("GetTask", `{"id":"x"}`), nil, 200, -32600, "INVALID_REQUEST", "path"},
		{"unknown task", "", "/a2a/echo", key, gatewaytest.Request("GetTask", `{"id":"none"}`), nil, 200, -32001, "TASK_NOT_FOUND", "task not found"},
		{"send to an unknown task", "", "/a2a/echo", key, message(`,"taskId":"none"`), nil, 200, -32001, "TASK_NOT_FOUND", ""},
		{"unknown reference", "", "/a2a/echo", key, message(`,"referenceTaskIds":["none"]`), nil, 200, -32001, "TASK_NOT_FOUND", ""},
		{"push config while push is off", "", "/a2a/echo", key, gatewaytest.Request("CreateTaskPushNotificationConfig", `{"taskId":"t","url":"https://example.com/x"}`), nil, 200, -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED", "push"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodPost
			}
			mark := fmt.Sprintf("bad-input/%d", i)
			got := g.Do(method, tt.path, tt.key, tt.body, append([]string{"User-Agent", mark}, tt.headers...)...)
			e := got.Error(t)
			info := e.Info(t)
			if got.Status != tt.wantStatus || e.Code != tt.wantCode || info.Reason != tt.wantReason || !strings.Contains(e.Message, tt.wantText) {
				t.Fatalf("HTTP %d, code %d, reason %s, message %q; want HTTP %d, %d, %s, %q",
					got.Status, e.Code, info.Reason, e.Message, tt.wantStatus, tt.wantCode, tt.wantReason, tt.wantText)
			}
			if ct := got.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
			if challenge := got.Header.Get("Www-Authenticate"); (challenge != "") != (tt.wantStatus == 401) {
				t.Errorf("WWW-Authenticate is %q on HTTP %d", challenge, got.Status)
			}
			if text := string(got.Body); strings.Contains(text, agent.URL) || strings.Contains(text, "goroutine") {
				t.Errorf("the reply leaks: %s", text)
			}
		})
	}
	if calls := agent.Calls(); len(calls) != 0 {
		t.Errorf("the agent saw %d refused calls, the first of them %s", len(calls), calls[0].Body)
	}
	// One event for each, told apart by the user agent.
	byMark := map[string][]*auditv1.Event{}
	for _, e := range g.Events(`outcome=REFUSED`, len(tests)) {
		byMark[e.GetUserAgent()] = append(byMark[e.GetUserAgent()], e)
	}
	for i, tt := range tests {
		events := byMark[fmt.Sprintf("bad-input/%d", i)]
		if len(events) != 1 {
			t.Errorf("%s: %d events, want 1", tt.name, len(events))
			continue
		}
		e := events[0]
		if e.GetError().GetReason() != tt.wantReason || int(e.GetError().GetCode()) != tt.wantCode || int(e.GetHttpStatus()) != tt.wantStatus {
			t.Errorf("%s: the event says %v, HTTP %d", tt.name, e.GetError(), e.GetHttpStatus())
		}
		if e.GetCount() != 1 || e.GetTime() == nil || e.GetTraceId() == "" || e.GetSourceAddress() != "127.0.0.1" {
			t.Errorf("%s: the event is not complete: %v", tt.name, e)
		}
	}
}

func TestCall_ErrorDataHasTheFormOfTheCallersVersion(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("new", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	g.Agent("old", "demo", peers.StartHostile(t, peers.HostileConfig{Version: peers.Version03}).URL)
	if data := g.Call("new", key, "GetTask", `{"id":"none"}`).Error(t).Data; !strings.HasPrefix(string(data), "[{") {
		t.Errorf("1.0: data is %s, want an array", data)
	}
	if data := g.Call("old", key, "tasks/get", `{"id":"none"}`).Error(t).Data; !strings.HasPrefix(string(data), "{") {
		t.Errorf("0.3: data is %s, want an object", data)
	}
}

func TestCall_TheIDIsEchoedAsItCame(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	for _, id := range []string{`7`, `"7"`, `"\u0061"`, `9007199254740993`, `1.0`, `null`} {
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"GetTask","params":{"id":"none"}}`, id)
		got := g.Do(http.MethodPost, "/a2a/echo", key, body)
		if !strings.Contains(string(got.Body), `"id":`+id+`,`) && !strings.Contains(string(got.Body), `"id":`+id+`}`) {
			t.Errorf("id %s came back as %s", id, got.Body)
		}
	}
}

func TestCall_ARefusalDoesNotWaitForABodyThatNeverComes(t *testing.T) {
	g := gatewaytest.Start(t)
	for name, length := range map[string]string{"short": "Content-Length: 1000", "long": "Content-Length: 1000000", "chunked": "Transfer-Encoding: chunked"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "POST /a2a/echo HTTP/1.1\r\nHost: gw\r\nContent-Type: application/json\r\n%s\r\n\r\n", length); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
		reply, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 401 ") {
			t.Errorf("%s: %q, %v; want the refusal and the end of the connection", name, reply, err)
		}
	}
}

func TestCall_AStaleConfigurationIsNotServed(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	stale := gatewaytest.StartOver(t, g.DSN, t.TempDir(), func(c *config.Config) { c.Snapshot.MaxAge = time.Nanosecond })
	if e := stale.Call("echo", key, "SendMessage", gatewaytest.Message("m", "hi", "")).Error(t); e.Code != -31503 || e.Info(t).Reason != "CONFIGURATION_STALE" {
		t.Errorf("a call: %+v", e)
	}
	if got := stale.Do(http.MethodGet, "/a2a/echo/.well-known/agent-card.json", key, ""); got.Status != http.StatusServiceUnavailable {
		t.Errorf("a card: HTTP %d", got.Status)
	}
	if got := stale.Do(http.MethodGet, "/readyz", "", ""); got.Status != http.StatusServiceUnavailable {
		t.Errorf("readiness: HTTP %d", got.Status)
	}
}

func TestCall_ASlowBodyEndsWithAReason(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Limits.SlowBody = 200 * time.Millisecond })
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "POST /a2a/echo HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", key); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	reply, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 408 ") || !strings.Contains(string(reply), "REQUEST_TIMEOUT") {
		t.Errorf("a slow body got %q, %v", reply, err)
	}
	if e := g.Events(`outcome=REFUSED`, 1)[0]; e.GetError().GetReason() != "REQUEST_TIMEOUT" {
		t.Errorf("the event says %v", e.GetError())
	}
}
