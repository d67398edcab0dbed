package pb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	pb03 "github.com/a2aproject/a2a-go/a2apb"
	pb10 "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

func checkToJSON(t *testing.T, k messageKind, payload []byte) {
	t.Helper()
	want, refused := unmarshal(k, payload)
	got, err := pb.ToJSON(k.v, k.op, k.m, payload)
	if err != nil {
		if !errors.Is(err, pb.ErrPayload) {
			t.Fatalf("ToJSON: %v does not wrap ErrPayload", err)
		}
		if refused != nil {
			return
		}
		text, refused := protojson.Marshal(want)
		if refused == nil && jsonrpc.CheckDepth(text, jsonrpc.MaxDepth-2) < 0 {
			t.Fatalf("ToJSON: %v; others write %s", err, text)
		}
		return
	}
	if len(got) > 64*(len(payload)+1) {
		t.Fatalf("%d bytes became %d", len(payload), len(got))
	}
	if !json.Valid(got) || jsonrpc.CheckDepth(got, jsonrpc.MaxDepth) >= 0 {
		t.Fatalf("ToJSON = %s", got)
	}
	back, err := pb.FromJSON(k.v, k.op, k.m, got)
	if err != nil {
		t.Fatalf("FromJSON(%s): %v", got, err)
	}
	again, err := pb.ToJSON(k.v, k.op, k.m, back)
	if err != nil || string(again) != string(got) {
		t.Fatalf("ToJSON(FromJSON) = %s, %v\nwant %s", again, err, got)
	}
	if refused != nil {
		return // what it fails at was overwritten
	}
	returned, err := unmarshal(k, back)
	if err != nil {
		t.Fatalf("FromJSON(%s) is no protobuf: %v", got, err)
	}
	sameMessage(t, "FromJSON(ToJSON)", k, returned, want)
	if !hasCard(k) && (k.v == a2a.V10 || !strings.Contains(string(payload), "content")) {
		read, err := protoJSON(k, got)
		if err != nil {
			t.Fatalf("others do not read %s: %v", got, err)
		}
		sameMessage(t, "ProtoJSON", k, read, want)
	}
}

func checkCall(t *testing.T, k messageKind, payload []byte) {
	t.Helper()
	unread := cmpopts.IgnoreUnexported(a2a.Call{}, a2a.PushConfig{})
	k.m = pb.Request
	got, refusal := pb.ParseCall(k.v, k.op, payload)
	q, err := unmarshal(k, payload)
	if err != nil {
		return
	}
	want, why := reading(q)
	if refusal != nil {
		if why == "" || refusal.Code != jsonrpc.CodeInvalidParams {
			t.Fatalf("ParseCall(%v): %v; others read %+v", k, refusal, want)
		}
		return
	}
	if why == "missing" || why == "name" {
		t.Fatalf("ParseCall(%v) = %+v, want a refusal (%s)", k, got, why)
	}
	if text, err := pb.ToJSON(k.v, k.op, k.m, payload); err == nil && k.v == a2a.V10 {
		inJSON, refusal := a2a.ParseCall(k.op, k.v, text)
		if refusal != nil {
			t.Fatalf("in JSON it is refused: %v", refusal)
		}
		if diff := cmp.Diff(inJSON, got, unread, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("in JSON it reads otherwise (-JSON +protobuf):\n%s", diff)
		}
	}
	got.HasTenant = false // of explicit presence generated code knows nothing
	if k.op != a2a.ListTasks {
		got.HasPageSize = false
	}
	for _, on := range []**bool{&got.Blocking, &want.Blocking, &got.ReturnImmediately, &want.ReturnImmediately} {
		if *on != nil && !**on {
			*on = nil
		}
	}
	if diff := cmp.Diff(want, got, unread, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("ParseCall(%v) (-others +ours):\n%s", k, diff)
	}
}

func checkResult(t *testing.T, k messageKind, payload []byte) {
	t.Helper()
	if k.m == pb.Request {
		k.m = pb.Result
	}
	m, err := unmarshal(k, payload)
	checkPush(t, k, payload, m, err)
	got, fault := pb.ParseResult(k.v, k.op, k.m, payload)
	if fault != nil && !errors.Is(fault, a2a.ErrNotResult) {
		t.Fatalf("ParseResult: %v does not wrap ErrNotResult", fault)
	}
	if err != nil {
		return
	}
	want, why := outcome(m)
	if fault != nil {
		if why == "" {
			t.Fatalf("ParseResult(%v): %v; others read %+v", k, fault, want)
		}
		return
	}
	if why != "" {
		t.Fatalf("ParseResult(%v) = %+v, want an error (%s)", k, got, why)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("ParseResult(%v) (-others +ours):\n%s", k, diff)
	}
}

