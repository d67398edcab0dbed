package dataplane_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	newpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// item is an item of a stream in no dialect.
type item struct {
	Kind  string // task, message, status-update or artifact-update
	State string // as 0.3 spells it
	Text  string // of the message or the artifact
	Final string // of a status update of 0.3: "true", "false", or "" when it says nothing
}

func taskItem(state string) item  { return item{Kind: "task", State: state} }
func chunkItem(text string) item  { return item{Kind: "artifact-update", Text: text} }
func replyItem() item             { return item{Kind: "message", Text: "hello"} }
func stateItem(state string) item { return item{Kind: "status-update", State: state} }

// last is a status update that says in 0.3 that nothing follows.
func last(state string) item { return item{Kind: "status-update", State: state, Final: "true"} }

// form is the item as a dialect's JSON has it. Messages of gRPC are made of it by the
// protobuf library.
func (i item) form(d a2a.Dialect, task string) string {
	old := d.Version == a2a.V03
	bare := old && d.Binding == a2a.JSONRPC
	state := i.State
	if !bare {
		state = "TASK_STATE_" + strings.ToUpper(strings.ReplaceAll(state, "-", "_"))
	}
	final := ""
	if old {
		final = `,"final":` + map[string]string{"true": "true"}[i.Final]
		if i.Final != "true" {
			final = `,"final":false`
		}
	}
	part := fmt.Sprintf(`{"text":%q}`, i.Text)
	if bare {
		part = fmt.Sprintf(`{"kind":"text","text":%q}`, i.Text)
	}
	var wrapper, members string
	switch i.Kind {
	case "task":
		wrapper, members = "task", fmt.Sprintf(`"id":%q,"contextId":%q,"status":{"state":%q}`, task, "c-"+task, state)
	case "status-update":
		wrapper, members = "statusUpdate", fmt.Sprintf(`"taskId":%q,"contextId":%q,"status":{"state":%q}%s`, task, "c-"+task, state, final)
	case "artifact-update":
		wrapper, members = "artifactUpdate", fmt.Sprintf(`"taskId":%q,"contextId":%q,"artifact":{"artifactId":"a1","parts":[%s]}`, task, "c-"+task, part)
	default:
		parts, role := "parts", "ROLE_AGENT"
		if bare {
			role = "agent"
		} else if old && d.Binding == a2a.REST {
			parts = "content"
		}
		wrapper, members = "message", fmt.Sprintf(`"messageId":"r-%s","role":%q,%q:[%s]`, task, role, parts, part)
	}
	if bare {
		return fmt.Sprintf(`{"kind":%q,%s}`, i.Kind, members)
	}
	if wrapper == "message" && old && d.Binding == a2a.GRPC {
		wrapper = "msg" // the library's name for it
	}
	return fmt.Sprintf(`{%q:{%s}}`, wrapper, members)
}

// readItem reads an item of a dialect, and the id of its task.
func readItem(t *testing.T, d a2a.Dialect, raw []byte) (item, string) {
	t.Helper()
	var o map[string]json.RawMessage
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatalf("an item is no JSON: %v: %.300s", err, raw)
	}
	var i item
	if d.Version == a2a.V03 && d.Binding == a2a.JSONRPC {
		_ = json.Unmarshal(o["kind"], &i.Kind)
	} else {
		for wrapper, kind := range map[string]string{
			"task": "task", "message": "message", "msg": "message", "statusUpdate": "status-update", "artifactUpdate": "artifact-update",
		} {
			if inner, ok := o[wrapper]; ok {
				i.Kind = kind
				o = nil
				_ = json.Unmarshal(inner, &o)
				break
			}
		}
	}
	var read struct {
		ID, TaskID string
		Status     struct{ State string }
		Artifact   struct{ Parts []struct{ Text string } }
		Parts      []struct{ Text string }
		Content    []struct{ Text string }
		Final      *bool
	}
	b, _ := json.Marshal(o)
	if err := json.Unmarshal(b, &read); err != nil {
		t.Fatalf("an item cannot be read: %v: %.300s", err, raw)
	}
	i.State = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(read.Status.State, "TASK_STATE_")), "_", "-")
	for _, parts := range [][]struct{ Text string }{read.Artifact.Parts, read.Parts, read.Content} {
		for _, p := range parts {
			i.Text += p.Text
		}
	}
	if i.Kind == "status-update" && d.Version == a2a.V03 {
		// In protobuf, and in JSON that is made of it, what is not there is false.
		i.Final = fmt.Sprint(read.Final != nil && *read.Final)
		if read.Final == nil && d.Binding == a2a.JSONRPC {
			i.Final = "absent"
		}
	}
	if read.TaskID != "" {
		return i, read.TaskID
	}
	return i, read.ID
}

