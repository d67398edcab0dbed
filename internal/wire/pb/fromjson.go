package pb

import (
	"bytes"
	"errors"
	"io"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// FromJSON returns the protobuf encoding of a message from the JSON that [ToJSON] writes.
//
// Fields stand in the order of the members. Members are read in lowerCamelCase and snake_case, enums by
// the names of any version and as integers, bytes in any base64, timestamps with any offset or none.
// Members that the schema does not have are dropped; a value of another type than the schema's is refused,
// and so is a member that stands twice. Halves of surrogate pairs, which protobuf cannot carry, become U+FFFD.
// A null is an absent member, except in data, where it is a value.
func FromJSON(v a2a.Version, op a2a.Operation, m Message, payload []byte) ([]byte, error) {
	t, err := lookupTable(v, op, m)
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 || string(bytes.TrimSpace(payload)) == "null" {
		if m == Request || t == emptyTable {
			return []byte{}, nil // a call without params, a delete without a result
		}
	}
	switch {
	case len(payload) > math.MaxInt32/8: // whatever it becomes, its places fit into 32 bits
		return nil, faultf("it is longer than %d bytes", math.MaxInt32/8)
	case !utf8.Valid(payload):
		return nil, faultf("it is not UTF-8")
	case jsonrpc.CheckDepth(payload, jsonrpc.MaxDepth) >= 0:
		return nil, checkDepth(jsonrpc.MaxDepth + 1)
	}
	w := writers.Get().(*writer) //nolint:forcetypeassert // the pool holds nothing else
	defer w.release()
	w.strict = m == Request
	w.read(payload)
	if err := w.open('{'); err != nil {
		return nil, err
	}
	if err := w.message(t); err != nil {
		return nil, err
	}
	if _, err := w.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, faultf("more follows the end of the JSON")
	}
	return w.finish(), nil
}

// slot is a place where the length of a message goes once it is known.
type slot struct {
	at     int32 // in raw
	length int32 // of the message, with the lengths inside
}

// writer turns JSON into protobuf. Lengths are not written while the messages are, but all together at the
// end, so that nothing is moved or measured twice.
type writer struct {
	dec    *jsontext.Decoder
	buf    bytes.Buffer
	strict bool // refuse names of enums that are not known, rather than have them as unspecified

	raw   []byte // without lengths of messages
	slots []slot
	extra int // how long the lengths known so far are together
	tmp   []byte
}

var (
	writers = sync.Pool{New: func() any { return &writer{dec: new(jsontext.Decoder)} }}

	// Duplicates are judged by message, and the payload is UTF-8: what is allowed here are escapes that
	// stand for half a surrogate pair.
	lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
)

func (w *writer) read(payload []byte) {
	w.raw, w.slots, w.extra = w.raw[:0], w.slots[:0], 0
	w.buf = *bytes.NewBuffer(payload)
	w.dec.Reset(&w.buf, lenient...)
}

func (w *writer) release() {
	w.buf = bytes.Buffer{}
	w.dec.Reset(&w.buf)
	if cap(w.raw) > keptBytes {
		w.raw = nil
	}
	if cap(w.tmp) > keptBytes {
		w.tmp = nil
	}
	if cap(w.slots)*8 > keptBytes {
		w.slots = nil
	}
	writers.Put(w)
}

// finish puts the lengths where they belong.
func (w *writer) finish() []byte {
	out := make([]byte, 0, len(w.raw)+w.extra)
	done := int32(0)
	for _, s := range w.slots {
		out = append(out, w.raw[done:s.at]...)
		out = protowire.AppendVarint(out, uint64(s.length))
		done = s.at
	}
	return append(out, w.raw[done:]...)
}

// begin leaves room for the length of what comes next; end fills it in.
func (w *writer) begin() int {
	w.slots = append(w.slots, slot{at: int32(len(w.raw)), length: int32(-w.extra)})
	return len(w.slots) - 1
}

func (w *writer) end(i int) {
	s := &w.slots[i]
	s.length += int32(len(w.raw)+w.extra) - s.at
	w.extra += protowire.SizeVarint(uint64(s.length))
}

func (w *writer) tag(num protowire.Number, typ protowire.Type) {
	w.raw = protowire.AppendTag(w.raw, num, typ)
}

// open goes into the object or array that comes next.
func (w *writer) open(kind jsontext.Kind) error {
	token, err := w.dec.ReadToken()
	if err == nil && token.Kind() != kind {
		return faultf("it is not an object")
	}
	return syntax(err)
}

