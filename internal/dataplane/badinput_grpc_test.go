package dataplane_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"testing"

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/proto"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// grpcPath is the path of a method in a version.
func grpcPath(v a2a.Version, name string) string {
	if v == a2a.V03 {
		return "/a2a.v1.A2AService/" + name
	}
	return "/lf.a2a.v1.A2AService/" + name
}

// zipped is a message of gRPC compressed by gzip.
func zipped(t *testing.T, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	framed := grpcFrame(b.Bytes())
	framed[0] = 1
	return framed
}

// sendText makes a send whose text, context and task are given.
func sendText(t *testing.T, v a2a.Version, text, contextID, taskID string) []byte {
	t.Helper()
	if v == a2a.V03 {
		m := send03(contextID)
		m.Request.TaskId, m.Request.GetParts()[0].Part = taskID, &oldpb.Part_Text{Text: text}
		return marshal(t, m)
	}
	m := send10("", contextID)
	m.Message.TaskId, m.Message.GetParts()[0].Content = taskID, &pb.Part_Text{Text: text}
	return marshal(t, m)
}

// ofTask makes the request of a call about a task.
func ofTask(t *testing.T, v a2a.Version, name string) []byte {
	t.Helper()
	if v == a2a.V03 {
		return marshal(t, &oldpb.GetTaskRequest{Name: "tasks/" + name})
	}
	return marshal(t, &pb.GetTaskRequest{Id: name})
}

