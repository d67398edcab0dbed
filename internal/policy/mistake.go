package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mistake is a fault in the text of a policy, where it is and what it is.
type Mistake struct {
	Policy string
	// Line and Column count from 1, columns in characters.
	Line, Column int
	// Text says what is wrong, and often what would be right.
	Text string
	// Source is the line of the policy that the mistake is in.
	Source string
}

// String returns the mistake as one line: policy:line:column: text.
func (m Mistake) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.Policy, m.Line, m.Column, m.Text)
}

// Excerpt returns the mistake with its line of the policy and a mark under the place.
func (m Mistake) Excerpt() string {
	var b strings.Builder
	b.WriteString(m.String())
	b.WriteString("\n  ")
	b.WriteString(m.Source)
	b.WriteString("\n  ")
	column := 1
	for _, r := range m.Source {
		if column >= m.Column {
			break
		}
		// The mark stands under its place with tabs too.
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
		column++
	}
	b.WriteString("^")
	return b.String()
}

// MistakesError is what stands in the way of compiling policies, in the order of the
// text.
type MistakesError struct{ Mistakes []Mistake }

// Error returns every mistake on its line.
func (e *MistakesError) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// Bounds of the text of one policy, so that reading it costs little.
const (
	maxText       = 64 << 10
	maxNesting    = 100
	maxPath       = 16
	maxStatements = 200
	maxTokens     = 3_000 // of one statement
	maxIDBytes    = 256
)

// tokenKind tells what a token is.
type tokenKind uint8

const (
	tokenWord tokenKind = iota
	tokenNumber
	tokenString
	tokenSign
	tokenEnd
)

// token is a piece of a policy's text with its place.
type token struct {
	kind         tokenKind
	text         string
	offset       int
	line, column int
}

func (t token) end() int { return t.offset + len(t.text) }

// tokenize cuts a policy's text into tokens. It never fails: what Cedar does not know
// becomes a sign, and Cedar's own parser says so. The last token is the end.
func tokenize(text string) []token {
	var tokens []token
	line, column := 1, 1
	for i := 0; i < len(text); {
		start := token{offset: i, line: line, column: column}
		size := 0
		r, w := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\n':
			i, line, column = i+1, line+1, 1
			continue
		case unicode.IsSpace(r):
			i, column = i+w, column+1
			continue
		case strings.HasPrefix(text[i:], "//"):
			if size = strings.IndexByte(text[i:], '\n'); size < 0 {
				size = len(text) - i
			}
			column += utf8.RuneCountInString(text[i : i+size])
			i += size
			continue
		case r == '"':
			start.kind, size = tokenString, stringLength(text[i:])
		case r == '_' || r < utf8.RuneSelf && unicode.IsLetter(r):
			start.kind, size = tokenWord, runLength(text[i:], isWordByte)
		case r >= '0' && r <= '9':
			start.kind, size = tokenNumber, runLength(text[i:], func(b byte) bool { return b >= '0' && b <= '9' })
		default:
			start.kind, size = tokenSign, w
			for _, sign := range [...]string{"::", "==", "!=", "<=", ">=", "&&", "||"} {
				if strings.HasPrefix(text[i:], sign) {
					size = len(sign)
				}
			}
		}
		start.text = text[i : i+size]
		tokens = append(tokens, start)
		if n := strings.Count(start.text, "\n"); n > 0 {
			line += n
			column = 1 + utf8.RuneCountInString(start.text[strings.LastIndexByte(start.text, '\n')+1:])
		} else {
			column += utf8.RuneCountInString(start.text)
		}
		i += size
	}
	return append(tokens, token{kind: tokenEnd, offset: len(text), line: line, column: column})
}

func isWordByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

