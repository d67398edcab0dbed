package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1/policyv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/task/v1/taskv1connect"
)

// Times of client commands.
const (
	headerTimeout = 20 * time.Second
	// completionTimeout is what a user waits for after pressing a key.
	completionTimeout = 2 * time.Second
	dialTimeout       = 10 * time.Second
)

// pageSize is the number of resources that are asked for at once.
const pageSize = 250

// management is the management plane of a gateway.
type management struct {
	settings
	registry registryv1connect.RegistryServiceClient
	identity identityv1connect.IdentityServiceClient
	audit    auditv1connect.AuditServiceClient
	tasks    taskv1connect.TaskServiceClient
	policy   policyv1connect.PolicyServiceClient
	close    func()
}

// manage connects to the management plane; nothing is sent yet.
func (p *program) manage() (*management, error) {
	s, err := p.settings(adminKeyFile)
	if err != nil {
		return nil, err
	}
	for _, w := range s.warnings {
		p.note("warning: %s", w)
	}
	return newManagement(s), nil
}

func newManagement(s settings) *management {
	transport := newTransport(s)
	// Management calls are short; the one stream there is says its headers at once.
	transport.ResponseHeaderTimeout = headerTimeout
	client := newClient(s, transport)
	return &management{
		settings: s,
		registry: registryv1connect.NewRegistryServiceClient(client, s.server),
		identity: identityv1connect.NewIdentityServiceClient(client, s.server),
		audit:    auditv1connect.NewAuditServiceClient(client, s.server),
		tasks:    taskv1connect.NewTaskServiceClient(client, s.server),
		policy:   policyv1connect.NewPolicyServiceClient(client, s.server),
		close:    transport.CloseIdleConnections,
	}
}

// newTransport makes connections for [newClient], which follows no redirect: whoever they
// lead to is the gateway.
func newTransport(s settings) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // as documented
	t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	if s.tls != nil {
		t.TLSClientConfig = s.tls.config()
	}
	return t
}

// newClient makes a client that calls one gateway with its key, and nobody else.
func newClient(s settings, next http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: &bearer{server: s.server, key: s.key, tls: s.tls, next: next},
		// The transport makes errors of redirects; should one get past it, it ends here.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bearer adds the key to each request to the server that the key is for.
type bearer struct {
	server, key string
	tls         *handshakes // nil when they are no matter
	answered    atomic.Bool // whoever has answered lets the caller in
	next        http.RoundTripper
}

// RoundTrip sends the request. A redirect is a [*redirectError]: what answers at the
// address of a gateway must not choose who gets the key, or what was meant for an agent.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "signalbox-cli/"+readBuild().Version)
	if b.key != "" && b.isFor(r.URL) {
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		if b.tls != nil && !b.answered.Load() {
			err = b.tls.explain(err, b.server)
		}
		return nil, err
	}
	b.answered.Store(true)
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		_ = resp.Body.Close() // nothing in it is wanted
		if u, err := resp.Location(); err == nil {
			to = u.Redacted()
		}
		return nil, &redirectError{status: resp.StatusCode, server: b.server, to: to}
	}
	return resp, nil
}

// isFor tells whether an address is of the server.
func (b *bearer) isFor(u *url.URL) bool {
	server, err := url.Parse(b.server)
	return err == nil && u.Scheme == server.Scheme && strings.EqualFold(u.Host, server.Host)
}

// redirectError is an answer that sends the caller elsewhere.
type redirectError struct {
	status     int
	server, to string
}

// Error says where the caller was sent.
func (e *redirectError) Error() string {
	return fmt.Sprintf("%s answers with a redirect (HTTP %d) to %s, which was not followed", e.server, e.status, e.to)
}

// gatewayError remembers with which settings a call went wrong.
type gatewayError struct {
	settings settings
	err      error
}

// Error returns the text of the cause.
func (c *gatewayError) Error() string { return c.err.Error() }

// Unwrap returns the cause.
func (c *gatewayError) Unwrap() error { return c.err }

// managed makes an action of one that calls the management plane.
func (p *program) managed(a func(cmd *cobra.Command, args []string, m *management) error) func(*cobra.Command, []string) error {
	return run(func(cmd *cobra.Command, args []string) error {
		m, err := p.manage()
		if err != nil {
			return err
		}
		defer m.close()
		if err := a(cmd, args, m); err != nil {
			return &gatewayError{settings: m.settings, err: err}
		}
		return nil
	})
}

// pages collects up to limit items (0 means all) of a list.
func pages[T any](limit int, next func(size uint32, token string) ([]T, string, error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		items, after, err := next(uint32(size), token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		if after == "" {
			return all, nil
		}
		if after == token {
			return nil, errors.New("the gateway repeats a page of the list")
		}
		token = after
	}
}

// completing makes a completion of one that asks the gateway. Whatever goes wrong, a
// shell is not the place to say it.
func (p *program) completing(
	ask func(ctx context.Context, m *management) ([]string, error),
) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, err := p.settings(adminKeyFile)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		m := newManagement(s)
		defer m.close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		names, err := ask(ctx, m)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
