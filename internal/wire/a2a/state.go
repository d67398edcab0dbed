package a2a

import "strconv"

// State is the state of a task. Its values are the numbers that ProtoJSON may write instead of names.
type State uint8

// The states of a task.
const (
	StateUnspecified State = iota
	StateSubmitted
	StateWorking
	StateCompleted
	StateFailed
	StateCanceled
	StateInputRequired
	StateRejected
	StateAuthRequired
)

// Terminal reports whether a task in this state will not change any more.
func (s State) Terminal() bool {
	switch s {
	case StateCompleted, StateFailed, StateCanceled, StateRejected:
		return true
	default:
		return false
	}
}

// Interrupted reports whether a task in this state waits for its caller.
func (s State) Interrupted() bool { return s == StateInputRequired || s == StateAuthRequired }

// String returns the name that version 1.0 gives the state.
func (s State) String() string {
	switch s {
	case StateSubmitted:
		return "TASK_STATE_SUBMITTED"
	case StateWorking:
		return "TASK_STATE_WORKING"
	case StateCompleted:
		return "TASK_STATE_COMPLETED"
	case StateFailed:
		return "TASK_STATE_FAILED"
	case StateCanceled:
		return "TASK_STATE_CANCELED"
	case StateInputRequired:
		return "TASK_STATE_INPUT_REQUIRED"
	case StateRejected:
		return "TASK_STATE_REJECTED"
	case StateAuthRequired:
		return "TASK_STATE_AUTH_REQUIRED"
	default:
		return "TASK_STATE_UNSPECIFIED"
	}
}

// ParseState reads a state in any spelling of any version: "input-required", "TASK_STATE_INPUT_REQUIRED",
// with one L or two in canceled. A state that it does not know is [StateUnspecified].
func ParseState(text string) State {
	switch text {
	case "submitted", "TASK_STATE_SUBMITTED":
		return StateSubmitted
	case "working", "TASK_STATE_WORKING":
		return StateWorking
	case "completed", "TASK_STATE_COMPLETED":
		return StateCompleted
	case "failed", "TASK_STATE_FAILED":
		return StateFailed
	case "canceled", "cancelled", "TASK_STATE_CANCELED", "TASK_STATE_CANCELLED":
		return StateCanceled
	case "input-required", "TASK_STATE_INPUT_REQUIRED":
		return StateInputRequired
	case "rejected", "TASK_STATE_REJECTED":
		return StateRejected
	case "auth-required", "TASK_STATE_AUTH_REQUIRED":
		return StateAuthRequired
	}
	return StateUnspecified
}

// parseStateNumber reads the integer form of a state.
func parseStateNumber(raw []byte) State {
	n, err := strconv.ParseUint(string(raw), 10, 8)
	if err != nil || n > uint64(StateAuthRequired) {
		return StateUnspecified
	}
	return State(n)
}
