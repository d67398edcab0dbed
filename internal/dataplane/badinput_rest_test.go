package dataplane_test

import (
	"fmt"
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
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// badKeys are credentials that let nobody in.
type badKeys struct{ expired, disabled string }

func makeBadKeys(t *testing.T, g *gatewaytest.Gateway) badKeys {
	t.Helper()
	expired, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{
		Parent: "teams/demo", Key: &identityv1.Key{ExpireTime: timestamppb.New(time.Now().Add(50 * time.Millisecond))},
	})
	if err != nil {
		t.Fatal(err)
	}
	disabled, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/demo"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Identity.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: disabled.GetKey().GetName()}); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(expired.GetKey().GetExpireTime().AsTime()))
	return badKeys{expired.GetSecret(), disabled.GetSecret()}
}

// refused is what a refusal must say.
type refused struct {
	code   int
	reason string
	text   string // part of the message
	// http and http03 are statuses of HTTP+JSON, and grpc that of gRPC, where they are
	// not those of the code.
	http, http03, grpc int
	allow              string
}

// ownDomain tells whether a refusal is none of the protocol's.
func (r refused) domain() string {
	switch r.reason {
	case "TASK_NOT_FOUND", "PUSH_NOTIFICATION_NOT_SUPPORTED", "UNSUPPORTED_OPERATION", "VERSION_NOT_SUPPORTED", "CONTENT_TYPE_NOT_SUPPORTED":
		return "a2a-protocol.org"
	}
	return "signalbox.dev"
}

