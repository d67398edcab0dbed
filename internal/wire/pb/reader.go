package pb

import (
	"math"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// occurrence is one value of a field on the wire.
type occurrence struct {
	start, end int32 // of the value; of messages and strings without the length
	next       int32 // the next value of the same field, or -1
	field      uint8 // its place in the table
}

// found tells where the fields of one message stand: at first, and from there along next.
type found struct {
	first, last [maxFields]int32 // places in reader.occs + 1
	live        uint8            // the member of the oneof that is set: its place in the table + 1
}

// reader walks through a protobuf message without decoding it.
//
// A message is known by the first of its occurrences: if there are several, the message is all of them
// one behind the other, which is how protobuf merges.
type reader struct {
	v    a2a.Version
	data []byte
	occs []occurrence
	keys []mapKey
	out  []byte
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// maxOccurrences is how many values are noted at a time. Two bytes of a message can be a
// value, and noting one takes sixteen.
const maxOccurrences = 1 << 18

// root is the message that the data of a reader is.
const root int32 = 0

// newReader returns a reader over data, to be given back with release.
func newReader(v a2a.Version, data []byte) (*reader, error) {
	if len(data) > math.MaxInt32 {
		return nil, faultf("it is longer than %d bytes", math.MaxInt32)
	}
	r := readers.Get().(*reader) //nolint:forcetypeassert // the pool holds nothing else
	r.v, r.data = v, data
	r.occs = append(r.occs[:0], occurrence{end: int32(len(data)), next: -1})
	r.keys = r.keys[:0]
	return r, nil
}

func (r *reader) release() {
	r.data, r.out = nil, nil
	if cap(r.occs)*16 > keptBytes {
		r.occs = nil
	}
	if cap(r.keys)*16 > keptBytes {
		r.keys = nil
	}
	readers.Put(r)
}

// gather finds the fields of a message. What it appends to occs is the caller's to take away again.
func (r *reader) gather(head int32, t *table, f *found) error {
	for ; head >= 0; head = r.occs[head].next {
		at, end := int(r.occs[head].start), int(r.occs[head].end)
		for at < end {
			num, typ, n := protowire.ConsumeTag(r.data[at:end])
			if n < 0 || num > protowire.MaxValidNumber {
				return faultf("%s is malformed", t.name)
			}
			at += n
			place := t.at(num)
			if place < 0 || t.fields[place].wire != typ {
				n = protowire.ConsumeFieldValue(num, typ, r.data[at:end])
				if n < 0 {
					return faultf("%s is malformed", t.name)
				}
				at += n
				continue
			}
			from := at
			switch typ {
			case protowire.VarintType:
				_, n = protowire.ConsumeVarint(r.data[at:end])
			case protowire.Fixed64Type:
				_, n = protowire.ConsumeFixed64(r.data[at:end])
			default:
				var value []byte
				value, n = protowire.ConsumeBytes(r.data[at:end])
				from = at + n - len(value)
			}
			if n < 0 {
				return faultf("%s.%s is malformed", t.name, t.fields[place].proto)
			}
			at += n
			if err := r.keep(t, f, place, int32(from), int32(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep notes one value of a field.
func (r *reader) keep(t *table, f *found, place int, from, to int32) error {
	what := &t.fields[place]
	if what.kind == stringKind && what.shape != mapped && !utf8.Valid(r.data[from:to]) {
		return faultf("%s.%s is not UTF-8", t.name, what.proto)
	}
	if what.oneof && int(f.live) != place+1 {
		if f.live > 0 {
			f.first[f.live-1] = 0
		}
		f.live = uint8(place + 1)
	}
	at := int32(len(r.occs))
	switch {
	case f.first[place] == 0:
		f.first[place] = at + 1
	case what.shape == single && what.msg == nil && what.kind != valueKind && what.kind != timestampKind:
		last := &r.occs[f.last[place]-1] // the last one wins, in the place of the first
		last.start, last.end = from, to
		return nil
	default:
		r.occs[f.last[place]-1].next = at
	}
	f.last[place] = at + 1
	if len(r.occs) == maxOccurrences {
		return faultf("%s has too many values: at most %d are read", t.name, maxOccurrences)
	}
	r.occs = append(r.occs, occurrence{start: from, end: to, next: -1, field: uint8(place)})
	return nil
}

// varint returns the value of a field that is known to be one.
func (r *reader) varint(i int32) uint64 {
	n, _ := protowire.ConsumeVarint(r.data[r.occs[i].start:r.occs[i].end])
	return n
}

// view is a message whose fields have been found.
type view struct {
	r *reader
	t *table
	found
}

// open finds the fields of a message, which may be -1 for one that is empty.
func (r *reader) open(head int32, t *table) (view, error) {
	v := view{r: r, t: t}
	err := r.gather(head, t, &v.found)
	return v, err
}

// head returns the first value of a field by its name in the schema, or -1.
func (v *view) head(proto string) int32 {
	for i := range v.t.fields {
		if v.t.fields[i].proto == proto {
			return v.first[i] - 1
		}
	}
	return -1
}

// bytes returns a string, nil when there is none.
func (v *view) bytes(proto string) []byte {
	i := v.head(proto)
	if i < 0 {
		return nil
	}
	return v.r.bytes(i)
}

// varint returns an integer and whether it is there.
func (v *view) varint(proto string) (uint64, bool) {
	i := v.head(proto)
	if i < 0 {
		return 0, false
	}
	return v.r.varint(i), true
}