func TestGRPC_BadInputGetsTheDialectsOwnErrorAndOneRecord(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Limits.RequestBytes = 1 << 20 })
	key, other := g.Team("demo"), g.Team("other")
	bad := makeBadKeys(t, g)
	client := h2c(t)
	wants, dialects := map[string]refused{}, map[string]a2a.Dialect{}
	for _, d := range []a2a.Dialect{grpc10, grpc03} {
		v := d.Version
		name := map[a2a.Version]string{a2a.V10: "new", a2a.V03: "old"}[v]
		agent := startNative(t, d)
		agent.register(g, name, "")
		agent.register(g, name+"-secret", "", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_TEAM })

		translated := startNative(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: v})
		translated.register(g, name+"-json", "")

		good := grpcFrame(sendText(t, v, "hi", "", ""))
		subscribe := map[a2a.Version]string{a2a.V10: "SubscribeToTask", a2a.V03: "TaskSubscription"}[v]
		push := marshal(t, &pb.TaskPushNotificationConfig{TaskId: "t", Url: "https://example.com/x"})
		if v == a2a.V03 {
			push = marshal(t, &oldpb.CreateTaskPushNotificationConfigRequest{Parent: "tasks/t", ConfigId: "c", Config: &oldpb.TaskPushNotificationConfig{
				PushNotificationConfig: &oldpb.PushNotificationConfig{Url: "https://example.com/x"},
			}})
		}
		announced := grpcFrame(nil)
		announced[4] = 9 // bytes, of which none follows
		huge := grpcFrame(nil)
		huge[1] = 0xff
		params := func(text string) refused { return refused{code: -32602, reason: "INVALID_PARAMS", text: text} }
		frames := func(text string, status int) refused {
			return refused{code: -32600, reason: "INVALID_REQUEST", text: text, grpc: status}
		}
		tooLarge := refused{code: -32600, reason: "REQUEST_TOO_LARGE", grpc: a2a.GRPCResourceExhausted}
		nobody := refused{code: -31404, reason: "AGENT_NOT_FOUND", text: "no agent of this name"}
		noTask := refused{code: -32001, reason: "TASK_NOT_FOUND", text: "task not found"}
		missing := refused{code: -31401, reason: "CREDENTIALS_MISSING", text: "Authorization: Bearer"}
		tests := []struct {
			name, method, agent, key string
			body                     []byte
			headers                  []string
			want                     refused
		}{
			{"no credential", "SendMessage", name, "", good, nil, missing},
			{"no credential to nobody", "SendMessage", "none", "", good, nil, missing},
			{"no credential and no such method", "Explode", name, "", good, nil, missing},
			{"unknown credential", "SendMessage", name, "sb_wrong", good, nil, refused{code: -31401, reason: "CREDENTIALS_INVALID", text: "not known"}},
			{"expired key", "SendMessage", name, bad.expired, good, nil, refused{code: -31401, reason: "KEY_EXPIRED", text: "expired"}},
			{"disabled key", "SendMessage", name, bad.disabled, good, nil, refused{code: -31401, reason: "KEY_DISABLED", text: "disabled"}},
			{"unknown agent", "SendMessage", "none", key, good, nil, nobody},
			{"invisible agent", "SendMessage", name + "-secret", other, good, nil, nobody},
			{"a name that no agent has", "SendMessage", strings.Repeat("N/", 5000), key, good, nil, nobody},
			{"no agent", "SendMessage", "", key, good, nil, params("x-signalbox-agent")},
			{"unknown method", "Explode", name, key, good, nil, refused{code: -32601, reason: "METHOD_NOT_FOUND", text: "Explode"}},
			{"no method", "", name, key, good, nil, refused{code: -32601, reason: "METHOD_NOT_FOUND"}},
			{"a method with more behind", "SendMessage/", name, key, good, nil, refused{code: -32601, reason: "METHOD_NOT_FOUND"}},
			{"no message", "SendMessage", name, key, nil, nil, frames("none", a2a.GRPCInvalidArgument)},
			{"two messages", "SendMessage", name, key, append(slices.Clip(good), good...), nil, frames("several", a2a.GRPCInvalidArgument)},
			{"half a prefix", "SendMessage", name, key, good[:3], nil, frames("ended within", a2a.GRPCInvalidArgument)},
			{"half a message", "SendMessage", name, key, good[:len(good)-1], nil, frames("ended within", a2a.GRPCInvalidArgument)},
			{"an announced message", "SendMessage", name, key, announced, nil, frames("ended within", a2a.GRPCInvalidArgument)},
			{"not a frame", "SendMessage", name, key, []byte(`{"message":{}}`), nil, frames("first byte", a2a.GRPCInvalidArgument)},
			{"something behind the message", "SendMessage", name, key, append(slices.Clip(good), 0), nil, frames("ended within", a2a.GRPCInvalidArgument)},
			{"too large", "SendMessage", name, key, grpcFrame(sendText(t, v, strings.Repeat("x", 1<<20), "", "")), nil, tooLarge},
			{"too large by its prefix", "SendMessage", name, key, huge, nil, tooLarge},
			{"too large when unzipped", "SendMessage", name, key, zipped(t, sendText(t, v, strings.Repeat("x", 1<<20), "", "")), []string{"Grpc-Encoding", "gzip"}, tooLarge},
			{"unknown encoding", "SendMessage", name, key, zipped(t, good), []string{"Grpc-Encoding", "snappy"}, frames("snappy", a2a.GRPCUnimplemented)},
			{"compressed without a word", "SendMessage", name, key, zipped(t, good), nil, frames("compressed", a2a.GRPCUnimplemented)},
			{"broken gzip", "SendMessage", name, key, append([]byte{1}, good[1:]...), []string{"Grpc-Encoding", "gzip"}, frames("", a2a.GRPCInvalidArgument)},
			{"not protobuf", "SendMessage", name, key, grpcFrame([]byte("\xff\xff\xff\xff\xff")), nil, params("")},
			{"cut protobuf", "SendMessage", name, key, grpcFrame(good[5 : len(good)-3]), nil, params("")},
			{"a group", "SendMessage", name, key, grpcFrame([]byte{0x0b, 0x0c}), nil, params("")},
			{"invalid UTF-8 that must be translated", "SendMessage", name + "-json", key, grpcFrame(bytes.Replace(good[5:], []byte("hi"), []byte("h\xff"), 1)), nil, params("UTF-8")},
			{"invalid UTF-8 in an id", "SendMessage", name, key, grpcFrame(bytes.Replace(sendText(t, v, "hi", "cc", ""), []byte("cc"), []byte("c\xff"), 1)), nil, params("UTF-8")},
			{"a NUL in an id", "SendMessage", name, key, grpcFrame(sendText(t, v, "hi", "c\x00", "")), nil, params("context_id")},
			{"empty message", "SendMessage", name, key, grpcFrame(nil), nil, params("missing")},
			{"no task", "GetTask", name, key, grpcFrame(nil), nil, params("missing")},
			{"unknown task", "GetTask", name, key, grpcFrame(ofTask(t, v, "none")), nil, noTask},
			{"cancel of an unknown task", "CancelTask", name, key, grpcFrame(ofTask(t, v, "none")), nil, noTask},
			{"subscription to an unknown task", subscribe, name, key, grpcFrame(ofTask(t, v, "none")), nil, noTask},
			{"send to an unknown task", "SendMessage", name, key, grpcFrame(sendText(t, v, "hi", "", "none")), nil, noTask},
			{"stream to an unknown task", "SendStreamingMessage", name, key, grpcFrame(sendText(t, v, "hi", "", "none")), nil, noTask},
			{"push while push is off", "CreateTaskPushNotificationConfig", name, key, grpcFrame(push), nil, refused{code: -32003, reason: "PUSH_NOTIFICATION_NOT_SUPPORTED", text: "push"}},
			{"unknown version", "SendMessage", name, key, good, []string{"A2a-Version", "99.0"}, refused{code: -32009, reason: "VERSION_NOT_SUPPORTED", text: "99.0"}},
		}
		if v == a2a.V03 {
			for n, name03 := range map[string]string{
				"a task without its prefix": "none", "a task with more slashes": "tasks/a/b", "an empty task": "tasks/", "a config for a task": "tasks/t/pushNotificationConfigs/c",
			} {
				tests = append(tests, struct {
					name, method, agent, key string
					body                     []byte
					headers                  []string
					want                     refused
				}{n, "GetTask", name, key, grpcFrame(marshal(t, &oldpb.GetTaskRequest{Name: name03})), nil, params("name")})
			}
		}
		for _, tt := range tests {
			t.Run(v.String()+" "+tt.name, func(t *testing.T) {
				mark := fmt.Sprintf("bad-input/%s/%s", v, tt.name)
				wants[mark], dialects[mark] = tt.want, d
				headers := grpcHeaders("User-Agent", mark)
				if tt.agent != "" {
					headers = append(headers, "X-Signalbox-Agent", tt.agent)
				}
				got := do(t, client, http.MethodPost, g.URL+grpcPath(v, tt.method), tt.key, tt.body, append(headers, tt.headers...)...)
				tt.want.check(t, d, got)
				if encodings := got.Header.Get("Grpc-Accept-Encoding"); tt.want.grpc == a2a.GRPCUnimplemented && encodings != "identity, gzip" {
					t.Errorf("grpc-accept-encoding is %q", encodings)
				}
			})
		}
		if calls := append(agent.Calls(), translated.Calls()...); len(calls) != 0 {
			t.Errorf("the agents saw %d refused calls, the first of them %s", len(calls), calls[0].Path)
		}
	}
	checkEvents(t, g, wants, dialects)
	for _, e := range g.Events(`outcome=REFUSED`, len(wants)) {
		if len(e.GetAgent()) > 300 {
			t.Errorf("%s: the record keeps a name of %d bytes", e.GetUserAgent(), len(e.GetAgent()))
		}
	}
}

