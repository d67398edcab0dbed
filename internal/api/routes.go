package api

import (
	"net"
	"net/url"
	"strings"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// publicAddress is where callers of agents reach the gateway. Both are empty when that
// is not known.
type publicAddress struct {
	url    string // without a slash at its end
	grpc   string // host and port
	suffix string // of an agent's name in authorities of gRPC; empty when they name none
}

// newPublicAddress reads a URL that the configuration has checked.
func newPublicAddress(text, suffix string) publicAddress {
	u, err := url.Parse(text)
	if text == "" || err != nil {
		return publicAddress{suffix: suffix}
	}
	port := u.Port()
	if port == "" {
		if port = "443"; u.Scheme == "http" {
			port = "80"
		}
	}
	return publicAddress{url: strings.TrimRight(text, "/"), grpc: net.JoinHostPort(u.Hostname(), port), suffix: suffix}
}

// routes says how callers of each dialect reach an agent, and how they are served.
func (p publicAddress) routes(a *registry.Agent) []*registryv1.Route {
	route := registry.ReadRoute(a)
	var routes []*registryv1.Route
	for _, down := range a2a.Dialects {
		up, ok := route.For(down)
		if !ok {
			continue
		}
		one := &registryv1.Route{
			Dialect: down.String(), Address: p.url + "/a2a/" + a.ID,
			UpstreamDialect: up.Dialect.String(), Translated: up.Dialect != down,
		}
		if down.Binding == a2a.GRPC {
			one.Address, one.Selector = p.grpc, "x-signalbox-agent="+a.ID
			switch {
			case p.suffix != "":
				one.Selector = "authority=" + a.ID + p.suffix
			case down.Version == a2a.V10:
				one.Selector = "tenant=" + a.ID
			}
		}
		routes = append(routes, one)
	}
	return routes
}
