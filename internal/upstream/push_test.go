package upstream_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

var (
	rpc10  = a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10}
	rpc03  = a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V03}
	rest10 = a2a.Dialect{Binding: a2a.REST, Version: a2a.V10}
	rest03 = a2a.Dialect{Binding: a2a.REST, Version: a2a.V03}
	grpc10 = a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V10}
	grpc03 = a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V03}
)

func newPushConfigs(t *testing.T) *upstream.PushConfigs {
	t.Helper()
	transport := upstream.NewTransport(newGuard(t, upstream.LoopbackNetworks()), 64<<10)
	t.Cleanup(transport.CloseIdleConnections)
	return &upstream.PushConfigs{Transport: transport}
}

// serving serves over HTTP/1.1 and over HTTP/2 without TLS.
func serving(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return parseURL(t, srv.URL)
}

func parseURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// answering serves replies in turn, the last one for ever, and keeps what it was asked.
func answering(t *testing.T, replies ...string) (address *url.URL, asked *[]string) {
	t.Helper()
	asked = new([]string)
	return serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		reply := replies[min(len(*asked), len(replies)-1)]
		*asked = append(*asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Header.Get("A2A-Version"), r.Method, r.RequestURI, body)))
		_, _ = io.WriteString(w, reply)
	}), asked
}

func result(json string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"signalbox","result":%s}`, json)
}

func rpcError(code int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"signalbox","error":{"code":%d,"message":"no"}}`, code)
}

