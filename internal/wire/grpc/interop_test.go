package grpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	a2agrpc "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	a2apb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	gzipgo "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
)

const (
	limit    = 8 << 20
	getTask  = "/lf.a2a.v1.A2AService/GetTask"
	streamed = "/lf.a2a.v1.A2AService/SendStreamingMessage"
)

// rawCodec lets grpc-go send and receive bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

func (rawCodec) Name() string { return "proto" }

// serve runs an HTTP/2 server without TLS and returns a connection of grpc-go to it.
func serve(t *testing.T, handler http.HandlerFunc) *grpcgo.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	server.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	conn, err := grpcgo.NewClient(l.Addr().String(), grpcgo.WithTransportCredentials(insecure.NewCredentials()),
		grpcgo.WithDefaultCallOptions(grpcgo.MaxCallRecvMsgSize(limit), grpcgo.MaxCallSendMsgSize(limit)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return conn
}

// answer is a unary handler that answers what it was sent, or an error that read gives.
func answer(w http.ResponseWriter, r *http.Request) {
	_, v, _ := grpc.Method(r.URL.Path)
	if err := grpc.CheckContentType(r.Header.Get("Content-Type")); err != nil {
		grpc.SetTrailersOnly(w.Header(), &a2a.Error{Code: -32600, Message: err.Error()}, v)
		return
	}
	message, err := grpc.ReadUnary(grpc.NewReader(r.Body, grpc.Encoding(r.Header), 4<<20))
	if err != nil {
		grpc.SetTrailersOnly(w.Header(), grpc.RequestError(err), v)
		return
	}
	w.Header().Set("Content-Type", grpc.ContentType)
	_, _ = w.Write(grpc.AppendFrame(nil, message))
	grpc.SetTrailers(w.Header(), nil, v)
}

func TestGRPCGo_CallsUsUnary(t *testing.T) {
	conn := serve(t, answer)
	for name, size := range map[string]int{"nothing": 0, "small": 10, "large": 3 << 20} {
		for _, options := range [][]grpcgo.CallOption{nil, {grpcgo.UseCompressor(gzipgo.Name)}} {
			in, out := bytes.Repeat([]byte{'x'}, size), []byte(nil)
			if err := conn.Invoke(t.Context(), getTask, &in, &out, append(options, grpcgo.ForceCodec(rawCodec{}))...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !bytes.Equal(in, out) {
				t.Errorf("%s: %d bytes became %d", name, len(in), len(out))
			}
		}
	}
	in, out := make([]byte, 5<<20), []byte(nil)
	for _, options := range [][]grpcgo.CallOption{nil, {grpcgo.UseCompressor(gzipgo.Name)}} {
		err := conn.Invoke(t.Context(), getTask, &in, &out, append(options, grpcgo.ForceCodec(rawCodec{}))...)
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("too large: %v", err)
		}
	}
}

func TestGRPCGo_ReadsOurErrors(t *testing.T) {
	e := &a2a.Error{
		Code: a2a.CodeTaskNotFound, Message: "no täsk: 100%", Metadata: []string{"taskId", "t"},
		Details: [][]byte{[]byte(`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"id","description":"d"}]}`)},
	}
	for _, late := range []bool{false, true} {
		conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, v, _ := grpc.Method(r.URL.Path)
			if !late {
				grpc.SetTrailersOnly(w.Header(), e, v)
				return
			}
			w.Header().Set("Content-Type", grpc.ContentType)
			for _, message := range []string{"one", "two"} {
				_, _ = w.Write(grpc.AppendFrame(nil, []byte(message)))
				_ = http.NewResponseController(w).Flush()
			}
			grpc.SetTrailers(w.Header(), e, v)
		})
		stream, err := conn.NewStream(t.Context(), &grpcgo.StreamDesc{ServerStreams: true}, streamed, grpcgo.ForceCodec(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		in := []byte("in")
		if err := stream.SendMsg(&in); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			var out []byte
			if err = stream.RecvMsg(&out); err != nil {
				break
			}
			got = append(got, string(out))
		}
		want := []string{"one", "two"}
		if !late {
			want = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("late %t: messages -want +got:\n%s", late, diff)
		}
		s := status.Convert(err)
		if s.Code() != codes.NotFound || s.Message() != e.Message {
			t.Errorf("late %t: %v", late, err)
		}
		details := []any{
			&errdetails.ErrorInfo{Reason: "TASK_NOT_FOUND", Domain: "a2a-protocol.org", Metadata: map[string]string{"taskId": "t"}},
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "id", Description: "d"}}},
		}
		if diff := cmp.Diff(details, s.Details(), protocmp.Transform()); diff != "" {
			t.Errorf("late %t: details -want +got:\n%s", late, diff)
		}
	}
}

func TestGRPCGo_TimeLimitAndMetadataReachUs(t *testing.T) {
	type seen struct {
		limit   time.Duration
		has     bool
		version string
	}
	got := make(chan seen, 1)
	conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		limit, has := grpc.Timeout(r.Header)
		got <- seen{limit, has, r.Header.Get(grpc.MetadataVersion)}
		answer(w, r)
	})
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "A2A-Version", "1.0"), time.Hour)
	defer cancel()
	in, out := []byte("x"), []byte(nil)
	if err := conn.Invoke(ctx, getTask, &in, &out, grpcgo.ForceCodec(rawCodec{})); err != nil {
		t.Fatal(err)
	}
	s := <-got
	if !s.has || s.limit > time.Hour || s.limit < 59*time.Minute || s.version != "1.0" {
		t.Errorf("got %+v", s)
	}
}

