package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The head of a segment, by offset; the foot is a copy of it, so that one bad page does not cost a segment.
const (
	atMagic    = 0
	atOrdinal  = 8
	atSize     = 16
	atReplica  = 24
	atMark     = 40
	atHeadSum  = 44 // CRC-32C of the bytes before it; the rest is zero
	headBytes  = 64
	magic      = "sbspool1"
	segSuffix  = ".seg"
	tmpSuffix  = ".tmp"
	badSuffix  = ".damaged"
	freeSuffix = ".free"
	minSegment = 128 << 10
	maxSegment = 1 << 30
	pageRound  = 64 << 10 // a multiple of every page size in use
)

// errNotASegment means that neither head nor foot of a file can be read, or that they are another replica's.
var errNotASegment = errors.New("head and foot are not those of a segment of this spool")

// segment is one mapped file.
type segment struct {
	path    string
	ordinal uint64
	data    []byte
	key     key

	first uint64       // no entry here has a lower number, none before this segment has it; set before the segment is shared
	end   atomic.Int64 // behind the last record

	sealed   bool  // nothing more may be appended; guarded by Spool.mu
	released int64 // what lies before is released; guarded by Spool.readMu
}

// limit is where the records must end.
func (g *segment) limit() int64 { return int64(len(g.data)) - headBytes }

func (g *segment) fits(need int64) bool { return !g.sealed && g.end.Load()+need <= g.limit() }

// write appends one record, or returns a *faultError when the kernel cannot give it the memory.
func (g *segment) write(e entry, dataSum uint32) (err error) {
	defer catchFault(g.path, debug.SetPanicOnFault(true), &err)
	pos := g.end.Load()
	g.key.put(g.data, pos, e, dataSum)
	g.end.Store(pos + recordBytes(len(e.data)))
	return nil
}

// catchFault is deferred around every access to mapped memory. Without it a page that the file system cannot serve,
// which pre-allocation makes rare and cannot exclude (copy-on-write file systems, failing disks), ends the process.
func catchFault(path string, before bool, err *error) {
	debug.SetPanicOnFault(before)
	r := recover()
	if r == nil {
		return
	}
	fault, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(r)
	}
	*err = &faultError{path: path, cause: fault}
}

func segmentName(ordinal uint64) string { return fmt.Sprintf("%016x%s", ordinal, segSuffix) }

// parseSegmentName returns the ordinal in the name of a segment file that ends in suffix.
func parseSegmentName(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && strings.ToLower(digits) == digits
}

// encodeHead returns the head of a segment and the key of its records.
func encodeHead(ordinal uint64, size int64, replica [16]byte, mark uint32) ([headBytes]byte, key) {
	var h [headBytes]byte
	copy(h[atMagic:], magic)
	order.PutUint64(h[atOrdinal:], ordinal)
	order.PutUint64(h[atSize:], uint64(size))
	copy(h[atReplica:], replica[:])
	order.PutUint32(h[atMark:], mark)
	sum := crc32.Checksum(h[:atHeadSum], castagnoli)
	order.PutUint32(h[atHeadSum:], sum)
	return h, key{mark: mark, seed: sum}
}

// decodeHead reads what encodeHead made.
func decodeHead(h []byte) (ordinal uint64, size int64, replica [16]byte, k key, ok bool) {
	if len(h) < headBytes || string(h[atMagic:atOrdinal]) != magic {
		return 0, 0, replica, key{}, false
	}
	sum := crc32.Checksum(h[:atHeadSum], castagnoli)
	k = key{mark: order.Uint32(h[atMark:]), seed: sum}
	copy(replica[:], h[atReplica:atMark])
	size = int64(order.Uint64(h[atSize:]))
	return order.Uint64(h[atOrdinal:]), size, replica, k, order.Uint32(h[atHeadSum:]) == sum && k.mark != 0
}

// allocator reserves size bytes of zeros for a new, empty file.
type allocator func(f *os.File, size int64) error

// createSegment makes an empty segment that is allocated, mapped and faulted in. A file of the final name always has
// its head and its whole size.
func createSegment(dir string, ordinal uint64, size int64, replica [16]byte, alloc allocator) (g *segment, err error) {
	path := filepath.Join(dir, segmentName(ordinal))
	head, k, err := newHead(ordinal, size, replica)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+tmpSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(path + tmpSuffix) // a part of a segment only takes the room that is missing
		}
	}()
	if err := alloc(f, size); err != nil {
		return nil, fmt.Errorf("allocate segment %s: %w", path, err)
	}
	for _, at := range []int64{0, size - headBytes} {
		if _, err := f.WriteAt(head[:], at); err != nil {
			return nil, fmt.Errorf("write head of segment %s: %w", path, err)
		}
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync segment %s: %w", path, err)
	}
	g = &segment{path: path, ordinal: ordinal, key: k, released: headBytes}
	g.end.Store(headBytes)
	if err := g.mmap(f, size); err != nil {
		return nil, err
	}
	if err := g.populate(); err != nil {
		_ = g.munmap()
		return nil, err
	}
	if err := os.Rename(path+tmpSuffix, path); err != nil {
		_ = g.munmap()
		return nil, fmt.Errorf("name segment: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	return g, nil
}

// newHead is encodeHead with a fresh mark.
func newHead(ordinal uint64, size int64, replica [16]byte) (h [headBytes]byte, k key, err error) {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return h, k, fmt.Errorf("mark segment: %w", err)
	}
	h, k = encodeHead(ordinal, size, replica, max(order.Uint32(random[:]), 1))
	return h, k, nil
}

