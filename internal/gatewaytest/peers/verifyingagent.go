package peers

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// VerifyingAgent is an agent on the JavaScript SDK that takes only requests with an
// identity token of a gateway, which it verifies with the library jose.
type VerifyingAgent struct{ *Agent }

// Verified is what such an agent has seen.
type Verified struct {
	// Seen are the requests whose tokens were good, in order.
	Seen []VerifiedRequest
	// Refused says of the others what was wrong.
	Refused []string
}

// VerifiedRequest is a request, and what its token says.
type VerifiedRequest struct {
	Path   string
	Header map[string]string // of the token
	Claims map[string]any
}

// StartVerifyingAgent starts an agent that believes the keys at an address.
func StartVerifyingAgent(t testing.TB, jwks, issuer, audience string) *VerifyingAgent {
	t.Helper()
	return &VerifyingAgent{startProcessAgent(t, JS, "verifying", jwks, issuer, audience)}
}

// Verified returns what the agent has seen until now.
func (a *VerifyingAgent) Verified(t testing.TB) Verified {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+"/__seen", nil)
	if err != nil {
		t.Fatalf("peers: read what was verified: %v", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("peers: read what was verified: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v Verified
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&v); err != nil {
		t.Fatalf("peers: read what was verified: %v", err)
	}
	return v
}
