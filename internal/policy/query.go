package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"github.com/cedar-policy/cedar-go/types"
)

// ErrBadName is a name of an entity that cannot be read.
var ErrBadName = errors.New("not a name of an entity")

// Query is one question with everything that its answer rests on beside the policies
// and the entities. It is recorded as JSON and answered again from there.
type Query struct {
	Principal UID
	Action    Action
	Resource  UID
	Context   Context
	// Claims are what the token of a principal that is a user says of it.
	Claims Claims
	// Extra are entities that no catalogue holds, such as an event or a row that was
	// read from the database. They go before those of the catalogue, and answers
	// that rest on them are not cached.
	Extra []Entity
}

// Context is what a question knows beside the entities.
type Context struct {
	// Time is required.
	Time    time.Time
	Method  string
	Dialect string
	// SourceAddress is the caller's address; its zero value means unknown.
	SourceAddress netip.Addr
	// Delegation is nil when the caller is the root.
	Delegation *Delegation
	// Session is nil outside of sessions.
	Session *Session
}

// Delegation is the chain that a call stands in.
type Delegation struct {
	// Root is the user, key or agent at its start.
	Root  UID
	Depth int64
	// Path are the agents between root and call, the first one first.
	Path     []UID
	Verified bool
}

// Session counts what happened under one root.
type Session struct {
	Calls      int64 `json:"calls"`
	Steps      int64 `json:"steps"`
	CostMicros int64 `json:"costMicros"`
}

// Names of the context's attributes.
const (
	attrTime       types.String = "time"
	attrHour       types.String = "hour"
	attrWeekday    types.String = "weekday"
	attrMethod     types.String = "method"
	attrDialect    types.String = "dialect"
	attrSource     types.String = "sourceAddress"
	attrDelegation types.String = "delegation"
	attrSession    types.String = "session"
)

// attrSet is a set of the context's attributes.
type attrSet uint16

// The members of an attrSet.
const (
	hasTime attrSet = 1 << iota
	hasHour
	hasWeekday
	hasMethod
	hasDialect
	hasSource
	hasDelegation
	hasSession

	hasAll attrSet = 1<<iota - 1
	// hasClock are the attributes that follow from the time alone.
	hasClock = hasTime | hasHour | hasWeekday
)

func attrByName(name types.String) attrSet {
	switch name {
	case attrTime:
		return hasTime
	case attrHour:
		return hasHour
	case attrWeekday:
		return hasWeekday
	case attrMethod:
		return hasMethod
	case attrDialect:
		return hasDialect
	case attrSource:
		return hasSource
	case attrDelegation:
		return hasDelegation
	case attrSession:
		return hasSession
	default:
		return 0
	}
}

// record makes the Cedar context of the wanted attributes. A policy that does not
// look at an attribute cannot tell that it is missing.
func (c *Context) record(want attrSet) types.Record {
	if want == 0 {
		return types.Record{}
	}
	m := make(types.RecordMap, bits.OnesCount16(uint16(want)))
	utc := c.Time.UTC()
	if want&hasTime != 0 {
		m[attrTime] = types.NewDatetime(utc)
	}
	if want&hasHour != 0 {
		m[attrHour] = types.Long(utc.Hour())
	}
	if want&hasWeekday != 0 {
		m[attrWeekday] = types.Long((int(utc.Weekday())+6)%7 + 1)
	}
	if want&hasMethod != 0 && c.Method != "" {
		m[attrMethod] = types.String(c.Method)
	}
	if want&hasDialect != 0 && c.Dialect != "" {
		m[attrDialect] = types.String(c.Dialect)
	}
	if want&hasSource != 0 && c.SourceAddress.IsValid() {
		// Addresses of IPv4 inside IPv6 are those of IPv4, else ranges would miss them.
		addr := c.SourceAddress.Unmap().WithZone("")
		m[attrSource] = types.IPAddr(netip.PrefixFrom(addr, addr.BitLen()))
	}
	if want&hasDelegation != 0 && c.Delegation != nil {
		m[attrDelegation] = c.Delegation.record()
	}
	if want&hasSession != 0 && c.Session != nil {
		m[attrSession] = types.NewRecord(types.RecordMap{
			"calls": types.Long(c.Session.Calls), "steps": types.Long(c.Session.Steps),
			"costMicros": types.Long(c.Session.CostMicros),
		})
	}
	return types.NewRecord(m)
}

