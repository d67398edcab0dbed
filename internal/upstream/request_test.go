package upstream_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// A message may carry files, and its stream may be open for hours.
func TestRequest_BodyOfAStreamIsLetGoOfWhenItWasSent(t *testing.T) {
	t.Parallel()
	for name, binding := range map[string]a2a.Binding{"HTTP/1.1": a2a.JSONRPC, "HTTP/2": a2a.GRPC} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			agent := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				if n < 1<<20 {
					w.WriteHeader(http.StatusBadRequest)
				}
				_ = http.NewResponseController(w).Flush()
				<-over
			}))
			agent.Config.Protocols = new(http.Protocols)
			agent.Config.Protocols.SetHTTP1(true)
			agent.Config.Protocols.SetUnencryptedHTTP2(true)
			agent.Start()
			t.Cleanup(agent.Close)
			t.Cleanup(func() { close(over) })
			guard, err := upstream.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
			if err != nil {
				t.Fatal(err)
			}
			transport := upstream.NewTransport(guard, 64<<10)
			t.Cleanup(transport.CloseIdleConnections)
			address, err := url.Parse(agent.URL)
			if err != nil {
				t.Fatal(err)
			}

			out, err := upstream.NewRequest(a2a.Dialect{Binding: binding, Version: a2a.V03}, a2a.SendStreamingMessage, "", []byte("1"), make([]byte, 1<<20))
			if err != nil {
				t.Fatal(err)
			}
			held := weak.Make(&out.Target.Body[0])
			resp, err := transport.RoundTrip(out.HTTP(t.Context(), address, http.Header{}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = resp.Body.Close() })
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("HTTP %d", resp.StatusCode)
			}
			out.Answered()
			deadline := time.Now().Add(10 * time.Second)
			for held.Value() != nil { // the transport closes the body beside
				if time.Now().After(deadline) {
					t.Fatal("the body is kept although it was sent")
				}
				runtime.GC()
			}
			runtime.KeepAlive(out)
			runtime.KeepAlive(resp)
		})
	}
}
