package store

import (
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
)

// LimitQueries sets the time that a query has.
func LimitQueries(s *Events, d time.Duration) { s.queryTime = d }

// ListSQL returns the statement of List, and its arguments.
func ListSQL(q audit.Query, before int64, size int) (sql string, args []any, err error) {
	w, tail, err := listed(q, before, size)
	if err != nil {
		return "", nil, err
	}
	return eventSelect + w.text.String() + " " + tail, w.args, nil
}
