package app

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// boundBodies makes request bodies keep up with a rate, as the data plane does for
// calls: nobody holds a connection by sending slowly. The bound is lifted at the end
// of the body, because the reply may be a stream.
func boundBodies(next http.Handler, grace time.Duration, rate int64, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		b := &boundedBody{
			ReadCloser: r.Body, control: http.NewResponseController(w), now: now, begun: now(), grace: grace, rate: rate, length: r.ContentLength,
		}
		b.extend()
		// A copy: net/http looks at the body of its own request to see whether what is left
		// of it could be taken for the next one, and then ends the connection.
		bounded := *r
		bounded.Body = b
		next.ServeHTTP(w, &bounded)
	})
}

type boundedBody struct {
	io.ReadCloser
	control *http.ResponseController
	now     func() time.Time
	begun   time.Time
	grace   time.Duration
	rate    int64
	length  int64 // -1 when not known
	read    int64
}

// extend sets the deadline that what was read so far has earned.
func (b *boundedBody) extend() {
	_ = b.control.SetReadDeadline(b.begun.Add(b.grace + time.Duration(b.read/b.rate)*time.Second))
}

// Read reads within the bound.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, io.EOF), b.read == b.length:
		_ = b.control.SetReadDeadline(time.Time{})
	case err == nil:
		b.extend()
	}
	return n, err
}
