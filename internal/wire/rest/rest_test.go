package rest_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
)

func TestCalls_AreReadFromPathQueryAndBody(t *testing.T) {
	const (
		get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
		v3, v1         = a2a.V03, a2a.V10
	)
	tests := []struct {
		name                string
		method, path, query string
		body                string
		op                  a2a.Operation
		v                   a2a.Version
		payload             string
	}{
		{"send", post, "/message:send", "", ` {"message":{"x":9007199254740993}}`, a2a.SendMessage, v1, ` {"message":{"x":9007199254740993}}`},
		{"send, encoded", post, "/message%3Asend", "", `{"message":{}}`, a2a.SendMessage, v1, `{"message":{}}`},
		{"send, slash", post, "/message:send/", "", `{"message":{}}`, a2a.SendMessage, v1, `{"message":{}}`},
		{"send, own tenant", post, "/message:send", "", `{"tenant":"a","message":{}}`, a2a.SendMessage, v1, `{"tenant":"a","message":{}}`},
		{"send, tenant", post, "/acme/message:send", "", `{"message":{},"y":1}`, a2a.SendMessage, v1, `{"tenant":"acme","message":{},"y":1}`},
		{"send, same tenant", post, "/acme/message:send", "", `{"message":{},"tenant":"acme"}`, a2a.SendMessage, v1, `{"message":{},"tenant":"acme"}`},
		{"send, empty tenant", post, "/acme/message:send", "", `{"message":{},"tenant":""}`, a2a.SendMessage, v1, `{"tenant":"acme","message":{}}`},
		{"send, tenant in the query", post, "/message:send", "tenant=acme", `{"message":{}}`, a2a.SendMessage, v1, `{"tenant":"acme","message":{}}`},
		{"stream", post, "/message:stream", "", `{"message":{}}`, a2a.SendStreamingMessage, v1, `{"message":{}}`},
		{"get", get, "/tasks/t", "historyLength=3", ``, a2a.GetTask, v1, `{"id":"t","historyLength":3}`},
		{"get, null body", get, "/tasks/t", "", "null", a2a.GetTask, v1, `{"id":"t"}`},
		{"get, raw colon", get, "/tasks/urn:task:1", "", ``, a2a.GetTask, v1, `{"id":"urn:task:1"}`},
		{"get, encoded", get, "/tasks/a%3Acancel%22%C3%A9", "", ``, a2a.GetTask, v1, `{"id":"a:cancel\"é"}`},
		{"get, id again", get, "/tasks/t", "id=t&tenant=", ``, a2a.GetTask, v1, `{"id":"t"}`},
		{"get, foreign parameters", get, "/tasks/t", "x=1&A2A-Version=1.0&metadata=", ``, a2a.GetTask, v1, `{"id":"t"}`},
		{"get, tenant", get, "/a%20b/tasks/t", "", ``, a2a.GetTask, v1, `{"tenant":"a b","id":"t"}`},
		{"task named like a tenant", get, "/tasks/tasks", "", ``, a2a.GetTask, v1, `{"id":"tasks"}`},
		{"list", get, "/tasks", "contextId=c%26d&status=TASK_STATE_WORKING&pageSize=5&pageToken=p%2B%2F%3D&historyLength=0&statusTimestampAfter=2026-01-02T03:04:05.5Z&includeArtifacts=false", ``, a2a.ListTasks, v1, `{"contextId":"c&d","status":"TASK_STATE_WORKING","pageSize":5,"pageToken":"p+/=","historyLength":0,"statusTimestampAfter":"2026-01-02T03:04:05.5Z","includeArtifacts":false}`},
		{"list, old name", get, "/tasks", "lastUpdatedAfter=2026-01-02T03:04:05%2B02:00", ``, a2a.ListTasks, v1, `{"statusTimestampAfter":"2026-01-02T03:04:05+02:00"}`},
		{"list, empty values", get, "/tasks/", "contextId=&pageSize=&&status=", ``, a2a.ListTasks, v1, `{}`},
		{"cancel", post, "/tasks/t:cancel", "", ``, a2a.CancelTask, v1, `{"id":"t"}`},
		{"cancel, null", post, "/tasks/t:cancel", "", `null`, a2a.CancelTask, v1, `{"id":"t"}`},
		{"cancel, colon", post, "/tasks/a:b%3Ac:cancel", "", `{}`, a2a.CancelTask, v1, `{"id":"a:b:c"}`},
		{"cancel, members", post, "/tasks/t:cancel", "", `{"metadata":{"n":1.50},"\u0078":false}`, a2a.CancelTask, v1, `{"id":"t","metadata":{"n":1.50},"x":false}`},
		{"cancel, whole body", post, "/tasks/t:cancel", "", `{"metadata":{}, "id":"t"}`, a2a.CancelTask, v1, `{"metadata":{}, "id":"t"}`},
		{"subscribe", post, "/tasks/t:subscribe", "", ``, a2a.SubscribeToTask, v1, `{"id":"t"}`},
		{"subscribe, GET", get, "/tasks/t:subscribe", "", ``, a2a.SubscribeToTask, v1, `{"id":"t"}`},
		{"create", post, "/tasks/t/pushNotificationConfigs", "", `{"url":"u","id":"p"}`, a2a.CreatePushConfig, v1, `{"taskId":"t","url":"u","id":"p"}`},
		{"create, whole", post, "/tasks/t/pushNotificationConfigs", "", `{"taskId":"t","url":"u"}`, a2a.CreatePushConfig, v1, `{"taskId":"t","url":"u"}`},
		{"get config", get, "/tasks/t/pushNotificationConfigs/p", "", ``, a2a.GetPushConfig, v1, `{"taskId":"t","id":"p"}`},
		{"list configs", get, "/tasks/t/pushNotificationConfigs", "pageSize=1&pageToken=x", ``, a2a.ListPushConfigs, v1, `{"taskId":"t","pageSize":1,"pageToken":"x"}`},
		{"delete config", del, "/x/tasks/t/pushNotificationConfigs/p", "", `{}`, a2a.DeletePushConfig, v1, `{"tenant":"x","taskId":"t","id":"p"}`},
		{"card", get, "/extendedAgentCard", "", ``, a2a.GetExtendedCard, v1, `{}`},
		{"card, tenant", get, "/acme/extendedAgentCard", "", ``, a2a.GetExtendedCard, v1, `{"tenant":"acme"}`},

		{"0.3 send", post, "/v1/message:send", "", `{"message":{},"tenant":"x"}`, a2a.SendMessage, v3, `{"message":{},"tenant":"x"}`},
		{"0.3 stream", post, "/v1/message:stream", "", `{"message":{}}`, a2a.SendStreamingMessage, v3, `{"message":{}}`},
		{"0.3 get", get, "/v1/tasks/t", "historyLength=3", ``, a2a.GetTask, v3, `{"name":"tasks/t","historyLength":3}`},
		{"0.3 get, name again", get, "/v1/tasks/t%3A1", "name=tasks%2Ft%3A1", ``, a2a.GetTask, v3, `{"name":"tasks/t:1"}`},
		{"0.3 list", get, "/v1/tasks", "pageSize=1", ``, a2a.ListTasks, v3, `{}`},
		{"0.3 cancel", post, "/v1/tasks/t:cancel", "", ``, a2a.CancelTask, v3, `{"name":"tasks/t"}`},
		{"0.3 cancel, python", post, "/v1/tasks/t:cancel", "", `{"name":"tasks/t"}`, a2a.CancelTask, v3, `{"name":"tasks/t"}`},
		{"0.3 subscribe", get, "/v1/tasks/t:subscribe", "", ``, a2a.SubscribeToTask, v3, `{"name":"tasks/t"}`},
		{"0.3 create, whole", post, "/v1/tasks/t/pushNotificationConfigs", "", `{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"url":"u"}}}`, a2a.CreatePushConfig, v3, `{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"url":"u"}}}`},
		{"0.3 create, no parent", post, "/v1/tasks/t/pushNotificationConfigs", "configId=p", `{"config":{"pushNotificationConfig":{"url":"u"}},"z":1}`, a2a.CreatePushConfig, v3, `{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"url":"u"}},"z":1}`},
		{"0.3 create, id twice", post, "/v1/tasks/t/pushNotificationConfigs", "configId=p", `{"config":{},"configId":"p"}`, a2a.CreatePushConfig, v3, `{"parent":"tasks/t","configId":"p","config":{}}`},
		{"0.3 create, parent as path", post, "/v1/tasks/t/pushNotificationConfigs", "", `{"parent":"tasks/t/pushNotificationConfigs","config":{}}`, a2a.CreatePushConfig, v3, `{"parent":"tasks/t","config":{}}`},
		{"0.3 create, config only", post, "/v1/tasks/t/pushNotificationConfigs", "", `{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"url":"u"},"configId":"p"}`, a2a.CreatePushConfig, v3, `{"parent":"tasks/t","configId":"p","config":{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"url":"u"}}}`},
		{"0.3 get config", get, "/v1/tasks/t/pushNotificationConfigs/p", "name=tasks/t/pushNotificationConfigs/p", ``, a2a.GetPushConfig, v3, `{"name":"tasks/t/pushNotificationConfigs/p"}`},
		{"0.3 list configs", get, "/v1/tasks/t/pushNotificationConfigs", "pageSize=1&parent=tasks/t", ``, a2a.ListPushConfigs, v3, `{"parent":"tasks/t","pageSize":1}`},
		{"0.3 delete config", del, "/v1/tasks/t/pushNotificationConfigs/p", "", ``, a2a.DeletePushConfig, v3, `{"name":"tasks/t/pushNotificationConfigs/p"}`},
		{"0.3 card", get, "/v1/card", "", ``, a2a.GetExtendedCard, v3, `{}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, fault := rest.Parse(tt.method, tt.path, tt.query)
			if fault != nil {
				t.Fatal(fault)
			}
			if r.Op != tt.op || r.Version != tt.v {
				t.Errorf("got %s of %s", r.Op, r.Version)
			}
			payload, fault := r.Payload([]byte(tt.body))
			if fault != nil {
				t.Fatal(fault)
			}
			if diff := cmp.Diff(tt.payload, string(payload)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if tt.op == a2a.ListTasks && tt.v == v3 {
				return
			}
			sameReading(t, r, payload)
		})
	}
}

// sameReading builds the call and reads it again.
func sameReading(t *testing.T, r rest.Request, payload []byte) {
	t.Helper()
	r.Tenant = ids(t, r, payload).Tenant // which may come in the body
	target, err := rest.Build(r.Op, r.Version, payload, r.Tenant)
	if errors.Is(err, rest.ErrID) && r.Tenant != "" {
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	again, fault := rest.Parse(target.Method, target.Path, target.Query)
	if fault != nil {
		t.Fatalf("%+v is refused: %v", target, fault)
	}
	if diff := cmp.Diff(r, again, cmpopts.IgnoreUnexported(rest.Request{})); diff != "" {
		t.Errorf("%+v is read otherwise (-first +second):\n%s", target, diff)
	}
	twice, fault := again.Payload(target.Body)
	if fault != nil {
		t.Fatalf("%+v: its body is refused: %v", target, fault)
	}
	first, second := ids(t, r, payload), ids(t, again, twice)
	if diff := cmp.Diff(first, second, cmpopts.IgnoreUnexported(a2a.Call{}, a2a.PushConfig{})); diff != "" {
		t.Errorf("the call is another one (-first +second):\n%s", diff)
	}
}

func ids(t *testing.T, r rest.Request, payload []byte) a2a.Call {
	t.Helper()
	var (
		call    a2a.Call
		refusal *jsonrpc.Error
	)
	if r.Version == a2a.V03 {
		call, refusal = a2a.ParseCallREST03(r.Op, payload)
	} else {
		call, refusal = a2a.ParseCall(r.Op, r.Version, payload)
	}
	if refusal != nil {
		return a2a.Call{MessageID: "refused: " + refusal.Message}
	}
	// Where there is nothing to say in the body the tenant is in the path alone.
	if call.Tenant == "" {
		call.Tenant = r.Tenant
	}
	call.HasTenant = call.Tenant != ""
	return call
}

func TestParse_SaysWhatIsWrong(t *testing.T) {
	tests := []struct {
		name                string
		method, path, query string
		code                int64
		allow               string
		text                string
	}{
		{"nothing", "GET", "", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"root", "GET", "/", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"unknown", "POST", "/message:sent", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"JSON-RPC path", "POST", "/message/send", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"version alone", "GET", "/v1", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"card of 1.0 in 0.3", "GET", "/v1/extendedAgentCard", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"card of 0.3 in 1.0", "GET", "/card", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"tenant and 0.3", "POST", "/acme/v1/message:send", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"well-known is no tenant", "GET", "/.well-known/tasks", "", jsonrpc.CodeMethodNotFound, "", ""},
		{"empty segment", "GET", "/tasks//pushNotificationConfigs", "", jsonrpc.CodeInvalidParams, "", "is empty"},
		{"empty tenant", "GET", "//tasks/t", "", jsonrpc.CodeInvalidParams, "", "tenant"},
		{"empty config", "GET", "/tasks/t/pushNotificationConfigs//", "", jsonrpc.CodeInvalidParams, "", "is empty"},
		{"deeper", "GET", "/tasks/t/pushNotificationConfigs/p/q", "", jsonrpc.CodeMethodNotFound, "", ""},

		{"GET send", "GET", "/message:send", "", jsonrpc.CodeInvalidRequest, "POST", "use POST"},
		{"DELETE task", "DELETE", "/tasks/t", "", jsonrpc.CodeInvalidRequest, "GET", "use GET"},
		{"POST task", "POST", "/tasks/t:x", "", jsonrpc.CodeInvalidRequest, "GET", "use GET"},
		{"GET cancel", "GET", "/tasks/t:cancel", "", jsonrpc.CodeInvalidRequest, "POST", "use POST"},
		{"PUT subscribe", "PUT", "/tasks/t:subscribe", "", jsonrpc.CodeInvalidRequest, "POST, GET", "use POST, GET"},
		{"DELETE configs", "DELETE", "/v1/tasks/t/pushNotificationConfigs", "", jsonrpc.CodeInvalidRequest, "POST, GET", ""},
		{"encoded verb is an id", "POST", "/tasks/t%3Acancel", "", jsonrpc.CodeInvalidRequest, "GET", ""},

		{"slash in an id", "GET", "/tasks/a%2Fb", "", jsonrpc.CodeInvalidParams, "", "slash"},
		{"backslash in an id", "GET", "/tasks/a%5Cb", "", jsonrpc.CodeInvalidParams, "", "slash"},
		{"dots", "GET", "/tasks/..", "", jsonrpc.CodeInvalidParams, "", "dot segment"},
		{"encoded dots", "GET", "/tasks/%2E%2e", "", jsonrpc.CodeInvalidParams, "", "dot segment"},
		{"dots with a verb", "POST", "/tasks/..:cancel", "", jsonrpc.CodeInvalidParams, "", "dot segment"},
		{"dots as tenant", "GET", "/../tasks/t", "", jsonrpc.CodeInvalidParams, "", "dot segment"},
		{"no id", "POST", "/tasks/:cancel", "", jsonrpc.CodeInvalidParams, "", "is empty"},
		{"NUL", "GET", "/tasks/%00", "", jsonrpc.CodeInvalidParams, "", "control"},
		{"not UTF-8", "GET", "/tasks/%FF", "", jsonrpc.CodeInvalidParams, "", "UTF-8"},
		{"half an escape", "GET", "/tasks/%F", "", jsonrpc.CodeInvalidParams, "", "percent"},
		{"slash in a config", "GET", "/tasks/t/pushNotificationConfigs/a%2fb", "", jsonrpc.CodeInvalidParams, "", "push config"},

		{"twice", "GET", "/tasks/t", "historyLength=1&historyLength=1", jsonrpc.CodeInvalidParams, "", "twice"},
		{"two spellings", "GET", "/tasks/t", "historyLength=1&history_length=2", jsonrpc.CodeInvalidParams, "", "twice"},
		{"unknown twice", "GET", "/tasks/t", "x=1&x=2", jsonrpc.CodeInvalidParams, "", "twice"},
		{"two names for one", "GET", "/tasks", "statusTimestampAfter=2026-01-02T03:04:05Z&lastUpdatedAfter=2026-01-02T03:04:05Z", jsonrpc.CodeInvalidParams, "", "same"},
		{"snake case", "GET", "/tasks", "page_size=1", jsonrpc.CodeInvalidParams, "", `spell it "pageSize"`},
		{"case", "GET", "/tasks", "ContextId=1", jsonrpc.CodeInvalidParams, "", `spell it "contextId"`},
		{"not a number", "GET", "/tasks", "pageSize=1.0", jsonrpc.CodeInvalidParams, "", "integer"},
		{"plus", "GET", "/tasks", "pageSize=%2B1", jsonrpc.CodeInvalidParams, "", "integer"},
		{"too large", "GET", "/tasks", "pageSize=2147483648", jsonrpc.CodeInvalidParams, "", "integer"},
		{"flag", "GET", "/tasks", "includeArtifacts=1", jsonrpc.CodeInvalidParams, "", "true nor false"},
		{"state of 0.3", "GET", "/tasks", "status=TASK_STATE_CANCELLED", jsonrpc.CodeInvalidParams, "", "TASK_STATE_CANCELED"},
		{"state of JSON-RPC 0.3", "GET", "/tasks", "status=working", jsonrpc.CodeInvalidParams, "", "state"},
		{"time", "GET", "/tasks", "statusTimestampAfter=2026-01-02T03:04:05+02:00", jsonrpc.CodeInvalidParams, "", "%2B"},
		{"NUL in the query", "GET", "/tasks", "contextId=%00", jsonrpc.CodeInvalidParams, "", "no id may have"},
		{"semicolon", "GET", "/tasks", "contextId=a;b=c", jsonrpc.CodeInvalidParams, "", "semicolon"},
		{"half an escape in the query", "GET", "/tasks", "contextId=%2", jsonrpc.CodeInvalidParams, "", "percent"},
		{"other id", "GET", "/tasks/t", "id=u", jsonrpc.CodeInvalidParams, "", "agree"},
		{"other task", "GET", "/tasks/t/pushNotificationConfigs/p", "taskId=u", jsonrpc.CodeInvalidParams, "", "agree"},
		{"other config", "GET", "/tasks/t/pushNotificationConfigs/p", "id=q", jsonrpc.CodeInvalidParams, "", "agree"},
		{"other tenant", "GET", "/a/tasks/t", "tenant=b", jsonrpc.CodeInvalidParams, "", "agree"},
		{"other name", "GET", "/v1/tasks/t", "name=tasks/u", jsonrpc.CodeInvalidParams, "", "agree"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, fault := rest.Parse(tt.method, tt.path, tt.query)
			if fault == nil {
				t.Fatalf("accepted as %+v", r)
			}
			if fault.Code != tt.code || r.Allow != tt.allow || !strings.Contains(fault.Message, tt.text) {
				t.Errorf("got %d %q, allow %q", fault.Code, fault.Message, r.Allow)
			}
			if isMethod := fault.Reason == rest.ReasonMethodNotAllowed; isMethod != (tt.allow != "") || isMethod != (fault.RESTStatus(a2a.V10) == 405) {
				t.Errorf("reason %s, status %d", fault.Reason, fault.RESTStatus(a2a.V10))
			}
			if strings.HasPrefix(tt.path, "/v1") != (r.Version == a2a.V03) {
				t.Errorf("version %s", r.Version)
			}
		})
	}
}

func TestPayload_RefusesTwoReadingsOfOneCall(t *testing.T) {
	deep := strings.Repeat("[", 250) + strings.Repeat("]", 250)
	tests := []struct {
		name, method, path, query, body string
		code                            int64
		text                            string
	}{
		{"other task", "POST", "/tasks/t:cancel", "", `{"id":"u"}`, jsonrpc.CodeInvalidParams, "agree"},
		{"misspelled task", "POST", "/tasks/t:cancel", "", `{"ID":"t"}`, jsonrpc.CodeInvalidParams, `spell it "id"`},
		{"task of a number", "POST", "/tasks/t:cancel", "", `{"id":3}`, jsonrpc.CodeInvalidParams, "agree"},
		{"twice", "POST", "/tasks/t:cancel", "", `{"id":"t","id":"t"}`, jsonrpc.CodeInvalidParams, "twice"},
		{"other tenant", "POST", "/a/message:send", "", `{"message":{},"tenant":"b"}`, jsonrpc.CodeInvalidParams, "agree"},
		{"misspelled tenant", "POST", "/a/message:send", "", `{"message":{},"Tenant":"a"}`, jsonrpc.CodeInvalidParams, "spell"},
		{"other task of a config", "POST", "/tasks/t/pushNotificationConfigs", "", `{"taskId":"u","url":"x"}`, jsonrpc.CodeInvalidParams, "agree"},
		{"misspelled task of a config", "POST", "/tasks/t/pushNotificationConfigs", "", `{"task_id":"u","url":"x"}`, jsonrpc.CodeInvalidParams, `spell it "taskId"`},
		{"0.3 other name", "POST", "/v1/tasks/t:cancel", "", `{"name":"tasks/u"}`, jsonrpc.CodeInvalidParams, "agree"},
		{"0.3 id", "POST", "/v1/tasks/t:cancel", "", `{"id":"u"}`, jsonrpc.CodeInvalidParams, "does not have"},
		{"0.3 tenant", "POST", "/v1/tasks/t:cancel", "", `{"tenant":"u"}`, jsonrpc.CodeInvalidParams, "does not have"},
		{"0.3 other parent", "POST", "/v1/tasks/t/pushNotificationConfigs", "", `{"parent":"tasks/u","config":{}}`, jsonrpc.CodeInvalidParams, "agree"},
		{"0.3 other id", "POST", "/v1/tasks/t/pushNotificationConfigs", "configId=p", `{"configId":"q","config":{}}`, jsonrpc.CodeInvalidParams, "agree"},
		{"0.3 both forms", "POST", "/v1/tasks/t/pushNotificationConfigs", "", `{"config":{},"pushNotificationConfig":{}}`, jsonrpc.CodeInvalidParams, "both"},
		{"0.3 misspelled config", "POST", "/v1/tasks/t/pushNotificationConfigs", "", `{"Config":{}}`, jsonrpc.CodeInvalidParams, "spell"},
		{"0.3 misspelled config id", "POST", "/v1/tasks/t/pushNotificationConfigs", "", `{"config_id":"p","config":{}}`, jsonrpc.CodeInvalidParams, "spell"},
		{"0.3 no config", "POST", "/v1/tasks/t/pushNotificationConfigs", "", `{"url":"u"}`, jsonrpc.CodeInvalidParams, "no config"},
		{"body of a get", "GET", "/tasks/t", "", `{"id":"u"}`, jsonrpc.CodeInvalidParams, "no body"},
		{"no body", "POST", "/message:send", "", ``, jsonrpc.CodeParse, ""},
		{"null", "POST", "/message:send", "", `null`, jsonrpc.CodeInvalidRequest, "object"},
		{"list", "POST", "/message:send", "", `[]`, jsonrpc.CodeInvalidRequest, "object"},
		{"trailing data", "POST", "/message:send", "", `{} {}`, jsonrpc.CodeParse, "more data"},
		{"byte order mark", "POST", "/message:send", "", "\xef\xbb\xbf{}", jsonrpc.CodeParse, "byte order mark"},
		{"not UTF-8", "POST", "/message:send", "", "{\"a\":\"\xff\"}", jsonrpc.CodeParse, "byte"},
		{"too deep", "POST", "/message:send", "", `{"a":` + deep + `}`, jsonrpc.CodeInvalidRequest, "200"},
		{"malformed cancel", "POST", "/tasks/t:cancel", "", `{"a"`, jsonrpc.CodeParse, "byte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, fault := rest.Parse(tt.method, tt.path, tt.query)
			if fault != nil {
				t.Fatal(fault)
			}
			payload, fault := r.Payload([]byte(tt.body))
			if fault == nil {
				t.Fatalf("accepted as %s", payload)
			}
			if fault.Code != tt.code || !strings.Contains(fault.Message, tt.text) {
				t.Errorf("got %d %q", fault.Code, fault.Message)
			}
		})
	}
}

func TestBuild_EncodesWhatItCarries(t *testing.T) {
	const v3, v1 = a2a.V03, a2a.V10
	tests := []struct {
		name    string
		op      a2a.Operation
		v       a2a.Version
		payload string
		tenant  string
		want    rest.Target
	}{
		{"send", a2a.SendMessage, v1, `{"message":{}}`, "", rest.Target{Method: "POST", Path: "/message:send", Body: []byte(`{"message":{}}`)}},
		{"send, tenant", a2a.SendStreamingMessage, v1, `{"message":{},"tenant":"caller"}`, "up/1"[:2], rest.Target{Method: "POST", Path: "/up/message:stream", Body: []byte(`{"tenant":"up","message":{}}`)}},
		{"send, tenant there", a2a.SendMessage, v1, `{ "tenant":"up" }`, "up", rest.Target{Method: "POST", Path: "/up/message:send", Body: []byte(`{ "tenant":"up" }`)}},
		{"send, no tenant", a2a.SendMessage, v1, `{"tenant":"caller","message":{}}`, "", rest.Target{Method: "POST", Path: "/message:send", Body: []byte(`{"message":{}}`)}},
		{"get", a2a.GetTask, v1, `{"tenant":"caller","id":"a:b c%2F?#é","historyLength":0,"x":{}}`, "", rest.Target{Method: "GET", Path: "/tasks/a%3Ab%20c%252F%3F%23%C3%A9", Query: "historyLength=0"}},
		{"list", a2a.ListTasks, v1, `{"contextId":"a&b=c","pageSize":5,"includeArtifacts":false,"status":"TASK_STATE_WORKING","pageToken":null,"statusTimestampAfter":"2026-01-01T00:00:00+01:00"}`, "", rest.Target{Method: "GET", Path: "/tasks", Query: "contextId=a%26b%3Dc&pageSize=5&includeArtifacts=false&status=TASK_STATE_WORKING&statusTimestampAfter=2026-01-01T00%3A00%3A00%2B01%3A00"}},
		{"cancel", a2a.CancelTask, v1, `{"id":"t","metadata":{"a":1.0}}`, "", rest.Target{Method: "POST", Path: "/tasks/t:cancel", Body: []byte(`{"metadata":{"a":1.0}}`)}},
		{"cancel, nothing else", a2a.CancelTask, v1, `{"id":"t"}`, "", rest.Target{Method: "POST", Path: "/tasks/t:cancel", Body: []byte(`{}`)}},
		{"subscribe", a2a.SubscribeToTask, v1, `{"id":"t"}`, "", rest.Target{Method: "POST", Path: "/tasks/t:subscribe"}},
		{"card", a2a.GetExtendedCard, v1, ``, "t", rest.Target{Method: "GET", Path: "/t/extendedAgentCard"}},
		{"delete", a2a.DeletePushConfig, v1, `{"taskId":"t","id":"p"}`, "", rest.Target{Method: "DELETE", Path: "/tasks/t/pushNotificationConfigs/p"}},
		{"0.3 get", a2a.GetTask, v3, `{"name":"tasks/a:b","historyLength":2}`, "", rest.Target{Method: "GET", Path: "/v1/tasks/a%3Ab", Query: "historyLength=2"}},
		{"0.3 cancel", a2a.CancelTask, v3, `{"name":"tasks/t"}`, "", rest.Target{Method: "POST", Path: "/v1/tasks/t:cancel", Body: []byte(`{}`)}},
		{"0.3 create", a2a.CreatePushConfig, v3, `{"parent":"tasks/t","configId":"p","config":{}}`, "", rest.Target{Method: "POST", Path: "/v1/tasks/t/pushNotificationConfigs", Body: []byte(`{"parent":"tasks/t","configId":"p","config":{}}`)}},
		{"0.3 delete", a2a.DeletePushConfig, v3, `{"name":"tasks/t/pushNotificationConfigs/p"}`, "", rest.Target{Method: "DELETE", Path: "/v1/tasks/t/pushNotificationConfigs/p"}},
		{"0.3 card", a2a.GetExtendedCard, v3, `{}`, "", rest.Target{Method: "GET", Path: "/v1/card"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rest.Build(tt.op, tt.v, []byte(tt.payload), tt.tenant)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := url.Parse("http://x" + got.Path + "?" + got.Query); err != nil {
				t.Error(err)
			}
		})
	}
	for _, id := range []string{"", ".", "..", "a/b", `a\\b`, `a\nb`} {
		for _, v := range []a2a.Version{v3, v1} {
			payload := `{"id":"` + id + `","name":"tasks/` + id + `"}`
			if got, err := rest.Build(a2a.GetTask, v, []byte(payload), ""); err == nil {
				t.Errorf("id %q went out as %s", id, got.Path)
			}
		}
	}
	for _, payload := range []string{`[]`, `{"id":3}`, `{"id":"t","historyLength":{}}`, `{"id":"t","id":"u"}`} {
		if got, err := rest.Build(a2a.GetTask, v1, []byte(payload), ""); err == nil {
			t.Errorf("%s went out as %+v", payload, got)
		}
	}
	if _, err := rest.Build(a2a.ListTasks, v3, []byte(`{}`), ""); err == nil {
		t.Error("0.3 has no list of tasks")
	}
	get := rest.SubscribeGET(rest.Target{Method: "POST", Path: "/tasks/t:subscribe", Body: []byte(`{}`)})
	if get.Method != "GET" || get.Body != nil || get.Path != "/tasks/t:subscribe" {
		t.Errorf("got %+v", get)
	}
}

func TestReplyPayload_TakesWhatAgentsAnswer(t *testing.T) {
	tests := []struct {
		name   string
		op     a2a.Operation
		v      a2a.Version
		status int
		body   string
		want   string // "" for an error
	}{
		{"200", a2a.GetTask, a2a.V10, 200, "\n{\"id\":\"t\"}\n", `{"id":"t"}`},
		{"201", a2a.SendMessage, a2a.V03, 201, `{"task":{}}`, `{"task":{}}`},
		{"202", a2a.CancelTask, a2a.V03, 202, `{}`, `{}`},
		{"204", a2a.DeletePushConfig, a2a.V10, 204, ``, `{}`},
		{"delete with an empty object", a2a.DeletePushConfig, a2a.V10, 200, `{}`, `{}`},
		{"delete with null", a2a.DeletePushConfig, a2a.V03, 200, `null`, `{}`},
		{"bare list", a2a.ListPushConfigs, a2a.V03, 200, `[{"name":"n"}]`, `{"configs":[{"name":"n"}]}`},
		{"list", a2a.ListPushConfigs, a2a.V03, 200, `{"configs":[]}`, `{"configs":[]}`},
		{"bare list in 1.0", a2a.ListPushConfigs, a2a.V10, 200, `[]`, ``},
		{"half a character", a2a.GetTask, a2a.V10, 200, `{"a":"\ud83d"}`, `{"a":"\ud83d"}`},
		{"404", a2a.GetTask, a2a.V10, 404, `{}`, ``},
		{"302", a2a.GetTask, a2a.V10, 302, `{}`, ``},
		{"empty", a2a.GetTask, a2a.V10, 200, ``, ``},
		{"null", a2a.GetTask, a2a.V10, 200, `null`, ``},
		{"html", a2a.GetTask, a2a.V10, 200, `<html>`, ``},
		{"not UTF-8", a2a.GetTask, a2a.V10, 200, "{\"a\":\"\xff\"}", ``},
		{"deep", a2a.GetTask, a2a.V10, 200, `{"a":` + strings.Repeat("[", 250) + strings.Repeat("]", 250) + `}`, ``},
		{"trailing", a2a.GetTask, a2a.V10, 200, `{}{}`, ``},
	}
	for _, tt := range tests {
		got, err := rest.ReplyPayload(tt.op, tt.v, tt.status, []byte(tt.body))
		if string(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: got %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
	if got := rest.AppendReply(nil, a2a.DeletePushConfig, []byte("null")); string(got) != "{}" {
		t.Errorf("a deletion answers %s", got)
	}
}

func TestContentTypes(t *testing.T) {
	tests := []struct {
		accept, contentType string
		want                bool
	}{
		{"", "", false},
		{"*/*", "application/json", false},
		{"*/*", "application/a2a+json; charset=utf-8", true},
		{"", "application/a2a+json", true},
		{"application/json", "application/a2a+json", false},
		{"application/a2a+json, text/event-stream", "application/json", true},
		{"text/event-stream", "application/a2a+json", false},
	}
	for _, tt := range tests {
		if got := rest.AcceptsA2AJSON(tt.accept, tt.contentType); got != tt.want {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
}

func TestErrorEvents_AreWrittenAndRecognised(t *testing.T) {
	e := &a2a.Error{Code: a2a.CodeTaskNotFound, Message: "line\none"}
	for _, v := range []a2a.Version{a2a.V03, a2a.V10} {
		event := string(rest.AppendErrorEvent(nil, e, v))
		data, ok := strings.CutPrefix(event, "event: error\ndata: ")
		data, ok2 := strings.CutSuffix(data, "\n\n")
		if !ok || !ok2 || strings.Contains(data, "\n") {
			t.Fatalf("got %q", event)
		}
		got, ok := rest.ParseErrorEvent(a2a.SubscribeToTask, v, "error", []byte(data))
		if !ok || got.Code != e.Code || got.Message != e.Message {
			t.Errorf("read back as %+v", got)
		}
	}
	tests := []struct {
		event, data string
		code        int64 // 0 for no error
	}{
		{"message", `{"error":{"code":404,"status":"NOT_FOUND","message":"m"}}`, a2a.CodeTaskNotFound},
		{"message", `{"error":"m"}`, jsonrpc.CodeInternal},
		{"error", `{"code":-32004,"message":"m"}`, a2a.CodeUnsupportedOperation},
		{"error", `not json`, jsonrpc.CodeInternal},
		{"message", `{"task":{"id":"t"},"error":{}}`, 0},
		{"message", `{"statusUpdate":{"metadata":{"error":{}}}}`, 0},
		{"message", `{"error":{"code":1}`, 0},
		{"message", `{"error":null}`, 0},
		{"message", `"error"`, 0},
	}
	for _, tt := range tests {
		got, ok := rest.ParseErrorEvent(a2a.SubscribeToTask, a2a.V10, tt.event, []byte(tt.data))
		if got.Code != tt.code || ok != (tt.code != 0) {
			t.Errorf("%s %s: got %d, %t", tt.event, tt.data, got.Code, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("POST", "/tasks/a%3Ab:cancel", "", []byte(`{"metadata":{}}`))
	f.Add("GET", "/tasks", "contextId=c&pageSize=5&includeArtifacts=true", []byte(``))
	f.Add("GET", "/acme/tasks/t:subscribe", "id=t", []byte(`null`))
	f.Add("POST", "/v1/tasks/t/pushNotificationConfigs", "configId=p", []byte(`{"config":{"pushNotificationConfig":{"url":"u"}}}`))
	f.Add("DELETE", "/v1/tasks/t/pushNotificationConfigs/p%25", "", []byte(``))
	f.Add("POST", "/x/message:send", "", []byte(`{"message":{"taskId":"t"}}`))
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		r, fault := rest.Parse(method, path, query)
		if fault != nil {
			if fault.Message == "" || fault.Code == 0 || r.Version == 0 {
				t.Errorf("%+v with %+v", fault, r)
			}
			return
		}
		if r.Op == a2a.ListTasks && r.Version == a2a.V03 {
			return
		}
		payload, fault := r.Payload(body)
		if fault != nil {
			return
		}
		call := ids(t, r, payload)
		if strings.HasPrefix(call.MessageID, "refused") {
			return
		}
		if call.TaskID != r.TaskID && r.Op.NeedsTask() {
			t.Errorf("the path says %q, %s says %q", r.TaskID, payload, call.TaskID)
		}
		sameReading(t, r, payload)
	})
}
