package authn

import (
	"errors"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Refusal is how a caller is told that its credential does not do.
type Refusal struct {
	// Reason is one of signalbox.error.v1.Reason, without its prefix.
	Reason string
	// Text says what was wrong and what to do.
	Text string
	// Error is the error code of the challenge (RFC 6750, section 3.1); empty when there
	// was no credential.
	Error string
	// Unavailable says that the caller may be right and should try again.
	Unavailable bool
}

// Explain tells what to answer to an error of Authenticate.
func Explain(err error) Refusal {
	const invalid = "invalid_token"
	for _, known := range []struct {
		err error
		Refusal
	}{
		{identity.ErrCredentialsMissing, Refusal{Reason: "CREDENTIALS_MISSING", Text: `no credential was given; send "Authorization: Bearer <your key or token>"`}},
		{identity.ErrKeyExpired, Refusal{Reason: "KEY_EXPIRED", Text: "this key has expired, or was replaced by a rotation whose overlap has ended; ask your administrator for a new one", Error: invalid}},
		{identity.ErrKeyDisabled, Refusal{Reason: "KEY_DISABLED", Text: "this key is disabled; ask your administrator", Error: invalid}},
		{identity.ErrTeamDisabled, Refusal{Reason: "TEAM_DISABLED", Text: "the team of this key is disabled; ask your administrator", Error: invalid}},
		{identity.ErrUserDisabled, Refusal{Reason: "USER_DISABLED", Text: "you are disabled here; ask your administrator", Error: invalid}},
		{identity.ErrAgentNotActive, Refusal{Reason: "AGENT_NOT_ACTIVE", Text: "the agent that this key calls as is suspended, retired or not approved; ask the team that owns it", Error: invalid}},
		{identity.ErrTokenExpired, Refusal{Reason: "TOKEN_EXPIRED", Text: "this token has expired; get a new one from its issuer", Error: invalid}},
		{identity.ErrIssuerUnavailable, Refusal{Reason: "ISSUER_UNAVAILABLE", Text: "the keys of the token's issuer cannot be had now; try again in a moment", Unavailable: true}},
		{ErrCertificateUnknown, Refusal{Reason: "CERTIFICATE_UNKNOWN", Text: "no key here has a name of your client certificate; ask your administrator to add one to a key", Error: invalid}},
		{identity.ErrCertificateAmbiguous, Refusal{Reason: "CERTIFICATE_UNKNOWN", Text: "several keys here have names of your client certificate, so that it stands for none; ask your administrator", Error: invalid}},
	} {
		if errors.Is(err, known.err) {
			return known.Refusal
		}
	}
	if errors.Is(err, identity.ErrTokenInvalid) {
		// The error says what is wrong and has nothing of the token.
		return Refusal{Reason: "TOKEN_INVALID", Text: err.Error(), Error: invalid}
	}
	return Refusal{Reason: "CREDENTIALS_INVALID", Text: "this credential is not known here", Error: invalid}
}