// check compares what a caller got.
func (r refused) check(t *testing.T, d a2a.Dialect, got reply) {
	t.Helper()
	f := readFailure(t, d, got)
	row, ok := a2a.LookupCode(int64(r.code))
	if !ok {
		t.Fatalf("the table has no code %d", r.code)
	}
	status, code, rpc := 200, r.code, row.GRPC
	if d.Version == a2a.V03 {
		rpc = row.GRPC03
		if !row.In03 {
			code = -32600
		}
	}
	if r.grpc != 0 {
		rpc = r.grpc
	}
	if d.Binding == a2a.REST {
		status = row.HTTP
		if d.Version == a2a.V03 {
			status = row.HTTP03
		}
		if r.http != 0 {
			status = r.http
		}
		if d.Version == a2a.V03 && r.http03 != 0 {
			status = r.http03
		}
	}
	if got.Status != status || f.Code != 0 && f.Code != code || f.GRPC != 0 && f.GRPC != rpc || !strings.Contains(f.Message, r.text) {
		t.Errorf("HTTP %d, %+v; want HTTP %d, code %d, gRPC %d, %q", got.Status, f, status, code, rpc, r.text)
	}
	// A status of gRPC in 0.3 that is not that of 1.0 goes without ErrorInfo.
	if f.hasInfo || d != grpc03 {
		if f.Reason != r.reason || f.Domain != r.domain() {
			t.Errorf("reason %s of %s, want %s of %s", f.Reason, f.Domain, r.reason, r.domain())
		}
	}
	if challenge := got.Header.Get("Www-Authenticate"); (challenge != "") != (r.code == -31401) {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
	if allow := got.Header.Get("Allow"); allow != r.allow {
		t.Errorf("Allow is %q, want %q", allow, r.allow)
	}
	if text := string(got.Body) + f.Message; strings.Contains(text, "127.0.0.1") || strings.Contains(text, "goroutine") {
		t.Errorf("the reply leaks: %s", text)
	}
}

// checkEvents holds the record against what was refused: one event for each, told
// apart by the user agent.
func checkEvents(t *testing.T, g *gatewaytest.Gateway, wants map[string]refused, dialect map[string]a2a.Dialect) {
	t.Helper()
	byMark := map[string][]*auditv1.Event{}
	for _, e := range g.Events(`outcome=REFUSED`, len(wants)) {
		byMark[e.GetUserAgent()] = append(byMark[e.GetUserAgent()], e)
	}
	for mark, want := range wants {
		events := byMark[mark]
		if len(events) != 1 {
			t.Errorf("%s: %d events, want 1", mark, len(events))
			continue
		}
		e := events[0]
		if e.GetError().GetReason() != want.reason || int(e.GetError().GetCode()) != want.code || e.GetDialect() != dialect[mark].String() {
			t.Errorf("%s: the event of %s says %v", mark, e.GetDialect(), e.GetError())
		}
		if e.GetCount() != 1 || e.GetTime() == nil || e.GetTraceId() == "" || e.GetSourceAddress() != "127.0.0.1" {
			t.Errorf("%s: the event is not complete: %v", mark, e)
		}
	}
}

func TestREST_BadInputGetsTheDialectsOwnErrorAndOneRecord(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Limits.RequestBytes = 1 << 20 })
	key, other := g.Team("demo"), g.Team("other")
	bad := makeBadKeys(t, g)
	agents := []*native{startNative(t, rest10), startNative(t, rest03)}
	for i, name := range []string{"new", "old"} {
		agents[i].register(g, name, "")
		agents[i].register(g, name+"-secret", "", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_TEAM })
	}
	wants, dialects := map[string]refused{}, map[string]a2a.Dialect{}
	for i, d := range []a2a.Dialect{rest10, rest03} {
		agent, v, parts := "new", "", "parts"
		if d == rest03 {
			agent, v, parts = "old", "/v1", "content"
		}
		message := func(more string) string {
			return `{"message":{"messageId":"m","role":"ROLE_USER","` + parts + `":[{"text":"hi"}]` + more + `}}`
		}
		good := message("")
		send := "/a2a/" + agent + v + "/message:send"
		task := "/a2a/" + agent + v + "/tasks/"
		const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
		jsonType := []string{"Content-Type", "application/json"}
		missing := refused{code: -31401, reason: "CREDENTIALS_MISSING", text: "Authorization: Bearer"}
		parse := refused{code: -32700, reason: "PARSE_ERROR"}
		params := func(text string) refused { return refused{code: -32602, reason: "INVALID_PARAMS", text: text} }
		unknown := refused{code: -32601, reason: "METHOD_NOT_FOUND"}
		method := func(allow string) refused {
			return refused{code: -32600, reason: "METHOD_NOT_ALLOWED", text: allow, http: 405, allow: allow}
		}
		media := refused{code: -32005, reason: "CONTENT_TYPE_NOT_SUPPORTED", http: 415, text: "application/json"}
		noTask := refused{code: -32001, reason: "TASK_NOT_FOUND", text: "task not found"}
		tests := []struct {
			name, method, path, key, body string
			headers                       []string
			want                          refused
		}{
			{"no credential", post, send, "", good, jsonType, missing},
			{"no credential to nobody", get, "/a2a/none" + v + "/tasks/t", "", "", nil, missing},
			{"unknown credential", post, send, "sb_wrong", good, jsonType, refused{code: -31401, reason: "CREDENTIALS_INVALID", text: "not known"}},
			{"expired key", post, send, bad.expired, good, jsonType, refused{code: -31401, reason: "KEY_EXPIRED", text: "expired"}},
			{"disabled key", post, send, bad.disabled, good, jsonType, refused{code: -31401, reason: "KEY_DISABLED", text: "disabled"}},
			{"unknown agent", post, "/a2a/none" + v + "/message:send", key, good, jsonType, refused{code: -31404, reason: "AGENT_NOT_FOUND", text: "GET /a2a"}},
			{"invisible agent", post, "/a2a/" + agent + "-secret" + v + "/message:send", other, good, jsonType, refused{code: -31404, reason: "AGENT_NOT_FOUND", text: "GET /a2a"}},
			{"unknown path", post, "/a2a/" + agent + v + "/message:explode", key, good, jsonType, unknown},
			{"unknown path below", get, task + "t/other", key, "", nil, unknown},
			{"unknown verb", post, task + "t:explode", key, "", nil, method("GET")},
			{"get a send", get, send, key, "", nil, method("POST")},
			{"delete a task", del, task + "t", key, "", nil, method("GET")},
			{"get a cancel", get, task + "t:cancel", key, "", nil, method("POST")},
			{"delete a subscription", del, task + "t:subscribe", key, "", nil, method("POST, GET")},
			{"put a push config", http.MethodPut, task + "t/pushNotificationConfigs", key, "{}", jsonType, method("POST, GET")},
			{"post a push config by id", post, task + "t/pushNotificationConfigs/c", key, "{}", jsonType, method("GET, DELETE")},
			{"content type", post, send, key, good, []string{"Content-Type", "text/plain"}, media},
			{"no content type", post, send, key, good, nil, media},
			{"other charset", post, send, key, good, []string{"Content-Type", "application/json; charset=latin1"}, media},
			{"compressed", post, send, key, good, append([]string{"Content-Encoding", "gzip"}, jsonType...), media},
			{"too large", post, send, key, message(`,"metadata":{"x":"` + strings.Repeat("x", 1<<20) + `"}`), jsonType, refused{code: -32600, reason: "REQUEST_TOO_LARGE", text: "1048576", http: 413, grpc: a2a.GRPCResourceExhausted}},
			{"malformed", post, send, key, `{"message":`, jsonType, parse},
			{"empty", post, send, key, ``, jsonType, parse},
			{"null", post, send, key, `null`, jsonType, refused{code: -32600, reason: "INVALID_REQUEST", text: "object"}},
			{"array", post, send, key, `[` + good + `]`, jsonType, refused{code: -32600, reason: "INVALID_REQUEST", text: "object"}},
			{"trailing data", post, send, key, good + good, jsonType, parse},
			{"byte order mark", post, send, key, "\ufeff" + good, jsonType, refused{code: -32700, reason: "PARSE_ERROR", text: "byte order mark"}},
			{"invalid UTF-8", post, send, key, strings.Replace(good, "hi", "h\xff", 1), jsonType, parse},
			{"deep nesting", post, send, key, message(`,"metadata":{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`), jsonType, refused{code: -32600, reason: "INVALID_REQUEST", text: "200"}},
			{"nesting bomb", post, send, key, strings.Repeat("[", 500_000), jsonType, refused{code: -32600, reason: "INVALID_REQUEST", text: "200"}},
			{"no message", post, send, key, `{}`, jsonType, params("message")},
			{"a message of a wrong type", post, send, key, `{"message":"hi"}`, jsonType, params("message")},
			{"two contexts", post, send, key, message(`,"contextId":"a","contextId":"b"`), jsonType, params("contextId")},
			{"two contexts by escape", post, send, key, message(`,"contextId":"a","context\u0049d":"b"`), jsonType, params("contextId")},
			{"two contexts by case", post, send, key, message(`,"contextId":"a","ContextID":"b"`), jsonType, params("two spellings")},
			{"a context in snake case", post, send, key, message(`,"context_id":"b"`), jsonType, params("contextId")},
			{"a task by case folding", post, send, key, message(`,"taſkId":"b"`), jsonType, params("taskId")},
			{"a task of a wrong type", post, send, key, message(`,"taskId":5`), jsonType, params("taskId")},
			{"a wrong role", post, send, key, strings.Replace(good, `"message":`, `"Message":`, 1), jsonType, params("message")},
			{"an id with a slash", get, task + "a%2Fb", key, "", nil, params("slash")},
			{"an id with a backslash", get, task + "a%5Cb", key, "", nil, params("slash")},
			{"a dot segment", get, task + "%2e%2e", key, "", nil, params("dot segment")},
			{"a plain dot segment", get, task + "..", key, "", nil, params("dot segment")},
			{"an empty id", post, task + ":cancel", key, "", nil, params("empty")},
			{"a control character", get, task + "a%00b", key, "", nil, params("control")},
			{"an id that is no UTF-8", get, task + "a%FFb", key, "", nil, params("UTF-8")},
			{"a broken query", get, task + "t?historyLength=%zz", key, "", nil, params("query")},
			{"a parameter twice", get, task + "t?historyLength=1&historyLength=2", key, "", nil, params("historyLength")},
			{"a parameter in snake case", get, task + "t?history_length=1", key, "", nil, params("historyLength")},
			{"a parameter of a wrong type", get, task + "t?historyLength=many", key, "", nil, params("historyLength")},
			{"a body where none belongs", get, task + "t", key, `{"x":1}`, jsonType, params("no body")},
			{"a cancel of another task than the path's", post, task + "t:cancel", key, map[a2a.Version]string{a2a.V10: `{"id":"u"}`, a2a.V03: `{"name":"tasks/u"}`}[d.Version], jsonType, params("agree")},
			{"unknown task", get, task + "none", key, "", nil, noTask},
			{"cancel of an unknown task", post, task + "none:cancel", key, "", nil, noTask},
			{"subscription to an unknown task", post, task + "none:subscribe", key, "", nil, noTask},
			{"the same by GET", get, task + "none:subscribe", key, "", nil, noTask},
			{"send to an unknown task", post, send, key, message(`,"taskId":"none"`), jsonType, noTask},
			{"unknown version", post, send, key, good, append([]string{"A2A-Version", "99.0"}, jsonType...), refused{code: -32009, reason: "VERSION_NOT_SUPPORTED", text: "99.0"}},
			{"push while push is off", post, task + "t/pushNotificationConfigs", key, map[a2a.Version]string{
				a2a.V10: `{"url":"https://example.com/x"}`, a2a.V03: `{"config":{"pushNotificationConfig":{"url":"https://example.com/x"}}}`,
			}[d.Version], jsonType, refused{code: -32003, reason: "PUSH_NOTIFICATION_NOT_SUPPORTED", text: "push"}},
		}
		for _, tt := range tests {
			t.Run(d.Version.String()+" "+tt.name, func(t *testing.T) {
				mark := fmt.Sprintf("bad-input/%s/%s", d.Version, tt.name)
				wants[mark], dialects[mark] = tt.want, d
				got := do(t, gatewaytest.Client, tt.method, g.URL+tt.path, tt.key, []byte(tt.body), append([]string{"User-Agent", mark}, tt.headers...)...)
				tt.want.check(t, d, got)
			})
		}
		if calls := agents[i].Calls(); len(calls) != 0 {
			t.Errorf("the agent saw %d refused calls, the first of them %s %s", len(calls), calls[0].Path, calls[0].Body)
		}
	}
	checkEvents(t, g, wants, dialects)
}

