package peers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// answer is a reply whose body is not read yet; the test's end closes it.
type answer struct {
	status int
	header http.Header
	body   io.Reader
}

// post calls a JSON-RPC method.
func post(t *testing.T, url, method, messageID string) answer {
	t.Helper()
	role := `"ROLE_USER"`
	parts := `[{"text":"hi"}]`
	if strings.Contains(method, "/") {
		role, parts = `"user","kind":"message"`, `[{"kind":"text","text":"hi"}]`
	}
	body := `{"jsonrpc":"2.0","id":"c1","method":"` + method + `","params":{"message":{"messageId":"` + messageID +
		`","role":` + role + `,"parts":` + parts + `}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return answer{status: resp.StatusCode, header: resp.Header, body: resp.Body}
}

func TestStartScripted_AnswersByThePrefixOfTheMessageID(t *testing.T) {
	t.Parallel()
	agent := peers.StartScripted(t, peers.Go, time.Millisecond)
	old := peers.StartScripted(t, peers.Go03, time.Millisecond)
	cases := []struct {
		id   string
		want []string // in the reply
	}{
		{"tck-complete-task-1", []string{`"TASK_STATE_COMPLETED"`, "Hello from TCK"}},
		{"tck-artifact-text-1", []string{`"TASK_STATE_COMPLETED"`, "Generated text content"}},
		{"tck-artifact-file-1", []string{`"raw":`, `"output.txt"`}},
		{"tck-artifact-file-url-1", []string{"https://example.com/output.txt", `"text/plain"`}},
		{"tck-artifact-data-1", []string{`"count":42`, `"key":"value"`}},
		{"tck-message-response-1", []string{`"message":`, "Direct message response"}},
		{"tck-input-required-1", []string{`"TASK_STATE_INPUT_REQUIRED"`}},
		{"tck-reject-task-1", []string{`"TASK_STATE_REJECTED"`, "rejected"}},
		{"tck-stream-artifact-chunked-1", []string{"chunk-1 ", "chunk-2"}},
		{"test-resubscribe-message-id-1", []string{`"TASK_STATE_COMPLETED"`}},
		{"anything", []string{"Hello from TCK"}},
	}
	for _, c := range cases {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			b, err := io.ReadAll(post(t, agent.URL+"/rpc", "SendMessage", c.id).body)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(b), want) {
					t.Errorf("reply has no %s: %s", want, b)
				}
			}
		})
	}
	t.Run("0.3", func(t *testing.T) {
		t.Parallel()
		b, err := io.ReadAll(post(t, old.URL+"/rpc", "message/send", "tck-reject-task").body)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), `"state":"rejected"`) {
			t.Errorf("reply is not of 0.3: %s", b)
		}
	})
}

func TestStartHostile_Unary(t *testing.T) {
	t.Parallel()
	h := peers.StartHostile(t, peers.HostileConfig{Delay: time.Millisecond})
	cases := map[peers.Behaviour]struct {
		status      int
		contentType string
		body        string // a part of it; all of it where whole is set
		whole       bool
	}{
		peers.Proper:    {200, "application/json", `"id":"c1"`, false},
		peers.HTML502:   {502, "text/html; charset=utf-8", "<title>", false},
		peers.HTML200:   {200, "text/html; charset=utf-8", "<title>", false},
		peers.Odd:       {200, "application/json", peers.OddReply(peers.Version10, `"c1"`), true},
		peers.WrongID:   {200, "application/json", `"somebody-else"`, false},
		peers.Status201: {201, "application/json", `"hello"`, false},
		peers.Status500: {500, "application/json", `"code":-32001`, false},
		peers.Empty:     {200, "", "", true},
		peers.Redirect:  {307, "", "", false},
		peers.CutStream: {200, "application/json", `"hello"`, false},
	}
	for b, want := range cases {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			for _, url := range []string{h.Base(b), h.URL} {
				resp := post(t, url, "SendMessage", peers.HostilePrefix+string(b)+"-1")
				body, err := io.ReadAll(resp.body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.status != want.status || resp.header.Get("Content-Type") != want.contentType {
					t.Errorf("got %d %q, want %d %q", resp.status, resp.header.Get("Content-Type"), want.status, want.contentType)
				}
				if got := string(body); !strings.Contains(got, want.body) || want.whole && got != want.body {
					t.Errorf("got body %q, want %q", got, want.body)
				}
			}
		})
	}
	t.Run("huge", func(t *testing.T) {
		t.Parallel()
		n, err := io.Copy(io.Discard, post(t, h.Base(peers.Huge), "SendMessage", "m1").body)
		if err != nil || n < 32<<20 {
			t.Errorf("got %d bytes, %v", n, err)
		}
	})
	t.Run("truncated", func(t *testing.T) {
		t.Parallel()
		var v any
		err := json.NewDecoder(post(t, h.Base(peers.Truncated), "SendMessage", "m1").body).Decode(&v)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want a reply that ends in the middle", err)
		}
	})
}

func TestStartHostile_Streams(t *testing.T) {
	t.Parallel()
	h := peers.StartHostile(t, peers.HostileConfig{Delay: time.Millisecond})
	cases := map[peers.Behaviour]struct {
		events int
		broken bool
	}{
		peers.Proper:      {4, false},
		peers.CutStream:   {2, true},
		peers.CutEvent:    {1, true},
		peers.BigEvent:    {3, false},
		peers.CRLF:        {4, false},
		peers.MultiLine:   {4, false},
		peers.Pings:       {4, false},
		peers.SlowHeaders: {4, false},
		peers.SlowFirst:   {4, false},
		peers.ErrorFirst:  {1, false},
		peers.NoLastBlank: {4, false},
		peers.OddStream:   {1, false},
		peers.Split:       {4, false},
		peers.Pretty:      {4, false},
		peers.Megabyte:    {3, false},
		peers.ErrorEvent:  {3, false},
		peers.Trailing:    {5, false},
		peers.StatusFirst: {3, false},
	}
	for b, want := range cases {
		for _, method := range []string{"SendStreamingMessage", "message/stream"} {
			t.Run(string(b)+"/"+method, func(t *testing.T) {
				t.Parallel()
				resp := post(t, h.Base(b), method, "m1")
				if got := resp.header.Get("Content-Type"); got != "text/event-stream" {
					t.Errorf("got content type %q", got)
				}
				var events int
				data, err := readEvents(resp.body)
				for _, d := range data {
					if !json.Valid([]byte(d)) {
						continue
					}
					events++
				}
				if events != want.events || (err != nil) != want.broken {
					t.Errorf("got %d events and error %v, want %d and broken %t", events, err, want.events, want.broken)
				}
			})
		}
	}
	t.Run("json-stream", func(t *testing.T) {
		t.Parallel()
		resp := post(t, h.Base(peers.JSONStream), "SendStreamingMessage", "m1")
		if got := resp.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("got content type %q", got)
		}
	})
}

// readEvents joins the data lines of each event.
func readEvents(r io.Reader) ([]string, error) {
	br := bufio.NewReader(r)
	var events, data []string
	for {
		line, err := br.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if d, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(d, " "))
		}
		if (line == "" || err != nil) && len(data) > 0 {
			events = append(events, strings.Join(data, "\n"))
			data = nil
		}
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
	}
}

func TestStartHostile_HangsUntilTheCallerLeaves(t *testing.T) {
	t.Parallel()
	h := peers.StartHostile(t, peers.HostileConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.Base(peers.Hang), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want no answer", err)
	}
}

func TestHostile_KeepsTheCallsAndWhoFollowedARedirect(t *testing.T) {
	t.Parallel()
	h := peers.StartHostile(t, peers.HostileConfig{})
	resp := post(t, h.Base(peers.Redirect), "SendMessage", "m1")
	if calls := h.Redirected(); len(calls) != 0 {
		t.Fatalf("a redirect that nobody followed was followed: %v", calls)
	}
	_ = post(t, resp.header.Get("Location"), "SendMessage", "m2")
	calls, followed := h.Calls(), h.Redirected()
	if len(calls) != 1 || len(followed) != 1 {
		t.Fatalf("got %d calls and %d redirected, want 1 and 1", len(calls), len(followed))
	}
	if diff := cmp.Diff("/redirect", calls[0].Path); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(followed[0].Body), `"messageId":"m2"`) {
		t.Errorf("redirected call was kept as %q", followed[0].Body)
	}
}
