package dataplane

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
)

// way is the way to the agent, with its credential.
func (c *call) way() http.RoundTripper {
	if c.p.cfg.Agents == nil {
		return c.p.cfg.Upstream
	}
	return c.p.cfg.Agents.For(c.agent.Agent)
}

// unproven tells what went wrong when gateway and agent could not prove to each other who
// they are; nil when it was something else. No other instance would take the credential.
func (c *call) unproven(err error) *fault {
	if refused, ok := errors.AsType[*httpauth.Error](err); ok {
		c.trouble("the agent's credential cannot be used", err)
		f := &fault{
			mirror: http.StatusServiceUnavailable, code: codeUnavailable, reason: "UPSTREAM_CREDENTIAL", outcome: audit.Unavailable,
			message: refused.Problem,
		}
		switch refused.Why {
		case httpauth.TokenTimeout, httpauth.TokenUnreachable:
			f.retryAfter = 1
		case httpauth.Unreadable, httpauth.NotForHost, httpauth.TokenRefused, httpauth.TokenInvalid, httpauth.AgentRefused,
			httpauth.NoIdentity, httpauth.CallerTokenRequired, httpauth.CallerTokenForeign:
			// Somebody has to do something first.
		}
		return f.with("why", string(refused.Why))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		c.trouble("the agent's certificate is not trusted", err)
		f := upstreamUnreachable("the agent's certificate is not trusted; its owner can give the certificates of its authority, or the name to expect")
		f.retryAfter = 0
		return f.with("why", "CERTIFICATE_NOT_TRUSTED")
	}
	return nil
}