// toProto makes the protobuf message of a JSON form, fromProto the reverse.
func toProto(m proto.Message, form string) []byte {
	if err := protojson.Unmarshal([]byte(form), m); err != nil {
		panic(fmt.Sprintf("%v: %s", err, form)) // the forms are this package's
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func fromProto(t *testing.T, m proto.Message, raw []byte) []byte {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatalf("a message is no protobuf: %v", err)
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func streamResponse(v a2a.Version) proto.Message {
	if v == a2a.V03 {
		return new(oldpb.StreamResponse)
	}
	return new(newpb.StreamResponse)
}

func grpcFrame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// stage is an agent of one dialect whose streams a test plays.
type stage struct {
	dialect a2a.Dialect
	name    string
	url     string
	card    []byte
	// play plays a stream, after the headers.
	play func(*scene)
	// task is what GetTask answers; its zero value stands for an error.
	task item
	// reply, when there is one, is what SendMessage answers: the form of a task, of gRPC
	// the protobuf message.
	reply []byte

	stop chan struct{}

	mu    sync.Mutex
	calls []stageCall
}

// stageCall is a call that a stage received.
type stageCall struct {
	op     string
	header http.Header
	path   string
	body   []byte
}

// scene is one stream.
type scene struct {
	d    a2a.Dialect
	w    http.ResponseWriter
	r    *http.Request
	stop <-chan struct{}
	id   string // as JSON, of a request of JSON-RPC
	// subject is the id of the message that was sent, or of the task subscribed to.
	subject string
	task    string        // what the stage calls the task
	played  chan struct{} // for whoever plays several scenes at once
}

// newStage starts a stage and registers it. Its interface may have a tenant in 1.0.
func newStage(t *testing.T, g *gatewaytest.Gateway, d a2a.Dialect, name string, play func(*scene), tenant ...string) *stage {
	t.Helper()
	s := &stage{dialect: d, name: name, play: play, task: taskItem("working"), stop: make(chan struct{})}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv.Config.Protocols = protocols
	srv.Start()
	s.url = srv.URL
	t.Cleanup(func() {
		close(s.stop)
		srv.CloseClientConnections()
		srv.Close()
	})
	face := srv.URL
	if d.Binding == a2a.GRPC {
		face = strings.TrimPrefix(face, "http://")
	}
	const common = `"name":"stage","description":"Plays.","version":"1","capabilities":{"streaming":true,"pushNotifications":true},` +
		`"defaultInputModes":[],"defaultOutputModes":[],"skills":[]`
	card := fmt.Sprintf(`{%s,"supportedInterfaces":[{"url":%q,"protocolBinding":%q,"protocolVersion":"1.0","tenant":%q}]}`,
		common, face, d.Binding, strings.Join(tenant, ""))
	if d.Version == a2a.V03 {
		card = fmt.Sprintf(`{%s,"protocolVersion":"0.3.0","url":%q,"preferredTransport":%q}`, common, face, d.Binding)
	}
	s.card = []byte(card)
	g.Agent(name, "demo", srv.URL, func(a *registryv1.Agent) {
		a.CardJson = s.card
		a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
	})
	return s
}

// received returns the calls of an operation, named as 1.0 does.
func (s *stage) received(op string) []stageCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c stageCall) bool { return c.op != op })
}

