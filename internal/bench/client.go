package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// errWrongReply marks a reply that was received and is not what was asked for.
var errWrongReply = errors.New("wrong reply")

const (
	dialTimeout  = 10 * time.Second
	maxReplyBody = 64 << 20
)

// framing says how the end of a body is found.
type framing int

const (
	framingLength framing = iota
	framingChunked
	framingClose
)

// client is one keep-alive HTTP/1.1 connection. It does only what the load
// generator needs, because the generator shares the machine with what it
// measures: net/http's transport costs several times as much per call.
type client struct {
	addr     string
	deadline time.Time
	br       *bufio.Reader
	sse      *bufio.Reader // over the body of a stream
	buf      []byte        // the body of the last reply
	line     []byte        // the line of a stream that did not fit sse
	dials    int

	// Of the reply being read.
	framing  framing
	left     int64 // of the body, or of the chunk
	inChunks bool  // a chunk was read, so a line end is due
	ended    bool
	last     bool // the server closes the connection afterwards

	mu      sync.Mutex
	conn    net.Conn
	aborted bool
}

// newClient returns a client that dials at its first call. Calls end in error
// after deadline.
func newClient(addr string, bufSize int, deadline time.Time) *client {
	c := &client{addr: addr, deadline: deadline, br: bufio.NewReaderSize(nil, bufSize)}
	c.sse = bufio.NewReaderSize(body{c}, 4<<10)
	return c
}

// connect dials if there is no usable connection.
func (c *client) connect(ctx context.Context) error {
	if c.conn != nil && !c.last {
		return nil
	}
	c.close()
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	if err := conn.SetDeadline(c.deadline); err != nil {
		return errors.Join(fmt.Errorf("set deadline: %w", err), conn.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		return errors.Join(net.ErrClosed, conn.Close())
	}
	c.conn = conn
	c.br.Reset(conn)
	c.last, c.ended = false, true
	c.dials++
	return nil
}

// abort ends the call in progress; it may be called by another goroutine.
func (c *client) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if c.conn != nil {
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	}
}

// close drops the connection.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // nothing is written that a failing close could lose
		c.conn = nil
	}
}

// send writes one request and reads the head of its reply. The status must be
// 200 and the content type the wanted one.
func (c *client) send(ctx context.Context, raw []byte, contentType string) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	if !c.ended {
		return errors.New("the reply before was not read to its end")
	}
	if _, err := c.conn.Write(raw); err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	status, got, err := c.readHead()
	if err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	if status == 200 && got == contentType {
		return nil
	}
	text, err := c.readBody()
	if err != nil {
		text = fmt.Appendf(nil, "(body unreadable: %v)", err)
	}
	return fmt.Errorf("%w: status %d, content type %q: %s", errWrongReply, status, got, excerpt(text))
}

// readHead reads status line and header fields, passing over interim replies.
func (c *client) readHead() (status int, contentType string, err error) {
	for {
		status, contentType, err = c.readOneHead()
		if err != nil || status >= 200 {
			return status, contentType, err
		}
	}
}

func (c *client) readOneHead() (status int, contentType string, err error) {
	line, err := c.readLine()
	if err != nil {
		return 0, "", err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, "", fmt.Errorf("%w: status line %s", errWrongReply, excerpt(line))
	}
	status, err = strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, "", fmt.Errorf("%w: status line %s", errWrongReply, excerpt(line))
	}
	c.framing, c.left, c.inChunks, c.ended = framingClose, 0, false, false
	c.last = line[7] == '0'
	for {
		line, err := c.readLine()
		if err != nil {
			return 0, "", err
		}
		if len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			return 0, "", fmt.Errorf("%w: header line %s", errWrongReply, excerpt(line))
		}
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "content-length"):
			if c.framing == framingChunked {
				return 0, "", fmt.Errorf("%w: both a length and chunks", errWrongReply)
			}
			c.framing = framingLength
			c.left, err = strconv.ParseInt(string(value), 10, 64)
			if err != nil || c.left < 0 {
				return 0, "", fmt.Errorf("%w: content length %q", errWrongReply, value)
			}
		case equalFold(name, "transfer-encoding"):
			if c.framing == framingLength || !equalFold(value, "chunked") {
				return 0, "", fmt.Errorf("%w: transfer encoding %q", errWrongReply, value)
			}
			c.framing = framingChunked
		case equalFold(name, "connection"):
			c.last = c.last || equalFold(value, "close")
		case equalFold(name, "content-encoding"):
			return 0, "", fmt.Errorf("%w: content encoding %q was not asked for", errWrongReply, value)
		case equalFold(name, "content-type"):
			mediaType, _, _ := bytes.Cut(value, []byte{';'})
			contentType = mediaTypeName(bytes.TrimSpace(mediaType))
		}
	}
	switch {
	case status == 204 || status == 304 || c.framing == framingLength && c.left == 0:
		c.ended = true
	case c.framing == framingClose && status >= 200:
		c.last = true
	}
	return status, contentType, nil
}

