// Package rest reads and writes the HTTP+JSON binding of A2A, in versions 0.3 and 1.0: which operation a
// method and a path stand for, the payload that path, query and body make together, and the way back for
// calls that go to an agent.
//
// The payload of a call is the whole request message as JSON, whatever came in the path: of version 1.0
// {"id":"t","historyLength":3}, of 0.3 {"name":"tasks/t","historyLength":3}. What stands in the path, in
// the query and in the body must not contradict each other; ids are decoded once here and encoded anew when
// a call is sent on, so that nobody downstream reads another path than the one that was decided on.
//
// Ids that are empty, "." or "..", or that contain a slash, a backslash or a control character are refused
// in both directions: there are servers and proxies that take them for more than one segment even when they
// are encoded, and so read another path.
package rest

import (
	"errors"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// ErrID is what the errors about ids wrap that a path cannot carry.
var ErrID = errors.New("an id that no path can carry")

// ErrPayload is what the errors of [Build] about malformed payloads wrap.
var ErrPayload = errors.New("not the payload of a call")

// ErrReply is what the errors about malformed replies wrap.
var ErrReply = errors.New("not a reply of A2A")

// Request is a call as its method, path and query tell it.
type Request struct {
	// Op is what is asked for. ListTasks with version 0.3 is a path that the version names and nobody serves.
	Op a2a.Operation
	// Version is the version whose path it is.
	Version a2a.Version
	// Tenant is the tenant in the path, "" for none.
	Tenant string
	// TaskID and PushConfigID are the ids in the path, decoded.
	TaskID, PushConfigID string
	// Allow lists the HTTP methods that the path has. It is set when the method is none of them.
	Allow string

	query []parameter // in the order of the query
}

// parameter is a member of the payload that came in the query, its value being JSON.
type parameter struct {
	name  string
	value []byte
}

// Target is a call to an agent.
type Target struct {
	// Method is the HTTP method.
	Method string
	// Path is to be joined to the path of the interface's URL. It is escaped and begins with a slash.
	Path string
	// Query is the raw query, without its question mark.
	Query string
	// Body is the body, nil for none.
	Body []byte
}
