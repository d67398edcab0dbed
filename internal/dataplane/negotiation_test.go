package dataplane_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// succeeded tells whether a call was answered with a result.
func succeeded(d a2a.Dialect, r reply) bool {
	if d.Binding == a2a.GRPC {
		return r.Status == 200 && r.trailer.Get("Grpc-Status") == "0"
	}
	return r.Status == 200 && !strings.Contains(string(r.Body), `"error"`)
}

// agentsOfAll starts an agent of every dialect, named by [dialectName].
func agentsOfAll(t *testing.T, g *gatewaytest.Gateway) map[a2a.Dialect]*native {
	t.Helper()
	agents := map[a2a.Dialect]*native{}
	for _, d := range a2a.Dialects {
		agents[d] = startNative(t, d)
		agents[d].register(g, dialectName(d), "")
	}
	return agents
}

func dialectName(d a2a.Dialect) string {
	return "agent-" + strings.NewReplacer("/", "-", "+", "-", ".", "").Replace(strings.ToLower(d.String()))
}

// Method, path and service decide what version a call has; what names the version must
// agree, in the header as in the query.
func TestNegotiation_TheVersionThatIsNamedMustBeTheOneThatIsSpoken(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	agents := agentsOfAll(t, g)
	for _, d := range a2a.Dialects {
		for _, named := range []struct {
			text string
			fits bool
		}{
			{"", true},
			{" ", true},
			{"1.0", d.Version == a2a.V10},
			{"1.0.1", d.Version == a2a.V10},
			{"0.3", d.Version == a2a.V03},
			{"0.3.0", d.Version == a2a.V03},
			{"99.0", false},
			{"1", false},
			{"0.2", false},
			{"latest", false},
			{"1.0, 0.3", false},
		} {
			before := len(agents[d].Calls())
			got := sendIn(t, client, g, d, dialectName(d), key, "A2A-Version", named.text)
			if named.fits {
				if !succeeded(d, got) || len(agents[d].Calls()) != before+1 {
					t.Errorf("%s with A2A-Version %q: HTTP %d, %v, %v, %s", d, named.text, got.Status, got.Header, got.trailer, got.Body)
				}
				continue
			}
			checkVersionRefused(t, d, named.text, got)
			if len(agents[d].Calls()) != before {
				t.Errorf("%s with A2A-Version %q: the agent was called", d, named.text)
			}
		}
		// What goes to the agent is what the agent speaks.
		if got := agents[d].Last(t).Header.Values("A2a-Version"); !slices.Equal(got, []string{d.Version.String()}) {
			t.Errorf("%s: the agent got A2A-Version %q", d, got)
		}
	}
}

// checkVersionRefused wants −32009 in the caller's dialect. Over JSON-RPC 0.3 it keeps its
// number and form: whoever names a version knows it.
func checkVersionRefused(t *testing.T, d a2a.Dialect, named string, got reply) {
	t.Helper()
	shape, code := d, -32009
	switch d {
	case rpc03:
		shape = rpc10
	case rest03:
		code = -32600
	}
	f := readFailure(t, shape, got)
	want := map[a2a.Dialect]int{rest10: 400, rest03: 400}[d]
	if want == 0 {
		want = 200
	}
	if got.Status != want || f.Code != 0 && f.Code != code || d != grpc03 && (f.Reason != "VERSION_NOT_SUPPORTED" || f.Domain != "a2a-protocol.org") {
		t.Errorf("%s with A2A-Version %q: HTTP %d, %+v", d, named, got.Status, f)
	}
	rpc := map[a2a.Dialect]int{grpc10: a2a.GRPCFailedPrecondition, rest10: a2a.GRPCFailedPrecondition, grpc03: a2a.GRPCInvalidArgument}[d]
	if f.GRPC != rpc {
		t.Errorf("%s with A2A-Version %q: status %d, want %d", d, named, f.GRPC, rpc)
	}
}

