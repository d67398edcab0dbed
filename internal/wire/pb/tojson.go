package pb

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// linearKeys is how many keys of a map are compared one by one before there is an index.
const linearKeys = 16

// ToJSON returns the JSON of a message: of version 1.0 the ProtoJSON of lf.a2a.v1, of 0.3 that of a2a.v1,
// except for the card, whose security schemes have the form of the well-known address.
//
// Members stand in the order of the fields, a field that occurs more than once where it occurs first. What
// is explicit on the wire is written, defaults too; what is not there stays away. The JSON is nested no
// deeper than [jsonrpc.MaxDepth], and its length is at most a small multiple of that of the payload.
func ToJSON(v a2a.Version, op a2a.Operation, m Message, payload []byte) ([]byte, error) {
	t, err := lookupTable(v, op, m)
	if err != nil {
		return nil, err
	}
	r, err := newReader(v, payload)
	if err != nil {
		return nil, err
	}
	defer r.release()
	r.out = make([]byte, 0, len(payload)+len(payload)/3+256) // of base64, and names
	if err := r.object(root, t, 1); err != nil {
		return nil, err
	}
	return r.out, nil
}

// object writes a message. Depth is how deep it is nested, from 1.
func (r *reader) object(head int32, t *table, depth int) error {
	if err := checkDepth(depth); err != nil {
		return err
	}
	r.out = append(r.out, '{')
	if err := r.members(head, t, depth, false); err != nil {
		return err
	}
	r.out = append(r.out, '}')
	return nil
}

// members writes the members of a message, with a comma before the first one if others stand before.
func (r *reader) members(head int32, t *table, depth int, comma bool) error {
	base := len(r.occs)
	v, err := r.open(head, t)
	if err != nil {
		return err
	}
	for i, end := base, len(r.occs); i < end; i++ {
		place := r.occs[i].field
		if v.first[place] != int32(i)+1 {
			continue
		}
		if comma {
			r.out = append(r.out, ',')
		}
		comma = true
		r.out = append(r.out, t.fields[place].key...)
		if err := r.field(&t.fields[place], int32(i), depth); err != nil {
			return err
		}
	}
	r.occs = r.occs[:base]
	return nil
}

// field writes the value of a member, of an object at the given depth.
func (r *reader) field(f *field, head int32, depth int) error {
	switch f.shape {
	case mapped:
		return r.mapping(f, head, depth+1)
	case repeated:
		if err := checkDepth(depth + 1); err != nil {
			return err
		}
		r.out = append(r.out, '[')
		for i := head; i >= 0; {
			next := r.occs[i].next
			r.occs[i].next = -1 // elements are not merged
			if i != head {
				r.out = append(r.out, ',')
			}
			if err := r.element(f, i, depth+1); err != nil {
				return err
			}
			i = next
		}
		r.out = append(r.out, ']')
		return nil
	default:
		return r.element(f, head, depth)
	}
}

// element writes one value, inside of something at the given depth.
func (r *reader) element(f *field, i int32, depth int) error {
	switch f.kind {
	case stringKind:
		r.out = jsonrpc.AppendString(r.out, r.bytes(i))
	case bytesKind:
		r.out = append(r.out, '"')
		r.out = base64.StdEncoding.AppendEncode(r.out, r.bytes(i))
		r.out = append(r.out, '"')
	case boolKind:
		r.out = strconv.AppendBool(r.out, r.varint(i) != 0)
	case int32Kind:
		r.out = strconv.AppendInt(r.out, int64(int32(r.varint(i))), 10)
	case stateKind:
		r.out = appendState(r.out, r.v, int32(r.varint(i)))
	case roleKind:
		r.out = appendRole(r.out, int32(r.varint(i)))
	case messageKind:
		return r.object(i, f.msg, depth+1)
	case flatKind:
		return r.flat(i, f.msg, depth)
	case valueKind:
		return r.value(i, depth)
	case timestampKind:
		return r.timestamp(i)
	case schemeKind:
		return r.scheme(i, f.msg, depth+1)
	case doubleKind:
		n, _ := protowire.ConsumeFixed64(r.bytes(i))
		return r.number(math.Float64frombits(n))
	case nullKind, int64Kind: // inside of Value and Timestamp, which are written otherwise
		r.out = append(r.out, "null"...)
	}
	return nil
}

func (r *reader) bytes(i int32) []byte { return r.data[r.occs[i].start:r.occs[i].end] }

// flat writes a message that is written as its only field.
func (r *reader) flat(head int32, t *table, depth int) error {
	base := len(r.occs)
	v, err := r.open(head, t)
	if err != nil {
		return err
	}
	only := &t.fields[0]
	if i := v.head(only.proto); i >= 0 {
		err = r.field(only, i, depth)
	} else if err = checkDepth(depth + 1); only.shape == mapped {
		r.out = append(r.out, "{}"...)
	} else {
		r.out = append(r.out, "[]"...)
	}
	r.occs = r.occs[:base]
	return err
}

// value writes a google.protobuf.Value. One in which nothing is set is null.
func (r *reader) value(head int32, depth int) error {
	base := len(r.occs)
	v, err := r.open(head, valueTable)
	if err != nil {
		return err
	}
	if v.live == 0 {
		r.out = append(r.out, "null"...)
	} else {
		err = r.element(&valueTable.fields[v.live-1], v.first[v.live-1]-1, depth)
	}
	r.occs = r.occs[:base]
	return err
}

