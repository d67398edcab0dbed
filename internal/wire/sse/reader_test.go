package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// readAll copies all items of a stream, up to its error.
func readAll(r *sse.Reader) ([]sse.Item, error) {
	var items []sse.Item
	for {
		item, err := r.Next()
		if err != nil {
			return items, err
		}
		item.Raw, item.Data = bytes.Clone(item.Raw), bytes.Clone(item.Data)
		items = append(items, item)
	}
}

func message(raw, data string, lines int) sse.Item {
	return sse.Item{Raw: []byte(raw), Event: "message", Data: []byte(data), Lines: lines}
}

func comment(raw string) sse.Item { return sse.Item{Raw: []byte(raw), Comment: true} }

func TestReader_CutsStreamsIntoItems(t *testing.T) {
	partial := message("data: x\n\n", "x", 1)
	partial.Partial = true
	partialCR := message("data: x\r\n\n", "x", 1)
	partialCR.Partial = true
	tests := []struct {
		name, stream string
		want         []sse.Item
	}{
		{"empty", "", nil},
		{"LF", "data: a\n\ndata: b\n\n", []sse.Item{message("data: a\n\n", "a", 1), message("data: b\n\n", "b", 1)}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []sse.Item{message("data: a\r\n\r\n", "a", 1), message("data: b\r\n\r\n", "b", 1)}},
		{"CR", "data: a\r\rdata: b\r\r", []sse.Item{message("data: a\r\r", "a", 1), message("data: b\r\r", "b", 1)}},
		{"mixed", "data: a\r\n\ndata: b\n\r\ndata: c\r\n\rdata: d\n\r", []sse.Item{
			message("data: a\r\n\n", "a", 1), message("data: b\n\r\n", "b", 1), message("data: c\r\n\r", "c", 1), message("data: d\n\r", "d", 1),
		}},
		{"several data lines", "data: {\ndata:   \"a\": 1\ndata: }\n\n", []sse.Item{message("data: {\ndata:   \"a\": 1\ndata: }\n\n", "{\n  \"a\": 1\n}", 3)}},
		{"no space", "data:a\n\n", []sse.Item{message("data:a\n\n", "a", 1)}},
		{"only one space is taken", "data:  a\n\n", []sse.Item{message("data:  a\n\n", " a", 1)}},
		{"empty data", "data\n\ndata:\n\n", []sse.Item{message("data\n\n", "", 1), message("data:\n\n", "", 1)}},
		{"two empty data lines", "data\ndata\n\n", []sse.Item{message("data\ndata\n\n", "\n", 2)}},
		{"colons in data", "data: a: b\n\n", []sse.Item{message("data: a: b\n\n", "a: b", 1)}},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []sse.Item{message("\xef\xbb\xbfdata: a\n\n", "a", 1)}},
		{"byte order mark later is text", "data: a\n\n\xef\xbb\xbfdata: b\n\n", []sse.Item{message("data: a\n\n", "a", 1), comment("\xef\xbb\xbfdata: b\n\n")}},
		{"event and id", "event: error\nid: 7\ndata: a\n\ndata: b\n\n", []sse.Item{
			{Raw: []byte("event: error\nid: 7\ndata: a\n\n"), Event: "error", ID: "7", Data: []byte("a"), Lines: 1},
			message("data: b\n\n", "b", 1),
		}},
		{"id with NUL is ignored", "id: a\x00\ndata: a\n\n", []sse.Item{message("id: a\x00\ndata: a\n\n", "a", 1)}},
		{"unknown fields", "retry: 5\nfoo\nDATA: x\n data: y\ndata: a\n\n", []sse.Item{message("retry: 5\nfoo\nDATA: x\n data: y\ndata: a\n\n", "a", 1)}},
		{"comments", ": ping\n\n:\r\n\r\n: a\ndata: x\n\n", []sse.Item{comment(": ping\n\n"), comment(":\r\n\r\n"), message(": a\ndata: x\n\n", "x", 1)}},
		{"an event type without data is no event", "event: x\n\ndata: a\n\n", []sse.Item{comment("event: x\n\n"), message("data: a\n\n", "a", 1)}},
		{"blank lines", "\n\r\n\rdata: a\n\n", []sse.Item{comment("\n"), comment("\r\n"), comment("\r"), message("data: a\n\n", "a", 1)}},
		{"no blank line at the end", "data: x\n", []sse.Item{partial}},
		{"no line end at the end", "data: x", []sse.Item{partial}},
		{"CR at the end", "data: x\r", []sse.Item{partialCR}},
		{"a comment at the end is dropped", "data: a\n\n: x", []sse.Item{message("data: a\n\n", "a", 1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(sse.NewReader(strings.NewReader(tt.stream), 1<<10))
			if !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			got, err = readAll(sse.NewReader(iotest.OneByteReader(strings.NewReader(tt.stream)), 1<<10))
			if !errors.Is(err, io.EOF) {
				t.Errorf("byte by byte: ended with %v", err)
			}
			compareMeaning(t, tt.want, got)
		})
	}
}

