package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

const (
	// maxGroups bounds the kinds of changes that a report tells apart.
	maxGroups = 1000
	// maxGroupEvents bounds the events that a group names.
	maxGroupEvents = 5
	// maxGroupDeciding bounds the statements that a group names.
	maxGroupDeciding = 20
)

// Replay is what recorded decisions would have come to under other policies.
type Replay struct {
	UID uuid.UUID `json:"-"`
	// Policy is the id of the policy in whose place the draft was; empty for none.
	Policy string      `json:"policy,omitempty"`
	Mode   policy.Mode `json:"mode"`
	// DraftSHA256 is the hash of the draft's text, that of no text without one.
	DraftSHA256  [32]byte  `json:"-"`
	Since        time.Time `json:"since,omitzero"`
	Until        time.Time `json:"until,omitzero"`
	Filter       string    `json:"filter,omitempty"`
	Now          bool      `json:"now,omitempty"`
	Teams        []string  `json:"-"` // to whose callers it was limited; nil for no limit
	LastSequence int64     `json:"last_sequence"`
	Revision     int64     `json:"revision"`

	Replayed       int64         `json:"replayed"`
	NewlyDenied    int64         `json:"newly_denied"`
	NewlyAllowed   int64         `json:"newly_allowed"`
	ChangedAlready int64         `json:"changed_already"`
	NotReplayable  int64         `json:"not_replayable"`
	Causes         []CauseCount  `json:"causes,omitempty"`
	Groups         []ReplayGroup `json:"groups,omitempty"`
	Ungrouped      int64         `json:"ungrouped,omitempty"`
	Elapsed        time.Duration `json:"elapsed_ns"`
	Author         string        `json:"-"`
	CreateTime     time.Time     `json:"-"`
}

// Name returns the resource name, "replays/{replay}".
func (r *Replay) Name() string { return "replays/" + r.UID.String() }

// CauseCount is how many decisions could not be made again for one cause.
type CauseCount struct {
	Cause string `json:"cause"`
	Count int64  `json:"count"`
}

// ReplayGroup is decisions of one kind that would come out otherwise.
type ReplayGroup struct {
	Change   policy.Change `json:"change"`
	Caller   string        `json:"caller"`
	Resource string        `json:"resource"`
	Action   string        `json:"action"`
	Count    int64         `json:"count"`
	// Already counts those that come out the same without the draft.
	Already  int64       `json:"already,omitempty"`
	First    time.Time   `json:"first"`
	Last     time.Time   `json:"last"`
	Events   []uuid.UUID `json:"events"`
	Filter   string      `json:"filter"`
	Deciding []string    `json:"deciding,omitempty"`
}

// groupKey tells kinds of changes apart.
type groupKey struct {
	change                   policy.Change
	caller, resource, action string
}

// report collects what changed.
type report struct {
	replayed  int64
	causes    map[string]int64
	counts    [3]int64 // by change
	already   int64
	groups    map[groupKey]*ReplayGroup
	filters   map[groupKey]string
	ungrouped int64
}

func newReport() report {
	return report{causes: map[string]int64{}, groups: map[groupKey]*ReplayGroup{}, filters: map[groupKey]string{}}
}

// add counts a decision that would come out otherwise.
func (r *report) add(d *Recorded, q policy.Query, change policy.Change, answer policy.Answer, already bool) {
	r.counts[change]++
	if already {
		r.already++
	}
	caller := policy.FormatUID(q.Principal)
	if d.Team != "" {
		caller = policy.FormatUID(policy.TeamUID(d.Team))
	}
	key := groupKey{change: change, caller: caller, resource: policy.FormatUID(q.Resource), action: string(q.Action)}
	g := r.groups[key]
	if g == nil {
		if len(r.groups) == maxGroups {
			r.ungrouped++
			return
		}
		g = &ReplayGroup{
			Change: change, Caller: key.caller, Resource: key.resource, Action: key.action, First: d.Time,
			Deciding: answer.Deciding[:min(len(answer.Deciding), maxGroupDeciding)],
		}
		r.groups[key], r.filters[key] = g, filterOf(d, q)
	}
	g.Count++
	if already {
		g.Already++
	}
	// The order is that of the record, in which times may go back a little.
	if d.Time.Before(g.First) {
		g.First = d.Time
	}
	if d.Time.After(g.Last) {
		g.Last = d.Time
	}
	if len(g.Events) < maxGroupEvents {
		g.Events = append(g.Events, d.Invocation)
	}
}

// filterOf finds events of the kind that a decision is of, but for their times.
func filterOf(d *Recorded, q policy.Query) string {
	var all []string
	is := func(field, value string) { all = append(all, field+" = "+strconv.Quote(value)) }
	switch {
	case d.Team != "":
		is(audit.FieldTeam, "teams/"+d.Team)
	case d.Caller != "":
		is(audit.FieldCaller, d.Caller)
	}
	switch {
	case d.Plane == audit.PlaneManagement:
		is(audit.FieldPlane, string(audit.PlaneManagement))
	case q.Resource.Type == policy.TypeAgent:
		is(audit.FieldAgent, "agents/"+string(q.Resource.ID))
	}
	return strings.Join(all, " AND ")
}

// finish puts what was collected into a replay, in an order that does not depend on
// chance.
func (r *report) finish(out *Replay) {
	out.Replayed, out.Ungrouped, out.ChangedAlready = r.replayed, r.ungrouped, r.already
	out.NewlyDenied, out.NewlyAllowed = r.counts[policy.ChangeNewlyDenied], r.counts[policy.ChangeNewlyAllowed]
	for _, why := range slices.Sorted(maps.Keys(r.causes)) {
		out.Causes = append(out.Causes, CauseCount{Cause: why, Count: r.causes[why]})
		out.NotReplayable += r.causes[why]
	}
	for key, g := range r.groups {
		times := `time >= "` + g.First.UTC().Format(time.RFC3339Nano) + `" AND time <= "` + g.Last.UTC().Format(time.RFC3339Nano) + `"`
		if g.Filter = times; r.filters[key] != "" {
			g.Filter = r.filters[key] + " AND " + times
		}
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b ReplayGroup) int {
		return cmp.Or(cmp.Compare(a.Change, b.Change), cmp.Compare(b.Count, a.Count), strings.Compare(a.Caller, b.Caller),
			strings.Compare(a.Resource, b.Resource), strings.Compare(a.Action, b.Action))
	})
}

// DraftHash returns the hash of the draft as it is shown; empty without a draft.
func (r *Replay) DraftHash() string {
	if r.DraftSHA256 == sha256.Sum256(nil) {
		return ""
	}
	return hex.EncodeToString(r.DraftSHA256[:])
}
