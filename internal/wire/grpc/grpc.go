// Package grpc reads and writes the gRPC binding of A2A over the types of net/http: paths, frames, metadata,
// time limits and statuses. It knows nothing of the messages inside the frames; package pb does.
//
// It is written by hand because a gateway passes messages on as the bytes they came in, and because one
// port serves it beside everything else.
package grpc

import (
	"errors"
	"mime"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// The services of the protocol. The one of version 0.3 has "v1" in its name.
const (
	Service10 = "lf.a2a.v1.A2AService"
	Service03 = "a2a.v1.A2AService"
)

// ContentType is the content type of requests and replies.
const ContentType = "application/grpc+proto"

// The names of metadata and headers, as HTTP/2 has them.
const (
	MetadataVersion      = "a2a-version"
	MetadataExtensions   = "a2a-extensions"
	MetadataExtensions03 = "x-a2a-extensions"
	MetadataAgent        = "x-signalbox-agent"

	headerStatus   = "Grpc-Status"
	headerMessage  = "Grpc-Message"
	headerDetails  = "Grpc-Status-Details-Bin"
	headerTimeout  = "Grpc-Timeout"
	headerEncoding = "Grpc-Encoding"
	headerAccept   = "Grpc-Accept-Encoding"
)

// ErrContentType is what the errors of [CheckContentType] wrap.
var ErrContentType = errors.New("not gRPC")

// Method returns the operation that the path of a request stands for.
func Method(path string) (a2a.Operation, a2a.Version, bool) {
	service, name, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || !strings.HasPrefix(path, "/") {
		return 0, 0, false
	}
	var v a2a.Version
	switch service {
	case Service10:
		v = a2a.V10
	case Service03:
		v = a2a.V03
	default:
		return 0, 0, false
	}
	for op := a2a.SendMessage; op <= a2a.GetExtendedCard; op++ {
		if known := methodName(op, v); known != "" && known == name {
			return op, v, true
		}
	}
	return 0, 0, false
}

// Known reports whether a path is that of one of the protocol's services, whatever its method.
func Known(path string) (a2a.Version, bool) {
	switch {
	case strings.HasPrefix(path, "/"+Service10+"/"):
		return a2a.V10, true
	case strings.HasPrefix(path, "/"+Service03+"/"):
		return a2a.V03, true
	}
	return 0, false
}

// Path returns the path of an operation, "" when the version does not have it.
func Path(op a2a.Operation, v a2a.Version) string {
	name := methodName(op, v)
	switch {
	case name == "":
		return ""
	case v == a2a.V03:
		return "/" + Service03 + "/" + name
	}
	return "/" + Service10 + "/" + name
}

// methodName returns the name of a method: that of JSON-RPC 1.0 but for those that 0.3 calls otherwise.
func methodName(op a2a.Operation, v a2a.Version) string {
	if v == a2a.V03 {
		switch op {
		case a2a.ListTasks:
			return ""
		case a2a.SubscribeToTask:
			return "TaskSubscription"
		case a2a.ListPushConfigs:
			return "ListTaskPushNotificationConfig"
		case a2a.GetExtendedCard:
			return "GetAgentCard"
		default:
		}
	}
	return a2a.MethodName(op, a2a.V10)
}

// IsGRPC reports whether a content type is one of gRPC, gRPC-Web included.
func IsGRPC(contentType string) bool {
	return strings.HasPrefix(strings.ToLower(contentType), "application/grpc")
}

// CheckContentType returns an error with a text for people when a content type is not application/grpc with
// messages of protobuf.
func CheckContentType(contentType string) error {
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && (kind == "application/grpc" || kind == ContentType):
		return nil
	case strings.HasPrefix(kind, "application/grpc-web"):
		return contentTypeError("gRPC-Web is not served; call with gRPC over HTTP/2, or use the JSON-RPC or HTTP+JSON binding")
	case strings.HasPrefix(kind, "application/grpc+"):
		return contentTypeError("messages must be protobuf: send content-type " + ContentType)
	}
	return contentTypeError("content-type is not " + ContentType)
}

type contentTypeError string

func (e contentTypeError) Error() string { return string(e) }

func (e contentTypeError) Unwrap() error { return ErrContentType }
