package dataplane_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// The dialects by their names.
var (
	rpc10, rpc03   = a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10}, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V03}
	rest10, rest03 = a2a.Dialect{Binding: a2a.REST, Version: a2a.V10}, a2a.Dialect{Binding: a2a.REST, Version: a2a.V03}
	grpc10, grpc03 = a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V10}, a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V03}
)

const infoType = "type.googleapis.com/google.rpc.ErrorInfo"

// failure is an error as it stood on the wire, in no dialect.
type failure struct {
	// Code is that of JSON-RPC, 0 where the dialect has none.
	Code int
	// GRPC is the status of gRPC, 0 where the dialect has none.
	GRPC           int
	Message        string
	Reason, Domain string
	Metadata       map[string]string
	Data           string   // of 0.3, when it is no detail
	Details        []string // the other details, as JSON
	hasInfo        bool     // an ErrorInfo was there
}

// reply is what a call in any dialect gave.
type reply struct {
	gatewaytest.Reply

	trailer http.Header
}

// readFailure reads an error that must have exactly the shape of a dialect.
func readFailure(t *testing.T, d a2a.Dialect, r reply) failure {
	t.Helper()
	var f failure
	var err error
	switch d.Binding {
	case a2a.GRPC:
		f, err = readGRPCFailure(r)
	case a2a.REST:
		f, err = readRESTFailure(d.Version, r)
	default:
		f, err = readRPCFailure(d.Version, r)
	}
	if err != nil {
		t.Fatalf("not an error of %s: %v\nHTTP %d\n%v\n%v\n%.2000q", d, err, r.Status, r.Header, r.trailer, r.Body)
	}
	return f
}

// strict decodes an object that has no members but those of v.
func strict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("something follows the object: %v", err)
	}
	return nil
}

func isJSON(r reply) error {
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		return fmt.Errorf("content type %q", ct)
	}
	if _, ok := r.Header["Grpc-Status"]; ok {
		return fmt.Errorf("it has a status of gRPC")
	}
	return nil
}

func readRPCFailure(v a2a.Version, r reply) (f failure, err error) {
	if err := isJSON(r); err != nil {
		return f, err
	}
	var envelope struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if err := strict(r.Body, &envelope); err != nil {
		return f, err
	}
	if envelope.JSONRPC != "2.0" || envelope.Error == nil {
		return f, fmt.Errorf("no error of JSON-RPC")
	}
	f.Code, f.Message = envelope.Error.Code, envelope.Error.Message
	return f, f.readData(v, envelope.Error.Data)
}

