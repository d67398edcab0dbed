package dataplane

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// checkPush refuses push notification configs that the agent's owner does not allow.
// The agent will dial the address itself, so it must be one that is everybody's.
func (c *call) checkPush() *fault {
	if !c.op.Push() && c.params.Push == nil {
		return nil
	}
	if c.agent.Push != registry.PushDirect {
		return pushNotSupported("push notifications are off for this agent; its owner can set push to DIRECT")
	}
	if c.translated() {
		// The agent would send what the caller cannot read.
		return pushNotSupported(fmt.Sprintf("the agent sends push notifications in its own dialect; call it in %s to have them", c.up.Dialect))
	}
	if c.params.Push == nil { // get, list or delete
		return nil
	}
	u, err := url.Parse(c.params.Push.URL)
	if err != nil || u.Host == "" {
		return invalidParams("the push notification url is not an absolute URL")
	}
	loopback := c.p.cfg.PushLoopback
	if u.Scheme != "https" && (!loopback || u.Scheme != "http") {
		return invalidParams("the push notification url must be https")
	}
	if u.User != nil {
		return invalidParams("the push notification url must not carry credentials; use authentication")
	}
	if !hostAllowed(u.Hostname(), c.agent.PushHosts) {
		return pushForbidden("the host of the push notification url is not one that the agent's owner allows")
	}
	if err := c.p.cfg.Push.CheckPublic(c.x.Context(), c.params.Push.URL, loopback); err != nil {
		return pushForbidden("the host of the push notification url does not resolve to public addresses only")
	}
	return nil
}

func pushForbidden(message string) *fault {
	return &fault{
		code: jsonrpc.CodeInvalidParams, reason: "PUSH_ADDRESS_FORBIDDEN", message: message, outcome: audit.Refused,
	}
}

// hostAllowed tells whether a host is on a list; "*.example.com" stands for every
// name below example.com.
func hostAllowed(host string, allowed []string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, a := range allowed {
		if below, ok := strings.CutPrefix(a, "*"); ok {
			if strings.HasSuffix(host, below) && len(host) > len(below) {
				return true
			}
			continue
		}
		if host == a {
			return true
		}
	}
	return false
}
