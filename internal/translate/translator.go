package translate

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

const (
	// room is what is left free in front of the output, for the name of what a bare item turns out to be.
	room = len(`{"artifactUpdate":`)
	// keptBytes is the largest scratch memory that goes back into the pool.
	keptBytes = 64 << 10
)

var translators = sync.Pool{New: func() any { return new(translator) }}

// translator reads one payload and writes another. The first fault ends the reading.
type translator struct {
	op       a2a.Operation
	from, to Form
	request  bool

	in    []byte
	s     *jsonrpc.Scanner
	out   []byte
	start int // where the output begins in out
	err   error

	unknown []member // members of the objects that are being gathered, a stack
	text    []byte   // scratch for unescaping and base64
	decoded []byte
}

// member is a member of an object as it came.
type member struct{ name, value []byte }

func newTranslator(op a2a.Operation, from, to Form, in []byte) *translator {
	t := translators.Get().(*translator) //nolint:forcetypeassert // the pool holds nothing else
	t.op, t.from, t.to, t.in = op, from, to, in
	t.s = jsonrpc.NewReplyScanner(in)
	size := len(in) + len(in)/8 + 192
	t.out, t.start = make([]byte, room, size), room
	return t
}

func (t *translator) release() {
	t.s.Release()
	unknown, text, decoded := t.unknown, t.text, t.decoded
	clear(unknown[:cap(unknown)]) // let go of the input
	if cap(text) > keptBytes {
		text = nil
	}
	if cap(decoded) > keptBytes {
		decoded = nil
	}
	if cap(unknown) > keptBytes/64 {
		unknown = nil
	}
	*t = translator{unknown: unknown[:0], text: text, decoded: decoded}
	translators.Put(t)
}

// finish returns the output when all of the input was read without a fault.
func (t *translator) finish() ([]byte, error) {
	if t.err == nil {
		if err := t.s.End(); err != nil {
			t.err = fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if t.err != nil {
		return nil, t.err
	}
	if t.start == len(t.out) {
		return nil, nil
	}
	return t.out[t.start:], nil
}

// restart goes back to the beginning of the input and drops the output.
func (t *translator) restart() {
	t.s.Release()
	t.s = jsonrpc.NewReplyScanner(t.in)
	t.out, t.start = t.out[:room], room
	t.unknown = t.unknown[:0]
}

func (t *translator) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

// open goes into the object that comes next; what is its name for an error.
func (t *translator) open(what string) bool {
	if t.err != nil || t.s.OpenObject() {
		return t.err == nil
	}
	t.wrong(what, "an object")
	return false
}

func (t *translator) openArray(what string) bool {
	if t.err != nil || t.s.OpenArray() {
		return t.err == nil
	}
	t.wrong(what, "an array")
	return false
}

func (t *translator) wrong(what, expected string) {
	if t.s.Value(); t.s.Err() == nil {
		t.fail("%s is not %s", what, expected)
	}
}

// next goes to the next member of the innermost object.
func (t *translator) next() bool { return t.err == nil && t.s.Next() }

// more reports whether the innermost array has another element, and writes what goes before it.
func (t *translator) more() bool {
	if t.err != nil || !t.s.More() {
		return false
	}
	t.comma()
	return true
}

func (t *translator) comma() {
	if last := t.out[len(t.out)-1]; last != '{' && last != '[' {
		t.out = append(t.out, ',')
	}
}

// write appends text that needs no comma before it.
func (t *translator) write(text string) { t.out = append(t.out, text...) }

// key begins a member.
func (t *translator) key(name string) {
	t.comma()
	t.out = append(t.out, '"')
	t.out = append(t.out, name...)
	t.out = append(t.out, `":`...)
}

// put writes a member, unless its value is nil.
func (t *translator) put(name string, value []byte) {
	if value != nil {
		t.key(name)
		t.out = append(t.out, value...)
	}
}

// take reports whether the current member, which the protocol knows, has a value. Null is none.
func (t *translator) take() bool {
	if t.s.Duplicate() {
		t.fail("it has %s twice, or in two spellings", jsonrpc.QuoteName(t.s.Name()))
		return false
	}
	if t.s.Kind() == 'n' {
		t.s.Value()
		return false
	}
	return t.s.Err() == nil
}

// begin writes the name of the current member when it has a value, which is then to be written.
func (t *translator) begin(name string) bool {
	if !t.take() {
		return false
	}
	t.key(name)
	return true
}

// copy writes the current member under the name that the protocol has for it.
func (t *translator) copy(name string) {
	if t.begin(name) {
		t.out = append(t.out, t.s.Value()...)
	}
}

// gather returns the value of the current member, nil when it is null.
func (t *translator) gather() []byte {
	if !t.take() {
		return nil
	}
	return t.s.Value()
}

// drop reads over the current member.
func (t *translator) drop() { t.s.Value() }

// current returns the current member as it came.
func (t *translator) current() member {
	name := t.in[t.s.NameOffset():t.s.Offset()]
	return member{name, t.s.Value()}
}

// keep writes the current member as it came.
func (t *translator) keep() { t.writeMember(t.current()) }

func (t *translator) writeMember(m member) {
	t.comma()
	t.out = append(t.out, m.name...)
	t.out = append(t.out, ':')
	t.out = append(t.out, m.value...)
}

// remember puts the current member aside, to be written by writeUnknown.
func (t *translator) remember() { t.unknown = append(t.unknown, t.current()) }

// writeUnknown writes the members that were put aside since there were base of them. Where they come from
// several objects that became one, the first of a name is kept; taken are the names that are there already.
func (t *translator) writeUnknown(base int, merged bool, taken *jsonrpc.NameSet) {
	if merged && taken == nil && len(t.unknown) > base {
		taken = new(jsonrpc.NameSet)
	}
	for _, m := range t.unknown[base:] {
		if merged {
			if _, dup := taken.Add(unquoted(m.name)); dup {
				continue
			}
		}
		t.writeMember(m)
	}
	t.unknown = t.unknown[:base]
}

// unquoted returns what a string stands for, without copying one that has no escapes. It returns nil for
// what is no string.
func unquoted(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	text, ok := jsonrpc.Unquote(raw)
	if !ok {
		return nil
	}
	return []byte(text)
}

// empty reports whether a value is missing or an empty string.
func empty(raw []byte) bool { return len(raw) == 0 || string(raw) == `""` }
