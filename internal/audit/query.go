package audit

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/filter"
)

// The fields of an event filter.
const (
	FieldAgent           = "agent"
	FieldTeam            = "team"
	FieldCaller          = "caller"
	FieldMethod          = "method"
	FieldOutcome         = "outcome"
	FieldUpstreamDialect = "upstream_dialect"
	FieldTime            = "time"
	FieldPlane           = "plane"
	FieldResource        = "resource"
)

// prefixOutcome and prefixPlane are what the names of outcomes and planes begin with
// where events are read.
const (
	prefixOutcome = "OUTCOME_"
	prefixPlane   = "PLANE_"
)

// ParseFilter reads a filter of events. Agents and teams may be given with or without
// "agents/" and "teams/", outcomes with or without "OUTCOME_", planes with or without
// "PLANE_"; the conditions have none of them. The error is a [*filter.Error].
func ParseFilter(text string) ([]filter.Condition, error) {
	conditions, err := filter.Parse(text, filter.Fields{
		FieldAgent:           {Type: filter.String},
		FieldTeam:            {Type: filter.String},
		FieldCaller:          {Type: filter.String},
		FieldMethod:          {Type: filter.String},
		FieldOutcome:         {Type: filter.Enum, Values: outcomes()},
		FieldUpstreamDialect: {Type: filter.String},
		FieldTime:            {Type: filter.Time},
		FieldPlane:           {Type: filter.Enum, Values: planes()},
		FieldResource:        {Type: filter.String},
	})
	if err != nil {
		return nil, err
	}
	for i := range conditions {
		switch c := &conditions[i]; c.Field {
		case FieldAgent:
			c.Value = strings.TrimPrefix(c.Value, "agents/")
		case FieldTeam:
			c.Value = strings.TrimPrefix(c.Value, "teams/")
		case FieldOutcome:
			c.Value = strings.TrimPrefix(c.Value, prefixOutcome)
		case FieldPlane:
			c.Value = strings.TrimPrefix(c.Value, prefixPlane)
		}
	}
	return conditions, nil
}

// planes are the values of a plane, the short names first.
func planes() []string {
	return []string{string(PlaneData), string(PlaneManagement), prefixPlane + string(PlaneData), prefixPlane + string(PlaneManagement)}
}

// outcomes are the values of an outcome: the short names first, which errors list first.
func outcomes() []string {
	var short, long []string
	for _, o := range []Outcome{Succeeded, Failed, Refused, Unavailable, TimedOut, CallerLeft, Interrupted, Summary, Revoked} {
		short, long = append(short, string(o)), append(long, prefixOutcome+string(o))
	}
	return append(short, long...)
}

// Scope says whose events may be read. The zero Scope has none.
type Scope struct {
	all   bool
	teams []string
}

// AllTeams is the scope of who may read every event.
func AllTeams() Scope { return Scope{all: true} }

// OneTeam is the scope of who may read the events of one team's calls.
func OneTeam(id string) Scope { return Teams(id) }

// Teams is the scope of who may read the events of some teams' calls. The empty id is that
// of no team: events of calls that belong to none are for who may read all.
func Teams(ids ...string) Scope {
	return Scope{teams: slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })}
}

// All tells whether the scope has every event.
func (s Scope) All() bool { return s.all }

// Teams returns the ids of the teams whose events the scope has; none means none, unless
// it has all.
func (s Scope) Teams() []string { return s.teams }

// Query says which events are wanted.
type Query struct {
	// Conditions come from ParseFilter; all must hold.
	Conditions []filter.Condition
	// Scope must be set, or nothing is found.
	Scope Scope
}

// Page is a part of a list of events.
type Page struct {
	// Events are the events, the newest first.
	Events []Event
	// Next is what Before is for the next page; 0 when this is the last.
	Next int64
}

// Events reads the ledger. Package store implements it. What takes a query may return
// ErrQueryTooSlow.
type Events interface {
	// Get returns the event of an invocation, or ErrEventNotFound, also when it is out
	// of scope.
	Get(ctx context.Context, invocation uuid.UUID, scope Scope) (Event, error)
	// List returns at most size events with sequences below before, the newest first.
	// before 0 means from the newest.
	List(ctx context.Context, q Query, before int64, size int) (Page, error)
	// After returns at most limit events with sequences above after and up to through,
	// the oldest first.
	After(ctx context.Context, q Query, after, through int64, limit int) ([]Event, error)
	// Head returns the sequence of the newest event of all; 0 when there is none. All
	// events up to it can be read.
	Head(ctx context.Context) (int64, error)
}