// A context of somebody else cannot be used, in the words of the caller's dialect.
func TestREST_ForeignContextsAndTasksAreRefused(t *testing.T) {
	g := gatewaytest.Start(t)
	key, other := g.Team("demo"), g.Team("other")
	for name, d := range map[string]a2a.Dialect{"new": rest10, "old": rest03} {
		agent := startNative(t, d)
		agent.register(g, name, "")
		agent.Answer(func(w http.ResponseWriter, _ *http.Request) {
			writeBody(w, 200, `{"task":{"id":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_WORKING"}}}`)
		})
		if got := sendIn(t, nil, g, d, name, key); got.Status != 200 {
			t.Fatalf("%s: HTTP %d %s", d, got.Status, got.Body)
		}
		before := len(agent.Calls())
		v, parts := "", "parts"
		if d == rest03 {
			v, parts = "/v1", "content"
		}
		got := do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(name)+v+"/message:send", other,
			[]byte(`{"message":{"messageId":"m","role":"ROLE_USER","contextId":"c-1","`+parts+`":[{"text":"hi"}]}}`), "Content-Type", "application/json")
		refused{code: -32602, reason: "CONTEXT_NOT_USABLE", text: "contextId"}.check(t, d, got)
		for _, path := range []string{"/tasks/t-1", "/tasks/t%2D1", "/tasks/t-1/pushNotificationConfigs"} {
			got := do(t, gatewaytest.Client, http.MethodGet, g.AgentURL(name)+v+path, other, nil)
			if strings.HasSuffix(path, "Configs") {
				refused{code: -32003, reason: "PUSH_NOTIFICATION_NOT_SUPPORTED"}.check(t, d, got)
				continue
			}
			refused{code: -32001, reason: "TASK_NOT_FOUND"}.check(t, d, got)
		}
		if n := len(agent.Calls()); n != before {
			t.Errorf("%s: the agent saw %d refused calls", d, n-before)
		}
	}
}

