package peers

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
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

// Cell is a client of [SDKs] over a binding and an agent over one, which may be of
// [Go] or [Go03] too.
type Cell struct {
	Client        Kind
	ClientBinding wire.Binding
	Agent         Kind
	AgentBinding  wire.Binding
}

// rawFiles tells whether a kind has its own idea of files over a binding: the
// JavaScript SDK of 0.3 has no names for them in the protobuf messages, and puts their
// bytes there where all others put base64.
func rawFiles(k Kind, b wire.Binding) bool { return k == JS03 && b != wire.JSONRPC }

// NoFiles tells whether the two sides cannot exchange files: both have the protobuf
// messages of 0.3, whose bytes nobody in between changes, and disagree on them.
func (c Cell) NoFiles() bool {
	messages := func(k Kind, b wire.Binding) bool { return k.Version() == Version03 && b != wire.JSONRPC }
	return messages(c.Client, c.ClientBinding) && messages(c.Agent, c.AgentBinding) &&
		rawFiles(c.Client, c.ClientBinding) != rawFiles(c.Agent, c.AgentBinding)
}

// Run runs the scenario as [RunClient] does. Over gRPC, agent names whom the client
// calls behind a gateway, "" for nobody.
func (c Cell) Run(ctx context.Context, base, key, agent string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	more := []string{"--binding", c.ClientBinding.String(), "--agent", agent}
	if c.NoFiles() {
		more = append(more, "--no-file")
	}
	switch c.Client {
	case JS, JS03, Py, Py03:
		return runProcessClient(ctx, c.Client, base, key, more...)
	default:
		return Result{}, fmt.Errorf("%w: %q", ErrNoClient, c.Client)
	}
}

// Diff returns how a result differs from what the client gets from an agent of its own
// dialect, and "" when it does not. A card of a gateway's own making has the client's
// version.
func (c Cell) Diff(base string, got Result) string {
	expected := want(c.Agent)
	expected.Card.Version = c.Client.Version()
	if c.Agent == Go || c.Agent == Go03 {
		expected.Card.Name = got.Card.Name // that of the dialect
	}
	if c.ClientBinding == wire.GRPC {
		// The address of gRPC is a host and a port: nothing lies below it.
		got.Card.URL = base
	}
	if !c.NoFiles() {
		expected.File = fileParts()
	}
	if rawFiles(c.Client, c.ClientBinding) || rawFiles(c.Agent, c.AgentBinding) {
		for i := range expected.File {
			expected.File[i].Filename = ""
		}
		got.File = unwrapped(got.File)
	}
	return diff(expected, base, got)
}

// unwrapped undoes the base64 that a kind with its own idea of files does not know of,
// and leaves out the names.
func unwrapped(parts []FilePart) []FilePart {
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i].Filename = ""
		if inner, err := base64.StdEncoding.DecodeString(string(parts[i].Bytes)); err == nil && len(inner) > 0 {
			parts[i].Bytes = inner
		}
		text, ok := strings.CutPrefix(parts[i].Text, "got: ")
		if outer, err := hex.DecodeString(text); ok && err == nil {
			if inner, err := base64.StdEncoding.DecodeString(string(outer)); err == nil && len(inner) > 0 {
				parts[i].Text = fmt.Sprintf("got: %x", inner)
			}
		}
	}
	return parts
}
