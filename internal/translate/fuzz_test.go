package translate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

const (
	requestPayload = iota
	resultPayload
	eventPayload
)

func converter(what uint8, op a2a.Operation) convert {
	switch what % 3 {
	case requestPayload:
		return request(op)
	case resultPayload:
		return result(op)
	default:
		return translate.Event
	}
}

// fuzzStable checks that a payload, once it is in the form to, goes through the form from and back unchanged,
// that what comes out is JSON, and that a mark which no version knows is not lost.
func fuzzStable(f *testing.F, from, to translate.Form) {
	f.Fuzz(func(t *testing.T, what uint8, o uint8, payload []byte) {
		op := a2a.SendMessage + a2a.Operation(o%11)
		translateIt := converter(what, op)
		first, err := translateIt(from, to, payload)
		if err != nil {
			if !errors.Is(err, translate.ErrMalformed) && !errors.Is(err, translate.ErrNotCarried) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if len(first) == 0 {
			if to == k && op == a2a.GetExtendedCard {
				return
			}
			t.Fatalf("nothing came out of %s", payload)
		}
		if !json.Valid(first) {
			t.Fatalf("not JSON: %q of %q", first, payload)
		}
		back, err := translateIt(to, from, first)
		if err != nil {
			t.Fatalf("back: %v\n%q of %q", err, first, payload)
		}
		second, err := translateIt(from, to, back)
		if err != nil {
			t.Fatalf("there again: %v\n%q of %q of %q", err, back, first, payload)
		}
		third, err := translateIt(to, from, second)
		if err != nil {
			t.Fatalf("back again: %v\n%q", err, second)
		}
		last, err := translateIt(from, to, third)
		if err != nil {
			t.Fatalf("there at last: %v\n%q", err, third)
		}
		if !bytes.Equal(second, last) {
			t.Fatalf("not stable:\n%s\n%s\n%s", first, second, last)
		}
		if to == p1 && !bytes.Equal(sorted(t, first), sorted(t, second)) {
			t.Fatalf("1.0 changed on its way through %s:\n%s\n%s\n%s", from, first, back, second)
		}
	})
}

// sorted returns a payload with its members in the order of their names, so that another place of a member
// is no change.
func sorted(t *testing.T, payload []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func seed(f *testing.F, texts ...string) {
	for i, text := range texts {
		f.Add(uint8(eventPayload), uint8(i), []byte(text))
		f.Add(uint8(resultPayload), uint8(2), []byte(text))
	}
}

func FuzzJSON03ToJSON10(f *testing.F) {
	seed(f, update03("working", "true"), `{"kind":"message","messageId":"m","parts":[{"kind":"data","data":{"value":1},"metadata":{"data_part_compat":true}}]}`,
		`{"kind":"task","id":"t","status":{"state":"canceled"},"history":[{"parts":[{"file":{"bytes":"_-A"}}]}]}`)
	f.Add(uint8(requestPayload), uint8(0), []byte(`{`+oldMessage+`,"configuration":{"blocking":true,"pushNotificationConfig":{"url":"u","authentication":{"schemes":["x"]}}}}`))
	f.Add(uint8(requestPayload), uint8(6), []byte(`{"taskId":"t","pushNotificationConfig":{"id":"p"}}`))
	f.Add(uint8(resultPayload), uint8(8), []byte(`[{"taskId":"t","pushNotificationConfig":{"id":"p"}}]`))
	fuzzStable(f, k, p1)
}

func FuzzREST03ToJSON10(f *testing.F) {
	seed(f, `{"statusUpdate":{"taskId":"t","status":{"state":5,"timestamp":"2026-01-02T03:04:05+01:00"},"final":true}}`,
		`{"message":{"messageId":"m","content":[{"data":{"data":{"value":1}},"metadata":{"data_part_compat":true}}]}}`, `{"msg":{"messageId":"m","content":[{"file":{"fileWithBytes":"YUdrPQ=="}}]}}`)
	f.Add(uint8(requestPayload), uint8(2), []byte(`{"name":"tasks/t","historyLength":3}`))
	f.Add(uint8(requestPayload), uint8(6), []byte(`{"parent":"tasks/t","configId":"p","config":{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"id":"p"}}}`))
	fuzzStable(f, p3, p1)
}

func FuzzJSON10ToJSON03(f *testing.F) {
	seed(f, update10("WORKING"), `{"task":`+fullTask+`}`, `{"message":{"messageId":"m","parts":[{"data":[1],"filename":"f"}]},"x":1}`)
	f.Add(uint8(requestPayload), uint8(0), []byte(`{`+newMessage+`,"configuration":{"returnImmediately":true,"taskPushNotificationConfig":{"url":"u","authentication":{"scheme":"x"}}}}`))
	fuzzStable(f, p1, k)
}

func FuzzJSON10ToREST03(f *testing.F) {
	seed(f, update10("CANCELED"), `{"task":`+fullTask+`}`, `{"message":{"messageId":"m","parts":[{"data":null,"filename":"f"}]}}`)
	f.Add(uint8(requestPayload), uint8(9), []byte(`{"taskId":"t","id":"p"}`))
	fuzzStable(f, p1, p3)
}

func FuzzJSON03ToREST03(f *testing.F) {
	seed(f, update03("working", "true"))
	fuzzStable(f, k, p3)
}

// FuzzUnknownMembers puts a member that no version knows at every level of a task and looks for it, byte by
// byte, in every form.
func FuzzUnknownMembers(f *testing.F) {
	f.Add("9007199254740993")
	f.Add(`{"b":false,"a":[1.0,-0,1e400]}`)
	f.Add(`"\ud83d\u00e9\/<>&"`)
	f.Fuzz(func(t *testing.T, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		value = strings.Trim(value, " \t\r\n") // white space belongs to no value
		u := `"x-unknown":` + value
		task := `{"id":"t",` + u + `,"status":{"message":{"parts":[{"text":"x",` + u + `,"metadata":{` + u + `}}],` + u + `},` + u + `},"artifacts":[{"parts":[{"data":{` + u + `}}],` + u + `}]}`
		item := []byte(`{"task":` + task + `,"x-other":` + value + `}`)
		for _, to := range []translate.Form{k, p3} {
			out, err := translate.Event(p1, to, item)
			if errors.Is(err, translate.ErrMalformed) {
				return // not UTF-8 or too deep
			}
			if err != nil {
				t.Fatal(err)
			}
			back, err := translate.Event(to, p1, out)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range [][]byte{out, back} {
				if n := bytes.Count(got, fmt.Appendf(nil, `"x-unknown":%s`, value)); n < 7 {
					t.Fatalf("%d of 7 marks are left in %s of %s", n, got, item)
				}
				if !bytes.Contains(got, fmt.Appendf(nil, `"x-other":%s`, value)) {
					t.Fatalf("the mark beside the wrapper is lost in %s", got)
				}
			}
		}
	})
}

// FuzzStream feeds a stream with whatever comes and checks that it does not lose or invent items.
func FuzzStream(f *testing.F) {
	f.Add(uint8(0), []byte(update10("INPUT_REQUIRED")), []byte(update10("WORKING")))
	f.Add(uint8(1), []byte(update03("working", "true")), []byte(update03("working", "true")))
	pairs := [][2]translate.Form{{p1, k}, {k, p1}, {p1, p3}, {p3, p1}}
	f.Fuzz(func(t *testing.T, pair uint8, first, second []byte) {
		forms := pairs[int(pair)%len(pairs)]
		s := translate.NewStream(a2a.SendStreamingMessage, forms[0], forms[1])
		in, out := 0, 0
		for _, item := range [][]byte{first, second} {
			items, err := s.Push(item)
			out += len(items)
			if err != nil {
				continue
			}
			in++
			if _, needs := s.NeedsTask(); needs {
				items, err = s.PushTask(nil)
				if err != nil || len(items) != 2 {
					t.Fatalf("got %d items, %v; want a task and what waited for it", len(items), err)
				}
				in, out = in+1, out+2
			}
		}
		out += len(s.Release(true))
		if in != out {
			t.Fatalf("%d items went in and %d came out", in, out)
		}
	})
}
