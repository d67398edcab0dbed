package peers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// Every client gets along with every agent of its version when nothing stands
// between them, so that what fails through the gateway is the gateway's.
func TestRunClient_EveryClientTalksToEveryAgentOfItsVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{peers.Version10, peers.Version03} {
		for _, agentKind := range peers.Agents(version) {
			t.Run(version+"/agent="+string(agentKind), func(t *testing.T) {
				t.Parallel()
				agent := peers.StartAgent(t, agentKind)
				for _, clientKind := range peers.Clients(version) {
					t.Run("client="+string(clientKind), func(t *testing.T) {
						got, err := peers.RunClient(t.Context(), clientKind, agent.URL, "sb_test")
						if err != nil {
							t.Fatal(err)
						}
						if diff := peers.Diff(agentKind, agent.URL, got); diff != "" {
							t.Error(diff)
						}
						if agentKind == peers.GoCLI {
							return
						}
						if got, want := agent.Headers(t).Get("Authorization"), "Bearer sb_test"; got != want {
							t.Errorf("agent saw authorization %q, want %q", got, want)
						}
					})
				}
			})
		}
	}
}

// A gateway serves many agents below one origin and hides even their cards:
// the clients find a card below a path, with their key.
func TestRunClient_FindsTheCardBelowAPathWithItsKey(t *testing.T) {
	t.Parallel()
	for _, version := range []string{peers.Version10, peers.Version03} {
		agentKind := peers.Go
		if version == peers.Version03 {
			agentKind = peers.Go03
		}
		agent := peers.StartAgent(t, agentKind)
		front := newFront(t, agent.URL, "/a2a/echo", "sb_test")
		for _, clientKind := range peers.Clients(version) {
			t.Run(string(clientKind), func(t *testing.T) {
				t.Parallel()
				got, err := peers.RunClient(t.Context(), clientKind, front, "sb_test")
				if err != nil {
					t.Fatal(err)
				}
				if diff := peers.Diff(agentKind, front, got); diff != "" {
					t.Error(diff)
				}
				if _, err := peers.RunClient(t.Context(), clientKind, front, "sb_wrong"); err == nil {
					t.Error("a wrong key was as good")
				}
			})
		}
	}
}

// newFront puts a path before an agent, in its card too, and asks for a key.
func newFront(t *testing.T, agent, path, key string) string {
	t.Helper()
	to, err := url.Parse(agent)
	if err != nil {
		t.Fatal(err)
	}
	var front *httptest.Server
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasSuffix(r.Request.URL.Path, "/agent-card.json") {
				return nil
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			body = bytes.ReplaceAll(body, []byte(agent), []byte(front.URL+path))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Del("Content-Length")
			return nil
		},
	}
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key || !strings.HasPrefix(r.URL.Path, path+"/") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.StripPrefix(path, proxy).ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + path
}

// reply is what the tests read of a task, in both versions.
type reply struct {
	Result struct {
		Task *reply03
		reply03
	}
	Error json.RawMessage
}

type reply03 struct {
	ID, ContextID string
	Status        struct{ State string }
	Artifacts     []struct{ Parts []struct{ Text string } }
}

// say sends a text to an agent as its card asks for, in a task unless taskID is "".
func say(t *testing.T, agent *peers.Agent, text, taskID string) reply03 {
	t.Helper()
	resp, err := http.Get(agent.URL + "/.well-known/agent-card.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var card struct {
		URL                 string
		SupportedInterfaces []struct{ URL string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&card); err != nil {
		t.Fatal(err)
	}
	endpoint, method, message := card.URL, "message/send", `"kind":"message","role":"user","parts":[{"kind":"text","text":"`+text+`"}]`
	if agent.Version == peers.Version10 {
		endpoint, method, message = card.SupportedInterfaces[0].URL, "SendMessage", `"role":"ROLE_USER","parts":[{"text":"`+text+`"}]`
	}
	if taskID != "" {
		message += `,"taskId":"` + taskID + `"`
	}
	body := `{"jsonrpc":"2.0","id":"1","method":"` + method + `","params":{"message":{"messageId":"m-` + text + `",` + message + `}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Peer-Test", text)
	if agent.Version == peers.Version10 {
		req.Header.Set("A2A-Version", agent.Version)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var r reply
	if err := json.NewDecoder(answer.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if len(r.Error) > 0 {
		t.Fatalf("%q is answered by %s", text, r.Error)
	}
	if r.Result.Task != nil {
		return *r.Result.Task
	}
	return r.Result.reply03
}

// What the scenario of the clients leaves out.
func TestStartAgent_FailsAndAsksAndGoesOn(t *testing.T) {
	t.Parallel()
	for _, k := range append(peers.Agents(peers.Version10), peers.Agents(peers.Version03)...) {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			agent := peers.StartAgent(t, k)
			is := func(task reply03, state string) {
				t.Helper()
				got := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(task.Status.State, "TASK_STATE_")), "_", "-")
				if got != state {
					t.Errorf("task is %q, want %q", got, state)
				}
			}
			is(say(t, agent, "fail", ""), "failed")
			asking := say(t, agent, "input", "")
			is(asking, "input-required")
			answered := say(t, agent, "2026", asking.ID)
			is(answered, "completed")
			if answered.ID != asking.ID || len(answered.Artifacts) != 1 || answered.Artifacts[0].Parts[0].Text != "echo: 2026" {
				t.Errorf("task %s went on as %+v", asking.ID, answered)
			}
			if k == peers.GoCLI {
				return
			}
			if got := agent.Headers(t).Get("X-Peer-Test"); got != "2026" {
				t.Errorf("kept header is %q, want that of the last call", got)
			}
		})
	}
}

// An agent must not outlive the test, nor wait to be killed.
func TestStartAgent_EndsWithItsTest(t *testing.T) {
	t.Parallel()
	for _, k := range []peers.Kind{peers.JS, peers.JS03, peers.Py, peers.Py03, peers.GoCLI, peers.Go} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			var agent *peers.Agent
			var ending time.Time
			t.Run("start", func(t *testing.T) {
				agent = peers.StartAgent(t, k)
				ending = time.Now()
			})
			if took := time.Since(ending); took > 4*time.Second {
				t.Errorf("ending took %s: it was killed", took)
			}
			resp, err := http.Get(agent.URL)
			if err == nil {
				_ = resp.Body.Close()
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("after the test the agent gives %v, want nobody there", err)
			}
		})
	}
}
