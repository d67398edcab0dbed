package dataplane_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// errorDetail is the detail that agents of 1.0 give besides their ErrorInfo, errorData
// what agents of 0.3 have as data.
const (
	errorDetail = `{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"extra":"kept"}}`
	errorData   = `{"hint":"look","n":9007199254740993}`
)

// failWith answers with a row of the table as an agent of the dialect has it.
func (a *native) failWith(row a2a.Row, message string) http.HandlerFunc {
	info := fmt.Sprintf(`{"@type":%q,"reason":%q,"domain":%q,"metadata":{"k":"v"}}`, infoType, row.Reason, row.Domain)
	return func(w http.ResponseWriter, r *http.Request) {
		switch a.Dialect {
		case rpc10:
			writeBody(w, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q,"data":[%s,%s]}}`, requestID(r), row.Code, message, info, errorDetail))
		case rpc03:
			writeBody(w, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q,"data":%s}}`, requestID(r), row.Code, message, errorData))
		case rest10:
			writeBody(w, row.HTTP, fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":%q,"details":[%s,%s]}}`, row.HTTP, a2a.GRPCName(row.GRPC), message, info, errorDetail))
		case rest03:
			writeBody(w, row.HTTP03, fmt.Sprintf(`{"code":%d,"message":%q,"data":%s}`, row.Code, message, errorData))
		case grpc10:
			info, err := anypb.New(&errdetails.ErrorInfo{Reason: row.Reason, Domain: row.Domain, Metadata: map[string]string{"k": "v"}})
			if err != nil {
				panic(err)
			}
			extra, err := anypb.New(&structpb.Struct{Fields: map[string]*structpb.Value{"extra": structpb.NewStringValue("kept")}})
			if err != nil {
				panic(err)
			}
			writeStatus(w, row.GRPC, message, info, extra)
		default:
			text := message
			if row.Name03 != "" {
				text = row.Name03 + ": " + message
			}
			writeStatus(w, row.GRPC03, text)
		}
	}
}

func writeStatus(w http.ResponseWriter, status int, message string, details ...*anypb.Any) {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(status))
	h.Set("Grpc-Message", strings.ReplaceAll(url.PathEscape(message), "+", "%2B"))
	if len(details) > 0 {
		raw, err := proto.Marshal(&statuspb.Status{Code: int32(status), Message: message, Details: details})
		if err != nil {
			panic(err)
		}
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(raw))
	}
	w.WriteHeader(http.StatusOK)
}

// can tells whether an agent of a dialect can say what a row says, so that it is told
// from all others.
func can(d a2a.Dialect, row a2a.Row) bool {
	switch {
	case d.Version == a2a.V10:
		return true
	case !row.In03, row.Reason == "UPSTREAM_TIMEOUT" && d.Binding != a2a.GRPC:
		return false
	case d.Binding == a2a.GRPC:
		return row.Name03 != "" || row.Code != a2a.CodeNotFound && row.Code != a2a.CodeSessionTerminated
	}
	return true
}

// isAuth tells whether a row is of an agent that does not let the gateway in.
func isAuth(row a2a.Row) bool {
	return row.Code == a2a.CodeUnauthenticated || row.Code == a2a.CodePermissionDenied
}

