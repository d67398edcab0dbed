package dataplane_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
)

// canned answers every call of one version with what a table says, and keeps the bodies.
func canned(t *testing.T, card string, results map[string]string) (url string, bodies map[string]string) {
	t.Helper()
	bodies = map[string]string{}
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, card)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var call struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		_ = json.Unmarshal(body, &call)
		bodies[call.Method] = string(body)
		reply := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, call.ID, results[call.Method])
		if strings.Contains(r.Header.Get("Accept"), "event-stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: "+reply+"\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, reply)
	}))
	t.Cleanup(agent.Close)
	return agent.URL, bodies
}

func TestForward_EveryMethodOfBothVersionsPasses(t *testing.T) {
	const (
		card10 = `{"name":"n","description":"d","version":"1","supportedInterfaces":[{"url":"http://x/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"capabilities":{"streaming":true,"pushNotifications":true},"defaultInputModes":[],"defaultOutputModes":[],"skills":[]}`
		card03 = `{"name":"n","description":"d","version":"1","protocolVersion":"0.3.0","url":"http://x/","preferredTransport":"JSONRPC","capabilities":{"streaming":true,"pushNotifications":true},"defaultInputModes":[],"defaultOutputModes":[],"skills":[]}`
		task10 = `{"id":"t1","contextId":"c1","status":{"state":"TASK_STATE_WORKING"}}`
		task03 = `{"kind":"task","id":"t1","contextId":"c1","status":{"state":"working"}}`
		push10 = `{"taskId":"t1","id":"p1","url":"http://127.0.0.1:1/x"}`
		push03 = `{"taskId":"t1","pushNotificationConfig":{"id":"p1","url":"http://127.0.0.1:1/x"}}`
	)
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	key := g.Team("demo")
	type method struct{ name, params, result string }
	for _, version := range []struct {
		name, card string
		methods    []method
	}{
		{"new", card10, []method{
			{"SendMessage", gatewaytest.Message("m", "hi", ""), `{"task":` + task10 + `}`},
			{"SendStreamingMessage", gatewaytest.Message("m", "hi", ""), `{"task":` + task10 + `}`},
			{"GetTask", `{"id":"t1","historyLength":3}`, task10},
			{"ListTasks", `{"pageSize":10}`, `{"tasks":[` + task10 + `],"nextPageToken":"","pageSize":10,"totalSize":1}`},
			{"CancelTask", `{"id":"t1"}`, strings.Replace(task10, "WORKING", "CANCELED", 1)},
			{"SubscribeToTask", `{"id":"t1"}`, `{"task":` + task10 + `}`},
			{"CreateTaskPushNotificationConfig", push10, push10},
			{"GetTaskPushNotificationConfig", `{"taskId":"t1","id":"p1"}`, push10},
			{"ListTaskPushNotificationConfigs", `{"taskId":"t1"}`, `{"configs":[` + push10 + `],"nextPageToken":""}`},
			{"DeleteTaskPushNotificationConfig", `{"taskId":"t1","id":"p1"}`, `null`},
			{"GetExtendedAgentCard", `{}`, card10},
		}},
		{"old", card03, []method{
			{"message/send", gatewaytest.Message03("m", "hi", ""), task03},
			{"message/stream", gatewaytest.Message03("m", "hi", ""), task03},
			{"tasks/get", `{"id":"t1","historyLength":3}`, task03},
			{"tasks/cancel", `{"id":"t1"}`, strings.Replace(task03, "working", "canceled", 1)},
			{"tasks/resubscribe", `{"id":"t1"}`, `{"kind":"status-update","taskId":"t1","contextId":"c1","status":{"state":"completed"},"final":true}`},
			{"tasks/pushNotificationConfig/set", push03, push03},
			{"tasks/pushNotificationConfig/get", `{"id":"t1","pushNotificationConfigId":"p1"}`, push03},
			{"tasks/pushNotificationConfig/list", `{"id":"t1"}`, `[` + push03 + `]`},
			{"tasks/pushNotificationConfig/delete", `{"id":"t1","pushNotificationConfigId":"p1"}`, `null`},
			{"agent/getAuthenticatedExtendedCard", `{}`, card03},
		}},
	} {
		results := map[string]string{}
		for _, m := range version.methods {
			results[m.name] = m.result
		}
		url, bodies := canned(t, version.card, results)
		g.Agent(version.name, "demo", url, func(a *registryv1.Agent) {
			a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
		})
		for _, m := range version.methods {
			t.Run(version.name+"/"+m.name, func(t *testing.T) {
				got := string(g.Call(version.name, key, m.name, m.params).Body)
				if bodies[m.name] != gatewaytest.Request(m.name, m.params) {
					t.Errorf("the agent got %s", bodies[m.name])
				}
				if strings.Contains(got, `"error"`) {
					t.Fatalf("the call failed: %s", got)
				}
				switch m.name {
				case "ListTasks", "GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard":
					if !strings.Contains(got, `"t1"`) && !strings.Contains(got, g.AgentURL(version.name)) {
						t.Errorf("the reply is %s", got)
					}
				default:
					if !strings.Contains(got, `"result":`+m.result) {
						t.Errorf("the reply is %s, want the result %s", got, m.result)
					}
				}
			})
		}
		events := map[string]int{}
		for _, e := range g.Events(fmt.Sprintf("agent=%q", version.name), len(version.methods)) {
			events[e.GetMethod()]++
		}
		if len(events) != len(version.methods) {
			t.Errorf("%s: %d kinds of events for %d methods: %v", version.name, len(events), len(version.methods), events)
		}
	}
}

func TestForward_LiteLLMsPathsTakeTheSameCalls(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	url, _ := canned(t, `{"name":"n","supportedInterfaces":[{"url":"http://x/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}`, map[string]string{
		"SendMessage":          `{"message":{"messageId":"r","role":"ROLE_AGENT","parts":[{"text":"hi"}]}}`,
		"SendStreamingMessage": `{"message":{"messageId":"r","role":"ROLE_AGENT","parts":[{"text":"hi"}]}}`,
	})
	g.Agent("echo", "demo", url)
	for path, method := range map[string]string{
		"/a2a/echo": "SendMessage", "/a2a/echo/": "SendMessage", "/a2a/echo/message/send": "SendMessage",
		"/a2a/echo/message/stream": "SendStreamingMessage", "/a2a/echo/message/send/": "SendMessage",
	} {
		got := g.Do(http.MethodPost, path, key, gatewaytest.Request(method, gatewaytest.Message("m", "hi", "")))
		if got.Status != http.StatusOK || !strings.Contains(string(got.Body), `"messageId":"r"`) {
			t.Errorf("POST %s: HTTP %d, %s", path, got.Status, got.Body)
		}
	}
	for _, header := range []string{"X-Api-Key", "X-Litellm-Api-Key"} {
		got := g.Do(http.MethodPost, "/a2a/echo", "", gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", "")), header, key)
		if got.Status != http.StatusOK {
			t.Errorf("key in %s: HTTP %d", header, got.Status)
		}
	}
}