func readRESTFailure(v a2a.Version, r reply) (f failure, err error) {
	if err := isJSON(r); err != nil {
		return f, err
	}
	if v == a2a.V03 {
		var body struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		}
		if err := strict(r.Body, &body); err != nil {
			return f, err
		}
		f.Code, f.Message = body.Code, body.Message
		if f.Code >= 0 || r.Status < 400 {
			return f, fmt.Errorf("code %d with HTTP %d", f.Code, r.Status)
		}
		return f, f.readData(v, body.Data)
	}
	var body struct {
		Error *struct {
			Code    int               `json:"code"`
			Status  string            `json:"status"`
			Message string            `json:"message"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := strict(r.Body, &body); err != nil {
		return f, err
	}
	if body.Error == nil || body.Error.Code != r.Status || r.Status < 400 {
		return f, fmt.Errorf("no google.rpc.Status of HTTP %d", r.Status)
	}
	var ok bool
	if f.GRPC, ok = a2a.ParseGRPCName(body.Error.Status); !ok || f.GRPC == 0 {
		return f, fmt.Errorf("status %q", body.Error.Status)
	}
	f.Message = body.Error.Message
	if err := f.readDetails(body.Error.Details); err != nil {
		return f, err
	}
	if !f.hasInfo {
		return f, fmt.Errorf("no ErrorInfo")
	}
	return f, nil
}

// readData reads the data member of JSON-RPC and of HTTP+JSON 0.3.
func (f *failure) readData(v a2a.Version, data json.RawMessage) error {
	if len(data) == 0 {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err == nil {
		return f.readDetails(list)
	}
	if v == a2a.V10 {
		return fmt.Errorf("data is no array: %s", data)
	}
	if err := f.readDetails([]json.RawMessage{data}); err == nil && f.hasInfo {
		return nil
	}
	f.Details, f.Data = nil, string(data)
	return nil
}

func (f *failure) readDetails(details []json.RawMessage) error {
	for _, raw := range details {
		var info gatewaytest.ErrorInfo
		if err := json.Unmarshal(raw, &struct {
			Type *string `json:"@type"`
		}{&info.Type}); err != nil || info.Type == "" {
			return fmt.Errorf("a detail without a type: %s", raw)
		}
		if info.Type != infoType || f.hasInfo {
			f.Details = append(f.Details, string(raw))
			continue
		}
		if err := strict(raw, &info); err != nil {
			return fmt.Errorf("ErrorInfo: %w", err)
		}
		f.Reason, f.Domain, f.Metadata, f.hasInfo = info.Reason, info.Domain, info.Metadata, true
	}
	return nil
}

func readGRPCFailure(r reply) (f failure, err error) {
	if r.Status != http.StatusOK || r.Header.Get("Content-Type") != "application/grpc+proto" || len(r.Body) > 0 {
		return f, fmt.Errorf("not a reply of gRPC with a status alone")
	}
	h := r.Header
	if h.Get("Grpc-Status") == "" {
		h = r.trailer
	}
	if f.GRPC, err = strconv.Atoi(h.Get("Grpc-Status")); err != nil || f.GRPC == 0 {
		return f, fmt.Errorf("grpc-status %q", h.Get("Grpc-Status"))
	}
	if f.Message, err = url.PathUnescape(h.Get("Grpc-Message")); err != nil {
		return f, err
	}
	bin := h.Get("Grpc-Status-Details-Bin")
	if bin == "" {
		return f, nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(bin, "="))
	if err != nil {
		return f, err
	}
	var status statuspb.Status
	if err := proto.Unmarshal(raw, &status); err != nil {
		return f, err
	}
	if int(status.GetCode()) != f.GRPC || status.GetMessage() != f.Message {
		return f, fmt.Errorf("the details say %d %q", status.GetCode(), status.GetMessage())
	}
	for _, detail := range status.GetDetails() {
		m, err := detail.UnmarshalNew()
		if err != nil {
			return f, err
		}
		switch m := m.(type) {
		case *errdetails.ErrorInfo:
			f.Reason, f.Domain, f.Metadata, f.hasInfo = m.GetReason(), m.GetDomain(), m.GetMetadata(), true
		case *structpb.Struct:
			b, err := m.MarshalJSON()
			if err != nil {
				return f, err
			}
			f.Details = append(f.Details, `{"@type":"type.googleapis.com/google.protobuf.Struct","value":`+string(b)+`}`)
		default:
			return f, fmt.Errorf("a detail of type %s", detail.GetTypeUrl())
		}
	}
	return f, nil
}

// h2c is a client of HTTP/2 without TLS, for calls of gRPC as they stand on the wire.
func h2c(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// do sends a request and reads the whole reply, trailers included.
func do(t *testing.T, client *http.Client, method, address, key string, body []byte, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		switch {
		case headers[i] == ":authority":
			req.Host = headers[i+1]
		case headers[i+1] == "":
			req.Header.Del(headers[i])
		default:
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	return readReply(t, resp)
}

func readReply(t *testing.T, resp *http.Response) reply {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the reply: %v", err)
	}
	return reply{gatewaytest.Reply{Status: resp.StatusCode, Header: resp.Header, Body: read}, resp.Trailer}
}

// frame is a message of gRPC as it stands on the wire.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// grpcHeaders are those of every call of gRPC.
func grpcHeaders(more ...string) []string {
	return append([]string{"Content-Type", "application/grpc", "Te", "trailers"}, more...)
}

// sendIn sends a message "hi" in a dialect.
func sendIn(t *testing.T, client *http.Client, g *gatewaytest.Gateway, d a2a.Dialect, agent, key, messageID string, headers ...string) reply {
	t.Helper()
	const asJSON = "application/json"
	switch d {
	case rpc10:
		return do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(agent), key,
			[]byte(gatewaytest.Request("SendMessage", gatewaytest.Message(messageID, "hi", ""))), append([]string{"Content-Type", asJSON}, headers...)...)
	case rpc03:
		return do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(agent), key,
			[]byte(gatewaytest.Request("message/send", gatewaytest.Message03(messageID, "hi", ""))), append([]string{"Content-Type", asJSON}, headers...)...)
	case rest10:
		return do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(agent)+"/message:send", key,
			[]byte(gatewaytest.Message(messageID, "hi", "")), append([]string{"Content-Type", asJSON}, headers...)...)
	case rest03:
		return do(t, gatewaytest.Client, http.MethodPost, g.AgentURL(agent)+"/v1/message:send", key,
			[]byte(`{"message":{"messageId":"`+messageID+`","role":"ROLE_USER","content":[{"text":"hi"}]}}`), append([]string{"Content-Type", asJSON}, headers...)...)
	case grpc10:
		return do(t, client, http.MethodPost, g.URL+"/lf.a2a.v1.A2AService/SendMessage", key,
			frame(marshal(t, send10(agent, messageID, ""))), grpcHeaders(headers...)...)
	default:
		return do(t, client, http.MethodPost, g.URL+"/a2a.v1.A2AService/SendMessage", key,
			frame(marshal(t, send03(messageID, ""))), grpcHeaders(append([]string{"X-Signalbox-Agent", agent}, headers...)...)...)
	}
}

func send10(tenant, messageID, contextID string) *pb.SendMessageRequest {
	return &pb.SendMessageRequest{Tenant: tenant, Message: &pb.Message{
		MessageId: messageID, ContextId: contextID, Role: pb.Role_ROLE_USER, Parts: []*pb.Part{{Content: &pb.Part_Text{Text: "hi"}}},
	}}
}

func send03(messageID, contextID string) *oldpb.SendMessageRequest {
	return &oldpb.SendMessageRequest{Request: &oldpb.Message{
		MessageId: messageID, ContextId: contextID, Role: oldpb.Role_ROLE_USER, Parts: []*oldpb.Part{{Part: &oldpb.Part_Text{Text: "hi"}}},
	}}
}

// native is an agent of one dialect that answers as a test tells it to, with what
// stands on the wire.
type native struct {
	URL     string
	Dialect a2a.Dialect

	mu     sync.Mutex
	answer http.HandlerFunc
	calls  []nativeCall
}

// nativeCall is a request that a [native] got.
type nativeCall struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte
}

// startNative starts an agent that answers with a message until told otherwise.
func startNative(t *testing.T, d a2a.Dialect) *native {
	t.Helper()
	a := &native{Dialect: d}
	a.Answer(nil)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.calls = append(a.calls, nativeCall{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Clone(), body})
		answer := a.answer
		a.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	a.URL = srv.URL
	return a
}

// Answer says how the next calls are answered; nil means with a message.
func (a *native) Answer(h http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answer = h; h == nil {
		a.answer = a.greet
	}
}

// Calls returns the calls so far.
func (a *native) Calls() []nativeCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// Last returns the last call.
func (a *native) Last(t *testing.T) nativeCall {
	t.Helper()
	calls := a.Calls()
	if len(calls) == 0 {
		t.Fatal("the agent got no call")
	}
	return calls[len(calls)-1]
}

// register registers the agent with its card.
func (a *native) register(g *gatewaytest.Gateway, name, tenant string, change ...func(*registryv1.Agent)) {
	card := fmt.Sprintf(`{"name":"n","description":"d","version":"1","capabilities":{"streaming":true,"extendedAgentCard":true},"defaultInputModes":[],"defaultOutputModes":[],`+
		`"skills":[],"supportedInterfaces":[{"url":%q,"protocolBinding":%q,"protocolVersion":%q,"tenant":%q}]}`,
		a.URL, a.Dialect.Binding, a.Dialect.Version, tenant)
	change = append([]func(*registryv1.Agent){func(r *registryv1.Agent) { r.CardJson = []byte(card) }}, change...)
	g.Agent(name, "demo", a.URL, change...)
}

// requestID is the id of a request of JSON-RPC.
func requestID(r *http.Request) string {
	var envelope struct {
		ID json.RawMessage `json:"id"`
	}
	if json.NewDecoder(r.Body).Decode(&envelope) != nil {
		return "null"
	}
	return string(envelope.ID)
}

// greet answers a send with a message.
func (a *native) greet(w http.ResponseWriter, r *http.Request) {
	switch a.Dialect {
	case rpc10:
		writeBody(w, 200, `{"jsonrpc":"2.0","id":`+requestID(r)+`,"result":{"message":{"messageId":"a","role":"ROLE_AGENT","parts":[{"text":"yes"}]}}}`)
	case rpc03:
		writeBody(w, 200, `{"jsonrpc":"2.0","id":`+requestID(r)+`,"result":{"kind":"message","messageId":"a","role":"agent","parts":[{"kind":"text","text":"yes"}]}}`)
	case rest10:
		writeBody(w, 200, `{"message":{"messageId":"a","role":"ROLE_AGENT","parts":[{"text":"yes"}]}}`)
	case rest03:
		writeBody(w, 200, `{"message":{"messageId":"a","role":"ROLE_AGENT","content":[{"text":"yes"}]}}`)
	case grpc10:
		writeMessage(w, &pb.SendMessageResponse{Payload: &pb.SendMessageResponse_Message{Message: &pb.Message{
			MessageId: "a", Role: pb.Role_ROLE_AGENT, Parts: []*pb.Part{{Content: &pb.Part_Text{Text: "yes"}}},
		}}})
	default:
		writeMessage(w, &oldpb.SendMessageResponse{Payload: &oldpb.SendMessageResponse_Msg{Msg: &oldpb.Message{
			MessageId: "a", Role: oldpb.Role_ROLE_AGENT, Parts: []*oldpb.Part{{Part: &oldpb.Part_Text{Text: "yes"}}},
		}}})
	}
}

func writeBody(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func writeMessage(w http.ResponseWriter, m proto.Message) {
	raw, err := proto.Marshal(m)
	if err != nil {
		panic(err) // a message of the tests
	}
	w.Header().Set("Content-Type", "application/grpc+proto")
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	_, _ = w.Write(frame(raw))
}

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

// wantFailure is what a caller gets of a row that an agent of another dialect answers.
func wantFailure(agent, caller a2a.Dialect, row a2a.Row, message string) (want failure, status int) {
	if row.Code == a2a.CodeUnauthenticated || row.Code == a2a.CodePermissionDenied {
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
// other one. What goes between equal dialects passes as it came.
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
					got := sendIn(t, client, g, to, name, key, "m", "User-Agent", mark)
					if from == to {
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

// An agent that does not let the gateway in says so in whatever way it has; no caller of
// another dialect may take it for the gateway not letting the caller in.
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
			if to == tt.dialect {
				continue
			}
			got := sendIn(t, client, g, to, id, key, "m")
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
				got := sendIn(t, client, g, d, tt.agent, key, "m")
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
		got := sendIn(t, client, stale, d, "echo", key, "m")
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
				_, _ = w.Write(frame(nil))
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
			f := readFailure(t, d, sendIn(t, client, g, d, id, key, "m"))
			if f.Message == "" {
				t.Errorf("%s of %s: %+v", name, d, f)
			}
		}
	}
}