// wantFailure is what a caller gets of a row that an agent of another dialect answers.
func wantFailure(agent, caller a2a.Dialect, row a2a.Row, message string) (want failure, status int) {
	if isAuth(row) {
		message = "the agent refused the gateway's credential: " + message
		row, _ = a2a.LookupCode(-32603)
		row.HTTP, row.HTTP03 = 502, 502
	}
	want = failure{Message: message}
	code := int(row.Code)
	if caller.Version == a2a.V03 && !row.In03 && (caller.Binding != a2a.JSONRPC || row.Code != a2a.CodeVersionNotSupported) {
		code = -32600
	}
	info := func() {
		want.Reason, want.Domain, want.hasInfo = row.Reason, row.Domain, true
		if agent.Version == a2a.V10 {
			want.Metadata = map[string]string{"k": "v"}
		}
	}
	switch {
	case agent.Version == a2a.V10:
		want.Details = []string{errorDetail}
	case agent.Binding != a2a.GRPC && caller.Version == a2a.V03 && caller.Binding != a2a.GRPC:
		want.Data = errorData
	case agent.Binding != a2a.GRPC:
		want.Details = []string{`{"@type":"type.googleapis.com/google.protobuf.Struct","value":` + errorData + `}`}
	}
	switch caller {
	case rpc10, rpc03:
		want.Code, status = code, 200
		if caller == rpc10 || agent.Version == a2a.V10 || row.Reason == "UPSTREAM_TIMEOUT" {
			info()
		}
	case rest10:
		want.GRPC, status = row.GRPC, row.HTTP
		info()
	case rest03:
		want.Code, status = code, row.HTTP03
		if agent.Version == a2a.V10 || row.Reason == "UPSTREAM_TIMEOUT" {
			info()
		}
	case grpc10:
		want.GRPC, status = row.GRPC, 200
		info()
	default:
		want.GRPC, status = row.GRPC03, 200
		switch {
		case !row.In03:
			want.Message = "InvalidRequestError: " + message
		case row.Name03 != "":
			want.Message = row.Name03 + ": " + message
		}
		if row.GRPC == row.GRPC03 {
			info()
		}
	}
	return want, status
}

// canonicalDetails writes details so that they can be compared.
func canonicalDetails(t *testing.T, f *failure) {
	t.Helper()
	for i, d := range f.Details {
		var v any
		dec := json.NewDecoder(strings.NewReader(d))
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		f.Details[i] = string(b)
	}
}

// Every row of the table of errors, from agents of every dialect to callers of every
// other one. What goes between equal dialects passes as it came, unless its status would
// be taken for the gateway's.
func TestErrors_EachRowIsItselfInEveryDialect(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	calls := map[string]int{} // the code that the event of a call must have
	for _, from := range a2a.Dialects {
		agent := startNative(t, from)
		name := "agent-" + strings.NewReplacer("/", "-", "+", "-", ".", "").Replace(strings.ToLower(from.String()))
		agent.register(g, name, "")
		for i, row := range a2a.Rows() {
			if !can(from, row) {
				continue
			}
			message := fmt.Sprintf("row %d 100%% é", i)
			agent.Answer(agent.failWith(row, message))
			for _, to := range a2a.Dialects {
				mark := fmt.Sprintf("row-%d/%s/%s", i, from, to)
				calls[mark] = int(row.Code)
				t.Run(strings.ReplaceAll(mark, "/", " "), func(t *testing.T) {
					got := sendIn(t, client, g, to, name, key, "User-Agent", mark)
					if from == to && (!isAuth(row) || from.Binding == a2a.JSONRPC) {
						checkPassedError(t, agent, row, message, got)
						return
					}
					want, status := wantFailure(from, to, row, message)
					f := readFailure(t, to, got)
					canonicalDetails(t, &f)
					canonicalDetails(t, &want)
					if diff := cmp.Diff(want, f, cmp.AllowUnexported(failure{})); diff != "" || got.Status != status {
						t.Errorf("HTTP %d, want %d; (-want +got):\n%s", got.Status, status, diff)
					}
					if got.Header.Get("Www-Authenticate") != "" {
						t.Error("the caller is asked for a credential")
					}
				})
			}
		}
	}
	events := map[string]*auditv1.Event{}
	for _, e := range g.Events(`outcome=FAILED`, len(calls)) {
		if events[e.GetUserAgent()] != nil {
			t.Errorf("%s: two events", e.GetUserAgent())
		}
		events[e.GetUserAgent()] = e
	}
	for mark, code := range calls {
		if e := events[mark]; e == nil || int(e.GetError().GetCode()) != code {
			t.Errorf("%s: the event says %v, want code %d", mark, e.GetError(), code)
		}
	}
}

