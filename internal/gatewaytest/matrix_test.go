package gatewaytest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// rowTimeout bounds one row of one cell.
const rowTimeout = 20 * time.Second

// Every client meets every agent, and gets what it gets from an agent of its own
// dialect; where that cannot be, it gets what the exceptions say.
func TestMatrix_EveryClientWorksWithEveryAgent(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	key := g.Team("demo")
	agents := map[a2a.Dialect]*peers.DialectAgent{}
	for _, d := range a2a.Dialects {
		agents[d] = peers.StartDialectAgent(t, d)
		registerDialect(g, agentName(d), agents[d])
	}
	results := &matrixResults{cells: map[cell]map[string]cellResult{}}
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells() {
			t.Run(c.client.String()+"/"+c.agent.String(), func(t *testing.T) {
				t.Parallel()
				runCell(t, g, key, c, agents[c.agent], results)
			})
		}
	})
	checkMatrixTable(t, results)
}

// A gRPC client of 1.0 may name the agent in metadata too.
func TestMatrix_GRPCSelectsTheAgentByMetadata(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	d := a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V10}
	agent := peers.StartDialectAgent(t, d)
	registerDialect(g, agentName(d), agent)
	client := peers.NewDialectClient(t, d, peers.ClientConfig{
		Base: g.AgentURL(agentName(d)), Key: key, Agent: agentName(d), ByMetadata: true,
	})
	for _, row := range peers.Rows()[:5] {
		t.Run(row.Name, func(t *testing.T) { checkRow(t, row, row.Want, client, agent) })
	}
}

// With names of their own below a host, agents are selected by authority, and cards of
// 0.3 have gRPC too.
func TestMatrix_GRPCSelectsTheAgentByAuthority(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.A2A.GRPCAuthoritySuffix = ".agents.example" })
	key := g.Team("demo")
	for _, d := range []a2a.Dialect{{Binding: a2a.GRPC, Version: a2a.V10}, grpc03} {
		agent := peers.StartDialectAgent(t, d)
		registerDialect(g, agentName(d), agent)
		client := peers.NewDialectClient(t, d, peers.ClientConfig{
			Base: g.AgentURL(agentName(d)), Key: key, Dial: strings.TrimPrefix(g.URL, "http://"),
		})
		if !strings.HasPrefix(client.Address, agentName(d)+".agents.example:") {
			t.Errorf("the card names %q as the address of %s", client.Address, d)
		}
		for _, row := range peers.Rows()[:5] {
			t.Run(d.String()+"/"+row.Name, func(t *testing.T) { checkRow(t, row, row.Want, client, agent) })
		}
	}
}

// Push configs go no further than the same dialect, so a card of one version offers
// none of an agent of the other.
func TestMatrix_CardsOfferPushConfigsOfTheirOwnVersionOnly(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	key := g.Team("demo")
	for _, d := range a2a.Dialects {
		registerDialect(g, agentName(d), peers.StartDialectAgent(t, d))
		for _, version := range []a2a.Version{a2a.V10, a2a.V03} {
			reply := g.Do(http.MethodGet, "/a2a/"+agentName(d)+"/.well-known/agent-card.json", key, "", "A2A-Version", version.String())
			var card struct {
				Capabilities struct {
					PushNotifications bool `json:"pushNotifications"`
				} `json:"capabilities"`
			}
			if err := json.Unmarshal(reply.Body, &card); err != nil {
				t.Fatalf("%s: %v", reply.Body, err)
			}
			if got := card.Capabilities.PushNotifications; got != (d.Version == version) {
				t.Errorf("the card of %s of an agent of %s offers push configs: %t", version, d, got)
			}
		}
	}
}

// grpc03 is the dialect without any word for the agent.
var grpc03 = a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V03}

// cell is a pair of dialects.
type cell struct{ client, agent a2a.Dialect }

func cells() []cell {
	var all []cell
	for _, client := range a2a.Dialects {
		for _, agent := range a2a.Dialects {
			all = append(all, cell{client, agent})
		}
	}
	return all
}

func agentName(d a2a.Dialect) string {
	return "agent-" + strings.NewReplacer("/", "-", "+", "-", ".", "").Replace(strings.ToLower(d.String()))
}

// registerDialect registers an agent that takes push configs. The card of an agent of
// gRPC is given, those of the others are fetched.
func registerDialect(g *gatewaytest.Gateway, name string, agent *peers.DialectAgent) {
	g.Agent(name, "demo", agent.URL, func(a *registryv1.Agent) {
		a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
		if agent.Dialect.Binding == a2a.GRPC {
			a.CardJson = agent.Card
		}
	})
}

