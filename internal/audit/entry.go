package audit

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// ErrMalformed says that bytes are no entry, or entries that make no event.
var ErrMalformed = errors.New("malformed entry")

// MaxEntry is the largest entry in bytes, which is what the spool takes.
const MaxEntry = 64 << 10

// entryVersion grows when an old reader would misread a new entry. New members alone
// are no reason: readers pass over what they do not know.
const entryVersion = 1

// Kind says what an entry records.
type Kind string

// The kinds of entries.
const (
	// KindOpened is an admitted call.
	KindOpened Kind = "opened"
	// KindClosed is the end of an admitted call.
	KindClosed Kind = "closed"
	// KindRefused is a refused call, whole.
	KindRefused Kind = "refused"
	// KindSummary counts refusals that have no entry of their own.
	KindSummary Kind = "summary"
)

// Entry is one entry of the local record: a JSON object with the members of its kind.
type Entry struct {
	Kind Kind
	// Time is when the entry was made; the call's begin, but for a closing.
	Time time.Time
	// Opening is set for KindOpened and KindRefused; of a KindSummary it has the
	// invocation id alone.
	Opening Opening
	// Closing is set for KindClosed and KindRefused. The ids and the endpoint of a
	// refused call are in Opening alone.
	Closing Closing
	// Refusals is set for KindSummary.
	Refusals Refusals
}

// Invocation returns the id of the call.
func (e *Entry) Invocation() uuid.UUID {
	if e.Kind == KindClosed {
		return e.Closing.Invocation
	}
	return e.Opening.Invocation
}

// The longest strings of an entry, in bytes but for the error text. A caller chooses
// many of them, and the record must not grow with what it chooses.
const (
	maxID         = 200
	maxName       = 200
	maxShort      = 100
	maxTraceID    = 32
	maxSpanID     = 16
	maxDialect    = 40
	maxAddress    = 100
	maxUserAgent  = 256
	maxEndpoint   = 2000
	maxErrorRunes = 1000
	maxValue      = 2000
	maxListed     = 100 // rules or context values of a decision, reasons of a summary
)

// MaxDocument is the size in bytes that a resource takes in an entry at most.
const MaxDocument = 16 << 10

// appendOpened appends the entry of an admitted call.
func appendOpened(b []byte, o *Opening) []byte {
	b = appendHead(b, KindOpened, o.Invocation, o.Time)
	b = appendCaller(b, o)
	b = appendText(b, `,"endpoint":`, o.Endpoint, maxEndpoint)
	b = appendText(b, `,"task_id":`, o.TaskID, maxID)
	b = appendText(b, `,"context_id":`, o.ContextID, maxID)
	b = appendDecision(b, o.Decision, o.Time)
	return append(b, '}')
}

// appendClosed appends the entry of the end of a call.
func appendClosed(b []byte, c *Closing, now time.Time) []byte {
	b = appendHead(b, KindClosed, c.Invocation, now)
	b = appendEnd(b, c)
	b = appendText(b, `,"endpoint":`, c.Endpoint, maxEndpoint)
	b = appendText(b, `,"task_id":`, c.TaskID, maxID)
	b = appendText(b, `,"context_id":`, c.ContextID, maxID)
	b = appendManagement(b, c.Management)
	return append(b, '}')
}

// appendRefused appends the only entry of a refused call.
func appendRefused(b []byte, o *Opening, c *Closing) []byte {
	b = appendHead(b, KindRefused, o.Invocation, o.Time)
	b = appendCaller(b, o)
	b = appendEnd(b, c)
	b = appendText(b, `,"endpoint":`, either(c.Endpoint, o.Endpoint), maxEndpoint)
	b = appendText(b, `,"task_id":`, either(c.TaskID, o.TaskID), maxID)
	b = appendText(b, `,"context_id":`, either(c.ContextID, o.ContextID), maxID)
	// Nothing was changed, so there is no more to say of management.
	b = appendDecision(b, o.Decision, o.Time)
	return append(b, '}')
}

// appendSummary appends an entry that counts refusals.
func appendSummary(b []byte, id uuid.UUID, plane Plane, r *Refusals) []byte {
	b = appendHead(b, KindSummary, id, r.From)
	b = appendPlane(b, plane)
	b = append(b, `,"to":`...)
	b = appendTime(b, r.To)
	b = appendInt(b, `,"count":`, r.Count)
	b = appendInt(b, `,"authenticated":`, r.Authenticated)
	b = appendInt(b, `,"sources":`, r.Sources)
	b = appendFlag(b, `,"sources_capped":true`, r.SourcesCapped)
	b = append(b, `,"reasons":{`...)
	for i, c := range r.Reasons[:min(len(r.Reasons), maxListed)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, c.Reason, maxShort)
		b = append(b, ':')
		b = strconv.AppendInt(b, c.Count, 10)
	}
	return append(b, "}}"...)
}