// What is compressed as the gateway says it may be is taken.
func TestGRPC_GzipIsTaken(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	for name, d := range map[string]a2a.Dialect{"new": grpc10, "old": grpc03} {
		agent := startNative(t, d)
		agent.register(g, name, "")
		plain := sendText(t, d.Version, "hi", "", "")
		for kind, body := range map[string][]byte{"zipped": zipped(t, plain), "not zipped": grpcFrame(plain)} {
			got := do(t, client, http.MethodPost, g.URL+grpcPath(d.Version, "SendMessage"), key, body,
				grpcHeaders("Grpc-Encoding", "gzip", "X-Signalbox-Agent", name)...)
			if got.Status != 200 || got.trailer.Get("Grpc-Status") != "0" || len(got.Body) < 5 {
				t.Errorf("%s, %s: HTTP %d, %v, %v", d, kind, got.Status, got.Header, got.trailer)
			}
			last := agent.Last(t)
			if last.Header.Get("Grpc-Encoding") != "" || last.Body[0] != 0 {
				t.Errorf("%s, %s: the agent got encoding %q", d, kind, last.Header.Get("Grpc-Encoding"))
			}
		}
	}
}

// A foreign context cannot be used, and a foreign task is not there.
func TestGRPC_ForeignContextsAndTasksAreRefused(t *testing.T) {
	g := gatewaytest.Start(t)
	key, other := g.Team("demo"), g.Team("other")
	client := h2c(t)
	for name, d := range map[string]a2a.Dialect{"new": grpc10, "old": grpc03} {
		agent := startNative(t, d)
		agent.register(g, name, "")
		agent.Answer(func(w http.ResponseWriter, _ *http.Request) {
			var m proto.Message = &pb.SendMessageResponse{Payload: &pb.SendMessageResponse_Task{Task: &pb.Task{
				Id: "t-1", ContextId: "c-1", Status: &pb.TaskStatus{State: pb.TaskState_TASK_STATE_WORKING},
			}}}
			if d == grpc03 {
				m = &oldpb.SendMessageResponse{Payload: &oldpb.SendMessageResponse_Task{Task: &oldpb.Task{
					Id: "t-1", ContextId: "c-1", Status: &oldpb.TaskStatus{State: oldpb.TaskState_TASK_STATE_WORKING},
				}}}
			}
			writeMessage(w, m)
		})
		if got := sendIn(t, client, g, d, name, key); got.trailer.Get("Grpc-Status") != "0" {
			t.Fatalf("%s: %v %v", d, got.Header, got.trailer)
		}
		before := len(agent.Calls())
		call := func(method string, message []byte) reply {
			return do(t, client, http.MethodPost, g.URL+grpcPath(d.Version, method), other, grpcFrame(message), grpcHeaders("X-Signalbox-Agent", name)...)
		}
		refused{code: -32602, reason: "CONTEXT_NOT_USABLE", text: "contextId"}.check(t, d, call("SendMessage", sendText(t, d.Version, "hi", "c-1", "")))
		refused{code: -32001, reason: "TASK_NOT_FOUND"}.check(t, d, call("SendMessage", sendText(t, d.Version, "hi", "", "t-1")))
		refused{code: -32001, reason: "TASK_NOT_FOUND"}.check(t, d, call("GetTask", ofTask(t, d.Version, "t-1")))
		if n := len(agent.Calls()); n != before {
			t.Errorf("%s: the agent saw %d refused calls", d, n-before)
		}
	}
}