// retire takes a released segment out of the log under a name that Open does not read.
func (g *segment) retire() error {
	path := strings.TrimSuffix(g.path, segSuffix) + freeSuffix
	if err := os.Rename(g.path, path); err != nil {
		return fmt.Errorf("retire segment: %w", err)
	}
	g.path = path
	return nil
}

// recycle makes an empty segment of a retired one. Its pages are allocated and mapped already, which costs a fraction
// of making new ones and needs no room on the disk. The retired one is used up, also when there is an error.
func (g *segment) recycle(dir string, ordinal uint64, replica [16]byte) (_ *segment, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, g.remove())
		}
	}()
	size := int64(len(g.data))
	head, k, err := newHead(ordinal, size, replica)
	if err != nil {
		return nil, err
	}
	if err := g.reset(head); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, segmentName(ordinal))
	if err := os.Rename(g.path, path); err != nil {
		return nil, fmt.Errorf("name segment: %w", err)
	}
	fresh := &segment{path: path, ordinal: ordinal, key: k, data: g.data, released: headBytes}
	fresh.end.Store(headBytes)
	g.data = nil
	return fresh, nil
}

// reset clears the mapping and gives it a head and a foot.
func (g *segment) reset(head [headBytes]byte) (err error) {
	defer catchFault(g.path, debug.SetPanicOnFault(true), &err)
	clear(g.data)
	copy(g.data, head[:])
	copy(g.data[g.limit():], head[:])
	return nil
}

// openSegment maps an existing file. It returns errNotASegment when that is no segment of this replica.
func openSegment(path string, ordinal uint64, replica [16]byte) (g *segment, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	size := info.Size()
	if size < minSegment || size > maxSegment || size%pageRound != 0 {
		return nil, errNotASegment
	}
	var h [headBytes]byte
	for _, at := range []int64{0, size - headBytes} {
		if _, err := f.ReadAt(h[:], at); err != nil {
			continue // the other copy may be on a readable page
		}
		if o, n, r, k, ok := decodeHead(h[:]); ok && o == ordinal && n == size && r == replica {
			g = &segment{path: path, ordinal: ordinal, key: k, released: headBytes}
			g.end.Store(headBytes)
			return g, g.mmap(f, size)
		}
	}
	return nil, errNotASegment
}

// replicaOf returns the identity in the head or foot of a segment file.
func replicaOf(path string) (replica [16]byte, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return replica, false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return replica, false
	}
	var h [headBytes]byte
	for _, at := range []int64{0, info.Size() - headBytes} {
		if _, err := f.ReadAt(h[:], at); err != nil {
			continue
		}
		if _, _, r, _, good := decodeHead(h[:]); good {
			return r, true
		}
	}
	return replica, false
}

func (g *segment) mmap(f *os.File, size int64) error {
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map segment %s: %w", g.path, err)
	}
	g.data = data
	return nil
}

func (g *segment) munmap() error {
	if g.data == nil {
		return nil
	}
	data := g.data
	g.data = nil
	if err := unix.Munmap(data); err != nil {
		return fmt.Errorf("unmap segment %s: %w", g.path, err)
	}
	return nil
}

// populate makes the pages writable before an append needs them.
func (g *segment) populate() (err error) {
	defer catchFault(g.path, debug.SetPanicOnFault(true), &err)
	if populated(g.data) {
		return nil
	}
	for i := 0; i < len(g.data); i += os.Getpagesize() {
		// A plain store of what was loaded may be optimized away; adding nothing atomically is not.
		atomic.AddUint32((*uint32)(unsafe.Pointer(&g.data[i])), 0) //nolint:gosec // the start of a page is aligned
	}
	return nil
}

// remove unmaps the segment and deletes its file.
func (g *segment) remove() error {
	if err := errors.Join(g.munmap(), os.Remove(g.path)); err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	return nil
}

// writeZeros allocates by writing, for file systems that cannot reserve room.
func writeZeros(f *os.File, size int64) error {
	zeros := make([]byte, 256<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
