package identity

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxCertificateNames is the number of names in certificates that a key may have.
const MaxCertificateNames = 20

// maxCertificateName is how many bytes a name in certificates may have; the identity
// documents of SPIFFE have no longer ones.
const maxCertificateName = 2048

// CertificateName writes a name as it stands in a certificate in the form of
// [Key.CertificateNames]: kind is "URI", "DNS" or "EMAIL". It returns false for a name that
// can stand for nobody, such as one with a wildcard.
func CertificateName(kind, value string) (string, bool) {
	name := kind + ":" + value
	if len(name) > maxCertificateName || !utf8.ValidString(value) || strings.ContainsFunc(value, notInCertificateNames) {
		return "", false
	}
	switch kind {
	case "URI":
		u, err := url.Parse(value)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" {
			return "", false
		}
		return "URI:" + u.String(), true // as those of certificates are written too
	case "DNS":
		// Letters of host names are of no case; a dot at the end changes nothing.
		name = "DNS:" + strings.ToLower(strings.TrimSuffix(value, "."))
		return name, isHostName(name[len("DNS:"):])
	case "EMAIL":
		address, err := mail.ParseAddress(value)
		return "EMAIL:" + strings.ToLower(value), err == nil && address.Address == value
	}
	return "", false
}

// notInCertificateNames tells whether a character has no place in a name: it could make
// two names look the same, or one like something else.
func notInCertificateNames(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }

func isHostName(name string) bool {
	if name == "" || len(name) > 253 || net.ParseIP(name) != nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		valid := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-' &&
			!strings.ContainsFunc(label, func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
			})
		if !valid {
			return false
		}
	}
	return true
}

// normalizeCertificateNames returns names in their one form, in order.
func normalizeCertificateNames(names []string) ([]string, error) {
	const field = "key.certificate_names"
	if len(names) > MaxCertificateNames {
		return nil, &InvalidError{Field: field, Problem: fmt.Sprintf("are more than %d", MaxCertificateNames)}
	}
	normal := make([]string, 0, len(names))
	for _, name := range names {
		kind, value, _ := strings.Cut(name, ":")
		n, ok := CertificateName(kind, value)
		if !ok {
			return nil, &InvalidError{Field: field, Problem: fmt.Sprintf(
				"%q is no name in certificates: write URI:spiffe://example.org/ci, DNS:ci.example.org or EMAIL:ada@example.org, without wildcards", name)}
		}
		if slices.Contains(normal, n) {
			return nil, &InvalidError{Field: field, Problem: fmt.Sprintf("%q is there twice", n)}
		}
		normal = append(normal, n)
	}
	slices.Sort(normal)
	return normal, nil
}
