package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/upstream"
)

func newGuard(t *testing.T, allowed []netip.Prefix, listeners ...string) *upstream.Guard {
	t.Helper()
	own := make([]netip.AddrPort, len(listeners))
	for i, l := range listeners {
		own[i] = netip.MustParseAddrPort(l)
	}
	g, err := upstream.NewGuard(allowed, own)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuard_ChecksTheAddressThatIsDialled(t *testing.T) {
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	tests := []struct {
		name    string
		allowed []netip.Prefix
		to      string
		why     string // part of the error; empty when allowed
	}{
		{"public v4", nil, "93.184.215.14:443", ""},
		{"public v6", nil, "[2606:2800:220:1::1]:443", ""},
		{"loopback closed", nil, "127.0.0.1:9999", "loopback"},
		{"loopback open", upstream.LoopbackNetworks(), "127.0.0.1:9999", ""},
		{"loopback v6 open", upstream.LoopbackNetworks(), "[::1]:9999", ""},
		{"loopback as mapped v6", nil, "[::ffff:127.0.0.1]:9999", "loopback"},
		{"private closed", nil, "10.1.2.3:80", "private"},
		{"private open", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "10.1.2.3:80", ""},
		{"other private stays closed", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "192.168.1.1:80", "private"},
		{"carrier-grade", nil, "100.64.0.1:80", "private"},
		{"unique local v6", nil, "[fc00::1]:80", "private"},
		{"private behind NAT64", nil, "[64:ff9b::a00:1]:80", "private"},
		{"loopback behind 6to4", nil, "[2002:7f00:1::]:80", "loopback"},
		{"metadata even when all is open", everything, "169.254.169.254:80", "metadata"},
		{"metadata v6 even when all is open", everything, "[fd00:ec2::254]:80", "metadata"},
		{"metadata as mapped v6", everything, "[::ffff:169.254.169.254]:80", "metadata"},
		{"metadata behind NAT64", everything, "[64:ff9b::a9fe:a9fe]:80", "metadata"},
		{"link-local even when all is open", everything, "169.254.1.1:80", "link-local"},
		{"link-local v6 with a zone", everything, "[fe80::1%eth0]:80", "link-local"},
		{"unspecified", everything, "0.0.0.0:80", "no address"},
		{"multicast", everything, "224.0.0.1:80", "multicast"},
		{"broadcast", everything, "255.255.255.255:80", "no address"},
		{"own listener", upstream.LoopbackNetworks(), "127.0.0.1:8080", "gateway itself"},
		{"own listener through the wildcard", upstream.LoopbackNetworks(), "127.0.0.1:8081", "gateway itself"},
		{"own listener's address, another port", upstream.LoopbackNetworks(), "127.0.0.1:8082", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuard(t, tt.allowed, "127.0.0.1:8080", "0.0.0.0:8081")
			err := g.Check(netip.MustParseAddrPort(tt.to))
			if tt.why == "" {
				if err != nil {
					t.Fatalf("Check(%s) = %v, want it allowed", tt.to, err)
				}
				return
			}
			forbidden, ok := errors.AsType[*upstream.ForbiddenError](err)
			if !ok || !strings.Contains(forbidden.Why, tt.why) {
				t.Fatalf("Check(%s) = %v, want it forbidden as %q", tt.to, err, tt.why)
			}
			if !errors.Is(err, registry.ErrAddressForbidden) {
				t.Errorf("the error is not registry.ErrAddressForbidden")
			}
			if named := strings.Contains(err.Error(), upstream.AllowedNetworksSetting); named != (tt.why == "loopback" || tt.why == "private") {
				t.Errorf("Check(%s) = %v: names the setting: %v", tt.to, err, named)
			}
		})
	}
}

func TestTransport_RefusesAtTheConnectionWhateverTheNameSaidBefore(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the agent was reached")
	}))
	defer agent.Close()
	transport := upstream.NewTransport(newGuard(t, nil), 64<<10)
	defer transport.CloseIdleConnections()
	// The name resolves at the moment of dialling only.
	address := strings.Replace(agent.URL, "127.0.0.1", "localhost", 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if _, ok := errors.AsType[*upstream.ForbiddenError](err); !ok {
		t.Errorf("RoundTrip = %v, want a ForbiddenError", err)
	}
	if _, ok := errors.AsType[*upstream.DialError](err); !ok {
		t.Errorf("RoundTrip = %v, want a DialError, so that it is known that the agent saw nothing", err)
	}
}

func TestTransport_AFailureAfterTheConnectionIsNoDialError(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	transport := upstream.NewTransport(newGuard(t, upstream.LoopbackNetworks()), 64<<10)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String(), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("RoundTrip succeeded against a server that closes at once")
	}
	if _, ok := errors.AsType[*upstream.DialError](err); ok {
		t.Errorf("RoundTrip = %v, a DialError though the connection was made", err)
	}
}

func TestCheckPublic_IgnoresWhatIsAllowedForAgents(t *testing.T) {
	g := newGuard(t, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")})
	for _, url := range []string{"https://127.0.0.1/x", "https://10.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://no-such-host.invalid/x"} {
		if err := g.CheckPublic(t.Context(), url, false); err == nil {
			t.Errorf("CheckPublic(%s) allowed it", url)
		}
	}
	if err := g.CheckPublic(t.Context(), "https://127.0.0.1/x", true); err != nil {
		t.Errorf("CheckPublic with loopback = %v", err)
	}
	if err := g.CheckPublic(t.Context(), "https://93.184.215.14/x", false); err != nil {
		t.Errorf("CheckPublic of a public address = %v", err)
	}
}

func TestFetchCard_LooksAtTheWellKnownPathsAndFollowsNoRedirect(t *testing.T) {
	mux := http.NewServeMux()
	serve := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
	serve("/new/.well-known/agent-card.json", `{"name":"new"}`)
	serve("/old/.well-known/agent.json", `{"name":"old"}`)
	serve("/direct/card.json", `{"name":"direct"}`)
	serve("/big/.well-known/agent-card.json", strings.Repeat(" ", upstream.MaxCardBytes+1))
	mux.HandleFunc("GET /moved/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/new/.well-known/agent-card.json", http.StatusFound)
	})
	agent := httptest.NewServer(mux)
	defer agent.Close()
	transport := upstream.NewTransport(newGuard(t, upstream.LoopbackNetworks()), 64<<10)
	defer transport.CloseIdleConnections()
	cards := &upstream.Cards{Transport: transport}
	tests := []struct{ path, want, err string }{
		{"/new", `{"name":"new"}`, ""},
		{"/new/", `{"name":"new"}`, ""},
		{"/old", `{"name":"old"}`, ""},
		{"/direct/card.json", `{"name":"direct"}`, ""},
		{"/big", "", "larger than"},
		{"/moved", "", "HTTP 302"},
		{"/none", "", "HTTP 404"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			got, err := cards.FetchCard(context.Background(), nil, agent.URL+tt.path)
			if string(got) != tt.want || (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("FetchCard = %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}
