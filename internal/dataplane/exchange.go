package dataplane

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"time"
)

// exchange is one request and its reply. The stages see this and never an
// http.ResponseWriter, so that the HTTP engine under them can be replaced.
type exchange interface {
	// Context ends when the caller leaves.
	Context() context.Context
	// Method is the HTTP method.
	Method() string
	// Path is the escaped path.
	Path() string
	// Query returns the values of a query parameter.
	Query(name string) []string
	// RawQuery is the query as it was sent, without the question mark.
	RawQuery() string
	// ProtoMajor is the major version of HTTP.
	ProtoMajor() int
	// Header is the request's header.
	Header() http.Header
	// Host is the authority that the caller used, "host:port".
	Host() string
	// Origin is the scheme and authority that the caller used, "http://host:port".
	Origin() string
	// RemoteAddr is the caller's address with its port.
	RemoteAddr() string
	// TLS is the state of the connection; nil without TLS.
	TLS() *tls.ConnectionState
	// ContentLength is the length of the body, or -1.
	ContentLength() int64
	// Body is the request's body; never nil.
	Body() io.Reader
	// SetReadDeadline bounds reads of the body; the zero time lifts the bound.
	SetReadDeadline(t time.Time) error
	// SetWriteDeadline bounds writes of the reply; the zero time lifts the bound.
	SetWriteDeadline(t time.Time) error
	// ReplyHeader is the reply's header, to be changed before WriteStatus.
	ReplyHeader() http.Header
	// WriteStatus sends the reply's head.
	WriteStatus(status int)
	// Write sends a part of the reply's body.
	Write(p []byte) (int, error)
	// Flush sends what was written at once.
	Flush() error
}

// httpExchange is an exchange over net/http.
type httpExchange struct {
	w       http.ResponseWriter
	r       *http.Request
	control http.ResponseController
}

func newHTTPExchange(w http.ResponseWriter, r *http.Request) *httpExchange {
	return &httpExchange{w: w, r: r, control: *http.NewResponseController(w)}
}

func (x *httpExchange) Context() context.Context           { return x.r.Context() }
func (x *httpExchange) Method() string                     { return x.r.Method }
func (x *httpExchange) Path() string                       { return x.r.URL.EscapedPath() }
func (x *httpExchange) RawQuery() string                   { return x.r.URL.RawQuery }
func (x *httpExchange) ProtoMajor() int                    { return x.r.ProtoMajor }
func (x *httpExchange) Host() string                       { return x.r.Host }
func (x *httpExchange) Header() http.Header                { return x.r.Header }
func (x *httpExchange) RemoteAddr() string                 { return x.r.RemoteAddr }
func (x *httpExchange) TLS() *tls.ConnectionState          { return x.r.TLS }
func (x *httpExchange) ContentLength() int64               { return x.r.ContentLength }
func (x *httpExchange) Body() io.Reader                    { return x.r.Body }
func (x *httpExchange) SetReadDeadline(t time.Time) error  { return x.control.SetReadDeadline(t) }
func (x *httpExchange) SetWriteDeadline(t time.Time) error { return x.control.SetWriteDeadline(t) }
func (x *httpExchange) ReplyHeader() http.Header           { return x.w.Header() }
func (x *httpExchange) WriteStatus(status int)             { x.w.WriteHeader(status) }
func (x *httpExchange) Write(p []byte) (int, error)        { return x.w.Write(p) }
func (x *httpExchange) Flush() error                       { return x.control.Flush() }

func (x *httpExchange) Query(name string) []string {
	if x.r.URL.RawQuery == "" {
		return nil
	}
	return x.r.URL.Query()[name]
}

func (x *httpExchange) Origin() string {
	scheme := "http://"
	if x.r.TLS != nil {
		scheme = "https://"
	}
	return scheme + x.r.Host
}
