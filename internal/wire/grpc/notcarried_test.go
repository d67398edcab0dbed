package grpc_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
)

// The data of an error of 0.3 is a Struct in gRPC, whose numbers are doubles.
func TestStructs_NumbersOfErrorDataAreDoubles(t *testing.T) {
	const kind = `{"@type":"type.googleapis.com/google.protobuf.Struct","value":`
	_, _, details, err := grpc.DecodeStatus(grpc.EncodeStatus(5, "", [][]byte{[]byte(kind + `{"n":9007199254740993,"d":1.50}}`)}))
	if err != nil || len(details) != 1 {
		t.Fatalf("%s, %v", details, err)
	}
	if got, want := string(details[0]), kind+`{"n":9007199254740992,"d":1.5}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
