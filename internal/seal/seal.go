// Package seal encrypts what Signalbox keeps in its database and must never show again,
// with a key that is not in the database: the key-encryption key. It knows no database
// and no use of what it seals.
package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// KeySize is the number of random bytes of a key-encryption key.
const KeySize = 32

// idSize is the number of bytes of a key's fingerprint.
const idSize = 8

// ErrNotAuthentic is returned for data that was changed since it was sealed, or that was
// sealed for something else.
var ErrNotAuthentic = errors.New("sealed data was changed, or was sealed for something else")

// Sealed is encrypted data and the fingerprint of the key that encrypted it.
type Sealed struct {
	KeyID string
	Data  []byte
}

// UnknownKeyError says that data was sealed with a key that this replica does not have.
type UnknownKeyError struct {
	// SealedWith is the fingerprint of the missing key.
	SealedWith string
	// Have are the fingerprints of this replica's keys.
	Have []string
	// Source is where this replica's keys came from.
	Source string
}

// Error names both keys and says how replicas come to have the same one.
func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("this data was sealed with key-encryption key %s; this replica has %s, from %s; "+
		"copy %s from the data directory of a replica that can read the data, or give all replicas the same %s",
		e.SealedWith, strings.Join(e.Have, " and "), e.Source, fileName, variable)
}

// Ring holds the key-encryption keys of a replica: the first one seals, all unseal. It
// is safe for concurrent use.
type Ring struct {
	keys   []key // one at least
	source string
}

type key struct {
	id   string
	aead tink.AEAD
}

// newRing reads keys, of which the first seals. source says in errors where they stand.
func newRing(text, source string) (*Ring, error) {
	r := &Ring{source: source}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		// A variable may have blanks for line ends.
		for word := range strings.FieldsSeq(line) {
			k, err := parseKey(word)
			if err != nil {
				return nil, fmt.Errorf("%s: key %d: %w", source, len(r.keys)+1, err)
			}
			r.keys = append(r.keys, k)
		}
	}
	if len(r.keys) == 0 {
		return nil, fmt.Errorf("%s: there is no key: %w", source, errForm)
	}
	return r, nil
}

var errForm = fmt.Errorf("a key-encryption key is %d random bytes in base64; make one with: openssl rand -base64 %d", KeySize, KeySize)

// parseKey never tells the text: it may be a secret that is one letter short.
func parseKey(text string) (key, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	secret, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(secret) != KeySize {
		return key{}, errForm
	}
	return newKey(secret)
}

func newKey(secret []byte) (key, error) {
	if strings.Count(string(secret), string(secret[:1])) == len(secret) {
		return key{}, errors.New("all its bytes are the same; it must be random: openssl rand -base64 32")
	}
	// The fingerprint is stored in clear and must not tell anything about the key that encrypts.
	id, err := hkdf.Key(sha256.New, secret, nil, "signalbox key-encryption key: id", idSize)
	if err != nil {
		return key{}, fmt.Errorf("derive the fingerprint: %w", err)
	}
	secret, err = hkdf.Key(sha256.New, secret, nil, "signalbox key-encryption key: seal", KeySize)
	if err != nil {
		return key{}, fmt.Errorf("derive the key: %w", err)
	}
	// Its nonce is long enough to be random however often the key is used.
	aead, err := subtle.NewXChaCha20Poly1305(secret)
	if err != nil {
		return key{}, fmt.Errorf("use the key: %w", err)
	}
	return key{id: hex.EncodeToString(id), aead: aead}, nil
}

// generate returns a new key as it stands in files.
func generate() string {
	secret := make([]byte, KeySize)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	return base64.StdEncoding.EncodeToString(secret)
}

// ID returns the fingerprint of the key that seals.
func (r *Ring) ID() string { return r.keys[0].id }

// IDs returns the fingerprints of all keys, the one that seals first.
func (r *Ring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// Source tells where the keys came from: the path of a file or the name of the variable.
func (r *Ring) Source() string { return r.source }

// Seal encrypts a text. It can be unsealed only together with the same associated data,
// which should say what the text is and whose.
func (r *Ring) Seal(plaintext, associatedData []byte) (Sealed, error) {
	data, err := r.keys[0].aead.Encrypt(plaintext, associatedData)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal: %w", err)
	}
	return Sealed{KeyID: r.keys[0].id, Data: data}, nil
}

// Unseal decrypts what any of the keys sealed. It returns an [*UnknownKeyError] when it
// was another key, and [ErrNotAuthentic] when the data are not what was sealed.
func (r *Ring) Unseal(s Sealed, associatedData []byte) ([]byte, error) {
	for _, k := range r.keys {
		if k.id != s.KeyID {
			continue
		}
		plaintext, err := k.aead.Decrypt(s.Data, associatedData)
		if err != nil {
			return nil, ErrNotAuthentic
		}
		return plaintext, nil
	}
	return nil, &UnknownKeyError{SealedWith: s.KeyID, Have: r.IDs(), Source: r.source}
}

const redacted = "[redacted]"

// Format hides the keys from every verb of fmt.
func (*Ring) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String hides the keys.
func (*Ring) String() string { return redacted }

// GoString hides the keys.
func (*Ring) GoString() string { return redacted }

// LogValue hides the keys.
func (*Ring) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the keys from encoders.
func (*Ring) MarshalText() ([]byte, error) { return []byte(redacted), nil }
