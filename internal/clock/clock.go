// Package clock is the one place that reads the wall clock, so that every
// other package can be given a time instead of taking one.
package clock

import "time"

// Clock tells the time. Implementations are safe for concurrent use.
type Clock interface {
	// Now returns the current time.
	Now() time.Time
}

// System is the machine's own clock.
type System struct{}

// Now returns the wall clock's time with its monotonic reading.
func (System) Now() time.Time { return time.Now() }

// Func makes a clock of a function, for tests that decide what time it is.
type Func func() time.Time

// Now calls f.
func (f Func) Now() time.Time { return f() }
