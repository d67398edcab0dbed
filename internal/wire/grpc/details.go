package grpc

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// ErrStatus is what the errors about malformed statuses wrap.
var ErrStatus = errors.New("not a google.rpc.Status")

const (
	typePrefix = "type.googleapis.com/"
	structName = "google.protobuf.Struct"
	// maxNesting bounds how deep a Struct is followed.
	maxNesting = 64
)

// kind is what a field of a detail holds.
type kind uint8

const (
	text kind = iota
	texts
	number // int32 or int64
	duration
	message
	messages
	textMap // map<string, string>
)

type field struct {
	number protowire.Number
	name   string
	kind   kind
	of     *schema
}

// schema is a type of message.
type schema []field

// detail is a type that details have.
type detail struct {
	name   string
	fields schema
}

var (
	localized = schema{{1, "locale", text, nil}, {2, "message", text, nil}}
	link      = schema{{1, "description", text, nil}, {2, "url", text, nil}}
	field10   = schema{{1, "field", text, nil}, {2, "description", text, nil}, {3, "reason", text, nil}, {4, "localizedMessage", message, &localized}}
	quota     = schema{{1, "subject", text, nil}, {2, "description", text, nil}, {3, "apiService", text, nil}, {4, "quotaMetric", text, nil}, {5, "quotaId", text, nil}, {6, "quotaDimensions", textMap, nil}, {7, "quotaValue", number, nil}, {8, "futureQuotaValue", number, nil}}
	condition = schema{{1, "type", text, nil}, {2, "subject", text, nil}, {3, "description", text, nil}}

	// details are the types of google.rpc. A Struct is besides them, since its JSON is unlike theirs.
	details = [...]detail{
		{"google.rpc.ErrorInfo", schema{{1, "reason", text, nil}, {2, "domain", text, nil}, {3, "metadata", textMap, nil}}},
		{"google.rpc.BadRequest", schema{{1, "fieldViolations", messages, &field10}}},
		{"google.rpc.RetryInfo", schema{{1, "retryDelay", duration, nil}}},
		{"google.rpc.LocalizedMessage", localized},
		{"google.rpc.Help", schema{{1, "links", messages, &link}}},
		{"google.rpc.QuotaFailure", schema{{1, "violations", messages, &quota}}},
		{"google.rpc.PreconditionFailure", schema{{1, "violations", messages, &condition}}},
		{"google.rpc.RequestInfo", schema{{1, "requestId", text, nil}, {2, "servingData", text, nil}}},
		{"google.rpc.ResourceInfo", schema{{1, "resourceType", text, nil}, {2, "resourceName", text, nil}, {3, "owner", text, nil}, {4, "description", text, nil}}},
		{"google.rpc.DebugInfo", schema{{1, "stackEntries", texts, nil}, {2, "detail", text, nil}}},
	}
)

func lookup(name string) (schema, bool) {
	for _, d := range details {
		if d.name == name {
			return d.fields, true
		}
	}
	return nil, false
}

// EncodeStatus returns a google.rpc.Status. Details are objects of JSON with their @type; those of a type that is
// none of google.rpc's and no Struct are left out, and so are members that the type does not have.
func EncodeStatus(status int, text string, details [][]byte) []byte {
	var dst []byte
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(status))
	dst = appendText(dst, 2, text)
	for _, d := range details {
		name, value, ok := encodeDetail(d)
		if !ok {
			continue
		}
		var packed []byte
		packed = appendText(packed, 1, typePrefix+name)
		packed = appendMessage(packed, 2, value)
		dst = appendMessage(dst, 3, packed)
	}
	return dst
}

// DecodeStatus reads a google.rpc.Status. The details are as [EncodeStatus] takes them; those of other types are
// left out.
func DecodeStatus(raw []byte) (status int, text string, details [][]byte, err error) {
	err = eachField(raw, func(n protowire.Number, t protowire.Type, varint uint64, value []byte) {
		switch {
		case n == 1 && t == protowire.VarintType:
			status = int(int32(varint))
		case n == 2 && t == protowire.BytesType:
			text = strings.ToValidUTF8(string(value), "\ufffd")
		case n == 3 && t == protowire.BytesType:
			if d, ok := decodeAny(value); ok {
				details = append(details, d)
			}
		}
	})
	return status, text, details, err
}