// mediaTypeName spares the usual two an allocation.
func mediaTypeName(b []byte) string {
	for _, known := range []string{"application/json", "text/event-stream"} {
		if equalFold(b, known) {
			return known
		}
	}
	return string(b)
}

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// readLine reads a line of the message's framing without its end.
func (c *client) readLine() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// readBody reads the rest of the body. The bytes are valid until the next call.
func (c *client) readBody() ([]byte, error) {
	c.buf = c.buf[:0]
	if c.framing == framingLength && !c.ended {
		if c.left > maxReplyBody {
			return nil, fmt.Errorf("%w: %d bytes", errWrongReply, c.left)
		}
		c.buf = append(c.buf, make([]byte, c.left)...)
		if _, err := io.ReadFull(c.br, c.buf); err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
		c.ended = true
		return c.buf, nil
	}
	for {
		if len(c.buf) > maxReplyBody {
			return nil, fmt.Errorf("%w: more than %d bytes", errWrongReply, maxReplyBody)
		}
		if len(c.buf) == cap(c.buf) {
			c.buf = append(c.buf, 0)[:len(c.buf)]
		}
		n, err := body{c}.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if errors.Is(err, io.EOF) {
			return c.buf, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
	}
}

// body reads what the framing of a client's reply delimits.
type body struct{ c *client }

// Read returns io.EOF only where the framing says that the body is complete.
func (b body) Read(p []byte) (int, error) {
	c := b.c
	if c.ended {
		return 0, io.EOF
	}
	if c.framing == framingChunked && c.left == 0 {
		if err := c.nextChunk(); err != nil {
			return 0, err
		}
		if c.ended {
			return 0, io.EOF
		}
	}
	if c.framing != framingClose {
		p = p[:min(int64(len(p)), c.left)]
	}
	n, err := c.br.Read(p)
	c.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && c.framing == framingClose:
		c.ended = true
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	case c.framing == framingLength && c.left == 0:
		c.ended = true
	}
	return n, err
}

// nextChunk reads the size line of a chunk and, after the last, the trailers.
func (c *client) nextChunk() error {
	if c.inChunks {
		if line, err := c.readLine(); err != nil {
			return err
		} else if len(line) > 0 {
			return fmt.Errorf("%w: chunk is longer than its size", errWrongReply)
		}
	}
	line, err := c.readLine()
	if err != nil {
		return err
	}
	size, _, _ := bytes.Cut(line, []byte{';'})
	c.left, err = parseHex(bytes.TrimSpace(size))
	if err != nil {
		return err
	}
	c.inChunks = true
	if c.left > 0 {
		return nil
	}
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			c.ended = true
			return nil
		}
	}
}

// parseHex reads a chunk size without the string that strconv would need.
func parseHex(b []byte) (int64, error) {
	var n int64
	if len(b) == 0 || len(b) > 8 {
		return 0, fmt.Errorf("%w: chunk size %q", errWrongReply, b)
	}
	for _, d := range b {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, fmt.Errorf("%w: chunk size %q", errWrongReply, b)
		}
		n = n<<4 | int64(d)
	}
	return n, nil
}

// nextEvent returns the data of the next server-sent event, or io.EOF after
// the last. The bytes are valid until the next call.
func (c *client) nextEvent() ([]byte, error) {
	c.buf = c.buf[:0]
	lines := 0
	for {
		line, err := c.streamLine()
		if errors.Is(err, io.EOF) && lines > 0 {
			return nil, fmt.Errorf("%w: the stream ended inside an event", errWrongReply)
		}
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if lines > 0 {
				return c.buf, nil
			}
			continue // after a comment, or an event without data
		}
		data, found := bytes.CutPrefix(line, []byte("data:"))
		if !found {
			continue
		}
		if lines > 0 {
			c.buf = append(c.buf, '\n')
		}
		c.buf = append(c.buf, bytes.TrimPrefix(data, []byte{' '})...)
		lines++
	}
}

// streamLine returns a line of the stream without its end.
func (c *client) streamLine() ([]byte, error) {
	line, err := c.sse.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		c.line = c.line[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(c.line) < maxReplyBody {
			c.line = append(c.line, line...)
			line, err = c.sse.ReadSlice('\n')
		}
		c.line = append(c.line, line...)
		line = c.line
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return nil, fmt.Errorf("%w: the stream ended inside a line", errWrongReply)
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// startStream must be called before the first nextEvent of a reply.
func (c *client) startStream() { c.sse.Reset(body{c}) }
