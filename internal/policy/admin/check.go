package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// Question asks whether somebody may do something.
type Question struct {
	// Principal and Resource are names, short ("agent:planner") or of resources
	// ("agents/planner").
	Principal, Resource string
	Action              policy.Action
	Context             policy.Context // without a time it is now
	Claims              policy.Claims
	// Draft is tried besides the policies that there are; nil for none.
	Draft *Trial
}

// Trial is a policy that is tried out.
type Trial struct {
	// ID is the policy that it takes the place of; empty or unknown means none.
	ID   string
	Text string
	// Mode is what it does; empty means ENFORCE. DISABLED asks what would be without the
	// policy.
	Mode policy.Mode
}

// draftID is the id of a draft that has none.
const draftID = "draft"

// Asked is a question whose names are those of things that there are.
type Asked struct {
	Query policy.Query
	// Team is the id of the team of the principal; empty when it is of none or of several.
	Team  string
	draft *Trial
	snap  *snapshot.Snapshot
}

// Explanation is an answer with how it came about.
type Explanation struct {
	policy.Explanation
	// Query is the question that settled it.
	Query    policy.Query
	Revision int64
	// Sentences are the grants among the statements in words, by their ids.
	Sentences map[string]string
}

// Ask looks up what a question is about. With an error it returns what it found before.
func (s *Service) Ask(ctx context.Context, q Question) (Asked, error) {
	a := Asked{draft: q.Draft, snap: s.snapshot()}
	a.Query = policy.Query{Action: q.Action, Context: q.Context}
	if a.Query.Context.Time.IsZero() {
		a.Query.Context.Time = s.clock.Now()
	}
	var err error
	if a.Query.Principal, err = a.principal(q.Principal); err != nil {
		return a, err
	}
	if a.Query.Resource, err = named(q.Resource); err != nil {
		return a, &InvalidError{Field: "resource", Problem: `it is of the form "agent:planner", "team:research", "policy:office" or "installation"`}
	}
	if !slices.Contains(policy.Actions(), q.Action) {
		return a, &InvalidError{Field: "action", Problem: fmt.Sprintf("there is no action %q; the schema lists them", q.Action)}
	}
	if !q.Claims.Empty() && a.Query.Principal.Type != policy.TypeUser {
		return a, &InvalidError{Field: "claims", Problem: "only users have tokens that claim something"}
	}
	// Teams that are disabled or not there are left out, as of calls.
	a.Query.Claims = a.snap.Claims(&identity.Principal{Claims: &identity.Claims{Teams: q.Claims.Teams, Roles: q.Claims.Roles}})
	if err := s.resource(ctx, &a); err != nil {
		return a, err
	}
	if err := a.Query.Invalid(); err != nil {
		return a, &InvalidError{Field: "action", Problem: err.Error()}
	}
	return a, nil
}

// named reads a name in one of its two forms.
func named(text string) (policy.UID, error) {
	if hasControl(text) {
		return policy.UID{}, fmt.Errorf("%w: it has a control character", policy.ErrBadName)
	}
	if uid, err := policy.ParseUID(text); err == nil {
		return uid, nil
	}
	switch collection, rest, _ := strings.Cut(text, "/"); {
	case rest == "":
	case collection == "agents":
		return policy.AgentUID(rest), nil
	case collection == "teams" && !strings.Contains(rest, "/"):
		return policy.TeamUID(rest), nil
	case collection == "teams":
		return policy.KeyUID(text), nil
	case collection == "users":
		return policy.UserUID(text), nil
	case collection == "policies":
		return policy.EntityOfPolicy(rest, policy.ModeEnforce).UID, nil
	case collection == "grants":
		return policy.GrantEntity(rest, "").UID, nil
	case collection == "issuers":
		return policy.IssuerEntity(rest).UID, nil
	}
	return policy.UID{}, fmt.Errorf("%w: %q", policy.ErrBadName, text)
}

