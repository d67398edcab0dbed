package spool

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"unsafe"
)

// MaxEntry is the largest entry, in bytes.
const MaxEntry = 64 << 10

// The layout of a record, by offset from its start.
const (
	atWord   = 0  // mark<<32 | length, stored last; zero means nothing here yet
	atNumber = 8  // uint64
	atEpoch  = 16 // uint64
	atTime   = 24 // int64, nanoseconds since 1970
	atLength = 32 // uint32, again, so that the checksum covers it
	atSum    = 36 // uint32, CRC-32C of the data, then of the bytes from atNumber to here
	atData   = 40
	align    = 8
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	order      = binary.LittleEndian
)

// key is what the records of one segment are marked and checked with.
type key struct {
	mark uint32 // never zero
	seed uint32
}

// entry is a record as it stands in a segment; data points into it.
type entry struct {
	number, epoch uint64
	nanos         int64
	data          []byte
}

// recordBytes is the room that n bytes of data take in a segment.
func recordBytes(n int) int64 { return (atData + int64(n) + align - 1) &^ (align - 1) }

func (k key) word(n int) uint64 {
	return uint64(k.mark)<<32 | uint64(uint32(n))
}

// put writes a record at pos, where the segment must be zero and have room. dataSum is the CRC-32C of p, computed by
// the caller outside its lock.
func (k key) put(seg []byte, pos int64, e entry, dataSum uint32) {
	r := seg[pos : pos+recordBytes(len(e.data))]
	order.PutUint64(r[atNumber:], e.number)
	order.PutUint64(r[atEpoch:], e.epoch)
	order.PutUint64(r[atTime:], uint64(e.nanos))
	order.PutUint32(r[atLength:], uint32(len(e.data)))
	order.PutUint32(r[atSum:], crc32.Update(dataSum^k.seed, castagnoli, r[atNumber:atSum]))
	copy(r[atData:], e.data)
	// The commit: a process that dies before this store has written nothing, one that dies after it has written all.
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&r[atWord])), k.word(len(e.data))) //nolint:gosec // mappings are page aligned, records are aligned to 8
}

// get reads the record at pos. It reports false when there is no whole record that ends at or before limit.
func (k key) get(seg []byte, pos, limit int64) (entry, bool) {
	n, ok := k.length(seg, pos, limit)
	if !ok {
		return entry{}, false
	}
	r := seg[pos : pos+recordBytes(n)]
	data := r[atData : atData+n : atData+n]
	sum := crc32.Update(crc32.Checksum(data, castagnoli)^k.seed, castagnoli, r[atNumber:atSum])
	if order.Uint32(r[atSum:]) != sum {
		return entry{}, false
	}
	return entry{
		number: order.Uint64(r[atNumber:]),
		epoch:  order.Uint64(r[atEpoch:]),
		nanos:  int64(order.Uint64(r[atTime:])),
		data:   data,
	}, true
}

// length returns the data length of the record at pos when its commit word and its header agree on one that fits.
func (k key) length(seg []byte, pos, limit int64) (int, bool) {
	if pos < 0 || limit > int64(len(seg)) || pos+atData > limit {
		return 0, false
	}
	// The atomic store above is in the machine's own order; a spool is read by the machine that wrote it.
	word := binary.NativeEndian.Uint64(seg[pos+atWord:])
	n := uint32(word)
	if uint32(word>>32) != k.mark || k.mark == 0 || n > MaxEntry ||
		n != order.Uint32(seg[pos+atLength:]) || pos+recordBytes(int(n)) > limit {
		return 0, false
	}
	return int(n), true
}

// hole is a range of bytes that holds no readable record.
type hole struct {
	start, end int64
	// uncommitted means that the first commit word is zero and no record follows: what a process leaves that died
	// while it appended, and that nobody was told is there.
	uncommitted bool
}

func (h hole) empty() bool { return h.start == h.end }

// scanner walks the records of one segment, over damage if need be.
type scanner struct {
	seg []byte
	key key
	pos int64
	// budget is how many bytes may still be checksummed in search of a record behind damage, so that the time a
	// segment takes is bounded whatever it contains.
	budget int64
}

func newScanner(seg []byte, k key) scanner {
	return scanner{seg: seg, key: k, pos: headBytes, budget: 4 * int64(len(seg))}
}

// next returns the next record whose number is above prev, and the hole that was passed to reach it. Without a
// further record before limit it reports false, with the hole up to the last byte that is not zero, and stays in place.
func (s *scanner) next(prev uint64, limit int64) (entry, hole, bool) {
	if e, ok := s.key.get(s.seg, s.pos, limit); ok && e.number > prev {
		s.pos += recordBytes(len(e.data))
		return e, hole{}, true
	}
	start := s.pos
	stop := lastNonZero(s.seg, start, limit)
	for q := start + align; q < stop && s.budget > 0; q += align {
		n, ok := s.key.length(s.seg, q, limit)
		if !ok {
			continue
		}
		s.budget -= recordBytes(n)
		if e, ok := s.key.get(s.seg, q, limit); ok && e.number > prev {
			s.pos = q + recordBytes(n)
			return e, hole{start: start, end: q}, true
		}
	}
	return entry{}, hole{
		start:       start,
		end:         stop,
		uncommitted: stop > start && binary.NativeEndian.Uint64(s.seg[start:]) == 0,
	}, false
}

// lastNonZero returns the end, aligned, of what is not zero in seg between from and limit; from when all is zero.
func lastNonZero(seg []byte, from, limit int64) int64 {
	limit = min(limit, int64(len(seg))) &^ (align - 1)
	for limit > from && binary.NativeEndian.Uint64(seg[limit-align:]) == 0 {
		limit -= align
	}
	return max(limit, from)
}
