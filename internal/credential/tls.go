package credential

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// TLS is how gateway and agent know each other in TLS, without the private key.
type TLS struct {
	// CA is PEM of the authorities to trust instead of the machine's; empty for those.
	CA string `json:"ca,omitempty"`
	// Certificate is PEM of the gateway's certificate and of its chain; empty for none.
	Certificate string `json:"certificate,omitempty"`
	// ServerName is what the agent's certificate is checked for; empty for the host.
	ServerName string `json:"server_name,omitempty"`
	// CertificateSHA256 and ExpireTime are those of the certificate.
	CertificateSHA256 string    `json:"certificate_sha256,omitempty"`
	ExpireTime        time.Time `json:"expire_time,omitzero"`
	// Sealed is the private key.
	Sealed seal.Sealed `json:"-"`
}

// GivenTLS is a TLS as its owner gives it.
type GivenTLS struct {
	CA, Certificate, ServerName string
	// Key is PEM of the private key; empty keeps the one that is stored.
	Key Text
}

// MakeTLS seals what was given for an agent. was is what it takes the place of; nil when
// there is nothing. It returns nil when nothing is given, and a [*FaultError] for what
// cannot be taken.
func MakeTLS(with Sealer, agent uuid.UUID, g GivenTLS, was *TLS) (*TLS, error) {
	t := TLS{CA: g.CA, Certificate: g.Certificate, ServerName: strings.ToLower(g.ServerName)}
	if t.CA != "" {
		if _, err := readCertificates("ca_certificates", t.CA); err != nil {
			return nil, err
		}
	}
	switch {
	case t.Certificate == "" && g.Key != "":
		return nil, fault("client_certificate", "is needed for client_key")
	case t.Certificate == "":
		if reflect.DeepEqual(t, TLS{}) {
			return nil, nil
		}
		return &t, nil
	}
	chain, err := readCertificates("client_certificate", t.Certificate)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(chain[0].Raw)
	t.CertificateSHA256, t.ExpireTime = hex.EncodeToString(sum[:]), chain[0].NotAfter.UTC()
	if was != nil && was.Certificate == t.Certificate {
		t.Sealed = was.Sealed
	}
	switch {
	case g.Key == "" && t.Sealed.KeyID == "":
		return nil, fault("client_key", "is needed with a new client_certificate")
	case g.Key == "":
		return &t, nil
	}
	if _, err := tls.X509KeyPair([]byte(t.Certificate), []byte(g.Key)); err != nil {
		return nil, fault("client_key", "is not the private key of client_certificate in PEM, or it is encrypted")
	}
	if t.Sealed.KeyID != "" {
		if stored, err := with.Unseal(t.Sealed, associated(agent, ClientKeyField)); err == nil && string(stored) == string(g.Key) {
			return &t, nil
		}
	}
	t.Sealed, err = with.Seal([]byte(g.Key), associated(agent, ClientKeyField))
	return &t, err
}

// Same tells whether two are equal; nil is equal to nil alone.
func (t *TLS) Same(other *TLS) bool { return reflect.DeepEqual(t, other) }

// Config makes a configuration of TLS with the private key.
func (t *TLS) Config(u Unsealer, agent uuid.UUID) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM([]byte(t.CA))
	}
	if t.Certificate == "" {
		return cfg, nil
	}
	key, err := u.Unseal(t.Sealed, associated(agent, ClientKeyField))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(t.Certificate), key)
	if err != nil {
		return nil, seal.ErrNotAuthentic // it was checked before it was sealed
	}
	// Always, also when the agent names other authorities: better that it says what it
	// does not like than that it misses a certificate.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return cfg, nil
}

// readCertificates reads PEM with one certificate at least and nothing else.
func readCertificates(field, text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			if strings.Contains(block.Type, "PRIVATE KEY") {
				return nil, fault(field, "holds a private key, which does not belong there")
			}
			return nil, fault(field, "holds %.40q, which is no certificate", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault(field, "holds a certificate that cannot be read: %v", err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fault(field, "holds no certificate in PEM")
	}
	return all, nil
}