// eachField calls read with every field of a message.
func eachField(raw []byte, read func(n protowire.Number, t protowire.Type, varint uint64, value []byte)) error {
	for len(raw) > 0 {
		n, t, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return ErrStatus
		}
		raw = raw[size:]
		var (
			varint uint64
			value  []byte
		)
		switch t {
		case protowire.VarintType:
			varint, size = protowire.ConsumeVarint(raw)
		case protowire.Fixed64Type:
			varint, size = protowire.ConsumeFixed64(raw)
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(raw)
		default:
			size = protowire.ConsumeFieldValue(n, t, raw)
		}
		if size < 0 {
			return ErrStatus
		}
		read(n, t, varint, value)
		raw = raw[size:]
	}
	return nil
}

func decodeAny(raw []byte) ([]byte, bool) {
	var (
		url   string
		value []byte
	)
	err := eachField(raw, func(n protowire.Number, t protowire.Type, _ uint64, v []byte) {
		switch {
		case n == 1 && t == protowire.BytesType:
			url = string(v)
		case n == 2 && t == protowire.BytesType:
			value = v
		}
	})
	if err != nil {
		return nil, false
	}
	name := url[strings.LastIndexByte(url, '/')+1:]
	dst := append([]byte(nil), `{"@type":"`+typePrefix...)
	if name == structName {
		dst = append(dst, structName+`","value":`...)
		dst, err = appendStruct(dst, value, maxNesting)
		return append(dst, '}'), err == nil
	}
	fields, ok := lookup(name)
	if !ok {
		return nil, false
	}
	dst = append(dst, name...)
	dst = append(dst, '"')
	dst, err = appendMembers(dst, fields, value)
	return append(dst, '}'), err == nil
}

