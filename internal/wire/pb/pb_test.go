package pb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// there returns the JSON that a message in JSON is after the way through protobuf.
func there(t *testing.T, k messageKind, text string) string {
	t.Helper()
	payload, err := pb.FromJSON(k.v, k.op, k.m, []byte(text))
	if err != nil {
		t.Fatalf("FromJSON(%s): %v", text, err)
	}
	back, err := pb.ToJSON(k.v, k.op, k.m, payload)
	if err != nil {
		t.Fatalf("ToJSON: %v", err)
	}
	return string(back)
}

var (
	send10  = messageKind{a2a.V10, a2a.SendMessage, pb.Request}
	send03  = messageKind{a2a.V03, a2a.SendMessage, pb.Request}
	event10 = messageKind{a2a.V10, a2a.SendStreamingMessage, pb.Event}
	event03 = messageKind{a2a.V03, a2a.SendStreamingMessage, pb.Event}
	tasks10 = messageKind{a2a.V10, a2a.ListTasks, pb.Request}
	card10  = messageKind{a2a.V10, a2a.GetExtendedCard, pb.Result}
	card03  = messageKind{a2a.V03, a2a.GetExtendedCard, pb.Result}
)

func TestRoundTrip_KeepsOrderAndExplicitDefaults(t *testing.T) {
	tests := []struct {
		name string
		k    messageKind
		text string
	}{
		{"a message of 1.0", send10, `{"metadata":{"z":1,"a":{"y":null,"b":[1.5,"x",false,{}]}},"message":{"parts":[{"text":"hi","mediaType":"text/plain"},` +
			`{"filename":"a","raw":"AP8+Pw=="},{"url":""},{"data":null},{"data":[1,"2",{"3":4}]},{"data":{"b":1,"a":9007199254740992}}],"role":"ROLE_USER",` +
			`"messageId":"m","taskId":"","contextId":"c","extensions":["u"],"referenceTaskIds":["t",""]},"configuration":{"returnImmediately":false,` +
			`"historyLength":0,"acceptedOutputModes":["text/plain"],"taskPushNotificationConfig":{"url":"u","authentication":{"credentials":"c","scheme":"Bearer"}}},"tenant":""}`},
		{"a message of 0.3", send03, `{"message":{"messageId":"m","content":[{"text":"hi"},{"file":{"fileWithBytes":"AP8=","mimeType":"x/y","name":"n"}},` +
			`{"file":{"fileWithUri":"https://f"}},{"data":{"data":{"b":1,"a":[]}},"metadata":{}}],"role":"ROLE_AGENT"},"configuration":{"blocking":false,` +
			`"historyLength":0,"pushNotification":{"id":"p","url":"u","token":"t","authentication":{"schemes":["a","b"],"credentials":"c"}}},"metadata":{"k":"v"}}`},
		{"an event of 1.0", event10, `{"statusUpdate":{"status":{"timestamp":"2026-02-03T04:05:06.789Z","state":"TASK_STATE_CANCELED","message":{"messageId":"m","parts":[{"text":""}]}},"taskId":"t","contextId":"c"}}`},
		{"an event of 0.3", event03, `{"statusUpdate":{"final":false,"taskId":"t","status":{"state":"TASK_STATE_CANCELLED","message":{"content":[{"text":"x"}]},"timestamp":"2026-02-03T04:05:06Z"}}}`},
		{"an artifact", event10, `{"artifactUpdate":{"artifact":{"artifactId":"a","parts":[{"raw":""}]},"append":false,"lastChunk":true}}`},
		{"an artifact of 0.3", event03, `{"artifactUpdate":{"artifact":{"description":"d","name":"n","artifactId":"a","parts":[{"text":"x"}],"extensions":["e"],"metadata":{}},"lastChunk":true}}`},
		{"a message as answer", event03, `{"message":{"messageId":"m","role":"ROLE_AGENT"}}`},
		{"a task", event10, `{"task":{"id":"t","history":[{"messageId":"1"},{}],"artifacts":[{}],"status":{"state":"TASK_STATE_UNSPECIFIED"}}}`},
		{"a state to come", event10, `{"task":{"id":"t","status":{"state":99}}}`},
		{"an oneof without a member", event10, `{}`},
		{"a filter", tasks10, `{"includeArtifacts":false,"pageSize":0,"status":"TASK_STATE_WORKING","statusTimestampAfter":"1969-12-31T23:59:59.000000001Z","contextId":"c"}`},
		{"a page of tasks", messageKind{a2a.V10, a2a.ListTasks, pb.Result}, `{"tasks":[{"id":"1"},{"id":"2"}],"nextPageToken":"","pageSize":2,"totalSize":0}`},
		{"names of 0.3", messageKind{a2a.V03, a2a.CreatePushConfig, pb.Request}, `{"parent":"tasks/t","configId":"c","config":{"name":"tasks/t/pushNotificationConfigs/c","pushNotificationConfig":{"id":"c"}}}`},
		{"nothing", messageKind{a2a.V10, a2a.DeletePushConfig, pb.Result}, `{}`},
		{"a card of 1.0", card10, `{"name":"A","supportedInterfaces":[{"url":"u","protocolBinding":"GRPC","protocolVersion":"1.0","tenant":"x"}],"capabilities":{"streaming":false,` +
			`"extensions":[{"uri":"e","required":false,"params":{"a":1}}],"extendedAgentCard":true},"securitySchemes":{"z":{"oauth2SecurityScheme":{"flows":{"deviceCode":` +
			`{"deviceAuthorizationUrl":"d","scopes":{"b":"1","a":"2"}}}}},"a":{"mtlsSecurityScheme":{}},"k":{"apiKeySecurityScheme":{"location":"header","name":"n"}}},` +
			`"securityRequirements":[{"schemes":{"z":{"list":["b","a"]},"a":{}}}],"skills":[{"id":"s","tags":["t"],"securityRequirements":[{"schemes":{"k":{}}}]}],` +
			`"signatures":[{"protected":"p","signature":"s","header":{"kid":"k"}}],"iconUrl":""}`},
		{"a card of 0.3", card03, `{"protocolVersion":"0.3.0","name":"A","url":"u","preferredTransport":"GRPC","additionalInterfaces":[{"url":"u","transport":"GRPC"}],` +
			`"capabilities":{"stateTransitionHistory":false,"pushNotifications":true},"securitySchemes":{"z":{"type":"oauth2","description":"d","flows":{"clientCredentials":` +
			`{"tokenUrl":"t","scopes":{"b":"1","a":"2"}}}},"k":{"type":"apiKey","in":"header","name":"n"},"h":{"type":"http","scheme":"bearer","bearerFormat":"JWT"},` +
			`"o":{"type":"openIdConnect","openIdConnectUrl":"u"},"m":{"type":"mutualTLS"}},"security":[{"z":["b","a"],"k":[]},{}],"supportsAuthenticatedExtendedCard":false,` +
			`"skills":[{"id":"s","security":[{"k":[]}]}],"signatures":[{"signature":"s"}],"provider":{"url":"u","organization":"o"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !json.Valid([]byte(tt.text)) {
				t.Fatal("the test is no JSON")
			}
			if got := there(t, tt.k, tt.text); got != tt.text {
				t.Errorf("came back as\n     %s\nwant %s", got, tt.text)
			}
		})
	}
}

func TestFromJSON_ReadsWhatWritersMake(t *testing.T) {
	tests := []struct {
		name       string
		k          messageKind
		text, want string
	}{
		{"snake_case", send10, `{"message":{"message_id":"m","reference_task_ids":["t"]}}`, `{"message":{"messageId":"m","referenceTaskIds":["t"]}}`},
		{"parts in 0.3", send03, `{"request":{"parts":[{"text":"x"}]}}`, `{"message":{"content":[{"text":"x"}]}}`},
		{"msg in 0.3", event03, `{"msg":{"message_id":"m"}}`, `{"message":{"messageId":"m"}}`},
		{"both L", event10, `{"task":{"status":{"state":"TASK_STATE_CANCELLED"}}}`, `{"task":{"status":{"state":"TASK_STATE_CANCELED"}}}`},
		{"lower case states", event10, `{"task":{"status":{"state":"input-required","message":{"role":"agent"}}}}`, `{"task":{"status":{"state":"TASK_STATE_INPUT_REQUIRED","message":{"role":"ROLE_AGENT"}}}}`},
		{"integer states", event10, `{"task":{"status":{"state":5,"message":{"role":1.0}}}}`, `{"task":{"status":{"state":"TASK_STATE_CANCELED","message":{"role":"ROLE_USER"}}}}`},
		{"a state that nobody knows", event10, `{"task":{"status":{"state":"TASK_STATE_PAUSED"}}}`, `{"task":{"status":{"state":"TASK_STATE_UNSPECIFIED"}}}`},
		{"time without an offset", event10, `{"task":{"status":{"timestamp":"2026-02-03T04:05:06.7891"}}}`, `{"task":{"status":{"timestamp":"2026-02-03T04:05:06.789100Z"}}}`},
		{"time with an offset", event10, `{"task":{"status":{"timestamp":"2026-02-03T04:05:06+01:30"}}}`, `{"task":{"status":{"timestamp":"2026-02-03T02:35:06Z"}}}`},
		{"time with ten digits", event10, `{"task":{"status":{"timestamp":"2026-02-03 04:05:06.0000000019"}}}`, `{"task":{"status":{"timestamp":"2026-02-03T04:05:06.000000001Z"}}}`},
		{"no time", event10, `{"task":{"status":{"timestamp":""}}}`, `{"task":{"status":{}}}`},
		{"base64url without padding", send10, `{"message":{"parts":[{"raw":"_-8"},{"raw":"\/+8="},{"raw":"QQ="}]}}`, `{"message":{"parts":[{"raw":"/+8="},{"raw":"/+8="},{"raw":"QQ=="}]}}`},
		{"integers in other forms", tasks10, `{"pageSize":"7","historyLength":1e2}`, `{"pageSize":7,"historyLength":100}`},
		{"lists without list", card10, `{"securityRequirements":[{"schemes":{"x":["s"]}}]}`, `{"securityRequirements":[{"schemes":{"x":{"list":["s"]}}}]}`},
		{
			"ProtoJSON in a card of 0.3", card03, `{"securitySchemes":{"x":{"apiKeySecurityScheme":{"location":"query"}}},"security":[{"schemes":{"x":{"list":["s"]}}}]}`,
			`{"securitySchemes":{"x":{"type":"apiKey","in":"query"}},"security":[{"x":["s"]}]}`,
		},
		{"a type behind what it decides on", card03, `{"securitySchemes":{"x":{"name":"n","in":"cookie","type":"apiKey"}}}`, `{"securitySchemes":{"x":{"type":"apiKey","name":"n","in":"cookie"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := there(t, tt.k, tt.text); got != tt.want {
				t.Errorf("came back as %s, want %s", got, tt.want)
			}
		})
	}
}

// What protobuf cannot carry. Each row stands in the documentation of translation.
func TestFromJSON_DropsWhatProtobufCannotCarry(t *testing.T) {
	tests := []struct {
		name       string
		k          messageKind
		text, want string
	}{
		{"unknown members", send10, `{"x":{"y":[1]},"message":{"messageId":"m","kind":"message"}}`, `{"message":{"messageId":"m"}}`},
		{"null members", send10, `{"message":{"taskId":null,"parts":null,"metadata":null}}`, `{"message":{}}`},
		{"empty lists", send10, `{"message":{"parts":[],"extensions":[]}}`, `{"message":{}}`},
		{"empty maps", card10, `{"securitySchemes":{},"securityRequirements":[{"schemes":{"a":{"list":[]}}}]}`, `{"securityRequirements":[{"schemes":{"a":{}}}]}`},
		{"integers over 2^53", send10, `{"metadata":{"n":9007199254740993}}`, `{"metadata":{"n":9007199254740992}}`},
		{"digits of numbers", send10, `{"metadata":{"n":1.0,"m":1e2,"k":0.10000000000000000001}}`, `{"metadata":{"n":1,"m":100,"k":0.1}}`},
		{"members of data that stand twice", send10, `{"metadata":{"a":1,"b":2,"a":3}}`, `{"metadata":{"a":3,"b":2}}`},
		{"halves of surrogate pairs", send10, `{"message":{"messageId":"\ud83d!"},"metadata":{"a":"\udc00"}}`, `{"message":{"messageId":"` + "\ufffd" + `!"},"metadata":{"a":"` + "\ufffd" + `"}}`},
		{"escapes and spaces", send10, ` { "message" : {"messageId":"\u0061\/"} } `, `{"message":{"messageId":"a/"}}`},
		{"several members of a oneof", send10, `{"message":{"parts":[{"text":"a","url":"b"}]}}`, `{"message":{"parts":[{"url":"b"}]}}`},
		{"several flows", card03, `{"securitySchemes":{"x":{"type":"oauth2","flows":{"implicit":{},"password":{}}}}}`, `{"securitySchemes":{"x":{"type":"oauth2","flows":{"password":{}}}}}`},
		{"security schemes of other types", card03, `{"securitySchemes":{"x":{"type":"other","a":1}}}`, `{"securitySchemes":{"x":{}}}`},
		{"the offset of a time", event10, `{"task":{"status":{"timestamp":"2026-02-03T04:05:06.100000Z"}}}`, `{"task":{"status":{"timestamp":"2026-02-03T04:05:06.100Z"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := there(t, tt.k, tt.text); got != tt.want {
				t.Errorf("came back as %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFromJSON_Refuses(t *testing.T) {
	tests := []struct {
		name string
		k    messageKind
		text string
		want string
	}{
		{"a string that is a number", send10, `{"message":{"messageId":1}}`, "Message.messageId is not a string"},
		{"a message that is a string", send10, `{"message":"x"}`, "SendMessageRequest.message is not an object"},
		{"a list that is an object", send10, `{"message":{"parts":{}}}`, "Message.parts is not an array"},
		{"an element that is null", send10, `{"message":{"parts":[null]}}`, "Message.parts is not an object"},
		{"metadata that is a list", send10, `{"metadata":[]}`, "SendMessageRequest.metadata is not an object"},
		{"a flag that is a string", send10, `{"configuration":{"returnImmediately":"true"}}`, "SendMessageConfiguration.returnImmediately is not a boolean"},
		{"an integer that is not one", send10, `{"configuration":{"historyLength":1.5}}`, "SendMessageConfiguration.historyLength is not an integer"},
		{"an integer too large", send10, `{"configuration":{"historyLength":2147483648}}`, "SendMessageConfiguration.historyLength is not an integer"},
		{"an integer of another language", send10, `{"configuration":{"historyLength":"0x10"}}`, "SendMessageConfiguration.historyLength is not an integer"},
		{"an unknown role in a request", send10, `{"message":{"role":"ROLE_SYSTEM"}}`, `unknown value "ROLE_SYSTEM"`},
		{"bytes that are no base64", send10, `{"message":{"parts":[{"raw":"a*"}]}}`, "Part.raw is not base64"},
		{"a time that is none", event10, `{"task":{"status":{"timestamp":"yesterday"}}}`, "TaskStatus.timestamp is not a timestamp"},
		{"a time before year 1", event10, `{"task":{"status":{"timestamp":"0001-01-01T00:00:00+01:00"}}}`, "TaskStatus.timestamp is not a timestamp"},
		{"a number too large", send10, `{"metadata":{"n":1e400}}`, "too large for a double"},
		{"a member twice", send10, `{"message":{"taskId":"a","task_id":"b"}}`, "Message has taskId twice"},
		{"a scheme that is a list", card03, `{"securitySchemes":{"x":[]}}`, "AgentCard.securitySchemes is not an object"},
		{"a type that is a number", card03, `{"securitySchemes":{"x":{"type":1}}}`, "SecurityScheme.type is not one string"},
		{"half an object", send10, `{"message":{`, "not valid JSON"},
		{"two objects", send10, `{}{}`, "more follows"},
		{"a list", send10, `[]`, "not an object"},
		{"null for a result", event10, `null`, "not an object"},
		{"what is not UTF-8", send10, "{\"tenant\":\"\xff\"}", "not UTF-8"},
		{"a bomb", send10, `{"metadata":{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}}`, "nested deeper"},
		{"an operation that 0.3 does not have", messageKind{a2a.V03, a2a.ListTasks, pb.Request}, `{}`, "no such message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pb.FromJSON(tt.k.v, tt.k.op, tt.k.m, []byte(tt.text))
			if !errors.Is(err, pb.ErrPayload) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("FromJSON = %q, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
}

func TestFromJSON_OfNothing(t *testing.T) {
	for _, text := range []string{"", "null", " null\n", "{}"} {
		for _, k := range []messageKind{{a2a.V10, a2a.GetExtendedCard, pb.Request}, {a2a.V03, a2a.DeletePushConfig, pb.Result}} {
			if got, err := pb.FromJSON(k.v, k.op, k.m, []byte(text)); err != nil || len(got) != 0 {
				t.Errorf("FromJSON(%q) = %x, %v, want nothing", text, got, err)
			}
		}
	}
}

// field appends a field with bytes.
func field(dst []byte, num protowire.Number, value ...byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), value)
}

func TestToJSON_ReadsTheWireAsParsersDo(t *testing.T) {
	str := func(dst []byte, num protowire.Number, text string) []byte { return field(dst, num, []byte(text)...) }
	zero := func(dst []byte, num protowire.Number) []byte {
		return append(protowire.AppendTag(dst, num, protowire.VarintType), 0)
	}
	entry := func(key, value string) []byte { return str(str(nil, 1, key), 2, value) }
	number := func(n float64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), math.Float64bits(n))
	}
	meta := func(value []byte) []byte {
		return field(nil, 4, field(nil, 1, field(str(nil, 1, "k"), 2, value...)...)...)
	}
	tests := []struct {
		name    string
		k       messageKind
		payload []byte
		want    string
	}{
		{"the last scalar in the place of the first", send10, str(field(str(nil, 1, "a"), 2), 1, "b"), `{"tenant":"b","message":{}}`},
		{
			"parts of a message merged", send10, field(str(field(nil, 2, str(str(nil, 1, "m"), 7, "x")...), 1, "t"), 2, str(str(nil, 3, "t"), 7, "y")...),
			`{"message":{"messageId":"m","extensions":["x","y"],"taskId":"t"},"tenant":"t"}`,
		},
		{"lists gathered", send10, field(nil, 2, str(str(str(nil, 7, "a"), 1, "m"), 7, "b")...), `{"message":{"extensions":["a","b"],"messageId":"m"}}`},
		{"the last member of a oneof", event10, field(field(field(nil, 1, str(nil, 1, "a")...), 2, str(nil, 1, "m")...), 1, str(nil, 2, "c")...), `{"task":{"contextId":"c"}}`},
		{"parts of a oneof merged", event10, field(field(nil, 1, str(nil, 1, "a")...), 1, str(nil, 2, "c")...), `{"task":{"id":"a","contextId":"c"}}`},
		{"explicit defaults", tasks10, zero(zero(zero(zero(field(nil, 1), 3), 4), 6), 8), `{"tenant":"","status":"TASK_STATE_UNSPECIFIED","pageSize":0,"historyLength":0,"includeArtifacts":false}`},
		{"fields of foreign types", send10, zero(zero(str(nil, 1, "t"), 1), 2), `{"tenant":"t"}`},
		{"unknown fields", send10, str(zero(str(nil, 99, "x"), 77), 1, "t"), `{"tenant":"t"}`},
		{
			"the last entry of a key in the place of the first", card03,
			field(nil, 8, field(str(nil, 1, "s"), 2, field(nil, 3, field(nil, 2, field(nil, 2,
				field(field(field(nil, 3, entry("a", "1")...), 3, entry("b", "2")...), 3, entry("a", "3")...)...)...)...)...)...),
			`{"securitySchemes":{"s":{"type":"oauth2","flows":{"clientCredentials":{"scopes":{"a":"3","b":"2"}}}}}}`,
		},
		{"an entry without key and value", card10, field(nil, 8), `{"securitySchemes":{"":{}}}`},
		{"a value that is not set", send10, meta(nil), `{"metadata":{"k":null}}`},
		{"numbers", send10, meta(number(1 << 53)), `{"metadata":{"k":9007199254740992}}`},
		{"large numbers", send10, meta(number(1e21)), `{"metadata":{"k":1e+21}}`},
		{"small numbers", send10, meta(number(1e-7)), `{"metadata":{"k":1e-7}}`},
		{"an empty struct", send10, field(nil, 4), `{"metadata":{}}`},
		{"integers cut to 32 bits", tasks10, protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 1<<32+7), `{"pageSize":7}`},
		{"a timestamp of 1970", tasks10, field(nil, 7), `{"statusTimestampAfter":"1970-01-01T00:00:00Z"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pb.ToJSON(tt.k.v, tt.k.op, tt.k.m, tt.payload)
			if err != nil || string(got) != tt.want {
				t.Errorf("ToJSON = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestToJSON_Refuses(t *testing.T) {
	deep := func(n int) []byte {
		value := []byte{}
		for range n {
			value = field(nil, 6, field(nil, 1, value...)...)
		}
		return field(nil, 4, field(nil, 1, field(nil, 2, value...)...)...)
	}
	number := func(bits uint64) []byte {
		n := protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), bits)
		return field(nil, 4, field(nil, 1, field(nil, 2, n...)...)...)
	}
	tests := []struct {
		name    string
		k       messageKind
		payload []byte
		want    string
	}{
		{"half a field", send10, []byte{0x0a, 5, 'x'}, "malformed"},
		{"half a tag", send10, []byte{0x80}, "malformed"},
		{"field 0", send10, []byte{0x02, 0}, "malformed"},
		{"a string that is not UTF-8", send10, field(nil, 1, 0xff), "SendMessageRequest.tenant is not UTF-8"},
		{"a key that is not UTF-8", send10, field(nil, 4, field(nil, 1, field(nil, 1, 0xff)...)...), "is not UTF-8"},
		{"a list that is not UTF-8", send10, field(nil, 2, field(field(nil, 7, 0xff), 7, 'a')...), "Message.extensions is not UTF-8"},
		{"not a number", send10, number(math.Float64bits(math.NaN())), "not finite"},
		{"infinity", send10, number(math.Float64bits(math.Inf(-1))), "not finite"},
		{"a time out of range", tasks10, field(nil, 7, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), "out of range"},
		{"a bomb", send10, deep(300), "nested deeper"},
		{"a bomb in parts", send10, append(deep(300), deep(300)...), "nested deeper"},
		{"an event of a call that streams nothing", messageKind{a2a.V10, a2a.GetTask, pb.Event}, nil, "no such message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pb.ToJSON(tt.k.v, tt.k.op, tt.k.m, tt.payload)
			if !errors.Is(err, pb.ErrPayload) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ToJSON = %s, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
	t.Run("as deep as allowed", func(t *testing.T) {
		got, err := pb.ToJSON(a2a.V10, a2a.SendMessage, pb.Request, deep(198))
		if err != nil || jsonrpc.CheckDepth(got, jsonrpc.MaxDepth) >= 0 || jsonrpc.CheckDepth(got, jsonrpc.MaxDepth-1) < 0 {
			t.Errorf("ToJSON = %s, %v, want it nested %d deep", got, err, jsonrpc.MaxDepth)
		}
		if _, err := pb.ToJSON(a2a.V10, a2a.SendMessage, pb.Request, deep(199)); err == nil {
			t.Error("one level more is allowed")
		}
	})
}

// A message in many parts is read once, however it is nested.
func TestToJSON_OfManyPartsIsLinear(t *testing.T) {
	var payload []byte
	for range 20000 {
		payload = append(payload, field(nil, 4, field(nil, 1, field(field(nil, 1, 'k'), 2, field(nil, 5, field(nil, 1, 0x0a, 0)...)...)...)...)...)
	}
	got, err := pb.ToJSON(a2a.V10, a2a.SendMessage, pb.Request, payload)
	if want := `{"metadata":{"k":{"":null}}}`; err != nil || string(got) != want {
		t.Errorf("ToJSON = %.100s, %v, want %s", got, err, want)
	}
	var many []byte
	for i := range 50000 {
		key := protowire.AppendVarint(nil, uint64(i%40000))
		if !bytes.ContainsFunc(key, func(r rune) bool { return r == '\ufffd' }) {
			many = append(many, field(nil, 1, field(nil, 1, key...)...)...)
		}
	}
	if _, err := pb.ToJSON(a2a.V10, a2a.SendMessage, pb.Request, field(nil, 4, many...)); err != nil {
		t.Errorf("ToJSON of a large map: %v", err)
	}
}