func checkTenant(t *testing.T, k messageKind, payload []byte, tenant string) {
	t.Helper()
	k.v, k.m = a2a.V10, pb.Request
	want := generated(k)
	if proto.Unmarshal(payload, want) != nil || strings.ToValidUTF8(tenant, "") != tenant {
		return
	}
	edited, err := pb.SetTenant(k.op, payload, tenant)
	if err != nil {
		t.Fatalf("SetTenant: %v", err)
	}
	got := generated(k)
	if err := proto.Unmarshal(edited, got); err != nil {
		t.Fatalf("SetTenant made what is no protobuf: %v", err)
	}
	if got := tenantOf(got); got != tenant {
		t.Fatalf("the tenant is %q, want %q", got, tenant)
	}
	setTenant(want, tenant)
	if q, ok := want.(*pb10.SendMessageRequest); ok {
		had := q.GetConfiguration().GetTaskPushNotificationConfig()
		has := got.(*pb10.SendMessageRequest).GetConfiguration().GetTaskPushNotificationConfig()
		if had.GetTenant() != "" && has.GetTenant() != tenant || has.GetTenant() != "" && has.GetTenant() != tenant {
			t.Fatalf("the tenant of the push config is %q, was %q, want %q", has.GetTenant(), had.GetTenant(), tenant)
		}
		if had != nil {
			had.Tenant = has.GetTenant()
		}
	}
	if !proto.Equal(got, want) {
		t.Fatalf("SetTenant changed more:\n got %v\nwant %v", got, want)
	}
}

