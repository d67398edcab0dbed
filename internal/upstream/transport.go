package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Transport carries requests to agents: those of HTTP/2 without negotiation, which gRPC
// needs, over connections of their own. It follows no redirects, uses no proxy of the
// environment and leaves bodies as they come. Failures to connect are of type
// [*DialError].
type Transport struct {
	negotiated *http.Transport // HTTP/1.1, or HTTP/2 where the agent offers it over TLS
	http2      *http.Transport // HTTP/2 from the first byte
}

// NewTransport returns a transport that dials what the guard allows.
func NewTransport(g *Guard, maxHeaderBytes int64) *Transport {
	return newTransport(g, maxHeaderBytes, nil)
}

// newTransport is NewTransport with a configuration of TLS, which is copied; nil means
// what the machine trusts.
func newTransport(g *Guard, maxHeaderBytes int64, config *tls.Config) *Transport {
	t := &Transport{negotiated: newHTTPTransport(g, maxHeaderBytes), http2: newHTTPTransport(g, maxHeaderBytes)}
	if config != nil {
		// The standard library adds to it what it negotiates.
		t.negotiated.TLSClientConfig, t.http2.TLSClientConfig = config.Clone(), config.Clone()
	}
	t.http2.Protocols = new(http.Protocols)
	t.http2.Protocols.SetHTTP2(true)
	t.http2.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// writeBuffer is what a connection sends at once.
const writeBuffer = 4 << 10

func newHTTPTransport(g *Guard, maxHeaderBytes int64) *http.Transport {
	dialer := &net.Dialer{
		Timeout:        10 * time.Second,
		KeepAlive:      30 * time.Second,
		ControlContext: g.control,
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &DialError{Err: err}
			}
			return conn, nil
		},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// A connection that carries streams for hours must be known to be alive.
		HTTP2:           &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		WriteBufferSize: writeBuffer,
		ReadBufferSize:  4 << 10,
	}
}

// RoundTrip sends a request. One whose ProtoMajor is 2 goes over HTTP/2 whatever its
// scheme is.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.ProtoMajor == 2 {
		return t.http2.RoundTrip(req)
	}
	return t.negotiated.RoundTrip(req)
}

// CloseIdleConnections closes the connections that carry nothing.
func (t *Transport) CloseIdleConnections() {
	t.negotiated.CloseIdleConnections()
	t.http2.CloseIdleConnections()
}
