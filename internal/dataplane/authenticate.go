package dataplane

import (
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// credentialHeaders are the headers that may carry a key beside Authorization. None
// of them goes to an agent.
var credentialHeaders = []string{"X-Api-Key", "X-Litellm-Api-Key"}

// authenticate finds out who calls.
func (c *call) authenticate() *fault {
	principal, err := c.p.cfg.Callers.Authenticate(c.x.Context(), c.snap, c.credential(), c.start)
	if err != nil {
		return c.unauthenticated(authn.Explain(err))
	}
	c.principal, c.authenticated = principal, true
	c.opening.Caller, c.opening.CallerUID, c.opening.Team = principal.Name, principal.UID, principal.Team
	c.principalUID, c.claims = snapshot.PrincipalUID(&c.principal), c.snap.Claims(&c.principal)
	return nil
}

// unauthenticated tells a caller that its credential does not do.
func (c *call) unauthenticated(r authn.Refusal) *fault {
	if r.Unavailable {
		f := unavailable("ISSUER_UNAVAILABLE", r.Text)
		f.status, f.retryAfter = http.StatusServiceUnavailable, 1
		return f
	}
	challenge := authn.Challenge(c.snap, c.resourceURL(), r)
	return unauthenticated(r.Reason, r.Text, challenge)
}

// resourceURL is what the call is about, as tokens for it would name it.
func (c *call) resourceURL() string {
	if c.entry.target == targetGRPC || c.entry.agent == "" {
		return c.baseURL()
	}
	return c.baseURL() + Prefix + "/" + c.entry.agent
}

// credential returns what the call shows of its caller.
func (c *call) credential() authn.Credential {
	secret, given := c.secret()
	return authn.Credential{Secret: secret, Given: given, TLS: c.x.TLS()}
}

// secret returns the secret of the call, without saying whether it is one.
func (c *call) secret() (string, bool) {
	h := c.x.Header()
	if auth := h.Get("Authorization"); auth != "" {
		if scheme, secret, ok := strings.Cut(auth, " "); ok && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(secret), true
		}
		return "", true // another scheme: known to be wrong, not missing
	}
	for _, name := range credentialHeaders {
		if secret := h.Get(name); secret != "" {
			return strings.TrimPrefix(secret, "Bearer "), true
		}
	}
	return "", false
}
