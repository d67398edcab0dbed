package a2a

import (
	"testing"

	sdkpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// TestCardFields_AreThoseOfTheSchema compares the tables with the protocol's own schema.
func TestCardFields_AreThoseOfTheSchema(t *testing.T) {
	behavior, err := protoregistry.GlobalTypes.FindExtensionByName("google.api.field_behavior")
	if err != nil {
		t.Fatal(err)
	}
	required := func(f protoreflect.FieldDescriptor) bool {
		list := f.Options().ProtoReflect().Get(behavior.TypeDescriptor()).List()
		for i := range list.Len() {
			if list.Get(i).Enum() == 2 { // REQUIRED
				return true
			}
		}
		return false
	}
	var compare func(path string, m protoreflect.MessageDescriptor, fields []cardField)
	compare = func(path string, m protoreflect.MessageDescriptor, fields []cardField) {
		want := m.Fields().Len()
		if path == "card" {
			want-- // signatures
		}
		if len(fields) != want {
			t.Errorf("%s has %d members here and %d in the schema", path, len(fields), want)
		}
		for _, f := range fields {
			d := m.Fields().ByName(protoreflect.Name(snakeCase(f.name)))
			if d == nil || d.JSONName() != f.name {
				t.Errorf("%s has no %s in the schema", path, f.name)
				continue
			}
			var presence presence
			switch {
			case required(d):
				presence = always
			case d.ContainingOneof() != nil:
				presence = ifSet
			}
			if f.presence != presence {
				t.Errorf("%s.%s: presence %v, in the schema %v", path, f.name, f.presence, presence)
			}
			if kind := kindOf(d); f.kind != kind {
				t.Errorf("%s.%s: kind %v, in the schema %v", path, f.name, f.kind, kind)
			}
			switch {
			case f.fields == nil:
			case d.IsMap():
				compare(path+"."+f.name, d.MapValue().Message(), f.fields)
			default:
				compare(path+"."+f.name, d.Message(), f.fields)
			}
		}
	}
	compare("card", (&sdkpb.AgentCard{}).ProtoReflect().Descriptor(), cardFields)
}

func kindOf(d protoreflect.FieldDescriptor) fieldKind {
	isText := d.Kind() == protoreflect.StringKind
	switch {
	case d.IsMap() && d.MapValue().Kind() == protoreflect.StringKind:
		return textMapField
	case d.IsMap():
		return objectMapField
	case d.IsList() && isText:
		return textsField
	case d.IsList():
		return objectsField
	case isText:
		return textField
	case d.Kind() == protoreflect.BoolKind:
		return flagField
	case d.Message().FullName() == "google.protobuf.Struct":
		return opaqueField
	}
	return objectField
}
