// Package sse reads and writes server-sent events.
//
// The reader is made for forwarding: it gives each event together with the exact bytes that it arrived
// in, as soon as its blank line is there. It does not reconnect and gives no meaning to ids.
package sse

import "bytes"

// AppendEvent appends an event with the given data: a data line for each line of it, and the blank line.
func AppendEvent(dst, data []byte) []byte {
	return append(appendLines(dst, "data: ", data), '\n')
}

// AppendComment appends a comment, which keeps a connection alive and means nothing to its reader.
func AppendComment[S ~[]byte | ~string](dst []byte, text S) []byte {
	return append(appendLines(dst, ": ", []byte(text)), '\n')
}

func appendLines(dst []byte, prefix string, text []byte) []byte {
	for {
		end := bytes.IndexAny(text, "\r\n")
		dst = append(dst, prefix...)
		if end < 0 {
			dst = append(dst, text...)
			return append(dst, '\n')
		}
		dst = append(dst, text[:end]...)
		dst = append(dst, '\n')
		if text[end] == '\r' && end+1 < len(text) && text[end+1] == '\n' {
			end++
		}
		text = text[end+1:]
	}
}
