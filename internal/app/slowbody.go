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
		r.Body = b
		next.ServeHTTP(w, r)
		if !b.done && r.ProtoMajor == 1 {
			// What was not read must not be taken for the next request: it comes now, or the
			// connection ends after the reply.
			_ = b.control.Flush()
			if _, _ = io.CopyN(io.Discard, b, leftOver); !b.done {
				panic(http.ErrAbortHandler)
			}
		}
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
	done    bool
}

// leftOver is how much of a body that nobody wanted is passed over.
const leftOver = 64 << 10

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
		b.done = true
		_ = b.control.SetReadDeadline(time.Time{})
	case err == nil:
		b.extend()
	}
	return n, err
}
