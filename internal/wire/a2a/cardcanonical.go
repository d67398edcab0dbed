package a2a

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// CanonicalCard returns the text that a signature of the card stands over: the card without its signatures,
// in the canonical form of RFC 8785.
//
// A card of 1.0, or the half of a union card that clients of 1.0 read, has exactly the members that 1.0
// defines: those that are required even when they are empty or missing, those that are optional when they are
// there, false included, and all others when they are not empty. A card of 0.3, for which no rule was ever
// made, has all of its members, as they are.
//
// Numbers become what a double holds, as RFC 8785 demands. A card whose members have types that 1.0 does not
// give them has no canonical form.
func CanonicalCard(raw []byte, shape Shape) ([]byte, error) {
	doc, err := parseCardDocument(raw)
	if err != nil {
		return nil, err
	}
	var text []byte
	if shape == Shape03 {
		doc.remove("signatures")
		text = doc.append(nil)
	} else if text, err = appendCanonical(nil, &doc, cardFields); err != nil {
		return nil, err
	}
	return canonicalText(text)
}

// CanonicalForms returns the texts that signatures of the card may stand over, without repetitions. First comes
// that of [CanonicalCard]. The others are those of SDKs that sign and verify something else: a card that all are
// to verify needs a signature over each form, and for a reader one that verifies is enough.
//
// The SDKs for Python and JavaScript leave out whatever is empty, also required members, and what is empty or
// null inside the parameters of extensions. The one for JavaScript moreover loses the security schemes of cards
// of 1.0 that its own resolver has read, or its own types have made; so the last form of such a card says
// nothing about them. The SDK for Python of version 0.3 has a form of its own for the members that it knows.
func CanonicalForms(raw []byte, shape Shape) ([][]byte, error) {
	full, err := CanonicalCard(raw, shape)
	if err != nil {
		return nil, err
	}
	forms := [][]byte{full}
	add := func(form []byte) {
		if !slices.ContainsFunc(forms, func(f []byte) bool { return bytes.Equal(f, form) }) {
			forms = append(forms, form)
		}
	}
	if shape.with10() {
		// Leaving out members of a canonical text leaves a canonical text.
		short := withoutEmpty(full)
		add(short)
		if shape == Shape10 {
			doc, err := parseDocument(short)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrNotCard, err)
			}
			doc.remove("securitySchemes")
			add(doc.append(nil))
		}
	}
	if shape.with03() {
		doc, err := parseCardDocument(raw)
		if err != nil {
			return nil, err
		}
		if form, ok := pythonForm03(&doc); ok {
			add(form)
		}
	}
	return forms, nil
}

// withoutEmpty returns an object without what is empty in it.
func withoutEmpty(raw []byte) []byte {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	short, filled := appendFilled(make([]byte, 0, len(raw)), raw, s)
	if !filled {
		return []byte("{}")
	}
	return short
}

func canonicalText(text []byte) ([]byte, error) {
	if err := checkNumbers(text); err != nil {
		return nil, err
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("%w: it has no canonical form: %w", ErrNotCard, err)
	}
	return value, nil
}

// checkNumbers refuses numbers that no double comes near: one reader takes the largest there is for them,
// another fails, and a third takes null.
func checkNumbers(text []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		token, err := dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNotCard, err)
		case token.Kind() != '0':
			continue
		}
		if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
			return fmt.Errorf("%w: it has no canonical form: the number %.40s is too large", ErrNotCard, token.String())
		}
	}
}

// appendFilled appends the value that comes next without what is empty in it, and reports whether anything
// was left to append.
func appendFilled(dst, raw []byte, s *jsonrpc.Scanner) ([]byte, bool) {
	start := len(dst)
	switch {
	case s.OpenObject():
		dst = append(dst, '{')
		for s.Next() {
			before := len(dst)
			if before > start+1 {
				dst = append(dst, ',')
			}
			dst = append(dst, raw[s.NameOffset():s.Offset()]...)
			dst = append(dst, ':')
			var filled bool
			if dst, filled = appendFilled(dst, raw, s); !filled {
				dst = dst[:before]
			}
		}
		dst = append(dst, '}')
	case s.OpenArray():
		dst = append(dst, '[')
		for s.More() {
			before := len(dst)
			if before > start+1 {
				dst = append(dst, ',')
			}
			var filled bool
			if dst, filled = appendFilled(dst, raw, s); !filled {
				dst = dst[:before]
			}
		}
		dst = append(dst, ']')
	default:
		value := s.Value()
		return append(dst, value...), !isNull(value) && string(value) != `""`
	}
	if len(dst) == start+2 {
		return dst[:start], false
	}
	return dst, true
}