// The query may name the version too, and does not go to the agent.
func TestNegotiation_TheQueryMayNameTheVersion(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := agentsOfAll(t, g)
	for _, d := range []a2a.Dialect{rpc10, rpc03, rest10, rest03} {
		path := map[a2a.Dialect]string{rest10: "/message:send", rest03: "/v1/message:send"}[d]
		body := map[a2a.Dialect]string{
			rpc10: gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", "")), rpc03: gatewaytest.Request("message/send", gatewaytest.Message03("m", "hi", "")),
			rest10: gatewaytest.Message("m", "hi", ""), rest03: `{"message":{"messageId":"m","role":"ROLE_USER","content":[{"text":"hi"}]}}`,
		}[d]
		for _, v := range []string{"1.0", "0.3", "99.0"} {
			got := do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(dialectName(d))+path+"?A2A-Version="+v, key, []byte(body), "Content-Type", "application/json")
			if v == d.Version.String() {
				if last := agents[d].Last(t); !succeeded(d, got) || last.Query != "" {
					t.Errorf("%s by query: HTTP %d, %s; the agent got query %q", d, got.Status, got.Body, last.Query)
				}
				continue
			}
			checkVersionRefused(t, d, v, got)
		}
	}
}

// With a2a.require_version a call of 1.0 that names no version is one of 0.3 that is none.
func TestNegotiation_AVersionMayBeRequired(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.A2A.RequireVersion = true })
	key := g.Team("demo")
	client := h2c(t)
	agentsOfAll(t, g)
	for _, d := range a2a.Dialects {
		got := sendIn(t, client, g, d, dialectName(d), key)
		if d.Version == a2a.V10 {
			checkVersionRefused(t, d, "", got)
			got = sendIn(t, client, g, d, dialectName(d), key, "A2A-Version", "1.0")
		}
		if !succeeded(d, got) {
			t.Errorf("%s: HTTP %d, %v, %v, %s", d, got.Status, got.Header, got.trailer, got.Body)
		}
	}
}

// Extensions go by the name that each side's version has for them, both ways.
func TestNegotiation_ExtensionsHaveTheNameOfEachSidesVersion(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	agents := agentsOfAll(t, g)
	name := map[a2a.Version]string{a2a.V10: "A2a-Extensions", a2a.V03: "X-A2a-Extensions"}
	for _, to := range a2a.Dialects {
		agent := agents[to]
		agent.Answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name[to.Version], "https://example.com/a, https://example.com/b")
			agent.greet(w, r)
		})
		for _, from := range a2a.Dialects {
			for _, spelling := range []string{"A2A-Extensions", "X-A2A-Extensions"} {
				got := sendIn(t, client, g, from, dialectName(to), key,
					spelling, "https://example.com/a,https://example.com/b", spelling, "https://example.com/c")
				if !succeeded(from, got) {
					t.Fatalf("%s to %s: HTTP %d, %v, %v, %s", from, to, got.Status, got.Header, got.trailer, got.Body)
				}
				h := agent.Last(t).Header
				if asked := listed(h[name[to.Version]]); !slices.Equal(asked, []string{"https://example.com/a", "https://example.com/b", "https://example.com/c"}) {
					t.Errorf("%s by %s to %s: the agent is asked for %q", from, spelling, to, asked)
				}
				if other := name[a2a.V10+a2a.V03-to.Version]; h.Get(other) != "" {
					t.Errorf("%s by %s to %s: the agent got %s too", from, spelling, to, other)
				}
				if active := listed(got.Header[name[from.Version]]); !slices.Equal(active, []string{"https://example.com/a", "https://example.com/b"}) {
					t.Errorf("%s to %s: the caller is told of %q: %v", from, to, active, got.Header)
				}
				if other := name[a2a.V10+a2a.V03-from.Version]; got.Header.Get(other) != "" {
					t.Errorf("%s to %s: the caller got %s too", from, to, other)
				}
			}
		}
	}
}

