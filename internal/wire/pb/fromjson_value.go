package pb

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// scheme writes the security scheme that comes next, which tells by its type what it is, or is in the form of
// ProtoJSON. Of a type that the schema does not have nothing can be written.
func (w *writer) scheme(t *table) error {
	raw, err := w.dec.ReadValue()
	if err != nil {
		return syntax(err)
	}
	typ, err := schemeType(raw)
	if err != nil {
		return err
	}
	// A member type may stand behind those that it decides on, so they are read once more.
	outer := w.dec
	defer func() { w.dec = outer }()
	w.dec = jsontext.NewDecoder(bytes.NewBuffer(raw), lenient...)
	if err := w.open('{'); err != nil {
		return err
	}
	if typ == "" {
		return w.message(t)
	}
	for i := range t.fields {
		f := &t.fields[i]
		if f.typ != typ {
			continue
		}
		w.tag(f.num, protowire.BytesType)
		content := w.begin()
		err := w.message(f.msg)
		w.end(content)
		return err
	}
	return nil
}

// schemeType returns the member type of a security scheme, "" when it has none.
func schemeType(raw []byte) (string, error) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	typ := ""
	if !s.OpenObject() {
		return "", faultf("SecurityScheme is not an object")
	}
	for s.Next() {
		if string(s.Name()) != "type" {
			s.Value()
			continue
		}
		text, ok := s.String()
		if !ok || typ != "" {
			return "", faultf("SecurityScheme.type is not one string")
		}
		typ = text
	}
	return typ, syntax(s.Err())
}

// value writes a google.protobuf.Value, of which the tag is written, from any JSON.
func (w *writer) value() error {
	kind := w.dec.PeekKind()
	if kind == '{' || kind == '[' {
		outer := w.begin()
		f := &structField
		if kind == '[' {
			f = &listField
		}
		w.tag(f.num, protowire.BytesType)
		inner := w.begin()
		err := w.field(f.msg, &f.msg.fields[0])
		w.end(inner)
		w.end(outer)
		return err
	}
	raw, err := w.dec.ReadValue()
	if err != nil {
		return syntax(err)
	}
	switch byte(kind) {
	case '"':
		text := w.unquote(raw)
		w.raw = protowire.AppendVarint(w.raw, uint64(protowire.SizeTag(valueString)+protowire.SizeBytes(len(text))))
		w.string(valueString, text)
	case '0':
		n, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return faultf("a number in it is too large for a double")
		}
		w.raw = protowire.AppendVarint(w.raw, uint64(protowire.SizeTag(valueNumber)+protowire.SizeFixed64()))
		w.tag(valueNumber, protowire.Fixed64Type)
		w.raw = protowire.AppendFixed64(w.raw, math.Float64bits(n))
	case 't', 'f':
		w.raw = protowire.AppendVarint(w.raw, uint64(protowire.SizeTag(valueBool)+1))
		w.tag(valueBool, protowire.VarintType)
		w.raw = protowire.AppendVarint(w.raw, protowire.EncodeBool(kind == 't'))
	default:
		w.raw = protowire.AppendVarint(w.raw, uint64(protowire.SizeTag(valueNull)+1))
		w.varint(valueNull, 0)
	}
	return nil
}
