// Package policy is the one place that decides who may do what. Both planes ask it
// for calls, cards, lists and administration alike; it reads no database and knows
// no protocol.
package policy

// Action is what a principal wants to do.
type Action string

// The actions of the data plane, then those of the management plane.
const (
	// Discover is to see an agent in lists and read its card.
	Discover Action = "discover"
	// Invoke is to call any method of an agent.
	Invoke Action = "invoke"
	// Read is to read a resource through the management plane.
	Read Action = "read"
	// Write is to create, change or delete a resource through the management plane.
	Write Action = "write"
)
