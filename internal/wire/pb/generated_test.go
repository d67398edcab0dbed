package pb_test

import (
	"bytes"
	"testing"

	pb03 "github.com/a2aproject/a2a-go/a2apb"
	pb10 "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// messageKind is a message of a call.
type messageKind struct {
	v  a2a.Version
	op a2a.Operation
	m  pb.Message
}

// kinds are all messages that a call may have.
var kinds = allKinds()

func allKinds() []messageKind {
	var kinds []messageKind
	for _, v := range []a2a.Version{a2a.V10, a2a.V03} {
		for op := a2a.SendMessage; op <= a2a.GetExtendedCard; op++ {
			for _, m := range []pb.Message{pb.Request, pb.Result, pb.Event} {
				if k := (messageKind{v, op, m}); a2a.MethodName(op, v) != "" && (m != pb.Event || op.Streaming()) {
					kinds = append(kinds, k)
				}
			}
		}
	}
	return kinds
}

// generated returns an empty message of the generated packages.
func generated(k messageKind) proto.Message {
	pick := func(old, now proto.Message) proto.Message {
		if k.v == a2a.V03 {
			return old
		}
		return now
	}
	if k.m == pb.Request {
		switch k.op {
		case a2a.SendMessage, a2a.SendStreamingMessage:
			return pick(new(pb03.SendMessageRequest), new(pb10.SendMessageRequest))
		case a2a.GetTask:
			return pick(new(pb03.GetTaskRequest), new(pb10.GetTaskRequest))
		case a2a.ListTasks:
			return new(pb10.ListTasksRequest)
		case a2a.CancelTask:
			return pick(new(pb03.CancelTaskRequest), new(pb10.CancelTaskRequest))
		case a2a.SubscribeToTask:
			return pick(new(pb03.TaskSubscriptionRequest), new(pb10.SubscribeToTaskRequest))
		case a2a.CreatePushConfig:
			return pick(new(pb03.CreateTaskPushNotificationConfigRequest), new(pb10.TaskPushNotificationConfig))
		case a2a.GetPushConfig:
			return pick(new(pb03.GetTaskPushNotificationConfigRequest), new(pb10.GetTaskPushNotificationConfigRequest))
		case a2a.ListPushConfigs:
			return pick(new(pb03.ListTaskPushNotificationConfigRequest), new(pb10.ListTaskPushNotificationConfigsRequest))
		case a2a.DeletePushConfig:
			return pick(new(pb03.DeleteTaskPushNotificationConfigRequest), new(pb10.DeleteTaskPushNotificationConfigRequest))
		default:
			return pick(new(pb03.GetAgentCardRequest), new(pb10.GetExtendedAgentCardRequest))
		}
	}
	switch k.op {
	case a2a.SendMessage:
		return pick(new(pb03.SendMessageResponse), new(pb10.SendMessageResponse))
	case a2a.SendStreamingMessage, a2a.SubscribeToTask:
		return pick(new(pb03.StreamResponse), new(pb10.StreamResponse))
	case a2a.GetTask, a2a.CancelTask:
		return pick(new(pb03.Task), new(pb10.Task))
	case a2a.ListTasks:
		return new(pb10.ListTasksResponse)
	case a2a.CreatePushConfig, a2a.GetPushConfig:
		return pick(new(pb03.TaskPushNotificationConfig), new(pb10.TaskPushNotificationConfig))
	case a2a.ListPushConfigs:
		return pick(new(pb03.ListTaskPushNotificationConfigResponse), new(pb10.ListTaskPushNotificationConfigsResponse))
	case a2a.DeletePushConfig:
		return new(emptypb.Empty)
	default:
		return pick(new(pb03.AgentCard), new(pb10.AgentCard))
	}
}

// unmarshal reads a payload as generated code does, less what is unknown to it.
func unmarshal(k messageKind, payload []byte) (proto.Message, error) {
	m := generated(k)
	err := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(payload, m)
	return m, err
}

// fillValues makes values null in which nothing is set, or a null of another number. JSON has one null.
func fillValues(m protoreflect.Message) {
	if value, ok := m.Interface().(*structpb.Value); ok {
		if _, null := value.GetKind().(*structpb.Value_NullValue); null || value.GetKind() == nil {
			value.Kind = &structpb.Value_NullValue{}
			return
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					fillValues(v.Message())
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				fillValues(v.List().Get(i).Message())
			}
		default:
			fillValues(v.Message())
		}
		return true
	})
}

func sameMessage(t *testing.T, what string, k messageKind, got, want proto.Message) {
	t.Helper()
	fillValues(got.ProtoReflect())
	fillValues(want.ProtoReflect())
	if !proto.Equal(got, want) {
		t.Fatalf("%s of %v:\n got %v\nwant %v", what, k, got, want)
	}
}

// hasCard tells the card of 0.3, whose JSON is not ProtoJSON.
func hasCard(k messageKind) bool {
	return k.v == a2a.V03 && k.op == a2a.GetExtendedCard && k.m == pb.Result
}

// asGenerated makes JSON such that generated code of 0.3 knows the name of a message's parts.
func asGenerated(k messageKind, payload []byte) []byte {
	if k.v == a2a.V03 {
		return bytes.ReplaceAll(payload, []byte(`"content"`), []byte(`"parts"`))
	}
	return payload
}

func protoJSON(k messageKind, payload []byte) (proto.Message, error) {
	m := generated(k)
	err := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(asGenerated(k, payload), m)
	return m, err
}