// reading returns what generated code reads in a request, and why the gateway may refuse it.
func reading(m proto.Message) (a2a.Call, string) {
	var (
		c       a2a.Call
		why     string
		missing = func(text string) string {
			if text == "" {
				why = "missing"
			}
			return text
		}
		task = func(name string) string {
			id, ok := strings.CutPrefix(name, "tasks/")
			if !ok || id == "" || strings.Contains(id, "/") {
				why = "name"
			}
			return id
		}
	)
	switch q := m.(type) {
	case *pb10.SendMessageRequest:
		n, push := q.GetMessage(), q.GetConfiguration().GetTaskPushNotificationConfig()
		c = a2a.Call{
			MessageID: n.GetMessageId(), ContextID: n.GetContextId(), TaskID: n.GetTaskId(), Extensions: n.GetExtensions(),
			ReferenceTaskIDs: n.GetReferenceTaskIds(), Tenant: q.GetTenant(), ReturnImmediately: new(q.GetConfiguration().GetReturnImmediately()),
		}
		if n == nil {
			why = "missing"
		}
		if push != nil {
			c.Push = push10(push)
			if strings.Contains(push.GetTaskId()+push.GetTenant(), "\x00") {
				why = "NUL"
			}
		}
	case *pb03.SendMessageRequest:
		n, push := q.GetRequest(), q.GetConfiguration().GetPushNotification()
		c = a2a.Call{
			MessageID: n.GetMessageId(), ContextID: n.GetContextId(), TaskID: n.GetTaskId(), Extensions: n.GetExtensions(),
			ReferenceTaskIDs: n.GetReferenceTaskIds(), Blocking: new(q.GetConfiguration().GetBlocking()),
		}
		if n == nil {
			why = "missing"
		}
		if push != nil {
			c.Push = push03(push)
		}
	case *pb10.GetTaskRequest:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetId())}
	case *pb10.CancelTaskRequest:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetId())}
	case *pb10.SubscribeToTaskRequest:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetId())}
	case *pb10.ListTasksRequest:
		c = a2a.Call{Tenant: q.GetTenant(), ContextID: q.GetContextId(), PageSize: int(q.GetPageSize()), HasPageSize: q.PageSize != nil, PageToken: q.GetPageToken()}
	case *pb10.TaskPushNotificationConfig:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetTaskId()), PushConfigID: q.GetId(), Push: push10(q)}
	case *pb10.GetTaskPushNotificationConfigRequest:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetTaskId()), PushConfigID: q.GetId()}
	case *pb10.DeleteTaskPushNotificationConfigRequest:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetTaskId()), PushConfigID: q.GetId()}
	case *pb10.ListTaskPushNotificationConfigsRequest:
		c = a2a.Call{Tenant: q.GetTenant(), TaskID: missing(q.GetTaskId()), PageSize: int(q.GetPageSize()), PageToken: q.GetPageToken()}
	case *pb10.GetExtendedAgentCardRequest:
		c = a2a.Call{Tenant: q.GetTenant()}
	case *pb03.GetTaskRequest:
		c = a2a.Call{TaskID: task(q.GetName())}
	case *pb03.CancelTaskRequest:
		c = a2a.Call{TaskID: task(q.GetName())}
	case *pb03.TaskSubscriptionRequest:
		c = a2a.Call{TaskID: task(q.GetName())}
	case *pb03.ListTaskPushNotificationConfigRequest:
		c = a2a.Call{TaskID: task(q.GetParent()), PageSize: int(q.GetPageSize()), PageToken: q.GetPageToken()}
	case *pb03.CreateTaskPushNotificationConfigRequest:
		c = a2a.Call{TaskID: task(q.GetParent()), Push: push03(q.GetConfig().GetPushNotificationConfig())}
		if c.Push.ID == "" {
			c.Push.ID = q.GetConfigId()
		}
		c.PushConfigID = c.Push.ID
		if q.GetConfigId() != "" && q.GetConfigId() != c.PushConfigID || q.GetConfig().GetName() != "" {
			why = "may contradict itself"
		}
	case *pb03.GetTaskPushNotificationConfigRequest:
		c.TaskID, c.PushConfigID, why = configName(q.GetName())
	case *pb03.DeleteTaskPushNotificationConfigRequest:
		c.TaskID, c.PushConfigID, why = configName(q.GetName())
	}
	texts := append([]string{c.MessageID, c.ContextID, c.TaskID, c.Tenant, c.PageToken, c.PushConfigID}, append(c.Extensions, c.ReferenceTaskIDs...)...)
	if c.Push != nil {
		texts = append(texts, c.Push.ID, c.Push.URL)
	}
	if strings.Contains(strings.Join(texts, ""), "\x00") || c.Push != nil && c.Push.HasToken {
		why += "NUL"
	}
	for _, id := range append([]string{c.TaskID, c.ContextID}, c.ReferenceTaskIDs...) {
		if len(id) > a2a.MaxIDBytes {
			why += "long"
		}
	}
	return c, why
}

func push10(q *pb10.TaskPushNotificationConfig) *a2a.PushConfig {
	return &a2a.PushConfig{ID: q.GetId(), URL: q.GetUrl(), HasToken: q.GetToken() != "", HasAuthentication: q.GetAuthentication() != nil}
}

func push03(q *pb03.PushNotificationConfig) *a2a.PushConfig {
	return &a2a.PushConfig{ID: q.GetId(), URL: q.GetUrl(), HasToken: q.GetToken() != "", HasAuthentication: q.GetAuthentication() != nil}
}

// configName splits a name as a regular expression of SDKs does.
func configName(name string) (task, config, why string) {
	segments := strings.Split(name, "/")
	if len(segments) != 4 || segments[0] != "tasks" || segments[2] != "pushNotificationConfigs" || segments[1] == "" ||
		strings.HasSuffix(segments[1], "pushNotificationConfigs") {
		return "", "", "name"
	}
	return segments[1], segments[3], ""
}

