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

		// What is not tidy is no other way to the same place.
		"/a2a//":                           {"", targetCall}, // no agent has the empty name
		"/a2a//echo":                       {"", targetUnknown},
		"/a2a//message/send":               {"", targetSend},
		"/a2a/echo//":                      {"echo", targetUnknown},
		"/a2a/echo//message/send":          {"echo", targetUnknown},
		"/a2a/echo/message//send":          {"echo", targetUnknown},
		"/a2a/echo/message/send//":         {"echo", targetUnknown},
		"/a2a/echo/./message/send":         {"echo", targetUnknown},
		"/a2a/echo/../other":               {"echo", targetUnknown},
		"/a2a/../a2a/echo":                 {"..", targetUnknown},
		"/a2a/./echo":                      {".", targetUnknown},
		"/a2a/..":                          {"..", targetCall},
		"/a2a/echo/message":                {"echo", targetUnknown},
		"/a2a/echo/message/":               {"echo", targetUnknown},
		"/a2a/echo/message/Send":           {"echo", targetUnknown},
		"/a2a/echo/message/send/x":         {"echo", targetUnknown},
		"/a2a/echo/v1/message:send":        {"echo", targetUnknown},
		"/a2a/echo/.well-known":            {"echo", targetUnknown},
		"/a2a/echo/.well-known/agent":      {"echo", targetUnknown},
		"/a2a/.well-known/agent-card.json": {".well-known", targetUnknown},

		// Escapes stay: no name has any, so nothing that is escaped is found.
		"/a2a/ec%68o":                        {"ec%68o", targetCall},
		"/a2a/echo%2F":                       {"echo%2F", targetCall},
		"/a2a/echo%2Fmessage%2Fsend":         {"echo%2Fmessage%2Fsend", targetCall},
		"/a2a/echo/message%2Fsend":           {"echo", targetUnknown},
		"/a2a/echo/mess%61ge/send":           {"echo", targetUnknown},
		"/a2a/%2e%2e/echo":                   {"%2e%2e", targetUnknown},
		"/a2a/echo/%2ewell-known/agent.json": {"echo", targetUnknown},
		"/a2a/echo%00":                       {"echo%00", targetCall},
		"/a2a%2Fecho":                        {"", targetUnknown},
		"/%612a/echo":                        {"", targetUnknown},

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
		agent, got := readPath(path)
		if agent != want.agent || got != want.target {
			t.Errorf("%q is agent %q, target %d; want %q, %d", path, agent, got, want.agent, want.target)
		}
	}
}
