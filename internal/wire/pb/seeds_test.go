package pb_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// oddities are JSON that writers of messages make and generated code does not.
var oddities = []string{
	`{"role":1,"parts":[{"text":"a"},{"raw":"_-8="},{"raw":"/+8"},{"data":null},{"data":[1,1.5,-0,1e30,"x",{"a":{}},[],null,true]}]}`,
	`{"message_id":"m","reference_task_ids":["a"],"contextId":null,"metadata":{"b":9007199254740993,"a":{"":[]}},"unknown":{"x":[1]}}`,
	`{"messageId":"\ud83d","messageId":"twice"}`,
	`{"role":"ROLE_FUTURE","parts":[null]}`,
	`{"parts":{"text":1},"role":1.5}`,
	`{"metadata":{"a":1e400}}`,
	`null`,
	`[]`,
	`{"role":"agent"`,
}

// payloads returns messages of a kind: one with every field set, one empty, and some that are cut, doubled or
// have fields that nobody knows.
func payloads(t testing.TB, k messageKind) [][]byte {
	t.Helper()
	m := generated(k)
	fill(m.ProtoReflect(), 0)
	full, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("marshal a full message of %v: %v", k, err)
	}
	unknown := protowire.AppendTag(nil, 99, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "unknown")
	unknown = append(unknown, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)...) // of another type
	explicit := []byte{}
	for i := range m.ProtoReflect().Descriptor().Fields().Len() {
		fd := m.ProtoReflect().Descriptor().Fields().Get(i)
		typ := protowire.BytesType
		if fd.Kind() == protoreflect.BoolKind || fd.Kind() == protoreflect.Int32Kind || fd.Kind() == protoreflect.EnumKind {
			typ = protowire.VarintType
		}
		explicit = append(protowire.AppendTag(explicit, fd.Number(), typ), 0)
	}
	double := append(append([]byte{}, full...), full...)
	return [][]byte{full, {}, append(unknown, full...), double, full[:len(full)/2], explicit}
}

// fill sets every field of a message, of oneofs the last member.
func fill(m protoreflect.Message, depth int) {
	if value, ok := m.Interface().(*structpb.Value); ok {
		made, _ := structpb.NewValue(map[string]any{"n": 1.5, "big": 1e21, "i": 7.0, "s": "x\"<é\u2028", "b": false, "z": nil, "l": []any{1.0, []any{}, map[string]any{}}})
		proto.Merge(value, made)
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsMap():
			value := m.NewField(fd)
			for _, key := range []string{"a", "b\"", ""} {
				element := value.Map().NewValue()
				if fd.MapValue().Message() != nil {
					fill(element.Message(), depth+1)
				} else {
					element = protoreflect.ValueOfString("v" + key)
				}
				value.Map().Set(protoreflect.ValueOfString(key).MapKey(), element)
			}
			m.Set(fd, value)
		case fd.IsList():
			value := m.NewField(fd)
			for range 2 {
				if fd.Message() != nil {
					fill(value.List().AppendMutable().Message(), depth+1)
				} else {
					value.List().Append(protoreflect.ValueOfString(string(fd.Name())))
				}
			}
			m.Set(fd, value)
		case fd.Message() != nil:
			value := m.NewField(fd)
			fill(value.Message(), depth+1)
			m.Set(fd, value)
		default:
			m.Set(fd, scalarOf(fd))
		}
	}
}

func scalarOf(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		switch fd.Name() {
		case "parent":
			return protoreflect.ValueOfString("tasks/t")
		case "name":
			if fd.ContainingMessage().Fields().Len() <= 2 {
				return protoreflect.ValueOfString("tasks/t/pushNotificationConfigs/id")
			}
		case "config_id":
			return protoreflect.ValueOfString("id")
		}
		return protoreflect.ValueOfString(string(fd.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 255, 62, 63})
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(12)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1770091506)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(fd.Enum().Values().Len() - 1).Number())
	default:
		return fd.Default()
	}
}

func setTenant(m proto.Message, tenant string) {
	fd := m.ProtoReflect().Descriptor().Fields().ByName("tenant")
	m.ProtoReflect().Set(fd, protoreflect.ValueOfString(tenant))
}
