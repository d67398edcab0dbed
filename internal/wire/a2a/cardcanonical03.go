package a2a

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The members of the card of version 0.3, without signatures, and of the objects in it, as the SDK for Python
// signs them: what is set is there, unless it is empty.
var (
	cardFields03 = []cardField{
		{name: "name"},
		{name: "description"},
		{name: "url"},
		{name: "preferredTransport"},
		{name: "additionalInterfaces", kind: objectsField, fields: []cardField{{name: "url"}, {name: "transport"}}},
		{name: "iconUrl"},
		{name: "provider", kind: objectField, fields: []cardField{{name: "url"}, {name: "organization"}}},
		{name: "version"},
		{name: "documentationUrl"},
		{name: "capabilities", kind: objectField, fields: []cardField{
			{name: "streaming", kind: flagField, presence: ifSet},
			{name: "pushNotifications", kind: flagField, presence: ifSet},
			{name: "stateTransitionHistory", kind: flagField, presence: ifSet},
			{name: "extensions", kind: objectsField, fields: []cardField{
				{name: "uri"}, {name: "description"}, {name: "required", kind: flagField, presence: ifSet}, {name: "params", kind: opaqueField},
			}},
		}},
		{name: "securitySchemes", kind: objectMapField, fields: schemeFields03},
		{name: "security", kind: opaqueListField},
		{name: "defaultInputModes", kind: textsField},
		{name: "defaultOutputModes", kind: textsField},
		{name: "skills", kind: objectsField, fields: []cardField{
			{name: "id"},
			{name: "name"},
			{name: "description"},
			{name: "tags", kind: textsField},
			{name: "examples", kind: textsField},
			{name: "inputModes", kind: textsField},
			{name: "outputModes", kind: textsField},
			{name: "security", kind: opaqueListField},
		}},
		{name: "supportsAuthenticatedExtendedCard", kind: flagField, presence: ifSet},
		{name: "protocolVersion"},
	}
	// schemeFields03 are those of all kinds of schemes. Which kind it is, is a default to that SDK, and left out.
	schemeFields03 = []cardField{
		{name: "description"},
		{name: "in"},
		{name: "name"},
		{name: "scheme"},
		{name: "bearerFormat"},
		{name: "flows", kind: objectMapField, fields: []cardField{
			{name: "authorizationUrl"}, {name: "tokenUrl"}, {name: "refreshUrl"}, {name: "scopes", kind: textMapField},
		}},
		{name: "oauth2MetadataUrl"},
		{name: "openIdConnectUrl"},
	}
)

// pythonForm03 returns what the SDK for Python signs and verifies of a card of version 0.3: the members that it
// knows, without what is empty and without what has the value that it takes when nothing is said, as ASCII. It
// returns false for a card that it would not read, or that has fractions in it, which Python writes in its
// own way.
func pythonForm03(doc *document) ([]byte, bool) {
	text, err := appendCanonical(nil, doc, cardFields03)
	if err != nil || hasFraction(text) {
		return nil, false
	}
	known, err := parseDocument(text)
	if err != nil {
		return nil, false
	}
	for name, value := range map[string]string{"preferredTransport": BindingJSONRPC, "protocolVersion": "0.3.0"} {
		if known.text(name) == value {
			known.remove(name)
		}
	}
	value := jsontext.Value(known.append(nil))
	if value.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)) != nil {
		return nil, false
	}
	return toASCII(withoutEmpty(value)), true
}

// hasFraction reports whether a number in a text is written with anything but digits and a sign.
func hasFraction(text []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return false
		}
		if token.Kind() == '0' {
			if number := token.String(); bytes.ContainsAny([]byte(number), ".eE") || number == "-0" {
				return true
			}
		}
	}
}

// toASCII escapes what is not printable ASCII, all of which stands in strings.
func toASCII(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r < 0x7f:
			out = append(out, text[0])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out
}
