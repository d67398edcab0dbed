package dataplane

import (
	"encoding/json"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestFault_GoldenForBothVersions(t *testing.T) {
	for _, tt := range []struct {
		name, id       string
		f              *fault
		want10, want03 string
	}{
		{
			"bare", `7`, taskNotFound(),
			`{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"task not found: there is no task of this id that is yours",` +
				`"data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}]}}`,
			`{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"task not found: there is no task of this id that is yours",` +
				`"data":{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}}}`,
		},
		{
			"no id, values and a time", ``, unavailable("RECORD_UNAVAILABLE", `say "hi"`).with("limit", "10").with("näme\n", `<&>"\`),
			`{"jsonrpc":"2.0","id":null,"error":{"code":-31503,"message":"say \"hi\"",` +
				`"data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RECORD_UNAVAILABLE","domain":"signalbox.dev",` +
				`"metadata":{"limit":"10","näme\n":"<&>\"\\","retry_after_s":"1"}}]}}`,
			`{"jsonrpc":"2.0","id":null,"error":{"code":-31503,"message":"say \"hi\"",` +
				`"data":{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RECORD_UNAVAILABLE","domain":"signalbox.dev",` +
				`"metadata":{"limit":"10","näme\n":"<&>\"\\","retry_after_s":"1"}}}}`,
		},
		{
			"a text for an id", `"a\u0062"`, agentNotFound(),
			`{"jsonrpc":"2.0","id":"a\u0062","error":{"code":-31404,"message":"there is no agent of this name that you may call; GET /a2a lists those that you may",` +
				`"data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"AGENT_NOT_FOUND","domain":"signalbox.dev"}]}}`,
			`{"jsonrpc":"2.0","id":"a\u0062","error":{"code":-31404,"message":"there is no agent of this name that you may call; GET /a2a lists those that you may",` +
				`"data":{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"AGENT_NOT_FOUND","domain":"signalbox.dev"}}}`,
		},
	} {
		var id []byte // nil when the request's could not be read
		if tt.id != "" {
			id = []byte(tt.id)
		}
		for v, want := range map[a2a.Version]string{a2a.V10: tt.want10, a2a.V03: tt.want03} {
			// Twice: writing a fault must not change it.
			for range 2 {
				got := string(tt.f.toError().AppendJSONRPC([]byte("before"), id, v))
				if got != "before"+want {
					t.Errorf("%s for %s:\n got %s\nwant before%s", tt.name, v, got, want)
				}
			}
			if !json.Valid([]byte(want)) {
				t.Errorf("%s for %s: what is wanted is no JSON", tt.name, v)
			}
		}
	}
}

func TestFault_HTTPStatus(t *testing.T) {
	for _, tt := range []struct {
		f               *fault
		plain, mirrored int
	}{
		{taskNotFound(), 200, 200},
		{unavailable("X", ""), 200, 503},
		{upstreamTimeout(""), 200, 503},
		{agentNotFound(), 404, 404},
		{unauthenticated("X", "", ""), 401, 401},
		{&fault{status: 413, mirror: 429}, 413, 429},
	} {
		if got := tt.f.httpStatus(false); got != tt.plain {
			t.Errorf("%s: HTTP %d, want %d", tt.f.reason, got, tt.plain)
		}
		if got := tt.f.httpStatus(true); got != tt.mirrored {
			t.Errorf("%s, mirrored: HTTP %d, want %d", tt.f.reason, got, tt.mirrored)
		}
	}
}

func TestFault_StatusesOfTheOtherBindings(t *testing.T) {
	denied := &fault{mirror: 403, code: codeDenied, reason: "PERMISSION_DENIED"}
	for _, tt := range []struct {
		f         *fault
		rest, rpc int
	}{
		{denied, 403, a2a.GRPCPermissionDenied},
		{unavailable("SHUTTING_DOWN", ""), 503, a2a.GRPCUnavailable},
		{upstreamUnreachable(""), 503, a2a.GRPCUnavailable},
		{upstreamTimeout(""), 504, a2a.GRPCDeadlineExceeded},
		{upstreamInterrupted(), 503, a2a.GRPCUnavailable},
		{unauthenticated("KEY_EXPIRED", "", ""), 401, a2a.GRPCUnauthenticated},
		{agentNotFound(), 404, a2a.GRPCNotFound},
		{taskNotFound(), 404, a2a.GRPCNotFound},
		{contextNotUsable(), 400, a2a.GRPCInvalidArgument},
		{pushNotSupported(""), 400, a2a.GRPCFailedPrecondition},
		{unsupportedOperation(""), 400, a2a.GRPCFailedPrecondition},
		{versionNotSupported(""), 400, a2a.GRPCFailedPrecondition},
		{invalidAgentReply(""), 500, a2a.GRPCInternal},
	} {
		e := tt.f.toError()
		if got := e.RESTStatus(a2a.V10); got != tt.rest {
			t.Errorf("%s: HTTP %d, want %d", tt.f.reason, got, tt.rest)
		}
		if got := e.RPCStatus(a2a.V10); got != tt.rpc {
			t.Errorf("%s: status %d, want %d", tt.f.reason, got, tt.rpc)
		}
	}
}
