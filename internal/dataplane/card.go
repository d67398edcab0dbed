package dataplane

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// CardSigner signs cards.
type CardSigner interface {
	// Sign returns the card with a signature of the gateway's; jku is where its keys are.
	Sign(card []byte, jku string) ([]byte, error)
}

// JWKSPath is where the gateway publishes its public keys.
const JWKSPath = "/.well-known/jwks.json"

// serveCard serves the agent's card in the shape that the caller can read.
func (c *call) serveCard(anonymous bool) {
	if len(c.agent.Route.Dialects()) == 0 {
		f := c.routable()
		f.status = http.StatusNotFound
		c.refuseHTTP(f)
		return
	}
	edit := c.cardEdit(c.cardShape())
	card := a2a.SynthesizeCard(a2a.Card{
		Name: firstOf(c.agent.DisplayName, c.agent.ID), Description: c.agent.Description, Streaming: true,
	}, edit)
	if c.agent.Route.HasCard {
		var err error
		if card, err = a2a.RewriteCard(c.agent.Card, edit); err != nil {
			c.refuseHTTP(invalidAgentReply("the agent's card cannot be read; its owner must correct it"))
			return
		}
	}
	h := c.x.ReplyHeader()
	if anonymous {
		h.Set("Cache-Control", "public, max-age=60")
	} else {
		h.Set("Cache-Control", "private, max-age=60")
	}
	h.Set("Vary", "A2A-Version, Authorization, X-Api-Key, X-Litellm-Api-Key")
	// What the gateway adds may have changed with its start.
	modified := c.agent.UpdateTime
	if c.p.started.After(modified) {
		modified = c.p.started
	}
	c.replyCached("application/json", c.sign(card), modified)
}

// cardShape is the shape that a card is served in: the one that the agent's owner set,
// else the one of the version that the caller names, else both at once.
func (c *call) cardShape() a2a.Shape {
	switch c.agent.CardShape {
	case registry.ShapeV10:
		return a2a.Shape10
	case registry.ShapeV03:
		return a2a.Shape03
	case registry.ShapeUnion:
		return a2a.ShapeUnion
	case registry.ShapeAuto:
	}
	named := c.x.Header().Get("A2A-Version")
	if named == "" {
		if given := c.x.Query("A2A-Version"); len(given) > 0 {
			named = given[0]
		}
	}
	switch v, _ := a2a.ParseVersion(strings.TrimSpace(named)); v {
	case a2a.V10:
		return a2a.Shape10
	case a2a.V03:
		return a2a.Shape03
	}
	return a2a.ShapeUnion
}

// cardEdit is what changes in the agent's card: where it is, and what works here.
func (c *call) cardEdit(shape a2a.Shape) a2a.CardEdit {
	spoken := c.agent.Route.Dialects()
	edit := a2a.CardEdit{Shape: shape}
	address, base := c.agentURL(c.agent), c.baseURL()
	for _, d := range offered(spoken, c.p.cfg.AuthoritySuffix != "") {
		served := a2a.Served{Dialect: d, URL: address}
		if d.Binding == a2a.GRPC {
			served.URL = c.p.grpcAuthority(base, c.agent.ID)
			if c.p.cfg.AuthoritySuffix == "" && d.Version == a2a.V10 {
				// Cards of 0.3 have no tenant: there the caller's metadata names the agent.
				served.Tenant = c.agent.ID
			}
		}
		edit.Interfaces = append(edit.Interfaces, served)
	}
	if c.agent.Push == registry.PushDirect {
		edit.PushNotifications = slices.ContainsFunc(spoken, func(d a2a.Dialect) bool {
			return shape == a2a.ShapeUnion || (d.Version == a2a.V10) == (shape == a2a.Shape10)
		})
	}
	return edit
}

// offered returns the dialects that the gateway offers for an agent: newest version
// first, and in a version first those that need no translation. Clients take the first
// that they know, so gRPC 0.3 comes last unless authorities name agents: otherwise its
// callers need metadata that no card tells of.
func offered(spoken []a2a.Dialect, byAuthority bool) []a2a.Dialect {
	all := slices.Clone(a2a.Dialects[:])
	slices.SortStableFunc(all, func(a, b a2a.Dialect) int {
		if a.Version != b.Version {
			return int(b.Version) - int(a.Version)
		}
		place := func(d a2a.Dialect) int {
			switch {
			case d.Binding == a2a.GRPC && d.Version == a2a.V03 && !byAuthority:
				return 2
			case slices.Contains(spoken, d):
				return 0
			}
			return 1
		}
		return place(a) - place(b)
	})
	return all
}

// grpcAuthority is where gRPC reaches an agent: host and port of the gateway, below
// the agent's name where names have an authority of their own.
func (p *Proxy) grpcAuthority(base, agent string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	if p.cfg.AuthoritySuffix != "" {
		host = agent + p.cfg.AuthoritySuffix
	}
	return net.JoinHostPort(host, port)
}

// extendedCard makes the caller's extended card of the agent's: it is changed like the
// card that everybody sees, or callers would go past the gateway.
func (c *call) extendedCard(payload []byte) ([]byte, *fault) {
	unreadable := func(err error) *fault {
		c.trouble("the extended card is none", err)
		return invalidAgentReply("the agent's extended card is not an agent card")
	}
	card, err := payload, error(nil)
	if c.up.Dialect.Binding == a2a.GRPC {
		if card, err = pb.ToJSON(c.up.Dialect.Version, a2a.GetExtendedCard, pb.Result, payload); err != nil {
			return nil, unreadable(err)
		}
	}
	shape := a2a.Shape10
	if c.down.Version == a2a.V03 {
		shape = a2a.Shape03
	}
	if card, err = a2a.RewriteCard(card, c.cardEdit(shape)); err != nil {
		return nil, unreadable(err)
	}
	if c.down.Binding == a2a.GRPC {
		// What protobuf does not carry must not be signed.
		if card, err = pb.FromJSON(c.down.Version, a2a.GetExtendedCard, pb.Result, card); err == nil {
			card, err = pb.ToJSON(c.down.Version, a2a.GetExtendedCard, pb.Result, card)
		}
		if err == nil {
			card, err = pb.FromJSON(c.down.Version, a2a.GetExtendedCard, pb.Result, c.sign(card))
		}
		if err != nil {
			return nil, unreadable(err)
		}
	} else {
		card = c.sign(card)
	}
	c.x.ReplyHeader().Set("Cache-Control", "private, no-store")
	return card, nil
}

// sign signs a card. One that cannot be signed is served without: it is as true.
func (c *call) sign(card []byte) []byte {
	if c.p.cfg.CardSigner == nil || !c.knownAddress() {
		return card
	}
	signed, err := c.p.cfg.CardSigner.Sign(card, c.baseURL()+JWKSPath)
	if err != nil {
		c.p.cfg.Logger.LogAttrs(c.x.Context(), slog.LevelError, "a card is served without a signature",
			slog.String("agent", c.agent.ID), slog.Any("error", err))
		return card
	}
	return signed
}

// knownAddress tells whether the card names an address of which the gateway knows that
// it is its own. A caller chooses the Host header, and must not have what it likes signed.
func (c *call) knownAddress() bool {
	return c.p.cfg.PublicURL != "" || slices.Contains(c.p.cfg.OwnHosts, c.x.Host())
}

// lastModified is a time as HTTP has it.
func lastModified(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