// appendMembers appends the fields of a message as members of an object that has begun.
func appendMembers(dst []byte, fields schema, raw []byte) ([]byte, error) {
	values := make([][]byte, len(fields))
	var fault error
	err := eachField(raw, func(n protowire.Number, t protowire.Type, varint uint64, value []byte) {
		for i, f := range fields {
			want := protowire.BytesType
			if f.kind == number {
				want = protowire.VarintType
			}
			if f.number != n || t != want {
				continue
			}
			var err error
			if values[i], err = f.appendJSON(values[i], varint, value); err != nil {
				fault = err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for i, f := range fields {
		if values[i] == nil {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = jsonrpc.AppendString(dst, f.name)
		dst = append(dst, ':')
		dst = append(dst, values[i]...)
		switch f.kind {
		case texts, messages:
			dst = append(dst, ']')
		case textMap:
			dst = append(dst, '}')
		default:
		}
	}
	return dst, fault
}

// appendJSON appends the value of a field; lists and maps are left open.
func (f field) appendJSON(dst []byte, varint uint64, value []byte) ([]byte, error) {
	switch f.kind {
	case text:
		return jsonrpc.AppendString(nil, value), nil // the last one wins
	case number:
		return append(strconv.AppendInt([]byte{'"'}, int64(varint), 10), '"'), nil
	case duration:
		return decodeDuration(value)
	case message:
		out, err := appendMembers([]byte{'{'}, *f.of, value)
		return append(out, '}'), err
	case texts:
		return jsonrpc.AppendString(open(dst, '['), value), nil
	case messages:
		out, err := appendMembers([]byte{'{'}, *f.of, value)
		return append(append(open(dst, '['), out...), '}'), err
	case textMap:
		var name, entry []byte
		err := eachField(value, func(n protowire.Number, t protowire.Type, _ uint64, v []byte) {
			switch {
			case n == 1 && t == protowire.BytesType:
				name = v
			case n == 2 && t == protowire.BytesType:
				entry = v
			}
		})
		dst = jsonrpc.AppendString(open(dst, '{'), name)
		return jsonrpc.AppendString(append(dst, ':'), entry), err
	}
	return dst, nil
}

func open(dst []byte, bracket byte) []byte {
	if dst == nil {
		return []byte{bracket}
	}
	return append(dst, ',')
}

func decodeDuration(raw []byte) ([]byte, error) {
	var seconds, nanos int64
	err := eachField(raw, func(n protowire.Number, t protowire.Type, varint uint64, _ []byte) {
		switch {
		case n == 1 && t == protowire.VarintType:
			seconds = int64(varint)
		case n == 2 && t == protowire.VarintType:
			nanos = int64(int32(varint))
		}
	})
	if err != nil || nanos <= -1e9 || nanos >= 1e9 || seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0 || seconds == math.MinInt64 {
		return nil, ErrStatus
	}
	dst := []byte{'"'}
	if seconds < 0 || nanos < 0 {
		dst, seconds, nanos = append(dst, '-'), -seconds, -nanos
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	if nanos != 0 {
		fraction := strconv.FormatInt(1e9+nanos, 10)[1:]
		dst = append(append(dst, '.'), strings.TrimRight(fraction, "0")...)
	}
	return append(dst, 's', '"'), nil
}

// appendStruct appends a Struct as an object. Of two fields of a name the last one wins, as in every map of
// protobuf.
func appendStruct(dst, raw []byte, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, ErrStatus
	}
	var (
		names  []string
		values = map[string][]byte{}
		fault  error
	)
	err := eachField(raw, func(n protowire.Number, t protowire.Type, _ uint64, entry []byte) {
		if n != 1 || t != protowire.BytesType {
			return
		}
		var name string
		var value []byte
		err := eachField(entry, func(n protowire.Number, t protowire.Type, _ uint64, v []byte) {
			switch {
			case n == 1 && t == protowire.BytesType:
				name = string(v)
			case n == 2 && t == protowire.BytesType:
				value = v
			}
		})
		if err != nil {
			fault = err
		}
		if _, known := values[name]; !known {
			names = append(names, name)
		}
		values[name] = value
	})
	if err != nil || fault != nil {
		return nil, ErrStatus
	}
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonrpc.AppendString(dst, name)
		dst = append(dst, ':')
		if dst, err = appendValue(dst, values[name], depth-1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendValue appends a google.protobuf.Value. Of several kinds the last one wins.
func appendValue(dst, raw []byte, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, ErrStatus
	}
	out := []byte("null")
	var fault error
	err := eachField(raw, func(n protowire.Number, t protowire.Type, varint uint64, value []byte) {
		var err error
		switch {
		case n == 1 && t == protowire.VarintType:
			out = []byte("null")
		case n == 2 && t == protowire.Fixed64Type:
			out = formatNumber(math.Float64frombits(varint))
		case n == 3 && t == protowire.BytesType:
			out = jsonrpc.AppendString(nil, value)
		case n == 4 && t == protowire.VarintType:
			out = strconv.AppendBool(nil, varint != 0)
		case n == 5 && t == protowire.BytesType:
			out, err = appendStruct(nil, value, depth)
		case n == 6 && t == protowire.BytesType:
			out, err = appendList(nil, value, depth)
		}
		if err != nil {
			fault = err
		}
	})
	if err != nil || fault != nil {
		return nil, ErrStatus
	}
	return append(dst, out...), nil
}

func appendList(dst, raw []byte, depth int) ([]byte, error) {
	dst = append(dst, '[')
	var fault error
	err := eachField(raw, func(n protowire.Number, t protowire.Type, _ uint64, value []byte) {
		if n != 1 || t != protowire.BytesType || fault != nil {
			return
		}
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst, fault = appendValue(dst, value, depth-1)
	})
	if err != nil || fault != nil {
		return nil, ErrStatus
	}
	return append(dst, ']'), nil
}

// formatNumber writes a number as JSON. JSON has none that is not finite.
func formatNumber(f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null")
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(nil, f, format, -1, 64)
}
