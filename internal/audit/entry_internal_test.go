package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sampleOpening() *Opening {
	return &Opening{
		Invocation: uuid.MustParse("01930000-0000-7000-8000-000000000001"),
		Time:       time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC),
		Caller:     "teams/demo/keys/laptop", CallerUID: uuid.MustParse("a0000000-0000-4000-8000-000000000002"), Team: "demo",
		SourceAddress: "192.0.2.7", UserAgent: `curl/8 "quoted" é`,
		Agent: "echo", AgentUID: uuid.MustParse("a0000000-0000-4000-8000-000000000003"), Endpoint: "http://127.0.0.1:9999",
		Method: "SendMessage", Dialect: "JSONRPC/1.0", RequestID: `"r-1"`, MessageID: "m1", TaskID: "t1", ContextID: "c1",
		TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331", ParentSpanID: "00f067aa0ba902b7",
		Decision: &Decision{
			Permitted: true, Rules: []string{"team-owns-agent", "visible"}, Revision: 17,
			Principal: "teams/demo/keys/laptop", Action: "invoke", Resource: "agents/echo",
			Context: []Attribute{{"visibility", "ORGANIZATION"}, {"visibility", "twice"}, {"", "\\"}},
		},
		RequestBytes: 321,
	}
}

func sampleClosing() *Closing {
	return &Closing{
		Invocation: sampleOpening().Invocation, Duration: 12 * time.Millisecond, FirstByte: 7 * time.Millisecond,
		Outcome: Failed, Error: &CallError{Code: -32001, Reason: "TASK_NOT_FOUND", Message: "no\nsuch task"},
		Endpoint: "http://127.0.0.1:9998", TaskID: "t2", ContextID: "c2", TaskState: "TASK_STATE_COMPLETED",
		ResponseBytes: 1 << 40, StreamEvents: 64, HTTPStatus: 200, CallerLeft: true, IDConflict: true,
	}
}

func sampleRefusals() *Refusals {
	t := sampleOpening().Time
	return &Refusals{
		From: t, To: t.Add(900 * time.Millisecond), Count: 312, Authenticated: 2, Sources: 3, SourcesCapped: true,
		Reasons: []ReasonCount{{"CREDENTIALS_INVALID", 300}, {"CREDENTIALS_MISSING", 12}},
	}
}

func samples() map[Kind][]byte {
	refused := sampleOpening()
	refused.Caller, refused.CallerUID, refused.Team, refused.Decision = "", uuid.Nil, "", nil
	return map[Kind][]byte{
		KindOpened:  appendOpened(nil, sampleOpening()),
		KindClosed:  appendClosed(nil, sampleClosing(), sampleOpening().Time.Add(12*time.Millisecond)),
		KindRefused: appendRefused(nil, refused, sampleClosing()),
		KindSummary: appendSummary(nil, sampleOpening().Invocation, PlaneData, sampleRefusals()),
	}
}

