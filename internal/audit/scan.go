package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// The shipper reads every entry once, so reading one must cost little. Entries are
// compact JSON, which can be cut into members by looking for quotes and brackets; each
// value is then checked when it is read.

// errNotCompact says that bytes are not compact JSON; they may be JSON.
var errNotCompact = errors.New("no JSON object")

// eachMember calls f with each member of a compact object: the name in its quotes, and
// the value, of which only the extent is certain.
func eachMember(data []byte, f func(name, value []byte) error) error {
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return errNotCompact
	}
	if len(data) == 2 {
		return nil
	}
	for pos := 1; ; pos++ {
		name := pos
		pos = stringEnd(data, pos)
		if pos < 0 || data[pos] != ':' {
			return errNotCompact
		}
		value := pos + 1
		if pos = valueEnd(data, value); pos < 0 {
			return errNotCompact
		}
		if err := f(data[name:value-1], data[value:pos]); err != nil {
			return err
		}
		if pos == len(data)-1 {
			return nil
		}
		if data[pos] != ',' {
			return errNotCompact
		}
	}
}

// eachElement calls f with each element of a compact array.
func eachElement(data []byte, f func(value []byte) error) error {
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return errNotCompact
	}
	if len(data) == 2 {
		return nil
	}
	for pos := 1; ; pos++ {
		value := pos
		if pos = valueEnd(data, pos); pos < 0 {
			return errNotCompact
		}
		if err := f(data[value:pos]); err != nil {
			return err
		}
		if pos == len(data)-1 {
			return nil
		}
		if data[pos] != ',' {
			return errNotCompact
		}
	}
}

// stringEnd returns where the string that begins at pos ends, which is before the end
// of data; -1 when there is none.
func stringEnd(data []byte, pos int) int {
	if pos >= len(data) || data[pos] != '"' {
		return -1
	}
	for pos++; pos < len(data)-1; pos++ {
		switch data[pos] {
		case '"':
			return pos + 1
		case '\\':
			pos++
		}
	}
	return -1
}

// valueEnd returns where the value that begins at pos ends, which is before the end of
// data; -1 when there is none.
func valueEnd(data []byte, pos int) int {
	depth := 0
	for pos < len(data)-1 {
		switch data[pos] {
		case '"':
			if pos = stringEnd(data, pos); pos < 0 {
				return -1
			}
		case '{', '[':
			depth++
			pos++
			continue
		case '}', ']':
			depth--
			pos++
		case ',', ':':
			if depth == 0 {
				return -1
			}
			pos++
			continue
		default:
			for pos < len(data)-1 && bytes.IndexByte([]byte(`",:{}[]`), data[pos]) < 0 {
				pos++
			}
		}
		if depth < 0 {
			return -1
		}
		if depth == 0 {
			return pos
		}
	}
	return -1
}

// skip passes over a value that means nothing here, but must be one.
func skip(value []byte) error {
	if !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return errNotCompact
	}
	return nil
}

func readText(value []byte, to *string, limit int) error {
	s, err := readString(value, limit)
	*to = s
	return err
}

// readString reads a string the way that appendString writes one.
func readString(value []byte, limit int) (string, error) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", errNotCompact
	}
	raw := value[1 : len(value)-1]
	for _, c := range raw {
		if c < ' ' || c > '~' || c == '\\' {
			if err := skip(value); err != nil {
				return "", err
			}
			// The error says that invalid UTF-8 was replaced, which is what is wanted.
			raw, _ = jsontext.AppendUnquote([]byte(nil), value)
			return cut(withoutNUL(string(raw)), limit), nil
		}
	}
	return cut(string(raw), limit), nil
}

// readDocument reads a JSON object as it stands.
func readDocument(value []byte, to *[]byte) error {
	if !isDocument(value) {
		return fmt.Errorf("%.40s is no resource", value)
	}
	*to = bytes.Clone(value)
	return nil
}

func readUUID(value []byte, to *uuid.UUID) error {
	if len(value) != 38 || value[0] != '"' {
		return fmt.Errorf("%.40s is no UUID", value)
	}
	id, err := uuid.ParseBytes(value[1:37])
	*to = id
	return err
}

func readTime(value []byte, to *time.Time) error {
	if len(value) < 2 || value[0] != '"' {
		return fmt.Errorf("%.40s is no time", value)
	}
	t, err := time.Parse(time.RFC3339Nano, string(value[1:len(value)-1]))
	if err != nil {
		return err
	}
	// What Postgres has no room for cannot be when a call began.
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return fmt.Errorf("%s is no time of a call", value)
	}
	*to = t
	return nil
}

func readInt(value []byte, to *int64) error {
	n, err := parseInt(value, 64)
	*to = n
	return err
}

func readInt32(value []byte, to *int) error {
	n, err := parseInt(value, 32)
	*to = int(n)
	return err
}

func parseInt(value []byte, bits int) (int64, error) {
	// JSON knows no plus sign and no leading zeros, but strconv does.
	digits := bytes.TrimPrefix(value, []byte("-"))
	if len(digits) == 0 || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && len(digits) > 1 {
		return 0, fmt.Errorf("%.40s is no whole number", value)
	}
	return strconv.ParseInt(string(value), 10, bits)
}

func readBool(value []byte, to *bool) error {
	switch string(value) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return fmt.Errorf("%.40s is neither true nor false", value)
	}
	return nil
}
