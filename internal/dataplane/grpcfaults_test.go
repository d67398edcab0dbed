package dataplane_test

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/dataplane"
)

// Nothing is written while the agent is silent, so nothing but the gateway moves the
// deadline of writes on, which HTTP/2 enforces all the same.
func TestGRPC_AStreamOutlivesSilenceLongerThanTheWriteTimeout(t *testing.T) {
	const timeout = 400 * time.Millisecond
	agent := startNative(t, grpc10)
	agent.Answer(func(w http.ResponseWriter, r *http.Request) {
		sc := &scene{d: grpc10, w: w, r: r, task: "t"}
		sc.head()
		sc.send(taskItem("working"))
		select {
		case <-time.After(2 * timeout):
			sc.send(stateItem("completed"))
			sc.end()
		case <-r.Context().Done():
		}
	})
	g := newRig(t, grpc10, agent.URL, func(c *dataplane.Config) {
		c.Limits.KeepAlive, c.Limits.WriteTimeout = timeout/4, timeout
	})
	in := newCaller(t, g.serve(t), adminKey, grpc10).stream(t, "SendStreamingMessage", "echo", "m")
	if diff := cmp.Diff([]item{taskItem("working"), stateItem("completed")}, in.all()); diff != "" || in.end.Broken || in.end.GRPC != "0" {
		t.Errorf("the stream ended with %+v (-want +got):\n%s", in.end, diff)
	}
}

// The caller was not told of the agent's compression, and may know none.
func TestGRPC_ACompressedReplyOfTheSameDialectIsPassedOnPlain(t *testing.T) {
	result := marshal(t, &pb.SendMessageResponse{Payload: &pb.SendMessageResponse_Task{Task: &pb.Task{
		Id: "t", ContextId: "c", Status: &pb.TaskStatus{State: pb.TaskState_TASK_STATE_COMPLETED},
	}}})
	agent := startNative(t, grpc10)
	compressed := zipped(t, result)
	agent.Answer(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/grpc+proto")
		h.Set("Grpc-Encoding", "gzip")
		h.Set(http.TrailerPrefix+"Grpc-Status", "0")
		_, _ = w.Write(compressed)
	})
	gateway := newRig(t, grpc10, agent.URL).serve(t)
	got := sendIn(t, h2c(t), gateway, grpc10, "echo", adminKey)
	if got.trailer.Get("Grpc-Status") != "0" || got.Header.Get("Grpc-Encoding") != "" || !bytes.Equal(got.Body, grpcFrame(result)) {
		t.Errorf("the caller got %q with %v, %v; want the message as it is without compression", got.Body, got.Header, got.trailer)
	}
}

// What the caller says goes into the record before anybody knows that it is an agent.
func TestGRPC_ATenantThatCanBeNoAgentIsNotInTheRecord(t *testing.T) {
	g := newRig(t, grpc10, "")
	got := do(t, h2c(t), http.MethodPost, g.serve(t).URL+grpcPath(grpc10.Version, "SendMessage"), adminKey,
		grpcFrame(marshal(t, send10(strings.Repeat("a", 10<<20), ""))), grpcHeaders()...)
	if f := readFailure(t, grpc10, got); f.Reason != "AGENT_NOT_FOUND" {
		t.Errorf("the call was answered with %+v, want that the agent is not found", f)
	}
	refused := g.record.refusals()
	if len(refused) != 1 {
		t.Fatalf("%d refusals were recorded, want one", len(refused))
	}
	if n := len(refused[0].Agent); n > 200 {
		t.Errorf("the record names an agent with %d bytes", n)
	}
}

// A small request may unfold to the limit of a request, and that to millions of parts;
// the gateway must not make a value of each.
func TestGRPC_ASmallRequestOfMillionsOfPartsCostsNoMoreThanAFewOfItsLimits(t *testing.T) {
	const maxSent, maxAllocated = 32 << 10, 128 << 20
	parts := bytes.Repeat([]byte{0x2a, 0x00}, 8<<20-64) // field 5 of a message, empty
	request := binary.AppendUvarint([]byte{0x12}, uint64(len(parts)))
	body := zipped(t, append(request, parts...))
	if len(body) > maxSent {
		t.Fatalf("the request has %d bytes; it should be small", len(body))
	}
	gateway := newRig(t, grpc10, "").serve(t)
	client := h2c(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := do(t, client, http.MethodPost, gateway.URL+grpcPath(grpc10.Version, "SendMessage"), adminKey, body,
		grpcHeaders("Grpc-Encoding", "gzip", "X-Signalbox-Agent", "echo")...)
	runtime.ReadMemStats(&after)
	if f := readFailure(t, grpc10, got); f.Message == "" {
		t.Errorf("the call was answered with %+v, want an error", f)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > maxAllocated {
		t.Errorf("%d bytes sent made the gateway allocate %d MiB, want at most %d", len(body), n>>20, maxAllocated>>20)
	}
}
