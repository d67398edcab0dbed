package pb

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// The seconds that a Timestamp may have: years 1 to 9999.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// timestamp writes a google.protobuf.Timestamp as RFC 3339 with 0, 3, 6 or 9 digits.
func (r *reader) timestamp(head int32) error {
	base := len(r.occs)
	v, err := r.open(head, timestampTable)
	if err != nil {
		return err
	}
	n, _ := v.varint("seconds")
	seconds := int64(n)
	n, _ = v.varint("nanos")
	nanos := int32(n)
	r.occs = r.occs[:base]
	if seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos > 999999999 {
		return faultf("a timestamp in it is out of range")
	}
	layout := `"2006-01-02T15:04:05Z"`
	switch {
	case nanos == 0:
	case nanos%1e6 == 0:
		layout = `"2006-01-02T15:04:05.000Z"`
	case nanos%1e3 == 0:
		layout = `"2006-01-02T15:04:05.000000Z"`
	default:
		layout = `"2006-01-02T15:04:05.000000000Z"`
	}
	r.out = time.Unix(seconds, int64(nanos)).UTC().AppendFormat(r.out, layout)
	return nil
}

// parseTimestamp reads a timestamp of RFC 3339. One without an offset, as Python writes it, is UTC. Digits
// behind the ninth are cut off.
func parseTimestamp(text string) (seconds int64, nanos int32, ok bool) {
	for _, layout := range [...]string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05",
	} {
		at, err := time.Parse(layout, text) // fractions are read too
		if err != nil {
			continue
		}
		seconds = at.Unix()
		return seconds, int32(at.Nanosecond()), minSeconds <= seconds && seconds <= maxSeconds
	}
	return 0, 0, false
}

// appendState writes the state of a task: its name, or the number when it has none.
func appendState(dst []byte, v a2a.Version, n int32) []byte {
	if n < 0 || n > int32(a2a.StateAuthRequired) {
		return strconv.AppendInt(dst, int64(n), 10)
	}
	name := a2a.State(n).String()
	if v == a2a.V03 && a2a.State(n) == a2a.StateCanceled {
		name = "TASK_STATE_CANCELLED"
	}
	return appendName(dst, name)
}

// parseState reads the name of a state. It returns false for names that it does not know.
func parseState(name string) (int32, bool) {
	s := a2a.ParseState(name)
	return int32(s), s != a2a.StateUnspecified || name == "TASK_STATE_UNSPECIFIED" || name == "unknown"
}

func appendRole(dst []byte, n int32) []byte {
	switch n {
	case 0:
		return appendName(dst, "ROLE_UNSPECIFIED")
	case 1:
		return appendName(dst, "ROLE_USER")
	case 2:
		return appendName(dst, "ROLE_AGENT")
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// parseRole reads the name of a role. It returns false for names that it does not know.
func parseRole(name string) (int32, bool) {
	switch name {
	case "ROLE_UNSPECIFIED":
		return 0, true
	case "ROLE_USER", "user":
		return 1, true
	case "ROLE_AGENT", "agent":
		return 2, true
	}
	return 0, false
}

func appendName(dst []byte, name string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"')
}

// parseInt32 reads an integer in any form that a number of JSON may have.
func parseInt32(text []byte) (int32, bool) {
	if len(text) == 0 || text[0] != '-' && (text[0] < '0' || text[0] > '9') ||
		len(bytes.Trim(text, "0123456789+-.eE")) > 0 { // what else ParseFloat takes is no JSON
		return 0, false
	}
	if n, err := strconv.ParseInt(string(text), 10, 32); err == nil {
		return int32(n), true
	}
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil || n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, false
	}
	return int32(n), true
}

// appendBytes decodes base64 of either alphabet, with padding or without.
func appendBytes(dst, text []byte) ([]byte, error) {
	const padding = 2
	for range padding {
		text = bytes.TrimSuffix(text, []byte("="))
	}
	encoding := base64.RawStdEncoding
	if bytes.IndexByte(text, '-') >= 0 || bytes.IndexByte(text, '_') >= 0 {
		encoding = base64.RawURLEncoding
	}
	return encoding.AppendDecode(dst, text) //nolint:wrapcheck // the caller says what it was
}

// shown cuts a text that somebody sent to what an error may repeat.
func shown(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.Quote(strings.ToValidUTF8(text[:most], "")) + "…"
	}
	return strconv.Quote(text)
}
