package dataplane

import "testing"

func TestReadPath_TakesEveryPathOneWay(t *testing.T) {
	for path, want := range map[string]struct {
		agent  string
		target target
	}{
		"/a2a":                   {"", targetList},
		"/a2a/":                  {"", targetList},
		"/a2a/echo":              {"echo", targetCall},
		"/a2a/echo/":             {"echo", targetCall},
		"/a2a/echo/message/send": {"echo", targetSend}, "/a2a/echo/message/send/": {"echo", targetSend},
		"/a2a/echo/message/stream": {"echo", targetStream}, "/a2a/echo/message/stream/": {"echo", targetStream},
		"/a2a/echo/.well-known/agent-card.json": {"echo", targetCard}, "/a2a/echo/.well-known/agent-card.json/": {"echo", targetCard},
		"/a2a/echo/.well-known/agent.json": {"echo", targetCard},
		"/a2a/Echo.v2_x-1":                 {"Echo.v2_x-1", targetCall},

		// What is not tidy is no other way to the same place. What is no path of JSON-RPC is
		// left to the reader of HTTP+JSON.
		"/a2a//":                           {"", targetCall}, // no agent has the empty name
		"/a2a//echo":                       {"", targetREST},
		"/a2a//message/send":               {"", targetSend},
		"/a2a/echo//":                      {"echo", targetREST},
		"/a2a/echo//message/send":          {"echo", targetREST},
		"/a2a/echo/message//send":          {"echo", targetREST},
		"/a2a/echo/message/send//":         {"echo", targetREST},
		"/a2a/echo/./message/send":         {"echo", targetREST},
		"/a2a/echo/../other":               {"echo", targetREST},
		"/a2a/../a2a/echo":                 {"..", targetREST},
		"/a2a/./echo":                      {".", targetREST},
		"/a2a/..":                          {"..", targetCall},
		"/a2a/echo/message":                {"echo", targetREST},
		"/a2a/echo/message/":               {"echo", targetREST},
		"/a2a/echo/message/Send":           {"echo", targetREST},
		"/a2a/echo/message/send/x":         {"echo", targetREST},
		"/a2a/echo/v1/message:send":        {"echo", targetREST},
		"/a2a/echo/.well-known":            {"echo", targetREST},
		"/a2a/echo/.well-known/agent":      {"echo", targetREST},
		"/a2a/.well-known/agent-card.json": {".well-known", targetREST},

		// Escapes stay: no name has any, so nothing that is escaped is found.
		"/a2a/ec%68o":                        {"ec%68o", targetCall},
		"/a2a/echo%2F":                       {"echo%2F", targetCall},
		"/a2a/echo%2Fmessage%2Fsend":         {"echo%2Fmessage%2Fsend", targetCall},
		"/a2a/echo/message%2Fsend":           {"echo", targetREST},
		"/a2a/echo/mess%61ge/send":           {"echo", targetREST},
		"/a2a/%2e%2e/echo":                   {"%2e%2e", targetREST},
		"/a2a/echo/%2ewell-known/agent.json": {"echo", targetREST},
		"/a2a/echo%00":                       {"echo%00", targetCall},
		"/a2a%2Fecho":                        {"", targetUnknown},
		"/%612a/echo":                        {"", targetUnknown},

		// gRPC's paths name no agent.
		"/lf.a2a.v1.A2AService/SendMessage": {"", targetGRPC},
		"/a2a.v1.A2AService/SendMessage":    {"", targetGRPC},
		"/a2a.v1.A2AService/Nothing":        {"", targetGRPC},
		"/a2a.v1.A2AService":                {"", targetUnknown},

		"":              {"", targetUnknown},
		"/":             {"", targetUnknown},
		"a2a/echo":      {"", targetUnknown},
		"/a2abc":        {"", targetUnknown},
		"/a2a2/echo":    {"", targetUnknown},
		"/A2A/echo":     {"", targetUnknown},
		"//a2a/echo":    {"", targetUnknown},
		"/x/a2a/echo":   {"", targetUnknown},
		"*":             {"", targetUnknown},
		"/a2a?x=/echo":  {"", targetUnknown},
		"/a2a;x/echo":   {"", targetUnknown},
		"/a2a/echo;x=1": {"echo;x=1", targetCall},
	} {
		got := readPath(path)
		if got.agent != want.agent || got.target != want.target {
			t.Errorf("%q is agent %q, target %d; want %q, %d", path, got.agent, got.target, want.agent, want.target)
		}
	}
}
