package jsonrpc_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// goEnvelope is how a Go agent reads a request: names without regard to case.
type goEnvelope struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"id":"t"}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","ID":2}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","param` + "\u017f" + `":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		req, refusal := jsonrpc.ParseRequest(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if refusal != nil {
			if len(req.ID) > 0 && !json.Valid(body) {
				t.Errorf("an id was guessed from malformed JSON: %s", req.ID)
			}
			out := jsonrpc.AppendError(nil, req.ID, refusal)
			if _, err := jsonrpc.ParseResponse(out); err != nil {
				t.Errorf("the error response is not one: %s: %v", out, err)
			}
			return
		}
		if !bytes.Equal(body[req.ParamsOffset:req.ParamsOffset+len(req.Params)], req.Params) {
			t.Error("ParamsOffset is not where Params is")
		}
		var asGo goEnvelope
		if err := json.Unmarshal(body, &asGo); err != nil {
			t.Fatalf("accepted, but encoding/json refuses: %v", err)
		}
		if asGo.Method != req.Method || !bytes.Equal(asGo.ID, req.ID) || !bytes.Equal(asGo.Params, req.Params) {
			t.Errorf("encoding/json reads %+v, we read %+v", asGo, req)
		}
		var asJS map[string]json.RawMessage
		if err := json.Unmarshal(body, &asJS); err != nil {
			t.Fatal(err)
		}
		var method string
		if err := json.Unmarshal(asJS["method"], &method); err != nil || method != req.Method {
			t.Errorf("JavaScript reads method %q, we read %q", method, req.Method)
		}
		if !bytes.Equal(asJS["id"], req.ID) || !bytes.Equal(asJS["params"], req.Params) {
			t.Errorf("JavaScript reads id %s, we read %s", asJS["id"], req.ID)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t"}}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"x","data":[]}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":"\ud83d"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		resp, err := jsonrpc.ParseResponse(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted what is no JSON")
		}
		if resp.Error != nil && resp.Result != nil {
			t.Error("both result and error")
		}
		if !jsonrpc.SameID(resp.ID, resp.ID) {
			t.Errorf("id %s is not itself", resp.ID)
		}
	})
}

func kilobyteRequest() []byte {
	return []byte(`{"jsonrpc":"2.0","id":"0198f4f0-7d7c-7b1e-9a52-2f5e6f1f0a11","method":"SendMessage","params":{"message":{"messageId":"m-1",` +
		`"contextId":"c-1","taskId":"t-1","role":"ROLE_USER","parts":[{"text":"` + strings.Repeat("hello world ", 65) + `"}]}}}`)
}

func BenchmarkParseRequest1KB(b *testing.B) {
	body := kilobyteRequest()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonrpc.ParseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRequest64KB(b *testing.B) {
	body := bytes.Replace(kilobyteRequest(), []byte("hello"), bytes.Repeat([]byte("x"), 64<<10), 1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonrpc.ParseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseResponse1KB(b *testing.B) {
	body := bytes.Replace(kilobyteRequest(), []byte(`"method":"SendMessage","params"`), []byte(`"result"`), 1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonrpc.ParseResponse(body); err != nil {
			b.Fatal(err)
		}
	}
}
