package jsonrpc_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

func TestParseRequest_ReadsTheEnvelope(t *testing.T) {
	tests := []struct {
		name, body string
		want       jsonrpc.Request
	}{
		{
			"usual", `{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"id":"t"}}`,
			jsonrpc.Request{ID: []byte("7"), Method: "GetTask", Params: []byte(`{"id":"t"}`), ParamsOffset: 52},
		},
		{
			"any order and space", " {\n\"params\" : {} , \"method\":\"m\",\"id\":\"a\", \"jsonrpc\":\"2.0\"}\t\n",
			jsonrpc.Request{ID: []byte(`"a"`), Method: "m", Params: []byte(`{}`), ParamsOffset: 14},
		},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"m"}`, jsonrpc.Request{ID: []byte("null"), Method: "m"}},
		{
			"null params", `{"jsonrpc":"2.0","id":1,"method":"m","params":null}`,
			jsonrpc.Request{ID: []byte("1"), Method: "m", Params: []byte("null"), ParamsOffset: 46},
		},
		{
			"big id kept as sent", `{"jsonrpc":"2.0","id":9007199254740993,"method":"m"}`,
			jsonrpc.Request{ID: []byte("9007199254740993"), Method: "m"},
		},
		{
			"escaped method and version", `{"jsonrpc":"2\u002e0","id":1,"method":"message\/send"}`,
			jsonrpc.Request{ID: []byte("1"), Method: "message/send"},
		},
		{"escaped name", `{"jsonrpc":"2.0","\u0069d":1,"method":"m"}`, jsonrpc.Request{ID: []byte("1"), Method: "m"}},
		{
			"unknown members", `{"jsonrpc":"2.0","id":1,"method":"m","trace":{"a":1,"a":2},"x":[]}`,
			jsonrpc.Request{ID: []byte("1"), Method: "m"},
		},
		{
			"duplicates below params", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1,"a":2}}`,
			jsonrpc.Request{ID: []byte("1"), Method: "m", Params: []byte(`{"a":1,"a":2}`), ParamsOffset: 46},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonrpc.ParseRequest([]byte(tt.body))
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRequest_Refuses(t *testing.T) {
	deep := func(n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}`
	}
	tests := []struct {
		name, body string
		code       int
		message    string // a part of it
		id         string
	}{
		{"empty", ``, -32700, "byte 0", ""},
		{"space only", "  ", -32700, "byte 2", ""},
		{"byte order mark", "\xef\xbb\xbf{}", -32700, "byte order mark", ""},
		{"cut off", `{"jsonrpc":"2.0","id":1,"method":"m"`, -32700, "byte 36", ""},
		{"data after the value", `{"jsonrpc":"2.0","id":1,"method":"m"}{}`, -32700, "byte 37", ""},
		{"garbage after the value", `{"jsonrpc":"2.0","id":1,"method":"m"}x`, -32700, "byte 37", ""},
		{"trailing comma", `{"jsonrpc":"2.0","id":1,}`, -32700, "byte 23", ""},
		{"invalid UTF-8 in a string", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", -32700, "UTF-8", ""},
		{"invalid UTF-8 deep inside", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":[\"\xc0\x80\"]}}", -32700, "UTF-8", ""},
		{"half a surrogate pair", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\ud800"}}`, -32700, "byte", ""},
		{"a comment", `{"jsonrpc":"2.0",/**/"id":1,"method":"m"}`, -32700, "byte 17", ""},
		{"NaN", `{"jsonrpc":"2.0","id":NaN,"method":"m"}`, -32700, "byte 22", ""},
		{"leading zero", `{"jsonrpc":"2.0","id":01,"method":"m"}`, -32700, "byte 23", ""},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"m"}]`, -32600, "one by one", ""},
		{"empty batch", `[]`, -32600, "one by one", ""},
		{"malformed batch", `[1,`, -32700, "byte 3", ""},
		{"a string", `"x"`, -32600, "not a JSON object", ""},
		{"null", `null`, -32600, "not a JSON object", ""},
		{"bomb", strings.Repeat("[", 1<<20), -32600, "200 levels at byte 200", ""},
		{"bomb of objects", strings.Repeat(`{"a":`, 1<<18), -32600, "200 levels", ""},
		{"one level too deep", deep(199), -32600, "200 levels", ""},
		{"id twice", `{"jsonrpc":"2.0","id":1,"method":"m","id":2}`, -32600, "twice", ""},
		{"id in another case", `{"jsonrpc":"2.0","id":1,"method":"m","ID":2}`, -32600, "twice", ""},
		{"id with underscore", `{"jsonrpc":"2.0","id":1,"method":"m","i_d":2}`, -32600, "twice", ""},
		{"method escaped twice", `{"jsonrpc":"2.0","id":1,"method":"m","m\u0065thod":"n"}`, -32600, "twice", "1"},
		{"params with long s", `{"jsonrpc":"2.0","id":1,"method":"m","params":{},"paramſ":{}}`, -32600, "twice", "1"},
		{"unknown twice", `{"jsonrpc":"2.0","id":1,"method":"m","x":1,"X":2}`, -32600, "twice", "1"},
		{"unknown Kelvin", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"k\":1,\"\u212a\":2}", -32600, "twice", "1"},
		{"only another spelling", `{"jsonrpc":"2.0","id":1,"Method":"m"}`, -32600, `spell it "method"`, "1"},
		{"only Id", `{"jsonrpc":"2.0","Id":1,"method":"m"}`, -32600, `spell it "id"`, ""},
		{"json_rpc", `{"json_rpc":"2.0","id":1,"method":"m"}`, -32600, `spell it "jsonrpc"`, "1"},
		{"paramſ", `{"jsonrpc":"2.0","id":1,"method":"m","paramſ":{}}`, -32600, `spell it "params"`, "1"},
		{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"m"}`, -32600, `"2.0"`, "1"},
		{"version a number", `{"jsonrpc":2.0,"id":1,"method":"m"}`, -32600, `"2.0"`, "1"},
		{"no version", `{"id":1,"method":"m"}`, -32600, "jsonrpc is missing", "1"},
		{"no method", `{"jsonrpc":"2.0","id":"x"}`, -32600, "method is missing", `"x"`},
		{"method a number", `{"jsonrpc":"2.0","method":1,"id":"x"}`, -32600, "method is not a string", `"x"`},
		{"method null", `{"jsonrpc":"2.0","method":null,"id":"x"}`, -32600, "method is not a string", `"x"`},
		{"id true", `{"jsonrpc":"2.0","id":true,"method":"m"}`, -32600, "id is neither", ""},
		{"id an object", `{"jsonrpc":"2.0","id":{},"method":"m"}`, -32600, "id is neither", ""},
		{"no id", `{"jsonrpc":"2.0","method":"m"}`, -32600, "id is missing", ""},
		{"params an array", `{"jsonrpc":"2.0","id":5,"method":"m","params":[]}`, -32602, "not an object", "5"},
		{"params a string", `{"jsonrpc":"2.0","params":"x","method":"m","id":5}`, -32602, "not an object", "5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := jsonrpc.ParseRequest([]byte(tt.body))
			if err == nil {
				t.Fatalf("accepted as %+v", req)
			}
			if err.Code != tt.code || !strings.Contains(err.Message, tt.message) {
				t.Errorf("got %d %q, want %d with %q", err.Code, err.Message, tt.code, tt.message)
			}
			if string(req.ID) != tt.id {
				t.Errorf("got id %q, want %q", req.ID, tt.id)
			}
			if err.Reason == "" {
				t.Error("no reason")
			}
		})
	}
	if _, err := jsonrpc.ParseRequest([]byte(deep(198))); err != nil {
		t.Errorf("200 levels are refused: %v", err)
	}
}

