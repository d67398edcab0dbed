package upstream

import (
	"context"
	"net"
	"net/http"
	"time"
)

// NewTransport returns a transport that dials what the guard allows. It follows no
// redirects, uses no proxy of the environment and leaves bodies as they come.
// Failures to connect are of type [*DialError].
func NewTransport(g *Guard, maxHeaderBytes int64) *http.Transport {
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
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
}
