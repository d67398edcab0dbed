package dataplane_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/bench"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// quickAgent answers sends at once, with as little work as can be.
func quickAgent(b *testing.B, events int) *httptest.Server {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if events == 0 {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"message":{"messageId":"r","role":"ROLE_AGENT","parts":[{"text":"`+strings.Repeat("x", 900)+`"}]}}}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w)
		for i := range events {
			_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"artifactUpdate\":{\"taskId\":\"t\",\"contextId\":\"c\",\"artifact\":{\"artifactId\":\"a%d\",\"parts\":[{\"text\":\"chunk\"}]}}}}\n\n", i)
			_ = flush.Flush()
		}
	}))
	b.Cleanup(agent.Close)
	return agent
}

// The figures include the caller and the agent; internal/bench measures the gateway
// alone. These are for profiles.
func BenchmarkCall(b *testing.B) {
	g := gatewaytest.Start(b)
	key := g.Team("demo")
	g.Agent("unary", "demo", quickAgent(b, 0).URL)
	g.Agent("stream", "demo", quickAgent(b, 64).URL)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	call := func(b *testing.B, agent, method, body string) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				req, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, g.AgentURL(agent), strings.NewReader(body))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+key)
				resp, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				n, err := io.Copy(io.Discard, bufio.NewReader(resp.Body))
				_ = resp.Body.Close()
				if err != nil || n < 500 {
					b.Errorf("%s: %d bytes, %v", method, n, err)
				}
			}
		})
	}
	b.Run("unary", func(b *testing.B) {
		call(b, "unary", "SendMessage", gatewaytest.Request("SendMessage", gatewaytest.Message("m", strings.Repeat("x", 800), "")))
	})
	b.Run("stream-64", func(b *testing.B) {
		call(b, "stream", "SendStreamingMessage", gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m", "hi", "")))
	})
	b.Run("translated", func(b *testing.B) { benchmarkTranslated(b, g, key) })
}

// benchmarkTranslated calls the agent of every dialect in every dialect; the cells where
// both are the same are what the others are to be held against.
func benchmarkTranslated(b *testing.B, g *gatewaytest.Gateway, key string) {
	canned, err := bench.NewDialectAgents()
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(canned)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	b.Cleanup(srv.Close)
	agents := bench.DialectAgents(srv.URL)
	for _, a := range agents {
		g.Agent(a.ID, "demo", a.URL)
	}
	header := http.Header{"Authorization": {"Bearer " + key}}
	for _, down := range a2a.Dialects {
		for _, up := range agents {
			for _, load := range []struct {
				name      string
				streaming bool
			}{{"unary", false}, {"stream-64", true}} {
				b.Run(bench.CellName(down, up.Dialect)+"/"+load.name, func(b *testing.B) {
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) {
						caller, err := bench.NewDialectCaller(bench.CallerConfig{
							Gateway: g.URL, Header: header, Agent: up.ID, Dialect: down, Streaming: load.streaming,
							Deadline: time.Now().Add(10 * time.Minute),
						})
						if err != nil {
							b.Error(err)
							return
						}
						defer caller.Close()
						for pb.Next() {
							if _, err := caller.Call(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			}
		}
	}
}
