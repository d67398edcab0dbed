package jsonrpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// keptBytes is the largest scratch memory that goes back into the pool.
const keptBytes = 16 << 10

var (
	// Duplicate names are ours to judge: the tokenizer compares bytes only, and below the envelope
	// they are the agent's business.
	strict = []jsontext.Options{jsontext.AllowDuplicateNames(true)}
	// Replies may contain escaped halves of surrogate pairs, which agents in JavaScript send when they
	// cut a text into chunks in the middle of an emoji. Bytes that are not UTF-8 are refused before.
	loneSurrogates = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

	scanners = sync.Pool{New: func() any { return new(Scanner) }}
)

// Scanner walks through one JSON text, object by object, without copying it.
//
// Errors stick: after the first one nothing is returned any more, and [Scanner.Err] tells what it was.
// Slices that it returns are subslices of the input, except those of [Scanner.Name] and [Scanner.Folded],
// which are valid until the next call of [Scanner.Next].
type Scanner struct {
	dec    jsontext.Decoder
	buf    bytes.Buffer
	names  []NameSet // one for each open object
	depth  int       // how many of names are in use
	name   []byte
	folded []byte
	unesc  []byte
	nameAt int // where the name begins
	dup    bool
	err    error
}

// NewScanner returns a strict scanner over data, to be given back with [Scanner.Release].
func NewScanner(data []byte) *Scanner { return newScanner(data, strict) }

// NewReplyScanner returns a scanner over what an agent has answered. It differs from a strict one in
// that an escape may stand for half of a surrogate pair.
func NewReplyScanner(data []byte) *Scanner { return newScanner(data, loneSurrogates) }

func newScanner(data []byte, opts []jsontext.Options) *Scanner {
	s := scanners.Get().(*Scanner) //nolint:forcetypeassert // the pool holds nothing else
	s.buf = *bytes.NewBuffer(data)
	s.dec.Reset(&s.buf, opts...)
	return s
}

// Release gives the scanner back. Neither it nor its names may be used after that.
func (s *Scanner) Release() {
	for i := range s.names {
		s.names[i].Reset()
	}
	s.depth, s.name, s.folded, s.dup, s.err = 0, nil, nil, false, nil
	if cap(s.unesc) > keptBytes {
		s.unesc = nil
	}
	// Let go of the input, so that a body does not live as long as the pool.
	s.buf = bytes.Buffer{}
	s.dec.Reset(&s.buf)
	scanners.Put(s)
}

// Err returns the first error.
func (s *Scanner) Err() error { return s.err }

// Offset returns where the value read last ends in the input.
func (s *Scanner) Offset() int { return int(s.dec.InputOffset()) }

// Kind returns the first character of the value that comes next: one of n, f, t, ", 0, { and [.
// It returns 0 after an error.
func (s *Scanner) Kind() byte {
	if s.err != nil {
		return 0
	}
	return byte(s.dec.PeekKind())
}

// OpenObject goes into the object that comes next. It returns false when something else comes,
// which is then still there to be read.
func (s *Scanner) OpenObject() bool {
	if s.Kind() != '{' || !s.token() {
		return false
	}
	if s.depth == len(s.names) {
		s.names = append(s.names, NameSet{})
	}
	s.names[s.depth].Reset()
	s.depth++
	return true
}

// Next goes to the next member of the innermost open object. It returns false at the end of the object,
// which is then closed, and after an error. The value of each member must be read or opened before the
// next call.
func (s *Scanner) Next() bool {
	switch s.Kind() {
	case 0:
		if s.err == nil {
			s.token() // reports what is wrong
		}
		return false
	case '}':
		s.token()
		s.depth--
		return false
	}
	raw := s.Value()
	if s.err != nil {
		return false
	}
	s.nameAt = s.Offset() - len(raw)
	s.name = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		// Half a surrogate pair becomes U+FFFD: such a name is none of the protocol's.
		s.unesc, _ = jsontext.AppendUnquote(s.unesc[:0], raw)
		s.name = s.unesc
	}
	s.folded, s.dup = s.names[s.depth-1].Add(s.name)
	return true
}

// Name returns the name of the current member, unescaped.
func (s *Scanner) Name() []byte { return s.name }

// NameOffset returns where the name of the current member, with its quote, begins in the input.
func (s *Scanner) NameOffset() int { return s.nameAt }

// Folded returns the name of the current member as [AppendFold] folds it.
func (s *Scanner) Folded() []byte { return s.folded }

// Duplicate reports whether a name of the same folded form stood in the object before.
func (s *Scanner) Duplicate() bool { return s.dup }

// OpenArray goes into the array that comes next. It returns false when something else comes,
// which is then still there to be read.
func (s *Scanner) OpenArray() bool { return s.Kind() == '[' && s.token() }

// More reports whether the innermost open array has another element. It closes the array when not.
func (s *Scanner) More() bool {
	switch s.Kind() {
	case 0:
		if s.err == nil {
			s.token()
		}
		return false
	case ']':
		s.token()
		return false
	}
	return true
}

// Value reads the value that comes next, whatever it is, and returns its bytes.
func (s *Scanner) Value() []byte {
	if s.err != nil {
		return nil
	}
	value, err := s.dec.ReadValue()
	if err != nil {
		s.err = err
		return nil
	}
	return value
}

// String reads the string that comes next. It returns false when something else comes, which is then
// still there to be read, and when the string contains half a surrogate pair.
func (s *Scanner) String() (string, bool) {
	if s.Kind() != '"' {
		return "", false
	}
	return Unquote(s.Value())
}

// End checks that nothing follows the value that was read.
func (s *Scanner) End() error {
	if s.err != nil {
		return s.err
	}
	end := s.Offset()
	_, err := s.dec.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		s.err = fmt.Errorf("the value ends before byte %d, and more data follows; send exactly one", end)
	default:
		s.err = err
	}
	return s.err
}

func (s *Scanner) token() bool {
	if _, err := s.dec.ReadToken(); err != nil {
		s.err = err
		return false
	}
	return true
}

// Unquote returns what a JSON string stands for. It returns false for what is no string and for
// a string that contains half a surrogate pair, which every parser replaces in its own way.
func Unquote(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return string(text), err == nil
}

// CheckDepth returns where data is nested deeper than limit, or -1. It looks at brackets and quotes only
// and needs no stack, so it comes before any parser: whatever it lets pass cannot exhaust one.
func CheckDepth(data []byte, limit int) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > limit {
				return i
			}
		case '}', ']':
			depth--
		case '"':
			i = endOfString(data, i)
		}
	}
	return -1
}

// endOfString returns where the string that opens at data[i] closes, or the length of data.
func endOfString(data []byte, i int) int {
	for from := i + 1; ; {
		n := bytes.IndexByte(data[from:], '"')
		if n < 0 {
			return len(data)
		}
		quote := from + n
		escapes := 0
		for escapes < quote-from && data[quote-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return quote
		}
		from = quote + 1
	}
}

// describe says what is wrong with a text and where, in words fit for whoever sent it.
func describe(err error, data []byte) string {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		cause := "malformed JSON"
		switch {
		case errors.Is(e.Err, io.ErrUnexpectedEOF):
			cause = "the text ends too early"
		case e.Err != nil:
			cause = e.Err.Error()
		}
		return fmt.Sprintf("not valid JSON at byte %d: %s", e.ByteOffset, cause)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Sprintf("not valid JSON at byte %d: the text ends too early", len(data))
	}
	return "not valid JSON: " + err.Error()
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