// checkPassedError compares a reply with what the agent itself answers.
func checkPassedError(t *testing.T, agent *native, row a2a.Row, message string, got reply) {
	t.Helper()
	recorded := httptest.NewRecorder()
	agent.failWith(row, message)(recorded, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"id":7}`)))
	if got.Status != recorded.Code || string(got.Body) != recorded.Body.String() {
		t.Errorf("HTTP %d %s, want HTTP %d %s", got.Status, got.Body, recorded.Code, recorded.Body)
	}
	if agent.Dialect.Binding != a2a.GRPC {
		return
	}
	for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
		text := got.Header.Get(name) + got.trailer.Get(name)
		if text != recorded.Header().Get(name) {
			t.Errorf("%s is %q, want %q", name, text, recorded.Header().Get(name))
		}
	}
}

// An agent that does not let the gateway in says so in whatever way it has; no caller may
// take it for the gateway not letting the caller in. Over JSON-RPC the reply passes as it
// is, without a status that could be mistaken.
func TestErrors_AnAgentsRefusalOfTheGatewayIsNotTheGatewaysRefusalOfTheCaller(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	for name, tt := range map[string]struct {
		dialect a2a.Dialect
		answer  http.HandlerFunc
	}{
		"a plain 401": {rest10, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer realm="agent"`)
			writeBody(w, 401, `{"error":{"code":401,"status":"UNAUTHENTICATED","message":"no"}}`)
		}},
		"a framework's 403": {rest03, func(w http.ResponseWriter, _ *http.Request) { writeBody(w, 403, `{"detail":"no"}`) }},
		"a status of gRPC":  {grpc10, func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, a2a.GRPCUnauthenticated, "no") }},
		"an SDK's own code": {rpc10, func(w http.ResponseWriter, r *http.Request) {
			writeBody(w, 200, `{"jsonrpc":"2.0","id":`+requestID(r)+`,"error":{"code":-31401,"message":"no","data":[`+
				`{"@type":"`+infoType+`","reason":"UNAUTHENTICATED","domain":"a2a-protocol.org"}]}}`)
		}},
	} {
		agent := startNative(t, tt.dialect)
		id := strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(name))
		agent.register(g, id, "")
		agent.Answer(tt.answer)
		for _, to := range a2a.Dialects {
			if to == tt.dialect && to.Binding == a2a.JSONRPC {
				continue
			}
			got := sendIn(t, client, g, to, id, key)
			f := readFailure(t, to, got)
			if got.Status == 401 || got.Status == 403 || got.Header.Get("Www-Authenticate") != "" || f.Code == -31401 || f.Code == -31403 ||
				f.GRPC == a2a.GRPCUnauthenticated || f.GRPC == a2a.GRPCPermissionDenied || f.Reason == "UNAUTHENTICATED" || f.Reason == "PERMISSION_DENIED" {
				t.Errorf("%s to a caller of %s: HTTP %d, %+v", name, to, got.Status, f)
			}
			if !strings.Contains(f.Message, "the agent refused the gateway's credential") {
				t.Errorf("%s to a caller of %s: %q", name, to, f.Message)
			}
		}
	}
}

