package a2a

import "github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"

// Signature is a signature of a card, as RFC 7515 writes it in JSON, without the payload. What it stands over
// is one of the [CanonicalForms] of the card.
type Signature struct {
	// Protected is the protected header and Signature the signature, both in base64url.
	Protected, Signature string
	// Header is the unprotected header, an object of JSON, nil when there is none.
	Header []byte
}

// CardSignatures returns the signatures of a card. Of a signature that cannot be read there is what can be
// read, so that as many are returned as there are.
func CardSignatures(raw []byte) ([]Signature, error) {
	doc, err := parseCardDocument(raw)
	if err != nil {
		return nil, err
	}
	var signatures []Signature
	for _, raw := range doc.elements("signatures") {
		entry, err := parsePart(raw, "signatures")
		if err != nil {
			return nil, err
		}
		s := Signature{Protected: entry.text("protected"), Signature: entry.text("signature")}
		if header := entry.get("header"); header != nil && header[0] == '{' {
			s.Header = header
		}
		signatures = append(signatures, s)
	}
	return signatures, nil
}

// SetSignatures returns the card with the given signatures, its last member, instead of those that it had.
// Without any the member is removed. What is no card is returned as it is.
func SetSignatures(card []byte, signatures []Signature) []byte {
	doc, err := parseCardDocument(card)
	if err != nil {
		return card
	}
	doc.remove("signatures")
	if len(signatures) > 0 {
		var entries [][]byte
		for _, s := range signatures {
			var entry document
			entry.set("protected", jsonrpc.AppendString(nil, s.Protected))
			entry.set("signature", jsonrpc.AppendString(nil, s.Signature))
			if s.Header != nil {
				entry.set("header", s.Header)
			}
			entries = append(entries, entry.append(nil))
		}
		doc.set("signatures", array(entries))
	}
	return doc.append(make([]byte, 0, len(card)+256*len(signatures)))
}
