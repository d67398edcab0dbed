package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Error says what is wrong with a filter, in words for the person who wrote it.
type Error struct {
	// Pos is where the fault is, in characters from 1.
	Pos int
	// Field is the field of the faulty condition; empty when it has none yet.
	Field string
	// Problem says what is wrong.
	Problem string
	// Allowed lists what could stand there; it may be empty.
	Allowed []string
}

// Error returns position, problem and what is allowed in one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "filter, position %d: %s", e.Pos, e.Problem)
	if len(e.Allowed) > 0 {
		b.WriteString("; allowed: ")
		b.WriteString(strings.Join(e.Allowed, ", "))
	}
	return b.String()
}

// Parse reads a filter. A filter of nothing or of spaces has no conditions. The
// error is always an [*Error].
func Parse(s string, fields Fields) ([]Condition, error) {
	if len(s) > MaxLength {
		return nil, &Error{Pos: 1, Problem: fmt.Sprintf("the filter is longer than %d bytes", MaxLength)}
	}
	if !utf8.ValidString(s) {
		return nil, &Error{Pos: 1, Problem: "the filter is not valid UTF-8"}
	}
	p := &parser{text: []rune(s), fields: fields}
	p.skipSpace()
	if p.done() {
		return nil, nil
	}
	var conditions []Condition
	for {
		c, err := p.condition()
		if err != nil {
			return nil, err
		}
		if len(conditions) == MaxConditions {
			return nil, &Error{Pos: c.Pos, Problem: fmt.Sprintf("a filter has at most %d conditions", MaxConditions)}
		}
		conditions = append(conditions, c)
		p.skipSpace()
		if p.done() {
			return conditions, nil
		}
		if err := p.and(); err != nil {
			return nil, err
		}
	}
}

type parser struct {
	text   []rune
	pos    int
	fields Fields
}

func (p *parser) done() bool { return p.pos == len(p.text) }

func (p *parser) skipSpace() {
	for !p.done() && unicode.IsSpace(p.text[p.pos]) {
		p.pos++
	}
}

// while returns the longest run of characters from here that keep accepts.
func (p *parser) while(keep func(r rune) bool) string {
	start := p.pos
	for !p.done() && keep(p.text[p.pos]) {
		p.pos++
	}
	return string(p.text[start:p.pos])
}

func (p *parser) fault(pos int, field, format string, args ...any) *Error {
	return &Error{Pos: pos + 1, Field: field, Problem: fmt.Sprintf(format, args...)}
}

// and reads the word between two conditions.
func (p *parser) and() error {
	start := p.pos
	if word := p.while(isBare); word != "AND" {
		if word == "" {
			word = string(p.text[start])
		}
		e := p.fault(start, "", "expected AND between two conditions, found %s", strconv.Quote(word))
		e.Allowed = []string{"AND"}
		return e
	}
	p.skipSpace()
	if p.done() {
		return p.fault(p.pos, "", "a condition must follow AND")
	}
	return nil
}

func (p *parser) condition() (Condition, error) {
	start := p.pos
	name := p.while(isName)
	if name == "" {
		e := p.fault(start, "", "expected the name of a field, found %s", strconv.Quote(string(p.text[start])))
		e.Allowed = p.fields.names()
		return Condition{}, e
	}
	field, ok := p.fields[name]
	if !ok {
		e := p.fault(start, name, "there is no field %s", strconv.Quote(name))
		e.Allowed = p.fields.names()
		return Condition{}, e
	}
	op, err := p.op(name, field)
	if err != nil {
		return Condition{}, err
	}
	c := Condition{Field: name, Op: op, Pos: start + 1}
	p.skipSpace()
	at := p.pos
	if c.Value, err = p.value(name); err != nil {
		return Condition{}, err
	}
	return c, p.convert(&c, field, at)
}

func (p *parser) op(name string, field Field) (Op, error) {
	p.skipSpace()
	start := p.pos
	allowed := field.ops()
	// The longer ones first, or "<=" would read as "<".
	for _, op := range []Op{NotEqual, LessOrEqual, GreaterOrEqual, Equal, Less, Greater, Has} {
		if !p.at(string(op)) {
			continue
		}
		p.pos += len(op)
		if slices.Contains(allowed, op) {
			return op, nil
		}
		e := p.fault(start, name, "field %q does not take the operator %q", name, string(op))
		e.Allowed = opNames(allowed)
		return "", e
	}
	e := p.fault(start, name, "expected an operator after %q", name)
	e.Allowed = opNames(allowed)
	return "", e
}

// at tells whether the text goes on with s, which is ASCII.
func (p *parser) at(s string) bool {
	if len(p.text)-p.pos < len(s) {
		return false
	}
	for i := range len(s) {
		if p.text[p.pos+i] != rune(s[i]) {
			return false
		}
	}
	return true
}

func (p *parser) value(name string) (string, error) {
	start := p.pos
	if !p.done() && p.text[p.pos] == '"' {
		return p.quoted(name)
	}
	word := p.while(isBare)
	switch word {
	case "":
		return "", p.fault(start, name, "expected a value for %q; one with special characters stands in double quotes", name)
	case "AND":
		return "", p.fault(start, name, "expected a value for %q, found AND; quote it when it is meant as a value", name)
	}
	return word, nil
}

func (p *parser) quoted(name string) (string, error) {
	start := p.pos
	p.pos++
	var b strings.Builder
	for !p.done() {
		r := p.text[p.pos]
		switch {
		case r == '"':
			p.pos++
			return b.String(), nil
		case r == '\\':
			p.pos++
			if p.done() {
				continue
			}
			if r = p.text[p.pos]; r != '"' && r != '\\' {
				e := p.fault(p.pos-1, name, "unknown escape in the value of %q", name)
				e.Allowed = []string{`\"`, `\\`}
				return "", e
			}
		case unicode.IsControl(r):
			return "", p.fault(p.pos, name, "the value of %q has a control character", name)
		}
		b.WriteRune(r)
		p.pos++
	}
	return "", p.fault(start, name, "the quotes around the value of %q are not closed", name)
}

// convert checks the value of c, which begins at at, against the type of its field.
func (p *parser) convert(c *Condition, field Field, at int) error {
	switch field.Type {
	case Time:
		t, err := time.Parse(time.RFC3339Nano, c.Value)
		if err != nil {
			e := p.fault(at, c.Field, "%s is no time for %q", strconv.Quote(c.Value), c.Field)
			e.Allowed = []string{"RFC 3339, for example 2026-01-02T15:04:05Z"}
			return e
		}
		c.Time = t
	case Int:
		n, err := strconv.ParseInt(c.Value, 10, 64)
		if err != nil {
			return p.fault(at, c.Field, "%s is no whole number of 64 bits for %q", strconv.Quote(c.Value), c.Field)
		}
		c.Int = n
	case Enum:
		if !slices.Contains(field.Values, c.Value) {
			e := p.fault(at, c.Field, "%s is no value of %q", strconv.Quote(c.Value), c.Field)
			e.Allowed = slices.Clone(field.Values)
			return e
		}
	case String, List:
	}
	return nil
}

func opNames(ops []Op) []string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = string(op)
	}
	return names
}

func isName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.'
}

// isBare tells whether r may stand in a value without quotes. A colon may, because
// times have it.
func isBare(r rune) bool {
	return !unicode.IsSpace(r) && !unicode.IsControl(r) && !strings.ContainsRune(`"=!<>()\,`, r)
}
