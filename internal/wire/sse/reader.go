package sse

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// ErrEventTooLarge is returned for an event that is larger than the reader allows.
// The reader cannot be used any further.
var ErrEventTooLarge = errors.New("event is larger than allowed")

const (
	// firstBuffer is where a reader's buffer begins. Most events fit.
	firstBuffer = 4 << 10
	// idleBuffer is what a reader waits with for the next event: a stream may be silent for hours, and
	// there are many of them.
	idleBuffer = 256
	// emptyReads is how many reads in a row may return nothing.
	emptyReads = 100
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// buffers are those of firstBuffer bytes that no reader needs now.
var buffers = sync.Pool{New: func() any { return new([firstBuffer]byte) }}

// Item is an event or something else that stands between two blank lines.
type Item struct {
	// Raw is what arrived, up to and including the blank line. All Raw together are the stream, but that a
	// missing last blank line is there.
	Raw []byte
	// Comment says that this is no event but only a sign of life: comments, fields without data, a blank
	// line, or the LF of a CRLF whose CR ended the event before.
	Comment bool
	// Partial says that the stream ended before the blank line, so that the data may be cut off.
	Partial bool
	// Event is the event type, "message" when there is none.
	Event string
	// ID is the id that the event itself carries.
	ID string
	// Data is the data, its lines joined by LF. It is a part of Raw when there is one line.
	Data []byte
	// Lines is how many data lines there are.
	Lines int
}

// Reader cuts a stream into events. Lines may end in LF, CR or CRLF, all mixed.
type Reader struct {
	r   io.Reader
	max int
	err error // of r, or ErrEventTooLarge

	buf   []byte // buf[start:end] has been read and not yet returned
	start int    // where the current block begins
	line  int    // where the current line begins
	scan  int    // no line ends between line and here
	end   int
	lf    int // no LF stands between scan and here; an LF stands here unless it is end

	afterCR bool // the last byte taken was a CR at the end of the buffer, so that an LF belongs to it
	begun   bool // the first line has been seen

	block block
	idle  [idleBuffer]byte // where buf is while nothing is in it
}

// block is what is known of the event that is being read. Spans are relative to its beginning,
// since the buffer moves while it is read.
type block struct {
	event, id string
	data      span // the first data line
	lines     int
	joined    []byte // all data lines, when there are several
}

type span struct{ from, to int }

// NewReader returns a reader of events of at most maxEvent bytes each, framing included. It never
// buffers more than that.
func NewReader(r io.Reader, maxEvent int) *Reader {
	rd := new(Reader)
	rd.Reset(r, maxEvent)
	return rd
}

// Reset makes the reader read another stream from its beginning.
func (r *Reader) Reset(src io.Reader, maxEvent int) {
	r.release()
	*r = Reader{r: src, max: maxEvent}
}

// Next returns the next item. Its slices are valid until the next call. It waits for no byte that it does
// not need: an event is returned as soon as its blank line is there, even if that ends in a CR which an LF
// may follow. At the end of the stream it returns io.EOF; an event whose blank line is missing by then is
// returned before, if it has data.
func (r *Reader) Next() (Item, error) {
	for {
		if item, ok := r.parse(); ok {
			return item, nil
		}
		if r.err != nil {
			return r.finish()
		}
		if r.end-r.start >= r.max {
			r.err = ErrEventTooLarge
			return Item{}, r.err
		}
		r.fill()
	}
}

// Buffered reports whether Next will return without reading: a blank line stands in the buffer. It may
// say false when one with unusual line ends does.
func (r *Reader) Buffered() bool {
	rest := r.buf[r.start:r.end]
	return bytes.Contains(rest, []byte("\n\n")) || bytes.Contains(rest, []byte("\r\n\r\n"))
}

// parse goes through the lines in the buffer. It returns the item that the first blank line completes.
func (r *Reader) parse() (Item, bool) {
	for r.line < r.end {
		if r.afterCR {
			r.afterCR = false
			if r.buf[r.line] == '\n' {
				r.moveTo(r.line + 1)
				if r.line == r.start+1 {
					// The LF of a blank line that has been returned already: pass it on at once,
					// for peers that look for LF only.
					return r.take(Item{Comment: true}), true
				}
				continue
			}
		}
		at := r.lineEnd()
		if at < 0 {
			return Item{}, false
		}
		from := r.textStart(at)
		next := at + 1
		if r.buf[at] == '\r' {
			switch {
			case next == r.end:
				r.afterCR = true
			case r.buf[next] == '\n':
				next++
			}
		}
		r.moveTo(next)
		if from == at {
			return r.complete(), true
		}
		r.field(from, at)
	}
	return Item{}, false
}

// lineEnd returns where the current line ends, or -1. It remembers how far it has looked for either
// line end, so that no byte is looked at twice however the two are mixed.
func (r *Reader) lineEnd() int {
	if r.lf < r.scan {
		r.lf = r.scan
	}
	if r.lf == r.end || r.buf[r.lf] != '\n' {
		if n := bytes.IndexByte(r.buf[r.lf:r.end], '\n'); n >= 0 {
			r.lf += n
		} else {
			r.lf = r.end
		}
	}
	if n := bytes.IndexByte(r.buf[r.scan:r.lf], '\r'); n >= 0 {
		return r.scan + n
	}
	r.scan = r.lf
	if r.lf == r.end {
		return -1
	}
	return r.lf
}

// textStart returns where the text of the current line, which ends at the given place, begins.
func (r *Reader) textStart(end int) int {
	if r.begun {
		return r.line
	}
	r.begun = true
	if bytes.HasPrefix(r.buf[r.line:end], byteOrderMark) {
		return r.line + len(byteOrderMark)
	}
	return r.line
}

func (r *Reader) moveTo(next int) { r.line, r.scan = next, next }

// field takes in the field that stands in the buffer between two places.
func (r *Reader) field(from, to int) {
	name := r.buf[from:to]
	value := to
	if colon := bytes.IndexByte(name, ':'); colon >= 0 {
		name = name[:colon]
		value = from + colon + 1
		if value < to && r.buf[value] == ' ' {
			value++
		}
	}
	switch string(name) {
	case "data":
		r.addData(span{value - r.start, to - r.start})
	case "event":
		r.block.event = intern(r.buf[value:to])
	case "id":
		if bytes.IndexByte(r.buf[value:to], 0) < 0 {
			r.block.id = string(r.buf[value:to])
		}
	}
}

func (r *Reader) addData(line span) {
	b := &r.block
	b.lines++
	switch b.lines {
	case 1:
		b.data = line
		return
	case 2:
		b.joined = append(b.joined[:0], r.buf[r.start+b.data.from:r.start+b.data.to]...)
	}
	b.joined = append(b.joined, '\n')
	b.joined = append(b.joined, r.buf[r.start+line.from:r.start+line.to]...)
}

// complete returns the item that ends where the current line begins.
func (r *Reader) complete() Item {
	b := &r.block
	if b.lines == 0 {
		return r.take(Item{Comment: true})
	}
	item := Item{Event: b.event, ID: b.id, Lines: b.lines, Data: b.joined}
	if item.Event == "" {
		item.Event = "message"
	}
	if b.lines == 1 {
		item.Data = r.buf[r.start+b.data.from : r.start+b.data.to : r.start+b.data.to]
	}
	return r.take(item)
}

// take ends the current block where the current line begins.
func (r *Reader) take(item Item) Item {
	item.Raw = r.buf[r.start:r.line:r.line]
	r.start = r.line
	r.block = block{joined: r.block.joined[:0]}
	return item
}

// finish returns what is left at the end of the stream.
func (r *Reader) finish() (Item, error) {
	if r.start == r.end {
		r.shift(0)
		r.release()
		return Item{}, r.err
	}
	if !errors.Is(r.err, io.EOF) {
		return Item{}, r.err
	}
	if r.line < r.end {
		r.field(r.textStart(r.end), r.end)
	}
	if r.block.lines == 0 {
		r.start = r.end
		return Item{}, r.err
	}
	// A CR before the first of two LFs makes a CRLF with it, so the second is the blank line either way.
	tail := "\n\n"
	if r.buf[r.end-1] == '\n' {
		tail = "\n"
	}
	r.buf = append(r.buf[:r.end], tail...)
	r.end = len(r.buf)
	r.moveTo(r.end)
	item := r.complete()
	item.Partial = true
	return item, nil
}

// fill reads once. It keeps the error for when everything that came before it has been returned.
func (r *Reader) fill() {
	r.makeRoom()
	for range emptyReads {
		n, err := r.r.Read(r.buf[r.end:cap(r.buf)])
		r.end += n
		r.buf = r.buf[:r.end]
		if err != nil {
			r.err = err
			return
		}
		if n > 0 {
			return
		}
	}
	r.err = io.ErrNoProgress
}

func (r *Reader) makeRoom() {
	limit := max(r.max, 1)
	if r.start == r.end {
		r.shift(0)
		r.release()
		r.buf = r.idle[:0:min(idleBuffer, limit)]
		return
	}
	idle := cap(r.buf) <= idleBuffer // what is in it is the begin of more
	if r.end < cap(r.buf) && !idle {
		return
	}
	if r.start > 0 && !idle {
		r.shift(copy(r.buf, r.buf[r.start:r.end]))
		return
	}
	grown := r.larger(limit)
	from := r.buf[r.start:r.end]
	r.shift(copy(grown, from))
	r.buf = grown[:r.end]
}

// larger returns a buffer that is larger than that in use, if the limit allows.
func (r *Reader) larger(limit int) []byte {
	size := min(max(firstBuffer, 2*cap(r.buf)), limit)
	if size == firstBuffer {
		return buffers.Get().(*[firstBuffer]byte)[:]
	}
	return make([]byte, size)
}

// release lets go of the buffer, of which nothing is needed any more.
func (r *Reader) release() {
	if cap(r.buf) == firstBuffer {
		buffers.Put((*[firstBuffer]byte)(r.buf[:firstBuffer]))
	}
	r.buf = nil
	if cap(r.block.joined) > idleBuffer {
		r.block.joined = nil
	}
}

// shift accounts for the current block, of size bytes, having been moved to the front of the buffer.
func (r *Reader) shift(size int) {
	r.line -= r.start
	r.scan -= r.start
	r.lf = max(r.lf-r.start, 0)
	r.start, r.end = 0, size
	r.buf = r.buf[:size]
}

// intern returns an event type without allocating for those that agents use.
func intern(value []byte) string {
	switch string(value) {
	case "message":
		return "message"
	case "error":
		return "error"
	}
	return string(value)
}
