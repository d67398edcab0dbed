package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// entryBytes is the data length of the entries below; each takes 1040 bytes of its segment.
const entryBytes = 1000

func testEntry(number uint64) []byte {
	return bytes.Repeat([]byte{byte(number), 0xa5}, entryBytes/2)
}

func mustOpen(t testing.TB, cfg Config) *Spool {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fill(t testing.TB, s *Spool, n int) {
	t.Helper()
	for range n {
		if _, err := s.Append(testEntry(s.next)); err != nil {
			t.Fatalf("Append: %v", err)
		}
	}
}

// numbers reads all and fails when an entry is not what was appended.
func numbers(t testing.TB, s *Spool) []uint64 {
	t.Helper()
	return numbersAfter(t, s, 0)
}

func numbersAfter(t testing.TB, s *Spool, after uint64) []uint64 {
	t.Helper()
	got, err := s.Read(after, 10_000, nil)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	var ns []uint64
	for _, r := range got {
		if !bytes.Equal(r.Data, testEntry(r.Number)) {
			t.Errorf("entry %d is not what was appended", r.Number)
		}
		ns = append(ns, r.Number)
	}
	return ns
}

func span(from, to uint64) (ns []uint64) {
	for n := from; n <= to; n++ {
		ns = append(ns, n)
	}
	return ns
}

// edit changes the bytes of a file.
func edit(t testing.TB, path string, change func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// place is where entry number n of a segment that began with 1 stands.
func place(n int64) int64 { return headBytes + (n-1)*recordBytes(entryBytes) }

func TestOpen_DamageCostsNothingButItself(t *testing.T) {
	size := recordBytes(entryBytes)
	const file = "0000000000000001.seg"
	for name, tc := range map[string]struct {
		change func(seg []byte)
		want   []Damage
		read   []uint64 // of 10
		next   uint64   // 0 means: above 10, numbers that may have been used are skipped
	}{
		"a bit of the data": {
			change: func(seg []byte) { seg[place(4)+atData+17] ^= 1 },
			want:   []Damage{{Kind: Corrupt, File: file, Offset: place(4), Length: size, First: 4, Last: 4}},
			read:   append(span(1, 3), span(5, 10)...), next: 11,
		},
		"the number": {
			change: func(seg []byte) { seg[place(4)+atNumber] = 99 },
			want:   []Damage{{Kind: Corrupt, File: file, Offset: place(4), Length: size, First: 4, Last: 4}},
			read:   append(span(1, 3), span(5, 10)...), next: 11,
		},
		"the commit word": {
			change: func(seg []byte) { clear(seg[place(1) : place(1)+8]) },
			want:   []Damage{{Kind: Corrupt, File: file, Offset: place(1), Length: size}},
			read:   span(2, 10), next: 11,
		},
		"a length that leads astray": {
			change: func(seg []byte) { seg[place(6)+1] ^= 0x40; seg[place(6)+atLength+1] ^= 0x40 },
			want:   []Damage{{Kind: Corrupt, File: file, Offset: place(6), Length: size, First: 6, Last: 6}},
			read:   append(span(1, 5), span(7, 10)...), next: 11,
		},
		"two places, one of them a page of zeros": {
			change: func(seg []byte) { clear(seg[place(2) : place(2)+4096]); seg[place(9)+atTime]++ },
			want: []Damage{
				{Kind: Corrupt, File: file, Offset: place(2), Length: 4 * size, First: 2, Last: 5},
				{Kind: Corrupt, File: file, Offset: place(9), Length: size, First: 9, Last: 9},
			},
			read: []uint64{1, 6, 7, 8, 10}, next: 11,
		},
		"a copy of an earlier entry": {
			change: func(seg []byte) { copy(seg[place(7):place(8)], seg[place(2):place(3)]) },
			want:   []Damage{{Kind: Corrupt, File: file, Offset: place(7), Length: size, First: 7, Last: 7}},
			read:   append(span(1, 6), span(8, 10)...), next: 11,
		},
		"the last entry": {
			change: func(seg []byte) { seg[place(10)+atData] ^= 1 },
			want: []Damage{
				{Kind: Corrupt, File: file, Offset: place(10), Length: size},
				{Kind: Missing, File: stateFile, First: 10, Last: 10},
			},
			read: span(1, 9),
		},
		"the head": {
			change: func(seg []byte) { clear(seg[:headBytes]) },
			read:   span(1, 10), next: 11,
		},
		"the foot": {
			change: func(seg []byte) { clear(seg[len(seg)-headBytes:]) },
			read:   span(1, 10), next: 11,
		},
		"a torn entry": {
			change: func(seg []byte) { copy(seg[place(11)+atNumber:], "number, epoch and a part of the data") },
			want:   []Damage{{Kind: Torn, File: file, Offset: place(11), Length: 48}},
			read:   span(1, 10), next: 11,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
			s := mustOpen(t, cfg)
			fill(t, s, 10)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(cfg.Dir, file), tc.change)

			s = mustOpen(t, cfg)
			if diff := cmp.Diff(tc.want, s.Recovered(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Recovered (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.read, numbers(t, s)); diff != "" {
				t.Errorf("readable numbers (-want +got):\n%s", diff)
			}
			n, err := s.Append(testEntry(s.next))
			if err != nil || n <= 10 || (tc.next != 0 && n != tc.next) {
				t.Errorf("next number %d, %v; want %d", n, err, tc.next)
			}
			if diff := cmp.Diff(append(tc.read, n), numbers(t, s)); diff != "" {
				t.Errorf("readable numbers after an append (-want +got):\n%s", diff)
			}
			if got := s.Stats().Damaged; got != int64(len(tc.want)) {
				t.Errorf("%d places of damage counted, want %d: reading reports none twice", got, len(tc.want))
			}
			if err := s.Release(n); err != nil {
				t.Fatal(err)
			}
			if used := s.Stats().UsedBytes; used != 0 {
				t.Errorf("%d bytes used after everything is released", used)
			}
		})
	}
}

func TestOpen_AnUnreadableSegmentIsSetAside(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
	s := mustOpen(t, cfg)
	fill(t, s, 300) // 125 fit a segment
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const file = "0000000000000002.seg"
	edit(t, filepath.Join(cfg.Dir, file), func(b []byte) { clear(b[:8]); clear(b[len(b)-headBytes:]) })

	s = mustOpen(t, cfg)
	want := []Damage{
		{Kind: Unreadable, File: file, Length: minSegment},
		{Kind: Missing, File: "0000000000000003.seg", Offset: headBytes, First: 126, Last: 250},
	}
	if diff := cmp.Diff(want, s.Recovered()); diff != "" {
		t.Errorf("Recovered (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(span(1, 125), span(251, 300)...), numbers(t, s)); diff != "" {
		t.Errorf("readable numbers (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "0000000000000002.damaged")); err != nil {
		t.Errorf("the file is not kept: %v", err)
	}
}

// An entry may hold bytes that look like a record of another number. When what stands around it is damaged, the scan
// walks through them and must not be led to believe it.
func TestOpen_DataThatImitatesARecordIsNotOne(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
	s := mustOpen(t, cfg)
	fill(t, s, 1)
	forged := make([]byte, entryBytes)
	guess := key{mark: 1, seed: 1}
	guess.put(forged, 96, entry{number: 500, epoch: 1, data: []byte("forged")}, 0)
	if _, err := s.Append(forged); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(cfg.Dir, "0000000000000001.seg"), func(b []byte) { b[place(2)+atTime]++ })
	s = mustOpen(t, cfg)
	if diff := cmp.Diff(span(1, 1), numbers(t, s)); diff != "" {
		t.Errorf("readable numbers (-want +got):\n%s", diff)
	}
}

func TestOpen_LostIdentityIsFoundOrMadeAnewNeverRepeated(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
	s := mustOpen(t, cfg)
	fill(t, s, 3)
	replica := s.Replica()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if err := os.Remove(filepath.Join(cfg.Dir, replicaFile)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	if s.Replica() != replica || len(numbers(t, s)) != 3 {
		t.Errorf("replica %x with %d entries, want %x with 3", s.Replica(), len(numbers(t, s)), replica)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	edit(t, filepath.Join(cfg.Dir, stateFile), func(b []byte) { clear(b) })
	before := uint64(time.Now().Unix())
	s = mustOpen(t, cfg)
	if s.Epoch() < before {
		t.Errorf("epoch %d with no state, want one that was never used", s.Epoch())
	}
	want := []Damage{{Kind: Identity, File: stateFile}}
	if diff := cmp.Diff(want, s.Recovered()); diff != "" {
		t.Errorf("Recovered (-want +got):\n%s", diff)
	}
}

func TestState_ATornWriteLeavesTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	for epoch := uint64(1); epoch <= 4; epoch++ {
		st, known, err := openState(dir)
		if err != nil || known != (epoch > 1) || st.epoch != epoch-1 {
			t.Fatalf("epoch %d: %+v, %t, %v", epoch, st, known, err)
		}
		st.epoch, st.last = epoch, epoch*10
		if err := errors.Join(st.write(), st.file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	edit(t, filepath.Join(dir, stateFile), func(b []byte) { b[20] ^= 1 }) // generation 4 is in slot 0
	st, known, err := openState(dir)
	if err != nil || !known || st.epoch != 3 || st.last != 30 {
		t.Errorf("%+v, %t, %v; want epoch 3", st, known, err)
	}
	if err := st.file.Close(); err != nil {
		t.Fatal(err)
	}
}

// imageKey is the key of the segment images below.
var imageHead, imageKey = encodeHead(1, minSegment, [16]byte{}, 0xfeedface)

// image builds the bytes of a segment around a body.
func image(body []byte) []byte {
	seg := make([]byte, minSegment)
	copy(seg[headBytes:minSegment-headBytes], body)
	copy(seg, imageHead[:])
	copy(seg[minSegment-headBytes:], imageHead[:])
	return seg
}

func FuzzScanner(f *testing.F) {
	body := make([]byte, 4096)
	pos := int64(0)
	for n := uint64(1); n <= 3; n++ {
		e := entry{number: n, epoch: 1, data: bytes.Repeat([]byte{1}, 100)}
		imageKey.put(body, pos, e, 0)
		pos += recordBytes(100)
	}
	f.Add([]byte{})
	f.Add(body)
	f.Add(body[16:])
	word := binary.NativeEndian.AppendUint64(nil, imageKey.word(MaxEntry))
	f.Add(bytes.Repeat(word, 1000))
	f.Fuzz(func(t *testing.T, body []byte) {
		seg := image(body)
		limit := int64(len(seg)) - headBytes
		sc := newScanner(seg, imageKey)
		var prev uint64
		at := int64(headBytes)
		for {
			e, h, ok := sc.next(prev, limit)
			if h.start > h.end || (!h.empty() && h.start != at) || h.end > limit {
				t.Fatalf("hole %+v at %d", h, at)
			}
			if !ok {
				return
			}
			if e.number <= prev || len(e.data) > MaxEntry || sc.pos <= at || sc.pos > limit ||
				sc.pos != max(at, h.end)+recordBytes(len(e.data)) {
				t.Fatalf("entry %d of %d bytes after %d, scanner from %d to %d", e.number, len(e.data), prev, at, sc.pos)
			}
			prev, at = e.number, sc.pos
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(headBytes), bytes.Repeat([]byte{0xff}, 3000))
	f.Add(uint32(atMark), []byte{9, 9, 9, 9})
	f.Add(uint32(5*1040), make([]byte, 2000))
	f.Fuzz(func(t *testing.T, at uint32, overwrite []byte) {
		cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
		s := mustOpen(t, cfg)
		fill(t, s, 20)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(cfg.Dir, "0000000000000001.seg"), func(b []byte) { copy(b[at%minSegment:], overwrite) })
		s = mustOpen(t, cfg)
		if got := numbers(t, s); s.Last() > 0 && len(got) == 0 {
			t.Errorf("nothing can be read, Last is %d, damage %+v", s.Last(), s.Recovered())
		}
		n, err := s.Append(testEntry(s.next))
		if err != nil || n <= 20 {
			t.Errorf("number %d, %v; numbers to 20 were used", n, err)
		}
	})
}