// Agents of gRPC may tell of their extensions behind their reply.
func TestNegotiation_ExtensionsInTrailersReachTheCaller(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	agent := startNative(t, grpc10)
	agent.register(g, "late", "")
	agent.Answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(http.TrailerPrefix+"A2a-Extensions", "https://example.com/a")
		agent.greet(w, r)
	})
	for _, from := range a2a.Dialects {
		got := sendIn(t, client, g, from, "late", key)
		name := map[a2a.Version]string{a2a.V10: "A2a-Extensions", a2a.V03: "X-A2a-Extensions"}[from.Version]
		if active := listed(append(got.Header[name], got.trailer[name]...)); !slices.Equal(active, []string{"https://example.com/a"}) {
			t.Errorf("%s: told of %q", from, active)
		}
	}
}

func listed(values []string) []string {
	var all []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			all = append(all, strings.TrimSpace(part))
		}
	}
	return all
}

// A call of JSON-RPC may come to any of these, and is never sent elsewhere.
func TestNegotiation_AllFormsOfAURLAreServed(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := agentsOfAll(t, g)
	send10Body, send03Body := gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", "")), gatewaytest.Request("message/send", gatewaytest.Message03("m", "hi", ""))
	for _, path := range []string{"", "/", "/message/send", "/message/send/"} {
		for d, body := range map[a2a.Dialect]string{rpc10: send10Body, rpc03: send03Body} {
			before := len(agents[d].Calls())
			got := do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(dialectName(d))+path, key, []byte(body), "Content-Type", "application/json")
			if !succeeded(d, got) || len(agents[d].Calls()) != before+1 {
				t.Errorf("%s at %q: HTTP %d, %s", d, path, got.Status, got.Body)
			}
		}
	}
	for _, path := range []string{"/message/stream", "/message/stream/"} {
		got := do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(dialectName(rpc10))+path, key,
			[]byte(gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m", "hi", ""))), "Content-Type", "application/json")
		if got.Status != 200 || got.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(string(got.Body), `"yes"`) {
			t.Errorf("%q: HTTP %d, %v, %s", path, got.Status, got.Header, got.Body)
		}
	}
	for _, path := range []string{"/message:send", "/message:send/", "//message:send", "/./message:send", "/v1/../message:send", "/message/send//"} {
		got := do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(dialectName(rest10))+path, key, []byte(gatewaytest.Message("m", "hi", "")), "Content-Type", "application/json")
		if got.Status/100 == 3 || got.Header.Get("Location") != "" {
			t.Errorf("%q is sent to %q", path, got.Header.Get("Location"))
		}
		if plain := strings.TrimSuffix(path, "/") == "/message:send"; plain != (got.Status == 200) {
			t.Errorf("%q: HTTP %d, %s", path, got.Status, got.Body)
		}
	}
}

// Subscribing is POST in one part of the specification and GET in another: callers and
// agents may have either.
func TestNegotiation_BothVerbsSubscribe(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	for _, d := range []a2a.Dialect{rest10, rest03} {
		for _, verb := range []string{http.MethodPost, http.MethodGet} {
			agent := startNative(t, d)
			name := fmt.Sprintf("%s-%s", dialectName(d), strings.ToLower(verb))
			agent.register(g, name, "")
			const task = `{"task":{"id":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_WORKING"}}}`
			agent.Answer(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/message:send"):
					writeBody(w, 200, task)
				case r.Method != verb && d == rest03:
					writeBody(w, http.StatusNotFound, `{"message":"Not Found"}`) // as frameworks say it
				case r.Method != verb:
					w.Header().Set("Allow", verb)
					w.WriteHeader(http.StatusMethodNotAllowed)
				default:
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = w.Write([]byte("data: " + task + "\n\n"))
				}
			})
			if got := sendIn(t, nil, g, d, name, key); got.Status != 200 {
				t.Fatalf("%s: HTTP %d, %s", d, got.Status, got.Body)
			}
			v := map[a2a.Version]string{a2a.V10: "", a2a.V03: "/v1"}[d.Version]
			for _, callersVerb := range []string{http.MethodPost, http.MethodGet} {
				for round := range 2 {
					before := len(agent.Calls())
					got := do(t, gatewaytest.Client, callersVerb, g.AgentURL(name)+v+"/tasks/t-1:subscribe", key, nil)
					if got.Status != 200 || got.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(string(got.Body), `"t-1"`) {
						t.Errorf("%s, caller %s, agent %s: HTTP %d, %s", d, callersVerb, verb, got.Status, got.Body)
					}
					// Which verb an agent has is found out once.
					tried := len(agent.Calls()) - before
					if first := callersVerb == http.MethodPost && round == 0 && verb == http.MethodGet; tried != 1 && !first {
						t.Errorf("%s, caller %s, agent %s: the agent was asked %d times", d, callersVerb, verb, tried)
					}
				}
			}
		}
	}
}

