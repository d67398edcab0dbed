package audit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// DecodeEntry reads an entry as the recorder of this or of a newer version wrote it:
// members that it does not know are passed over. What it returns has no reference to
// data. The error is [ErrMalformed].
func DecodeEntry(data []byte) (Entry, error) {
	e, err := decodeCompact(data)
	if err != nil {
		// Nobody writes entries with spaces, yet they are JSON all the same.
		value := jsontext.Value(bytes.Clone(data))
		// An attribute of a decision may come twice; what is evidence is not refused for it.
		invalid := value.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if invalid == nil && len(value) < len(data) {
			e, err = decodeCompact(value)
		}
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return e, nil
}

func decodeCompact(data []byte) (Entry, error) {
	var d decoder
	if err := eachMember(data, d.member); err != nil {
		return Entry{}, err
	}
	err := d.common.into(&d.entry)
	return d.entry, err
}

type decoder struct {
	entry  Entry
	common common
}

// common are the members whose place depends on the kind, which may come after them.
type common struct {
	version                     int64
	invocation                  uuid.UUID
	endpoint, taskID, contextID string
	plane                       Plane
	resource                    string
	decision                    *Decision
	// management holds what the others of its members do not.
	management ManagementEnd
}

func (m *common) into(e *Entry) error {
	switch {
	case m.version < 1:
		return fmt.Errorf("version %d", m.version)
	case m.invocation == uuid.Nil:
		return errors.New("no invocation")
	case e.Time.IsZero():
		return errors.New("no time")
	case m.plane != "" && m.plane != PlaneManagement:
		return fmt.Errorf("plane %q", m.plane)
	}
	ended := false
	switch e.Kind {
	case KindOpened, KindRefused:
		o := &e.Opening
		o.Invocation, o.Time, o.Endpoint, o.TaskID, o.ContextID = m.invocation, e.Time, m.endpoint, m.taskID, m.contextID
		o.Plane, o.Resource, o.Decision = m.plane, m.resource, m.decision
		if ended = e.Kind == KindRefused; ended {
			e.Closing.Invocation = m.invocation
		}
	case KindClosed:
		c := &e.Closing
		c.Invocation, c.Endpoint, c.TaskID, c.ContextID = m.invocation, m.endpoint, m.taskID, m.contextID
		if m.plane == PlaneManagement {
			m.management.Resource, m.management.Decision = m.resource, m.decision
			c.Management = &m.management
		}
		ended = true
	case KindSummary:
		e.Opening.Invocation, e.Opening.Plane, e.Refusals.From = m.invocation, m.plane, e.Time
		if e.Refusals.Count < 1 {
			return fmt.Errorf("a summary of %d refusals", e.Refusals.Count)
		}
	default:
		return fmt.Errorf("kind %q", e.Kind)
	}
	if ended && !e.Closing.Outcome.Known() {
		return fmt.Errorf("outcome %q", e.Closing.Outcome)
	}
	return nil
}

func (d *decoder) member(name, value []byte) error {
	e := &d.entry
	switch string(name) {
	case `"v"`:
		return readInt(value, &d.common.version)
	case `"kind"`:
		return readText(value, (*string)(&e.Kind), maxShort)
	case `"invocation"`:
		return readUUID(value, &d.common.invocation)
	case `"time"`:
		return readTime(value, &e.Time)
	case `"endpoint"`:
		return readText(value, &d.common.endpoint, maxEndpoint)
	case `"task_id"`:
		return readText(value, &d.common.taskID, maxID)
	case `"context_id"`:
		return readText(value, &d.common.contextID, maxID)
	case `"plane"`:
		return readText(value, (*string)(&d.common.plane), maxShort)
	case `"resource"`:
		return readText(value, &d.common.resource, maxName)
	case `"made_revision"`:
		return readInt(value, &d.common.management.Revision)
	case `"before"`:
		return readDocument(value, &d.common.management.Before)
	case `"after"`:
		return readDocument(value, &d.common.management.After)
	case `"decision"`:
		var err error
		d.common.decision, err = readDecision(value)
		return err
	case `"error"`:
		e.Closing.Error = new(CallError)
		return eachMember(value, d.errorMember)
	default:
		return d.openingMember(name, value)
	}
}

func (d *decoder) openingMember(name, value []byte) error {
	o := &d.entry.Opening
	switch string(name) {
	case `"caller"`:
		return readText(value, &o.Caller, maxName)
	case `"caller_uid"`:
		return readUUID(value, &o.CallerUID)
	case `"team"`:
		return readText(value, &o.Team, maxShort)
	case `"source_address"`:
		return readText(value, &o.SourceAddress, maxAddress)
	case `"user_agent"`:
		return readText(value, &o.UserAgent, maxUserAgent)
	case `"agent"`:
		return readText(value, &o.Agent, maxName)
	case `"agent_uid"`:
		return readUUID(value, &o.AgentUID)
	case `"method"`:
		return readText(value, &o.Method, maxShort)
	case `"dialect"`:
		return readText(value, &o.Dialect, maxDialect)
	case `"upstream_dialect"`:
		return readText(value, &o.UpstreamDialect, maxDialect)
	case `"request_id"`:
		return readText(value, &o.RequestID, maxID)
	case `"message_id"`:
		return readText(value, &o.MessageID, maxID)
	case `"trace_id"`:
		return readText(value, &o.TraceID, maxTraceID)
	case `"span_id"`:
		return readText(value, &o.SpanID, maxSpanID)
	case `"parent_span_id"`:
		return readText(value, &o.ParentSpanID, maxSpanID)
	case `"request_bytes"`:
		return readInt(value, &o.RequestBytes)
	default:
		return d.closingMember(name, value)
	}
}

func (d *decoder) closingMember(name, value []byte) error {
	c := &d.entry.Closing
	switch string(name) {
	case `"outcome"`:
		return readText(value, (*string)(&c.Outcome), maxShort)
	case `"duration_ns"`:
		return readInt(value, (*int64)(&c.Duration))
	case `"first_byte_ns"`:
		return readInt(value, (*int64)(&c.FirstByte))
	case `"task_state"`:
		return readText(value, &c.TaskState, maxDialect)
	case `"response_bytes"`:
		return readInt(value, &c.ResponseBytes)
	case `"stream_events"`:
		return readInt(value, &c.StreamEvents)
	case `"http_status"`:
		return readInt32(value, &c.HTTPStatus)
	case `"caller_left"`:
		return readBool(value, &c.CallerLeft)
	case `"id_conflict"`:
		return readBool(value, &c.IDConflict)
	default:
		return d.summaryMember(name, value)
	}
}

func (d *decoder) summaryMember(name, value []byte) error {
	r := &d.entry.Refusals
	switch string(name) {
	case `"to"`:
		return readTime(value, &r.To)
	case `"count"`:
		return readInt(value, &r.Count)
	case `"authenticated"`:
		return readInt(value, &r.Authenticated)
	case `"sources"`:
		return readInt(value, &r.Sources)
	case `"sources_capped"`:
		return readBool(value, &r.SourcesCapped)
	case `"reasons"`:
		return eachMember(value, func(name, value []byte) error {
			reason, err := readString(name, maxShort)
			if err != nil {
				return err
			}
			c := ReasonCount{Reason: reason}
			if err := readInt(value, &c.Count); err != nil {
				return err
			}
			r.Reasons = append(r.Reasons, c)
			return nil
		})
	default:
		return skip(value)
	}
}

func (d *decoder) errorMember(name, value []byte) error {
	e := d.entry.Closing.Error
	switch string(name) {
	case `"code"`:
		return readInt32(value, &e.Code)
	case `"reason"`:
		return readText(value, &e.Reason, maxShort)
	case `"message"`:
		err := readText(value, &e.Message, 4*maxErrorRunes)
		e.Message = cutRunes(e.Message, maxErrorRunes)
		return err
	default:
		return skip(value)
	}
}
