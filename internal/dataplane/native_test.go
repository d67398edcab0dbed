package dataplane_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
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

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// This file has an agent and callers that put on the wire what a test says, in every
// dialect, and readers of errors that take exactly one shape.

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
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
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

// sendIn sends the message "m" that says "hi" in a dialect.
func sendIn(t *testing.T, client *http.Client, g *gatewaytest.Gateway, d a2a.Dialect, agent, key string, headers ...string) reply {
	t.Helper()
	const messageID = "m"
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
			grpcFrame(marshal(t, send10(agent, ""))), grpcHeaders(headers...)...)
	default:
		return do(t, client, http.MethodPost, g.URL+"/a2a.v1.A2AService/SendMessage", key,
			grpcFrame(marshal(t, send03(""))), grpcHeaders(append([]string{"X-Signalbox-Agent", agent}, headers...)...)...)
	}
}

func send10(tenant, contextID string) *pb.SendMessageRequest {
	return &pb.SendMessageRequest{Tenant: tenant, Message: &pb.Message{
		MessageId: "m", ContextId: contextID, Role: pb.Role_ROLE_USER, Parts: []*pb.Part{{Content: &pb.Part_Text{Text: "hi"}}},
	}}
}

func send03(contextID string) *oldpb.SendMessageRequest {
	return &oldpb.SendMessageRequest{Request: &oldpb.Message{
		MessageId: "m", ContextId: contextID, Role: oldpb.Role_ROLE_USER, Parts: []*oldpb.Part{{Part: &oldpb.Part_Text{Text: "hi"}}},
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
	_, _ = w.Write(grpcFrame(raw))
}
