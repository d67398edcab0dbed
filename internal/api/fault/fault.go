// Package fault writes refusals of the management plane: Connect errors that carry
// a reason for programs beside the text for people.
package fault

import (
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
)

// Domain is the domain of every reason.
const Domain = "signalbox.dev"

// Name returns a reason as it travels, without the prefix of its enum.
func Name(reason errorv1.Reason) string { return strings.TrimPrefix(reason.String(), "REASON_") }

// New makes an error with a reason. Metadata may be nil.
func New(code connect.Code, reason errorv1.Reason, text string, metadata map[string]string) *connect.Error {
	err := connect.NewError(code, errors.New(text))
	Add(err, reason, metadata)
	return err
}

// Add gives an error its reason.
func Add(err *connect.Error, reason errorv1.Reason, metadata map[string]string) {
	detail, detailErr := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: Name(reason), Domain: Domain, Metadata: metadata})
	if detailErr != nil {
		// Only text that is not UTF-8 cannot be written. The reason matters more.
		if detail, detailErr = connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: Name(reason), Domain: Domain}); detailErr != nil {
			return
		}
	}
	err.AddDetail(detail)
}

// Info returns the reason that an error carries.
func Info(err *connect.Error) (*errdetails.ErrorInfo, bool) {
	for _, detail := range err.Details() {
		value, valueErr := detail.Value()
		if valueErr != nil {
			continue
		}
		if info, ok := value.(*errdetails.ErrorInfo); ok {
			return info, true
		}
	}
	return nil, false
}
