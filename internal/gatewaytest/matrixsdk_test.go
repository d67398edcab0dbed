package gatewaytest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// sdkSide is an SDK over a binding.
type sdkSide struct {
	kind    peers.Kind
	binding a2a.Binding
}

// String names the side: "py03 over GRPC/0.3".
func (s sdkSide) String() string { return fmt.Sprintf("%s over %s", s.kind, s.kind.Dialect(s.binding)) }

func sdkSides() []sdkSide {
	var all []sdkSide
	for _, k := range peers.SDKs() {
		for _, b := range []a2a.Binding{a2a.JSONRPC, a2a.REST, a2a.GRPC} {
			all = append(all, sdkSide{k, b})
		}
	}
	return all
}

// crossing are the cells across versions that every run has, one for each SDK as client.
func crossing() map[sdkSide]sdkSide {
	return map[sdkSide]sdkSide{
		{peers.JS, a2a.REST}:      {peers.Py03, a2a.GRPC},
		{peers.Py, a2a.GRPC}:      {peers.JS03, a2a.REST},
		{peers.JS03, a2a.GRPC}:    {peers.Py, a2a.JSONRPC},
		{peers.Py03, a2a.JSONRPC}: {peers.JS, a2a.GRPC},
	}
}

// The SDKs of other languages meet each other through the gateway: every run has each
// with itself over each binding and one cell across versions, the long runs have all.
func TestMatrixSDK_ClientsMeetAgentsOfOtherLanguages(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs of other languages")
	}
	all := os.Getenv("SIGNALBOX_NIGHTLY") != ""
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	names := map[sdkSide]string{}
	started := map[peers.Kind]*peers.Agent{}
	for _, side := range sdkSides() {
		if started[side.kind] == nil {
			started[side.kind] = peers.StartAgent(t, side.kind)
		}
		names[side] = registerFace(t, g, side, started[side.kind].Face(t, side.binding))
	}
	t.Run("cells", func(t *testing.T) {
		for _, client := range sdkSides() {
			for _, agent := range sdkSides() {
				if !all && client != agent && crossing()[client] != agent {
					continue
				}
				t.Run(client.String()+" to "+agent.String(), func(t *testing.T) {
					t.Parallel()
					base := g.AgentURL(names[agent])
					cell := peers.Cell{Client: client.kind, ClientBinding: client.binding, Agent: agent.kind, AgentBinding: agent.binding}
					got, err := cell.Run(t.Context(), base, key, names[agent])
					if client == (sdkSide{peers.JS03, a2a.REST}) && agent == (sdkSide{peers.Py03, a2a.REST}) && err != nil {
						// That client reads one line of an event, and that agent writes several. Bytes
						// pass between them, so it must fail without the gateway as well.
						if _, direct := cell.Run(t.Context(), started[agent.kind].Face(t, agent.binding).Base, "", ""); direct == nil {
							t.Fatalf("the client fails only through the gateway: %v", err)
						}
						t.Skip("the client fails at this agent without the gateway too")
					}
					if err != nil {
						t.Fatalf("the client failed: %v", err)
					}
					if diff := cell.Diff(base, got); diff != "" {
						t.Errorf("the result differs from the agent's own (-want +got):\n%s", diff)
					}
				})
			}
		}
	})
}

// The agents and clients of a2a-go meet those of the other languages too.
func TestMatrixSDK_LongRunsMeetGoInEveryDialect(t *testing.T) {
	if os.Getenv("SIGNALBOX_NIGHTLY") == "" {
		t.Skip("SIGNALBOX_NIGHTLY is not set")
	}
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	for _, d := range a2a.Dialects {
		registerDialect(g, agentName(d), peers.StartDialectAgent(t, d))
	}
	t.Run("cells", func(t *testing.T) {
		for _, client := range sdkSides() {
			for _, d := range a2a.Dialects {
				t.Run(client.String()+" to go over "+d.String(), func(t *testing.T) {
					t.Parallel()
					base := g.AgentURL(agentName(d))
					cell := peers.Cell{Client: client.kind, ClientBinding: client.binding, Agent: peers.Go, AgentBinding: d.Binding}
					if d.Version == a2a.V03 {
						cell.Agent = peers.Go03
					}
					got, err := cell.Run(t.Context(), base, key, agentName(d))
					if err != nil {
						t.Fatalf("the client failed: %v", err)
					}
					if diff := cell.Diff(base, got); diff != "" {
						t.Errorf("the result differs from the agent's own (-want +got):\n%s", diff)
					}
				})
			}
		}
	})
}

// registerFace registers an SDK's agent by one binding and returns its name.
func registerFace(t *testing.T, g *gatewaytest.Gateway, side sdkSide, face peers.Face) string {
	t.Helper()
	name := "sdk-" + string(side.kind) + "-" + strings.ReplaceAll(strings.ToLower(side.binding.String()), "+", "-")
	g.Agent(name, "demo", face.URL, func(a *registryv1.Agent) {
		if side.binding == a2a.GRPC {
			a.CardJson = face.Card
		}
	})
	return name
}
