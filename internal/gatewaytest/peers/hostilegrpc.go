package peers

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The behaviours that only gRPC has. Of the others [HostileGRPC] knows Proper,
// HTML502, HTML200, Empty, Hang, CutStream, CutEvent, BigEvent, Megabyte, SlowHeaders,
// SlowFirst, ErrorFirst, ErrorEvent, Split, StatusFirst, Huge and Odd.
const (
	NoStatus      Behaviour = "no-status"      // messages and an end without a status
	TrailersOnly  Behaviour = "trailers-only"  // an error in the headers of a reply that has no body
	TwoMessages   Behaviour = "two-messages"   // two messages where one was due
	Compressed    Behaviour = "compressed"     // a message marked as compressed, without a word about how
	LongPrefix    Behaviour = "long-prefix"    // a message that says it has 4 GiB, and three bytes of it
	NotProto      Behaviour = "not-proto"      // a message that is no protobuf
	StatusMidway  Behaviour = "status-midway"  // a status that says OK after half a message
	UnknownStatus Behaviour = "unknown-status" // a status that nobody knows
)

func grpcBehaviours() []Behaviour {
	return []Behaviour{NoStatus, TrailersOnly, TwoMessages, Compressed, LongPrefix, NotProto, StatusMidway, UnknownStatus}
}

// HostileGRPC is an upstream of gRPC that misbehaves on request, by the message
// id that begins with [HostilePrefix]. It speaks both versions.
type HostileGRPC struct {
	// Target is its address, URL the same as one.
	Target, URL string

	delay time.Duration
	stop  chan struct{}

	mu    sync.Mutex
	calls []Call
}

// StartHostileGRPC starts one. It ends with the test. Every call behaves as the one
// given, unless its message id asks for another.
func StartHostileGRPC(t testing.TB, b Behaviour, delay time.Duration) *HostileGRPC {
	t.Helper()
	h := &HostileGRPC{delay: cmp.Or(delay, defaultDelay), stop: make(chan struct{})}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, b) }))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv.Config.Protocols = protocols
	srv.Start()
	h.URL, h.Target = srv.URL, strings.TrimPrefix(srv.URL, "http://")
	t.Cleanup(func() {
		close(h.stop)
		srv.CloseClientConnections()
		srv.Close()
	})
	return h
}

// Card is the card of the upstream in a version, for registering it.
func (h *HostileGRPC) Card(version string) []byte {
	host := Hostile{cfg: HostileConfig{Version: version}}
	card := host.card(h.Target)
	return []byte(strings.Replace(card, `"JSONRPC"`, `"GRPC"`, 1))
}

// Calls returns the calls received so far: their bodies are the messages.
func (h *HostileGRPC) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

func (h *HostileGRPC) serve(w http.ResponseWriter, r *http.Request, b Behaviour) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxHostileBody))
	body = body[min(5, len(body)):]
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	h.mu.Lock()
	h.calls = append(h.calls, Call{Header: header, Path: r.URL.Path, Body: body})
	h.mu.Unlock()

	old := strings.HasPrefix(r.URL.Path, "/a2a.v1.")
	if asked, ok := strings.CutPrefix(grpcMessageID(body, old), HostilePrefix); ok {
		b = longest(asked)
	}
	out := grpcWriter{w: w, flush: http.NewResponseController(w).Flush}
	call := grpcCall{old: old, method: r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]}
	h.answer(out, r, b, call)
}