func syntax(err error) error {
	if err == nil {
		return nil
	}
	return faultf("it is not valid JSON: %w", err)
}

// more reports whether the open object or array goes on. It closes it when not.
func (w *writer) more(closing jsontext.Kind) (bool, error) {
	if kind := w.dec.PeekKind(); kind != closing && kind != 0 {
		return true, nil
	}
	_, err := w.dec.ReadToken()
	return false, syntax(err)
}

// name reads the name of a member. It is valid until the next value is read.
func (w *writer) name() ([]byte, error) {
	raw, err := w.dec.ReadValue()
	if err != nil {
		return nil, syntax(err)
	}
	return w.unquote(raw), nil
}

// unquote returns what a string stands for, either in the input or in w.tmp.
func (w *writer) unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	w.tmp, _ = jsontext.AppendUnquote(w.tmp[:0], raw) // the error tells of half a pair, which is replaced
	return w.tmp
}

// text reads a string; the same goes for it as for a name.
func (w *writer) text(t *table, f *field) ([]byte, error) {
	if w.dec.PeekKind() != '"' {
		return nil, w.wrong(t, f, "a string")
	}
	return w.name()
}

// wrong returns the error about a value of the wrong type.
func (w *writer) wrong(t *table, f *field, want string) error {
	if w.dec.PeekKind() == 0 {
		_, err := w.dec.ReadToken()
		return syntax(err)
	}
	return faultf("%s.%s is not %s", t.name, f.name, want)
}

// message writes the members of the object that is open.
func (w *writer) message(t *table) error {
	seen := uint32(0)
	for {
		more, err := w.more('}')
		if !more {
			return err
		}
		name, err := w.name()
		if err != nil {
			return err
		}
		place := t.lookup(name)
		if place < 0 {
			if err := w.dec.SkipValue(); err != nil {
				return syntax(err)
			}
			continue
		}
		f := &t.fields[place]
		if seen&(1<<place) != 0 {
			return faultf("%s has %s twice", t.name, f.name)
		}
		seen |= 1 << place
		if w.dec.PeekKind() == 'n' && (f.kind != valueKind || f.shape != single) {
			if _, err := w.dec.ReadToken(); err != nil {
				return syntax(err)
			}
			continue
		}
		if err := w.field(t, f); err != nil {
			return err
		}
	}
}

// field writes the value that comes next as a field.
func (w *writer) field(t *table, f *field) error {
	switch f.shape {
	case mapped:
		return w.mapping(t, f)
	case repeated:
		if w.dec.PeekKind() != '[' {
			return w.wrong(t, f, "an array")
		}
		if err := w.open('['); err != nil {
			return err
		}
		for {
			more, err := w.more(']')
			if !more {
				return err
			}
			if err := w.element(t, f, f.num); err != nil {
				return err
			}
		}
	default:
		return w.element(t, f, f.num)
	}
}

// mapping writes the object that comes next as a map.
func (w *writer) mapping(t *table, f *field) error {
	if w.dec.PeekKind() != '{' {
		return w.wrong(t, f, "an object")
	}
	if err := w.open('{'); err != nil {
		return err
	}
	for {
		more, err := w.more('}')
		if !more {
			return err
		}
		key, err := w.name()
		if err != nil {
			return err
		}
		if t == security03 && string(key) == f.name && w.dec.PeekKind() == '{' {
			if err := w.mapping(t, f); err != nil { // a requirement in the form of ProtoJSON
				return err
			}
			continue
		}
		w.tag(f.num, protowire.BytesType)
		entry := w.begin()
		w.string(1, key)
		if err := w.element(t, f, 2); err != nil {
			return err
		}
		w.end(entry)
	}
}

func (w *writer) string(num protowire.Number, text []byte) {
	w.tag(num, protowire.BytesType)
	w.raw = protowire.AppendBytes(w.raw, text)
}

