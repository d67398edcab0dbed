package translate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

const (
	pb1 = translate.Proto10
	pb3 = translate.Proto03
)

var forms = []translate.Form{p1, k, p3, pb1, pb3}

const fullTask = `{"id":"t","contextId":"c","status":{"state":"TASK_STATE_CANCELED","timestamp":"2026-02-03T04:05:06.789Z","message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"hi"}]}},` +
	`"artifacts":[{"artifactId":"a","name":"n","parts":[{"raw":"aGk=","mediaType":"text/plain"},{"url":"https://f","mediaType":"a/b"},{"data":{"x":1.5}}]}],` +
	`"history":[{"messageId":"m0","role":"ROLE_USER","parts":[{"text":"go"}],"metadata":{"k":"v"}}],"metadata":{"y":true}}`

// TestEveryPair_CarriesWhatAllFormsHave takes payloads through every pair of forms and back to 1.0.
func TestEveryPair_CarriesWhatAllFormsHave(t *testing.T) {
	const push = `{"taskId":"t","id":"p","url":"https://h","token":"o","authentication":{"scheme":"Bearer","credentials":"c"}}`
	for _, c := range []struct {
		name    string
		f       convert
		payload string
	}{
		{"send", request(a2a.SendMessage), `{"message":{"messageId":"m","contextId":"c","taskId":"t","role":"ROLE_USER","parts":[{"text":"hi"}],"extensions":["urn:x"],"metadata":{"a":"b"}},"configuration":{"acceptedOutputModes":["text/plain"],"taskPushNotificationConfig":{"id":"p","url":"https://h"},"historyLength":2,"returnImmediately":true},"metadata":{"a":1}}`},
		{"stream", request(a2a.SendStreamingMessage), `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"data":[1,"x"],"mediaType":"application/json"}]},"configuration":{"returnImmediately":false}}`},
		{"get", request(a2a.GetTask), `{"id":"t","historyLength":2}`},
		{"cancel", request(a2a.CancelTask), `{"id":"t"}`},
		{"subscribe", request(a2a.SubscribeToTask), `{"id":"t"}`},
		{"create push", request(a2a.CreatePushConfig), push},
		{"get push", request(a2a.GetPushConfig), `{"taskId":"t","id":"p"}`},
		{"list push", request(a2a.ListPushConfigs), `{"taskId":"t"}`},
		{"delete push", request(a2a.DeletePushConfig), `{"taskId":"t","id":"p"}`},
		{"card", request(a2a.GetExtendedCard), `{}`},
		{"sent task", result(a2a.SendMessage), `{"task":` + fullTask + `}`},
		{"sent message", result(a2a.SendMessage), `{"message":{"messageId":"m","contextId":"c","role":"ROLE_AGENT","parts":[{"text":"hi"}]}}`},
		{"got task", result(a2a.GetTask), fullTask},
		{"canceled task", result(a2a.CancelTask), fullTask},
		{"created push", result(a2a.CreatePushConfig), push},
		{"got push", result(a2a.GetPushConfig), push},
		{"listed push", result(a2a.ListPushConfigs), `{"configs":[` + push + `],"nextPageToken":""}`},
		{"deleted push", result(a2a.DeletePushConfig), `{}`},
		{"item: task", translate.Event, `{"task":` + fullTask + `}`},
		{"item: message", translate.Event, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"hi"}]}}`},
		{"item: status", translate.Event, `{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"},"metadata":{"a":1}}}`},
		{"item: artifact", translate.Event, `{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"text":"x"}]},"append":true,"lastChunk":true}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			through := func(from, to translate.Form, payload []byte) []byte {
				t.Helper()
				out, err := c.f(from, to, payload)
				if err != nil {
					t.Fatalf("%s to %s: %v", from, to, err)
				}
				return out
			}
			for _, from := range forms {
				for _, to := range forms {
					there := through(p1, from, []byte(c.payload))
					back := through(to, p1, through(from, to, there))
					if diff := cmp.Diff(decoded(t, []byte(c.payload)), decoded(t, back)); diff != "" {
						t.Errorf("%s to %s (-want +got):\n%s", from, to, diff)
					}
				}
			}
		})
	}
}

// decoded returns a payload in a form where the order of members counts for nothing. A page token that
// protobuf leaves out because it is empty is as good as one that is there.
func decoded(t *testing.T, payload []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(payload, &v); err != nil {
		t.Fatalf("%v\n%s", err, payload)
	}
	if m, ok := v.(map[string]any); ok && m["nextPageToken"] == "" {
		delete(m, "nextPageToken")
	}
	return v
}

func TestFileBytes_AreBase64TextInOldProtobuf(t *testing.T) {
	out, err := translate.Event(p1, pb3, []byte(`{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"raw":"/9j/"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out, []byte("/9j/")) {
		t.Errorf("the field does not hold base64 text: %q", out)
	}
	out, err = translate.Event(p1, pb1, []byte(`{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"raw":"/9j/"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if raw, _ := base64.StdEncoding.DecodeString("/9j/"); !bytes.Contains(out, raw) || bytes.Contains(out, []byte("/9j/")) {
		t.Errorf("the field of 1.0 does not hold the bytes: %q", out)
	}
}

func TestProto_HistoryIsStripped(t *testing.T) {
	for _, form := range []translate.Form{pb1, pb3} {
		for op, payload := range map[a2a.Operation]string{a2a.GetTask: fullTask, a2a.CancelTask: fullTask, a2a.SendMessage: `{"task":` + fullTask + `}`} {
			in, err := translate.Result(op, p1, form, []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			stripped, err := translate.StripHistory(form, op, in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := translate.Result(op, form, p1, stripped)
			if err != nil {
				t.Fatal(err)
			}
			want, err := translate.StripHistory(p1, op, []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(t, want), decoded(t, got)); diff != "" {
				t.Errorf("%s of %s (-want +got):\n%s", op, form, diff)
			}
		}
	}
	for _, broken := range []string{"\x0a\x05a", "\x0a", "\xff", "\x0b\x0c", "\x09aaa", "\x08\xff"} {
		if got, err := translate.StripHistory(pb1, a2a.SendMessage, []byte(broken)); !errors.Is(err, translate.ErrMalformed) {
			t.Errorf("%q: got %q, %v; want ErrMalformed", broken, got, err)
		}
	}
}

func TestProto_OfHistoryZero(t *testing.T) {
	for in, want := range map[string]bool{`{"id":"t","historyLength":0}`: true, `{"id":"t","historyLength":1}`: false, `{"id":"t"}`: false} {
		payload, err := translate.Request(a2a.GetTask, p1, pb1, []byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if got := translate.HistoryOmitted(a2a.GetTask, pb1, pb3, payload); got != want {
			t.Errorf("%s: got %t, want %t", in, got, want)
		}
	}
	if translate.HistoryOmitted(a2a.GetTask, pb1, pb3, []byte("\xff")) {
		t.Error("what is no protobuf asks for no history")
	}
}

func TestProto_Streams(t *testing.T) {
	for _, op := range []a2a.Operation{a2a.SendStreamingMessage, a2a.SubscribeToTask} {
		t.Run(op.String(), func(t *testing.T) { protoStreams(t, op) })
	}
}

func protoStreams(t *testing.T, op a2a.Operation) {
	t.Helper()
	encode := func(form translate.Form, text string) string {
		out, err := translate.Event(p1, form, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	s := translate.NewStream(op, pb1, pb3)
	push(t, s, encode(pb1, update10("COMPLETED")), encode(pb3, update10("COMPLETED")))
	push(t, s, encode(pb1, update10("INPUT_REQUIRED")))
	last, err := translate.Event(pb3, k, s.Release(true)[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decoded(t, []byte(update03("input-required", "true"))), decoded(t, last)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	s = translate.NewStream(op, pb3, pb1)
	push(t, s, encode(pb3, update10("WORKING")))
	task, err := translate.Result(a2a.GetTask, p1, pb3, []byte(fullTask))
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.PushTask(task)
	if err != nil || len(out) != 2 {
		t.Fatalf("got %d items, %v; want two", len(out), err)
	}
	first, err := translate.Event(pb1, p1, out[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decoded(t, []byte(`{"task":`+fullTask+`}`)), decoded(t, first)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := translate.Event(pb1, k, []byte("\xff")); !errors.Is(err, translate.ErrMalformed) {
		t.Errorf("got %v of what is no protobuf, want ErrMalformed", err)
	}
}
