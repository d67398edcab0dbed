package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// pageTokens makes page tokens. A token holds a place in a list and a seal over that
// place, the list, its filter and order, and the caller; so it can be used for
// nothing else, on every replica that has the same key. The place is hidden: it may be
// that of something which the caller does not see.
type pageTokens struct{ key []byte }

// sealSize is the number of bytes of a seal.
const sealSize = 16

// write returns the token of a place.
func (p pageTokens) write(caller identity.Principal, list []string, place any) (string, error) {
	payload, err := json.Marshal(place)
	if err != nil {
		return "", err
	}
	seal := p.seal(caller, list, payload)
	hidden, err := p.hide(seal, payload)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(seal, hidden...)), nil
}

// read gives back the place of a token; place must be a pointer.
func (p pageTokens) read(caller identity.Principal, list []string, token string, place any) error {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < sealSize {
		return errPageToken
	}
	seal := raw[:sealSize]
	payload, err := p.hide(seal, raw[sealSize:])
	if err != nil {
		return err
	}
	if !hmac.Equal(seal, p.seal(caller, list, payload)) {
		return errPageToken
	}
	if err := json.Unmarshal(payload, place); err != nil {
		return errPageToken
	}
	return nil
}

// hide encrypts a payload, or decrypts one. The seal over the payload is its nonce, so that
// two payloads hardly ever have the same.
func (p pageTokens) hide(seal, payload []byte) ([]byte, error) {
	key := hmac.New(sha256.New, p.key)
	key.Write([]byte("places of page tokens"))
	block, err := aes.NewCipher(key.Sum(nil))
	if err != nil {
		return nil, err
	}
	hidden := make([]byte, len(payload))
	cipher.NewCTR(block, seal).XORKeyStream(hidden, payload)
	return hidden, nil
}

// seal binds a payload to a caller and a list. Lengths stand before the parts, so
// that no two lists read the same.
func (p pageTokens) seal(caller identity.Principal, list []string, payload []byte) []byte {
	mac := hmac.New(sha256.New, p.key)
	part := func(b []byte) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		mac.Write(b)
	}
	part(caller.UID[:])
	for _, text := range list {
		part([]byte(text))
	}
	part(payload)
	return mac.Sum(nil)[:sealSize]
}