// element writes the value that comes next as field num.
func (w *writer) element(t *table, f *field, num protowire.Number) error {
	switch f.kind {
	case stringKind:
		text, err := w.text(t, f)
		if err != nil {
			return err
		}
		w.string(num, text)
	case bytesKind:
		return w.bytes(t, f, num)
	case boolKind:
		return w.boolean(t, f, num)
	case int32Kind:
		n, ok, err := w.integer()
		if err == nil && !ok {
			err = faultf("%s.%s is not an integer of 32 bits", t.name, f.name)
		}
		if err != nil {
			return err
		}
		w.varint(num, n)
	case stateKind:
		return w.enum(t, f, num, parseState)
	case roleKind:
		return w.enum(t, f, num, parseRole)
	case messageKind, flatKind, schemeKind:
		return w.nested(t, f, num)
	case valueKind:
		w.tag(num, protowire.BytesType)
		return w.value()
	case timestampKind:
		return w.timestamp(t, f, num)
	case int64Kind, doubleKind, nullKind: // no member of JSON is of them
	}
	return nil
}

func (w *writer) varint(num protowire.Number, n int32) {
	w.tag(num, protowire.VarintType)
	w.raw = protowire.AppendVarint(w.raw, uint64(int64(n)))
}

func (w *writer) boolean(t *table, f *field, num protowire.Number) error {
	kind := w.dec.PeekKind()
	if kind != 't' && kind != 'f' {
		return w.wrong(t, f, "a boolean")
	}
	if _, err := w.dec.ReadToken(); err != nil {
		return syntax(err)
	}
	w.tag(num, protowire.VarintType)
	w.raw = protowire.AppendVarint(w.raw, protowire.EncodeBool(kind == 't'))
	return nil
}

func (w *writer) bytes(t *table, f *field, num protowire.Number) error {
	text, err := w.text(t, f)
	if err != nil {
		return err
	}
	w.tag(num, protowire.BytesType)
	content := w.begin()
	if w.raw, err = appendBytes(w.raw, text); err != nil {
		return faultf("%s.%s is not base64", t.name, f.name)
	}
	w.end(content)
	return nil
}

// integer reads a number or, as ProtoJSON allows, one in a string.
func (w *writer) integer() (int32, bool, error) {
	kind := w.dec.PeekKind()
	raw, err := w.dec.ReadValue()
	if err != nil {
		return 0, false, syntax(err)
	}
	switch kind {
	case '"':
		raw = w.unquote(raw)
	case '0':
	default:
		return 0, false, nil
	}
	n, ok := parseInt32(raw)
	return n, ok, nil
}

func (w *writer) enum(t *table, f *field, num protowire.Number, parse func(string) (int32, bool)) error {
	if w.dec.PeekKind() != '"' {
		n, ok, err := w.integer()
		if err == nil && !ok {
			err = faultf("%s.%s is neither a name nor an integer of 32 bits", t.name, f.name)
		}
		if err != nil {
			return err
		}
		w.varint(num, n)
		return nil
	}
	text, err := w.name()
	if err != nil {
		return err
	}
	n, ok := parse(string(text))
	if !ok && w.strict {
		return faultf("%s.%s has the unknown value %s", t.name, f.name, shown(string(text)))
	}
	w.varint(num, n)
	return nil
}

func (w *writer) timestamp(t *table, f *field, num protowire.Number) error {
	text, err := w.text(t, f)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return nil // of agents that have no time to tell
	}
	seconds, nanos, ok := parseTimestamp(string(text))
	if !ok {
		return faultf("%s.%s is not a timestamp of RFC 3339", t.name, f.name)
	}
	w.tag(num, protowire.BytesType)
	content := w.begin()
	if seconds != 0 {
		w.tag(1, protowire.VarintType)
		w.raw = protowire.AppendVarint(w.raw, uint64(seconds))
	}
	if nanos != 0 {
		w.varint(2, nanos)
	}
	w.end(content)
	return nil
}

// nested writes a message as field num.
func (w *writer) nested(t *table, f *field, num protowire.Number) error {
	kind := w.dec.PeekKind()
	flat := f.kind == flatKind
	switch {
	case f.msg == stringList10 && kind == '[':
		flat = true // some SDKs leave out the member list
	case f.msg == stringList03 && kind == '{':
		flat = false // as ProtoJSON has it
	}
	if flat && f.msg.fields[0].shape == repeated {
		if kind != '[' {
			return w.wrong(t, f, "an array")
		}
	} else if kind != '{' {
		return w.wrong(t, f, "an object")
	}
	w.tag(num, protowire.BytesType)
	content := w.begin()
	var err error
	switch {
	case flat:
		err = w.field(f.msg, &f.msg.fields[0])
	case f.kind == schemeKind:
		err = w.scheme(f.msg)
	default:
		if err = w.open('{'); err == nil {
			err = w.message(f.msg)
		}
	}
	w.end(content)
	return err
}