// fieldKind is the type of a member of the card.
type fieldKind uint8

const (
	textField fieldKind = iota
	flagField
	textsField      // an array of strings
	textMapField    // an object of strings
	objectField     // an object of known members
	objectsField    // an array of them
	objectMapField  // an object of them
	opaqueField     // an object whose members are not the protocol's
	opaqueListField // an array of anything
)

// presence says when a member is there in the canonical form.
type presence uint8

const (
	ifFilled presence = iota // when it has a value other than the empty one
	ifSet                    // when it is there
	always
)

// cardField is a member that version 1.0 defines.
type cardField struct {
	name     string
	kind     fieldKind
	presence presence
	fields   []cardField // of the objects
}

// The members of the card of version 1.0, without signatures, and of the objects in it.
var (
	cardFields = []cardField{
		{name: "name", presence: always},
		{name: "description", presence: always},
		{name: "supportedInterfaces", kind: objectsField, presence: always, fields: interfaceFields},
		{name: "provider", kind: objectField, fields: providerFields},
		{name: "version", presence: always},
		{name: "documentationUrl", presence: ifSet},
		{name: "capabilities", kind: objectField, presence: always, fields: capabilityFields},
		{name: "securitySchemes", kind: objectMapField, fields: schemeFields},
		{name: "securityRequirements", kind: objectsField, fields: requirementFields},
		{name: "defaultInputModes", kind: textsField, presence: always},
		{name: "defaultOutputModes", kind: textsField, presence: always},
		{name: "skills", kind: objectsField, presence: always, fields: skillFields},
		{name: "iconUrl", presence: ifSet},
	}
	interfaceFields = []cardField{
		{name: "url", presence: always},
		{name: "protocolBinding", presence: always},
		{name: "tenant"},
		{name: "protocolVersion", presence: always},
	}
	providerFields   = []cardField{{name: "url", presence: always}, {name: "organization", presence: always}}
	capabilityFields = []cardField{
		{name: "streaming", kind: flagField, presence: ifSet},
		{name: "pushNotifications", kind: flagField, presence: ifSet},
		{name: "extensions", kind: objectsField, fields: extensionFields},
		{name: "extendedAgentCard", kind: flagField, presence: ifSet},
	}
	extensionFields = []cardField{
		{name: "uri"}, {name: "description"}, {name: "required", kind: flagField}, {name: "params", kind: opaqueField},
	}
	skillFields = []cardField{
		{name: "id", presence: always},
		{name: "name", presence: always},
		{name: "description", presence: always},
		{name: "tags", kind: textsField, presence: always},
		{name: "examples", kind: textsField},
		{name: "inputModes", kind: textsField},
		{name: "outputModes", kind: textsField},
		{name: "securityRequirements", kind: objectsField, fields: requirementFields},
	}
	requirementFields = []cardField{{name: "schemes", kind: objectMapField, fields: []cardField{{name: "list", kind: textsField}}}}

	// Which scheme or flow it is says the member alone, so it stays when it is empty.
	schemeFields = []cardField{
		{name: "apiKeySecurityScheme", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "description"}, {name: "location", presence: always}, {name: "name", presence: always},
		}},
		{name: "httpAuthSecurityScheme", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "description"}, {name: "scheme", presence: always}, {name: "bearerFormat"},
		}},
		{name: "oauth2SecurityScheme", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "description"}, {name: "flows", kind: objectField, presence: always, fields: flowFields}, {name: "oauth2MetadataUrl"},
		}},
		{name: "openIdConnectSecurityScheme", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "description"}, {name: "openIdConnectUrl", presence: always},
		}},
		{name: "mtlsSecurityScheme", kind: objectField, presence: ifSet, fields: []cardField{{name: "description"}}},
	}
	flowFields = []cardField{
		{name: "authorizationCode", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "authorizationUrl", presence: always},
			{name: "tokenUrl", presence: always},
			{name: "refreshUrl"},
			{name: "scopes", kind: textMapField, presence: always},
			{name: "pkceRequired", kind: flagField},
		}},
		{name: "clientCredentials", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "tokenUrl", presence: always}, {name: "refreshUrl"}, {name: "scopes", kind: textMapField, presence: always},
		}},
		{name: "implicit", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "authorizationUrl"}, {name: "refreshUrl"}, {name: "scopes", kind: textMapField},
		}},
		{name: "password", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "tokenUrl"}, {name: "refreshUrl"}, {name: "scopes", kind: textMapField},
		}},
		{name: "deviceCode", kind: objectField, presence: ifSet, fields: []cardField{
			{name: "deviceAuthorizationUrl", presence: always},
			{name: "tokenUrl", presence: always},
			{name: "refreshUrl"},
			{name: "scopes", kind: textMapField, presence: always},
		}},
	}
)

