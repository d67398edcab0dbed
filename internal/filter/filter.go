// Package filter reads the filter language of list methods: conditions of the form
// "field op value" joined by AND. It knows neither what a field means nor how a
// condition is looked up; the caller gives the fields and evaluates the result.
package filter

import (
	"slices"
	"strings"
	"time"
)

// Bounds of a filter.
const (
	// MaxLength is the number of bytes that a filter may have.
	MaxLength = 8 << 10
	// MaxConditions is the number of conditions that a filter may have.
	MaxConditions = 32
)

// Op compares a field with a value.
type Op string

// The operators.
const (
	Equal          Op = "="
	NotEqual       Op = "!="
	Less           Op = "<"
	LessOrEqual    Op = "<="
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
	// Has is true for a string that contains the value, whatever the case of its
	// letters, and for a list that has the value as an element.
	Has Op = ":"
)

// Type is the type of a field.
type Type int

// The types of fields.
const (
	String Type = iota
	// Time is a moment, written as RFC 3339.
	Time
	// Enum is a string out of Field.Values.
	Enum
	// List is a list of strings.
	List
	// Int is a whole number of 64 bits.
	Int
)

// Field describes a field that a filter may name.
type Field struct {
	Type Type
	// Ops are the operators that the field takes; nil means all that make sense for
	// its type: "=", "!=" and ":" for a string, all but ":" for a time and a number,
	// "=" and "!=" for an enum, ":" for a list.
	Ops []Op
	// Values are the values of an Enum, as they are written.
	Values []string
}

// ops returns the operators that the field takes.
func (f Field) ops() []Op {
	if f.Ops != nil {
		return f.Ops
	}
	switch f.Type {
	case Time, Int:
		return []Op{Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual}
	case Enum:
		return []Op{Equal, NotEqual}
	case List:
		return []Op{Has}
	case String:
		return []Op{Equal, NotEqual, Has}
	default:
		return nil
	}
}

// Fields are the fields that a filter may name.
type Fields map[string]Field

// names returns the names of the fields in order.
func (f Fields) names() []string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Condition is one "field op value". All conditions of a filter must hold.
type Condition struct {
	Field string
	Op    Op
	// Value is the value without its quotes.
	Value string
	// Time is the value of a Time field.
	Time time.Time
	// Int is the value of an Int field.
	Int int64
	// Pos is where the condition begins, in characters from 1.
	Pos int
}

// String returns the condition as a filter that reads as the same condition.
func (c Condition) String() string {
	return c.Field + " " + string(c.Op) + " " + Quote(c.Value)
}

// Quote returns a value in quotes, as it can stand in a filter.
func Quote(value string) string {
	var b strings.Builder
	b.Grow(len(value) + 2)
	b.WriteByte('"')
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	b.WriteByte('"')
	return b.String()
}
