package a2a_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

var versions = []a2a.Version{a2a.V03, a2a.V10}

// wantRow is the table as the protocol and the gateway's promises have it, written a second time.
type wantRow struct {
	code         int64
	reason       string
	http, grpc   int
	http03, rpc3 int
	name03       string
}

var wantRows = []wantRow{
	{-32700, "PARSE_ERROR", 400, 3, 400, 13, "JSONParseError"},
	{-32600, "INVALID_REQUEST", 400, 3, 400, 3, "InvalidRequestError"},
	{-32601, "METHOD_NOT_FOUND", 404, 12, 404, 12, "MethodNotFoundError"},
	{-32602, "INVALID_PARAMS", 400, 3, 422, 3, "InvalidParamsError"},
	{-32603, "INTERNAL_ERROR", 500, 13, 500, 13, "InternalError"},
	{-32001, "TASK_NOT_FOUND", 404, 5, 404, 5, "TaskNotFoundError"},
	{-32002, "TASK_NOT_CANCELABLE", 400, 9, 409, 9, "TaskNotCancelableError"},
	{-32003, "PUSH_NOTIFICATION_NOT_SUPPORTED", 400, 9, 501, 12, "PushNotificationNotSupportedError"},
	{-32004, "UNSUPPORTED_OPERATION", 400, 9, 501, 12, "UnsupportedOperationError"},
	{-32005, "CONTENT_TYPE_NOT_SUPPORTED", 400, 3, 415, 3, "ContentTypeNotSupportedError"},
	{-32006, "INVALID_AGENT_RESPONSE", 500, 13, 502, 13, "InvalidAgentResponseError"},
	{-32007, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", 400, 9, 404, 9, "AuthenticatedExtendedCardNotConfiguredError"},
	{-32008, "EXTENSION_SUPPORT_REQUIRED", 400, 9, 400, 3, ""},
	{-32009, "VERSION_NOT_SUPPORTED", 400, 9, 400, 3, ""},
	{-31401, "UNAUTHENTICATED", 401, 16, 401, 16, ""},
	{-31403, "PERMISSION_DENIED", 403, 7, 403, 7, ""},
	{-31404, "NOT_FOUND", 404, 5, 404, 5, ""},
	{-31409, "SESSION_TERMINATED", 409, 9, 409, 9, ""},
	{-31429, "RESOURCE_EXHAUSTED", 429, 8, 429, 8, ""},
	{-31503, "UNAVAILABLE", 503, 14, 503, 14, ""},
	{-31503, "UPSTREAM_TIMEOUT", 504, 4, 504, 4, ""},
}

func TestRows_AreTheProtocolsTableAndTheGateways(t *testing.T) {
	rows := a2a.Rows()
	if len(rows) != len(wantRows) {
		t.Fatalf("got %d rows, want %d", len(rows), len(wantRows))
	}
	for i, row := range rows {
		got := wantRow{row.Code, row.Reason, row.HTTP, row.GRPC, row.HTTP03, row.GRPC03, row.Name03}
		if got != wantRows[i] {
			t.Errorf("row %d is %+v, want %+v", i, got, wantRows[i])
		}
		domain := a2a.ProtocolDomain
		if row.Code > -32000 {
			domain = a2a.GatewayDomain
		}
		if row.Domain != domain {
			t.Errorf("%s is of domain %s, want %s", row.Reason, row.Domain, domain)
		}
		if in03 := row.Code != -32008 && row.Code != -32009; row.In03 != in03 {
			t.Errorf("%s: In03 = %t, want %t", row.Reason, row.In03, in03)
		}
	}
}

// errorOf is an error of a row as the gateway or an agent has it.
func errorOf(row a2a.Row) a2a.Error {
	return a2a.Error{Code: row.Code, Reason: row.Reason, Domain: row.Domain, Message: "no: \"<&>\" \u00e9", Metadata: []string{"taskId", "t-1", "task_id", "t-2"}}
}

func code03(row a2a.Row) int64 {
	if !row.In03 {
		return jsonrpc.CodeInvalidRequest
	}
	return row.Code
}

func TestEveryRow_SurvivesJSONRPCInBothVersions(t *testing.T) {
	for _, row := range a2a.Rows() {
		for _, v := range versions {
			t.Run(row.Reason+"/"+v.String(), func(t *testing.T) {
				e := errorOf(row)
				body := e.AppendJSONRPC(nil, []byte(`7`), v)
				resp, err := jsonrpc.ParseResponse(body)
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				want := row.Code
				if v == a2a.V03 {
					want = code03(row)
				}
				if resp.Error.Code != want || string(resp.ID) != "7" {
					t.Errorf("%s has code %d, want %d", body, resp.Error.Code, want)
				}
				first := byte('[')
				if v == a2a.V03 {
					first = '{'
				}
				if resp.Error.Data[0] != first {
					t.Errorf("data is %s", resp.Error.Data)
				}
				got := a2a.ErrorFromJSONRPC(v, resp.Error)
				e.Code = want
				if diff := cmp.Diff(e, got); diff != "" {
					t.Errorf("read back otherwise (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestEveryRow_SurvivesRESTInBothVersions(t *testing.T) {
	for _, row := range a2a.Rows() {
		for _, v := range versions {
			t.Run(row.Reason+"/"+v.String(), func(t *testing.T) {
				e := errorOf(row)
				want, status := row.Code, row.HTTP
				if v == a2a.V03 {
					want, status = code03(row), row.HTTP03
				}
				if got := e.RESTStatus(v); got != status {
					t.Errorf("status %d, want %d", got, status)
				}
				body := e.AppendREST(nil, v)
				if !json.Valid(body) {
					t.Fatalf("not JSON: %s", body)
				}
				if v == a2a.V10 && !strings.Contains(string(body), `"status":"`+a2a.GRPCName(row.GRPC)+`"`) {
					t.Errorf("%s does not have status %s", body, a2a.GRPCName(row.GRPC))
				}
				// Whatever the status, and in a stream there is none.
				for _, s := range []int{status, 400, 500, 0} {
					got, ok := a2a.ErrorFromREST(a2a.GetTask, v, s, body)
					if !ok {
						t.Fatalf("%s is not read", body)
					}
					e := e
					e.Code = want
					if diff := cmp.Diff(e, got); diff != "" {
						t.Errorf("status %d: read back otherwise (-want +got):\n%s", s, diff)
					}
				}
			})
		}
	}
}

func TestEveryRow_SurvivesGRPCInBothVersions(t *testing.T) {
	for _, row := range a2a.Rows() {
		for _, v := range versions {
			t.Run(row.Reason+"/"+v.String(), func(t *testing.T) {
				e := errorOf(row)
				want, status, text := row.Code, row.GRPC, e.Message
				if v == a2a.V03 {
					want, status = code03(row), row.GRPC03
					switch {
					case row.Name03 != "":
						text = row.Name03 + ": " + text
					case !row.In03:
						text = "InvalidRequestError: " + text
					}
				}
				if got := e.RPCStatus(v); got != status {
					t.Errorf("status %d, want %d", got, status)
				}
				if got := e.RPCMessage(v); got != text {
					t.Errorf("text %q, want %q", got, text)
				}
				got := a2a.ErrorFromGRPC(a2a.GetTask, v, e.RPCStatus(v), e.RPCMessage(v), e.JSONDetails(v))
				e.Code = want
				if v == a2a.V03 && row.GRPC != row.GRPC03 { // no ErrorInfo goes with it
					e.Reason, e.Domain, e.Metadata = "", "", nil
				}
				if diff := cmp.Diff(e, got); diff != "" {
					t.Errorf("read back otherwise (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestErrorFromREST_ReadsTheShapesOfAgents(t *testing.T) {
	const info = `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"%","domain":"a2a-protocol.org"}`
	reason := func(name string) string {
		return `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"m","details":[` + strings.Replace(info, "%", name, 1) + `]}}`
	}
	tests := []struct {
		name   string
		op     a2a.Operation
		status int
		body   string
		code   int64
		text   string
	}{
		{"reason over the status of 1.0.0", a2a.CancelTask, 409, reason("TASK_NOT_CANCELABLE"), -32002, "m"},
		{"reason over another status", a2a.GetTask, 415, reason("CONTENT_TYPE_NOT_SUPPORTED"), -32005, "m"},
		{"reason with 502", a2a.GetTask, 502, reason("INVALID_AGENT_RESPONSE"), -32006, "m"},
		{"status of 1.0.0 alone", a2a.CancelTask, 409, `{"error":{"code":409,"message":"m"}}`, -32002, "m"},
		{"name of the status tells more than 400", a2a.CreatePushConfig, 400, `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"m"}}`, -32003, "m"},
		{"code of gRPC", a2a.GetTask, 0, `{"error":{"code":5,"message":"m"}}`, -32001, "m"},
		{"python 0.3", a2a.GetTask, 404, `{"message":"Task not found"}`, -32001, "Task not found"},
		{"python 0.3, push", a2a.ListPushConfigs, 501, `{"message":"m"}`, -32003, "m"},
		{"python 0.3, other", a2a.SubscribeToTask, 501, `{"message":"m"}`, -32004, "m"},
		{"python 0.3, params", a2a.SendMessage, 422, `{"message":"m"}`, -32602, "m"},
		{"js 0.3", a2a.GetTask, 404, `{"code":-32001,"message":"m","data":{"a":1}}`, -32001, "m"},
		{"js 0.3, own code", a2a.GetTask, 500, `{"code":-32055,"message":"m"}`, -32055, "m"},
		{"error of JSON-RPC", a2a.GetTask, 500, `{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"m"}}`, -32002, "m"},
		{"text", a2a.GetTask, 500, `{"error":"m"}`, -32603, "m"},
		{"framework, no such path", a2a.GetTask, 404, `{"detail":"Not Found"}`, -32601, "Not Found"},
		{"framework, list", a2a.SendMessage, 422, `{"detail":[{"loc":["body"]}]}`, -32602, "the agent refused the call"},
		{"byte order mark", a2a.GetTask, 404, "\xef\xbb\xbf{\"message\":\"m\"}", -32001, "m"},
		{"half a character", a2a.GetTask, 404, `{"message":"m\ud83d"}`, -32001, "m\ufffd"},
		{"unauthenticated", a2a.GetTask, 401, `{"message":"m"}`, -31401, "m"},
		{"forbidden", a2a.GetTask, 403, `{"message":"m"}`, -31403, "m"},
		{"too many", a2a.GetTask, 429, `{"message":"m"}`, -31429, "m"},
		{"unavailable", a2a.GetTask, 503, `{"message":"m"}`, -31503, "m"},
		{"another gateway's", a2a.GetTask, 404, `{"error":{"code":404,"message":"m","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"AGENT_NOT_FOUND","domain":"signalbox.dev"}]}}`, -31404, "m"},
		{"agent's own reason named like ours", a2a.GetTask, 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"m","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"x.example"}]}}`, -32602, "m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range versions {
				got, ok := a2a.ErrorFromREST(tt.op, v, tt.status, []byte(tt.body))
				if !ok || got.Code != tt.code || got.Message != tt.text {
					t.Errorf("%s: got %d %q %t, want %d %q", v, got.Code, got.Message, ok, tt.code, tt.text)
				}
			}
		})
	}
	for _, body := range []string{"", "<html><body>502 Bad Gateway</body></html>", "null", "[]", "{}", `{"error":{}}`, `{"message":"a","Message":"b"}`, `{"message":"m"} {}`, strings.Repeat(`{"error":`, 300)} {
		got, ok := a2a.ErrorFromREST(a2a.GetTask, a2a.V10, 502, []byte(body))
		if ok || got.Code != a2a.CodeInvalidAgentResponse || got.Message == "" || strings.Contains(got.Message, "html") {
			t.Errorf("%.40q: got %+v, %t", body, got, ok)
		}
	}
}

func TestErrorFromREST_KeepsTheReasonOfTimeouts(t *testing.T) {
	got, _ := a2a.ErrorFromREST(a2a.GetTask, a2a.V10, 504, []byte(`{"message":"slow"}`))
	if got.Code != a2a.CodeUnavailable || got.RESTStatus(a2a.V10) != 504 || got.RPCStatus(a2a.V10) != a2a.GRPCDeadlineExceeded {
		t.Errorf("got %+v", got)
	}
}

func TestErrorFromGRPC_WithoutDetails(t *testing.T) {
	tests := []struct {
		name   string
		op     a2a.Operation
		v      a2a.Version
		status int
		text   string
		code   int64
		want   string
	}{
		{"name over status", a2a.CancelTask, a2a.V03, 12, "TaskNotCancelableError: Task cannot be canceled", -32002, "Task cannot be canceled"},
		{"name over status, push", a2a.ListPushConfigs, a2a.V03, 12, "PushNotificationNotSupportedError: m", -32003, "m"},
		{"name that is none", a2a.GetTask, a2a.V03, 5, "Whatever: m", -32001, "Whatever: m"},
		{"names mean nothing in 1.0", a2a.GetTask, a2a.V10, 13, "TaskNotFoundError: m", -32603, "TaskNotFoundError: m"},
		{"unimplemented in 1.0.0", a2a.ListTasks, a2a.V10, 12, "m", -32004, "m"},
		{"unimplemented push in 1.0.0", a2a.GetPushConfig, a2a.V10, 12, "m", -32003, "m"},
		{"precondition of a cancel", a2a.CancelTask, a2a.V10, 9, "m", -32002, "m"},
		{"precondition of a card", a2a.GetExtendedCard, a2a.V03, 9, "m", -32007, "m"},
		{"no card", a2a.GetExtendedCard, a2a.V03, 5, "m", -32007, "m"},
		{"argument", a2a.SendMessage, a2a.V10, 3, "m", -32602, "m"},
		{"no text", a2a.SendMessage, a2a.V10, 14, "", -31503, "the agent answered with gRPC status UNAVAILABLE"},
		{"unknown", a2a.SendMessage, a2a.V10, 2, "m", -32603, "m"},
		{"no such status", a2a.SendMessage, a2a.V10, 99, "m", -32603, "m"},
	}
	for _, tt := range tests {
		got := a2a.ErrorFromGRPC(tt.op, tt.v, tt.status, tt.text, nil)
		if got.Code != tt.code || got.Message != tt.want {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, got.Code, got.Message, tt.code, tt.want)
		}
	}
}

func TestData_IsCarriedBetweenVersions(t *testing.T) {
	const (
		info   = `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org","metadata":{"taskId":"t"}}`
		bad    = `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"a","x":9007199254740993}]}`
		bare   = `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}`
		strct  = `{"@type":"type.googleapis.com/google.protobuf.Struct","value":`
		number = `{"b":9007199254740993,"a":1.0}`
	)
	tests := []struct {
		name     string
		from, to a2a.Version
		in, want string
	}{
		{"object of 0.3", a2a.V03, a2a.V10, number, "[" + bare + "," + strct + number + "}]"},
		{"text of 0.3", a2a.V03, a2a.V10, `"x"`, "[" + bare + "," + strct + `{"value":"x"}}]`},
		{"list of 0.3", a2a.V03, a2a.V10, `[1,2]`, "[" + bare + "," + strct + `{"value":[1,2]}}]`},
		{"none of 0.3", a2a.V03, a2a.V10, ``, "[" + bare + "]"},
		{"null of 0.3", a2a.V03, a2a.V10, `null`, "[" + bare + "]"},
		{"0.3 to itself", a2a.V03, a2a.V03, number, number},
		{"0.3 to itself, list", a2a.V03, a2a.V03, `[1]`, `[1]`},
		{"0.3 that is ErrorInfo", a2a.V03, a2a.V10, info, "[" + info + "]"},
		{"0.3 that is details", a2a.V03, a2a.V10, "[" + info + "," + bad + "]", "[" + info + "," + bad + "]"},
		{"ErrorInfo alone", a2a.V10, a2a.V03, "[" + info + "]", info},
		{"several details", a2a.V10, a2a.V03, "[" + bad + "," + info + "]", "[" + info + "," + bad + "]"},
		{"no data of 1.0", a2a.V10, a2a.V03, ``, ``},
		{"1.0 to itself", a2a.V10, a2a.V10, "[" + bad + "]", "[" + bare + "," + bad + "]"},
		{"1.0 that is wrong", a2a.V10, a2a.V10, `{"a":1}`, "[" + bare + "," + strct + `{"a":1}}]`},
		{"1.0 with an element that is wrong", a2a.V10, a2a.V10, `[{"a":1},3]`, "[" + bare + "," + strct + `{"a":1}},` + strct + `{"value":3}}]`},
		{"1.0 bare detail", a2a.V10, a2a.V10, bad, "[" + bare + "," + bad + "]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := a2a.ErrorFromJSONRPC(tt.from, &jsonrpc.ErrorObject{Code: -32001, Message: "m", Data: []byte(tt.in)})
			resp, err := jsonrpc.ParseResponse(e.AppendJSONRPC(nil, nil, tt.to))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(resp.Error.Data)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCodesOfAgents_KeepTheirNumberOverEveryBinding(t *testing.T) {
	e := a2a.ErrorFromJSONRPC(a2a.V10, &jsonrpc.ErrorObject{Code: -32050, Message: "m"})
	if got := string(e.AppendJSONRPC(nil, nil, a2a.V10)); strings.Contains(got, "data") {
		t.Errorf("details were made up: %s", got)
	}
	if e.RESTStatus(a2a.V10) != 500 || e.RPCStatus(a2a.V10) != a2a.GRPCInternal {
		t.Errorf("got statuses %d and %d", e.RESTStatus(a2a.V10), e.RPCStatus(a2a.V10))
	}
	for _, v := range versions {
		got, _ := a2a.ErrorFromREST(0, v, 500, e.AppendREST(nil, v))
		if got.Code != -32050 || len(got.Metadata) != 0 {
			t.Errorf("REST %s: got %+v", v, got)
		}
		got = a2a.ErrorFromGRPC(0, v, e.RPCStatus(v), e.RPCMessage(v), e.JSONDetails(v))
		if got.Code != -32050 || len(got.Metadata) != 0 {
			t.Errorf("gRPC %s: got %+v", v, got)
		}
	}
}

func TestStatuses_OfTheErrorGoBeforeTheTable(t *testing.T) {
	e := a2a.Error{Code: jsonrpc.CodeInvalidRequest, Reason: "REQUEST_TOO_LARGE", Domain: a2a.GatewayDomain, HTTPStatus: 413, GRPCStatus: 8}
	for _, v := range versions {
		if e.RESTStatus(v) != 413 || e.RPCStatus(v) != 8 {
			t.Errorf("%s: %d %d", v, e.RESTStatus(v), e.RPCStatus(v))
		}
	}
	own := a2a.ErrorFromGRPC(0, a2a.V10, a2a.GRPCAborted, "m", [][]byte{[]byte(`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CONFLICT","domain":"x.example"}`)})
	if own.Reason != "CONFLICT" || own.Domain != "x.example" || own.RPCStatus(a2a.V10) != a2a.GRPCAborted {
		t.Errorf("got %+v", own)
	}
}

func FuzzErrorFromREST(f *testing.F) {
	for _, row := range a2a.Rows() {
		e := errorOf(row)
		f.Add(uint8(a2a.GetTask), true, row.HTTP, e.AppendREST(nil, a2a.V10))
		f.Add(uint8(a2a.CancelTask), false, row.HTTP03, e.AppendREST(nil, a2a.V03))
	}
	f.Add(uint8(1), false, 404, []byte(`{"detail":"Not Found"}`))
	f.Add(uint8(1), false, 500, []byte(`{"error":"x"}`))
	f.Fuzz(func(t *testing.T, op uint8, newer bool, status int, body []byte) {
		from := a2a.V03
		if newer {
			from = a2a.V10
		}
		e, _ := a2a.ErrorFromREST(a2a.Operation(op%12), from, status, body)
		if e.Code == 0 || e.Message == "" && e.Reason == "" && e.Code == 0 {
			t.Fatalf("nothing to answer with: %+v", e)
		}
		for _, to := range versions {
			if out := e.AppendREST(nil, to); !json.Valid(out) {
				t.Errorf("not JSON: %s", out)
			} else if again, ok := a2a.ErrorFromREST(a2a.Operation(op%12), to, e.RESTStatus(to), out); !ok {
				t.Errorf("not read back: %s", out)
			} else if twice, _ := a2a.ErrorFromREST(a2a.Operation(op%12), to, again.RESTStatus(to), again.AppendREST(nil, to)); twice.Code != again.Code || twice.Reason != again.Reason || twice.Message != again.Message {
				t.Errorf("not stable: %+v became %+v", again, twice)
			}
			if _, err := jsonrpc.ParseResponse(e.AppendJSONRPC(nil, nil, to)); err != nil {
				t.Errorf("no response: %v", err)
			}
		}
	})
}