func (a *Asked) principal(text string) (policy.UID, error) {
	uid, err := named(text)
	if err != nil {
		return policy.UID{}, &InvalidError{
			Field: "principal", Problem: `it is of the form "key:teams/research/keys/ci", "user:users/okta~ada", "agent:planner", "key:admin" or "anonymous"`,
		}
	}
	entities := a.snap.Entities()
	switch uid.Type {
	case policy.TypeAnonymous:
		return uid, nil
	case policy.TypeUser:
		// Users come with their first token, so that any of a known issuer may ask.
		issuer, _, ok := strings.Cut(strings.TrimPrefix(string(uid.ID), "users/"), "~")
		if !ok || !slices.ContainsFunc(a.snap.Issuers(), func(i *identity.Issuer) bool { return i.ID == issuer }) {
			return policy.UID{}, unknownPrincipal(uid)
		}
		return uid, nil
	case policy.TypeAgent:
		agent, ok := a.snap.Agent(string(uid.ID))
		if !ok {
			return policy.UID{}, unknownPrincipal(uid)
		}
		a.Team = agent.Team
		return policy.AgentUID(agent.ID), nil
	case policy.TypeKey:
		if _, ok := entities.Entity(uid); !ok {
			return policy.UID{}, unknownPrincipal(uid)
		}
		if parts := strings.Split(string(uid.ID), "/"); len(parts) == 4 {
			a.Team = parts[1]
		}
		return uid, nil
	}
	return policy.UID{}, &InvalidError{Field: "principal", Problem: "whoever calls is a key, a user or an agent; " + text + " is a group of them"}
}

// resource looks up what a question is about, and brings what the snapshot does not have.
func (s *Service) resource(ctx context.Context, a *Asked) error {
	id := string(a.Query.Resource.ID)
	extra := func(e policy.Entity) { a.Query.Extra = append(a.Query.Extra, e) }
	switch a.Query.Resource.Type {
	case policy.TypeInstallation, policy.TypeRole:
		return nil
	case policy.TypeAgent:
		agent, ok := a.snap.Agent(id)
		if !ok {
			return registry.ErrAgentNotFound
		}
		a.Query.Resource = policy.AgentUID(agent.ID)
		return nil
	case policy.TypeTeam:
		if _, ok := a.snap.Team(id); !ok {
			return identity.ErrTeamNotFound
		}
		return nil
	case policy.TypePolicy:
		p, err := s.Policy(ctx, id)
		if err == nil {
			extra(policy.EntityOfPolicy(p.ID, p.Shown()))
		}
		return err
	case policy.TypeGrant:
		g, err := s.Grant(ctx, id)
		if err == nil {
			extra(policy.GrantEntity(g.ID, g.Team))
		}
		return err
	case policy.TypeIssuer:
		if !slices.ContainsFunc(a.snap.Issuers(), func(i *identity.Issuer) bool { return i.ID == id }) {
			return identity.ErrIssuerNotFound
		}
		extra(policy.IssuerEntity(id))
		return nil
	}
	if _, ok := a.snap.Entities().Entity(a.Query.Resource); !ok {
		return &InvalidError{Field: "resource", Problem: "there is no " + policy.FormatUID(a.Query.Resource)}
	}
	return nil
}

// Explain answers a question.
func (s *Service) Explain(ctx context.Context, a Asked) (Explanation, error) {
	set := a.snap.Policies()
	if a.draft != nil {
		var err error
		if set, err = tried(set, *a.draft); err != nil {
			return Explanation{}, err
		}
	}
	entities := a.snap.Entities()
	q := a.Query
	if q.Resource.Type == policy.TypeAgent {
		// As calls are decided: what may not be seen may not be called.
		decide := func(q policy.Query) policy.Answer { return set.Decide(entities, q) }
		switch {
		case q.Action == policy.Discover:
			if answer, visible := policy.Visible(decide, q); !visible && decide(q).Permit && !answer.Permit {
				q.Action = policy.Invoke
			}
		case policy.Invoke.Includes(q.Action) && q.Principal.Type != policy.TypeAnonymous:
			q.Action, _, _ = policy.Call(decide, q)
		}
	}
	x := Explanation{Explanation: set.Explain(entities, q), Query: q, Revision: a.snap.Revision()}
	err := s.addSentences(&x, func(id string) (Grant, error) { return s.store.Grant(ctx, id) })
	return x, err
}

// tried is a set with a trial in it, in the mode that the trial says.
func tried(set *policy.Set, t Trial) (*policy.Set, error) {
	id := t.ID
	if id == "" {
		id = draftID
	}
	if IsGrant(id) {
		return nil, &InvalidError{Field: "draft.policy_id", Problem: "it is that of a grant"}
	}
	mode := t.Mode
	if mode == "" {
		mode = policy.ModeEnforce
	}
	_, enforced := set.Policy(id, false)
	_, shadow := set.Policy(id, true)
	if mode == policy.ModeDisabled {
		switch {
		case t.Text != "":
			return nil, &InvalidError{Field: "draft.text", Problem: "a policy that is tried without needs no text"}
		case !enforced && !shadow:
			return nil, ErrPolicyNotFound
		}
		return set.With(nil, removals(id))
	}
	if strings.TrimSpace(t.Text) == "" {
		return nil, &InvalidError{Field: "draft.text", Problem: "there is no text to try"}
	}
	removed := removals(id)
	if mode == policy.ModeShadow {
		removed = removed[1:]
	}
	return set.With([]policy.Policy{{ID: id, Mode: mode, Text: t.Text}}, removed)
}

