package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const getRoot = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// dial returns a client of a test server's address.
func dial(t *testing.T, addr string) *client {
	t.Helper()
	c := newClient(addr, 4<<10, time.Now().Add(10*time.Second))
	t.Cleanup(c.close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return dial(t, srv.Listener.Addr().String())
}

func TestClient_ReadsEveryFramingOnOneConnection(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10_000)
	n := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		n++
		switch n % 3 {
		case 0: // chunks
			for part := range slices.Chunk([]byte(long), 777) {
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush()
			}
		case 1: // length
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			_, _ = io.WriteString(w, long)
		case 2: // nothing at all
			w.Header().Set("Content-Length", "0")
		}
	})
	for i := 1; i <= 9; i++ {
		if err := c.send(t.Context(), []byte(getRoot), "application/json"); err != nil {
			t.Fatal(err)
		}
		got, err := c.readBody()
		if err != nil {
			t.Fatal(err)
		}
		want := long
		if i%3 == 2 {
			want = ""
		}
		if string(got) != want {
			t.Fatalf("call %d: got %d bytes, want %d", i, len(got), len(want))
		}
	}
	if c.dials != 1 {
		t.Errorf("dialled %d times, want once", c.dials)
	}
}

func TestClient_DialsAgainAfterTheServerClosed(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	})
	for range 3 {
		if err := c.send(t.Context(), []byte(getRoot), "application/json"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.readBody(); err != nil {
			t.Fatal(err)
		}
	}
	if c.dials != 3 {
		t.Errorf("dialled %d times, want 3", c.dials)
	}
}

// script answers each connection's first request with fixed bytes and closes.
func script(t *testing.T, reply string) *client {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, reply)
			}
			_ = conn.Close()
		}
	}()
	return dial(t, ln.Addr().String())
}

func TestClient_ReadsUnusualButValidReplies(t *testing.T) {
	const want = "hello, world"
	tests := map[string]string{
		"interim reply first":        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type:application/json\r\ncontent-length:12\r\n\r\n" + want,
		"chunk extension, trailer":   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7;a=b\r\nhello, \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n",
		"upper case, hexadecimal":    "HTTP/1.1 200 OK\r\nCONTENT-TYPE: Application/JSON\r\nTRANSFER-ENCODING: Chunked\r\n\r\nC\r\nhello, world\r\n0\r\n\r\n",
		"until the connection's end": "HTTP/1.0 200 OK\nContent-Type: application/json\n\nhello, world",
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			c := script(t, reply)
			if err := c.send(t.Context(), []byte(getRoot), "application/json"); err != nil {
				t.Fatal(err)
			}
			got, err := c.readBody()
			if err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestClient_NoticesBrokenReplies(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	tests := map[string]string{
		"nothing":               "",
		"not HTTP":              "220 smtp.example ESMTP\r\n\r\n",
		"status":                "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"content type":          "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
		"short body":            ok + "Content-Length: 9\r\n\r\n{}",
		"bad length":            ok + "Content-Length: -9\r\n\r\n{}",
		"length and chunks":     ok + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown coding":        ok + "Transfer-Encoding: gzip\r\n\r\n{}",
		"compressed":            ok + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		"no last chunk":         ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
		"chunk longer than due": ok + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
		"chunk size":            ok + "Transfer-Encoding: chunked\r\n\r\nten\r\n{}\r\n0\r\n\r\n",
		"header line":           ok + "no colon\r\n\r\n",
		"huge body":             ok + "Content-Length: 99999999999\r\n\r\n{}",
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			c := script(t, reply)
			err := c.send(t.Context(), []byte(getRoot), "application/json")
			if err == nil {
				_, err = c.readBody()
			}
			if err == nil {
				t.Error("the reply was taken for a good one")
			}
		})
	}
}

func TestClient_ReadsEvents(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	tests := []struct {
		name, body string
		want       []string
		broken     bool
	}{
		{"line ends", "data: one\n\ndata:two\r\n\r\n", []string{"one", "two"}, false},
		{"comments and other fields", ": ping\n\nid: 7\nevent: message\ndata: one\n\n:\n\n", []string{"one"}, false},
		{"several lines", "data: a\ndata: b\n\n", []string{"a\nb"}, false},
		{"longer than any buffer", "data: " + long + "\n\ndata: next\n\n", []string{long, "next"}, false},
		{"ends inside an event", "data: one\n\ndata: two\n", []string{"one"}, true},
		{"ends inside a line", "data: one\n\ndata: tw", []string{"one"}, true},
		{"nothing", "", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for part := range slices.Chunk([]byte(tt.body), 7) {
					_, _ = w.Write(part)
					_ = http.NewResponseController(w).Flush()
				}
			})
			for range 2 { // the connection serves again after a whole stream
				if err := c.send(t.Context(), []byte(getRoot), "text/event-stream"); err != nil {
					t.Fatal(err)
				}
				c.startStream()
				var got []string
				var err error
				for data := []byte(nil); err == nil; {
					if data, err = c.nextEvent(); err == nil {
						got = append(got, string(data))
					}
				}
				if !slices.Equal(got, tt.want) || errors.Is(err, io.EOF) == tt.broken {
					t.Errorf("got %d events %.40q and %v, want %d, broken %t", len(got), got, err, len(tt.want), tt.broken)
				}
			}
		})
	}
}

func TestClient_AbortEndsACallThatHangs(t *testing.T) {
	entered := make(chan struct{})
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	failed := make(chan error, 1)
	go func() { failed <- c.send(context.Background(), []byte(getRoot), "application/json") }()
	<-entered
	c.abort()
	if err := <-failed; err == nil {
		t.Error("the call ended well, want an error")
	}
	c.close()
	if err := c.send(t.Context(), []byte(getRoot), "application/json"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after abort: got %v, want %v", err, net.ErrClosed)
	}
}

func TestCheckReply_TellsRightFromWrong(t *testing.T) {
	req, err := newRequest(&url.URL{Scheme: "http", Host: "h:1", Path: "/a2a/bench"}, nil,
		workload{kind: kindUnary, mode: modeEcho, size: 300}, "nonce000")
	if err != nil {
		t.Fatal(err)
	}
	req.setSeq(41)
	const id = "nonce000000000000041"
	tests := []struct {
		name, body string
		wrong      bool
	}{
		{"plain", `{"jsonrpc":"2.0","id":"` + id + `","result":{"text":"` + string(req.text) + `"}}`, false},
		{"other order and spaces", `{"result": {"text":"` + string(req.text) + `"}, "id": "` + id + `", "jsonrpc":"2.0"}`, false},
		{"an error", `{"jsonrpc":"2.0","id":"` + id + `","error":{"code":-31403,"message":"denied"}}`, true},
		{"no result", `{"jsonrpc":"2.0","id":"` + id + `"}`, true},
		{"null result", `{"id":"` + id + `","result":null,"jsonrpc":"2.0"}`, true},
		{"another call's id", `{"jsonrpc":"2.0","id":"nonce000000000000040","result":{"text":"` + string(req.text) + `"}}`, true},
		{"text cut off", `{"jsonrpc":"2.0","id":"` + id + `","result":{"text":"` + string(req.text[1:]) + `"}}`, true},
		{"not JSON", `<html>`, true},
		{"empty", ``, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := req.checkEcho([]byte(tt.body))
			if errors.Is(err, errWrongReply) != tt.wrong || (err != nil) != tt.wrong {
				t.Errorf("got %v, want wrong = %t", err, tt.wrong)
			}
		})
	}
}
