package grpc

import (
	"encoding/base64"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Clients bound what they take as trailers; the smallest bound in use is 8 KiB, which other trailers share. What
// does not fit is left out, the details before the text and the ErrorInfo last.
const (
	maxMessage = 2 << 10
	maxDetails = 3 << 10
)

// SetTrailers sets the status that ends a reply whose body has begun or may have: err is nil for a success. The
// header is that of the [http.ResponseWriter].
func SetTrailers(h http.Header, err *a2a.Error, v a2a.Version) {
	setStatus(h, http.TrailerPrefix, err, v)
}

// SetTrailersOnly makes a reply that has a status and no messages. Nothing may be written besides, and the HTTP
// status is 200.
func SetTrailersOnly(h http.Header, err *a2a.Error, v a2a.Version) {
	h.Set("Content-Type", ContentType)
	setStatus(h, "", err, v)
}

func setStatus(h http.Header, prefix string, err *a2a.Error, v a2a.Version) {
	if err == nil {
		h.Set(prefix+headerStatus, "0")
		return
	}
	status, message := err.RPCStatus(v), clip(strings.ToValidUTF8(err.RPCMessage(v), "\ufffd"))
	h.Set(prefix+headerStatus, strconv.Itoa(status))
	if message != "" {
		h.Set(prefix+headerMessage, EncodeMessage(message))
	}
	details := err.JSONDetails(v)
	for len(details) > 0 {
		encoded := EncodeStatus(status, message, details)
		if len(encoded) <= maxMessage+maxDetails {
			h.Set(prefix+headerDetails, base64.RawStdEncoding.EncodeToString(encoded))
			return
		}
		details = details[:len(details)-1]
	}
}

// clip cuts a text to what trailers have room for when it is percent-encoded.
func clip(text string) string {
	size := 0
	for i, c := range text {
		n := 1
		if c < ' ' || c > '~' || c == '%' {
			n = 3 * len(string(c))
		}
		if size += n; size > maxMessage {
			return text[:i]
		}
	}
	return text
}

// ErrorFromTrailers returns the error that ended an agent's reply, nil for a success. It is called when the body
// has been read to its end; op is what was asked for. A reply that is not one of gRPC, or that ends without a
// status, is an error.
func ErrorFromTrailers(op a2a.Operation, v a2a.Version, httpStatus int, header, trailer http.Header) *a2a.Error {
	from := trailer
	if from.Get(headerStatus) == "" {
		from = header // a reply that is trailers only
	}
	text := from.Get(headerStatus)
	if text == "" {
		return withoutStatus(op, v, httpStatus, header)
	}
	status, err := strconv.Atoi(text)
	if err != nil || status < 0 {
		status = a2a.GRPCUnknown
	}
	if status == a2a.GRPCOK {
		return nil
	}
	message := DecodeMessage(from.Get(headerMessage))
	var details [][]byte
	if raw, ok := decodeBase64(from.Get(headerDetails)); ok {
		_, inner, decoded, err := DecodeStatus(raw)
		if err == nil {
			details = decoded
			if message == "" {
				message = inner
			}
		}
	}
	e := a2a.ErrorFromGRPC(op, v, status, message, details)
	return &e
}

// withoutStatus returns the error that stands for a reply without a status of gRPC.
func withoutStatus(op a2a.Operation, v a2a.Version, httpStatus int, header http.Header) *a2a.Error {
	if httpStatus == http.StatusOK {
		message := "the agent's reply ended without a status"
		if !IsGRPC(header.Get("Content-Type")) {
			message = "the agent's reply is not gRPC"
		}
		row, _ := a2a.LookupCode(a2a.CodeInvalidAgentResponse)
		return &a2a.Error{Code: row.Code, Reason: row.Reason, Domain: row.Domain, Message: message}
	}
	e := a2a.ErrorFromGRPC(op, v, statusOfHTTP(httpStatus), "the agent answered with HTTP status "+strconv.Itoa(httpStatus), nil)
	return &e
}

// statusOfHTTP returns what the gRPC specification makes of an HTTP status that comes without one of gRPC.
func statusOfHTTP(status int) int {
	switch status {
	case http.StatusBadRequest:
		return a2a.GRPCInternal
	case http.StatusUnauthorized:
		return a2a.GRPCUnauthenticated
	case http.StatusForbidden:
		return a2a.GRPCPermissionDenied
	case http.StatusNotFound:
		return a2a.GRPCUnimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return a2a.GRPCUnavailable
	}
	return a2a.GRPCUnknown
}

// SetRequest sets the headers that every request has. A timeout of 0 means none.
func SetRequest(h http.Header, timeout time.Duration) {
	h.Set("Content-Type", ContentType)
	h.Set("Te", "trailers")
	h.Set(headerAccept, AcceptedEncodings)
	if timeout > 0 {
		h.Set(headerTimeout, FormatTimeout(timeout))
	}
}

// Encoding returns how the messages that go with a header are compressed, "" for not at all.
func Encoding(h http.Header) string {
	encoding := h.Get(headerEncoding)
	if encoding == "identity" {
		return ""
	}
	return encoding
}

// Timeout returns the time limit that a caller set. It returns false when there is none, or none that can be
// read.
func Timeout(h http.Header) (time.Duration, bool) { return ParseTimeout(h.Get(headerTimeout)) }

// timeUnits are the units of time limits, smallest first.
var timeUnits = [...]struct {
	name byte
	unit time.Duration
}{{'n', 1}, {'u', time.Microsecond}, {'m', time.Millisecond}, {'S', time.Second}, {'M', time.Minute}, {'H', time.Hour}}

const maxTimeoutDigits = 8

// ParseTimeout reads a time limit such as "10S": up to eight digits and a unit.
func ParseTimeout(text string) (time.Duration, bool) {
	last := len(text) - 1
	if last < 1 || last > maxTimeoutDigits || strings.Trim(text[:last], "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text[:last], 10, 64)
	if err != nil {
		return 0, false
	}
	for _, u := range timeUnits {
		if u.name != text[last] {
			continue
		}
		if n > math.MaxInt64/int64(u.unit) {
			return math.MaxInt64, true
		}
		return time.Duration(n) * u.unit, true
	}
	return 0, false
}

// FormatTimeout writes a time limit in the smallest unit that holds it, rounded up so that it does not end early.
func FormatTimeout(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	for _, u := range timeUnits {
		n := d / u.unit
		if d%u.unit != 0 {
			n++
		}
		if n < 100_000_000 {
			return strconv.FormatInt(int64(n), 10) + string(u.name)
		}
	}
	return "99999999H"
}

const hexDigits = "0123456789ABCDEF"

// EncodeMessage writes the text of a status as headers can carry it.
func EncodeMessage(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// DecodeMessage undoes [EncodeMessage]. What is not validly encoded stays as it is, as the specification wants;
// what is not UTF-8 is replaced.
func DecodeMessage(text string) string {
	if !strings.Contains(text, "%") {
		return strings.ToValidUTF8(text, "\ufffd")
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, text[i])
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

// decodeBase64 decodes a binary header. Peers pad it or not.
func decodeBase64(text string) ([]byte, bool) {
	if text == "" {
		return nil, false
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return raw, err == nil
}