func outcome(m proto.Message) (o a2a.Outcome, why string) {
	top := false
	type event interface{ GetContextId() string }
	var e event
	switch m := m.(type) {
	case *pb10.SendMessageResponse:
		e, o.Kind = pick(m.GetTask(), m.GetMessage(), (*pb10.TaskStatusUpdateEvent)(nil), (*pb10.TaskArtifactUpdateEvent)(nil))
	case *pb10.StreamResponse:
		e, o.Kind = pick(m.GetTask(), m.GetMessage(), m.GetStatusUpdate(), m.GetArtifactUpdate())
	case *pb03.SendMessageResponse:
		e, o.Kind = pick(m.GetTask(), m.GetMsg(), (*pb03.TaskStatusUpdateEvent)(nil), (*pb03.TaskArtifactUpdateEvent)(nil))
	case *pb03.StreamResponse:
		e, o.Kind = pick(m.GetTask(), m.GetMsg(), m.GetStatusUpdate(), m.GetArtifactUpdate())
	case *pb10.Task:
		e, o.Kind, top = m, a2a.Task, true
	case *pb03.Task:
		e, o.Kind, top = m, a2a.Task, true
	default:
		return a2a.Outcome{Kind: a2a.Other}, ""
	}
	if o.Kind == a2a.Other {
		return o, "nothing"
	}
	o.ContextID = e.GetContextId()
	state := int32(0)
	switch e := e.(type) {
	case *pb10.Task:
		o.TaskID, state = e.GetId(), int32(e.GetStatus().GetState())
	case *pb03.Task:
		o.TaskID, state = e.GetId(), int32(e.GetStatus().GetState())
	case *pb10.TaskStatusUpdateEvent:
		o.TaskID, state = e.GetTaskId(), int32(e.GetStatus().GetState())
	case *pb03.TaskStatusUpdateEvent:
		o.TaskID, state, o.Final = e.GetTaskId(), int32(e.GetStatus().GetState()), e.GetFinal()
	case interface{ GetTaskId() string }:
		o.TaskID = e.GetTaskId()
	}
	if state > 0 && state <= int32(a2a.StateAuthRequired) {
		o.State = a2a.State(state)
	}
	switch {
	case top && o.TaskID == "":
		return o, "no id"
	case strings.Contains(o.TaskID+o.ContextID, "\x00"):
		return o, "NUL"
	case len(o.TaskID) > a2a.MaxIDBytes || len(o.ContextID) > a2a.MaxIDBytes:
		return o, "long"
	}
	return o, ""
}

// pick returns the member of a oneof that is set.
func pick[T, M, S, A interface {
	comparable
	GetContextId() string
}](task T, message M, status S, artifact A) (interface{ GetContextId() string }, a2a.Kind) {
	var (
		noTask     T
		noMessage  M
		noStatus   S
		noArtifact A
	)
	switch {
	case task != noTask:
		return task, a2a.Task
	case message != noMessage:
		return message, a2a.Message
	case status != noStatus:
		return status, a2a.StatusUpdate
	case artifact != noArtifact:
		return artifact, a2a.ArtifactUpdate
	}
	return nil, a2a.Other
}

// checkPush checks what the gateway reads in answers about push configs.
func checkPush(t *testing.T, k messageKind, payload []byte, m proto.Message, refused error) {
	t.Helper()
	switch k.op {
	case a2a.CreatePushConfig, a2a.GetPushConfig:
		got, err := pb.ParsePushConfigID(k.v, payload)
		want := pushID(m)
		if refused == nil && err == nil && got != want {
			t.Fatalf("ParsePushConfigID = %q, others read %q", got, want)
		}
	case a2a.ListPushConfigs:
		got, err := pb.ParsePushConfigList(k.v, payload)
		if refused != nil || err != nil {
			return
		}
		var want a2a.PushConfigList
		switch m := m.(type) {
		case *pb10.ListTaskPushNotificationConfigsResponse:
			want.NextPageToken = m.GetNextPageToken()
			for _, c := range m.GetConfigs() {
				want.IDs = append(want.IDs, pushID(c))
			}
		case *pb03.ListTaskPushNotificationConfigResponse:
			want.NextPageToken = m.GetNextPageToken()
			for _, c := range m.GetConfigs() {
				want.IDs = append(want.IDs, pushID(c))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("ParsePushConfigList (-others +ours):\n%s", diff)
		}
	default:
	}
}

func pushID(m proto.Message) string {
	switch m := m.(type) {
	case *pb10.TaskPushNotificationConfig:
		return m.GetId()
	case *pb03.TaskPushNotificationConfig:
		id := m.GetPushNotificationConfig().GetId()
		if id == "" {
			_, id, _ = configName(m.GetName())
			if len(id) > a2a.MaxIDBytes || strings.Contains(id, "\x00") {
				id = ""
			}
		}
		return id
	}
	return fmt.Sprintf("%T", m)
}

func tenantOf(m proto.Message) string {
	fd := m.ProtoReflect().Descriptor().Fields().ByName("tenant")
	return m.ProtoReflect().Get(fd).String()
}
