package dataplane

import (
	"errors"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// credentialHeaders are the headers that may carry a key beside Authorization. None
// of them goes to an agent.
var credentialHeaders = []string{"X-Api-Key", "X-Litellm-Api-Key"}

// authenticate finds out who calls.
func (c *call) authenticate() *fault {
	secret, ok := c.credential()
	if !ok {
		return unauthenticated("CREDENTIALS_MISSING",
			`no credential was given; send "Authorization: Bearer <your key>"`, challengeMissing)
	}
	return c.identify(secret)
}

func (c *call) identify(secret string) *fault {
	principal, err := c.snap.Authenticate(secret, c.start)
	switch {
	case errors.Is(err, identity.ErrKeyExpired):
		return unauthenticated("KEY_EXPIRED", "this key has expired; ask your administrator for a new one", challengeInvalid)
	case errors.Is(err, identity.ErrKeyDisabled):
		return unauthenticated("KEY_DISABLED", "this key is disabled; ask your administrator", challengeInvalid)
	case err != nil:
		return unauthenticated("CREDENTIALS_INVALID", "this credential is not known here", challengeInvalid)
	}
	c.principal, c.authenticated = principal, true
	c.opening.Caller, c.opening.CallerUID, c.opening.Team = principal.Name, principal.UID, principal.Team
	if principal.Kind == identity.KindKey {
		c.p.cfg.Used(principal.UID)
	}
	return nil
}

// credential returns the secret of the call, without saying whether it is one.
func (c *call) credential() (string, bool) {
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
