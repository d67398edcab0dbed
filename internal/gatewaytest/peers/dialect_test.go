package peers_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	wire "github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// alone is what comes of rows that a dialect cannot do, whoever speaks it.
var alone = map[[2]string]peers.Outcome{
	// There is no such method.
	{"JSONRPC/0.3", peers.RowList}: {Code: -32601, Reason: "METHOD_NOT_FOUND"},
	// In proto3 without presence none is the same as not said.
	{"GRPC/0.3", peers.RowNoHistory}: {Value: []string{"user: hello", "agent: one", "agent: two", "agent: three"}},
}

func TestDialects_EveryClientGetsEveryRowFromAnAgentOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, d := range wire.Dialects {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			agent := peers.StartDialectAgent(t, d)
			client := peers.NewDialectClient(t, d, peers.ClientConfig{Card: agent.Card})
			for _, row := range peers.Rows() {
				t.Run(row.Name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					got, err := row.Run(ctx, client, agent)
					if err != nil {
						t.Fatal(err)
					}
					want := row.Want
					if other, ok := alone[[2]string{d.String(), row.Name}]; ok {
						want = other
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("the outcome is another one (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}
