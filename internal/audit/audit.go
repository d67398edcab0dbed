// Package audit is the record of every governed call, of agents and of the management
// plane. A call leaves an opening before the first byte goes to the agent, or before the
// management plane does what is asked, and a closing before its end is passed on; their
// merge is one event. A refused call leaves one entry.
//
// The package knows how an entry is written, merged and filtered. The local file
// is package spool, the database is package store.
package audit

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// Faults of the record.
var (
	// ErrUnavailable says that the local record cannot take a new call: it is
	// nearly full, or its disk is.
	ErrUnavailable = errors.New("the local record is nearly full")
	// ErrEventNotFound says that there is no such event, or none that the caller may see.
	ErrEventNotFound = errors.New("no such event")
	// ErrQueryTooSlow says that the database works, but did not finish a query in its time.
	ErrQueryTooSlow = errors.New("the filter reads too much; add a time condition")
	// ErrTooManyTails says that no more tails may be open, of this caller or in all.
	ErrTooManyTails = errors.New("too many tails are open: end some, or try again later")
)

// Outcome says how a call ended.
type Outcome string

// The outcomes.
const (
	Succeeded   Outcome = "SUCCEEDED"
	Failed      Outcome = "FAILED"
	Refused     Outcome = "REFUSED"
	Unavailable Outcome = "UNAVAILABLE"
	TimedOut    Outcome = "TIMED_OUT"
	CallerLeft  Outcome = "CALLER_LEFT"
	Interrupted Outcome = "INTERRUPTED"
	Summary     Outcome = "SUMMARY"
	Revoked     Outcome = "REVOKED"
)

// Plane says which plane of the gateway a call came to. In entries the zero value
// stands for the data plane; events have one of the constants.
type Plane string

// The planes.
const (
	PlaneData       Plane = "DATA"
	PlaneManagement Plane = "MANAGEMENT"
)

// Opening is what is known of a call when it is admitted or refused.
type Opening struct {
	Invocation uuid.UUID
	Time       time.Time
	Plane      Plane

	Caller        string
	CallerUID     uuid.UUID // zero when not authenticated
	Team          string    // the caller's team's id
	SourceAddress string
	UserAgent     string

	Agent    string // the agent's id, as resolved or as asked for
	AgentUID uuid.UUID
	Endpoint string
	// Resource is the name of what a management call is about.
	Resource string

	Method  string
	Dialect string
	// UpstreamDialect is what the gateway spoke with the agent; empty when it did not.
	UpstreamDialect string
	RequestID       string
	MessageID       string
	TaskID          string
	ContextID       string
	TraceID         string
	SpanID          string
	ParentSpanID    string

	Decision     *Decision
	RequestBytes int64
}

// Closing is what is known of a call when it ends.
type Closing struct {
	Invocation uuid.UUID
	Duration   time.Duration
	// FirstByte is the time from the call's begin to the first byte of the agent's
	// reply; 0 when there was none.
	FirstByte time.Duration

	Outcome Outcome
	Error   *CallError

	Endpoint      string // when it is not the one of the opening
	TaskID        string // as learned from the reply
	ContextID     string
	TaskState     string
	ResponseBytes int64
	StreamEvents  int64
	HTTPStatus    int
	CallerLeft    bool
	IDConflict    bool

	// Management is set for calls of the management plane, and nil for all others.
	Management *ManagementEnd
}

// ManagementEnd is what is known of a management call when it ends.
type ManagementEnd struct {
	// Resource is the name of what the call turned out to be about; empty when it is the
	// one of the opening.
	Resource string
	// Revision is the configuration revision that the call made; 0 when it made none.
	Revision int64
	// Before and After are the resource as the API shows it, as JSON objects without
	// secrets and of [MaxDocument] bytes at most; nil for none.
	Before, After []byte
	// Decision is set when a later decision than that of the opening ended the call.
	Decision *Decision
}

// CallError says what went wrong with a call.
type CallError struct {
	Code    int
	Reason  string // empty when the agent gave the error
	Message string
}

// Recorder keeps the record of a replica. Its methods never wait for the database
// and are safe for concurrent use.
type Recorder interface {
	// Open records that a call was admitted. It returns ErrUnavailable when the
	// call cannot be recorded and so must be refused.
	Open(o *Opening) error
	// Close records the end of an opened call.
	Close(c *Closing) error
	// Refuse records a call that was refused after authentication, as one entry.
	Refuse(o *Opening, c *Closing) error
	// RefuseUnauthenticated records a call that was refused before it was known
	// whose it is. Beyond 20 a second from one source, or 200 a second in all,
	// calls are counted into one summary a second instead.
	RefuseUnauthenticated(o *Opening, c *Closing) error
	// RecordAnonymous records a call that was served without a credential. It is
	// bounded and counted like those of RefuseUnauthenticated.
	RecordAnonymous(o *Opening, c *Closing) error
	// Ready returns ErrUnavailable when a new call could not be recorded.
	Ready() error
}
