package dataplane

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// serveDiscovery serves what the gateway itself answers: cards and the list of agents.
func (c *call) serveDiscovery() {
	t := c.entry.target
	c.opening.Dialect = "HTTP"
	c.opening.Method = "GetAgentCard"
	if t == targetList {
		c.opening.Method, c.opening.Agent = "ListAgents", ""
	}
	if m := c.x.Method(); m != http.MethodGet && m != http.MethodHead {
		// Who is asking does not matter: this says nothing about any agent.
		if f := c.authenticate(); f != nil {
			c.refuseHTTP(f)
			return
		}
		c.refuseHTTP(methodNotAllowed(m, "GET, HEAD"))
		return
	}
	anonymous, f := c.authenticateReader(t)
	if f == nil {
		f = c.available()
	}
	if f != nil {
		c.refuseHTTP(f)
		return
	}
	if t == targetList {
		c.serveList()
		return
	}
	if f := c.resolve(c.entry.agent); f != nil {
		if anonymous {
			// Whether an agent exists is nothing that a stranger learns.
			f = c.unauthenticated(authn.Explain(identity.ErrCredentialsMissing))
		}
		c.refuseHTTP(f)
		return
	}
	c.recordDecision(c.sight(c.agent))
	c.serveCard(anonymous)
}

// authenticateReader lets a caller without a credential pass where cards of PUBLIC
// agents are asked for.
func (c *call) authenticateReader(t target) (anonymous bool, f *fault) {
	if !c.credential().Shown() && t == targetCard {
		c.principal = identity.Principal{Kind: identity.KindAnonymous}
		c.principalUID = policy.AnonymousUID
		return true, nil
	}
	return false, c.authenticate()
}

// refuseHTTP refuses what is no JSON-RPC call: its status must say that it failed, or
// the error would be taken for a card.
func (c *call) refuseHTTP(f *fault) {
	switch {
	case f.status != 0:
	case f.mirror != 0:
		f.status = f.mirror
	default:
		f.status = http.StatusBadGateway
	}
	c.refuse(f)
}

// agentURL is the gateway's address of an agent, as the caller can use it.
func (c *call) agentURL(a *snapshot.Agent) string { return c.baseURL() + Prefix + "/" + a.ID }

// baseURL is the gateway's address, as the caller can use it.
func (c *call) baseURL() string {
	if c.p.cfg.PublicURL != "" {
		return c.p.cfg.PublicURL
	}
	return c.x.Origin()
}

// replyCached sends a body with its entity tag and age, or 304 to a caller that has it.
func (c *call) replyCached(contentType string, body []byte, modified time.Time) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := c.x.ReplyHeader()
	h.Set("Etag", tag)
	h.Set("Last-Modified", lastModified(modified))
	if c.hasCopy(tag, modified) {
		c.end(audit.Succeeded, http.StatusNotModified)
		c.setRevision()
		c.x.WriteStatus(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", contentType)
	c.reply(audit.Succeeded, http.StatusOK, body)
}

// hasCopy tells whether the caller has what would be sent: by its tag if it names one,
// else by its age (RFC 9110, section 13.2.2).
func (c *call) hasCopy(tag string, modified time.Time) bool {
	from := c.x.Header()
	if named := from.Get("If-None-Match"); named != "" {
		for given := range strings.SplitSeq(named, ",") {
			given = strings.TrimPrefix(strings.TrimSpace(given), "W/")
			if given == tag || given == "*" {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(from.Get("If-Modified-Since"))
	return err == nil && !modified.Truncate(time.Second).After(since)
}

// Bounds of a page of GET /a2a, and of how many agents are looked at for one: in a large
// catalogue most may be hidden from the caller.
const (
	defaultAgentsPage = 1000
	largestAgentsPage = 1000
	agentsLookedAt    = 10_000
)

// serveList serves the agents that the caller may call, ordered by name.
func (c *call) serveList() {
	size := defaultAgentsPage
	if given := c.x.Query("pageSize"); len(given) > 0 {
		n, err := strconv.Atoi(given[0])
		if err != nil || n < 1 || n > largestAgentsPage {
			f := invalidParams(fmt.Sprintf("pageSize must be a number from 1 to %d", largestAgentsPage))
			f.status = http.StatusBadRequest
			c.refuseHTTP(f)
			return
		}
		size = n
	}
	after := ""
	if given := c.x.Query("pageToken"); len(given) > 0 && given[0] != "" {
		var ok bool
		if after, ok = c.openAgentsToken(given[0]); !ok {
			f := invalidParams("pageToken is not one that this list gave you; leave it out to begin again")
			f.status = http.StatusBadRequest
			c.refuseHTTP(f)
			return
		}
	}
	var agents []*snapshot.Agent
	peek := func(q policy.Query) policy.Answer { return c.p.decisions.Peek(c.snap.Policies(), c.snap.Entities(), q) }
	next := ""
	for i, a := range c.snap.AgentsAfter(after) {
		if i == agentsLookedAt {
			next = c.sealAgentsToken(after)
			break
		}
		after = a.ID
		if !a.State.Callable() || len(a.Route.Dialects()) == 0 {
			continue
		}
		if _, ok := policy.Visible(peek, c.question(policy.Discover, a)); !ok {
			continue
		}
		if len(agents) == size {
			next = c.sealAgentsToken(agents[size-1].ID)
			break
		}
		agents = append(agents, a)
	}
	body := []byte(`{"agents":[`)
	for i, a := range agents {
		if i > 0 {
			body = append(body, ',')
		}
		body = c.appendListed(body, a)
	}
	body = append(body, `],"nextPageToken":`...)
	body = jsonrpc.AppendString(body, next)
	body = append(body, '}')
	c.x.ReplyHeader().Set("Cache-Control", "private, no-cache")
	c.x.ReplyHeader().Set("Content-Type", "application/json")
	c.reply(audit.Succeeded, http.StatusOK, body)
}

// agentsTokenOwner ties a token of the list of agents to its caller.
func (c *call) agentsTokenOwner() []byte { return append([]byte("ListAgents"), c.principal.UID[:]...) }

// sealAgentsToken hides the name of the last agent that was looked at: it may be one that
// the caller does not see.
func (c *call) sealAgentsToken(name string) string {
	seal := c.p.cfg.PageSeal
	nonce := make([]byte, seal.NonceSize(), seal.NonceSize()+len(name)+seal.Overhead())
	rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, []byte(name), c.agentsTokenOwner()))
}

func (c *call) openAgentsToken(token string) (name string, ok bool) {
	seal := c.p.cfg.PageSeal
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(sealed) < seal.NonceSize() {
		return "", false
	}
	plain, err := seal.Open(nil, sealed[:seal.NonceSize()], sealed[seal.NonceSize():], c.agentsTokenOwner())
	return string(plain), err == nil
}

func (c *call) appendListed(dst []byte, a *snapshot.Agent) []byte {
	url := c.agentURL(a)
	member := func(name, value string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = jsonrpc.AppendString(dst, value)
	}
	list := func(name string, values []string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':', '[')
		for i, v := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonrpc.AppendString(dst, v)
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `{"name":`...)
	dst = jsonrpc.AppendString(dst, a.ID)
	member("displayName", a.DisplayName)
	member("description", a.Description)
	list("tags", a.Tags)
	versions := make([]string, 0, 2)
	for _, v := range []a2a.Version{a2a.V10, a2a.V03} {
		versions = append(versions, v.String())
	}
	list("protocolVersions", versions)
	member("url", url)
	member("cardUrl", url+"/.well-known/agent-card.json")
	return append(dst, '}')
}
