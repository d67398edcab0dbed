package registry

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Notes returns what the agent's owner should know: the stored warnings, and those that
// follow from how settings and card stand to each other now.
func (a *Agent) Notes() []string {
	notes := slices.Clone(a.Warnings)
	if !a.TrustCardAuthority {
		notes = append(notes, dialWarnings(a.Interfaces, a.Endpoints)...)
	}
	if offered := offeredDialects(a); len(a.PreferredDialects) > 0 && len(offered) > 0 &&
		!slices.ContainsFunc(a.PreferredDialects, func(d a2a.Dialect) bool { return slices.Contains(offered, d) }) {
		notes = append(notes, fmt.Sprintf("the agent offers none of preferred_dialects; it offers %s", join(offered)))
	}
	return append(notes, a.secretNotes()...)
}

// offeredDialects returns what the agent speaks that the gateway speaks too.
func offeredDialects(a *Agent) []a2a.Dialect {
	if a.CardSource == CardNone {
		return []a2a.Dialect{{Binding: a2a.JSONRPC, Version: a2a.V10}}
	}
	var offered []a2a.Dialect
	for _, i := range a.Interfaces {
		if d, ok := i.dialect(); ok && !slices.Contains(offered, d) {
			offered = append(offered, d)
		}
	}
	return offered
}

// dialect returns what is spoken at the interface, and false when the gateway does not
// speak it.
func (i Interface) dialect() (a2a.Dialect, bool) {
	return a2a.ParseDialect(i.Binding + "/" + i.Version)
}

// dialWarnings tells where a card names ports that the endpoints do not stand for: calls
// to those interfaces would end up at whatever else listens at the endpoint. Another
// host alone is often the same one under another name, and so is the one port of HTTP
// of an agent behind a proxy.
func dialWarnings(interfaces []Interface, endpoints []Endpoint) []string {
	var ports, addresses []string
	for _, e := range endpoints {
		if u, err := url.Parse(e.URL); err == nil {
			_, port := splitAuthority(u.Scheme, u.Host)
			ports, addresses = append(ports, port), append(addresses, u.Host)
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	type face struct {
		dialect    a2a.Dialect
		host, port string
	}
	var faces []face
	var httpPorts []string
	for _, i := range interfaces {
		d, ok := i.dialect()
		if !ok || slices.ContainsFunc(faces, func(f face) bool { return f.dialect == d }) {
			continue // never called
		}
		host, port := namedAuthority(d, i.URL)
		faces = append(faces, face{d, host, port})
		if d.Binding != a2a.GRPC && port != "" && !slices.Contains(httpPorts, port) {
			httpPorts = append(httpPorts, port)
		}
	}
	if len(httpPorts) == 1 {
		ports = append(ports, httpPorts[0])
	}
	var authorities []string
	named := map[string][]a2a.Dialect{}
	for _, f := range faces {
		if f.host == "" || f.port == "" || slices.Contains(ports, f.port) {
			continue
		}
		at := net.JoinHostPort(strings.Trim(f.host, "[]"), f.port)
		if named[at] == nil {
			authorities = append(authorities, at)
		}
		named[at] = append(named[at], f.dialect)
	}
	warnings := make([]string, len(authorities))
	for i, at := range authorities {
		warnings[i] = clip(fmt.Sprintf("the agent card names %s at %s, calls go to %s; set trust_card_authority to dial the address of the card",
			join(named[at]), at, addresses[0]))
	}
	return warnings
}

// namedAuthority returns the host and port that a card names for an interface, both
// empty when it names none, and the port also when it does not tell.
func namedAuthority(d a2a.Dialect, named string) (host, port string) {
	var scheme, authority string
	if d.Binding == a2a.GRPC {
		scheme, authority = grpcTarget(named)
	} else if u, err := url.Parse(named); err == nil {
		scheme, authority = u.Scheme, u.Host
	}
	return splitAuthority(scheme, authority)
}

// splitAuthority returns host and port of an authority; the port is that of the scheme
// when it is not given.
func splitAuthority(scheme, authority string) (host, port string) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	preset := map[string]string{"http": "80", "https": "443"}
	return host, cmp.Or(port, preset[scheme])
}