func runCell(t *testing.T, g *gatewaytest.Gateway, key string, c cell, agent *peers.DialectAgent, results *matrixResults) {
	name := agentName(c.agent)
	client := peers.NewDialectClient(t, c.client, peers.ClientConfig{Base: g.AgentURL(name), Key: key, Agent: name})
	for _, d := range a2a.Dialects {
		// Nothing that a card of 0.3 says would name the agent of a gRPC call.
		if d.Version == c.client.Version && d != grpc03 && !slices.Contains(client.Advertised, d.String()) {
			t.Errorf("the card for a client of %s lacks %s: %v", c.client, d, client.Advertised)
		}
	}
	for _, row := range peers.Rows() {
		want, note := row.Want, ""
		for _, e := range exceptions() {
			if e.row == row.Name && e.pair(c) {
				want, note = e.want, e.note
				break
			}
		}
		ok := t.Run(row.Name, func(t *testing.T) { checkRow(t, row, want, client, agent) })
		results.add(c, row.Name, cellResult{ok, note})
	}
}

func checkRow(t *testing.T, row peers.Row, want peers.Outcome, client *peers.DialectClient, agent *peers.DialectAgent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rowTimeout)
	defer cancel()
	got, err := row.Run(ctx, client, agent)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the outcome is another one (-want +got):\n%s", diff)
	}
}

// exception is what comes of a row where a pair of dialects cannot do it.
type exception struct {
	row  string
	pair func(cell) bool
	want peers.Outcome
	// note is the letter of its line below the table.
	note string
}

// exceptions are tried in this order.
func exceptions() []exception {
	history := []string{"user: hello", "agent: one", "agent: two", "agent: three"}
	old := func(d a2a.Dialect) bool { return d.Version == a2a.V03 }
	unsupported := peers.Outcome{Code: -32004, Reason: "UNSUPPORTED_OPERATION"}
	unknown := peers.Outcome{Code: -32601, Reason: "METHOD_NOT_FOUND"}
	all := []exception{
		{peers.RowList, func(c cell) bool { return old(c.client) && c.client.Binding == a2a.REST }, unsupported, "a"},
		{peers.RowList, func(c cell) bool { return old(c.client) }, unknown, "a"},
		{peers.RowList, func(c cell) bool { return old(c.agent) }, unsupported, "b"},
		{
			peers.RowPush, func(c cell) bool { return c.client != c.agent },
			peers.Outcome{Code: -32003, Reason: "PUSH_NOTIFICATION_NOT_SUPPORTED"},
			"c",
		},
		{
			peers.RowNoHistory, func(c cell) bool { return old(c.client) && c.client.Binding == a2a.GRPC },
			peers.Outcome{Value: history},
			"d",
		},
		{
			peers.RowNoHistory, func(c cell) bool { return old(c.client) && c.client.Binding == a2a.REST && c.client != c.agent },
			peers.Outcome{Value: history},
			"d",
		},
	}
	for _, reason := range []string{"EXTENSION_SUPPORT_REQUIRED", "VERSION_NOT_SUPPORTED"} {
		row := peers.RowErrorPrefix + reason
		all = append(all,
			exception{
				row, func(c cell) bool { return old(c.client) && c.client != c.agent && c.client.Binding == a2a.GRPC },
				peers.Outcome{Code: -32600, Reason: "INVALID_REQUEST"},
				"e",
			},
			exception{
				row, func(c cell) bool {
					// Over JSON-RPC −32009 stays: callers of 0.3 who name a version get it too.
					return old(c.client) && c.client != c.agent && (c.client.Binding == a2a.REST || reason != "VERSION_NOT_SUPPORTED")
				},
				peers.Outcome{Code: -32600, Reason: reason},
				"e",
			})
	}
	return all
}

// notes are the lines below the table.
func notes() []string {
	return []string{
		"a: 0.3 has no way to list tasks; the answer is that of an unknown method (−32601), over HTTP+JSON, whose path 0.3 names without saying more, −32004.",
		"b: agents of 0.3 cannot list tasks; the answer is −32004.",
		"c: push configs exist between equal dialects only; elsewhere the answer is −32003, and the card of the other version does not offer them.",
		"d: in the protobuf messages of 0.3 a history length of 0 is the same as none, so the whole history comes.",
		"e: 0.3 has no −32008 and no −32009; a client of it gets them as an invalid request (−32600), over gRPC as INVALID_ARGUMENT. Over JSON-RPC −32009 stays what it is.",
	}
}

// cellResult is what came of a row in a cell.
type cellResult struct {
	ok   bool
	note string
}

// matrixResults are those of all cells.
type matrixResults struct {
	mu    sync.Mutex
	cells map[cell]map[string]cellResult
}

func (r *matrixResults) add(c cell, row string, result cellResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cells[c] == nil {
		r.cells[c] = map[string]cellResult{}
	}
	r.cells[c][row] = result
}
