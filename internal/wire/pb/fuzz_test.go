package pb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// FuzzToJSON checks that the JSON means what protobuf parsers read in the bytes, and that it survives the way
// back and forth.
func FuzzToJSON(f *testing.F) {
	for i, k := range kinds {
		for _, payload := range payloads(f, k) {
			f.Add(uint8(i), payload)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		checkToJSON(t, kinds[int(which)%len(kinds)], payload)
	})
}

// FuzzFromJSON checks that the bytes mean what parsers of ProtoJSON read in the JSON.
func FuzzFromJSON(f *testing.F) {
	for i, k := range kinds {
		for _, payload := range payloads(f, k) {
			if text, err := pb.ToJSON(k.v, k.op, k.m, payload); err == nil {
				f.Add(uint8(i), text)
			}
		}
	}
	for _, text := range oddities {
		f.Add(uint8(0), []byte(text))
		f.Add(uint8(1), []byte(`{"message":`+text+`}`))
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		k := kinds[int(which)%len(kinds)]
		text := asGenerated(k, payload)
		want, refused := protoJSON(k, text)
		got, err := pb.FromJSON(k.v, k.op, k.m, text)
		if err != nil {
			if !errors.Is(err, pb.ErrPayload) {
				t.Fatalf("FromJSON: %v does not wrap ErrPayload", err)
			}
			known := strings.Contains(err.Error(), "unknown value") || strings.Contains(err.Error(), "twice") ||
				jsonrpc.CheckDepth(text, jsonrpc.MaxDepth) >= 0
			if refused == nil && !known && !hasCard(k) {
				t.Fatalf("FromJSON(%s): %v; others read %v", text, err, want)
			}
			return
		}
		if len(got) > 16*(len(text)+1) {
			t.Fatalf("%d bytes became %d", len(text), len(got))
		}
		back, err := unmarshal(k, got)
		if err != nil {
			t.Fatalf("FromJSON(%s) is no protobuf: %v", text, err)
		}
		if refused == nil && !hasCard(k) {
			sameMessage(t, "FromJSON", k, back, want)
		}
		again, err := pb.ToJSON(k.v, k.op, k.m, got)
		if err != nil {
			t.Fatalf("ToJSON(FromJSON(%s)): %v", text, err)
		}
		if _, err := pb.FromJSON(k.v, k.op, k.m, again); err != nil {
			t.Fatalf("FromJSON(%s): %v", again, err)
		}
	})
}

// FuzzParseCall checks that the gateway reads in a request what parsers of protobuf read, and in the JSON that
// it becomes the same.
func FuzzParseCall(f *testing.F) {
	for i, k := range kinds {
		if k.m == pb.Request {
			for _, payload := range payloads(f, k) {
				f.Add(uint8(i), payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		checkCall(t, kinds[int(which)%len(kinds)], payload)
	})
}

// FuzzParseResult checks that the gateway reads in an answer what parsers of protobuf read.
func FuzzParseResult(f *testing.F) {
	for i, k := range kinds {
		if k.m != pb.Request {
			for _, payload := range payloads(f, k) {
				f.Add(uint8(i), payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		checkResult(t, kinds[int(which)%len(kinds)], payload)
	})
}

// FuzzSetTenant checks that nothing but the tenant changes.
func FuzzSetTenant(f *testing.F) {
	for i, k := range kinds {
		if k.m == pb.Request && k.v == a2a.V10 {
			for _, payload := range payloads(f, k) {
				f.Add(uint8(i), payload, "")
				f.Add(uint8(i), payload, "acme")
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte, tenant string) {
		checkTenant(t, kinds[int(which)%len(kinds)], payload, tenant)
	})
}
