package dataplane

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
)

func TestReadTraceparent_TakesWhatTheStandardTakes(t *testing.T) {
	const good = "00-" + traceID + "-" + parentID
	zeroTrace, zeroSpan := strings.Repeat("0", 32), strings.Repeat("0", 16)
	for _, tt := range []struct {
		header string
		ok     bool
		flags  trace.TraceFlags
	}{
		{good + "-01", true, 1},
		{good + "-00", true, 0},
		{good + "-ff", true, 0xff},
		{"01-" + traceID + "-" + parentID + "-01", true, 1},
		{"cc-" + traceID + "-" + parentID + "-01-what-comes-later", true, 1},
		{"cc-" + traceID + "-" + parentID + "-01-", true, 1},

		{"", false, 0},
		{good, false, 0},
		{good + "-1", false, 0},
		{good + "-0x", false, 0},
		{good + "-0A", false, 0},
		{good + "-01-", false, 0},
		{good + "-01-more", false, 0},
		{good + "-011", false, 0},
		{"cc-" + traceID + "-" + parentID + "-01x", false, 0},
		{"ff-" + traceID + "-" + parentID + "-01", false, 0},
		{"0-" + traceID + "-" + parentID + "-01", false, 0},
		{"zz-" + traceID + "-" + parentID + "-01", false, 0},
		{"0F-" + traceID + "-" + parentID + "-01", false, 0},
		{"00-" + strings.ToUpper(traceID) + "-" + parentID + "-01", false, 0},
		{"00-" + traceID + "-" + strings.ToUpper(parentID) + "-01", false, 0},
		{"00-" + zeroTrace + "-" + parentID + "-01", false, 0},
		{"00-" + traceID + "-" + zeroSpan + "-01", false, 0},
		{"00-" + traceID[1:] + "--" + parentID + "-01", false, 0},
		{"00_" + traceID + "-" + parentID + "-01", false, 0},
		{"00-" + traceID + "_" + parentID + "-01", false, 0},
		{"00-" + traceID + "-" + parentID + "_01", false, 0},
		{" " + good + "-01", false, 0},
		{good + "-01 ", false, 0},
		{"00-" + traceID[:30] + "é-" + parentID + "-01", false, 0},
	} {
		got := readTraceparent(tt.header)
		want := traceContext{}
		if tt.ok {
			want.trace, _ = trace.TraceIDFromHex(traceID)
			want.parent, _ = trace.SpanIDFromHex(parentID)
			want.flags = tt.flags
		}
		if got != want {
			t.Errorf("%q is %+v, want %+v", tt.header, got, want)
		}
	}
}

func FuzzReadTraceparent(f *testing.F) {
	f.Add("00-" + traceID + "-" + parentID + "-01")
	f.Add("cc-" + traceID + "-" + parentID + "-01-later")
	f.Add("ff-" + traceID + "-" + parentID + "-01")
	f.Add("00-" + traceID + "-" + parentID + "-0")
	f.Add("")
	// The whole of the standard's grammar, in one place that shares nothing with the reader.
	grammar := regexp.MustCompile(`^(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-(?s:.*))?)$`)
	f.Fuzz(func(t *testing.T, header string) {
		got := readTraceparent(header)
		want := grammar.MatchString(header) && !strings.HasPrefix(header, "ff") &&
			(!strings.HasPrefix(header, "00") || len(header) == 55) &&
			header[3:35] != strings.Repeat("0", 32) && header[36:52] != strings.Repeat("0", 16)
		if got.trace.IsValid() != want {
			t.Fatalf("%q: read %t, want %t", header, got.trace.IsValid(), want)
		}
		if !want {
			if got != (traceContext{}) {
				t.Fatalf("%q is no traceparent but left %+v", header, got)
			}
			return
		}
		// What is written with the caller's span is what was read.
		got.span = got.parent
		if w := got.traceparent(); w[2:] != header[2:55] {
			t.Fatalf("%q is written as %q", header, w)
		}
	})
}

func TestTraceparent_CanBeReadAgain(t *testing.T) {
	in := traceContext{flags: 1}
	in.trace, _ = trace.TraceIDFromHex(traceID)
	in.span, _ = trace.SpanIDFromHex(parentID)
	if got, want := in.traceparent(), "00-"+traceID+"-"+parentID+"-01"; got != want {
		t.Errorf("the header is %q, want %q", got, want)
	}
}

func TestNewInvocationID_IsAUUIDv7OrderedByTheMillisecond(t *testing.T) {
	seen := map[uuid.UUID]bool{}
	begin := time.Date(2026, 5, 1, 12, 0, 0, 999_999_999, time.UTC)
	last := uuid.UUID{}
	for i := range 2000 {
		now := begin.Add(time.Duration(i) * time.Millisecond)
		first := newInvocationID(now)
		for range 4 {
			id := newInvocationID(now)
			if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
				t.Fatalf("%s is of version %d, variant %s", id, id.Version(), id.Variant())
			}
			var ms int64
			for _, b := range id[:6] {
				ms = ms<<8 | int64(b)
			}
			if ms != now.UnixMilli() {
				t.Fatalf("%s carries %d, want %d", id, ms, now.UnixMilli())
			}
			if seen[id] {
				t.Fatalf("%s was made twice", id)
			}
			seen[id] = true
		}
		if first.String() <= last.String() {
			t.Fatalf("%s comes not after %s of a millisecond before", first, last)
		}
		last = uuid.UUID(append(first[:6:6], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
	}
	// Every bit that is free is used: none is the same in all ids.
	var and, or uuid.UUID
	for i := range and {
		and[i] = 0xff
	}
	for id := range seen {
		for i, b := range id {
			and[i] &= b
			or[i] |= b
		}
	}
	free := uuid.UUID{6: 0x0f, 7: 0xff, 8: 0x3f, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}
	for i := range free {
		if and[i]&free[i] != 0 || or[i]&free[i] != free[i] {
			t.Errorf("byte %d is not random: always set %08b, ever set %08b of %08b", i, and[i], or[i], free[i])
		}
	}
}
