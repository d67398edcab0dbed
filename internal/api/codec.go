package api

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON refuses members that the message does not have, so that a misspelled
// field is an error instead of a setting that is silently not made.
type strictJSON struct{ name string }

var _ connect.Codec = strictJSON{}

// The names under which JSON is asked for; the codec is looked up by the whole of
// what follows "application/".
const (
	codecJSON     = "json"
	codecJSONUTF8 = "json; charset=utf-8"
)

// Name implements [connect.Codec].
func (c strictJSON) Name() string { return c.name }

// Marshal implements [connect.Codec].
func (c strictJSON) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend lets connect write into buffers that it keeps.
func (strictJSON) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", message)
	}
	return protojson.MarshalOptions{}.MarshalAppend(dst, m)
}

var errEmptyBody = errors.New(`the body is empty; send a JSON object, "{}" at least`)

// Unmarshal implements [connect.Codec].
func (strictJSON) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", message)
	}
	if len(data) == 0 {
		return errEmptyBody
	}
	return protojson.Unmarshal(data, m)
}

// withStrictJSON gives a handler the codec under both names.
func withStrictJSON() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(strictJSON{name: codecJSON}),
		connect.WithCodec(strictJSON{name: codecJSONUTF8}),
	)
}
