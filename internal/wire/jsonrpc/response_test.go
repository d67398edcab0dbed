package jsonrpc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

func TestParseResponse_ReadsTheEnvelope(t *testing.T) {
	tests := []struct {
		name, body string
		want       jsonrpc.Response
	}{
		{
			"result", `{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t"}}}`,
			jsonrpc.Response{ID: []byte("1"), Result: []byte(`{"task":{"id":"t"}}`)},
		},
		{"null result", `{"jsonrpc":"2.0","id":1,"result":null}`, jsonrpc.Response{ID: []byte("1"), Result: []byte("null")}},
		{"no result, as a2a-go answers a delete", `{"jsonrpc":"2.0","id":"x"}`, jsonrpc.Response{ID: []byte(`"x"`)}},
		{"null error", `{"jsonrpc":"2.0","id":1,"result":{},"error":null}`, jsonrpc.Response{ID: []byte("1"), Result: []byte("{}")}},
		{
			"error", `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"no such task","data":[{"a":1}],"x":1}}`,
			jsonrpc.Response{ID: []byte("null"), Error: &jsonrpc.ErrorObject{Code: -32001, Message: "no such task", Data: []byte(`[{"a":1}]`)}},
		},
		{
			"error beside a null result", `{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1}}`,
			jsonrpc.Response{ID: []byte("1"), Error: &jsonrpc.ErrorObject{Code: 1}},
		},
		{
			"error without id", `{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}`,
			jsonrpc.Response{Error: &jsonrpc.ErrorObject{Code: 1, Message: "x"}},
		},
		{
			"half an emoji in a chunk of text", `{"jsonrpc":"2.0","id":1,"result":{"text":"\ud83d"}}`,
			jsonrpc.Response{ID: []byte("1"), Result: []byte(`{"text":"\ud83d"}`)},
		},
		{
			"half an emoji in a message", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"\ud83d"}}`,
			jsonrpc.Response{ID: []byte("1"), Error: &jsonrpc.ErrorObject{Code: 1, Message: "\ufffd"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonrpc.ParseResponse([]byte(tt.body))
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseResponse_Refuses(t *testing.T) {
	tests := []struct{ name, body, message string }{
		{"empty", ``, "byte 0"},
		{"HTML", `<html>`, "byte 0"},
		{"array", `[{"jsonrpc":"2.0","id":1,"result":1}]`, "not an object"},
		{"byte order mark", "\xef\xbb\xbf{}", "byte order mark"},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xff\"}", "UTF-8"},
		{"two values", `{"jsonrpc":"2.0","id":1,"result":1} {}`, "byte 35"},
		{"too deep", strings.Repeat("[", 201), "200 levels"},
		{"both", `{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}`, "both"},
		{"neither without id", `{"jsonrpc":"2.0"}`, "no id"},
		{"no version", `{"id":1,"result":1}`, "no jsonrpc"},
		{"other version", `{"jsonrpc":"1.0","id":1,"result":1}`, "2.0"},
		{"result twice", `{"jsonrpc":"2.0","id":1,"result":1,"Result":2}`, "twice"},
		{"other spelling", `{"jsonrpc":"2.0","id":1,"Result":2}`, `instead of "result"`},
		{"id an object", `{"jsonrpc":"2.0","id":{},"result":2}`, "id"},
		{"error a string", `{"jsonrpc":"2.0","id":1,"error":"x"}`, "not an object"},
		{"error without code", `{"jsonrpc":"2.0","id":1,"error":{"message":"x"}}`, "no code"},
		{"code a string", `{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}`, "integer"},
		{"code twice", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"code":2}}`, "twice"},
		{"cut off in the error", `{"jsonrpc":"2.0","id":1,"error":{"code":1`, "byte 41"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonrpc.ParseResponse([]byte(tt.body))
			if !errors.Is(err, jsonrpc.ErrNotResponse) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("got %+v, %v, want an error with %q", got, err, tt.message)
			}
		})
	}
}
