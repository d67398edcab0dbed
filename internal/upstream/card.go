package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// MaxCardBytes bounds an agent card.
const MaxCardBytes = 1 << 20

// wellKnown are the paths below a base URL at which a card is looked for: that of
// A2A 0.3 and 1.0, then that of 0.2.
var wellKnown = []string{"/.well-known/agent-card.json", "/.well-known/agent.json"}

// Cards fetches agent cards.
type Cards struct {
	// Transport is required.
	Transport http.RoundTripper
	// Agents shows the credentials of agents; nil means that nobody does.
	Agents *Agents
}

// FetchCard returns the card of the agent at a base URL. A URL that ends in ".json"
// is that of the card itself. With an agent it shows that agent's credential. It follows
// no redirect, and its text names only the status or the kind of failure, never what the
// address answered.
func (c *Cards) FetchCard(ctx context.Context, as *registry.Agent, baseURL string) ([]byte, error) {
	way := c.Transport
	if as != nil && c.Agents != nil {
		var done func()
		way, done = c.Agents.Once(as)
		defer done()
	}
	if u, err := url.Parse(baseURL); err == nil && strings.HasSuffix(u.Path, ".json") {
		return get(ctx, way, baseURL)
	}
	var errs []error
	for _, path := range wellKnown {
		card, err := get(ctx, way, strings.TrimRight(baseURL, "/")+path)
		if err == nil {
			return card, nil
		}
		errs = append(errs, err)
		if _, answered := errors.AsType[*statusError](err); !answered {
			break // the next path would fail alike
		}
	}
	return nil, errs[0]
}

type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("the agent answered HTTP %d", e.status) }

func get(ctx context.Context, way http.RoundTripper, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request for the card: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/a2a+json")
	resp, err := way.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the card: %w", plainly(ctx, err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the card: %w", &statusError{resp.StatusCode})
	}
	card, err := io.ReadAll(io.LimitReader(resp.Body, MaxCardBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the card: %w", plainly(ctx, err))
	}
	if len(card) > MaxCardBytes {
		return nil, fmt.Errorf("the card is larger than %d bytes", MaxCardBytes)
	}
	return card, nil
}

// errUntrusted is for certificates of agents that cannot be verified.
var errUntrusted = errors.New("the agent's certificate is not trusted; give the certificates of its authority with ca_certificates, " +
	"or the name that it is issued for with server_name")

// plainly tells what kind of failure it was, without the addresses that resolvers and
// diallers put into their errors. What may not be dialled names the setting.
func plainly(ctx context.Context, err error) error {
	if forbidden, ok := errors.AsType[*ForbiddenError](err); ok {
		return forbidden
	}
	if refused, ok := errors.AsType[*httpauth.Error](err); ok {
		return errors.New(refused.Problem)
	}
	if ctx.Err() != nil {
		return errors.New("the agent did not answer in time")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errUntrusted
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return errors.New("the host does not exist")
	}
	if _, ok := errors.AsType[*DialError](err); ok {
		return errors.New("no connection could be made")
	}
	return errors.New("the connection broke off")
}
