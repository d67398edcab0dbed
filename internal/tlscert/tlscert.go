// Package tlscert serves TLS with what is in files: a certificate, and the authorities
// of clients that show certificates of their own. It follows the files when they change,
// so that renewing a certificate or replacing an authority needs no restart. It makes no
// certificates.
package tlscert

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

const (
	// maxFileSize is room for long chains and many authorities.
	maxFileSize = 1 << 20
	// maxListSize is room for a hundred thousand revoked certificates.
	maxListSize = 8 << 20
)

// Config says where the certificates are.
type Config struct {
	// CertFile has the certificate and the chain above it, KeyFile its private key, both
	// in PEM. They may be the same file. Required.
	CertFile, KeyFile string
	// ClientCAFile has the authorities of client certificates, in PEM; empty means that
	// no client is asked for one.
	ClientCAFile string
	// ClientCRLFile has revocation lists, several in PEM or one in DER; empty means none.
	// It needs ClientCAFile.
	ClientCRLFile string
	// RequireClient refuses the handshake of clients without a certificate. It needs
	// ClientCAFile.
	RequireClient bool
	// Poll is the time between two looks at the files; 0 means 5 s.
	Poll time.Duration
	// Clock tells whether a certificate has expired; nil means the machine's.
	Clock clock.Clock
	// Logger gets changes and what is wrong with them; nil discards.
	Logger *slog.Logger
	// Checked, when it is not nil, is called after each look that found something new,
	// with nil when it is served.
	Checked func(error)
}

// Reloader serves the newest certificates that could be read. It is safe for concurrent
// use.
type Reloader struct {
	cfg     Config
	current atomic.Pointer[tls.Certificate]
	clients atomic.Pointer[clients] // nil without authorities of clients
	conns   connections

	mu        sync.Mutex
	ofServer  followed
	ofClients followed
}

// followed is what is known of files that are used together.
type followed struct {
	served fingerprint // of what is served
	broken fingerprint // of what was found last and could not be used
	told   bool        // that broken is broken
}

// fingerprint tells contents of files apart, an unreadable file from another.
type fingerprint [sha256.Size]byte

// look decides what becomes of what was found in the files. Files that cannot be used
// are told about when the next look finds them the same: between the two writes of
// whoever replaces both files they never fit.
func (f *followed) look(found fingerprint, err error) (use, tell bool) {
	switch {
	case found == f.served:
		f.broken, f.told = fingerprint{}, false
	case err == nil:
		*f = followed{served: found}
		return true, false
	case found != f.broken:
		f.broken, f.told = found, false
	case !f.told:
		f.told = true
		return false, true
	}
	return false, false
}

// New loads the certificates.
func New(ctx context.Context, cfg Config) (*Reloader, error) {
	if cfg.CertFile == "" || cfg.KeyFile == "" {
		return nil, errors.New("tlscert: Config.CertFile and Config.KeyFile are required")
	}
	if cfg.ClientCAFile == "" && (cfg.ClientCRLFile != "" || cfg.RequireClient) {
		return nil, errors.New("tlscert: Config.ClientCRLFile and Config.RequireClient need Config.ClientCAFile")
	}
	if cfg.Poll == 0 {
		cfg.Poll = 5 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	r := &Reloader{cfg: cfg}
	cert, found, err := r.read()
	if err != nil {
		return nil, err
	}
	r.serve(ctx, cert)
	r.ofServer.served = found
	if cfg.ClientCAFile == "" {
		return r, nil
	}
	accepted, found, err := r.readClients()
	if err != nil {
		return nil, err
	}
	r.accept(ctx, accepted)
	r.ofClients.served = found
	r.tellOfExpiredLists(ctx)
	return r, nil
}

// Run looks for new files until ctx ends.
func (r *Reloader) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.cfg.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.Check(ctx)
		}
	}
}

// Check looks at the files once, and closes the connections of [Reloader.Listen] whose
// client certificates are not accepted any more.
func (r *Reloader) Check(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// What is in the files is compared, not their times: these are coarse, may be kept by
	// copying, and are those of links where a link is what changes.
	cert, found, err := r.read()
	switch use, tell := r.ofServer.look(found, err); {
	case use:
		r.serve(ctx, cert)
		r.checked(nil)
	case tell:
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the new TLS certificate cannot be used, serving the one before",
			slog.Any("error", err), slog.Time("served_until", r.NotAfter()))
		r.checked(err)
	}
	if r.cfg.ClientCAFile == "" {
		return
	}
	accepted, found, err := r.readClients()
	use, tell := r.ofClients.look(found, err)
	switch {
	case use:
		r.accept(ctx, accepted)
		r.checked(nil)
	case tell:
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the new authorities of client certificates cannot be used, keeping those before",
			slog.Any("error", err))
		r.checked(err)
	}
	r.tellOfExpiredLists(ctx)
	r.closeRefused(ctx, use)
}