func TestPushConfigs_AskInTheWordsOfTheAgentsDialect(t *testing.T) {
	p := newPushConfigs(t)
	tests := []struct {
		name  string
		at    push.Target
		list  bool
		reply string
		want  string
	}{
		{"delete 1.0", push.Target{Dialect: rpc10}, false, result("null"), `1.0 POST / {"jsonrpc":"2.0","id":"signalbox","method":"DeleteTaskPushNotificationConfig","params":{"taskId":"t\"1","id":"c"}}`},
		{"delete 1.0 of a tenant", push.Target{Dialect: rpc10, Tenant: "a"}, false, result("null"), `1.0 POST / {"jsonrpc":"2.0","id":"signalbox","method":"DeleteTaskPushNotificationConfig","params":{"tenant":"a","taskId":"t\"1","id":"c"}}`},
		{"delete 0.3", push.Target{Dialect: rpc03, Tenant: "a"}, false, result("null"), `0.3 POST / {"jsonrpc":"2.0","id":"signalbox","method":"tasks/pushNotificationConfig/delete","params":{"id":"t\"1","pushNotificationConfigId":"c"}}`},
		{"delete REST 1.0", push.Target{Dialect: rest10}, false, "", `1.0 DELETE /tasks/t%221/pushNotificationConfigs/c`},
		{"delete REST 1.0 of a tenant", push.Target{Dialect: rest10, Tenant: "a"}, false, "{}", `1.0 DELETE /a/tasks/t%221/pushNotificationConfigs/c`},
		{"delete REST 0.3", push.Target{Dialect: rest03, Tenant: "a"}, false, "", `0.3 DELETE /v1/tasks/t%221/pushNotificationConfigs/c`},
		{"list 1.0", push.Target{Dialect: rpc10}, true, result("null"), `1.0 POST / {"jsonrpc":"2.0","id":"signalbox","method":"ListTaskPushNotificationConfigs","params":{"taskId":"t\"1"}}`},
		{"list 0.3", push.Target{Dialect: rpc03}, true, result("null"), `0.3 POST / {"jsonrpc":"2.0","id":"signalbox","method":"tasks/pushNotificationConfig/list","params":{"id":"t\"1"}}`},
		{"list REST 1.0", push.Target{Dialect: rest10, Tenant: "a"}, true, "{}", `1.0 GET /a/tasks/t%221/pushNotificationConfigs`},
		{"list REST 0.3", push.Target{Dialect: rest03}, true, "{}", `0.3 GET /v1/tasks/t%221/pushNotificationConfigs`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked *[]string
			tt.at.URL, asked = answering(t, tt.reply)
			var err error
			if tt.list {
				_, err = p.ListPushConfigs(t.Context(), tt.at, `t"1`)
			} else {
				err = p.DeletePushConfig(t.Context(), tt.at, `t"1`, "c")
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, *asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPushConfigs_AgentsOfEveryDialectListAndDelete(t *testing.T) {
	p := newPushConfigs(t)
	for _, d := range a2a.Dialects {
		t.Run(d.String(), func(t *testing.T) {
			agent := peers.StartDialectAgent(t, d)
			route := registry.ReadRoute(&registry.Agent{Card: agent.Card, Endpoints: []registry.Endpoint{{URL: agent.URL, Weight: 1}}})
			up, ok := route.For(d)
			if !ok || up.Dialect != d {
				t.Fatalf("the agent's card has %v", route.Dialects())
			}
			at := push.Target{Dialect: d, URL: up.URLs[0], Tenant: up.Tenant}
			client := peers.NewDialectClient(t, d, peers.ClientConfig{Card: agent.Card})
			task, err := client.Send(t.Context(), peers.Message{ID: string(peers.ScriptInput) + "-1", Parts: []peers.Part{{Text: "hello"}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"one", "two two", "three:3"} {
				if _, err := client.CreatePush(t.Context(), peers.PushConfig{TaskID: task.ID, ID: id, URL: "https://hook.example/", Scheme: "Bearer", Credentials: "s"}); err != nil {
					t.Fatal(err)
				}
			}
			list := func() []string {
				t.Helper()
				ids, err := p.ListPushConfigs(t.Context(), at, task.ID)
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(ids)
				return ids
			}
			if diff := cmp.Diff([]string{"one", "three:3", "two two"}, list()); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
			for _, id := range []string{"one", "two two"} {
				if err := p.DeletePushConfig(t.Context(), at, task.ID, id); err != nil {
					t.Errorf("delete %q: %v", id, err)
				}
			}
			if diff := cmp.Diff([]string{"three:3"}, list()); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if err := p.DeletePushConfig(t.Context(), at, "no-such-task", "one"); !errors.Is(err, push.ErrNoConfig) {
				t.Errorf("delete of a task that is not there: %v", err)
			}
			if _, err := p.ListPushConfigs(t.Context(), at, "no-such-task"); !errors.Is(err, push.ErrNoConfig) {
				t.Errorf("list of a task that is not there: %v", err)
			}
		})
	}
}

func TestPushConfigs_ListReadsEveryPage(t *testing.T) {
	p := newPushConfigs(t)
	const page = `{"configs":[{"id":"a"}],"nextPageToken":"n&"}`
	const page03 = `{"configs":[{"name":"tasks/t/pushNotificationConfigs/a","pushNotificationConfig":{}}],"nextPageToken":"n&"}`
	tests := []struct {
		dialect a2a.Dialect
		replies []string
		want    []string
		second  string // part of the second request
	}{
		{rpc10, []string{result(page), result(`{"configs":[{"id":"b"}]}`)}, []string{"a", "b"}, `"pageToken":"n&"`},
		{rest10, []string{page, `{"configs":[{"id":"b"}]}`}, []string{"a", "b"}, `?pageToken=n%26`},
		{rest03, []string{page03, `[{"pushNotificationConfig":{"id":"b"}}]`}, []string{"a", "b"}, `?pageToken=n%26`},
		// There is no way to ask for another page.
		{rpc03, []string{result(`{"configs":[{"taskId":"t","pushNotificationConfig":{"id":"a"}}],"nextPageToken":"n"}`)}, []string{"a"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.dialect.String(), func(t *testing.T) {
			address, asked := answering(t, tt.replies...)
			ids, err := p.ListPushConfigs(t.Context(), push.Target{URL: address, Dialect: tt.dialect}, "t")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ids); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			if len(*asked) != len(tt.replies) || (tt.second != "" && !strings.Contains((*asked)[1], tt.second)) {
				t.Errorf("asked %q", *asked)
			}
		})
	}
	endless, asked := answering(t, result(`{"configs":[],"nextPageToken":"n"}`))
	if _, err := p.ListPushConfigs(t.Context(), push.Target{URL: endless, Dialect: rpc10}, "t"); err == nil || len(*asked) != 100 {
		t.Errorf("a list without an end was read for %d pages: %v", len(*asked), err)
	}
}

func TestPushConfigs_TellWhetherNothingIsThereFromWhetherItFailed(t *testing.T) {
	p := newPushConfigs(t)
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	status := func(code, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", code)
			w.Header().Set("Grpc-Message", message)
		}
	}
	const reason = `{"error":{"code":%d,"status":"%s","message":"no","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"%s","domain":"a2a-protocol.org"}]}}`
	tests := []struct {
		name    string
		dialect a2a.Dialect
		reply   http.HandlerFunc
		nothing bool
		code    int64 // of an RPCError
	}{
		{"no such task", rpc10, says(200, rpcError(-32001)), true, 0},
		{"no push at all", rpc10, says(200, rpcError(-32003)), true, 0},
		{"another error", rpc10, says(200, rpcError(-32603)), false, -32603},
		{"no JSON-RPC", rpc10, says(502, "bad xxx gateway"), false, 0},
		{"broken JSON-RPC", rpc10, says(200, `{"jsonrpc":"xxx"}`), false, 0},
		{"another's reply", rpc10, says(200, `{"jsonrpc":"2.0","id":"x","result":null}`), false, 0},
		{"too much", rpc10, says(200, `{"jsonrpc":"2.0","id":"signalbox","result":"`+strings.Repeat("x", 1<<20)+`"}`), false, 0},

		{"no such task", rest10, says(404, fmt.Sprintf(reason, 404, "NOT_FOUND", "TASK_NOT_FOUND")), true, 0},
		{"no push at all", rest10, says(400, fmt.Sprintf(reason, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED")), true, 0},
		{"another error", rest10, says(500, fmt.Sprintf(reason, 500, "INTERNAL", "INTERNAL")), false, -32603},
		{"a proxy knows no such path", rest10, says(404, `{"message":"no route"}`), false, -32601},
		{"the server knows no such method", rest10, says(501, `{"message":"no such thing"}`), false, -32004},
		{"a page that says 404", rest10, says(404, "<html>xxx"), false, 0},
		{"a redirect", rest10, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("a redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, false, 0},

		{"no such task", rest03, says(404, `{"code":-32001,"message":"no"}`), true, 0},
		{"no push at all", rest03, says(501, `{"code":-32003,"message":"no"}`), true, 0},
		{"a framework knows no such path", rest03, says(404, `{"detail":"Not Found"}`), false, -32601},

		{"no such task", grpc10, status("5", "no"), true, 0},
		{"another error", grpc10, status("13", "no"), false, -32603},
		{"the server knows no such method", grpc10, status("12", "unknown method"), false, -32004},
		{"no gRPC", grpc10, says(404, "<html>xxx"), false, 0},
		{"broken gRPC", grpc10, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			_, _ = io.WriteString(w, "xxxxxxxxxxxx")
		}, false, 0},

		{"no such task", grpc03, status("5", "TaskNotFoundError: no"), true, 0},
		{"no push at all", grpc03, status("12", "PushNotificationNotSupportedError: no"), true, 0},
		{"the server knows no such method", grpc03, status("12", "unknown method"), false, -32004},
	}
	for _, tt := range tests {
		t.Run(tt.dialect.String()+" "+tt.name, func(t *testing.T) {
			at := push.Target{URL: serving(t, tt.reply), Dialect: tt.dialect}
			_, listErr := p.ListPushConfigs(t.Context(), at, "t")
			for _, err := range []error{p.DeletePushConfig(t.Context(), at, "t", "c"), listErr} {
				if err == nil || errors.Is(err, push.ErrNoConfig) != tt.nothing {
					t.Errorf("the error is %v", err)
				}
				var code int64
				if rpc, ok := errors.AsType[*push.RPCError](err); ok {
					code = rpc.Code
				}
				if code != tt.code {
					t.Errorf("the code of %v is %d, want %d", err, code, tt.code)
				}
				if err != nil && strings.Contains(err.Error(), "xxx") {
					t.Errorf("the error quotes the agent: %v", err)
				}
			}
		})
	}
}
