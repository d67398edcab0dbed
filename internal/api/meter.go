package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/semaphore"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
)

const (
	// smallRequest is the size up to which requests are not counted, and what methods
	// that take no card read at most.
	smallRequest = 64 << 10
	// largeInFlight is the number of bytes of larger requests that are worked on at one
	// time: a message takes many times the memory that its bytes do.
	largeInFlight = 4 << 20
)

// meter bounds the memory that large requests take together. A request enters when it
// has shown its credential and its body is about to be read, and leaves when it is
// answered.
type meter struct {
	room *semaphore.Weighted
	// largest is what a request of unknown size counts as.
	largest int64
	// wait bounds how long a request waits for others to leave.
	wait time.Duration
}

func newMeter(largest int, wait time.Duration) *meter {
	room := max(largeInFlight, int64(largest))
	return &meter{room: semaphore.NewWeighted(room), largest: int64(largest), wait: wait}
}

// measure puts a body that enters the meter in the place of the request's; nil when the
// request is small. Its leave must be called.
func (m *meter) measure(r *http.Request) *meteredBody {
	b := &meteredBody{ReadCloser: r.Body, weight: m.largest}
	switch {
	case isCompressed(r.Header):
		// Nobody knows what it becomes.
	case r.ContentLength < 0:
		b.free = smallRequest
	case r.ContentLength <= smallRequest:
		return nil
	default:
		b.weight = min(r.ContentLength, m.largest)
	}
	ctx := r.Context()
	b.enter = func() *connect.Error {
		ctx, cancel := context.WithTimeout(ctx, m.wait)
		defer cancel()
		if err := m.room.Acquire(ctx, b.weight); err != nil {
			return fault.New(connect.CodeResourceExhausted, errorv1.Reason_REASON_BUSY,
				"the gateway is at work on other large requests; try again in a moment", nil)
		}
		return nil
	}
	b.exit = func() { m.room.Release(b.weight) }
	r.Body = b
	return b
}

// isCompressed tells whether a body becomes larger than it is sent. Messages of gRPC are
// compressed one by one, and streams of Connect too.
func isCompressed(header http.Header) bool {
	for _, name := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if encoding := header.Get(name); encoding != "" && encoding != "identity" {
			return true
		}
	}
	return false
}

// meteredBody is the body of one request. It is used by the goroutine that serves it.
type meteredBody struct {
	io.ReadCloser
	enter   func() *connect.Error
	exit    func()
	weight  int64
	free    int64 // how much may be read before it enters
	entered bool
	refused *connect.Error
}

// Read enters the meter when what is read is no longer little.
func (b *meteredBody) Read(p []byte) (int, error) {
	if !b.entered && b.free == 0 && b.refused == nil {
		b.refused = b.enter()
		b.entered = b.refused == nil
	}
	if b.refused != nil {
		return 0, b.refused
	}
	if !b.entered {
		p = p[:min(int64(len(p)), b.free)]
	}
	n, err := b.ReadCloser.Read(p)
	if !b.entered {
		b.free -= int64(n)
	}
	return n, err
}

// leave makes room for others.
func (b *meteredBody) leave() {
	if b.entered {
		b.entered = false
		b.exit()
	}
}
