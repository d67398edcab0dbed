// Package authn finds out who calls, for both planes alike: by an API key, by a token of
// an issuer, or by a client certificate. What callers may do is package policy's affair.
package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// ErrCertificateUnknown is a client certificate that was verified and whose names stand
// for nobody.
var ErrCertificateUnknown = errors.New("no key has a name of the client certificate")

// Tokens verifies tokens of issuers.
type Tokens interface {
	// Verify is [token.Verifier.Verify].
	Verify(ctx context.Context, issuers token.Issuers, raw string, now time.Time) (identity.Principal, error)
}

var _ Tokens = (*token.Verifier)(nil)

// Config says what an Authenticator is made of.
type Config struct {
	// Tokens verifies tokens; nil means that none are believed.
	Tokens Tokens
	// KeyUsed is told of each use of a key, and UserSeen of each token that was believed.
	// They must not wait. nil means that nobody asks.
	KeyUsed  func(key uuid.UUID)
	UserSeen func(*identity.Principal)
}

// Authenticator tells who shows a credential. It is safe for concurrent use.
type Authenticator struct{ cfg Config }

// New returns an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.KeyUsed == nil {
		cfg.KeyUsed = func(uuid.UUID) {}
	}
	if cfg.UserSeen == nil {
		cfg.UserSeen = func(*identity.Principal) {}
	}
	return &Authenticator{cfg: cfg}
}

// Credential is what a request shows of its caller.
type Credential struct {
	// Secret is a key or a token, and Given tells that there was one, be it empty.
	Secret string
	Given  bool
	// TLS is the connection that the request came over; nil without TLS.
	TLS *tls.ConnectionState
}

// Shown tells whether there is a credential at all, of whatever worth.
func (c Credential) Shown() bool {
	return c.Given || c.TLS != nil && len(c.TLS.VerifiedChains) > 0
}

// Authenticate returns whose credential it is under a configuration. A secret goes before
// a certificate. The error wraps one of package identity, or is ErrCertificateUnknown;
// [Explain] tells what to answer.
func (a *Authenticator) Authenticate(ctx context.Context, snap *snapshot.Snapshot, c Credential, now time.Time) (identity.Principal, error) {
	if c.Given && a.cfg.Tokens != nil && token.Looks(c.Secret) {
		return a.token(ctx, snap, c.Secret, now)
	}
	p, err := keyOf(snap, c, now)
	if err != nil {
		return identity.Principal{}, err
	}
	if p.Key != uuid.Nil {
		a.cfg.KeyUsed(p.Key)
	}
	return p, nil
}

// keyOf returns whom a credential that is no token stands for.
func keyOf(snap *snapshot.Snapshot, c Credential, now time.Time) (identity.Principal, error) {
	switch {
	case c.Given:
		return snap.Authenticate(c.Secret, now)
	case c.Shown():
		p, err := snap.AuthenticateCertificate(CertificateNames(c.TLS), now)
		if errors.Is(err, identity.ErrCredentialsInvalid) {
			err = ErrCertificateUnknown
		}
		return p, err
	}
	return identity.Principal{}, identity.ErrCredentialsMissing
}

// Confirm returns who calls by the credential of something that goes on, under a newer
// configuration; the error is what a new call would be refused with. What goes on may
// outlive its token by [snapshot.StreamGrace]. It waits for nothing.
func (a *Authenticator) Confirm(snap *snapshot.Snapshot, c Credential, p *identity.Principal, now time.Time) (identity.Principal, error) {
	if p.Claims != nil {
		return a.confirmToken(snap, c, p, now)
	}
	is, err := keyOf(snap, c, now)
	if err == nil && is.UID != p.UID {
		err = identity.ErrCredentialsInvalid
	}
	return is, err
}

// confirmToken is Confirm for tokens. What one gives follows the mappings of its issuer.
func (a *Authenticator) confirmToken(snap *snapshot.Snapshot, c Credential, p *identity.Principal, now time.Time) (identity.Principal, error) {
	if err := snap.Confirm(p, now, snapshot.StreamGrace); err != nil || a.cfg.Tokens == nil {
		return *p, err
	}
	atOnce, cancel := context.WithCancel(context.Background())
	cancel() // so that nobody waits for keys
	is, err := a.cfg.Tokens.Verify(atOnce, snap, c.Secret, now)
	switch {
	case errors.Is(err, identity.ErrTokenExpired), errors.Is(err, identity.ErrIssuerUnavailable):
		return *p, nil // the one is looked at above, and of the other nothing is known
	case err == nil && is.UID != p.UID:
		err = identity.ErrCredentialsInvalid
	}
	is.Team = p.Team
	return is, err
}

func (a *Authenticator) token(ctx context.Context, snap *snapshot.Snapshot, raw string, now time.Time) (identity.Principal, error) {
	p, err := a.cfg.Tokens.Verify(ctx, snap, raw, now)
	if err != nil {
		return identity.Principal{}, err
	}
	// The skew of its issuer, which the verifier has granted, is no end of the token.
	if err := snap.Confirm(&p, now, token.MaxSkew); err != nil {
		return identity.Principal{}, err
	}
	p.Team = snap.RecordedTeam(&p)
	a.cfg.UserSeen(&p)
	return p, nil
}

// CertificateNames returns the names in the client certificate of a connection, as
// [identity.Key.CertificateNames] has them: "URI:…", then "DNS:…", then "EMAIL:…". There
// are none unless the certificate was verified.
func CertificateNames(state *tls.ConnectionState) []string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	return namesOf(state.VerifiedChains[0][0])
}

func namesOf(leaf *x509.Certificate) []string {
	var names []string
	add := func(kind, value string) {
		if name, ok := identity.CertificateName(kind, value); ok {
			names = append(names, name)
		}
	}
	for _, u := range leaf.URIs {
		add("URI", u.String())
	}
	for _, name := range leaf.DNSNames {
		add("DNS", name)
	}
	for _, address := range leaf.EmailAddresses {
		add("EMAIL", address)
	}
	return names
}
