package upstream_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// answering serves replies in turn, the last one for ever, and keeps the bodies it got.
func answering(t *testing.T, replies ...string) (url string, bodies *[]string) {
	t.Helper()
	bodies = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		reply := replies[min(len(*bodies), len(replies)-1)]
		*bodies = append(*bodies, r.Header.Get("A2A-Version")+" "+string(body))
		if !strings.HasPrefix(reply, "{") {
			http.Error(w, reply, http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, reply)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, bodies
}

func result(json string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"signalbox","result":%s}`, json)
}

func rpcError(code int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"signalbox","error":{"code":%d,"message":"no"}}`, code)
}

func TestPushConfigs_AskInTheWordsOfTheAgentsVersion(t *testing.T) {
	p := &upstream.PushConfigs{Transport: http.DefaultTransport}
	tests := []struct {
		name string
		at   push.Target
		list bool
		want string
	}{
		{"delete 1.0", push.Target{Version: a2a.V10}, false, `1.0 {"jsonrpc":"2.0","id":"signalbox","method":"DeleteTaskPushNotificationConfig","params":{"taskId":"t\"1","id":"c"}}`},
		{"delete 1.0 of a tenant", push.Target{Version: a2a.V10, Tenant: "a"}, false, `1.0 {"jsonrpc":"2.0","id":"signalbox","method":"DeleteTaskPushNotificationConfig","params":{"taskId":"t\"1","tenant":"a","id":"c"}}`},
		{"delete 0.3", push.Target{Version: a2a.V03, Tenant: "a"}, false, `0.3 {"jsonrpc":"2.0","id":"signalbox","method":"tasks/pushNotificationConfig/delete","params":{"id":"t\"1","pushNotificationConfigId":"c"}}`},
		{"list 1.0", push.Target{Version: a2a.V10}, true, `1.0 {"jsonrpc":"2.0","id":"signalbox","method":"ListTaskPushNotificationConfigs","params":{"taskId":"t\"1"}}`},
		{"list 0.3", push.Target{Version: a2a.V03}, true, `0.3 {"jsonrpc":"2.0","id":"signalbox","method":"tasks/pushNotificationConfig/list","params":{"id":"t\"1"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, bodies := answering(t, result("null"))
			tt.at.URL = url
			var err error
			if tt.list {
				_, err = p.ListPushConfigs(t.Context(), tt.at, `t"1`)
			} else {
				err = p.DeletePushConfig(t.Context(), tt.at, `t"1`, "c")
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, *bodies); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPushConfigs_ListReadsEveryPage(t *testing.T) {
	p := &upstream.PushConfigs{Transport: http.DefaultTransport}
	url, bodies := answering(t, result(`{"configs":[{"id":"a"}],"nextPageToken":"n"}`), result(`{"configs":[{"id":"b"}]}`))
	ids, err := p.ListPushConfigs(t.Context(), push.Target{URL: url, Version: a2a.V10}, "t")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if len(*bodies) != 2 || !strings.Contains((*bodies)[1], `"pageToken":"n"`) {
		t.Errorf("asked %q", *bodies)
	}
	endless, _ := answering(t, result(`{"configs":[],"nextPageToken":"n"}`))
	if _, err := p.ListPushConfigs(t.Context(), push.Target{URL: endless, Version: a2a.V10}, "t"); err == nil {
		t.Error("a list without an end was read to its end")
	}
}

func TestPushConfigs_TellWhetherNothingIsThereFromWhetherItFailed(t *testing.T) {
	p := &upstream.PushConfigs{Transport: http.DefaultTransport}
	tests := []struct {
		name, reply string
		nothing     bool
		code        int64 // of an RPCError
	}{
		{"no such task", rpcError(-32001), true, 0},
		{"no push at all", rpcError(-32003), true, 0},
		{"another error", rpcError(-32603), false, -32603},
		{"no JSON-RPC", "bad gateway", false, 0},
		{"another's reply", `{"jsonrpc":"2.0","id":"x","result":null}`, false, 0},
		{"too much", `{"jsonrpc":"2.0","id":"signalbox","result":"` + strings.Repeat("x", 1<<20) + `"}`, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := answering(t, tt.reply)
			err := p.DeletePushConfig(t.Context(), push.Target{URL: url, Version: a2a.V10}, "t", "c")
			if err == nil || errors.Is(err, push.ErrNoConfig) != tt.nothing {
				t.Errorf("the error is %v", err)
			}
			var code int64
			if rpc, ok := errors.AsType[*push.RPCError](err); ok {
				code = rpc.Code
			}
			if code != tt.code {
				t.Errorf("the code is %d, want %d", code, tt.code)
			}
			if err != nil && strings.Contains(err.Error(), "xxx") {
				t.Errorf("the error quotes the agent: %v", err)
			}
		})
	}
}
