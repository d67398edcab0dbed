package gatewaytest_test

import (
	"fmt"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// Every client meets every agent of its version through the gateway, and gets what
// it gets without it.
func TestPeers_TalkThroughTheGatewayAsTheyDoDirectly(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	for _, version := range []string{"1.0", "0.3"} {
		for _, agent := range peers.Agents(version) {
			started := peers.StartAgent(t, agent)
			name := "peer-" + string(agent)
			g.Agent(name, "demo", started.URL)
			for _, client := range peers.Clients(version) {
				t.Run(fmt.Sprintf("%s/%s to %s", version, client, agent), func(t *testing.T) {
					got, err := peers.RunClient(t.Context(), client, g.AgentURL(name), key)
					if err != nil {
						t.Fatalf("the client failed: %v", err)
					}
					if diff := peers.Diff(agent, g.AgentURL(name), got); diff != "" {
						t.Errorf("the result differs from the agent's own (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}
