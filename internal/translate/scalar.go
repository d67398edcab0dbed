package translate

import (
	"bytes"
	"strconv"
	"time"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// parseState reads a state in any spelling, or as the number that ProtoJSON allows instead. What no version
// knows is unspecified.
func parseState(raw []byte) a2a.State {
	if text := unquoted(raw); text != nil {
		return a2a.ParseState(string(text))
	}
	n, err := strconv.ParseUint(string(raw), 10, 8)
	if err != nil || n > uint64(a2a.StateAuthRequired) {
		return a2a.StateUnspecified
	}
	return a2a.State(n)
}

// state writes a state as the target spells it.
func (t *translator) state(s a2a.State) {
	t.out = append(t.out, '"')
	switch {
	case t.to == JSON03:
		t.write(stateName(s))
	case t.to == REST03 && s == a2a.StateCanceled:
		t.write("TASK_STATE_CANCELLED")
	default:
		t.write(s.String())
	}
	t.out = append(t.out, '"')
}

// stateName returns what 0.3 JSON-RPC calls a state.
func stateName(s a2a.State) string {
	switch s {
	case a2a.StateSubmitted:
		return "submitted"
	case a2a.StateWorking:
		return "working"
	case a2a.StateCompleted:
		return "completed"
	case a2a.StateFailed:
		return "failed"
	case a2a.StateCanceled:
		return "canceled"
	case a2a.StateInputRequired:
		return "input-required"
	case a2a.StateRejected:
		return "rejected"
	case a2a.StateAuthRequired:
		return "auth-required"
	default:
		return "unknown"
	}
}

// role writes a role as the target spells it. One that is missing or unspecified is whoever speaks: the user
// in a request, the agent in an answer. A role that no version knows stays.
func (t *translator) role(raw []byte) {
	text := unquoted(raw)
	if text == nil {
		text = raw
	}
	user := t.request
	switch string(text) {
	case "user", "ROLE_USER", "1":
		user = true
	case "agent", "ROLE_AGENT", "2":
		user = false
	case "", "ROLE_UNSPECIFIED", "0":
	default:
		t.out = append(t.out, raw...)
		return
	}
	switch {
	case t.to == JSON03 && user:
		t.write(`"user"`)
	case t.to == JSON03:
		t.write(`"agent"`)
	case user:
		t.write(`"ROLE_USER"`)
	default:
		t.write(`"ROLE_AGENT"`)
	}
}

// timestamp writes a time. 0.3 JSON-RPC takes any form of ISO 8601; ProtoJSON gets UTC with a Z.
func (t *translator) timestamp(raw []byte) {
	if t.to == JSON03 {
		t.out = append(t.out, raw...)
		return
	}
	t.out = appendUTC(t.out, raw)
}

const (
	dateTimeBytes = len("2006-01-02T15:04:05")
	maxFraction   = 9 // digits that a protobuf timestamp has
)

// appendUTC appends a timestamp, which is a JSON string, in UTC with a Z. One without a zone is taken for UTC.
// The digits of the fraction stay. What is no timestamp stays as it is.
func appendUTC(dst, raw []byte) []byte {
	text := unquoted(raw)
	if !isDateTime(text) {
		return append(dst, raw...)
	}
	fraction, zone := text[dateTimeBytes:], []byte(nil)
	if end := bytes.IndexAny(fraction, "Zz+-"); end >= 0 {
		fraction, zone = fraction[:end], fraction[end:]
	}
	if len(fraction) > 0 && (len(fraction) == 1 || fraction[0] != '.' || !digits(fraction[1:])) {
		return append(dst, raw...)
	}
	fraction = fraction[:min(len(fraction), maxFraction+1)]
	offset, ok := parseZone(zone)
	if !ok {
		return append(dst, raw...)
	}
	dst = append(dst, '"')
	if offset == 0 {
		dst = append(dst, text[:dateTimeBytes]...)
		dst[len(dst)-dateTimeBytes+len("2006-01-02")] = 'T'
	} else {
		at := time.Date(number(text[:4]), time.Month(number(text[5:7])), number(text[8:10]),
			number(text[11:13]), number(text[14:16]), number(text[17:19]), 0, time.UTC).Add(-offset)
		if at.Year() < 1 || at.Year() > 9999 {
			return append(dst[:len(dst)-1], raw...)
		}
		dst = at.AppendFormat(dst, "2006-01-02T15:04:05")
	}
	dst = append(dst, fraction...)
	return append(dst, `Z"`...)
}

// isDateTime reports whether a text begins with a date and a time of day.
func isDateTime(text []byte) bool {
	if len(text) < dateTimeBytes {
		return false
	}
	for i, c := range []byte("0000-00-00T00:00:00") {
		switch got := text[i]; c {
		case '0':
			if got < '0' || got > '9' {
				return false
			}
		case 'T':
			if got != 'T' && got != 't' && got != ' ' {
				return false
			}
		default:
			if got != c {
				return false
			}
		}
	}
	month, day := number(text[5:7]), number(text[8:10])
	return month >= 1 && month <= 12 && day >= 1 && day <= 31 &&
		number(text[11:13]) <= 23 && number(text[14:16]) <= 59 && number(text[17:19]) <= 60
}

// parseZone reads a zone: none, Z, +hh:mm, +hhmm or +hh.
func parseZone(zone []byte) (time.Duration, bool) {
	if len(zone) == 0 || len(zone) == 1 && (zone[0] == 'Z' || zone[0] == 'z') {
		return 0, true
	}
	sign, hours, minutes := zone[0], zone[1:], []byte("00")
	switch {
	case len(zone) == len("+hh:mm") && zone[3] == ':':
		hours, minutes = zone[1:3], zone[4:]
	case len(zone) == len("+hhmm"):
		hours, minutes = zone[1:3], zone[3:]
	}
	if (sign != '+' && sign != '-') || len(hours) != 2 || !digits(hours) || !digits(minutes) || number(minutes) > 59 {
		return 0, false
	}
	offset := time.Duration(number(hours))*time.Hour + time.Duration(number(minutes))*time.Minute
	if sign == '-' {
		offset = -offset
	}
	return offset, true
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

// number returns the value of a few decimal digits.
func number(text []byte) int {
	n := 0
	for _, c := range text {
		n = 10*n + int(c-'0')
	}
	return n
}

// isZero reports whether a number, which ProtoJSON also allows as a string, is zero.
func isZero(raw []byte) bool {
	text := unquoted(raw)
	if text == nil {
		text = raw
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return err == nil && f == 0
}