// Replies of HTTP+JSON are application/json unless the caller names the protocol's own
// type; errors likewise.
func TestNegotiation_TheProtocolsOwnContentTypeIsForThoseWhoAsk(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agentsOfAll(t, g)
	const plain, own = "application/json", "application/a2a+json"
	for _, d := range []a2a.Dialect{rest10, rest03} {
		for _, to := range []a2a.Dialect{d, rpc10} {
			v := map[a2a.Version]string{a2a.V10: "", a2a.V03: "/v1"}[d.Version]
			body := map[a2a.Version]string{a2a.V10: gatewaytest.Message("m", "hi", ""), a2a.V03: `{"message":{"messageId":"m","role":"ROLE_USER","content":[{"text":"hi"}]}}`}[d.Version]
			for _, tt := range []struct{ accept, sent, want string }{
				{"", plain, plain},
				{"*/*", plain, plain},
				{own, plain, own},
				{"application/json, application/a2a+json", plain, own},
				{plain, own, plain},
				{"", own, own},
				{"*/*", own, own},
				{"text/html", plain, plain},
				{"", plain + "; charset=utf-8", plain},
			} {
				want := tt.want
				if d.Version == a2a.V03 {
					want = plain // it has no other
				}
				got := do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(dialectName(to))+v+"/message:send", key, []byte(body), "Content-Type", tt.sent, "Accept", tt.accept)
				if got.Status != 200 || got.Header.Get("Content-Type") != want || !json.Valid(got.Body) {
					t.Errorf("%s to %s, Accept %q, sent %q: HTTP %d, %q, %s", d, to, tt.accept, tt.sent, got.Status, got.Header.Get("Content-Type"), got.Body)
				}
				got = do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(dialectName(to))+v+"/message:send", key, []byte("{}"), "Content-Type", tt.sent, "Accept", tt.accept)
				if got.Status/100 != 4 || got.Header.Get("Content-Type") != want {
					t.Errorf("%s to %s, Accept %q, sent %q: an error is HTTP %d, %q", d, to, tt.accept, tt.sent, got.Status, got.Header.Get("Content-Type"))
				}
			}
		}
	}
}

// Both services live at one port, beside everything else.
func TestNegotiation_OnePortServesAllDialects(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	agentsOfAll(t, g)
	for _, from := range a2a.Dialects {
		for _, to := range a2a.Dialects {
			if got := sendIn(t, client, g, from, dialectName(to), key); !succeeded(from, got) {
				t.Errorf("%s to %s: HTTP %d, %v, %v, %s", from, to, got.Status, got.Header, got.trailer, got.Body)
			}
		}
	}
	if got := do(t, client, http.MethodPost, g.URL+"/lf.a2a.v1.A2AServices/SendMessage", key, grpcFrame(marshal(t, &pb.SendMessageRequest{})), grpcHeaders()...); got.Header.Get("Grpc-Status")+got.trailer.Get("Grpc-Status") != "12" {
		t.Errorf("a service that is none: HTTP %d, %v, %v", got.Status, got.Header, got.trailer)
	}
	if got := do(t, client, http.MethodPost, g.AgentURL(dialectName(rpc10)), key, []byte(gatewaytest.Request("SendMessage", gatewaytest.Message("m", "hi", ""))), "Content-Type", "application/json"); !succeeded(rpc10, got) {
		t.Errorf("JSON-RPC over HTTP/2: HTTP %d, %s", got.Status, got.Body)
	}
}
