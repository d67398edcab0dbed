package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// Kind names an SDK and, for the older ones, its protocol version.
type Kind string

// The kinds. All but Go03 are agents and clients.
const (
	JS    Kind = "js"    // @a2a-js/sdk 1.3, in Node.js
	JS03  Kind = "js03"  // @a2a-js/sdk 0.3, in Node.js
	Py    Kind = "py"    // a2a-sdk 1.3, in Python
	Py03  Kind = "py03"  // a2a-sdk 0.3, in Python
	Go    Kind = "go"    // a2a-go v2, in this process
	Go03  Kind = "go03"  // a2a-go v2's 0.3 handlers, in this process
	GoCLI Kind = "gocli" // the command of a2a-go v2
)

// The protocol versions.
const (
	Version10 = "1.0"
	Version03 = "0.3"
)

// ErrNoClient says that a kind has no client.
var ErrNoClient = errors.New("peers: kind has no client")

// clientTimeout bounds one run of the scenario, start of the runtime included.
const clientTimeout = 60 * time.Second

// Version returns the protocol version that a kind speaks.
func (k Kind) Version() string {
	switch k {
	case JS03, Py03, Go03:
		return Version03
	default:
		return Version10
	}
}

// Agents returns the kinds of agents that speak a version.
func Agents(version string) []Kind {
	if version == Version03 {
		return []Kind{JS03, Py03, Go03}
	}
	return []Kind{JS, Py, Go, GoCLI}
}

// Clients returns the kinds of clients that speak a version.
func Clients(version string) []Kind {
	if version == Version03 {
		return []Kind{JS03, Py03}
	}
	return []Kind{JS, Py, Go, GoCLI}
}

// Agent is a running agent. It ends with the test.
type Agent struct {
	Kind Kind
	// URL is the base address: the card is below it.
	URL string
	// Version is the protocol version, "1.0" or "0.3".
	Version string
}

// StartAgent starts an agent and waits until it serves.
func StartAgent(t testing.TB, k Kind) *Agent {
	t.Helper()
	switch k {
	case Go, Go03:
		return startGoAgent(t, k, "peer-"+string(k), textExecutor{stop: t.Context().Done()})
	case JS, JS03, Py, Py03, GoCLI:
		return startProcessAgent(t, k, "agent")
	default:
		t.Fatalf("peers: no agent of kind %q", k)
		return nil
	}
}

// Headers returns the headers of the last call that the agent received. The
// agent of [GoCLI] keeps none.
func (a *Agent) Headers(t testing.TB) http.Header {
	t.Helper()
	if a.Kind == GoCLI {
		t.Fatalf("peers: the agent of kind %q keeps no headers", a.Kind)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+"/__headers", nil)
	if err != nil {
		t.Fatalf("peers: read headers: %v", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("peers: read headers: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw := map[string][]string{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&raw); err != nil {
		t.Fatalf("peers: read headers: %v", err)
	}
	header := http.Header{}
	for name, values := range raw {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	return header
}

// RunClient runs the scenario through the client of a kind: base is the
// address below which the card is found, key the bearer token, "" for none.
// The error tells what the SDK raised.
func RunClient(ctx context.Context, k Kind, base, key string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	switch k {
	case Go:
		return runGoClient(ctx, base, key)
	case GoCLI:
		return runCLIClient(ctx, base, key)
	case JS, JS03, Py, Py03:
		return runProcessClient(ctx, k, base, key)
	default:
		return Result{}, fmt.Errorf("%w: %q", ErrNoClient, k)
	}
}