func TestParseRequest_ManyMembersStayCheap(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":1,"method":"m"`)
	for i := range 200_000 {
		b.WriteString(`,"x` + strconv.Itoa(i) + `":0`)
	}
	if _, err := jsonrpc.ParseRequest([]byte(b.String() + `}`)); err != nil {
		t.Errorf("distinct members are refused: %v", err)
	}
	if _, err := jsonrpc.ParseRequest([]byte(b.String() + `,"X_7":0}`)); err == nil {
		t.Error("a duplicate among many members is missed")
	}
}

func TestParseRequest_DoesNotRepeatLongNames(t *testing.T) {
	name := strings.Repeat("n", 1<<20)
	_, err := jsonrpc.ParseRequest([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","` + name + `":0,"` + name + `":0}`))
	if err == nil || len(err.Message) > 200 {
		t.Errorf("got %.300v", err)
	}
}

func TestCheckDepth_LooksOnlyAtBracketsOutsideStrings(t *testing.T) {
	tests := []struct {
		text string
		want int
	}{
		{`[[1]]`, -1},
		{`[[[1]]]`, 2},
		{`["[[[[\"[[[[","\\",[]]`, -1},
		{`["\\\"[[[["]`, -1},
		{`["\\",[[]]]`, 7},
		{`["unterminated [[[`, -1},
		{`[],[],[],[]`, -1},
	}
	for _, tt := range tests {
		if got := jsonrpc.CheckDepth([]byte(tt.text), 2); got != tt.want {
			t.Errorf("CheckDepth(%s) = %d, want %d", tt.text, got, tt.want)
		}
	}
}

func TestNameSet_FindsWhatFoldsTogether(t *testing.T) {
	same := [][]string{
		{"taskId", "task_id", "TaskID", "TASK_ID", "ta\u017fkId", "tas\u212aid", "_task__Id_"},
		{"ß", "ẞ"},
		{"σ", "ς", "Σ"},
		{"", "_", "__"},
	}
	for _, group := range same {
		var set jsonrpc.NameSet
		for i, name := range group {
			if _, dup := set.Add([]byte(name)); dup != (i > 0) {
				t.Errorf("Add(%q) says duplicate %v after %q", name, dup, group[:i])
			}
		}
	}
	var set jsonrpc.NameSet
	for i := range 1000 {
		name := []byte(strings.Repeat("n", 1+i))
		if _, dup := set.Add(name); dup {
			t.Fatalf("%d n are no duplicate", 1+i)
		}
	}
	if _, dup := set.Add(bytes.ToUpper([]byte(strings.Repeat("n", 777)))); !dup {
		t.Error("a duplicate is missed in a large set")
	}
	set.Reset()
	if _, dup := set.Add([]byte("n")); dup {
		t.Error("the set is not empty after Reset")
	}
}

func TestAppendError_WritesIDsAndTextAsTheyAre(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{
			"error", jsonrpc.AppendError(nil, []byte(`"a\u0062"`), &jsonrpc.Error{Code: -32601, Message: "no <method> \"x\"\n"}),
			`{"jsonrpc":"2.0","id":"a\u0062","error":{"code":-32601,"message":"no <method> \"x\"\n"}}`,
		},
		{
			"error with data", jsonrpc.AppendError([]byte("> "), nil, &jsonrpc.Error{Code: 1, Data: []byte(`[{"a":1}]`)}),
			`> {"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"","data":[{"a":1}]}}`,
		},
		{
			"result", jsonrpc.AppendResult(nil, []byte("9007199254740993"), []byte(`{"x":"<&>"}`)),
			`{"jsonrpc":"2.0","id":9007199254740993,"result":{"x":"<&>"}}`,
		},
		{"null result", jsonrpc.AppendResult(nil, nil, nil), `{"jsonrpc":"2.0","id":null,"result":null}`},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestSameID_ComparesValues(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{`1`, `1`, true},
		{`1`, `1.0`, true},
		{`100`, `1e2`, true},
		{`1e2`, `1E+2`, true},
		{`0`, `-0.0`, true},
		{`0e5`, `0`, true},
		{`0.01`, `1e-2`, true},
		{`-5`, `5`, false},
		{`1`, `10`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`1e999999999999`, `1e999999999999`, true},
		{`1e999999999999`, `10e999999999998`, false},
		{`1e400`, `1e401`, false},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"b"`, false},
		{`"1"`, `1`, false},
		{`null`, `null`, true},
		{``, `null`, true},
		{`null`, `0`, false},
		{`"null"`, `null`, false},
		{`"\ud800"`, `"\ud801"`, false},
	}
	for _, tt := range tests {
		if got := jsonrpc.SameID([]byte(tt.a), []byte(tt.b)); got != tt.want {
			t.Errorf("SameID(%s, %s) = %v", tt.a, tt.b, got)
		}
		if got := jsonrpc.SameID([]byte(tt.b), []byte(tt.a)); got != tt.want {
			t.Errorf("SameID(%s, %s) = %v", tt.b, tt.a, got)
		}
	}
}