// compareMeaning compares streams that arrived in different pieces. An LF that came later than its CR may
// be an item of its own.
func compareMeaning(t *testing.T, want, got []sse.Item) {
	t.Helper()
	var wantRaw, gotRaw []byte
	events := func(items []sse.Item, raw *[]byte) []sse.Item {
		var events []sse.Item
		for _, item := range items {
			*raw = append(*raw, item.Raw...)
			if !item.Comment {
				item.Raw = nil
				events = append(events, item)
			}
		}
		return events
	}
	if diff := cmp.Diff(events(want, &wantRaw), events(got, &gotRaw)); diff != "" {
		t.Errorf("other events in other pieces: %s", diff)
	}
	if !bytes.Equal(wantRaw, gotRaw) {
		t.Errorf("other bytes in other pieces: %q and %q", wantRaw, gotRaw)
	}
}

// script is a reader that hands out one piece a time and fails the test when asked for more than it has.
type script struct {
	t      *testing.T
	pieces []string
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		s.t.Fatal("the reader waits for bytes that it does not need")
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	if s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestReader_NeverWaitsForMoreThanTheBlankLine(t *testing.T) {
	tests := []struct {
		name   string
		pieces []string
		want   []string
	}{
		{"LF", []string{"data: a\n\n"}, []string{"data: a\n\n"}},
		{"CR", []string{"data: a\r\r"}, []string{"data: a\r\r"}},
		{"CRLF", []string{"data: a\r\n\r\n"}, []string{"data: a\r\n\r\n"}},
		{"CRLF cut in its last LF", []string{"data: a\r\n\r", "\n"}, []string{"data: a\r\n\r", "\n"}},
		{"CRLF cut everywhere", []string{"data: a\r", "\n\r", "\ndata: b\r", "\n", "\r", "\n"}, []string{"data: a\r\n\r", "\n", "data: b\r\n\r", "\n"}},
		{"comment", []string{": ping\n\n"}, []string{": ping\n\n"}},
		{"blank line", []string{"\n"}, []string{"\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sse.NewReader(&script{t, tt.pieces}, 1<<10)
			for _, want := range tt.want {
				item, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if string(item.Raw) != want {
					t.Fatalf("got %q, want %q", item.Raw, want)
				}
			}
		})
	}
}

// endless repeats its text and counts what was taken of it.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[(e.read+i)%len(e.text)]
	}
	e.read += len(p)
	return len(p), nil
}

func TestReader_BoundsEvents(t *testing.T) {
	const limit = 10_000
	for _, text := range []string{"data: x", ":\n", "data:\r", "x"} {
		src := &endless{text: text}
		if _, err := readAll(sse.NewReader(src, limit)); !errors.Is(err, sse.ErrEventTooLarge) {
			t.Errorf("%q: ended with %v", text, err)
		}
		if src.read > limit {
			t.Errorf("%q: %d bytes were read", text, src.read)
		}
	}
	exact := "data: " + strings.Repeat("x", limit-8) + "\n\n"
	items, err := readAll(sse.NewReader(strings.NewReader(exact+exact), limit))
	if !errors.Is(err, io.EOF) || len(items) != 2 {
		t.Errorf("two events of exactly the limit: got %d, %v", len(items), err)
	}
	if _, err := readAll(sse.NewReader(strings.NewReader("data: a\n\ndata: x"+exact), limit)); !errors.Is(err, sse.ErrEventTooLarge) {
		t.Errorf("one byte over the limit ended with %v", err)
	}
}

func TestReader_PassesErrorsOnAfterWhatCameBefore(t *testing.T) {
	broken := errors.New("connection reset")
	r := sse.NewReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)), 100)
	items, err := readAll(r)
	if !errors.Is(err, broken) {
		t.Errorf("ended with %v", err)
	}
	if diff := cmp.Diff([]sse.Item{message("data: a\n\n", "a", 1)}, items); diff != "" {
		t.Error(diff)
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("the error does not stick: %v", err)
	}
}

