package dataplane_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// A message may carry files, and its stream may be silent for hours. The heap is measured,
// so this runs alone.
//
//nolint:paralleltest // see above
func TestStream_ThatIsOpenDoesNotHoldTheRequest(t *testing.T) {
	const streams, size = 8, 2 << 20
	over := make(chan struct{})
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","id":7,"result":{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"text":"x"}]}}}}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-over
	}))
	t.Cleanup(agent.Close)
	g := newRig(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10}, agent.URL).serve(t)
	t.Cleanup(func() { close(over) }) // first: the gateway reads streams of callers who left to their end
	body := gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m", strings.Repeat("x", size), ""))
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}

	before := heap()
	for range streams {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/a2a/echo", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+adminKey)
		resp, err := gatewaytest.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.Contains(line, "artifactUpdate") {
			t.Fatalf("the stream began with %q, %v", line, err)
		}
	}
	// What has been sent is let go of beside the answer.
	deadline := time.Now().Add(10 * time.Second)
	for {
		held := heap() - before
		if held < streams*size/2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d streams hold %d KiB", streams, held>>10)
		}
	}
}