func (d *Delegation) record() types.Record {
	root := types.RecordMap{}
	switch d.Root.Type {
	case TypeUser:
		root["user"] = d.Root
	case TypeKey:
		root["key"] = d.Root
	case TypeAgent:
		root["agent"] = d.Root
	}
	path := make([]types.Value, len(d.Path))
	for i, a := range d.Path {
		path[i] = a
	}
	return types.NewRecord(types.RecordMap{
		"root": types.NewRecord(root), "depth": types.Long(d.Depth),
		"path": types.NewSet(path...), "verified": types.Boolean(d.Verified),
	})
}

// Invalid says what is wrong with a question, nil when the schema has it: an unknown
// action, a principal or resource of a type that the action is not about, or a
// missing time. Whether principal and resource exist is the asker's to know.
func (q Query) Invalid() error {
	a, ok := loadModel().actions[q.Action]
	switch {
	case !ok:
		return fmt.Errorf("there is no action %q", q.Action)
	case !a.asks(q.Principal.Type, q.Resource.Type):
		return fmt.Errorf("the action %q is not about principals of type %q and resources of type %q",
			q.Action, q.Principal.Type, q.Resource.Type)
	case q.Context.Time.IsZero():
		return errors.New("the question has no time")
	}
	return nil
}

// queryJSON is the recorded form.
type queryJSON struct {
	Principal string      `json:"principal"`
	Action    Action      `json:"action"`
	Resource  string      `json:"resource"`
	Context   contextJSON `json:"context"`
	Claims    *Claims     `json:"claims,omitempty"`
	Extra     []Entity    `json:"entities,omitempty"`
}

type contextJSON struct {
	Time          time.Time       `json:"time"`
	Method        string          `json:"method,omitempty"`
	Dialect       string          `json:"dialect,omitempty"`
	SourceAddress string          `json:"sourceAddress,omitempty"`
	Delegation    *delegationJSON `json:"delegation,omitempty"`
	Session       *Session        `json:"session,omitempty"`
}

type delegationJSON struct {
	Root     string   `json:"root"`
	Depth    int64    `json:"depth"`
	Path     []string `json:"path,omitempty"`
	Verified bool     `json:"verified"`
}

// MarshalJSON writes the question as names and values.
func (q Query) MarshalJSON() ([]byte, error) {
	c := contextJSON{
		Time: q.Context.Time.UTC(), Method: q.Context.Method, Dialect: q.Context.Dialect, Session: q.Context.Session,
	}
	if q.Context.SourceAddress.IsValid() {
		c.SourceAddress = q.Context.SourceAddress.String()
	}
	if d := q.Context.Delegation; d != nil {
		c.Delegation = &delegationJSON{Root: FormatUID(d.Root), Depth: d.Depth, Verified: d.Verified}
		for _, a := range d.Path {
			c.Delegation.Path = append(c.Delegation.Path, FormatUID(a))
		}
	}
	out := queryJSON{
		Principal: FormatUID(q.Principal), Action: q.Action, Resource: FormatUID(q.Resource), Context: c, Extra: q.Extra,
	}
	if !q.Claims.Empty() {
		out.Claims = &q.Claims
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (q *Query) UnmarshalJSON(b []byte) error {
	var in queryJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	out := Query{Action: in.Action, Extra: in.Extra, Context: Context{
		Time: in.Context.Time, Method: in.Context.Method, Dialect: in.Context.Dialect, Session: in.Context.Session,
	}}
	if in.Claims != nil {
		out.Claims = *in.Claims
	}
	var err error
	if out.Principal, err = ParseUID(in.Principal); err != nil {
		return fmt.Errorf("principal: %w", err)
	}
	if out.Resource, err = ParseUID(in.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	if s := in.Context.SourceAddress; s != "" {
		if out.Context.SourceAddress, err = netip.ParseAddr(s); err != nil {
			return fmt.Errorf("sourceAddress: %w", err)
		}
	}
	if d := in.Context.Delegation; d != nil {
		out.Context.Delegation = &Delegation{Depth: d.Depth, Verified: d.Verified}
		if out.Context.Delegation.Root, err = ParseUID(d.Root); err != nil {
			return fmt.Errorf("delegation.root: %w", err)
		}
		for _, name := range d.Path {
			a, err := ParseUID(name)
			if err != nil {
				return fmt.Errorf("delegation.path: %w", err)
			}
			out.Context.Delegation.Path = append(out.Context.Delegation.Path, a)
		}
	}
	*q = out
	return nil
}