// What the gateway itself refuses has the statuses of the caller's dialect.
func TestErrors_TheGatewaysRefusalsInEveryDialect(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Unary.Timeout = 200 * time.Millisecond })
	key := g.Team("demo")
	client := h2c(t)
	g.Agent("down", "demo", "http://127.0.0.1:9")
	hanging := startNative(t, rpc10)
	hanging.register(g, "hanging", "")
	hanging.Answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	page := startNative(t, rpc10)
	page.register(g, "page", "")
	page.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(502)
		_, _ = io.WriteString(w, "<p>10.0.0.7</p>")
	})
	tests := []struct {
		agent, reason, domain string
		code, http, http03    int
		grpc                  int
		retryAfter            bool
	}{
		{"down", "UPSTREAM_UNREACHABLE", "signalbox.dev", -31503, 503, 503, a2a.GRPCUnavailable, true},
		{"hanging", "UPSTREAM_TIMEOUT", "signalbox.dev", -31503, 504, 504, a2a.GRPCDeadlineExceeded, false},
		{"page", "INVALID_AGENT_RESPONSE", "a2a-protocol.org", -32006, 500, 502, a2a.GRPCInternal, false},
		{"nobody", "AGENT_NOT_FOUND", "signalbox.dev", -31404, 404, 404, a2a.GRPCNotFound, false},
	}
	for _, tt := range tests {
		for _, d := range a2a.Dialects {
			t.Run(tt.agent+" "+strings.ReplaceAll(d.String(), "/", " "), func(t *testing.T) {
				got := sendIn(t, client, g, d, tt.agent, key)
				f := readFailure(t, d, got)
				status := map[a2a.Dialect]int{rest10: tt.http, rest03: tt.http03}[d]
				if status == 0 {
					status = 200
					if d.Binding == a2a.JSONRPC && tt.http == 404 {
						status = 404
					}
				}
				if got.Status != status || f.Reason != tt.reason || f.Domain != tt.domain {
					t.Errorf("HTTP %d, %+v; want HTTP %d, %s of %s", got.Status, f, status, tt.reason, tt.domain)
				}
				if f.Code != 0 && f.Code != tt.code || f.GRPC != 0 && f.GRPC != tt.grpc {
					t.Errorf("code %d, status %d; want %d, %d", f.Code, f.GRPC, tt.code, tt.grpc)
				}
				if (got.Header.Get("Retry-After") != "") != tt.retryAfter || (f.Metadata["retry_after_s"] != "") != tt.retryAfter {
					t.Errorf("Retry-After %q, metadata %v", got.Header.Get("Retry-After"), f.Metadata)
				}
				if strings.Contains(string(got.Body)+f.Message, "127.0.0.1") || strings.Contains(string(got.Body)+f.Message, "10.0.0.7") {
					t.Errorf("it leaks an address: %s", got.Body)
				}
			})
		}
	}
}

// A stale configuration is one more thing that every dialect has a word for.
func TestErrors_AStaleConfigurationInEveryDialect(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	startNative(t, rpc10).register(g, "echo", "")
	stale := gatewaytest.StartOver(t, g.DSN, t.TempDir(), func(c *config.Config) { c.Snapshot.MaxAge = time.Nanosecond })
	client := h2c(t)
	for _, d := range a2a.Dialects {
		got := sendIn(t, client, stale, d, "echo", key)
		f := readFailure(t, d, got)
		want := 200
		if d.Binding == a2a.REST {
			want = 503
		}
		if got.Status != want || f.Reason != "CONFIGURATION_STALE" || f.Domain != "signalbox.dev" || got.Header.Get("Retry-After") == "" ||
			f.GRPC != 0 && f.GRPC != a2a.GRPCUnavailable || f.Code != 0 && f.Code != -31503 {
			t.Errorf("%s: HTTP %d, %+v", d, got.Status, f)
		}
	}
}

// An agent's reply that ends without a status must not leave a caller of gRPC without one.
func TestErrors_ACallerOfGRPCAlwaysGetsAStatus(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	client := h2c(t)
	for _, d := range []a2a.Dialect{grpc10, grpc03} {
		for name, answer := range map[string]http.HandlerFunc{
			"no status": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				_, _ = w.Write(grpcFrame(nil))
			},
			"HTTP 503": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.WriteHeader(503)
			},
			"status that is no number": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", "bad")
			},
		} {
			agent := startNative(t, d)
			id := fmt.Sprintf("a%d", time.Now().UnixNano())
			agent.register(g, id, "")
			agent.Answer(answer)
			f := readFailure(t, d, sendIn(t, client, g, d, id, key))
			if f.Message == "" {
				t.Errorf("%s of %s: %+v", name, d, f)
			}
		}
	}
}