// TestA2AGo_TellsOurErrorsApart calls with the client of a2a-go: every error of the protocol must become its own.
func TestA2AGo_TellsOurErrorsApart(t *testing.T) {
	codesOf := map[int64]error{
		-32001: sdk.ErrTaskNotFound, -32002: sdk.ErrTaskNotCancelable, -32003: sdk.ErrPushNotificationNotSupported,
		-32004: sdk.ErrUnsupportedOperation, -32005: sdk.ErrUnsupportedContentType, -32006: sdk.ErrInvalidAgentResponse,
		-32007: sdk.ErrExtendedCardNotConfigured, -32008: sdk.ErrExtensionSupportRequired, -32009: sdk.ErrVersionNotSupported,
		-32700: sdk.ErrParseError, -32600: sdk.ErrInvalidRequest, -32601: sdk.ErrMethodNotFound, -32602: sdk.ErrInvalidParams, -32603: sdk.ErrInternalError,
	}
	for code, want := range codesOf {
		conn := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			grpc.SetTrailersOnly(w.Header(), &a2a.Error{Code: code, Message: "m"}, a2a.V10)
		})
		client := a2agrpc.NewGRPCTransport(conn)
		_, err := client.GetTask(t.Context(), a2aclient.ServiceParams{}, &sdk.GetTaskRequest{ID: "t"})
		if !errors.Is(err, want) {
			t.Errorf("%d became %v", code, err)
		}
	}
}

// agent is the server side of a2a-go with the methods that the tests call.
type agent struct {
	a2asrv.RequestHandler
}

func (agent) GetTask(_ context.Context, req *sdk.GetTaskRequest) (*sdk.Task, error) {
	switch req.ID {
	case "big":
		return &sdk.Task{ID: req.ID, ContextID: strings.Repeat("c", 2<<20)}, nil
	case "none":
		return nil, sdk.NewError(sdk.ErrTaskNotFound, "nö task").WithErrorInfoMeta(map[string]string{"taskId": "none"})
	}
	return &sdk.Task{ID: req.ID}, nil
}

func (agent) SendStreamingMessage(context.Context, *sdk.SendMessageRequest) iter.Seq2[sdk.Event, error] {
	return func(yield func(sdk.Event, error) bool) {
		for _, id := range []sdk.TaskID{"one", "two"} {
			if !yield(&sdk.Task{ID: id}, nil) {
				return
			}
		}
		yield(nil, sdk.ErrUnsupportedOperation)
	}
}

// call sends one message over net/http and returns the messages of the reply and its error.
func call(t *testing.T, address, path string, compressed bool, message proto.Message) ([][]byte, *a2a.Error) {
	t.Helper()
	raw, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	frame := grpc.AppendFrame(nil, raw)
	if compressed {
		frame = zipped(t, raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, bytes.NewReader(frame))
	if err != nil {
		t.Fatal(err)
	}
	grpc.SetRequest(req.Header, time.Minute)
	if compressed {
		req.Header.Set("Grpc-Encoding", "gzip")
	}
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var messages [][]byte
	r := grpc.NewReader(resp.Body, grpc.Encoding(resp.Header), limit)
	for {
		message, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, message)
	}
	op, v, _ := grpc.Method(path)
	return messages, grpc.ErrorFromTrailers(op, v, resp.StatusCode, resp.Header, resp.Trailer)
}

func TestA2AGo_AnswersUs(t *testing.T) {
	server := grpcgo.NewServer(grpcgo.MaxRecvMsgSize(limit), grpcgo.MaxSendMsgSize(limit))
	a2agrpc.NewHandler(agent{}).RegisterWith(server)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	address := l.Addr().String()

	for _, compressed := range []bool{false, true} {
		for _, id := range []string{"t", "big"} {
			messages, fault := call(t, address, getTask, compressed, &a2apb.GetTaskRequest{Id: id})
			if fault != nil || len(messages) != 1 {
				t.Fatalf("%s: %d messages, %v", id, len(messages), fault)
			}
			var task a2apb.Task
			if err := proto.Unmarshal(messages[0], &task); err != nil || task.GetId() != id {
				t.Errorf("got %s, %v", task.GetId(), err)
			}
		}
	}

	messages, fault := call(t, address, getTask, false, &a2apb.GetTaskRequest{Id: "none"})
	if len(messages) != 0 || fault == nil {
		t.Fatalf("%d messages, %v", len(messages), fault)
	}
	if fault.Code != a2a.CodeTaskNotFound || !strings.Contains(fault.Message, "nö task") || cmp.Diff([]string{"taskId", "none"}, fault.Metadata) != "" {
		t.Errorf("got %+v", fault)
	}

	messages, fault = call(t, address, streamed, false, &a2apb.SendMessageRequest{Message: &a2apb.Message{MessageId: "m", Role: a2apb.Role_ROLE_USER, Parts: []*a2apb.Part{{Content: &a2apb.Part_Text{Text: "x"}}}}})
	if len(messages) != 2 || fault == nil || fault.Code != a2a.CodeUnsupportedOperation {
		t.Errorf("%d messages, %+v", len(messages), fault)
	}

	_, fault = call(t, address, "/a2a.v1.A2AService/GetTask", false, &a2apb.GetTaskRequest{})
	if fault == nil || fault.Code != a2a.CodeUnsupportedOperation {
		t.Errorf("a service that is not there: %+v", fault)
	}
}
