// Package recorded turns questions to the policies into what is recorded of them, and
// back. Between package policy, which decides, and package audit, which records,
// neither knows the other.
package recorded

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// ErrNotReplayable is a decision whose question cannot be asked again: it is of before
// there were policies, or too large to have been recorded whole.
var ErrNotReplayable = errors.New("the decision cannot be replayed")

// FromQuery sets d to what is recorded of a question and its answer at a revision of the
// configuration. It keeps slices of both.
func FromQuery(d *audit.Decision, q policy.Query, a policy.Answer, revision int64) {
	c := &q.Context
	*d = audit.Decision{
		Permitted: a.Permit, Rules: a.Deciding, Failing: failures(a.Failing), Revision: revision,
		Principal: policy.FormatUID(q.Principal), Action: string(q.Action), Resource: policy.FormatUID(q.Resource),
		Time: c.Time, Method: c.Method, Dialect: c.Dialect,
		ClaimedTeams: q.Claims.Teams, ClaimedRoles: q.Claims.Roles,
	}
	if c.SourceAddress.IsValid() {
		d.SourceAddress = c.SourceAddress.String()
	}
	if s := a.Shadow; s != nil {
		d.Shadow = &audit.Shadow{Permitted: s.Permit, Rules: s.Deciding, Failing: failures(s.Failing)}
	}
	if g := c.Delegation; g != nil {
		d.Delegation = &audit.Delegation{Root: policy.FormatUID(g.Root), Depth: g.Depth, Verified: g.Verified}
		for _, agent := range g.Path {
			d.Delegation.Path = append(d.Delegation.Path, policy.FormatUID(agent))
		}
	}
	if s := c.Session; s != nil {
		d.Session = &audit.Session{Calls: s.Calls, Steps: s.Steps, CostMicros: s.CostMicros}
	}
	if len(q.Extra) > 0 {
		var err error
		if d.Entities, err = json.Marshal(q.Extra); err != nil {
			d.InputCut = true
		}
	}
}

func failures(all []policy.Failure) []audit.Failure {
	if len(all) == 0 {
		return nil
	}
	out := make([]audit.Failure, len(all))
	for i, f := range all {
		out[i] = audit.Failure{Statement: f.Statement, Effect: f.Effect, Text: f.Text}
	}
	return out
}

// Query returns the question of a recorded decision, to be asked again; at is the time of
// its event. It fails with [ErrNotReplayable].
func Query(d *audit.Decision, at time.Time) (policy.Query, error) {
	bad := func(what string, err error) (policy.Query, error) {
		return policy.Query{}, fmt.Errorf("%w: %s: %w", ErrNotReplayable, what, err)
	}
	if d == nil {
		return policy.Query{}, fmt.Errorf("%w: there was none", ErrNotReplayable)
	}
	if d.InputCut {
		return policy.Query{}, fmt.Errorf("%w: it was too large to be recorded whole", ErrNotReplayable)
	}
	q := policy.Query{
		Action:  policy.Action(d.Action),
		Context: policy.Context{Time: at, Method: d.Method, Dialect: d.Dialect},
		Claims:  policy.Claims{Teams: d.ClaimedTeams, Roles: d.ClaimedRoles},
	}
	if !d.Time.IsZero() {
		q.Context.Time = d.Time
	}
	var err error
	if q.Principal, err = policy.ParseUID(d.Principal); err != nil {
		return bad("principal", err)
	}
	if q.Resource, err = policy.ParseUID(d.Resource); err != nil {
		return bad("resource", err)
	}
	if d.SourceAddress != "" {
		if q.Context.SourceAddress, err = netip.ParseAddr(d.SourceAddress); err != nil {
			return bad("source address", err)
		}
	}
	if g := d.Delegation; g != nil {
		q.Context.Delegation = &policy.Delegation{Depth: g.Depth, Verified: g.Verified}
		if q.Context.Delegation.Root, err = policy.ParseUID(g.Root); err != nil {
			return bad("root", err)
		}
		for _, name := range g.Path {
			agent, err := policy.ParseUID(name)
			if err != nil {
				return bad("path", err)
			}
			q.Context.Delegation.Path = append(q.Context.Delegation.Path, agent)
		}
	}
	if s := d.Session; s != nil {
		q.Context.Session = &policy.Session{Calls: s.Calls, Steps: s.Steps, CostMicros: s.CostMicros}
	}
	if len(d.Entities) > 0 {
		if err := json.Unmarshal(d.Entities, &q.Extra); err != nil {
			return bad("entities", err)
		}
	}
	return q, nil
}