func (s *stage) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	sc := &scene{d: s.dialect, w: w, r: r, stop: s.stop, played: make(chan struct{})}
	op := sc.read(body)
	s.mu.Lock()
	s.calls = append(s.calls, stageCall{op: op, header: r.Header.Clone(), path: r.URL.RequestURI(), body: body})
	s.mu.Unlock()
	sc.task = strings.TrimPrefix(sc.subject, "task-")
	sc.task = "task-" + sc.task
	switch op {
	case "SendStreamingMessage", "SubscribeToTask":
		sc.head()
		s.play(sc)
	case "GetTask":
		if s.task.Kind == "" {
			sc.unary("", true)
			return
		}
		sc.unary(s.task.form(s.dialect, sc.task), true)
	case "SendMessage":
		if s.reply != nil {
			sc.answer(s.reply)
			return
		}
		sc.unary(taskItem("working").form(s.dialect, sc.task), false)
	default:
		http.Error(w, "no such call", http.StatusNotFound)
	}
}

// read finds out what a call asks for, in words of 1.0.
func (sc *scene) read(body []byte) string {
	method := sc.r.URL.Path[strings.LastIndexByte(sc.r.URL.Path, '/')+1:]
	var q struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Message, Request struct{ MessageID string }
			ID               string
		}
		Message struct{ MessageID string }
	}
	switch sc.d.Binding {
	case a2a.GRPC:
		body = body[min(5, len(body)):]
		if sc.d.Version == a2a.V03 {
			var send oldpb.SendMessageRequest
			var get oldpb.GetTaskRequest
			if strings.HasPrefix(method, "Send") {
				_ = proto.Unmarshal(body, &send)
			} else {
				_ = proto.Unmarshal(body, &get)
			}
			sc.subject = send.GetRequest().GetMessageId() + strings.TrimPrefix(get.GetName(), "tasks/")
		} else {
			var send newpb.SendMessageRequest
			var get newpb.GetTaskRequest // and SubscribeToTaskRequest
			if strings.HasPrefix(method, "Send") {
				_ = proto.Unmarshal(body, &send)
			} else {
				_ = proto.Unmarshal(body, &get)
			}
			sc.subject = send.GetMessage().GetMessageId() + get.GetId()
		}
	case a2a.REST:
		_ = json.Unmarshal(body, &q)
		id, verb, _ := strings.Cut(method, ":")
		switch verb {
		case "send":
			method = "SendMessage"
		case "stream":
			method = "SendStreamingMessage"
		case "subscribe":
			method, sc.subject = "SubscribeToTask", id
		default:
			method, sc.subject = "GetTask", id
		}
		sc.subject += q.Message.MessageID
	default:
		_ = json.Unmarshal(body, &q)
		sc.id, method = string(q.ID), q.Method
		sc.subject = q.Params.Message.MessageID + q.Params.ID
	}
	if name, ok := map[string]string{
		"message/send": "SendMessage", "message/stream": "SendStreamingMessage", "tasks/get": "GetTask",
		"tasks/resubscribe": "SubscribeToTask", "TaskSubscription": "SubscribeToTask",
	}[method]; ok {
		return name
	}
	return method
}

func (sc *scene) head() {
	h := sc.w.Header()
	if sc.d.Binding == a2a.GRPC {
		h.Set("Content-Type", "application/grpc")
		h.Set("Trailer", "Grpc-Status, Grpc-Message")
	} else {
		h.Set("Content-Type", "text/event-stream")
	}
	sc.raw(nil)
}

func (sc *scene) raw(b []byte) {
	_, _ = sc.w.Write(b)
	_ = http.NewResponseController(sc.w).Flush()
}

// send sends items at once.
func (sc *scene) send(items ...item) {
	for _, i := range items {
		sc.sendForm(i.form(sc.d, sc.task))
	}
}

