package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"
)

// Names of where the certificate comes from that a gateway is called with. Those that an
// agent gets are flags of other commands.
const (
	flagCert    = "cert"
	flagCertKey = "cert-key"
	varCert     = "SIGNALBOX_CERT"
	varCertKey  = "SIGNALBOX_CERT_KEY"
)

// certFiles say where a certificate and its key are, which may be one file.
type certFiles struct {
	Cert    string `yaml:"cert"`
	CertKey string `yaml:"cert_key"`
}

func (f *certFiles) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.Cert, flagCert, "", "file with the certificate to call it with, PEM, with its chain ("+varCert+")")
	flags.StringVar(&f.CertKey, flagCertKey, "", "file with the key of --"+flagCert+", PEM ("+varCertKey+"; default: the file of the certificate)")
}

// useCertificate takes the certificate of the flags, the variables, or the configuration
// file at path. The last belongs to the server that it was written down for, as a key does.
func (p *program) useCertificate(s *settings, file fileSettings, path, fileServer string) error {
	found, from := p.flags.cert, "--"+flagCert
	if found.Cert == "" && found.CertKey == "" {
		found, from = certFiles{p.getenv(varCert), p.getenv(varCertKey)}, varCert
	}
	if found.Cert == "" && found.CertKey == "" && s.server == fileServer {
		found, from = file.certFiles, path
		for _, name := range []*string{&found.Cert, &found.CertKey} {
			if *name != "" {
				*name = besides(path, *name, p.getenv(varHome))
			}
		}
	}
	switch {
	case found.Cert == "" && found.CertKey == "":
		return nil
	case found.Cert == "":
		return fmt.Errorf("%s is the key of no certificate; give that too, with --%s, %s or cert in the configuration file", found.CertKey, flagCert, varCert)
	case !strings.HasPrefix(s.server, "https://"):
		// A variable may be for another server than that of this command.
		s.warnings = append(s.warnings, fmt.Sprintf("the certificate of %s is not shown to %s: that takes https", from, s.server))
		return nil
	case found.CertKey == "":
		found.CertKey = found.Cert
	}
	cert, err := tls.LoadX509KeyPair(found.Cert, found.CertKey)
	if err != nil {
		return fmt.Errorf("read the certificate of %s: %w", from, err)
	}
	if w := openToOthers(found.CertKey); w != "" {
		s.warnings = append(s.warnings, w)
	}
	s.tls.certificate = &cert
	return nil
}

// handshakes shows a gateway the certificate that it asks for, and remembers that it did.
type handshakes struct {
	certificate *tls.Certificate // nil for none
	asked       atomic.Bool
}

func (h *handshakes) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h.asked.Store(true)
		if h.certificate == nil {
			return &tls.Certificate{}, nil
		}
		// It is shown also when the gateway names other authorities, whose refusal says more
		// than calling without it.
		return h.certificate, nil
	}}
}

// explain makes the error of a call that got no answer tell of the certificate, if the
// gateway had asked for one. What TLS says of it does not always arrive: in TLS 1.3 a caller
// may find the connection gone before it has read why.
func (h *handshakes) explain(err error, server string) error {
	var timeout net.Error
	if !h.asked.Load() || errors.Is(err, context.Canceled) || errors.As(err, &timeout) && timeout.Timeout() {
		return err // the connection did not end
	}
	return &notLetInError{server: server, shown: h.certificate != nil, err: err}
}

// notLetInError is a connection that ended after the gateway had asked for a certificate.
type notLetInError struct {
	server string
	shown  bool
	err    error
}

// Error says what happened.
func (e *notLetInError) Error() string {
	return fmt.Sprintf("%s asked for a certificate and ended the connection: %v", e.server, e.err)
}

// Unwrap returns the cause.
func (e *notLetInError) Unwrap() error { return e.err }

func (e *notLetInError) next() []string {
	if !e.shown {
		return []string{"it wants a certificate of its callers: give one with --" + flagCert + " and --" + flagCertKey}
	}
	return []string{
		"it may not accept the certificate of --" + flagCert + ": its authority must be one of the gateway, its dates right, and its use clientAuth",
		"the gateway's log says more at level debug",
	}
}