func appendHead(b []byte, kind Kind, id uuid.UUID, t time.Time) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, entryVersion, 10)
	b = append(b, `,"kind":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	b = appendUUID(b, `,"invocation":`, id)
	b = append(b, `,"time":`...)
	return appendTime(b, t)
}

// appendPlane leaves out the data plane, so that its entries stay as small as they are.
func appendPlane(b []byte, p Plane) []byte {
	if p != PlaneManagement {
		return b
	}
	return appendText(b, `,"plane":`, string(p), maxShort)
}

// appendManagement appends what only management calls have.
func appendManagement(b []byte, m *ManagementEnd) []byte {
	if m == nil {
		return b
	}
	b = appendPlane(b, PlaneManagement)
	b = appendText(b, `,"resource":`, m.Resource, maxName)
	b = appendInt(b, `,"made_revision":`, m.Revision)
	b = appendDocument(b, `,"before":`, m.Before)
	b = appendDocument(b, `,"after":`, m.After)
	return appendDecision(b, m.Decision, time.Time{})
}

// appendDocument appends a JSON object. What is none, or is too large, must not make the
// entry unreadable.
func appendDocument(b []byte, member string, document []byte) []byte {
	if len(document) == 0 {
		return b
	}
	b = append(b, member...)
	if !isDocument(document) {
		b = append(b, `{"@cut":{`...)
		b = append(b, `"bytes":`...)
		b = strconv.AppendInt(b, int64(len(document)), 10)
		return append(b, "}}"...)
	}
	return append(b, document...)
}

// isDocument tells whether data is a compact JSON object of a size that entries have
// room for.
func isDocument(data []byte) bool { return isCompact(data, '{') }

func appendCaller(b []byte, o *Opening) []byte {
	b = appendPlane(b, o.Plane)
	b = appendText(b, `,"resource":`, o.Resource, maxName)
	b = appendText(b, `,"caller":`, o.Caller, maxName)
	b = appendUUID(b, `,"caller_uid":`, o.CallerUID)
	b = appendText(b, `,"team":`, o.Team, maxShort)
	b = appendText(b, `,"source_address":`, o.SourceAddress, maxAddress)
	b = appendText(b, `,"user_agent":`, o.UserAgent, maxUserAgent)
	b = appendText(b, `,"agent":`, o.Agent, maxName)
	b = appendUUID(b, `,"agent_uid":`, o.AgentUID)
	b = appendText(b, `,"method":`, o.Method, maxShort)
	b = appendText(b, `,"dialect":`, o.Dialect, maxDialect)
	b = appendText(b, `,"upstream_dialect":`, o.UpstreamDialect, maxDialect)
	b = appendText(b, `,"request_id":`, o.RequestID, maxID)
	b = appendText(b, `,"message_id":`, o.MessageID, maxID)
	b = appendText(b, `,"trace_id":`, o.TraceID, maxTraceID)
	b = appendText(b, `,"span_id":`, o.SpanID, maxSpanID)
	b = appendText(b, `,"parent_span_id":`, o.ParentSpanID, maxSpanID)
	return appendInt(b, `,"request_bytes":`, o.RequestBytes)
}

func appendEnd(b []byte, c *Closing) []byte {
	b = appendText(b, `,"outcome":`, string(c.Outcome), maxShort)
	b = appendInt(b, `,"duration_ns":`, int64(c.Duration))
	b = appendInt(b, `,"first_byte_ns":`, int64(c.FirstByte))
	b = appendText(b, `,"task_state":`, c.TaskState, maxDialect)
	b = appendInt(b, `,"response_bytes":`, c.ResponseBytes)
	b = appendInt(b, `,"stream_events":`, c.StreamEvents)
	b = appendInt(b, `,"http_status":`, int64(c.HTTPStatus))
	b = appendFlag(b, `,"caller_left":true`, c.CallerLeft)
	b = appendFlag(b, `,"id_conflict":true`, c.IDConflict)
	if e := c.Error; e != nil {
		b = append(b, `,"error":{"code":`...)
		b = strconv.AppendInt(b, int64(e.Code), 10)
		b = appendText(b, `,"reason":`, e.Reason, maxShort)
		b = appendText(b, `,"message":`, cutRunes(e.Message, maxErrorRunes), 4*maxErrorRunes)
		b = append(b, '}')
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	// Postgres keeps microseconds, and a filter must find what it shows.
	b = t.UTC().Truncate(time.Microsecond).AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendUUID(b []byte, member string, id uuid.UUID) []byte {
	if id == uuid.Nil {
		return b
	}
	b = append(b, member...)
	b = append(b, '"')
	b = hex.AppendEncode(b, id[0:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[10:16])
	return append(b, '"')
}

func appendInt(b []byte, member string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, member...), n, 10)
}

func appendFlag(b []byte, member string, set bool) []byte {
	if !set {
		return b
	}
	return append(b, member...)
}

func appendText(b []byte, member, s string, limit int) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, member...), s, limit)
}

// appendString appends s, cut to limit bytes, in quotes.
func appendString(b []byte, s string, limit int) []byte {
	s = cut(s, limit)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			// The error says that invalid UTF-8 was replaced, which is what is wanted.
			b, _ = jsontext.AppendQuote(b, withoutNUL(s))
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// withoutNUL returns s without the one character that Postgres does not take in a text.
func withoutNUL(s string) string {
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// cut returns at most limit bytes of s and splits no character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for i := limit; i > limit-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:limit]
}

// cutRunes returns at most limit characters of s.
func cutRunes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
