package audit

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Event is the record of one call: the merge of its entries, and its place in the
// order of all events. A SUMMARY stands for several calls of one plane.
type Event struct {
	// Sequence is the event's place in the total order, consecutive from 1.
	Sequence   int64
	IngestTime time.Time
	Invocation uuid.UUID
	Replica    uuid.UUID
	Epoch      int64
	Plane      Plane

	Time      time.Time
	Duration  time.Duration
	FirstByte time.Duration // 0 when the agent sent nothing
	Outcome   Outcome
	Error     *CallError // nil when nothing went wrong
	// Count is the number of calls that the event stands for.
	Count      int64
	CallerLeft bool
	IDConflict bool

	Caller        string
	CallerUID     uuid.UUID
	Team          string // the team's id
	SourceAddress string
	UserAgent     string

	Agent    string // the agent's id
	AgentUID uuid.UUID
	Endpoint string

	// Resource is the name of what a management call was about.
	Resource string
	// Revision is the configuration revision that a management call made; 0 for none.
	Revision int64
	// Before and After are the resource that a management call changed, as JSON objects
	// without secrets; nil for none.
	Before, After []byte

	Method  string
	Dialect string
	// UpstreamDialect is empty when the agent saw nothing of the call, and in events of
	// before there was translation.
	UpstreamDialect string
	RequestID       string
	MessageID       string
	TaskID          string
	ContextID       string
	TaskState       string
	TraceID         string
	SpanID          string
	ParentSpanID    string

	Decision *Decision

	RequestBytes  int64
	ResponseBytes int64
	StreamEvents  int64
	HTTPStatus    int

	// Refusals says what a SUMMARY counts; nil for every other event.
	Refusals *Refusals
}

// Refusals counts calls that were not recorded one by one: refusals, and calls without
// a credential that were served, which have the reason SUCCEEDED.
type Refusals struct {
	// From and To are the times of the first and the last of them.
	From, To time.Time
	// Count is how many there were, Authenticated how many of them came from callers
	// whose credentials had been verified.
	Count, Authenticated int64
	// Sources is the number of addresses that they came from. SourcesCapped says that
	// there were more than were told apart.
	Sources       int64
	SourcesCapped bool
	// Reasons counts them by reason, in order of the reason.
	Reasons []ReasonCount
}

// ReasonCount is how many calls had one reason.
type ReasonCount struct {
	Reason string
	Count  int64
}

// String returns the counts as one sentence.
func (r *Refusals) String() string {
	var b strings.Builder
	more := ""
	if r.SourcesCapped {
		more = "more than "
	}
	fmt.Fprintf(&b, "%d calls from %s%d sources:", r.Count, more, r.Sources)
	for i, c := range r.Reasons {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s %d", c.Reason, c.Count)
	}
	return b.String()
}

// Known tells whether o is one of the outcomes.
func (o Outcome) Known() bool {
	switch o {
	case Succeeded, Failed, Refused, Unavailable, TimedOut, CallerLeft, Interrupted, Summary, Revoked:
		return true
	default:
		return false
	}
}

// Merge makes the event of a call out of its entries. opened is an opening, a refusal
// or a summary; closed is a closing. One of them may be nil: an opening alone is a call
// that was interrupted, a closing alone one whose opening was lost with its disk.
// Sequence, IngestTime, Replica and Epoch are left to the caller.
func Merge(opened, closed *Entry) (Event, error) {
	var e Event
	switch {
	case opened == nil && closed == nil:
		return e, fmt.Errorf("merge: %w: no entry at all", ErrMalformed)
	case closed != nil && closed.Kind != KindClosed:
		return e, fmt.Errorf("merge: %w: a closing is of kind %q", ErrMalformed, closed.Kind)
	case opened == nil:
		e.Invocation, e.Count, e.Plane = closed.Closing.Invocation, 1, PlaneData
		// The only time that is left; the call began Duration earlier.
		e.Time = closed.Time.Add(-closed.Closing.Duration)
		e.close(&closed.Closing)
		return e, nil
	case closed != nil && (opened.Kind != KindOpened || closed.Closing.Invocation != opened.Opening.Invocation):
		return e, fmt.Errorf("merge: %w: the entries are not of one call", ErrMalformed)
	}
	e.Count = 1
	e.open(&opened.Opening)
	switch opened.Kind {
	case KindOpened:
		if closed == nil {
			e.Outcome = Interrupted
			return e, nil
		}
		e.close(&closed.Closing)
	case KindRefused:
		e.close(&opened.Closing)
	case KindSummary:
		r := opened.Refusals
		e.Refusals, e.Count, e.Outcome, e.Time, e.Duration = &r, r.Count, Summary, r.From, r.To.Sub(r.From)
		e.Error = &CallError{Message: r.String()}
		if len(r.Reasons) == 1 {
			e.Error.Reason = r.Reasons[0].Reason
		}
	case KindClosed:
		return e, fmt.Errorf("merge: %w: a closing stands for an opening", ErrMalformed)
	}
	return e, nil
}

func (e *Event) open(o *Opening) {
	e.Invocation, e.Time, e.Plane, e.Resource = o.Invocation, o.Time, cmp.Or(o.Plane, PlaneData), o.Resource
	e.Caller, e.CallerUID, e.Team, e.SourceAddress, e.UserAgent = o.Caller, o.CallerUID, o.Team, o.SourceAddress, o.UserAgent
	e.Agent, e.AgentUID, e.Endpoint = o.Agent, o.AgentUID, o.Endpoint
	e.Method, e.Dialect, e.UpstreamDialect, e.RequestID, e.MessageID = o.Method, o.Dialect, o.UpstreamDialect, o.RequestID, o.MessageID
	e.TaskID, e.ContextID = o.TaskID, o.ContextID
	e.TraceID, e.SpanID, e.ParentSpanID = o.TraceID, o.SpanID, o.ParentSpanID
	e.Decision, e.RequestBytes = o.Decision, o.RequestBytes
}

// close adds what was learned later; an id that the reply did not name stays as it was.
func (e *Event) close(c *Closing) {
	e.Duration, e.FirstByte, e.Outcome, e.Error = c.Duration, c.FirstByte, c.Outcome, c.Error
	e.TaskState, e.ResponseBytes, e.StreamEvents, e.HTTPStatus = c.TaskState, c.ResponseBytes, c.StreamEvents, c.HTTPStatus
	e.CallerLeft, e.IDConflict = c.CallerLeft, c.IDConflict
	if c.Endpoint != "" {
		e.Endpoint = c.Endpoint
	}
	if c.TaskID != "" {
		e.TaskID = c.TaskID
	}
	if c.ContextID != "" {
		e.ContextID = c.ContextID
	}
	if m := c.Management; m != nil {
		e.Plane, e.Revision, e.Before, e.After = PlaneManagement, m.Revision, m.Before, m.After
		if m.Resource != "" {
			e.Resource = m.Resource
		}
		if m.Decision != nil {
			e.Decision = m.Decision
		}
	}
}