func runLength(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

// stringLength returns the length of the string literal at the start of s, with its
// quotation marks.
func stringLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// tooMuch returns the token at which a text goes beyond what the parser and the type
// checker should follow: they call themselves, and some of what they do takes time
// that grows faster than the text.
func tooMuch(tokens []token) (token, string) {
	depth, prefixes, path, size, statements := 0, 0, 0, 0, 0
	for i, t := range tokens {
		size++
		switch t.text {
		case "(", "[", "{", "if":
			depth++
		case ")", "]", "}":
			depth--
		case ";":
			statements++
			depth, size = 0, 0
		case ".":
			path++
		default:
			if i > 0 && tokens[i-1].text != "." {
				path = 0
			}
		}
		if t.text == "!" || t.text == "-" {
			prefixes++
		} else {
			prefixes = 0
		}
		switch {
		case depth+prefixes > maxNesting:
			return t, fmt.Sprintf("nested deeper than %d", maxNesting)
		case path > maxPath:
			return t, fmt.Sprintf("a path of more than %d attributes", maxPath)
		case size > maxTokens:
			return t, "the statement is too long; it can be written as several"
		case statements > maxStatements:
			return t, fmt.Sprintf("more than %d statements; they can be written as several policies", maxStatements)
		}
	}
	return token{}, ""
}

// sourceLine returns a line of a text, counted from 1.
func sourceLine(text string, line int) string {
	for i := 1; i < line; i++ {
		_, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return ""
		}
		text = rest
	}
	first, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(first, "\r")
}

// at makes a mistake of a token's place.
func at(policy, text string, t token, message string) Mistake {
	return Mistake{Policy: policy, Line: t.line, Column: t.column, Text: message, Source: sourceLine(text, t.line)}
}

// parseMistake says where and why Cedar's parser stopped.
func parseMistake(policy, text string, tokens []token, err error) Mistake {
	message := err.Error()
	place := tokens[len(tokens)-1]
	if rest, ok := afterPlace(message); ok {
		message = rest.text
		for i, t := range tokens {
			if t.line != rest.line || t.column != rest.column {
				continue
			}
			place = t
			// The parser has often gone one token too far when it finds out.
			if i > 0 && rest.past(t, tokens[i-1]) {
				place = tokens[i-1]
			}
			break
		}
	}
	return at(policy, text, place, readableParseError(message, place))
}

// parsePlace is what a message of the parser says.
type parsePlace struct {
	line, column int
	text         string
}

// past tells whether the message is about the token before the one that it points at.
func (p parsePlace) past(at, before token) bool {
	if got, ok := strings.CutPrefix(p.text, "exact got "); ok {
		got, _, _ = strings.Cut(got, " want ")
		return got == before.text && got != at.text
	}
	if got, ok := strings.CutPrefix(p.text, "unexpected effect: "); ok {
		return got == before.text && got != at.text
	}
	return at.kind != tokenEnd && (strings.HasPrefix(p.text, "expected ") || strings.HasPrefix(p.text, "unexpected token") ||
		strings.HasPrefix(p.text, "invalid primary"))
}

// afterPlace splits "… at <input>:LINE:COLUMN "token": text" and "<input>:LINE:COLUMN: text".
func afterPlace(message string) (parsePlace, bool) {
	_, rest, ok := strings.Cut(message, "<input>:")
	if !ok {
		return parsePlace{}, false
	}
	var p parsePlace
	if n, err := fmt.Sscanf(rest, "%d:%d", &p.line, &p.column); err != nil || n != 2 {
		return parsePlace{}, false
	}
	rest = strings.TrimLeft(rest, "0123456789")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, ":"), "0123456789")
	rest = strings.TrimPrefix(rest, " ")
	if strings.HasPrefix(rest, `"`) {
		rest = rest[stringLength(rest):]
	}
	p.text = strings.TrimPrefix(strings.TrimPrefix(rest, ":"), " ")
	return p, true
}

// readableParseError says in words of a person what the parser found.
func readableParseError(message string, place token) string {
	found := "`" + place.text + "`"
	if place.kind == tokenEnd {
		found = "the end of the policy"
	}
	if got, ok := strings.CutPrefix(message, "exact got "); ok {
		_, want, _ := strings.Cut(got, " want ")
		return fmt.Sprintf("expected `%s`, found %s", want, found)
	}
	switch {
	case strings.HasPrefix(message, "unexpected effect"):
		return "expected `permit` or `forbid`, found " + found
	case strings.HasPrefix(message, "expected ident"):
		return "expected a name, found " + found
	case strings.HasPrefix(message, "invalid primary"):
		return "expected an expression, found " + found
	case strings.HasPrefix(message, "expected string"):
		return "expected a string in quotation marks, found " + found
	case strings.HasPrefix(message, "got "), strings.HasPrefix(message, "unexpected token"):
		return "did not expect " + found
	default:
		return message
	}
}
