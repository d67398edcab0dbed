package upstream

import (
	"io"
	"net/http"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// refusedBytes is how much is read of a refusal so that its connection can be used again.
const refusedBytes = 64 << 10

// failing is the way to an agent whose credential cannot be used.
type failing struct{ err error }

// RoundTrip fails.
func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// unreadable is for secrets that were sealed with a key that this replica does not have,
// or that somebody changed.
func unreadable(what string, err error) error {
	return &httpauth.Error{
		Why: httpauth.Unreadable, Err: err,
		Problem: what + " cannot be read by this replica: it was sealed with another key-encryption key, or was changed",
	}
}

// signing shows a credential with each request.
type signing struct {
	next   http.RoundTripper
	signer httpauth.Signer
	secret credential.Secret
}

// RoundTrip sends a request with the credential, and only to where that may be sent. A
// request whose token the agent refuses is sent once more with a new one, also a send:
// the agent said that it did nothing because it does not know who calls (RFC 9110,
// section 15.5.2).
func (s *signing) RoundTrip(req *http.Request) (*http.Response, error) {
	if !s.secret.Allows(req.URL) {
		return nil, &httpauth.Error{
			Why:     httpauth.NotForHost,
			Problem: "the agent's credential is not for the host that its card names; its owner can add that to extra_origins",
		}
	}
	caller := callerOf(req.Context())
	used, err := s.signer.Sign(req, caller)
	if err != nil {
		return nil, err
	}
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if used != nil && forbidden(resp) {
		used.Doubted()
	}
	if !unauthenticated(resp) {
		return resp, nil
	}
	if used != nil && (req.Body == nil || req.GetBody != nil) && used.Refused() {
		again := req.Clone(req.Context())
		if req.GetBody != nil {
			if again.Body, err = req.GetBody(); err != nil {
				return nil, refuse(resp)
			}
		}
		if _, err := s.signer.Sign(again, caller); err != nil {
			discard(resp)
			return nil, err
		}
		discard(resp)
		if resp, err = s.next.RoundTrip(again); err != nil {
			return nil, err
		}
		if !unauthenticated(resp) {
			return resp, nil
		}
	}
	return nil, refuse(resp)
}

// refuse is the error for a response that refuses the credential.
func refuse(resp *http.Response) error {
	how := "HTTP 401"
	if resp.StatusCode != http.StatusUnauthorized {
		how = "UNAUTHENTICATED"
	}
	discard(resp)
	return &httpauth.Error{Why: httpauth.AgentRefused, Problem: "the agent refused the gateway's credential (" + how + ")"}
}

// discard reads the rest of a response, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, refusedBytes)
	_ = resp.Body.Close()
}

// unauthenticated tells whether an agent says that it does not know who calls. Over gRPC
// that is so when its reply begins with the status, so that it has done nothing.
func unauthenticated(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized || grpcStatus(resp, a2a.GRPCUnauthenticated)
}

// forbidden tells whether an agent says that who calls may not do this.
func forbidden(resp *http.Response) bool {
	return resp.StatusCode == http.StatusForbidden || grpcStatus(resp, a2a.GRPCPermissionDenied)
}

func grpcStatus(resp *http.Response, status int) bool {
	given := resp.Header["Grpc-Status"]
	return len(given) == 1 && given[0] == strconv.Itoa(status)
}
