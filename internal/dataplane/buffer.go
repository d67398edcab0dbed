package dataplane

import (
	"bytes"
	"sync"
)

// keepBuffer is the largest buffer that is kept for the next reply.
const keepBuffer = 1 << 20

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

// putBuffer gives a buffer back, unless the engine may still be writing from it.
func (c *call) putBuffer(b *bytes.Buffer) {
	if c.bodyKept || b.Cap() > keepBuffer {
		return
	}
	b.Reset()
	buffers.Put(b)
}
