package demo

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// unknownSecret tells whether the gateway does not know a secret at all, unlike one
// whose key has expired or was disabled.
func unknownSecret(err error) bool {
	refusal, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return false
	}
	for _, d := range refusal.Details() {
		value, err := d.Value()
		if err != nil {
			continue // of a newer gateway
		}
		if info, ok := value.(*errdetails.ErrorInfo); ok {
			return info.GetReason() == "CREDENTIALS_INVALID"
		}
	}
	return false
}