// scheme writes a security scheme of version 0.3.
func (r *reader) scheme(head int32, t *table, depth int) error {
	base := len(r.occs)
	v, err := r.open(head, t)
	if err != nil {
		return err
	}
	if err := checkDepth(depth); err != nil {
		return err
	}
	r.out = append(r.out, '{')
	if v.live > 0 {
		f := &t.fields[v.live-1]
		r.out = append(r.out, `"type":"`...)
		r.out = append(r.out, f.typ...)
		r.out = append(r.out, '"')
		if err := r.members(v.first[v.live-1]-1, f.msg, depth, true); err != nil {
			return err
		}
	}
	r.out = append(r.out, '}')
	r.occs = r.occs[:base]
	return nil
}

// mapKey is the key of an entry of a map.
type mapKey struct {
	start, end int32
	entry      int32 // an occurrence, or -1 when a later entry has the same key
}

// mapping writes a map. Of entries with the same key the last one counts, in the place of the first.
func (r *reader) mapping(f *field, head int32, depth int) error {
	if err := checkDepth(depth); err != nil {
		return err
	}
	base := len(r.keys)
	if err := r.findKeys(f, head, base); err != nil {
		return err
	}
	r.out = append(r.out, '{')
	comma := false
	for k, end := base, len(r.keys); k < end; k++ {
		key := r.keys[k]
		if key.entry < 0 {
			continue
		}
		if comma {
			r.out = append(r.out, ',')
		}
		comma = true
		r.out = jsonrpc.AppendString(r.out, r.data[key.start:key.end])
		r.out = append(r.out, ':')
		r.occs[key.entry].next = -1
		if err := r.entry(f, key.entry, depth); err != nil {
			return err
		}
	}
	r.out = append(r.out, '}')
	r.keys = r.keys[:base]
	return nil
}

// entry writes the value of an entry of a map, which may be missing.
func (r *reader) entry(f *field, head int32, depth int) error {
	base := len(r.occs)
	v, err := r.open(head, f.entry)
	if err != nil {
		return err
	}
	if i := v.first[0] - 1; i >= 0 {
		err = r.element(&f.entry.fields[0], i, depth)
	} else {
		switch f.kind {
		case stringKind:
			r.out = append(r.out, `""`...)
		case messageKind:
			err = r.object(-1, f.msg, depth+1)
		case flatKind:
			err = r.flat(-1, f.msg, depth)
		case schemeKind:
			err = r.scheme(-1, f.msg, depth+1)
		default:
			r.out = append(r.out, "null"...)
		}
	}
	r.occs = r.occs[:base]
	return err
}

// findKeys appends the keys of a map to r.keys.
func (r *reader) findKeys(f *field, head int32, base int) error {
	var index map[string]int
	for i := head; i >= 0; i = r.occs[i].next {
		key, err := r.key(f, i)
		if err != nil {
			return err
		}
		name := r.data[key.start:key.end]
		same := -1
		if n := len(r.keys) - base; n < linearKeys {
			for k := base; k < len(r.keys); k++ {
				if string(r.data[r.keys[k].start:r.keys[k].end]) == string(name) {
					same = k
				}
			}
		} else {
			if index == nil {
				index = make(map[string]int, 2*n)
				for k := base; k < len(r.keys); k++ {
					index[string(r.data[r.keys[k].start:r.keys[k].end])] = k
				}
			}
			if k, ok := index[string(name)]; ok {
				same = k
			} else {
				index[string(name)] = len(r.keys)
			}
		}
		if same >= 0 {
			r.keys[same].entry = i
			continue
		}
		r.keys = append(r.keys, key)
	}
	return nil
}

// key finds the key of an entry of a map. Without one it is "".
func (r *reader) key(f *field, entry int32) (mapKey, error) {
	key := mapKey{entry: entry}
	at, end := int(r.occs[entry].start), int(r.occs[entry].end)
	for at < end {
		num, typ, n := protowire.ConsumeTag(r.data[at:end])
		if n < 0 || num > protowire.MaxValidNumber {
			return key, faultf("%s is malformed", f.entry.name)
		}
		at += n
		if n = protowire.ConsumeFieldValue(num, typ, r.data[at:end]); n < 0 {
			return key, faultf("%s is malformed", f.entry.name)
		}
		if num == 1 && typ == protowire.BytesType {
			name, _ := protowire.ConsumeBytes(r.data[at:end])
			if !utf8.Valid(name) {
				return key, faultf("a key of %s is not UTF-8", f.entry.name)
			}
			key.start, key.end = int32(at+n-len(name)), int32(at+n)
		}
		at += n
	}
	return key, nil
}

func checkDepth(depth int) error {
	if depth > jsonrpc.MaxDepth {
		return faultf("it is nested deeper than %d", jsonrpc.MaxDepth)
	}
	return nil
}

// number writes a double as ECMAScript does.
func (r *reader) number(n float64) error {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return faultf("a number in it is not finite")
	}
	format := byte('f')
	if size := math.Abs(n); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	r.out = strconv.AppendFloat(r.out, n, format, -1, 64)
	if last := len(r.out) - 1; format == 'e' && r.out[last-1] == '0' && r.out[last-2] == '-' {
		r.out[last-1] = r.out[last] // e-09 becomes e-9
		r.out = r.out[:last]
	}
	return nil
}
