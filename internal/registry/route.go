package registry

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Route is how an agent is spoken to: what its card says, at the addresses that its
// endpoints have.
type Route struct {
	// Interfaces are the ways to speak with the agent that the gateway speaks, in the
	// card's order, at most one of a dialect.
	Interfaces []Upstream
	// Card is what the agent's card says; the zero value when it has none.
	Card a2a.Card
	// HasCard tells whether there is a card.
	HasCard bool
	// best holds the index of the interface that serves the callers of each of
	// [a2a.Dialects].
	best [len(a2a.Dialects)]uint8
}

// Upstream is an interface of an agent: a dialect and where it is spoken.
type Upstream struct {
	Dialect a2a.Dialect
	// Tenant is what every request must name, where the dialect has tenants; it may be
	// empty.
	Tenant string
	// URLs are the addresses to call, one for each endpoint, in their order. They are
	// shared and must not be changed. Those of gRPC have no path, and their scheme says
	// how the connection begins: http means h2c, https TLS.
	URLs []*url.URL
}

// For returns the interface that a call goes to whose caller speaks a dialect, and
// false when no interface serves it.
func (r *Route) For(down a2a.Dialect) (*Upstream, bool) {
	i := slices.Index(a2a.Dialects[:], down)
	if i < 0 || len(r.Interfaces) == 0 {
		return nil, false
	}
	return &r.Interfaces[r.best[i]], true
}

// Serves tells whether callers of a dialect can reach the agent. Every dialect can be
// translated into every other, so they can when it has any interface.
func (r *Route) Serves(down a2a.Dialect) bool {
	_, ok := r.For(down)
	return ok
}

// Dialects returns what the agent speaks, in its card's order.
func (r *Route) Dialects() []a2a.Dialect {
	dialects := make([]a2a.Dialect, len(r.Interfaces))
	for i := range r.Interfaces {
		dialects[i] = r.Interfaces[i].Dialect
	}
	return dialects
}

func (r *Route) index(d a2a.Dialect) int {
	return slices.IndexFunc(r.Interfaces, func(u Upstream) bool { return u.Dialect == d })
}

// ReadRoute reads how an agent is spoken to from its card and endpoints. An agent
// without a card, or with one that cannot be read, is JSON-RPC 1.0 at its URL.
func ReadRoute(a *Agent) Route {
	var route Route
	card, err := a2a.ParseCard(a.Card)
	if len(a.Card) == 0 || err != nil {
		one := Upstream{Dialect: a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10}}
		for _, e := range a.Endpoints {
			one.URLs = append(one.URLs, dialURL(e.URL, e.URL, false))
		}
		route.Interfaces = []Upstream{one}
	} else {
		route.Card, route.HasCard = card, true
		route.readInterfaces(a)
	}
	route.choose(a.PreferredDialects)
	return route
}

func (r *Route) readInterfaces(a *Agent) {
	interfaces := r.Card.Interfaces
	if a.CardVerification.State == CardVerified && r.Card.Shape == a2a.ShapeUnion {
		interfaces = interfaces[:r.Card.Supported] // nobody signed the others
	}
	for _, i := range interfaces {
		dialect, ok := i.Dialect()
		if !ok || r.index(dialect) >= 0 {
			continue
		}
		one := Upstream{Dialect: dialect, Tenant: i.Tenant}
		for _, e := range a.Endpoints {
			dial := dialURL
			if dialect.Binding == a2a.GRPC {
				dial = dialTarget
			}
			one.URLs = append(one.URLs, dial(e.URL, i.URL, a.TrustCardAuthority))
		}
		r.Interfaces = append(r.Interfaces, one)
	}
}

// choose finds the interface for the callers of each dialect: the first preferred one
// that the agent has, whatever the caller speaks, or else the nearest.
func (r *Route) choose(preferred []a2a.Dialect) {
	if len(r.Interfaces) == 0 {
		return
	}
	for _, d := range preferred {
		if i := r.index(d); i >= 0 {
			for at := range r.best {
				r.best[at] = uint8(i)
			}
			return
		}
	}
	for at, down := range a2a.Dialects {
		r.best[at] = uint8(r.nearest(down))
	}
}

// nearest returns the index of the interface that needs the least translation. A
// version is more work than a binding, and loses more.
func (r *Route) nearest(down a2a.Dialect) int {
	distance := func(d a2a.Dialect) int {
		switch {
		case d == down:
			return 0
		case d.Version == down.Version:
			return 1
		case d.Binding == down.Binding:
			return 2
		}
		return 3
	}
	best := 0
	for i := range r.Interfaces {
		one, other := r.Interfaces[i].Dialect, r.Interfaces[best].Dialect
		if cmp.Or(cmp.Compare(distance(one), distance(other)), cmp.Compare(one.Binding, other.Binding)) < 0 {
			best = i
		}
	}
	return best
}

// dialURL takes the path of what the card names, and the scheme and authority of
// the registered endpoint unless those of the card are trusted: a card often names
// an address that is right only where the agent runs.
func dialURL(endpoint, named string, trust bool) *url.URL {
	base, err := url.Parse(endpoint)
	if err != nil {
		// Registered URLs were parsed on write. What no longer parses cannot be dialled.
		return &url.URL{Scheme: "invalid", Opaque: endpoint}
	}
	card, err := url.Parse(named)
	if err != nil {
		return base
	}
	if trust && card.IsAbs() && card.Host != "" {
		return card
	}
	if named == "" || (!card.IsAbs() && !strings.HasPrefix(card.Path, "/")) {
		card = base.JoinPath(card.Path)
	}
	dial := *base
	dial.Path, dial.RawPath, dial.RawQuery, dial.Fragment = card.Path, card.RawPath, card.RawQuery, ""
	return &dial
}

// dialTarget is dialURL for gRPC, where there are no paths to take over.
func dialTarget(endpoint, named string, trust bool) *url.URL {
	base, err := url.Parse(endpoint)
	if err != nil {
		return &url.URL{Scheme: "invalid", Opaque: endpoint}
	}
	dial := &url.URL{Scheme: base.Scheme, Host: base.Host}
	if scheme, authority := grpcTarget(named); trust && authority != "" {
		dial.Scheme, dial.Host = cmp.Or(scheme, base.Scheme), authority
	}
	return dial
}

// grpcTarget reads what cards have for addresses of gRPC: "host:port", "dns:///host:port"
// and URLs. The scheme is http, https, or empty when the address does not tell; the
// authority is empty when there is none in it.
func grpcTarget(named string) (scheme, authority string) {
	before, rest, ok := strings.Cut(named, "://")
	if !ok {
		before, rest = "", strings.TrimPrefix(named, "dns:")
	}
	switch strings.ToLower(before) {
	case "", "grpc":
	case "http":
		scheme = "http"
	case "https", "grpcs":
		scheme = "https"
	case "dns":
		// dns://resolver/host:port; the resolver is the gateway's own.
		_, rest, _ = strings.Cut(rest, "/")
	default:
		return "", ""
	}
	authority, _, _ = strings.Cut(rest, "/")
	if u, err := url.Parse("//" + authority); err != nil || u.Host != authority || u.Hostname() == "" {
		return "", ""
	}
	return scheme, authority
}
