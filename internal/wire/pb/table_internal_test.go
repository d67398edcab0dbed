package pb

import (
	"fmt"
	"slices"
	"testing"

	pb03 "github.com/a2aproject/a2a-go/a2apb"
	pb10 "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// differences are where the tables leave the generated packages on purpose: release 0.3.0 calls the parts of a
// message content, and the card of 0.3 has the form of the well-known address.
var differences = []string{
	"a2a.v1.Message.content",
	"a2a.v1.Message.content in JSON: content",
	"a2a.v1.APIKeySecurityScheme.location in JSON: in",
	"a2a.v1.AgentCard.security_schemes as a tagged union",
	"a2a.v1.AgentCard.security as maps",
	"a2a.v1.AgentSkill.security as maps",
	"a2a.v1.Security.schemes to lists",
}

func TestTables_AreThoseOfTheSchemas(t *testing.T) {
	known := make(map[*table]bool)
	compareTable(t, known, valueTable, (*structpb.Value)(nil).ProtoReflect().Descriptor())
	compareTable(t, known, timestampTable, (*timestamppb.Timestamp)(nil).ProtoReflect().Descriptor())
	for _, tt := range []struct {
		v        a2a.Version
		file     protoreflect.FileDescriptor
		services int
	}{
		{a2a.V10, pb10.File_a2av1_proto, 11},
		{a2a.V03, pb03.File_a2a_proto, 10},
	} {
		methods := tt.file.Services().Get(0).Methods()
		checked := make(map[*table]bool)
		calls := 0
		for op := a2a.SendMessage; op <= a2a.GetExtendedCard; op++ {
			if a2a.MethodName(op, tt.v) == "" {
				continue
			}
			calls++
			method := methods.ByName(protoreflect.Name(rpcName(op, tt.v)))
			if method == nil {
				t.Fatalf("%s has no method %s", tt.file.FullName(), rpcName(op, tt.v))
			}
			for m, md := range map[Message]protoreflect.MessageDescriptor{Request: method.Input(), Result: method.Output()} {
				got, err := lookupTable(tt.v, op, m)
				if err != nil {
					t.Errorf("%s: %v", method.FullName(), err)
					continue
				}
				compareTable(t, checked, got, md)
			}
		}
		if calls != tt.services {
			t.Errorf("%s: compared %d methods, want %d", tt.file.FullName(), calls, tt.services)
		}
	}
}

func rpcName(op a2a.Operation, v a2a.Version) string {
	if v == a2a.V03 {
		switch op {
		case a2a.SubscribeToTask:
			return "TaskSubscription"
		case a2a.ListPushConfigs:
			return "ListTaskPushNotificationConfig"
		case a2a.GetExtendedCard:
			return "GetAgentCard"
		default:
		}
	}
	return op.String()
}

func compareTable(t *testing.T, checked map[*table]bool, got *table, md protoreflect.MessageDescriptor) {
	t.Helper()
	if checked[got] {
		return
	}
	checked[got] = true
	if got.name != string(md.Name()) {
		t.Errorf("table %q is used for %s", got.name, md.FullName())
	}
	if len(got.fields) > maxFields || len(got.fields) > 32 {
		t.Errorf("%s has too many fields", md.FullName())
	}
	var numbers []protoreflect.FieldNumber
	for i := range got.fields {
		f := &got.fields[i]
		numbers = append(numbers, f.num)
		fd := md.Fields().ByNumber(f.num)
		if fd == nil {
			t.Errorf("%s has no field %d", md.FullName(), f.num)
			continue
		}
		path := string(md.FullName()) + "." + f.proto
		note := func(same bool, difference string) {
			if !same && !slices.Contains(differences, difference) {
				t.Errorf("%s differs: %s", fd.FullName(), difference)
			}
		}
		note(f.proto == string(fd.Name()), path)
		note(f.name == fd.JSONName(), path+" in JSON: "+f.name)
		note(f.oneof == (fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic()), path+" in a oneof")
		compareShape(t, f, fd)
		value := fd
		if fd.IsMap() {
			value = fd.MapValue()
		}
		want, ok := kindOf(value)
		if !ok {
			t.Errorf("%s has a type without a kind", fd.FullName())
		}
		switch {
		case f.kind == schemeKind:
			note(false, path+" as a tagged union")
			want = schemeKind
		case f.kind == flatKind && f.msg == stringList03:
			note(false, path+" to lists")
			want = flatKind
		case f.kind == flatKind && f.msg == security03:
			note(false, path+" as maps")
			want = flatKind
		}
		if f.kind != want {
			t.Errorf("%s has kind %d, want %d", fd.FullName(), f.kind, want)
		}
		if f.msg != nil {
			compareTable(t, checked, f.msg, value.Message())
		}
	}
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); !slices.Contains(numbers, fd.Number()) {
			t.Errorf("the table lacks %s = %d", fd.FullName(), fd.Number())
		}
	}
}

