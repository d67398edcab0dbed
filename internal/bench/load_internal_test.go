package bench

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// agentServer runs the benchmark agent in this process behind wrap.
func agentServer(t *testing.T, wrap func(http.Handler) http.Handler) *target {
	t.Helper()
	srv := httptest.NewServer(wrap(newAgent("http://agent.test").handler()))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return &target{name: TargetDirect, endpoint: u}
}

func plain(h http.Handler) http.Handler { return h }

func load(t *testing.T, name string) workload {
	t.Helper()
	w, err := selectWorkloads([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return w[0]
}

func TestOpenLoop_ChargesAStallToEveryCallThatWasDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	var once sync.Once
	stalling := make(chan struct{}) // closed when the next call is to stall
	tgt := agentServer(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-stalling:
				once.Do(func() { <-time.After(stall) })
			default:
			}
			next.ServeHTTP(w, r)
		})
	})
	w := load(t, "unary-1k-open")
	w.conns = 1
	lanes, err := (&runner{nonce: newNonce()}).lanes(tgt, w, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer lanes[0].client.close()
	if err := prime(t.Context(), lanes); err != nil {
		t.Fatal(err)
	}
	close(stalling)
	lag, err := openLoop(t.Context(), lanes, time.Now(), 100, 600*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if lanes[0].calls != 60 || lag.TotalCount() != 60 {
		t.Errorf("got %d calls and %d paced, want 60", lanes[0].calls, lag.TotalCount())
	}
	// 30 calls were due during the stall and wait for 300, 290, … ms. A loop
	// that counts from the sending would see one slow call only.
	if got := micros(lanes[0].whole, 80); got < 100_000 {
		t.Errorf("p80 is %.0f µs, want at least 100 ms", got)
	}
}

func TestClosedLoop_CountsAWrongReplyAndFails(t *testing.T) {
	calls := 0
	tgt := agentServer(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls == 5 {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-31429,"message":"budget"}}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	lanes, err := (&runner{nonce: newNonce()}).lanes(tgt, load(t, loadUnaryOne), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer lanes[0].client.close()
	if err := prime(t.Context(), lanes); err != nil {
		t.Fatal(err)
	}
	err = closedLoop(t.Context(), lanes, time.Now().Add(time.Minute))
	if err == nil || !strings.Contains(err.Error(), "1 of 4 calls") || !strings.Contains(err.Error(), "-31429") {
		t.Errorf("got %v, want the count and the reply", err)
	}
}

func TestStream_MustBeWhole(t *testing.T) {
	tests := []struct {
		name string
		cut  func([]byte) []byte
		want string
	}{
		{"whole", func(b []byte) []byte { return b }, ""},
		{"an event is missing", func(b []byte) []byte { return b[bytes.Index(b, []byte("\n\n"))+2:] }, "event 63"},
		{"the last is missing", func(b []byte) []byte { return b[:bytes.LastIndex(b[:len(b)-2], []byte("\n\n"))+2] }, "63 events"},
		{"one too many", func(b []byte) []byte { return append(b, "data: {}\n\n"...) }, "want 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tgt := agentServer(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					rec := httptest.NewRecorder()
					next.ServeHTTP(rec, r)
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = w.Write(tt.cut(rec.Body.Bytes()))
				})
			})
			lanes, err := (&runner{nonce: newNonce()}).lanes(tgt, load(t, loadStream), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer lanes[0].client.close()
			err = lanes[0].call(t.Context(), time.Now())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAgent_ReadsAnyFormOfARequestAlike(t *testing.T) {
	own := partID + "n1" + partMethod + methodSend + partMsgID + "m1" + partMode + modeEcho + partText + "some text" + partEnd
	want, ok := readOwnForm([]byte(own))
	if !ok {
		t.Fatal("the generator's own form was not recognised")
	}
	const other = `{ "params": {"message": {"parts": [ {"text": "some text"} ], "x": [1], "metadata": {"a":1,"bench":"echo"},
		"role":"ROLE_USER", "messageId": "m1"}}, "method": "SendMessage", "id": "n1", "jsonrpc": "2.0"}`
	if _, ok := readOwnForm([]byte(other)); ok {
		t.Error("another form was taken for the generator's own")
	}
	got, err := readCall([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(call{})); diff != "" {
		t.Errorf("(-own form +other form):\n%s", diff)
	}
	if string(got.id) != `"n1"` || string(got.text) != "some text" {
		t.Errorf("got id %s and text %q", got.id, got.text)
	}
}

func TestAgent_AnswersBadRequestsWithProtocolErrors(t *testing.T) {
	tgt := agentServer(t, plain)
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{}}`: `"id":7,"error":{"code":-32601`,
		`{"jsonrpc":`: `"error":{"code":-32700`,
		`{"jsonrpc":"2.0","method":"SendMessage"}`: `"error":{"code":-32700`,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tgt.endpoint.String(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: got %s, %v, want %s", body, got, err, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
