package tlscert

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// clients says whose certificates are accepted. It does not change, but for what it
// remembers.
type clients struct {
	pool        *x509.CertPool
	authorities []*x509.Certificate
	lists       map[string][]*revocations // by the raw name of who issued them
}

// revocations is a revocation list.
type revocations struct {
	list    *x509.RevocationList
	serials map[string]struct{}
	// signers remembers which certificates were found to have signed the list: they are
	// on verified chains alone, so that there are few.
	signers sync.Map // [sha256.Size]byte → bool
	told    bool     // that the list has expired
}

// readClients reads the authorities and the revocation lists. What it found is told also
// where it is of no use.
func (r *Reloader) readClients() (*clients, fingerprint, error) {
	ca, crl := readFile(r.cfg.ClientCAFile, maxFileSize), contents{}
	if r.cfg.ClientCRLFile != "" {
		crl = readFile(r.cfg.ClientCRLFile, maxListSize)
	}
	found := fingerprintOf(ca, crl)
	if found == r.ofClients.served {
		return nil, found, nil // long lists are not parsed at every look
	}
	if err := errors.Join(wrap("client authorities", ca.err), wrap("client revocation list", crl.err)); err != nil {
		return nil, found, err
	}
	c := &clients{pool: x509.NewCertPool(), lists: map[string][]*revocations{}}
	if err := c.readAuthorities(ca.text); err != nil {
		return nil, found, fmt.Errorf("the client authority file %s %w", r.cfg.ClientCAFile, err)
	}
	if r.cfg.ClientCRLFile != "" {
		if err := c.readLists(crl.text); err != nil {
			return nil, found, fmt.Errorf("the client revocation file %s %w", r.cfg.ClientCRLFile, err)
		}
	}
	return c, found, nil
}

func (c *clients) readAuthorities(text []byte) error {
	kinds := blocks(text)
	if !slices.Contains(kinds, "CERTIFICATE") {
		return fmt.Errorf("has no certificate: %s", describe(kinds))
	}
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("has a %s beside its certificates, which has no place there", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("has a certificate that cannot be read: %w", err)
		}
		// Of a certificate that is no authority its owner would be let in, and nobody
		// whom it signed: that is never what was meant.
		if !cert.BasicConstraintsValid || !cert.IsCA {
			return fmt.Errorf("has the certificate of %q, which is no authority", cert.Subject)
		}
		c.pool.AddCert(cert)
		c.authorities = append(c.authorities, cert)
	}
	return nil
}

func (c *clients) readLists(text []byte) error {
	ders := [][]byte{}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return fmt.Errorf("has a %s where revocation lists are expected", block.Type)
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) == 0 {
		ders = append(ders, text) // DER has no frame
	}
	for _, der := range ders {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return fmt.Errorf("has no revocation list that can be read: %w", err)
		}
		if err := c.add(list); err != nil {
			return fmt.Errorf("has a revocation list of %q that %w", list.Issuer, err)
		}
	}
	return nil
}

// idIssuingDistributionPoint narrows of which certificates a list tells: those that it
// names are revoked nevertheless.
func idIssuingDistributionPoint() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 28} }

// add takes a list that is complete and of its issuer's own certificates. The lists of
// issuers below the authorities are known by their signature when a chain shows them.
func (c *clients) add(list *x509.RevocationList) error {
	for _, e := range list.Extensions {
		if e.Critical && !e.Id.Equal(idIssuingDistributionPoint()) {
			return fmt.Errorf("has the extension %s, which is not understood", e.Id)
		}
	}
	var unsigned error
	for _, authority := range c.authorities {
		if string(authority.RawSubject) != string(list.RawIssuer) {
			continue
		}
		// Two authorities may have the same name, as an old one and its successor do.
		if unsigned = list.CheckSignatureFrom(authority); unsigned == nil {
			break
		}
	}
	if unsigned != nil {
		return fmt.Errorf("its issuer has not signed: %w", unsigned)
	}
	revoked := &revocations{list: list, serials: make(map[string]struct{}, len(list.RevokedCertificateEntries))}
	for _, entry := range list.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical {
				return fmt.Errorf("has an entry with the extension %s, which is not understood", e.Id)
			}
		}
		revoked.serials[serial(entry.SerialNumber)] = struct{}{}
	}
	c.lists[string(list.RawIssuer)] = append(c.lists[string(list.RawIssuer)], revoked)
	return nil
}

func serial(n *big.Int) string { return n.Text(16) }

// signedBy tells whether a certificate signed the list.
func (r *revocations) signedBy(issuer *x509.Certificate) bool {
	key := sha256.Sum256(issuer.Raw)
	if known, ok := r.signers.Load(key); ok {
		return known.(bool)
	}
	signed := r.list.CheckSignatureFrom(issuer) == nil
	r.signers.Store(key, signed)
	return signed
}