// lookup returns the value of a member in one of the two spellings that parsers of 1.0 know, nil when it is
// not there or null.
func (f cardField) lookup(doc *document) []byte {
	i := doc.find(f.name)
	if i < 0 || isNull(doc.members[i].value) {
		return nil
	}
	if name, _ := jsonrpc.Unquote(doc.members[i].name); name != f.name && name != snakeCase(f.name) {
		return nil
	}
	return doc.members[i].value
}

// snakeCase returns a name as the schema of the protocol has it.
func snakeCase(name string) string {
	var snake strings.Builder
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' {
			snake.WriteByte('_')
			snake.WriteByte(c - 'A' + 'a')
		} else {
			snake.WriteByte(c)
		}
	}
	return snake.String()
}

// appendCanonical appends an object with the members that it has in the canonical form, in any order.
func appendCanonical(dst []byte, doc *document, fields []cardField) ([]byte, error) {
	start := len(dst) + 1
	dst = append(dst, '{')
	for _, f := range fields {
		raw := f.lookup(doc)
		if raw == nil && f.presence != always {
			continue
		}
		before := len(dst)
		if before > start {
			dst = append(dst, ',')
		}
		dst = jsonrpc.AppendString(dst, f.name)
		dst = append(dst, ':')
		at := len(dst)
		var err error
		if dst, err = f.appendValue(dst, raw); err != nil {
			return nil, err
		}
		if f.presence == ifFilled && isEmpty(dst[at:]) {
			dst = dst[:before]
		}
	}
	return append(dst, '}'), nil
}

// appendValue appends the value of a member, the empty one for nil.
func (f cardField) appendValue(dst, raw []byte) ([]byte, error) {
	if raw == nil {
		raw = f.empty()
	}
	switch f.kind {
	case flagField:
		if raw[0] != 't' && raw[0] != 'f' {
			return nil, f.mismatch()
		}
		return append(dst, raw...), nil
	case textsField:
		return f.appendArray(dst, raw, f.appendText)
	case objectsField:
		return f.appendArray(dst, raw, f.appendObject)
	case textMapField:
		return f.appendMap(dst, raw, f.appendText)
	case objectMapField:
		return f.appendMap(dst, raw, f.appendObject)
	case objectField:
		return f.appendObject(dst, raw)
	case opaqueField, opaqueListField:
		if raw[0] != f.empty()[0] {
			return nil, f.mismatch()
		}
		// What is empty is seen by its brackets, so the space between them has to go.
		if inner := bytes.TrimSpace(raw[1 : len(raw)-1]); len(inner) == 0 {
			raw = f.empty()
		}
		return append(dst, raw...), nil
	default:
		return f.appendText(dst, raw)
	}
}

func (f cardField) empty() []byte {
	switch f.kind {
	case textField:
		return []byte(`""`)
	case flagField:
		return []byte("false")
	case textsField, objectsField, opaqueListField:
		return []byte("[]")
	default:
		return []byte("{}")
	}
}

func isEmpty(value []byte) bool {
	switch string(value) {
	case `""`, "false", "[]", "{}":
		return true
	}
	return false
}

func (f cardField) mismatch() error {
	return fmt.Errorf("%w: %s is not of the type that version 1.0 gives it", ErrNotCard, f.name)
}

func (f cardField) appendText(dst, raw []byte) ([]byte, error) {
	if raw[0] != '"' {
		return nil, f.mismatch()
	}
	return append(dst, raw...), nil
}

func (f cardField) appendObject(dst, raw []byte) ([]byte, error) {
	doc, err := parseDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: in %s: %w", ErrNotCard, f.name, err)
	}
	return appendCanonical(dst, &doc, f.fields)
}

type appendFunc func(dst, raw []byte) ([]byte, error)

func (f cardField) appendArray(dst, raw []byte, element appendFunc) ([]byte, error) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenArray() {
		return nil, f.mismatch()
	}
	dst = append(dst, '[')
	for first := true; s.More(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = element(dst, s.Value()); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// appendMap appends an object whose names are free. That one stands there twice is found when the text is
// made canonical.
func (f cardField) appendMap(dst, raw []byte, element appendFunc) ([]byte, error) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenObject() {
		return nil, f.mismatch()
	}
	dst = append(dst, '{')
	for first := true; s.Next(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, raw[s.NameOffset():s.Offset()]...)
		dst = append(dst, ':')
		var err error
		if dst, err = element(dst, s.Value()); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}