func (r *Reloader) checked(err error) {
	if r.cfg.Checked != nil {
		r.cfg.Checked(err)
	}
}

func (r *Reloader) serve(ctx context.Context, cert *tls.Certificate) {
	r.current.Store(cert)
	leaf := cert.Leaf
	attrs := []slog.Attr{
		slog.String("file", r.cfg.CertFile), slog.String("subject", leaf.Subject.String()), slog.Any("dns_names", leaf.DNSNames),
		slog.Time("not_after", leaf.NotAfter),
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "serving a TLS certificate", attrs...)
	switch now := r.cfg.Clock.Now(); {
	case now.After(leaf.NotAfter):
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the TLS certificate has expired", attrs...)
	case now.Before(leaf.NotBefore):
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the TLS certificate is not valid yet", append(attrs, slog.Time("not_before", leaf.NotBefore))...)
	}
}

// read reads both files. What it found is told also where it is of no use.
func (r *Reloader) read() (*tls.Certificate, fingerprint, error) {
	cert, key := readFile(r.cfg.CertFile, maxFileSize), readFile(r.cfg.KeyFile, maxFileSize)
	found := fingerprintOf(cert, key)
	if err := errors.Join(wrap("certificate", cert.err), wrap("private key", key.err)); err != nil {
		return nil, found, err
	}
	pair, err := r.pair(cert.text, key.text)
	return pair, found, err
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read the TLS %s: %w", what, err)
}

// contents is what reading a file gave.
type contents struct {
	text []byte
	err  error
}

func readFile(path string, limit int64) contents {
	f, err := os.Open(path)
	if err != nil {
		return contents{err: err}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return contents{err: fmt.Errorf("%s is larger than %d bytes", path, limit)}
	}
	return contents{text, err}
}

func fingerprintOf(files ...contents) fingerprint {
	h := sha256.New()
	for _, file := range files {
		text := file.text
		if file.err != nil {
			text = []byte(file.err.Error())
		}
		_, _ = fmt.Fprintf(h, "%t %d ", file.err == nil, len(text))
		_, _ = h.Write(text)
	}
	return fingerprint(h.Sum(nil))
}

// pair reads the contents, and says of which file it is what is wrong.
func (r *Reloader) pair(certText, keyText []byte) (*tls.Certificate, error) {
	if kinds := blocks(certText); !contains(kinds, "CERTIFICATE") {
		return nil, fmt.Errorf("the TLS certificate file %s has no certificate: %s", r.cfg.CertFile, describe(kinds))
	}
	kinds := blocks(keyText)
	switch {
	case contains(kinds, "ENCRYPTED PRIVATE KEY"), bytes.Contains(keyText, []byte("Proc-Type: 4,ENCRYPTED")):
		return nil, fmt.Errorf("the TLS key file %s is encrypted; decrypt it, for example with: openssl pkey -in %s", r.cfg.KeyFile, r.cfg.KeyFile)
	case !contains(kinds, "PRIVATE KEY"):
		return nil, fmt.Errorf("the TLS key file %s has no private key: %s", r.cfg.KeyFile, describe(kinds))
	}
	cert, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate of %s and the key of %s: %w", r.cfg.CertFile, r.cfg.KeyFile, err)
	}
	return &cert, nil
}

// blocks lists the kinds of what is in a PEM file.
func blocks(text []byte) []string {
	var kinds []string
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return kinds
		}
		kinds = append(kinds, block.Type)
	}
}

// contains also finds "EC PRIVATE KEY" by "PRIVATE KEY".
func contains(kinds []string, kind string) bool {
	for _, k := range kinds {
		if k == kind || strings.HasSuffix(k, " "+kind) {
			return true
		}
	}
	return false
}

func describe(kinds []string) string {
	if len(kinds) == 0 {
		return "it is not in PEM"
	}
	return "it has " + strings.Join(kinds, ", ")
}

// NotAfter returns when the certificate that is served expires.
func (r *Reloader) NotAfter() time.Time { return r.current.Load().Leaf.NotAfter }

// GetCertificate returns the certificate for a new connection.
func (r *Reloader) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return r.current.Load(), nil
}

// TLS returns how to serve with the certificate: HTTP/2 and HTTP/1.1, TLS 1.2 or newer.
func (r *Reloader) TLS() *tls.Config {
	cfg := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		Time:           r.cfg.Clock.Now,
		GetCertificate: r.GetCertificate,
	}
	if r.clients.Load() != nil {
		cfg.GetConfigForClient = r.forClient
		cfg.SessionTicketsDisabled = true // see forClient
	}
	return cfg
}