func TestReader_ManyLargeEventsThroughOneReader(t *testing.T) {
	var stream bytes.Buffer
	var want []string
	for i := range 40 {
		data := strings.Repeat(string(rune('a'+i%26)), 1+i*i*97)
		want = append(want, data)
		stream.Write(sse.AppendEvent(nil, []byte(data)))
	}
	whole := bytes.Clone(stream.Bytes())
	r := sse.NewReader(strings.NewReader("data: rest of another stream"), 1<<20)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	r.Reset(&stream, 1<<20)
	items, err := readAll(r)
	if !errors.Is(err, io.EOF) || len(items) != len(want) {
		t.Fatalf("got %d events, %v", len(items), err)
	}
	var raw []byte
	for i, item := range items {
		if string(item.Data) != want[i] {
			t.Errorf("event %d differs", i)
		}
		raw = append(raw, item.Raw...)
	}
	if !bytes.Equal(raw, whole) {
		t.Error("the bytes differ")
	}
}

func TestAppend_WritesWhatTheReaderReads(t *testing.T) {
	for _, data := range []string{"", "a", "a\nb", "a\r\nb\rc\n", "\n", `{"x":1}`} {
		items, err := readAll(sse.NewReader(bytes.NewReader(sse.AppendEvent(nil, []byte(data))), 100))
		if !errors.Is(err, io.EOF) || len(items) != 1 {
			t.Fatalf("%q: %v, %v", data, items, err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n")
		if string(items[0].Data) != want {
			t.Errorf("wrote %q, read %q", data, items[0].Data)
		}
	}
	if got := string(sse.AppendComment([]byte("x"), "ka")); got != "x: ka\n\n" {
		t.Errorf("got %q", got)
	}
	if got := string(sse.AppendComment(nil, "a\ndata: b")); got != ": a\n: data: b\n\n" {
		t.Errorf("a comment can be broken out of: %q", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\n: ping\n\nevent: x\rdata: 1\rdata: 2\r\r"), byte(1), byte(2))
	f.Add([]byte("\xef\xbb\xbfid: 1\ndata\n\ndata: x"), byte(3), byte(1))
	f.Fuzz(func(t *testing.T, stream []byte, first, step byte) {
		const limit = 64
		whole, wholeErr := readAll(sse.NewReader(bytes.NewReader(stream), limit))
		pieces, piecesErr := readAll(sse.NewReader(&chunks{stream, int(first), int(step)}, limit))
		if !errors.Is(wholeErr, piecesErr) {
			t.Fatalf("one read ends with %v, several with %v", wholeErr, piecesErr)
		}
		compareMeaning(t, whole, pieces)
		var raw []byte
		for _, item := range whole {
			raw = append(raw, item.Raw...)
			if len(item.Raw) > limit+2 {
				t.Errorf("%d bytes in an item", len(item.Raw))
			}
			if item.Comment == (item.Lines > 0) {
				t.Errorf("comment %v with %d lines", item.Comment, item.Lines)
			}
		}
		if n := len(whole); n > 0 && whole[n-1].Partial {
			raw = bytes.TrimRight(raw, "\r\n")
			stream = bytes.TrimRight(stream, "\r\n")
			if !bytes.Equal(raw, stream) {
				t.Errorf("a completed stream differs: %q, %q", raw, stream)
			}
		}
		if !bytes.HasPrefix(stream, raw) {
			t.Errorf("the items are not the stream: %q, %q", raw, stream)
		}
	})
}

// chunks hands out a text in pieces whose sizes go up and down.
type chunks struct {
	text        []byte
	first, step int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	size := 1 + c.first%7
	c.first += 1 + c.step
	n := copy(p[:min(size, len(p))], c.text)
	c.text = c.text[n:]
	return n, nil
}

// looped repeats whole events.
type looped struct{ text, left []byte }

func (l *looped) Read(p []byte) (int, error) {
	if len(l.left) == 0 {
		l.left = l.text
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

func BenchmarkReader1KB(b *testing.B) {
	event := sse.AppendEvent(nil, bytes.Repeat([]byte("x"), 1<<10))
	r := sse.NewReader(&looped{text: event}, 1<<20)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestReader_BufferedMeansThatNextDoesNotRead(t *testing.T) {
	for name, stream := range map[string]string{"LF": "data: 1\n\ndata: 2\n\ndata: 3\n", "CRLF": "data: 1\r\n\r\ndata: 2\r\n\r\ndata: 3\r\n"} {
		reads := 0
		r := sse.NewReader(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 1 {
				return 0, io.EOF
			}
			return copy(p, stream), nil
		}), 1<<20)
		if _, err := r.Next(); err != nil || !r.Buffered() {
			t.Fatalf("%s: after the first of three events: buffered %v, %v", name, r.Buffered(), err)
		}
		if _, err := r.Next(); err != nil || reads != 1 {
			t.Fatalf("%s: Next read although an event was buffered, %v", name, err)
		}
		if r.Buffered() {
			t.Errorf("%s: half an event is called buffered", name)
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
