package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Issuer is somebody whose tokens are believed: an OpenID provider, or whoever else
// signs JSON Web Tokens (RFC 7519).
type Issuer struct {
	UID         uuid.UUID
	ID          string // "okta" of "issuers/okta"
	DisplayName string
	Disabled    bool
	// URL is what tokens have as "iss", to the letter.
	URL string
	// Keys come from JWKS when it is set, a JSON Web Key Set (RFC 7517) as it was given;
	// else from JWKSURL; and when that is empty too, from where the issuer's discovery
	// document says (OpenID Connect Discovery 1.0, section 4).
	JWKS, JWKSURL string
	// Audiences are the values of "aud" of which a token must have one; never empty.
	Audiences []string
	// Algorithms are those that tokens may be signed with; never empty. Of RS256, RS384,
	// RS512, ES256, ES384, ES512 and EdDSA.
	Algorithms []string
	// Skew is how far the clocks of issuer and gateway may be apart.
	Skew time.Duration
	// NameClaim and EmailClaim are the claims for people; empty for none.
	NameClaim, EmailClaim string
	// Mappings give teams and roles to users whose tokens have a claim.
	Mappings []ClaimMapping
	// UserKey makes the uids of users out of their subjects, so that nobody can tell
	// from a record whose they are.
	UserKey [32]byte

	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "issuers/{issuer}".
func (i Issuer) Name() string { return IssuerName(i.ID) }

// IssuerName makes a resource name of an issuer's id.
func IssuerName(id string) string { return "issuers/" + id }

// ClaimMapping gives a team or a role to users whose tokens have a value in a claim.
type ClaimMapping struct {
	// Claim is a name, or names with dots between them for objects in objects:
	// "groups", "realm_access.roles". A claim may hold a text, a list of texts, or one text
	// of words with spaces between them, as "scope" does.
	Claim string `json:"claim"`
	// Value is what the claim must be or contain.
	Value string `json:"value"`
	// Team is the id of the team that the user belongs to; empty for none.
	Team string `json:"team,omitempty"`
	// Role is the role that the user has, in Team, or everywhere when Team is empty; empty
	// means that of a member.
	Role string `json:"role,omitempty"`
}

// UserUID returns the uid of the user of a subject.
func (i *Issuer) UserUID(subject string) uuid.UUID {
	mac := hmac.New(sha256.New, i.UserKey[:])
	mac.Write([]byte(subject))
	var uid uuid.UUID
	copy(uid[:], mac.Sum(nil))
	uid[6] = uid[6]&0x0f | 0x80 // version 8 of RFC 9562: one's own way
	uid[8] = uid[8]&0x3f | 0x80
	return uid
}

// maxUserID is how long the part of a user's id may be that its subject makes.
const maxUserID = 120

// UserID returns the last part of the name of the user of a subject, "{issuer}~{subject}".
// Different subjects have different ids: what names cannot hold is written as "=" and its
// byte in hexadecimal digits, and a subject that is too long as a hash.
func (i *Issuer) UserID(subject string) string {
	var b strings.Builder
	b.WriteString(i.ID)
	b.WriteByte('~')
	escaped := escapeSubject(subject)
	if len(escaped) > maxUserID {
		sum := sha256.Sum256([]byte(subject))
		b.WriteString("==" + hex.EncodeToString(sum[:])) // "=" is followed by a digit in what is escaped
		return b.String()
	}
	b.WriteString(escaped)
	return b.String()
}

func escapeSubject(subject string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(subject) {
		switch c := subject[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '@':
			b.WriteByte(c)
		default:
			b.WriteString("=" + string(digits[c>>4]) + string(digits[c&15]))
		}
	}
	return b.String()
}
