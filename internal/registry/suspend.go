package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Suspension says why and since when an agent is suspended. The zero value is that of an
// agent that is not.
type Suspension struct {
	// From is the state that a resume brings back.
	From State
	// Reason is what whoever suspended the agent said; empty for nothing.
	Reason string
	Time   time.Time
}

// StateError says that an agent's state does not allow what is asked for.
type StateError struct {
	// Agent is the agent's resource name.
	Agent string
	State State
	// Verb is what cannot be done, for example "suspended".
	Verb string
}

// Error names agent and state.
func (e *StateError) Error() string {
	return fmt.Sprintf("%s is %s and cannot be %s: no calls reach an agent in this state", e.Agent, e.State, e.Verb)
}

// suspendable tells whether agents in this state are callable, or may become so: to
// suspend one that waits for its approval keeps the approval from making it callable.
func (s State) suspendable() bool {
	switch s {
	case StateDraft, StatePendingApproval, StateApproved, StateDeprecated:
		return true
	case StateRetired, StateRejected, StateSuspended:
	}
	return false
}

// Suspend stops an agent until it is resumed. One that is suspended stays as it is, its
// reason too. An etag that is not empty must be the stored one.
func (s *Service) Suspend(ctx context.Context, author string, uid uuid.UUID, etag, reason string) (Agent, int64, error) {
	return s.setState(ctx, author, uid, etag, reason, "suspended", func(a *Agent, now time.Time) bool {
		if a.State == StateSuspended {
			return false
		}
		a.Suspension = Suspension{From: a.State, Reason: reason, Time: now}
		a.State = StateSuspended
		return true
	})
}

// Resume gives a suspended agent the state back that it had. One that is not suspended
// stays as it is. An etag that is not empty must be the stored one.
func (s *Service) Resume(ctx context.Context, author string, uid uuid.UUID, etag, reason string) (Agent, int64, error) {
	return s.setState(ctx, author, uid, etag, reason, "resumed", func(a *Agent, _ time.Time) bool {
		if a.State != StateSuspended {
			return false
		}
		a.State, a.Suspension = a.Suspension.From, Suspension{}
		return true
	})
}

// setState changes the state of an agent that set returns true for.
func (s *Service) setState(
	ctx context.Context, author string, uid uuid.UUID, etag, reason, verb string, set func(a *Agent, now time.Time) bool,
) (Agent, int64, error) {
	if err := checkText("reason", reason, true); err != nil {
		return Agent{}, 0, err
	}
	a, revision, err := s.store.SetAgentState(ctx, author, reason, uid, func(a *Agent) (bool, error) {
		if etag != "" && etag != a.Etag {
			return false, ErrEtagMismatch
		}
		if a.State != StateSuspended && !a.State.suspendable() {
			return false, &StateError{Agent: a.Name(), State: a.State, Verb: verb}
		}
		now := s.now()
		if !set(a, now) {
			return false, nil
		}
		a.UpdateTime = now
		return true, nil
	})
	if err != nil {
		return Agent{}, 0, fmt.Errorf("set state of agent: %w", err)
	}
	return a, revision, nil
}
