package jsonrpc

import (
	"bytes"
	"strconv"
)

// SameID reports whether two ids are the same value, however they are written: strings are compared
// without their escapes, numbers by value and exactly. A nil id is null.
func SameID(a, b []byte) bool {
	if len(a) == 0 {
		a = []byte("null")
	}
	if len(b) == 0 {
		b = []byte("null")
	}
	if bytes.Equal(a, b) {
		return true
	}
	if a[0] == '"' || b[0] == '"' {
		textA, okA := Unquote(a)
		textB, okB := Unquote(b)
		return okA && okB && textA == textB
	}
	if !isNumber(a) || !isNumber(b) {
		return false
	}
	numA, okA := parseDecimal(a)
	numB, okB := parseDecimal(b)
	return okA && okB && numA.negative == numB.negative && numA.exponent == numB.exponent &&
		bytes.Equal(numA.digits, numB.digits)
}

func isNumber(raw []byte) bool { return raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9' }

// decimal is a number as 0.digits × 10^exponent, digits without zeros at either end. Floats would take
// different ids above 2^53 for the same, and big rationals can be made to need any amount of memory.
type decimal struct {
	negative bool
	digits   []byte
	exponent int64
}

// parseDecimal reads a number of JSON. It returns false when its exponent is absurd.
func parseDecimal(raw []byte) (decimal, bool) {
	var d decimal
	if raw[0] == '-' {
		d.negative = true
		raw = raw[1:]
	}
	if i := bytes.IndexAny(raw, "eE"); i >= 0 {
		exponent, err := strconv.ParseInt(string(raw[i+1:]), 10, 32)
		if err != nil {
			return decimal{}, false
		}
		d.exponent = exponent
		raw = raw[:i]
	}
	whole, fraction, _ := bytes.Cut(raw, []byte("."))
	d.digits = make([]byte, 0, len(raw))
	d.digits = append(append(d.digits, whole...), fraction...)
	d.exponent += int64(len(whole))

	trimmed := bytes.TrimLeft(d.digits, "0")
	d.exponent -= int64(len(d.digits) - len(trimmed))
	d.digits = bytes.TrimRight(trimmed, "0")
	if len(d.digits) == 0 {
		return decimal{}, true // zero, whatever its sign and exponent
	}
	return d, true
}
