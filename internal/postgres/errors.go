package postgres

import (
	"errors"
	"fmt"
	"strings"
)

var (
	errEnded  = errors.New("the server ended")
	errKilled = errors.New("killed, because it did not stop in time")
)

// InUseError tells that another running gateway uses the folder.
type InUseError struct {
	Dir string
	PID int // 0 when it is not known
}

// Error names the folder and, when known, the process that holds it.
func (e *InUseError) Error() string {
	who := "another running gateway"
	if e.PID != 0 {
		who = fmt.Sprintf("%s (process %d)", who, e.PID)
	}
	return fmt.Sprintf("the data directory %s is used by %s: stop that one, choose another data directory, or give both one database URL", e.Dir, who)
}

// NotFoundError tells that this machine has no usable Postgres.
type NotFoundError struct {
	Searched []string // folders, and PATH
	Rejected []string // what was found and why it does not do
	Fetch    error    // why fetching did not help; nil when it was not tried
}

// Error names all that was searched.
func (e *NotFoundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no Postgres %d to %d found; searched %s", minMajor, maxMajor, strings.Join(e.Searched, ", "))
	for _, r := range e.Rejected {
		fmt.Fprintf(&b, "; %s", r)
	}
	if e.Fetch != nil {
		fmt.Fprintf(&b, "; fetching it: %v", e.Fetch)
	}
	b.WriteString(". Install Postgres or give a database URL")
	return b.String()
}

// Unwrap returns why fetching did not help.
func (e *NotFoundError) Unwrap() error { return e.Fetch }

// VersionError tells that a cluster was made by another major version than
// those found.
type VersionError struct {
	Dir   string
	Major int      // of the cluster
	Found []string // versions with their folders
}

// Error names the version that is needed.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the cluster in %s was made by Postgres %d, but only %s found: install Postgres %d, or dump and restore the data",
		e.Dir, e.Major, strings.Join(e.Found, ", "), e.Major)
}
