package translate

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// The alphabets of base64, as classes of bytes.
const (
	foreign   = iota
	alphabet  // letter, digit, plus, slash
	urlSafe   // minus, underscore
	padding   // equals sign
	whiteByte // line ends in text that was made for mail
)

var base64Class = func() (class [256]uint8) {
	for c := range class {
		switch b := byte(c); {
		case 'A' <= b && b <= 'Z', 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '+', b == '/':
			class[c] = alphabet
		case b == '-', b == '_':
			class[c] = urlSafe
		case b == '=':
			class[c] = padding
		case b == '\r', b == '\n', b == '\t', b == ' ':
			class[c] = whiteByte
		}
	}
	return class
}()

// fileBytes writes the content of a file, which comes as a JSON string of base64 in any alphabet, with padding
// or without.
//
// The 0.3 ProtoJSON form has two habits: writers who put the bytes into the field, and those who put base64
// text there, so that its JSON is base64 of base64. What looks like the latter is undone; written is the
// latter, since its readers fail on anything else.
func (t *translator) fileBytes(raw []byte) {
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		unescaped, err := jsontext.AppendUnquote(t.text[:0], raw)
		if err != nil {
			t.fail("the bytes of a file are not base64")
			return
		}
		t.text = unescaped
		text = unescaped
	}
	text, ok := t.standard(text)
	if !ok {
		t.fail("the bytes of a file are not base64")
		return
	}
	if t.from == REST03 {
		if inner, err := base64.StdEncoding.AppendDecode(t.decoded[:0], text); err == nil {
			t.decoded = inner
			if len(inner) > 0 && isStandard(inner) {
				text = inner
			}
		}
	}
	t.out = append(t.out, '"')
	if t.to == REST03 {
		t.out = base64.StdEncoding.AppendEncode(t.out, text)
	} else {
		t.out = append(t.out, text...)
	}
	t.out = append(t.out, '"')
}

// isStandard reports whether a text is base64 of the standard alphabet with padding.
func isStandard(text []byte) bool {
	if len(text)%4 != 0 {
		return false
	}
	end := len(text)
	for end > 0 && len(text)-end < 2 && text[end-1] == '=' {
		end--
	}
	for _, c := range text[:end] {
		if base64Class[c] != alphabet {
			return false
		}
	}
	return true
}

// standard returns a text of base64 in the standard alphabet with padding. The result may be scratch memory.
func (t *translator) standard(text []byte) ([]byte, bool) {
	if isStandard(text) {
		return text, true
	}
	// The scratch may hold the text itself; what is written never overtakes what is read but for the padding.
	dst, ended := slices.Grow(t.text[:0], len(text)+2), false
	for _, c := range text {
		switch base64Class[c] {
		case alphabet:
		case urlSafe:
			if c == '-' {
				c = '+'
			} else {
				c = '/'
			}
		case padding:
			ended = true
			continue
		case whiteByte:
			continue
		default:
			return nil, false
		}
		if ended {
			return nil, false
		}
		dst = append(dst, c)
	}
	t.text = dst
	switch len(dst) % 4 {
	case 1:
		return nil, false
	case 2:
		t.text = append(dst, '=', '=')
	case 3:
		t.text = append(dst, '=')
	}
	return t.text, true
}
