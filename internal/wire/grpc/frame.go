package grpc

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

var (
	// ErrTooLarge is returned for a message that is larger than the reader allows, compressed or not.
	ErrTooLarge = errors.New("message is larger than allowed")
	// ErrEncoding is returned for a message that is compressed in a way that is not read.
	ErrEncoding = errors.New("message is compressed in a way that is not supported")
	// ErrFrame is returned for what is not a sequence of frames.
	ErrFrame = errors.New("not a frame of gRPC")
	// ErrMessages is returned when a unary call or reply does not have exactly one message.
	ErrMessages = errors.New("not exactly one message")
)

// AcceptedEncodings is the value of the header that says which compressions a [Reader] undoes.
const AcceptedEncodings = "identity, gzip"

const (
	prefixSize = 5
	firstRead  = 32 << 10 // what is allocated on the word of a prefix alone
)

// AppendFrame appends a message with its prefix, not compressed.
func AppendFrame(dst, message []byte) []byte {
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(message)))
	return append(dst, message...)
}

// Reader reads the messages of a body.
type Reader struct {
	r        io.Reader
	encoding string
	max      int
	err      error
}

// NewReader returns a reader of messages of at most limit bytes each, before and after decompression. Encoding is
// the value of the header grpc-encoding, "" for none.
func NewReader(r io.Reader, encoding string, limit int) *Reader {
	return &Reader{r: r, encoding: encoding, max: limit}
}

// Next returns the next message, which is the caller's to keep. It returns [io.EOF] at the end of the body, and
// an error that wraps [io.ErrUnexpectedEOF] when that comes within a message. Errors stick.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	message, err := r.read()
	if err != nil {
		r.err = err
		return nil, err
	}
	return message, nil
}

func (r *Reader) read() ([]byte, error) {
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(r.r, prefix[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("reading the prefix of a message: %w", err)
	}
	if prefix[0] > 1 {
		return nil, fmt.Errorf("%w: its first byte is %d", ErrFrame, prefix[0])
	}
	if prefix[0] == 1 && r.encoding != "gzip" {
		return nil, fmt.Errorf("%w: grpc-encoding %.20q", ErrEncoding, r.encoding)
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	if size > int64(r.max) {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	message, err := readFull(r.r, int(size))
	if err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	if prefix[0] == 1 {
		return r.gunzip(message)
	}
	return message, nil
}

// readFull reads size bytes, allocating no more than twice of what has come.
func readFull(r io.Reader, size int) ([]byte, error) {
	buf := make([]byte, 0, min(size, firstRead))
	for len(buf) < size {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(size, 2*cap(buf)))
			copy(grown, buf)
			buf = grown
		}
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func (r *Reader) gunzip(message []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	out, err := io.ReadAll(io.LimitReader(zr, int64(r.max)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if len(out) > r.max {
		return nil, fmt.Errorf("%w: more than %d bytes without its compression", ErrTooLarge, r.max)
	}
	return out, nil
}

// ReadUnary returns the one message of a body. Errors about there being none or several wrap [ErrMessages].
func ReadUnary(r *Reader) ([]byte, error) {
	message, err := r.Next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: there is none", ErrMessages)
	}
	if err != nil {
		return nil, err
	}
	switch _, err := r.Next(); {
	case errors.Is(err, io.EOF):
		return message, nil
	case err != nil:
		return nil, err
	}
	return nil, fmt.Errorf("%w: there are several", ErrMessages)
}

// RequestError returns what a caller is answered whose request could not be read.
func RequestError(err error) *a2a.Error {
	e := &a2a.Error{
		Code: jsonrpc.CodeInvalidRequest, Reason: jsonrpc.ReasonInvalidRequest, Domain: a2a.GatewayDomain, Message: err.Error(),
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		e.Reason, e.GRPCStatus = "REQUEST_TOO_LARGE", a2a.GRPCResourceExhausted
	case errors.Is(err, ErrEncoding):
		e.GRPCStatus = a2a.GRPCUnimplemented
	case errors.Is(err, ErrMessages):
		e.GRPCStatus = a2a.GRPCInvalidArgument
	case errors.Is(err, ErrFrame):
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Message = "the request ended within a message"
	default:
		e.Message = "the request could not be read" // the cause may name addresses
	}
	return e
}
