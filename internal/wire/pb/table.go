package pb

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxFields is how many fields a table may have.
const maxFields = 20

// kind is what a field holds.
type kind uint8

const (
	stringKind kind = 1 + iota
	bytesKind
	boolKind
	int32Kind
	int64Kind
	doubleKind
	stateKind
	roleKind
	nullKind
	messageKind
	flatKind      // a message that JSON writes as its only field: Struct, ListValue, lists of scopes
	valueKind     // google.protobuf.Value
	timestampKind // google.protobuf.Timestamp
	schemeKind    // a security scheme of version 0.3, which JSON tells by its type
)

func (k kind) wireType() protowire.Type {
	switch k {
	case boolKind, int32Kind, int64Kind, stateKind, roleKind, nullKind:
		return protowire.VarintType
	case doubleKind:
		return protowire.Fixed64Type
	default:
		return protowire.BytesType
	}
}

// shape is how often a field may stand.
type shape uint8

const (
	single shape = iota
	repeated
	mapped // by strings
)

// field is one field of a message.
type field struct {
	num   protowire.Number
	proto string   // its name in the schema
	name  string   // its name in JSON
	also  []string // other names that JSON may have for it
	kind  kind
	shape shape
	oneof bool   // of the only oneof of its message
	msg   *table // of kinds that are messages
	typ   string // what a security scheme of version 0.3 calls its type

	key   string // the name in JSON with quotes and colon
	wire  protowire.Type
	entry *table // of mapped fields: the entry without its key
}

// table lists the fields of a message.
type table struct {
	name   string // in the schema
	fields []field
	index  [32]uint8 // by number: the place in fields + 1
}

// at returns the place of a field in the table, or -1.
func (t *table) at(num protowire.Number) int {
	if num < protowire.Number(len(t.index)) {
		return int(t.index[num]) - 1
	}
	return -1
}

// lookup returns the place of a field by a name of JSON, or -1.
func (t *table) lookup(name []byte) int {
	for i := range t.fields {
		if f := &t.fields[i]; string(name) == f.name {
			return i
		}
	}
	for i := range t.fields {
		f := &t.fields[i]
		if string(name) == f.proto || slices.Contains(f.also, string(name)) {
			return i
		}
	}
	return -1
}

func newTable(name string, fields ...field) *table {
	t := &table{name: name, fields: fields}
	for i := range fields {
		f := &fields[i]
		if f.name == "" {
			f.name = camel(f.proto)
		}
		f.key = `"` + f.name + `":`
		f.wire = f.kind.wireType()
		if f.shape != single {
			f.wire = protowire.BytesType // no list of A2A is of numbers, so none is packed
		}
		if f.shape == mapped {
			f.entry = newTable(name+"."+f.name, field{num: 2, proto: "value", kind: f.kind, msg: f.msg})
		}
		t.index[f.num] = uint8(i + 1)
	}
	return t
}

// camel returns the name that ProtoJSON makes of a name of the schema.
func camel(proto string) string {
	words := strings.Split(proto, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

func text(num protowire.Number, proto string) field {
	return field{num: num, proto: proto, kind: stringKind}
}

func flag(num protowire.Number, proto string) field {
	return field{num: num, proto: proto, kind: boolKind}
}

func integer(num protowire.Number, proto string) field {
	return field{num: num, proto: proto, kind: int32Kind}
}

func message(num protowire.Number, proto string, msg *table) field {
	return field{num: num, proto: proto, kind: messageKind, msg: msg}
}

func object(num protowire.Number, proto string) field {
	return field{num: num, proto: proto, kind: flatKind, msg: structTable}
}

func scalar(num protowire.Number, proto string, k kind) field {
	return field{num: num, proto: proto, kind: k}
}

func list(f field) field {
	f.shape = repeated
	return f
}

func dict(f field) field {
	f.shape = mapped
	return f
}

// as gives a field another name in JSON than that of the schema.
func (f field) as(name string, also ...string) field {
	f.name, f.also = name, also
	return f
}

// typed gives a security scheme of version 0.3 its type.
func (f field) typed(typ string) field {
	f.typ = typ
	return f
}

// oneof marks fields of which at most one is set.
func oneof(fields ...field) []field {
	for i := range fields {
		fields[i].oneof = true
	}
	return fields
}

func with(fields []field, more ...field) []field { return append(fields, more...) }

// The well-known types. A Value contains itself, so its lists and structs are known by kind alone.
var (
	structTable    = newTable("Struct", dict(field{num: 1, proto: "fields", kind: valueKind}))
	listValueTable = newTable("ListValue", list(field{num: 1, proto: "values", kind: valueKind}))
	valueTable     = newTable("Value", oneof(
		scalar(valueNull, "null_value", nullKind),
		scalar(valueNumber, "number_value", doubleKind),
		text(valueString, "string_value"),
		flag(valueBool, "bool_value"),
		structField, listField,
	)...)
	structField    = object(valueStruct, "struct_value")
	listField      = field{num: valueList, proto: "list_value", kind: flatKind, msg: listValueTable}
	timestampTable = newTable("Timestamp", scalar(1, "seconds", int64Kind), integer(2, "nanos"))
	emptyTable     = newTable("Empty")
)

// The fields of Value.
const (
	valueNull protowire.Number = 1 + iota
	valueNumber
	valueString
	valueBool
	valueStruct
	valueList
)