// answer behaves.
func (h *HostileGRPC) answer(out grpcWriter, r *http.Request, b Behaviour, call grpcCall) {
	w := out.w
	switch b {
	case HTML502, HTML200:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if b == HTML502 {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = io.WriteString(w, `<!doctype html><title>Bad gateway</title><p>10.0.0.7:9999 did not answer</p>`)
		return
	case Hang:
		h.pause(r, 0)
		return
	case SlowHeaders:
		if !h.pause(r, h.delay) {
			return
		}
	case TrailersOnly:
		w.Header().Set("Content-Type", "application/grpc")
		out.fail(w.Header(), codes.NotFound, "TASK_NOT_FOUND", "no such task")
		return
	default:
	}
	w.Header().Set("Content-Type", "application/grpc+proto")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin")
	_ = out.flush()
	if b == SlowFirst && !h.pause(r, h.delay) {
		return
	}
	trailer := w.Header()
	messages := call.messages(HostileChunk)
	switch b {
	case Empty:
		trailer.Set("Grpc-Status", "0")
		return
	case ErrorFirst:
		out.fail(trailer, codes.NotFound, "TASK_NOT_FOUND", "no such task")
		return
	case ErrorEvent:
		for _, m := range messages[:min(2, len(messages))] {
			out.send(m)
		}
		out.fail(trailer, codes.NotFound, "TASK_NOT_FOUND", "no such task")
		return
	case NoStatus:
		out.send(messages[0])
		return
	case UnknownStatus:
		trailer.Set("Grpc-Status", "4711")
		trailer.Set("Grpc-Message", "what%20is%20this%3F")
		return
	case Compressed:
		out.raw(append([]byte{1}, frame(messages[0])[1:]...))
	case LongPrefix:
		out.raw([]byte{0, 0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c'})
	case NotProto:
		out.send([]byte("\xff\xff\xff\xff not protobuf"))
	case StatusMidway:
		whole := frame(messages[0])
		out.raw(whole[:len(whole)/2])
	case CutStream:
		for _, m := range messages[:min(2, len(messages))] {
			out.send(m)
		}
		panic(http.ErrAbortHandler) // resets the stream
	case CutEvent:
		out.send(messages[0])
		last := frame(messages[len(messages)-1])
		out.raw(last[:len(last)/2])
		panic(http.ErrAbortHandler)
	case TwoMessages:
		out.send(messages[0])
		out.send(messages[0])
	case Huge, BigEvent, Megabyte:
		size := map[Behaviour]int{Huge: HugeBytes, BigEvent: BigEventBytes, Megabyte: MegabyteBytes}[b]
		for _, m := range call.messages(strings.Repeat("x", size)) {
			out.send(m)
		}
	case Split:
		for _, m := range messages {
			for whole := frame(m); len(whole) > 0; whole = whole[min(pieceBytes, len(whole)):] {
				out.raw(whole[:min(pieceBytes, len(whole))])
			}
		}
	case Odd:
		// A field that no version has, behind those that it has.
		out.send(append(slices.Clone(messages[0]), 0xfa, 0x7f, 0x03, 'o', 'd', 'd'))
		for _, m := range messages[1:] {
			out.send(m)
		}
	case StatusFirst:
		for _, m := range messages[min(1, len(messages)-1):] {
			out.send(m)
		}
	default:
		for _, m := range messages {
			out.send(m)
		}
	}
	trailer.Set("Grpc-Status", "0")
}

// pause waits for the time, 0 being for ever, and tells whether the call goes on.
func (h *HostileGRPC) pause(r *http.Request, d time.Duration) bool {
	return (&Hostile{stop: h.stop}).pause(r, d)
}

// grpcCall is a call of gRPC.
type grpcCall struct {
	old    bool
	method string
}

// messages are those of the answer: four of a stream, else one.
func (c grpcCall) messages(chunk string) [][]byte {
	var all []proto.Message
	switch c.method {
	case "SendStreamingMessage", "SubscribeToTask", "TaskSubscription":
		all = newEvents(chunk)
		if c.old {
			all = oldEvents(chunk)
		}
	case "GetTask", "CancelTask":
		all = []proto.Message{newTask(pb.TaskState_TASK_STATE_WORKING)}
		if c.old {
			all = []proto.Message{oldTask(oldpb.TaskState_TASK_STATE_WORKING)}
		}
	default:
		all = []proto.Message{&pb.SendMessageResponse{Payload: &pb.SendMessageResponse_Message{Message: &pb.Message{
			MessageId: "h1", Role: pb.Role_ROLE_AGENT, Parts: []*pb.Part{{Content: &pb.Part_Text{Text: chunk}}},
		}}}}
		if c.old {
			all = []proto.Message{&oldpb.SendMessageResponse{Payload: &oldpb.SendMessageResponse_Msg{Msg: &oldpb.Message{
				MessageId: "h1", Role: oldpb.Role_ROLE_AGENT, Parts: []*oldpb.Part{{Part: &oldpb.Part_Text{Text: chunk}}},
			}}}}
		}
	}
	encoded := make([][]byte, len(all))
	for i, m := range all {
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err) // texts of this file always encode
		}
		encoded[i] = b
	}
	return encoded
}

func newTask(state pb.TaskState) *pb.Task {
	return &pb.Task{Id: "h-task", ContextId: "h-context", Status: &pb.TaskStatus{State: state}}
}

func newEvents(chunk string) []proto.Message {
	status := func(state pb.TaskState) *pb.StreamResponse {
		return &pb.StreamResponse{Payload: &pb.StreamResponse_StatusUpdate{StatusUpdate: &pb.TaskStatusUpdateEvent{
			TaskId: "h-task", ContextId: "h-context", Status: &pb.TaskStatus{State: state},
		}}}
	}
	return []proto.Message{
		&pb.StreamResponse{Payload: &pb.StreamResponse_Task{Task: newTask(pb.TaskState_TASK_STATE_SUBMITTED)}},
		status(pb.TaskState_TASK_STATE_WORKING),
		&pb.StreamResponse{Payload: &pb.StreamResponse_ArtifactUpdate{ArtifactUpdate: &pb.TaskArtifactUpdateEvent{
			TaskId: "h-task", ContextId: "h-context", LastChunk: true,
			Artifact: &pb.Artifact{ArtifactId: "a1", Parts: []*pb.Part{{Content: &pb.Part_Text{Text: chunk}}}},
		}}},
		status(pb.TaskState_TASK_STATE_COMPLETED),
	}
}

func oldTask(state oldpb.TaskState) *oldpb.Task {
	return &oldpb.Task{Id: "h-task", ContextId: "h-context", Status: &oldpb.TaskStatus{State: state}}
}

func oldEvents(chunk string) []proto.Message {
	status := func(state oldpb.TaskState, final bool) *oldpb.StreamResponse {
		return &oldpb.StreamResponse{Payload: &oldpb.StreamResponse_StatusUpdate{StatusUpdate: &oldpb.TaskStatusUpdateEvent{
			TaskId: "h-task", ContextId: "h-context", Status: &oldpb.TaskStatus{State: state}, Final: final,
		}}}
	}
	return []proto.Message{
		&oldpb.StreamResponse{Payload: &oldpb.StreamResponse_Task{Task: oldTask(oldpb.TaskState_TASK_STATE_SUBMITTED)}},
		status(oldpb.TaskState_TASK_STATE_WORKING, false),
		&oldpb.StreamResponse{Payload: &oldpb.StreamResponse_ArtifactUpdate{ArtifactUpdate: &oldpb.TaskArtifactUpdateEvent{
			TaskId: "h-task", ContextId: "h-context", LastChunk: true,
			Artifact: &oldpb.Artifact{ArtifactId: "a1", Parts: []*oldpb.Part{{Part: &oldpb.Part_Text{Text: chunk}}}},
		}}},
		status(oldpb.TaskState_TASK_STATE_COMPLETED, true),
	}
}

// grpcMessageID reads the id of the message that a call sends.
func grpcMessageID(body []byte, old bool) string {
	if old {
		var req oldpb.SendMessageRequest
		if proto.Unmarshal(body, &req) != nil {
			return ""
		}
		return req.GetRequest().GetMessageId()
	}
	var req pb.SendMessageRequest
	if proto.Unmarshal(body, &req) != nil {
		return ""
	}
	return req.GetMessage().GetMessageId()
}

// grpcWriter sends at once what it is given. A reader that has left is no error.
type grpcWriter struct {
	w     http.ResponseWriter
	flush func() error
}

// frame puts the prefix of gRPC before a message.
func frame(message []byte) []byte {
	whole := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(whole, message...)
}

func (g grpcWriter) send(message []byte) { g.raw(frame(message)) }

func (g grpcWriter) raw(b []byte) {
	_, _ = g.w.Write(b)
	_ = g.flush()
}

// fail sets the status of a protocol's error.
func (g grpcWriter) fail(trailer http.Header, code codes.Code, reason, text string) {
	trailer.Set("Grpc-Status", strconv.Itoa(int(code)))
	trailer.Set("Grpc-Message", text)
	info, err := anypb.New(&errdetails.ErrorInfo{Reason: reason, Domain: "a2a-protocol.org"})
	if err != nil {
		panic(err) // a text always encodes
	}
	b, err := proto.Marshal(&statuspb.Status{Code: int32(code), Message: text, Details: []*anypb.Any{info}})
	if err != nil {
		panic(err)
	}
	trailer.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(b))
}
