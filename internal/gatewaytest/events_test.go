package gatewaytest_test

import (
	"testing"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

func TestEvents_AnAgentsAddressIsShownToItsOwnerAlone(t *testing.T) {
	g := gatewaytest.Start(t)
	owner, other := g.Team("owner"), g.Team("other")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "owner", agent.URL)
	for _, key := range []string{owner, other} {
		g.Call("echo", key, "SendMessage", gatewaytest.Message("m", "hi", ""))
	}
	g.Events(`agent="echo"`, 2)
	for name, tt := range map[string]struct{ key, want string }{
		"admin": {g.AdminKey, agent.URL}, "owner": {owner, agent.URL}, "other": {other, ""},
	} {
		_, _, events := g.Clients(tt.key)
		list, err := events.ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: `agent="echo"`})
		if err != nil || len(list.GetEvents()) == 0 {
			t.Fatalf("%s: %v, %v", name, list, err)
		}
		for _, e := range list.GetEvents() {
			one, err := events.GetEvent(t.Context(), &auditv1.GetEventRequest{Name: e.GetName()})
			if err != nil || e.GetEndpoint() != tt.want || one.GetEndpoint() != tt.want {
				t.Errorf("%s reads endpoint %q in the list and %q alone, %v; want %q", name, e.GetEndpoint(), one.GetEndpoint(), err, tt.want)
			}
		}
	}
}