// An entry that was written once must be readable for as long as events are kept, so
// these files may get company but never change.
func TestEntry_OfEachKindIsWrittenAsEver(t *testing.T) {
	for kind, got := range samples() {
		t.Run(string(kind), func(t *testing.T) {
			file := filepath.Join("testdata", "entry", string(kind)+".json")
			if *update {
				if err := os.WriteFile(file, append(bytes.Clone(got), '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("entry (-golden +written):\n%s", diff)
			}
			if !json.Valid(got) {
				t.Errorf("entry is no JSON: %s", got)
			}
		})
	}
}

func TestDecodeEntry_ReadsWhatWasWritten(t *testing.T) {
	closedAt := sampleOpening().Time.Add(12 * time.Millisecond)
	refused, refusedClosing := sampleOpening(), sampleClosing()
	refused.Caller, refused.CallerUID, refused.Team, refused.Decision = "", uuid.Nil, "", nil
	// A refusal has one set of ids: those of the closing where it has them.
	refused.Endpoint, refused.TaskID, refused.ContextID = refusedClosing.Endpoint, refusedClosing.TaskID, refusedClosing.ContextID
	refusedClosing.Endpoint, refusedClosing.TaskID, refusedClosing.ContextID = "", "", ""
	want := map[Kind]Entry{
		KindOpened:  {Kind: KindOpened, Time: sampleOpening().Time, Opening: *sampleOpening()},
		KindClosed:  {Kind: KindClosed, Time: closedAt, Closing: *sampleClosing()},
		KindRefused: {Kind: KindRefused, Time: refused.Time, Opening: *refused, Closing: *refusedClosing},
		KindSummary: {
			Kind: KindSummary, Time: sampleRefusals().From, Opening: Opening{Invocation: refused.Invocation}, Refusals: *sampleRefusals(),
		},
	}
	for kind, data := range samples() {
		t.Run(string(kind), func(t *testing.T) {
			got, err := DecodeEntry(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[kind], got); diff != "" {
				t.Errorf("DecodeEntry(%s) (-want +got):\n%s", data, diff)
			}
		})
	}
}

func TestEntry_SaysWhatTheAgentWasSpokenToInWhenItWas(t *testing.T) {
	o := sampleOpening()
	o.UpstreamDialect = "HTTP+JSON/0.3"
	got := appendOpened(nil, o)
	file := filepath.Join("testdata", "entry", "opened_upstream.json")
	if *update {
		if err := os.WriteFile(file, append(bytes.Clone(got), '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("entry (-golden +written):\n%s", diff)
	}
	entry, err := DecodeEntry(got)
	if err != nil {
		t.Fatal(err)
	}
	event, err := Merge(&entry, nil)
	if err != nil || event.UpstreamDialect != o.UpstreamDialect || event.Dialect != o.Dialect {
		t.Errorf("event of %s has dialects %q and %q, %v", got, event.Dialect, event.UpstreamDialect, err)
	}
	// Entries of before there was translation do not have the member.
	if entry, err := DecodeEntry(appendOpened(nil, sampleOpening())); err != nil || entry.Opening.UpstreamDialect != "" {
		t.Errorf("an entry without the member reads as %q, %v", entry.Opening.UpstreamDialect, err)
	}
}

// fullDecision has every member.
func fullDecision() *Decision {
	failing := []Failure{{Statement: "night/2", Effect: "forbid", Text: "no attribute \"x\""}}
	return &Decision{
		Permitted: true, Rules: []string{"own-team/agents"}, Failing: failing,
		Shadow:   &Shadow{Rules: []string{"draft"}, Failing: failing},
		Revision: 17, Principal: "user:users/okta~ada", Action: "SendMessage", Resource: "agent:echo",
		Time: sampleOpening().Time.Add(time.Second), Method: "message/send", Dialect: "JSONRPC/0.3", SourceAddress: "192.0.2.7",
		Delegation:   &Delegation{Root: "key:teams/demo/keys/k", Depth: 2, Path: []string{"agent:a", "agent:b"}, Verified: true},
		Session:      &Session{Calls: 1, Steps: 2, CostMicros: 3},
		ClaimedTeams: []string{"demo"}, ClaimedRoles: []identity.RoleIn{{Role: "auditor"}, {Role: "publisher", Team: "demo"}},
		Entities: []byte(`[{"uid":{"type":"T","id":"i"}}]`), Context: []Attribute{{"later", "value"}},
	}
}

func TestEntry_HasTheWholeDecision(t *testing.T) {
	o := sampleOpening()
	o.Decision = fullDecision()
	got := appendOpened(nil, o)
	file := filepath.Join("testdata", "entry", "opened_decision.json")
	if *update {
		if err := os.WriteFile(file, append(bytes.Clone(got), '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("entry (-golden +written):\n%s", diff)
	}
	entry, err := DecodeEntry(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullDecision(), entry.Opening.Decision); diff != "" {
		t.Errorf("decision (-written +read):\n%s", diff)
	}
	// The time of the event is not written twice.
	o.Decision.Time = o.Time.Add(time.Nanosecond)
	if entry, err = DecodeEntry(appendOpened(nil, o)); err != nil || !entry.Opening.Decision.Time.IsZero() {
		t.Errorf("the event's time is written twice: %v, %v", entry.Opening.Decision.Time, err)
	}
	end := Closing{Invocation: o.Invocation, Outcome: Succeeded, Management: &ManagementEnd{Decision: fullDecision()}}
	if entry, err = DecodeEntry(appendClosed(nil, &end, o.Time)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullDecision(), entry.Closing.Management.Decision); diff != "" {
		t.Errorf("decision of a closing (-written +read):\n%s", diff)
	}
}

func TestDecodeEntry_PassesOverWhatNewerVersionsAdd(t *testing.T) {
	text := `{"later":{"a":[1,2,{"kind":"closed"}]},"time":"2026-03-01T12:00:00Z","kind":"opened","v":2,"agent":"echo",` +
		`"decision":{"why":[1],"permitted":true},"invocation":"01930000-0000-7000-8000-000000000001"}`
	got, err := DecodeEntry([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got.Opening.Agent != "echo" || got.Kind != KindOpened || got.Opening.Decision == nil || !got.Opening.Decision.Permitted {
		t.Errorf("DecodeEntry = %+v, want the members that are known", got)
	}
}

func TestDecodeEntry_ReadsEntriesThatWereReformatted(t *testing.T) {
	for kind, data := range samples() {
		t.Run(string(kind), func(t *testing.T) {
			want, err := DecodeEntry(data)
			if err != nil {
				t.Fatal(err)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, data, " ", "\t"); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeEntry(indented.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("indented entry (-compact +indented):\n%s", diff)
			}
		})
	}
}

func TestDecodeEntry_RefusesWhatMakesNoEvent(t *testing.T) {
	valid := string(samples()[KindClosed])
	tests := map[string]string{
		"nothing":           "",
		"no object":         "[]",
		"a number":          "1",
		"cut off":           valid[:len(valid)/2],
		"data behind":       valid + "{}",
		"unknown kind":      strings.Replace(valid, `"kind":"closed"`, `"kind":"paused"`, 1),
		"no version":        strings.Replace(valid, `"v":1`, `"w":1`, 1),
		"no invocation":     strings.Replace(valid, `"invocation"`, `"invoked"`, 1),
		"unknown outcome":   strings.Replace(valid, "FAILED", "PERHAPS", 1),
		"no outcome":        strings.Replace(valid, `"outcome"`, `"income"`, 1),
		"time out of range": strings.Replace(valid, `"2026-`, `"0026-`, 1),
		"text for a number": strings.Replace(valid, `"http_status":200`, `"http_status":"200"`, 1),
		"number too large":  strings.Replace(valid, `"http_status":200`, `"http_status":4294967296`, 1),
		"empty summary":     strings.Replace(string(samples()[KindSummary]), `"count":312`, `"count":0`, 1),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if e, err := DecodeEntry([]byte(text)); !errors.Is(err, ErrMalformed) {
				t.Errorf("DecodeEntry(%s) = %+v, %v; want ErrMalformed", text, e, err)
			}
		})
	}
}

// The worst that callers can send: everything is as long as it may be and longer, and
// each byte takes six.
func TestEntry_IsBoundedWhateverCallersSend(t *testing.T) {
	for name, unit := range map[string]string{"control characters": "\x01", "NUL": "\x00", "invalid UTF-8": "\xff", "four bytes": "😀", "ASCII": "x"} {
		t.Run(name, func(t *testing.T) {
			long := strings.Repeat(unit, 5000)
			o, c := sampleOpening(), sampleClosing()
			fill(reflect.ValueOf(o).Elem(), long)
			fill(reflect.ValueOf(c).Elem(), long)
			fill(reflect.ValueOf(c.Error).Elem(), long)
			fill(reflect.ValueOf(o.Decision).Elem(), long)
			c.Outcome = Refused
			o.Decision.Rules, o.Decision.Context = nil, nil
			o.Decision.Delegation, o.Decision.Session = &Delegation{Root: long}, &Session{Calls: 1 << 62}
			o.Decision.Shadow, o.Decision.Entities = &Shadow{}, fmt.Appendf(nil, "[%q]", strings.Repeat("x", MaxDocument-4))
			for range 300 {
				o.Decision.ClaimedTeams = append(o.Decision.ClaimedTeams, long)
				o.Decision.ClaimedRoles = append(o.Decision.ClaimedRoles, identity.RoleIn{Role: long, Team: long})
				o.Decision.Delegation.Path = append(o.Decision.Delegation.Path, long)
				o.Decision.Failing = append(o.Decision.Failing, Failure{long, long, long})
				o.Decision.Shadow.Rules, o.Decision.Shadow.Failing = append(o.Decision.Shadow.Rules, long), o.Decision.Failing
				o.Decision.Rules = append(o.Decision.Rules, long)
				o.Decision.Context = append(o.Decision.Context, Attribute{long, long})
			}
			r := sampleRefusals()
			r.Reasons = nil
			for range 300 {
				r.Reasons = append(r.Reasons, ReasonCount{long, 1 << 62})
			}
			for kind, data := range map[Kind][]byte{
				KindOpened: appendOpened(nil, o), KindClosed: appendClosed(nil, c, o.Time),
				KindRefused: appendRefused(nil, o, c), KindSummary: appendSummary(nil, o.Invocation, PlaneData, r),
				"refused without lists": appendRefused(nil, withoutLists(o), c),
				"of management":         appendClosed(nil, managed(c, o.Decision), o.Time),
			} {
				if len(data) > MaxEntry || !utf8.Valid(data) {
					t.Errorf("%s entry has %d bytes, valid UTF-8 %t; want at most %d, and valid", kind, len(data), utf8.Valid(data), MaxEntry)
				}
				e, err := DecodeEntry(data)
				if err != nil {
					t.Errorf("%s entry cannot be read: %v", kind, err)
				}
				checkClean(t, reflect.ValueOf(e))
			}
			e, _ := DecodeEntry(appendRefused(nil, o, c))
			if got := utf8.RuneCountInString(e.Closing.Error.Message); got > maxErrorRunes || got < maxErrorRunes/2 {
				t.Errorf("error text has %d characters, want it cut to %d", got, maxErrorRunes)
			}
			if len(e.Opening.UserAgent) > maxUserAgent+2 || len(e.Opening.TaskID) > maxID+2 {
				t.Errorf("user agent has %d bytes, task id %d", len(e.Opening.UserAgent), len(e.Opening.TaskID))
			}
		})
	}
}

// withoutLists leaves the room to what comes behind the lists of a decision.
func withoutLists(o *Opening) *Opening {
	next, d := *o, *o.Decision
	d.ClaimedTeams, d.ClaimedRoles, d.Delegation, d.Entities = nil, nil, nil, nil
	next.Decision = &d
	return &next
}

// managed makes the end of a call that of a management call with large documents.
func managed(c *Closing, d *Decision) *Closing {
	next := *c
	document := fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", MaxDocument-8))
	next.Management = &ManagementEnd{Resource: d.Principal, Revision: 1 << 62, Before: document, After: document, Decision: d}
	return &next
}

func fill(v reflect.Value, s string) {
	for _, f := range v.Fields() {
		if f.Kind() == reflect.String {
			f.SetString(s)
		}
	}
}

// checkClean fails for strings that Postgres would refuse.
func checkClean(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > 4*maxErrorRunes {
			t.Errorf("string of %d bytes: %.40q", len(s), s)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			checkClean(t, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkClean(t, v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for _, f := range v.Fields() {
			checkClean(t, f)
		}
	default:
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, data := range samples() {
		f.Add(data)
	}
	whole := sampleOpening()
	whole.Decision = fullDecision()
	f.Add(appendOpened(nil, whole))
	f.Add([]byte(`{"v":1,"kind":"opened","invocation":"01930000-0000-7000-8000-000000000001","time":"2026-03-01T12:00:00Z","agent":"\u0000\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeEntry(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("DecodeEntry(%q) = %v, want ErrMalformed", data, err)
			}
			return
		}
		checkClean(t, reflect.ValueOf(e))
		opened, closed := &e, (*Entry)(nil)
		if e.Kind == KindClosed {
			opened, closed = nil, &e
		}
		event, err := Merge(opened, closed)
		if err != nil || !event.Outcome.Known() || event.Count < 1 {
			t.Errorf("Merge of %q = %+v, %v; want an event", data, event, err)
		}
		var again []byte
		switch e.Kind {
		case KindOpened:
			again = appendOpened(nil, &e.Opening)
		case KindClosed:
			again = appendClosed(nil, &e.Closing, e.Time)
		case KindRefused:
			again = appendRefused(nil, &e.Opening, &e.Closing)
		case KindSummary:
			return // cuts its reasons
		}
		if _, err := DecodeEntry(again); err != nil {
			t.Errorf("%q, written again as %q, cannot be read: %v", data, again, err)
		}
	})
}

func TestEntry_WritingTakesNoMemory(t *testing.T) {
	o, c := sampleOpening(), sampleClosing()
	o.UserAgent, c.Error = "curl/8", nil
	full := fullDecision()
	full.Failing, full.Shadow, full.Entities = nil, nil, nil // these are rare
	o.Decision = full
	buf := make([]byte, 0, bufferSize)
	if n := testing.AllocsPerRun(100, func() {
		buf = appendOpened(buf[:0], o)
		buf = appendClosed(buf[:0], c, o.Time)
		buf = appendRefused(buf[:0], o, c)
	}); n != 0 {
		t.Errorf("three entries take %v allocations, want none", n)
	}
}

func BenchmarkEntry(b *testing.B) {
	o, c := sampleOpening(), sampleClosing()
	o.UserAgent, c.Error = "curl/8", nil
	buf := make([]byte, 0, bufferSize)
	b.Run("opened", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = appendOpened(buf[:0], o)
		}
	})
	b.Run("closed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = appendClosed(buf[:0], c, o.Time)
		}
	})
	for kind, data := range samples() {
		b.Run("decode "+string(kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeEntry(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