func compareShape(t *testing.T, f *field, fd protoreflect.FieldDescriptor) {
	t.Helper()
	want := single
	switch {
	case fd.IsMap():
		want = mapped
		if fd.MapKey().Kind() != protoreflect.StringKind {
			t.Errorf("%s has keys that are no strings", fd.FullName())
		}
	case fd.IsList():
		want = repeated
	}
	if f.shape != want {
		t.Errorf("%s has shape %d, want %d", fd.FullName(), f.shape, want)
	}
}

func kindOf(fd protoreflect.FieldDescriptor) (kind, bool) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return stringKind, true
	case protoreflect.BytesKind:
		return bytesKind, true
	case protoreflect.BoolKind:
		return boolKind, true
	case protoreflect.Int32Kind:
		return int32Kind, true
	case protoreflect.Int64Kind:
		return int64Kind, true
	case protoreflect.DoubleKind:
		return doubleKind, true
	case protoreflect.EnumKind:
		switch fd.Enum().Name() {
		case "TaskState":
			return stateKind, true
		case "Role":
			return roleKind, true
		case "NullValue":
			return nullKind, true
		}
	case protoreflect.MessageKind:
		switch fd.Message().FullName() {
		case "google.protobuf.Struct", "google.protobuf.ListValue":
			return flatKind, true
		case "google.protobuf.Value":
			return valueKind, true
		case "google.protobuf.Timestamp":
			return timestampKind, true
		}
		return messageKind, true
	default:
	}
	return 0, false
}

func TestTables_EnumsAreThoseOfTheSchemas(t *testing.T) {
	for _, tt := range []struct {
		v           a2a.Version
		state, role protoreflect.EnumDescriptor
	}{
		{a2a.V10, pb10.TaskState(0).Descriptor(), pb10.Role(0).Descriptor()},
		{a2a.V03, pb03.TaskState(0).Descriptor(), pb03.Role(0).Descriptor()},
	} {
		for i := range tt.state.Values().Len() {
			value := tt.state.Values().Get(i)
			if got, want := string(appendState(nil, tt.v, int32(value.Number()))), fmt.Sprintf("%q", value.Name()); got != want {
				t.Errorf("state %d of %s is %s, want %s", value.Number(), tt.v, got, want)
			}
			if got, ok := parseState(string(value.Name())); !ok || got != int32(value.Number()) {
				t.Errorf("parseState(%s) = %d, %t", value.Name(), got, ok)
			}
		}
		for i := range tt.role.Values().Len() {
			value := tt.role.Values().Get(i)
			if got, want := string(appendRole(nil, int32(value.Number()))), fmt.Sprintf("%q", value.Name()); got != want {
				t.Errorf("role %d of %s is %s, want %s", value.Number(), tt.v, got, want)
			}
			if got, ok := parseRole(string(value.Name())); !ok || got != int32(value.Number()) {
				t.Errorf("parseRole(%s) = %d, %t", value.Name(), got, ok)
			}
		}
	}
}
