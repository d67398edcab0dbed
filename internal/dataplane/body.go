package dataplane

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

func checkContentType(h http.Header) *fault {
	value := h.Get("Content-Type")
	if value == "application/json" || isJSON(value) {
		if encoding := h.Get("Content-Encoding"); encoding == "" || strings.EqualFold(encoding, "identity") {
			return nil
		}
	}
	return &fault{
		status: http.StatusUnsupportedMediaType, code: codeContentType, reason: "CONTENT_TYPE_NOT_SUPPORTED",
		domain: domainProtocol, outcome: audit.Refused,
		message: fmt.Sprintf("content type %.60q is not taken; send application/json in UTF-8, not compressed", value),
	}
}

// isJSON tells whether a content type is one of requests in JSON.
func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	return err == nil && (media == "application/json" || media == "application/a2a+json") && (charset == "" || charset == "utf-8")
}

// eagerBody is how much of an announced body gets its memory at once: enough for most
// bodies, little enough for callers who announce and do not send.
const eagerBody = 128 << 10

// readBody reads the body within its bound. A body must keep up with a rate, so that
// slow callers do not hold connections.
func (c *call) readBody() *fault {
	limit := c.p.limits.RequestBytes
	length := c.x.ContentLength()
	if length > limit {
		return c.tooLarge()
	}
	// One byte more than announced, so that the end is seen without growing; but what
	// is only announced takes no memory yet.
	size := min(length, eagerBody)
	if size < 0 {
		size = 4 << 10
	}
	buf := make([]byte, 0, size+1)
	body := c.x.Body()
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		allowed := c.p.limits.BodyGrace + time.Duration(int64(len(buf))/c.p.limits.BodyRate)*time.Second
		if len(buf) > 0 { // the grace is set already
			// An engine without deadlines bounds slow bodies itself.
			_ = c.x.SetReadDeadline(c.start.Add(allowed))
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return c.tooLarge()
		}
		if err == nil {
			continue
		}
		c.body = buf
		c.opening.RequestBytes = int64(len(buf))
		switch {
		case errors.Is(err, io.EOF):
			_ = c.x.SetReadDeadline(time.Time{})
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			// The deadline stays, so that nobody waits for the rest of the body.
			c.endConnection()
			return &fault{
				status: http.StatusRequestTimeout, grpc: a2a.GRPCDeadlineExceeded,
				code: jsonrpc.CodeInvalidRequest, reason: "REQUEST_TIMEOUT", outcome: audit.Refused,
				message: fmt.Sprintf("the body came too slowly: %d bytes in %s", len(buf), allowed),
			}
		default:
			c.closing.CallerLeft = true
			return &fault{
				status: http.StatusBadRequest, code: jsonrpc.CodeInvalidRequest, reason: "MALFORMED_REQUEST", outcome: audit.Refused,
				message: "the body ended before its announced length",
			}
		}
	}
}

// endConnection ends the connection with the reply, because what is left of the body is
// not read. In HTTP/2 only the stream ends, which it does anyway: calls of others share
// the connection.
func (c *call) endConnection() {
	if c.x.ProtoMajor() < 2 {
		c.x.ReplyHeader().Set("Connection", "close")
	}
}

func (c *call) tooLarge() *fault {
	c.endConnection()
	return &fault{
		status: http.StatusRequestEntityTooLarge, grpc: a2a.GRPCResourceExhausted,
		code: jsonrpc.CodeInvalidRequest, reason: "REQUEST_TOO_LARGE", outcome: audit.Refused,
		message: fmt.Sprintf("the body is larger than %d bytes; pass large files by url", c.p.limits.RequestBytes),
	}
}