// revoked tells whether a certificate is on a list of who issued it.
func (c *clients) revoked(cert, issuer *x509.Certificate) bool {
	for _, r := range c.lists[string(cert.RawIssuer)] {
		if _, ok := r.serials[serial(cert.SerialNumber)]; ok && r.signedBy(issuer) {
			return true
		}
	}
	return false
}

// Why certificates are refused that their chain alone does not rule out.
var (
	errRevoked   = errors.New("tlscert: the client certificate, or one above it, is revoked")
	errNotClient = errors.New("tlscert: the client certificate is not one of a client: it lacks the extended key usage clientAuth")
)

// check looks at what verifying the chains does not: revocation lists, and that the
// certificate says to be one of a client. It returns until when a chain is valid.
func (c *clients) check(chains [][]*x509.Certificate) (until time.Time, err error) {
	if len(chains) == 0 {
		return until, errors.New("tlscert: the client certificate is not verified")
	}
	usages := chains[0][0].ExtKeyUsage
	if !slices.Contains(usages, x509.ExtKeyUsageClientAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		return until, errNotClient
	}
	for _, chain := range chains {
		if c.anyRevoked(chain) {
			continue
		}
		end := chain[0].NotAfter
		for _, cert := range chain[1:] {
			if cert.NotAfter.Before(end) {
				end = cert.NotAfter
			}
		}
		if end.After(until) {
			until = end
		}
	}
	if until.IsZero() {
		return until, errRevoked
	}
	return until, nil
}

func (c *clients) anyRevoked(chain []*x509.Certificate) bool {
	for i, cert := range chain {
		// The last is an authority of the file. Its own issuer is not known unless it is
		// in the file too.
		if i+1 < len(chain) {
			if c.revoked(cert, chain[i+1]) {
				return true
			}
			continue
		}
		for _, issuer := range c.authorities {
			if string(issuer.RawSubject) == string(cert.RawIssuer) && c.revoked(cert, issuer) {
				return true
			}
		}
	}
	return false
}

// verify does for a certificate of an open connection what the handshake did.
func (c *clients) verify(shown []*x509.Certificate, now time.Time) (until time.Time, err error) {
	opts := x509.VerifyOptions{
		Roots: c.pool, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, cert := range shown[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := shown[0].Verify(opts)
	if err != nil {
		return until, err
	}
	return c.check(chains)
}

// forClient returns how to serve a new connection: with the authorities of now. Sessions
// are not resumed, because a resumed one proves no more than that its client was accepted
// once, before an authority was replaced or a certificate revoked.
func (r *Reloader) forClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	accepted := r.clients.Load()
	cfg := r.TLS()
	cfg.GetConfigForClient = nil
	cfg.ClientCAs = accepted.pool
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	if r.cfg.RequireClient {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil // ClientAuth has refused who must show one
		}
		until, err := accepted.check(state.VerifiedChains)
		if err != nil {
			return err
		}
		if c, ok := hello.Conn.(*conn); ok {
			return r.watch(c, accepted, state.PeerCertificates, until)
		}
		return nil
	}
	return cfg, nil
}

// accept has new connections accept the certificates of other clients.
func (r *Reloader) accept(ctx context.Context, c *clients) {
	r.clients.Store(c)
	var subjects []string
	for _, authority := range c.authorities {
		subjects = append(subjects, authority.Subject.String())
	}
	lists, revoked := 0, 0
	for _, of := range c.lists {
		for _, list := range of {
			lists++
			revoked += len(list.serials)
		}
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "accepting client certificates", slog.String("file", r.cfg.ClientCAFile),
		slog.String("authorities", strings.Join(subjects, "; ")), slog.Bool("required", r.cfg.RequireClient),
		slog.Int("revocation_lists", lists), slog.Int("revoked", revoked))
	now := r.cfg.Clock.Now()
	for _, authority := range c.authorities {
		if now.After(authority.NotAfter) {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "an authority of client certificates has expired",
				slog.String("subject", authority.Subject.String()), slog.Time("not_after", authority.NotAfter))
		}
	}
}

// tellOfExpiredLists says once of each list that is used that it has expired.
func (r *Reloader) tellOfExpiredLists(ctx context.Context) {
	now := r.cfg.Clock.Now()
	for _, of := range r.clients.Load().lists {
		for _, revoked := range of {
			next := revoked.list.NextUpdate
			if revoked.told || next.IsZero() || !now.After(next) {
				continue
			}
			revoked.told = true
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a revocation list of client certificates has expired, it still counts",
				slog.String("file", r.cfg.ClientCRLFile), slog.String("issuer", revoked.list.Issuer.String()), slog.Time("next_update", next))
		}
	}
}
