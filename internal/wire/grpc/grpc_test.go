package grpc_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPaths_AreThoseOfBothServices(t *testing.T) {
	want := map[string]bool{}
	for _, name := range []string{"SendMessage", "SendStreamingMessage", "GetTask", "CancelTask", "CreateTaskPushNotificationConfig", "GetTaskPushNotificationConfig", "DeleteTaskPushNotificationConfig"} {
		want["/lf.a2a.v1.A2AService/"+name], want["/a2a.v1.A2AService/"+name] = true, true
	}
	for _, path := range []string{
		"/lf.a2a.v1.A2AService/ListTasks", "/lf.a2a.v1.A2AService/SubscribeToTask", "/lf.a2a.v1.A2AService/ListTaskPushNotificationConfigs", "/lf.a2a.v1.A2AService/GetExtendedAgentCard",
		"/a2a.v1.A2AService/TaskSubscription", "/a2a.v1.A2AService/ListTaskPushNotificationConfig", "/a2a.v1.A2AService/GetAgentCard",
	} {
		want[path] = true
	}
	got := map[string]bool{}
	for _, v := range []a2a.Version{a2a.V03, a2a.V10} {
		for op := a2a.SendMessage; op <= a2a.GetExtendedCard; op++ {
			path := grpc.Path(op, v)
			if path == "" {
				continue
			}
			got[path] = true
			if gotOp, gotV, ok := grpc.Method(path); !ok || gotOp != op || gotV != v {
				t.Errorf("%s is read as %s of %s, %t", path, gotOp, gotV, ok)
			}
			if known, ok := grpc.Known(path); !ok || known != v {
				t.Errorf("%s is of %s, %t", path, known, ok)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, path := range []string{"", "/", "lf.a2a.v1.A2AService/GetTask", "/lf.a2a.v1.A2AService/gettask", "/lf.a2a.v1.A2AService/", "/lf.a2a.v1.A2AService/GetAgentCard", "/a2a.v1.A2AService/SubscribeToTask", "/a2a.v1.A2AService/ListTasks", "/x/GetTask", "/a2a.v1.A2AService/GetTask/"} {
		if op, v, ok := grpc.Method(path); ok {
			t.Errorf("%q is read as %s of %s", path, op, v)
		}
	}
}

func TestCheckContentType(t *testing.T) {
	for contentType, text := range map[string]string{
		"application/grpc": "", "application/grpc+proto": "", "Application/GRPC": "", "application/grpc; charset=utf-8": "",
		"application/grpc-web+proto": "gRPC-Web is not served", "application/grpc-web-text": "gRPC-Web is not served",
		"application/grpc+json": "must be protobuf", "application/json": "not application/grpc+proto", "": "not application/grpc+proto", "application/grpcx": "not application/grpc+proto",
	} {
		err := grpc.CheckContentType(contentType)
		if (err == nil) != (text == "") || err != nil && (!strings.Contains(err.Error(), text) || !errors.Is(err, grpc.ErrContentType)) {
			t.Errorf("%q: %v", contentType, err)
		}
	}
	if !grpc.IsGRPC("application/grpc-web") || grpc.IsGRPC("application/json") {
		t.Error("IsGRPC")
	}
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	frame := grpc.AppendFrame(nil, b.Bytes())
	frame[0] = 1
	return frame
}

func TestReader_ReadsFramesHoweverTheyArrive(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	var body []byte
	body = grpc.AppendFrame(body, []byte("one"))
	body = grpc.AppendFrame(body, nil)
	body = append(body, zipped(t, big)...)
	body = grpc.AppendFrame(body, big)
	for name, src := range map[string]io.Reader{
		"at once": bytes.NewReader(body), "byte by byte": iotest.OneByteReader(bytes.NewReader(body)),
		"end with data": iotest.DataErrReader(bytes.NewReader(body)),
	} {
		r := grpc.NewReader(src, "gzip", len(big))
		for i, want := range [][]byte{[]byte("one"), {}, big, big} {
			got, err := r.Next()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: message %d: %d bytes, %v", name, i, len(got), err)
			}
		}
		for range 2 {
			if _, err := r.Next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: at the end: %v", name, err)
			}
		}
	}
}

func TestReader_RefusesWhatIsNoFrameOrTooMuch(t *testing.T) {
	bomb := zipped(t, make([]byte, 1<<20))
	tests := []struct {
		name, encoding string
		body           []byte
		want           error
		status         int
	}{
		{"too large", "", grpc.AppendFrame(nil, make([]byte, 1025)), grpc.ErrTooLarge, a2a.GRPCResourceExhausted},
		{"far too large", "", []byte{0, 255, 255, 255, 255}, grpc.ErrTooLarge, a2a.GRPCResourceExhausted},
		{"too large inside", "gzip", bomb, grpc.ErrTooLarge, a2a.GRPCResourceExhausted},
		{"compressed without saying how", "", zipped(t, []byte("x")), grpc.ErrEncoding, a2a.GRPCUnimplemented},
		{"compressed otherwise", "zstd", zipped(t, []byte("x")), grpc.ErrEncoding, a2a.GRPCUnimplemented},
		{"not gzip", "gzip", []byte{1, 0, 0, 0, 1, 'x'}, grpc.ErrFrame, a2a.GRPCInvalidArgument},
		{"gzip cut off", "gzip", func() []byte { f := zipped(t, []byte("xyz")); f[4] -= 4; return f[:len(f)-4] }(), grpc.ErrFrame, a2a.GRPCInvalidArgument},
		{"odd flag", "", []byte{2, 0, 0, 0, 0}, grpc.ErrFrame, a2a.GRPCInvalidArgument},
		{"cut in the prefix", "", []byte{0, 0, 0}, io.ErrUnexpectedEOF, a2a.GRPCInvalidArgument},
		{"cut in the message", "", []byte{0, 0, 0, 0, 2, 'x'}, io.ErrUnexpectedEOF, a2a.GRPCInvalidArgument},
		{"cut behind the prefix", "", []byte{0, 0, 0, 0, 2}, io.ErrUnexpectedEOF, a2a.GRPCInvalidArgument},
		{"none", "", nil, grpc.ErrMessages, a2a.GRPCInvalidArgument},
		{"two", "", make([]byte, 10), grpc.ErrMessages, a2a.GRPCInvalidArgument},
		{"one and a half", "", make([]byte, 7), io.ErrUnexpectedEOF, a2a.GRPCInvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limit := 1024
			if tt.name == "too large inside" {
				limit = len(bomb)
			}
			_, err := grpc.ReadUnary(grpc.NewReader(bytes.NewReader(tt.body), tt.encoding, limit))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if got := grpc.RequestError(err).RPCStatus(a2a.V10); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10S": 10 * time.Second, "1n": 1, "5u": 5 * time.Microsecond, "7m": 7 * time.Millisecond, "2M": 2 * time.Minute, "3H": 3 * time.Hour,
		"00000001S": time.Second, "99999999H": math.MaxInt64, "0n": 0,
	} {
		if got, ok := grpc.ParseTimeout(text); !ok || got != want {
			t.Errorf("%q: %v, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "S", "10", "10s", "-1S", "+1S", "1.5S", "123456789S", " 1S", "1 S"} {
		if got, ok := grpc.ParseTimeout(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{
		time.Second: "1000000u", 0: "0n", -1: "0n", 99_999_999: "99999999n", 100_000_000: "100000u", 100_000_001: "100001u",
		15 * time.Minute: "900000m", math.MaxInt64: "2562048H",
	} {
		got := grpc.FormatTimeout(d)
		if got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
		if back, ok := grpc.ParseTimeout(got); !ok || back < d {
			t.Errorf("%v: read back as %v", d, back)
		}
	}
	h := http.Header{}
	grpc.SetRequest(h, time.Minute)
	if got, ok := grpc.Timeout(h); !ok || got != time.Minute || grpc.CheckContentType(h.Get("Content-Type")) != nil || h.Get("Te") != "trailers" {
		t.Errorf("got %v", h)
	}
}

func TestMessages_ArePercentEncoded(t *testing.T) {
	for text, want := range map[string]string{"plain text.": "plain text.", "100% é\n": "100%25 %C3%A9%0A", "~ \x7f": "~ %7F"} {
		got := grpc.EncodeMessage(text)
		if got != want || grpc.DecodeMessage(got) != text {
			t.Errorf("%q: %q", text, got)
		}
	}
	for text, want := range map[string]string{"%": "%", "%4": "%4", "%zz": "%zz", "%c3%a9": "é", "%FF": "\ufffd", "%+1": "%+1", "a\xffb": "a\ufffdb"} {
		if got := grpc.DecodeMessage(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func someDetails(t testing.TB) []proto.Message {
	t.Helper()
	value, err := structpb.NewStruct(map[string]any{"a": 1.5, "b": []any{"x", nil, true, map[string]any{"c": -2e30}}, "é": "\u2028", "n": 9007199254740992.0})
	if err != nil {
		t.Fatal(err)
	}
	return []proto.Message{
		&errdetails.ErrorInfo{Reason: "TASK_NOT_FOUND", Domain: "a2a-protocol.org", Metadata: map[string]string{"taskId": "t\"1"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "message.parts", Description: "empty", Reason: "R", LocalizedMessage: &errdetails.LocalizedMessage{Locale: "de", Message: "leer"}}, {Field: "b"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(-1 * time.Nanosecond)},
		&errdetails.LocalizedMessage{Locale: "en", Message: "hi"},
		&errdetails.Help{Links: []*errdetails.Help_Link{{Description: "d", Url: "https://x"}}},
		&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "s", QuotaDimensions: map[string]string{"k": "v"}, QuotaValue: 7}}},
		&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "t", Subject: "s", Description: "d"}}},
		&errdetails.RequestInfo{RequestId: "r"},
		&errdetails.ResourceInfo{ResourceType: "task", ResourceName: "t"},
		&errdetails.DebugInfo{StackEntries: []string{"a", "b"}, Detail: "d"},
		value,
	}
}

func TestDetails_AreWhatProtobufMakesOfThem(t *testing.T) {
	for _, want := range someDetails(t) {
		packed, err := anypb.New(want)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(string(want.ProtoReflect().Descriptor().FullName()), func(t *testing.T) {
			raw, err := proto.Marshal(&spb.Status{Code: 5, Message: "né", Details: []*anypb.Any{packed}})
			if err != nil {
				t.Fatal(err)
			}
			status, text, details, err := grpc.DecodeStatus(raw)
			if err != nil || status != 5 || text != "né" || len(details) != 1 {
				t.Fatalf("%d %q %s %v", status, text, details, err)
			}
			var read anypb.Any
			if err := protojson.Unmarshal(details[0], &read); err != nil {
				t.Fatalf("%s: %v", details[0], err)
			}
			same(t, want, &read)

			asJSON, err := protojson.Marshal(packed)
			if err != nil {
				t.Fatal(err)
			}
			var again spb.Status
			if err := proto.Unmarshal(grpc.EncodeStatus(5, "né", [][]byte{asJSON}), &again); err != nil {
				t.Fatal(err)
			}
			if again.GetCode() != 5 || again.GetMessage() != "né" || len(again.GetDetails()) != 1 {
				t.Fatalf("got %v", &again)
			}
			same(t, want, again.GetDetails()[0])
		})
	}
}

func same(t *testing.T, want proto.Message, got *anypb.Any) {
	t.Helper()
	message, err := got.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, message, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDetails_OfOtherTypesAreLeftOut(t *testing.T) {
	packed, err := anypb.New(timestamppb.New(time.Unix(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&spb.Status{Code: 5, Details: []*anypb.Any{packed, {TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: []byte{0xff}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, details, err := grpc.DecodeStatus(raw); err != nil || len(details) != 0 {
		t.Errorf("got %s, %v", details, err)
	}
	deep := `{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`
	for _, detail := range []string{`{"@type":"x/y.Z"}`, `{}`, `3`, `[]`, `{"@type":3}`, `{"@type":"google.rpc.Help"`, deep} {
		var status spb.Status
		if err := proto.Unmarshal(grpc.EncodeStatus(5, "", [][]byte{[]byte(detail)}), &status); err != nil || len(status.GetDetails()) != 0 {
			t.Errorf("%.60s: %v, %v", detail, &status, err)
		}
	}
	if _, _, _, err := grpc.DecodeStatus([]byte{0xff}); !errors.Is(err, grpc.ErrStatus) {
		t.Errorf("got %v", err)
	}
}

func TestStructs_OfAgentsThatWriteThemFlat(t *testing.T) {
	for detail, want := range map[string]string{
		`{"@type":"type.googleapis.com/google.protobuf.Struct","a":1,"b":"x"}`:                `{"a":1,"b":"x"}`,
		`{"@type":"type.googleapis.com/google.protobuf.Struct","value":"x"}`:                  `{"value":"x"}`,
		`{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"c":2},"a":1}`:        `{"a":1,"value":{"c":2}}`,
		`{"value":{"a":[1,null,false]},"@type":"type.googleapis.com/google.protobuf.Struct"}`: `{"a":[1,null,false]}`,
	} {
		_, _, details, err := grpc.DecodeStatus(grpc.EncodeStatus(5, "", [][]byte{[]byte(detail)}))
		if err != nil || len(details) != 1 {
			t.Fatalf("%s: %s %v", detail, details, err)
		}
		if got, want := string(details[0]), `{"@type":"type.googleapis.com/google.protobuf.Struct","value":`+want+`}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func trailersOf(e *a2a.Error, v a2a.Version) http.Header {
	h := http.Header{}
	grpc.SetTrailersOnly(h, e, v)
	return h
}

func TestEveryRow_SurvivesTrailersInBothVersions(t *testing.T) {
	for _, row := range a2a.Rows() {
		for _, v := range []a2a.Version{a2a.V03, a2a.V10} {
			e := &a2a.Error{Code: row.Code, Reason: row.Reason, Domain: row.Domain, Message: "né: 100%", Metadata: []string{"a", "b"}}
			got := grpc.ErrorFromTrailers(a2a.GetTask, v, 200, trailersOf(e, v), nil)
			want := *e
			if v == a2a.V03 && !row.In03 {
				want.Code = -32600
			}
			if v == a2a.V03 && row.GRPC != row.GRPC03 {
				want.Reason, want.Domain, want.Metadata = "", "", nil
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", row.Reason, v, diff)
			}
		}
	}
}

func TestErrorFromTrailers_TellsEveryWayToFail(t *testing.T) {
	kind := http.Header{"Content-Type": {"application/grpc"}}
	tests := []struct {
		name            string
		http            int
		header, trailer http.Header
		code            int64 // 0 for none
		text            string
	}{
		{"success", 200, kind, http.Header{"Grpc-Status": {"0"}}, 0, ""},
		{"success, trailers only", 200, http.Header{"Content-Type": {"application/grpc"}, "Grpc-Status": {"0"}}, nil, 0, ""},
		{"status", 200, kind, http.Header{"Grpc-Status": {"5"}, "Grpc-Message": {"n%C3%A9"}}, a2a.CodeTaskNotFound, "né"},
		{"status with another HTTP status", 503, http.Header{"Grpc-Status": {"5"}}, nil, a2a.CodeTaskNotFound, "NOT_FOUND"},
		{"details padded", 200, kind, http.Header{"Grpc-Status": {"9"}, "Grpc-Status-Details-Bin": {base64.StdEncoding.EncodeToString(grpc.EncodeStatus(9, "inner", [][]byte{[]byte(`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"VERSION_NOT_SUPPORTED","domain":"a2a-protocol.org"}`)}))}}, a2a.CodeVersionNotSupported, "inner"},
		{"details malformed", 200, kind, http.Header{"Grpc-Status": {"9"}, "Grpc-Message": {"m"}, "Grpc-Status-Details-Bin": {"!!"}}, a2a.CodeUnsupportedOperation, "m"},
		{"status malformed", 200, kind, http.Header{"Grpc-Status": {"x"}}, -32603, "UNKNOWN"},
		{"no status", 200, kind, nil, a2a.CodeInvalidAgentResponse, "without a status"},
		{"not gRPC", 200, http.Header{"Content-Type": {"text/html"}}, nil, a2a.CodeInvalidAgentResponse, "not gRPC"},
		{"HTTP 401", 401, nil, nil, a2a.CodeUnauthenticated, "HTTP status 401"},
		{"HTTP 403", 403, nil, nil, a2a.CodePermissionDenied, "HTTP status 403"},
		{"HTTP 404", 404, nil, nil, a2a.CodeUnsupportedOperation, "HTTP status 404"},
		{"HTTP 429", 429, nil, nil, a2a.CodeUnavailable, "HTTP status 429"},
		{"HTTP 502", 502, nil, nil, a2a.CodeUnavailable, "HTTP status 502"},
		{"HTTP 400", 400, nil, nil, -32603, "HTTP status 400"},
		{"HTTP 418", 418, nil, nil, -32603, "HTTP status 418"},
	}
	for _, tt := range tests {
		got := grpc.ErrorFromTrailers(a2a.GetTask, a2a.V10, tt.http, tt.header, tt.trailer)
		switch {
		case got == nil:
			if tt.code != 0 {
				t.Errorf("%s: no error", tt.name)
			}
		case got.Code != tt.code || !strings.Contains(got.Message, tt.text):
			t.Errorf("%s: got %d %q", tt.name, got.Code, got.Message)
		}
	}
}

func TestTrailers_StayWithinWhatClientsTake(t *testing.T) {
	e := &a2a.Error{Code: a2a.CodeTaskNotFound, Message: strings.Repeat("é%", 10_000), Details: [][]byte{
		[]byte(`{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","message":"` + strings.Repeat("x", 10_000) + `"}`),
	}}
	h := trailersOf(e, a2a.V10)
	size := 0
	for name, values := range h {
		size += len(name) + len(values[0]) + 32
	}
	if size > 8<<10 {
		t.Errorf("trailers of %d bytes", size)
	}
	got := grpc.ErrorFromTrailers(a2a.GetTask, a2a.V10, 200, h, nil)
	if got.Code != a2a.CodeTaskNotFound || got.Reason != "TASK_NOT_FOUND" || len(got.Details) != 0 || !strings.HasPrefix(e.Message, got.Message) || got.Message == "" {
		t.Errorf("got %.100v", got)
	}
	if h := trailersOf(&a2a.Error{Code: 1, Message: "a\xff\r\nGrpc-Status: 0"}, a2a.V03); h.Get("Grpc-Message") != "a%EF%BF%BD%0D%0AGrpc-Status: 0" {
		t.Errorf("got %q", h)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(grpc.AppendFrame(grpc.AppendFrame(nil, []byte("a")), nil), "", 10)
	f.Add(zipped(f, []byte("abc")), "gzip", 10)
	f.Add([]byte{0, 255, 255, 255, 255}, "", 1<<20)
	f.Fuzz(func(t *testing.T, body []byte, encoding string, limit int) {
		limit %= 1 << 20
		r := grpc.NewReader(bytes.NewReader(body), encoding, limit)
		var again []byte
		for {
			message, err := r.Next()
			if err != nil {
				break
			}
			if len(message) > limit {
				t.Fatalf("a message of %d bytes, allowed are %d", len(message), limit)
			}
			again = grpc.AppendFrame(again, message)
		}
		if encoding == "" && !bytes.HasPrefix(body, again) {
			t.Errorf("%x became %x", body, again)
		}
	})
}

func FuzzDecodeStatus(f *testing.F) {
	for _, detail := range someDetails(f) {
		packed, err := anypb.New(detail)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proto.Marshal(&spb.Status{Code: 5, Message: "m", Details: []*anypb.Any{packed}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		status, text, details, err := grpc.DecodeStatus(raw)
		if err != nil {
			return
		}
		for _, detail := range details {
			if !json.Valid(detail) {
				t.Fatalf("not JSON: %q", detail)
			}
		}
		encoded := grpc.EncodeStatus(status, text, details)
		if err := proto.Unmarshal(encoded, new(spb.Status)); err != nil {
			t.Fatalf("%s: %v", details, err)
		}
		status2, text2, details2, err := grpc.DecodeStatus(encoded)
		if err != nil || status2 != status || text2 != text || len(details2) != len(details) {
			t.Fatalf("%d %q %s became %d %q %s, %v", status, text, details, status2, text2, details2, err)
		}
		// Names that are not UTF-8 become alike; from the second time on nothing changes.
		_, _, details3, _ := grpc.DecodeStatus(grpc.EncodeStatus(status2, text2, details2))
		if diff := cmp.Diff(details2, details3); diff != "" {
			t.Errorf("not stable:\n%s", diff)
		}
		a2a.ErrorFromGRPC(a2a.GetTask, a2a.V10, status, text, details)
	})
}
