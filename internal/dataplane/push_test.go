package dataplane_test

import (
	"fmt"
	"strings"
	"testing"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

func direct(hosts ...string) func(*registryv1.Agent) {
	return func(a *registryv1.Agent) {
		a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, hosts
	}
}

func TestPush_AnAddressMustBeAllowedAndPublic(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL,
		direct("hooks.example.com", "*.example.org", "127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "93.184.215.14"))
	tests := []struct {
		url, reason string // an empty reason means that it passes
	}{
		{"https://93.184.215.14/hook", ""},
		{"http://93.184.215.14/hook", "INVALID_PARAMS"},
		{"https://evil.example.net/hook", "PUSH_ADDRESS_FORBIDDEN"},
		{"https://example.org/hook", "PUSH_ADDRESS_FORBIDDEN"},
		{"https://127.0.0.1/hook", "PUSH_ADDRESS_FORBIDDEN"},
		{"https://localhost/hook", "PUSH_ADDRESS_FORBIDDEN"},
		{"https://10.0.0.1/hook", "PUSH_ADDRESS_FORBIDDEN"},
		{"https://169.254.169.254/hook", "PUSH_ADDRESS_FORBIDDEN"},
		{"https://93.184.215.14@evil.example.net/hook", "INVALID_PARAMS"},
		{"/hook", "INVALID_PARAMS"},
		{"", "INVALID_PARAMS"},
	}
	for _, tt := range tests {
		params := strings.TrimSuffix(gatewaytest.Message("m", "hi", ""), "}") +
			fmt.Sprintf(`,"configuration":{"taskPushNotificationConfig":{"url":%q}}}`, tt.url)
		e := g.Call("echo", key, "SendMessage", params).Error(t)
		reason := ""
		if e.Code != 0 {
			reason = e.Info(t).Reason
		}
		if reason != tt.reason {
			t.Errorf("%q: reason %q (%s), want %q", tt.url, reason, e.Message, tt.reason)
		}
	}
}

func TestPush_ConfigsPassWhenTheOwnerSaysDirect(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartAgent(t, peers.Go).URL, direct("127.0.0.1"))
	taskID, _ := begun(t, g, "echo", key)
	e := g.Call("echo", key, "CreateTaskPushNotificationConfig", fmt.Sprintf(`{"taskId":%q,"id":"c1","url":"http://127.0.0.1:1/x"}`, taskID)).Error(t)
	if e.Code != 0 && e.Info(t).Domain == "signalbox.dev" {
		t.Errorf("the gateway refused the config: %+v", e)
	}
}
