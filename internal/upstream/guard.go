// Package upstream reaches agents: it decides which addresses may be dialled, keeps
// the connections, and fetches agent cards. What is said over a connection is not
// its concern.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/signalbox-dev/signalbox/internal/registry"
)

// AllowedNetworksSetting names the setting that opens loopback and private networks.
const AllowedNetworksSetting = "upstream.allowed_networks"

// ForbiddenError says that an address may not be dialled.
type ForbiddenError struct {
	// Address is what was refused.
	Address string
	// Why says what kind of address it is.
	Why string
	// Setting is the setting that would allow it; empty when none does.
	Setting string
}

// Error names the address, the cause and what to do.
func (e *ForbiddenError) Error() string {
	text := "address " + e.Address + " may not be dialled: it is " + e.Why
	if e.Setting != "" {
		text += "; add its network to " + e.Setting + " to allow it"
	}
	return text
}

// Is makes the error one of [registry.ErrAddressForbidden].
func (e *ForbiddenError) Is(target error) bool { return target == registry.ErrAddressForbidden }

// DialError says that no connection came about, so that the agent saw nothing of
// the call.
type DialError struct{ Err error }

// Error returns the text of the cause.
func (e *DialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Guard decides which addresses may be dialled. It is asked with the address that
// was resolved, right before the connection is made, so that a name cannot answer
// one address to the check and another to the connection.
type Guard struct {
	allowed   []netip.Prefix
	listeners []netip.AddrPort
	local     []netip.Addr
}

// Addresses that are refused whatever is allowed: services that hand out a
// machine's credentials.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"),
	netip.MustParseAddr("169.254.170.2"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
}

var (
	sharedAddresses = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	benchmarking    = netip.MustParsePrefix("198.18.0.0/15") // RFC 2544
	thisNetwork     = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122
	reserved        = netip.MustParsePrefix("240.0.0.0/4")   // RFC 1112
	nat64           = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052
	sixToFour       = netip.MustParsePrefix("2002::/16")     // RFC 3056
)

// NewGuard returns a guard that allows public addresses and the given networks, and
// never the gateway's own listeners.
func NewGuard(allowed []netip.Prefix, listeners []netip.AddrPort) (*Guard, error) {
	g := &Guard{allowed: allowed, listeners: listeners}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			g.local = append(g.local, prefix.Addr().Unmap())
		}
	}
	return g, nil
}

// Check returns a [*ForbiddenError] when the address may not be dialled.
func (g *Guard) Check(to netip.AddrPort) error {
	addr := embedded(to.Addr().Unmap().WithZone(""))
	forbidden := func(why, setting string) error {
		return &ForbiddenError{Address: to.String(), Why: why, Setting: setting}
	}
	if slices.Contains(metadataServices, addr) {
		return forbidden("a metadata service", "")
	}
	switch {
	case addr.IsLinkLocalUnicast():
		return forbidden("link-local", "")
	case addr.IsMulticast() || addr.IsInterfaceLocalMulticast():
		return forbidden("multicast", "")
	case addr.IsUnspecified() || thisNetwork.Contains(addr) || reserved.Contains(addr):
		return forbidden("no address of a host", "")
	case g.ownListener(addr, to.Port()):
		return forbidden("the gateway itself", "")
	}
	why := ""
	switch {
	case addr.IsLoopback():
		why = "a loopback address"
	case addr.IsPrivate(), sharedAddresses.Contains(addr), benchmarking.Contains(addr):
		why = "a private address"
	default:
		return nil
	}
	for _, n := range g.allowed {
		if n.Contains(addr) {
			return nil
		}
	}
	return forbidden(why, AllowedNetworksSetting)
}

// embedded returns the IPv4 address that a translation address stands for, since
// that is where the packets end up.
func embedded(a netip.Addr) netip.Addr {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

func (g *Guard) ownListener(addr netip.Addr, port uint16) bool {
	for _, l := range g.listeners {
		if l.Port() != port {
			continue
		}
		on := l.Addr().Unmap()
		if on == addr {
			return true
		}
		if on.IsUnspecified() {
			if addr.IsLoopback() {
				return true
			}
			if slices.Contains(g.local, addr) {
				return true
			}
		}
	}
	return false
}

// control is called by a dialler with the resolved address of each attempt.
func (g *Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address to dial: %w", err)
	}
	return g.Check(to)
}

// CheckURL refuses a URL whose host is, or now resolves to, an address that may not
// be dialled. A name that does not resolve passes: it may when the call is made,
// and then it is checked again.
func (g *Guard) CheckURL(ctx context.Context, rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("read the address: %w", err)
	}
	port := uint16(443)
	if u.Scheme == "http" {
		port = 80
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("port %q is not one", p)
		}
		port = uint16(n)
	}
	addrs, err := resolve(ctx, u.Hostname())
	if err != nil {
		return nil //nolint:nilerr // the name may resolve when it is needed
	}
	for _, a := range addrs {
		if err := g.Check(netip.AddrPortFrom(a, port)); err != nil {
			return err
		}
	}
	return nil
}

// CheckPublic refuses a URL whose host does not resolve, or resolves to a loopback,
// private or link-local address, whatever networks are allowed. It is for addresses
// that somebody else than the gateway will dial.
func (g *Guard) CheckPublic(ctx context.Context, rawURL string, loopback bool) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("read the address: %w", err)
	}
	addrs, err := resolve(ctx, u.Hostname())
	if err != nil {
		return fmt.Errorf("host %q does not resolve", u.Hostname())
	}
	strict := Guard{listeners: g.listeners, local: g.local}
	if loopback {
		strict.allowed = LoopbackNetworks()
	}
	for _, a := range addrs {
		if err := strict.Check(netip.AddrPortFrom(a, 443)); err != nil {
			if f, ok := errors.AsType[*ForbiddenError](err); ok {
				return &ForbiddenError{Address: u.Hostname(), Why: f.Why}
			}
			return err
		}
	}
	return nil
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// LoopbackNetworks returns the loopback networks of both families.
func LoopbackNetworks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}
