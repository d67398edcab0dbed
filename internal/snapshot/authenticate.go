package snapshot

import (
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Authenticate returns whose secret this is. It fails with
// [identity.ErrCredentialsInvalid] or as [Snapshot.Confirm] does. The time it takes does
// not depend on the secret: only a hash of it is looked up.
func (s *Snapshot) Authenticate(secret string, now time.Time) (identity.Principal, error) {
	c, ok := s.secrets.Get(identity.HashSecret(secret))
	switch {
	case !ok:
		return identity.Principal{}, identity.ErrCredentialsInvalid
	case c.admin:
		return identity.Admin(), nil
	}
	// The key comes first: whether its secret was replaced is no matter for a disabled one.
	p, err := s.keyPrincipal(c.key, now)
	if err == nil && !c.expires.IsZero() && !now.Before(c.expires) {
		err = identity.ErrKeyExpired
	}
	if err != nil {
		return identity.Principal{}, err
	}
	return p, nil
}

// AuthenticateCertificate returns whom the names of a verified client certificate stand
// for. Names have the form of [identity.Key.CertificateNames]. One of whose names several
// keys have a part stands for nobody: [identity.ErrCertificateAmbiguous].
func (s *Snapshot) AuthenticateCertificate(names []string, now time.Time) (identity.Principal, error) {
	var found *identity.Key
	for _, name := range names {
		key, ok := s.certificates.Get(name)
		switch {
		case !ok:
		case found == nil:
			found = key
		case found.UID != key.UID:
			return identity.Principal{}, identity.ErrCertificateAmbiguous
		}
	}
	if found == nil {
		return identity.Principal{}, identity.ErrCredentialsInvalid
	}
	return s.keyPrincipal(found, now)
}

// keyPrincipal returns as whom a key calls.
func (s *Snapshot) keyPrincipal(key *identity.Key, now time.Time) (identity.Principal, error) {
	if err := s.checkKey(key, now); err != nil {
		return identity.Principal{}, err
	}
	p := key.Principal()
	if key.AgentUID != uuid.Nil {
		agent, ok := s.agents.Get(key.AgentUID)
		if !ok || !agent.State.Callable() {
			return identity.Principal{}, identity.ErrAgentNotActive
		}
		p.Name, p.Team = agent.Name(), agent.Team
	}
	return p, nil
}

func (s *Snapshot) checkKey(key *identity.Key, now time.Time) error {
	switch {
	case key.Disabled:
		return identity.ErrKeyDisabled
	case !key.ExpireTime.IsZero() && !now.Before(key.ExpireTime):
		return identity.ErrKeyExpired
	}
	if team, ok := s.teamIDs.Get(key.Team); ok && team.Disabled {
		return identity.ErrTeamDisabled
	}
	return nil
}

// StreamGrace is how long an open stream may outlive the token that it was opened with.
const StreamGrace = 5 * time.Minute

// Confirm tells whether a principal may still call at all, whatever policies say: nil, or
// [identity.ErrKeyDisabled], [identity.ErrKeyExpired], [identity.ErrTeamDisabled],
// [identity.ErrUserDisabled], [identity.ErrAgentNotActive] or [identity.ErrTokenExpired].
// A token counts as expired grace after its end.
func (s *Snapshot) Confirm(p *identity.Principal, now time.Time, grace time.Duration) error {
	switch p.Kind {
	case identity.KindKey, identity.KindAgent:
		key, ok := s.keys.Get(p.Key)
		if !ok {
			return identity.ErrKeyDisabled
		}
		_, err := s.keyPrincipal(key, now)
		return err
	case identity.KindUser:
		if user, ok := s.users.Get(p.UID); ok && user.Disabled {
			return identity.ErrUserDisabled
		}
		if c := p.Claims; c != nil {
			if !now.Before(c.Expires.Add(grace)) {
				return identity.ErrTokenExpired
			}
			return s.checkIssuer(c.Issuer)
		}
	case identity.KindAdmin, identity.KindAnonymous:
	}
	return nil
}

func (s *Snapshot) checkIssuer(id string) error {
	for _, issuer := range s.issuers.All() { // they are few
		if issuer.ID == id && !issuer.Disabled {
			return nil
		}
	}
	return identity.ErrCredentialsInvalid
}
