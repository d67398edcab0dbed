package translate_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/translate"
)

func message(form translate.Form, parts string) side {
	switch form {
	case k:
		return side{k, `{"kind":"message","messageId":"m","role":"agent","parts":[` + parts + `]}`}
	case p3:
		return side{p3, `{"message":{"messageId":"m","role":"ROLE_AGENT","content":[` + parts + `]}}`}
	default:
		return side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[` + parts + `]}}`}
	}
}

const fieldsKey = `"` + translate.PartFieldsKey + `"`

func TestPart_BetweenForms(t *testing.T) {
	type parts struct {
		name        string
		from        translate.Form
		left, right string
		to          translate.Form
		oneWay      bool
	}
	rows := []parts{
		{"text", k, `{"kind":"text","text":"hi"}`, `{"text":"hi"}`, p1, false},
		{"text", p3, `{"text":"hi"}`, `{"text":"hi"}`, p1, false},
		{"text with escapes", k, `{"kind":"text","text":"\u003ca\ud83d\"\\"}`, `{"text":"\u003ca\ud83d\"\\"}`, p1, false},
		{"text with metadata", k, `{"kind":"text","text":"hi","metadata":{"b":1,"a":2}}`, `{"text":"hi","metadata":{"b":1,"a":2}}`, p1, false},
		{"empty text", k, `{"kind":"text","text":""}`, `{"text":""}`, p1, false},
		{"several", k, `{"kind":"text","text":"a"},{"kind":"text","text":"b"}`, `{"text":"a"},{"text":"b"}`, p1, false},
		{
			"text with fields that 0.3 lacks", p1, `{"text":"hi","filename":"a.md","mediaType":"text/markdown","metadata":{"x":1}}`,
			`{"kind":"text","text":"hi","metadata":{"x":1,` + fieldsKey + `:{"filename":"a.md","mediaType":"text/markdown"}}}`, k, false,
		},
		{
			"the same in ProtoJSON", p1, `{"text":"hi","mediaType":"text/markdown"}`,
			`{"text":"hi","metadata":{` + fieldsKey + `:{"mediaType":"text/markdown"}}}`, p3, false,
		},
		{
			"an old stash is replaced", p1, `{"text":"hi","filename":"n","metadata":{` + fieldsKey + `:5}}`,
			`{"kind":"text","text":"hi","metadata":{` + fieldsKey + `:{"filename":"n"}}}`, k, true,
		},
		{"empty fields are none", p1, `{"text":"hi","filename":"","mediaType":""}`, `{"kind":"text","text":"hi"}`, k, true},
		{"what only looks like a stash stays", k, `{"kind":"text","text":"hi","metadata":{` + fieldsKey + `:5}}`, `{"text":"hi","metadata":{` + fieldsKey + `:5}}`, p1, false},

		{"file bytes", k, `{"kind":"file","file":{"bytes":"aGk=","mimeType":"text/plain","name":"a.txt"}}`, `{"raw":"aGk=","filename":"a.txt","mediaType":"text/plain"}`, p1, false},
		{"file bytes", p3, `{"file":{"fileWithBytes":"YUdrPQ==","mimeType":"text/plain","name":"a.txt"}}`, `{"raw":"aGk=","filename":"a.txt","mediaType":"text/plain"}`, p1, false},
		{"file bytes within 0.3", k, `{"kind":"file","file":{"bytes":"aGk="}}`, `{"file":{"fileWithBytes":"YUdrPQ=="}}`, p3, false},
		{"real bytes in ProtoJSON", p3, `{"file":{"fileWithBytes":"/9j/"}}`, `{"raw":"/9j/"}`, p1, true},
		{"real bytes whose length is no multiple of four", p3, `{"file":{"fileWithBytes":"aGVsbG8="}}`, `{"raw":"aGVsbG8="}`, p1, true},
		{"real bytes, url-safe and unpadded", p3, `{"file":{"fileWithBytes":"_9j_-A"}}`, `{"raw":"/9j/+A=="}`, p1, true},
		{"no bytes", k, `{"kind":"file","file":{"bytes":""}}`, `{"raw":""}`, p1, false},
		{"no bytes", p3, `{"file":{"fileWithBytes":""}}`, `{"raw":""}`, p1, false},
		{"file of nothing", k, `{"kind":"file","file":{"mimeType":"a/b"}}`, `{"raw":"","mediaType":"a/b"}`, p1, true},
		{"url-safe", k, `{"kind":"file","file":{"bytes":"_9j-"}}`, `{"raw":"/9j+"}`, p1, true},
		{"unpadded", k, `{"kind":"file","file":{"bytes":"aGk"}}`, `{"raw":"aGk="}`, p1, true},
		{"unpadded by two", k, `{"kind":"file","file":{"bytes":"aA"}}`, `{"raw":"aA=="}`, p1, true},
		{"line ends", k, `{"kind":"file","file":{"bytes":"aG\r\nk=\n"}}`, `{"raw":"aGk="}`, p1, true},
		{"escaped slashes", k, `{"kind":"file","file":{"bytes":"\/9j\/"}}`, `{"raw":"/9j/"}`, p1, true},
		{"escaped and url-safe", p1, `{"raw":"\/9j_-A"}`, `{"kind":"file","file":{"bytes":"/9j/+A=="}}`, k, true},
		{"ProtoJSON names in JSON-RPC", k, `{"kind":"file","file":{"fileWithBytes":"aGk="}}`, `{"raw":"aGk="}`, p1, true},
		{"ProtoJSON names in JSON-RPC", k, `{"kind":"file","file":{"fileWithUri":"https://f.example/a","bytes":null}}`, `{"url":"https://f.example/a"}`, p1, true},
		{
			"file by reference", k, `{"kind":"file","file":{"uri":"https://f.example/a","mimeType":"application/pdf","name":"a.pdf"},"metadata":{"x":1}}`,
			`{"url":"https://f.example/a","filename":"a.pdf","mediaType":"application/pdf","metadata":{"x":1}}`, p1, false,
		},
		{"file by reference", p3, `{"file":{"fileWithUri":"https://f.example/a","mimeType":"application/pdf"}}`, `{"url":"https://f.example/a","mediaType":"application/pdf"}`, p1, false},
		{"empty url", p1, `{"url":""}`, `{"kind":"file","file":{"uri":""}}`, k, false},

		{"data", k, `{"kind":"data","data":{"b":9007199254740993,"a":1.50}}`, `{"data":{"b":9007199254740993,"a":1.50}}`, p1, false},
		{"data", p3, `{"data":{"data":{"b":9007199254740993,"a":1.50}}}`, `{"data":{"b":9007199254740993,"a":1.50}}`, p1, false},
		{"data within 0.3", k, `{"kind":"data","data":{"a":1},"metadata":{"data_part_compat":true}}`, `{"data":{"data":{"a":1}},"metadata":{"data_part_compat":true}}`, p3, false},
		{"data with a media type", p1, `{"data":{"a":1},"mediaType":"application/json"}`, `{"kind":"data","data":{"a":1},"metadata":{` + fieldsKey + `:{"mediaType":"application/json"}}}`, k, false},
		{"data that is an array", p1, `{"data":[1,2],"metadata":{"x":1}}`, `{"kind":"data","data":{"value":[1,2]},"metadata":{"x":1,"data_part_compat":true}}`, k, false},
		{"data that is an array", p1, `{"data":[1,2]}`, `{"data":{"data":{"value":[1,2]}},"metadata":{"data_part_compat":true}}`, p3, false},
		{"data that is text", p1, `{"data":"x","mediaType":"a/b"}`, `{"kind":"data","data":{"value":"x"},"metadata":{"data_part_compat":true,` + fieldsKey + `:{"mediaType":"a/b"}}}`, k, false},
		{"data that is null", p1, `{"data":null}`, `{"kind":"data","data":{"value":null},"metadata":{"data_part_compat":true}}`, k, false},
		{"data that is null", p1, `{"data":null}`, `{"data":{"data":{"value":null}},"metadata":{"data_part_compat":true}}`, p3, false},
		{"an unmarked value stays", k, `{"kind":"data","data":{"value":5}}`, `{"data":{"value":5}}`, p1, false},
		{"a mark that is false", k, `{"kind":"data","data":{"value":5},"metadata":{"data_part_compat":false}}`, `{"data":{"value":5},"metadata":{"data_part_compat":false}}`, p1, false},
		{"a mark on other data", k, `{"kind":"data","data":{"value":5,"x":1},"metadata":{"data_part_compat":true}}`, `{"data":{"value":5,"x":1},"metadata":{"data_part_compat":true}}`, p1, false},
		{"an agent that sends an array", k, `{"kind":"data","data":[1]}`, `{"data":[1]}`, p1, true},
		{"ProtoJSON data of nothing", p3, `{"data":{}}`, `{"data":{}}`, p1, true},

		{"kind is missing", k, `{"text":"hi"},{"file":{"uri":"u"}},{"data":{}}`, `{"text":"hi"},{"url":"u"},{"data":{}}`, p1, true},
		{"a kind that nobody knows", k, `{"kind":"video","frames":[1]}`, `{"frames":[1]}`, p1, true},
		{"words of the other version", k, `{"kind":"text","text":"hi","filename":"f","url":"u"}`, `{"text":"hi"}`, p1, true},
		{"words of the other version", p1, `{"text":"hi","kind":"data","file":{}}`, `{"kind":"text","text":"hi"}`, k, true},
		{"null is absent", k, `{"kind":"text","text":"hi","metadata":null,"file":null,"data":null}`, `{"text":"hi"}`, p1, true},
		{"snake case", p3, `{"file":{"file_with_uri":"u","mime_type":"a/b"}}`, `{"url":"u","mediaType":"a/b"}`, p1, true},
		{"snake case", p1, `{"url":"u","media_type":"a/b"}`, `{"kind":"file","file":{"uri":"u","mimeType":"a/b"}}`, k, true},
	}
	for _, r := range rows {
		run(t, translate.Event, []row{{name: r.name + ", " + r.from.String(), left: message(r.from, r.left), right: message(r.to, r.right), oneWay: r.oneWay}})
	}
}