// What comes to a path of gRPC and is no gRPC gets a plain answer that says so, with
// the status of gRPC beside it for whoever looks for one.
func TestGRPC_WhatIsNoGRPCGetsAPlainText(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := startNative(t, grpc10)
	agent.register(g, "new", "")
	client := h2c(t)
	good := grpcFrame(sendText(t, a2a.V10, "hi", "", ""))
	path := g.URL + grpcPath(a2a.V10, "SendMessage")
	tests := []struct {
		name, method, contentType, key string
		client                         *http.Client
		status, grpc                   int
		text                           string
	}{
		{"HTTP/1.1", http.MethodPost, "application/grpc", key, gatewaytest.Client, 505, a2a.GRPCInvalidArgument, "HTTP/2"},
		{"HTTP/1.1 without a key", http.MethodPost, "application/grpc", "", gatewaytest.Client, 401, a2a.GRPCUnauthenticated, "Bearer"},
		{"get", http.MethodGet, "", key, client, 405, a2a.GRPCInvalidArgument, "POST"},
		{"json", http.MethodPost, "application/json", key, client, 415, a2a.GRPCInvalidArgument, "application/grpc"},
		{"no content type", http.MethodPost, "", key, client, 415, a2a.GRPCInvalidArgument, "application/grpc"},
		{"gRPC-Web", http.MethodPost, "application/grpc-web+proto", key, client, 415, a2a.GRPCInvalidArgument, "gRPC-Web"},
		{"gRPC-Web in text", http.MethodPost, "application/grpc-web-text", key, client, 415, a2a.GRPCInvalidArgument, "gRPC-Web"},
		{"messages in JSON", http.MethodPost, "application/grpc+json", key, client, 415, a2a.GRPCInvalidArgument, "protobuf"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := good
			if tt.method == http.MethodGet {
				body = nil
			}
			got := do(t, tt.client, tt.method, path, tt.key, body, "Content-Type", tt.contentType, "X-Signalbox-Agent", "new", "User-Agent", "plain/"+tt.name)
			if got.Status != tt.status || got.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(string(got.Body), tt.text) {
				t.Errorf("HTTP %d, %v, %q", got.Status, got.Header, got.Body)
			}
			if got.Header.Get("Grpc-Status") != strconv.Itoa(tt.grpc) || !strings.Contains(got.Header.Get("Grpc-Message"), tt.text) {
				t.Errorf("status of gRPC: %v", got.Header)
			}
			if (got.Header.Get("Allow") != "") != (tt.status == 405) || (got.Header.Get("Www-Authenticate") != "") != (tt.status == 401) {
				t.Errorf("headers: %v", got.Header)
			}
		})
	}
	if calls := agent.Calls(); len(calls) != 0 {
		t.Errorf("the agent saw %d refused calls", len(calls))
	}
	seen := map[string]int32{}
	for _, e := range g.Events(`outcome=REFUSED`, len(tests)) {
		seen[e.GetUserAgent()] = e.GetHttpStatus()
	}
	for _, tt := range tests {
		if got := seen["plain/"+tt.name]; int(got) != tt.status {
			t.Errorf("%s: the event says HTTP %d, want %d", tt.name, got, tt.status)
		}
	}
}

// Refusals must not cost the other calls of a connection their connection.
func TestGRPC_ARefusalKeepsTheConnection(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Limits.RequestBytes = 1 << 10 })
	client := h2c(t)
	key := g.Team("demo")
	reused := true
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	for i, tt := range []struct {
		key  string
		size int
	}{{"", 10}, {"", 1 << 20}, {key, 10}, {key, 1 << 20}, {"sb_wrong", 10}, {key, 10}} {
		// The length is not told, as it never is in gRPC.
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+grpcPath(a2a.V10, "GetTask"), struct{ *bytes.Reader }{bytes.NewReader(make([]byte, tt.size))})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1
		req.Header.Set("Content-Type", "application/grpc")
		if tt.key != "" {
			req.Header.Set("Authorization", "Bearer "+tt.key)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if f := readFailure(t, grpc10, readReply(t, resp)); f.GRPC == 0 {
			t.Errorf("call %d: %+v", i, f)
		}
		if i > 0 && !reused {
			t.Errorf("call %d got a connection of its own", i)
		}
	}
}
