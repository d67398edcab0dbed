package registry

import (
	"net/url"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Route is how an agent is spoken to: what its card says, at the addresses that its
// endpoints have.
type Route struct {
	// Interfaces are the ways to speak JSON-RPC with the agent, best first, at most
	// one of a version.
	Interfaces []JSONRPC
	// Card is what the agent's card says; the zero value when it has none.
	Card a2a.Card
	// HasCard tells whether there is a card.
	HasCard bool
}

// JSONRPC is an interface of binding JSONRPC.
type JSONRPC struct {
	Version a2a.Version
	// Tenant goes into every request of version 1.0 when it is not empty.
	Tenant string
	// URLs are the addresses to post to, one for each endpoint, in their order. They
	// are shared and must not be changed.
	URLs []*url.URL
}

// Interface returns the agent's interface of a version.
func (r *Route) Interface(v a2a.Version) (*JSONRPC, bool) {
	for i := range r.Interfaces {
		if r.Interfaces[i].Version == v {
			return &r.Interfaces[i], true
		}
	}
	return nil, false
}

// Versions returns the versions that the agent speaks over JSON-RPC, best first.
func (r *Route) Versions() []a2a.Version {
	versions := make([]a2a.Version, len(r.Interfaces))
	for i := range r.Interfaces {
		versions[i] = r.Interfaces[i].Version
	}
	return versions
}

// ReadRoute reads how an agent is spoken to from its card and endpoints. An agent
// without a card, or with one that cannot be read, is JSON-RPC 1.0 at its URL.
func ReadRoute(a *Agent) Route {
	card, err := a2a.ParseCard(a.Card)
	if len(a.Card) == 0 || err != nil {
		one := JSONRPC{Version: a2a.V10}
		for _, e := range a.Endpoints {
			one.URLs = append(one.URLs, dialURL(e.URL, e.URL, false))
		}
		return Route{Interfaces: []JSONRPC{one}}
	}
	route := Route{Card: card, HasCard: true}
	for _, i := range card.Interfaces {
		if i.Binding != a2a.BindingJSONRPC || i.Version == 0 {
			continue // not spoken here
		}
		if _, ok := route.Interface(i.Version); ok {
			continue
		}
		one := JSONRPC{Version: i.Version, Tenant: i.Tenant}
		for _, e := range a.Endpoints {
			one.URLs = append(one.URLs, dialURL(e.URL, i.URL, a.TrustCardAuthority))
		}
		route.Interfaces = append(route.Interfaces, one)
	}
	return route
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
