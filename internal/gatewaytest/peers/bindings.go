package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	wire "github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// SDKs are the kinds that are programs of their own and speak every binding.
func SDKs() []Kind { return []Kind{JS, Py, JS03, Py03} }

// Dialect returns the dialect of a kind over a binding.
func (k Kind) Dialect(b wire.Binding) wire.Dialect {
	version := wire.V10
	if k.Version() == Version03 {
		version = wire.V03
	}
	return wire.Dialect{Binding: b, Version: version}
}

// Face is an agent of [SDKs] by one binding.
type Face struct {
	// URL is what is registered: the card is below it, unless the binding is gRPC.
	URL string
	// Base is the address below which the agent's own card is.
	Base string
	// Card is the card.
	Card []byte
}

// Face returns an agent by a binding: each has a card of its own, which names nothing
// else.
func (a *Agent) Face(t testing.TB, b wire.Binding) Face {
	t.Helper()
	f := Face{URL: a.URL, Base: a.URL}
	switch b {
	case wire.REST:
		f.Base += "/rest"
		f.URL = f.Base
	case wire.GRPC:
		f.Base += "/grpc"
	default:
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.Base+"/.well-known/agent-card.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("A2A-Version", a.Version)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if f.Card, err = io.ReadAll(io.LimitReader(resp.Body, maxCaptured)); err != nil || !json.Valid(f.Card) {
		t.Fatalf("card of the %s agent over %s: %.200q, %v", a.Kind, b, f.Card, err)
	}
	if b == wire.GRPC {
		card, err := readAnyCard(f.Card)
		if err != nil || len(card.interfaces) == 0 {
			t.Fatalf("card of the %s agent over %s: %s, %v", a.Kind, b, f.Card, err)
		}
		f.URL = "http://" + card.interfaces[0].url
	}
	return f
}

// RunClientOver runs the scenario as [RunClient] does, by a client of [SDKs] over a
// binding. Over gRPC, agent names whom it calls behind a gateway, "" for nobody.
func RunClientOver(ctx context.Context, k Kind, b wire.Binding, base, key, agent string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	switch k {
	case JS, JS03, Py, Py03:
		return runProcessClient(ctx, k, base, key, "--binding", b.String(), "--agent", agent)
	default:
		return Result{}, fmt.Errorf("%w: %q", ErrNoClient, k)
	}
}

// DiffOver is [Diff] for a client over a binding, to an agent over one. The card of a
// gateway's own making has the client's version.
func DiffOver(client Kind, b wire.Binding, agent Kind, base string, got Result) string {
	expected := want(agent)
	expected.File = fileParts()
	if client.Version() != agent.Version() {
		expected.Card.Version = map[string]string{Version10: "1.0", Version03: "0.3.0"}[client.Version()]
	}
	if agent == Go || agent == Go03 {
		expected.Card.Name = got.Card.Name // that of the dialect
		if expected.Card.Version == Version03 {
			expected.Card.Version = "0.3.0"
		}
	}
	if b == wire.GRPC {
		// The address of gRPC is a host and a port: nothing lies below it.
		got.Card.URL = base
	}
	return diff(expected, base, got)
}
