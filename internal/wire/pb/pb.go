// Package pb converts between the protobuf encoding of A2A messages and their ProtoJSON, in versions 0.3
// (package a2a.v1) and 1.0 (lf.a2a.v1), and reads in protobuf what a gateway decides on.
//
// It works on bytes, by its own tables of fields, and makes no messages in memory. The order of members is
// that of the fields on the wire and the other way round, and explicit defaults (false, 0, "") stay
// explicit, which generated code cannot do. What one of the encodings cannot carry is dropped: unknown
// fields and unknown members, empty lists and maps, null, and the digits of numbers in metadata and data
// that a double does not hold.
//
// What is read here is what any parser of protobuf reads: the last of several values, the parts of a
// message merged, the last member of a oneof.
package pb

import (
	"errors"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// ErrPayload is what the errors about payloads wrap.
var ErrPayload = errors.New("not a message of A2A")

// keptBytes is the largest scratch memory that goes back into a pool.
const keptBytes = 256 << 10

// Message is which message of a call a payload is.
type Message uint8

// The messages of a call. An Event is an item of a stream.
const (
	Request Message = 1 + iota
	Result
	Event
)

func faultf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrPayload, fmt.Errorf(format, args...))
}

// lookupTable returns the table of a message.
func lookupTable(v a2a.Version, op a2a.Operation, m Message) (*table, error) {
	var t *table
	switch v {
	case a2a.V10:
		t = table10(op, m)
	case a2a.V03:
		t = table03(op, m)
	}
	if t == nil {
		return nil, faultf("A2A %s has no such message of %s", v, op)
	}
	return t, nil
}
