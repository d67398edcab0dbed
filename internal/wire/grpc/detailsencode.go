package grpc

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// encodeDetail returns the type and the bytes of a detail.
func encodeDetail(raw []byte) (name string, value []byte, ok bool) {
	name = detailType(raw)
	if name == structName {
		value, ok = encodeStructDetail(raw)
		return name, value, ok
	}
	fields, ok := lookup(name)
	if !ok {
		return "", nil, false
	}
	value, ok = encodeMembers(nil, fields, raw)
	return name, value, ok
}

func detailType(raw []byte) string {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenObject() {
		return ""
	}
	url := ""
	for s.Next() {
		if string(s.Name()) == "@type" {
			url, _ = jsonrpc.Unquote(s.Value())
			continue
		}
		s.Value()
	}
	return url[strings.LastIndexByte(url, '/')+1:]
}

// encodeStructDetail encodes what a detail has as its value. Some agents put the members of the Struct beside the
// type instead.
func encodeStructDetail(raw []byte) ([]byte, bool) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenObject() {
		return nil, false
	}
	var (
		value []byte
		flat  []byte
		ok    = true
	)
	for s.Next() {
		name := string(s.Name())
		member := s.Value()
		switch {
		case s.Err() != nil:
			return nil, false
		case name == "@type":
		case name == "value" && member[0] == '{':
			value = member
		default:
			if flat, ok = appendEntry(flat, name, member, maxNesting); !ok {
				return nil, false
			}
		}
	}
	if value == nil || flat != nil {
		if value != nil {
			flat, ok = appendEntry(flat, "value", value, maxNesting)
		}
		return flat, ok
	}
	return encodeStruct(nil, value, maxNesting)
}

func appendEntry(dst []byte, name string, value []byte, depth int) ([]byte, bool) {
	encoded, ok := encodeValue(value, depth)
	if !ok {
		return nil, false
	}
	entry := appendText(nil, 1, name)
	entry = appendMessage(entry, 2, encoded)
	return appendMessage(dst, 1, entry), true
}

// encodeStruct appends the fields of an object.
func encodeStruct(dst, raw []byte, depth int) ([]byte, bool) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if depth == 0 || !s.OpenObject() {
		return nil, false
	}
	for s.Next() {
		name := string(s.Name())
		value := s.Value()
		if s.Err() != nil {
			return nil, false
		}
		var ok bool
		if dst, ok = appendEntry(dst, name, value, depth-1); !ok {
			return nil, false
		}
	}
	return dst, s.Err() == nil
}

func encodeValue(raw []byte, depth int) ([]byte, bool) {
	if depth == 0 || len(raw) == 0 {
		return nil, false
	}
	switch raw[0] {
	case 'n':
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0), true
	case 't', 'f':
		return protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), protowire.EncodeBool(raw[0] == 't')), true
	case '"':
		text, _ := jsonrpc.Unquote(raw)
		return appendMessage(nil, 3, []byte(strings.ToValidUTF8(text, "\ufffd"))), true
	case '{':
		inner, ok := encodeStruct(nil, raw, depth)
		return appendMessage(nil, 5, inner), ok
	case '[':
		inner, ok := encodeList(raw, depth)
		return appendMessage(nil, 6, inner), ok
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), math.Float64bits(f)), err == nil
}

func encodeList(raw []byte, depth int) ([]byte, bool) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenArray() {
		return nil, false
	}
	var dst []byte
	for s.More() {
		value, ok := encodeValue(s.Value(), depth-1)
		if !ok {
			return nil, false
		}
		dst = appendMessage(dst, 1, value)
	}
	return dst, s.Err() == nil
}

// encodeMembers appends those members of an object that a type has. What has another form is left out.
func encodeMembers(dst []byte, fields schema, raw []byte) ([]byte, bool) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenObject() {
		return nil, false
	}
	for s.Next() {
		at := -1
		for i, f := range fields {
			if string(s.Name()) == f.name {
				at = i
			}
		}
		value := s.Value()
		if s.Err() != nil {
			return nil, false
		}
		if at >= 0 && !bytes.Equal(value, []byte("null")) {
			dst = fields[at].appendProto(dst, value)
		}
	}
	return dst, s.Err() == nil
}

func (f field) appendProto(dst, value []byte) []byte {
	switch f.kind {
	case text:
		if t, ok := jsonrpc.Unquote(value); ok {
			dst = appendText(dst, f.number, t)
		}
	case number:
		if n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64); err == nil {
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), uint64(n))
		}
	case duration:
		if d, ok := encodeDuration(value); ok {
			dst = appendMessage(dst, f.number, d)
		}
	case message:
		if inner, ok := encodeMembers(nil, *f.of, value); ok {
			dst = appendMessage(dst, f.number, inner)
		}
	case texts, messages:
		s := jsonrpc.NewReplyScanner(value)
		defer s.Release()
		if !s.OpenArray() {
			return dst
		}
		one := field{number: f.number, kind: text, of: f.of}
		if f.kind == messages {
			one.kind = message
		}
		for s.More() {
			element := s.Value()
			if s.Err() != nil {
				break
			}
			dst = one.appendProto(dst, element)
		}
	case textMap:
		s := jsonrpc.NewReplyScanner(value)
		defer s.Release()
		if !s.OpenObject() {
			return dst
		}
		for s.Next() {
			name := string(s.Name())
			raw := s.Value()
			if t, ok := jsonrpc.Unquote(raw); ok {
				dst = appendMessage(dst, f.number, appendText(appendText(nil, 1, name), 2, t))
			}
		}
	}
	return dst
}

// encodeDuration reads a duration such as "1.5s".
func encodeDuration(value []byte) ([]byte, bool) {
	t, ok := jsonrpc.Unquote(value)
	t, isSeconds := strings.CutSuffix(t, "s")
	if !ok || !isSeconds {
		return nil, false
	}
	whole, fraction, _ := strings.Cut(t, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 || strings.Trim(fraction, "0123456789") != "" {
		return nil, false
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64) // nothing but digits
	if strings.HasPrefix(whole, "-") {
		nanos = -nanos
	}
	dst := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(seconds))
	return protowire.AppendVarint(protowire.AppendTag(dst, 2, protowire.VarintType), uint64(nanos)), true
}

// appendText appends a field of text, which protobuf wants to be UTF-8, unless it is empty.
func appendText(dst []byte, n protowire.Number, t string) []byte {
	if t == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, n, protowire.BytesType), strings.ToValidUTF8(t, "\ufffd"))
}

func appendMessage(dst []byte, n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), value)
}
