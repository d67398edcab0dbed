package dataplane

import (
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
)

// Prefix begins the path of every call but those of gRPC.
const Prefix = "/a2a"

// target is what a path asks for.
type target uint8

const (
	targetUnknown target = iota
	targetList           // the agents that the caller may call
	targetCard           // an agent card
	targetCall           // a JSON-RPC call
	targetSend           // a JSON-RPC call that must be a send
	targetStream         // a JSON-RPC call that must be a streaming send
	targetREST           // a call of the HTTP+JSON binding
	targetGRPC           // a call of the gRPC binding
)

// entry is what a path says about a call, before anything else is read.
type entry struct {
	target target
	// agent is the agent's name as it stands, without escapes: no name has any. It is
	// empty for gRPC, whose paths name none.
	agent string
	// dialect is what the caller speaks. A path of JSON-RPC leaves the version open.
	dialect a2a.Dialect
	// below is the path below the agent, for the HTTP+JSON binding.
	below string
	// op is what a path of gRPC asks for; 0 when its service has no such method.
	op a2a.Operation
}

// Serves tells whether a path is one of the data plane's.
func Serves(path string) bool {
	return path == Prefix || strings.HasPrefix(path, Prefix+"/") || isGRPC(path)
}

// readPath takes an escaped path apart.
func readPath(path string) entry {
	if v, ok := grpc.Known(path); ok {
		op, _, _ := grpc.Method(path)
		return entry{target: targetGRPC, dialect: a2a.Dialect{Binding: a2a.GRPC, Version: v}, op: op}
	}
	e := entry{dialect: a2a.Dialect{Binding: a2a.JSONRPC}}
	rest, ok := strings.CutPrefix(path, Prefix)
	if !ok || (rest != "" && rest[0] != '/') {
		return e
	}
	rest = strings.TrimPrefix(rest, "/")
	if rest == "" {
		e.target = targetList
		return e
	}
	var below string
	var more bool
	e.agent, below, more = strings.Cut(rest, "/")
	if below == "" {
		e.target = targetCall
		return e
	}
	switch strings.TrimSuffix(below, "/") {
	case "message/send":
		e.target = targetSend
	case "message/stream":
		e.target = targetStream
	case ".well-known/agent-card.json", ".well-known/agent.json":
		e.target = targetCard
	default:
		e.target, e.dialect = targetREST, a2a.Dialect{Binding: a2a.REST, Version: a2a.V10}
		if more {
			e.below = "/" + below
		}
		if below == "v1" || strings.HasPrefix(below, "v1/") {
			e.dialect.Version = a2a.V03
		}
	}
	return e
}

func isGRPC(path string) bool {
	_, ok := grpc.Known(path)
	return ok
}