// addSentences puts the grants among the statements into words.
func (s *Service) addSentences(x *Explanation, grant func(id string) (Grant, error)) error {
	x.Sentences = map[string]string{}
	for _, t := range x.Statements {
		if !IsGrant(t.Policy) || x.Sentences[t.Policy] != "" {
			continue
		}
		g, err := grant(t.Policy)
		if errors.Is(err, ErrGrantNotFound) {
			continue // it was deleted this moment
		}
		if err != nil {
			return fmt.Errorf("get grant %s: %w", t.Policy, err)
		}
		x.Sentences[t.Policy] = Sentence(g.Grant, g.Disabled)
	}
	return nil
}

// Decision is a recorded decision.
type Decision struct {
	Event    *audit.Event
	Recorded *audit.Decision
	// Explanation is nil when the question cannot be asked again; NotReplayable says why.
	Explanation   *Explanation
	NotReplayable string
}

// ErrNoDecision is an event of a call about which nothing was decided.
var ErrNoDecision = errors.New("nothing was decided about this call: it ended before, or the event stands for several calls")

// Decision explains the decision of an event with the policies and entities of the
// revision that it was made with.
func (s *Service) Decision(ctx context.Context, e *audit.Event) (Decision, error) {
	if e.Decision == nil {
		return Decision{}, ErrNoDecision
	}
	d := Decision{Event: e, Recorded: e.Decision}
	q, err := recorded.Query(e.Decision, e.Time)
	if err != nil {
		d.NotReplayable = cause(e.Decision)
		return d, nil // that is the answer
	}
	if err := s.explained.Acquire(ctx, 1); err != nil {
		return Decision{}, fmt.Errorf("wait for other explanations: %w", err)
	}
	defer s.explained.Release(1)
	revision := e.Decision.Revision
	timeline, err := s.store.Timeline(ctx, revision, revision)
	if err != nil {
		return Decision{}, fmt.Errorf("read the configuration of revision %d: %w", revision, err)
	}
	entities, known := timeline.At(uint64(revision))
	if !known {
		d.NotReplayable = causeRevision
		return d, nil
	}
	set, err := timeline.Set(uint64(revision))
	if err != nil {
		d.NotReplayable = causePolicies
		return d, nil // that is the answer
	}
	x := Explanation{Explanation: set.Explain(entities, q), Query: q, Revision: revision}
	if x.Answer.Permit != e.Decision.Permitted {
		d.NotReplayable = causeOther
		return d, nil
	}
	if err := s.addSentences(&x, func(id string) (Grant, error) { return s.store.GrantAt(ctx, id, revision) }); err != nil {
		return Decision{}, err
	}
	d.Explanation = &x
	return d, nil
}

// Why decisions cannot be made again.
const (
	causeOld      = "it was recorded before decisions were recorded whole"
	causeCut      = "it was too large to be recorded whole"
	causeRevision = "the configuration of its revision is not known any more"
	causePolicies = "a policy of its revision cannot be read by this version of the gateway"
	causeEntry    = "its entry in the record cannot be read by this version of the gateway"
	causeOther    = "made again it comes out otherwise: the policies that come with the gateway have changed since"
)

func cause(d *audit.Decision) string {
	if d.InputCut {
		return causeCut
	}
	return causeOld
}

// Summary returns the answer in words.
func (x *Explanation) Summary() string {
	word, deciding := "deny", x.Answer.Deciding
	if x.Answer.Permit {
		word = "permit"
	}
	if len(deciding) == 0 {
		return word + ", because nothing permits it"
	}
	if !x.Answer.Permit {
		word += ", because of a forbid:"
	} else {
		word += ", because of"
	}
	const named = 5
	for i, statement := range deciding[:min(len(deciding), named)] {
		if i > 0 {
			word += ","
		}
		id, _, _ := strings.Cut(statement, "/")
		if IsGrant(id) {
			word += " grant " + statement
		} else {
			word += " policy " + statement
		}
	}
	if more := len(deciding) - named; more > 0 {
		word += fmt.Sprintf(" and %d more", more)
	}
	return word
}