// A call without a body needs no content type, however its length is told.
func TestREST_NoBodyNeedsNoContentType(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	startNative(t, rest10).register(g, "new", "")
	client := h2c(t)
	for name, r := range map[string]reply{
		"no body":            do(t, gatewaytest.Client, http.MethodPost, g.AgentURL("new")+"/tasks/none:cancel", key, nil),
		"null":               do(t, gatewaytest.Client, http.MethodPost, g.AgentURL("new")+"/tasks/none:cancel", key, []byte("null"), "Content-Type", "application/json"),
		"a body that is {}":  do(t, gatewaytest.Client, http.MethodPost, g.AgentURL("new")+"/tasks/none:subscribe", key, []byte("{}"), "Content-Type", "application/json; charset=UTF-8"),
		"over HTTP/2":        do(t, client, http.MethodPost, g.AgentURL("new")+"/tasks/none:cancel", key, nil),
		"of unknown length":  doChunked(t, gatewaytest.Client, g.AgentURL("new")+"/tasks/none:cancel", key),
		"the same by HTTP/2": doChunked(t, client, g.AgentURL("new")+"/tasks/none:cancel", key),
	} {
		t.Run(name, func(t *testing.T) {
			refused{code: -32001, reason: "TASK_NOT_FOUND"}.check(t, rest10, r)
		})
	}
}

// doChunked posts a body that is empty, of which nobody said so.
func doChunked(t *testing.T, client *http.Client, address, key string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, struct{ *strings.Reader }{strings.NewReader("")})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, resp)
}
