package spool

import (
	"errors"
	"fmt"
)

var (
	// ErrFull is returned when an entry would pass the cap, or when the segment in use is full and the disk has
	// no room for another.
	ErrFull = errors.New("spool is full")

	// ErrNearlyFull is returned for entries that open something once 90 % of the cap is used, or when no spare
	// segment could be made: what is left is kept for closing what is open.
	ErrNearlyFull = errors.New("spool is nearly full")

	// ErrTooLarge is returned for an entry of more than [MaxEntry] bytes.
	ErrTooLarge = errors.New("entry is too large for the spool")

	// ErrClosed is returned by every method of a closed spool.
	ErrClosed = errors.New("spool is closed")

	// ErrAhead is returned when a number is named that this spool has not given out yet: the directory has lost
	// entries that are safe elsewhere. See [Spool.Advance].
	ErrAhead = errors.New("number is ahead of the spool")

	// ErrDamaged is returned by Read when entries exist behind the given number and none of them can be read.
	ErrDamaged = errors.New("spool entries are damaged")
)

// LockedError says that another process, or another Spool of this one, uses the directory.
type LockedError struct {
	// Dir is the spool's directory.
	Dir string
}

// Error implements error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("spool directory %s is used by another process", e.Dir)
}

// faultError is an access to mapped memory that the kernel could not serve: the disk had no room or could not be read.
type faultError struct {
	path  string
	cause error
}

func (e *faultError) Error() string { return fmt.Sprintf("memory fault in %s: %v", e.path, e.cause) }

func (e *faultError) Unwrap() error { return e.cause }