// sendForm sends an item that is given as its dialect's JSON, for gRPC as that of its
// protobuf message.
func (sc *scene) sendForm(form string) {
	switch sc.d.Binding {
	case a2a.GRPC:
		sc.raw(grpcFrame(toProto(streamResponse(sc.d.Version), form)))
	case a2a.REST:
		sc.raw([]byte("data: " + form + "\n\n"))
	default:
		sc.raw([]byte(`data: {"jsonrpc":"2.0","id":` + sc.id + `,"result":` + form + "}\n\n"))
	}
}

// end ends a stream of gRPC properly; the others need nothing.
func (sc *scene) end() {
	if sc.d.Binding == a2a.GRPC {
		sc.w.Header().Set("Grpc-Status", "0")
	}
}

// fail ends the stream with an error of a task that is not there.
func (sc *scene) fail() {
	switch {
	case sc.d.Binding == a2a.GRPC:
		sc.w.Header().Set("Grpc-Status", "5")
		sc.w.Header().Set("Grpc-Message", "no such task")
	case sc.d.Binding == a2a.JSONRPC:
		sc.raw([]byte(`data: {"jsonrpc":"2.0","id":` + sc.id + `,"error":{"code":-32001,"message":"no such task"}}` + "\n\n"))
	case sc.d.Version == a2a.V03:
		sc.raw([]byte("event: error\ndata: " + `{"code":-32001,"message":"no such task"}` + "\n\n"))
	default:
		sc.raw([]byte("event: error\ndata: " + `{"error":{"code":404,"status":"NOT_FOUND","message":"no such task","details":[` +
			`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}]}}` + "\n\n"))
	}
}

// wait waits for a sign, and tells whether it came before the caller or the test ended.
func (sc *scene) wait(sign <-chan struct{}) bool {
	select {
	case <-sign:
		return true
	case <-sc.r.Context().Done():
		return false
	case <-sc.stop:
		return false
	}
}

// answer answers with a result as it is.
func (sc *scene) answer(result []byte) {
	h := sc.w.Header()
	switch sc.d.Binding {
	case a2a.GRPC:
		h.Set("Content-Type", "application/grpc")
		h.Set("Trailer", "Grpc-Status")
		sc.raw(grpcFrame(result))
		h.Set("Grpc-Status", "0")
	case a2a.REST:
		h.Set("Content-Type", "application/json")
		_, _ = sc.w.Write(result)
	default:
		h.Set("Content-Type", "application/json")
		_, _ = io.WriteString(sc.w, `{"jsonrpc":"2.0","id":`+sc.id+`,"result":`+string(result)+`}`)
	}
}

// unary answers with a task, wrapped as a result of a send unless bare. No form is an error.
func (sc *scene) unary(form string, bare bool) {
	if form != "" && bare && (sc.d.Version != a2a.V03 || sc.d.Binding != a2a.JSONRPC) {
		form = strings.TrimSuffix(strings.TrimPrefix(form, `{"task":`), "}")
	}
	h := sc.w.Header()
	switch {
	case sc.d.Binding == a2a.GRPC && form == "":
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", "5")
	case sc.d.Binding == a2a.GRPC:
		var m proto.Message
		switch old := sc.d.Version == a2a.V03; {
		case bare && old:
			m = new(oldpb.Task)
		case bare:
			m = new(newpb.Task)
		case old:
			m = new(oldpb.SendMessageResponse)
		default:
			m = new(newpb.SendMessageResponse)
		}
		sc.answer(toProto(m, form))
	case form != "":
		sc.answer([]byte(form))
	case sc.d.Binding == a2a.REST:
		h.Set("Content-Type", "application/json")
		sc.w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(sc.w, `{"error":{"code":404,"status":"NOT_FOUND","message":"no"}}`)
	default:
		h.Set("Content-Type", "application/json")
		_, _ = io.WriteString(sc.w, `{"jsonrpc":"2.0","id":`+sc.id+`,"error":{"code":-32001,"message":"no"}}`)
	}
}
