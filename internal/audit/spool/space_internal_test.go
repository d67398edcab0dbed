package spool

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// disk is an allocator that can be full.
type disk struct{ full atomic.Bool }

func (d *disk) allocate(f *os.File, size int64) error {
	if d.full.Load() {
		return syscall.ENOSPC
	}
	return allocate(f, size)
}

// opened returns a spool over d, and a channel that makes it try again.
func (d *disk) opened(t *testing.T, cfg Config) (*Spool, chan<- time.Time) {
	t.Helper()
	retry := make(chan time.Time)
	s, err := open(cfg, d.allocate, retry)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, retry
}

// settled makes the maintainer look twice; what the first look found is then seen by all.
func settled(retry chan<- time.Time) {
	retry <- time.Time{}
	retry <- time.Time{}
}

func TestDiskFull_ClosesWhatIsOpenAndRecovers(t *testing.T) {
	var d disk
	s, retry := d.opened(t, Config{Dir: t.TempDir(), SegmentBytes: minSegment})
	fill(t, s, 10)
	settled(retry)
	if !s.Stats().SpareReady || s.Headroom() != nil {
		t.Fatalf("no spare on an empty disk: %+v, %v", s.Stats(), s.Headroom())
	}

	d.full.Store(true)
	fill(t, s, 120) // into the spare; there is none behind it
	settled(retry)
	if err := s.Headroom(); !errors.Is(err, ErrNearlyFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Headroom on a full disk: %v, want ErrNearlyFull and ENOSPC", err)
	}
	if _, err := s.AppendOpening(testEntry(0)); !errors.Is(err, ErrNearlyFull) {
		t.Errorf("opening on a full disk: %v, want ErrNearlyFull", err)
	}
	last := s.Last()
	closings := 0
	for ; ; closings++ {
		if _, err := s.Append(testEntry(s.next)); err != nil {
			if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("closing without any room: %v, want ErrFull and ENOSPC", err)
			}
			break
		}
	}
	if closings < 100 {
		t.Errorf("%d closings on a full disk, want most of a segment", closings)
	}
	if diff := cmp.Diff(span(1, last+uint64(closings)), numbers(t, s)); diff != "" {
		t.Errorf("readable numbers (-want +got):\n%s", diff)
	}

	d.full.Store(false)
	settled(retry)
	if err := s.Headroom(); err != nil {
		t.Errorf("Headroom with room again: %v", err)
	}
	if n, err := s.AppendOpening(testEntry(s.next)); err != nil || n != last+uint64(closings)+1 {
		t.Errorf("opening with room again: %d, %v; want %d", n, err, last+uint64(closings)+1)
	}
	settled(retry) // that opening took the spare, so the next one is being made
	if tmp, _ := filepath.Glob(filepath.Join(s.dir, "*"+tmpSuffix)); len(tmp) > 0 {
		t.Errorf("parts of segments left: %v", tmp)
	}
}

func TestDiskFull_ReleaseMakesRoomThoughTheDiskStaysFull(t *testing.T) {
	var d disk
	s, retry := d.opened(t, Config{Dir: t.TempDir(), SegmentBytes: minSegment})
	fill(t, s, 1)
	settled(retry)
	d.full.Store(true)
	fill(t, s, 129)
	settled(retry)
	if err := s.Release(s.Last()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for s.spareErr != nil {
		s.ready.Wait()
	}
	s.mu.Unlock()
	if err := s.Headroom(); err != nil {
		t.Errorf("Headroom after a release: %v", err)
	}
	fill(t, s, 130) // through the recycled segment, which holds nothing of what it held
	if diff := cmp.Diff(span(131, 260), numbersAfter(t, s, 130)); diff != "" {
		t.Errorf("readable numbers (-want +got):\n%s", diff)
	}
	cfg := Config{Dir: s.dir, SegmentBytes: minSegment}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	if len(s.Recovered()) > 0 || s.Last() != 260 {
		t.Errorf("opened again: last %d, damage %+v", s.Last(), s.Recovered())
	}
}

func TestDiskFull_AtOpen(t *testing.T) {
	var d disk
	d.full.Store(true)
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
	if _, err := open(cfg, d.allocate, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("open of an empty spool: %v, want ENOSPC", err)
	}
	d.full.Store(false)
	s, retry := d.opened(t, cfg) // the failed open has let go of the directory
	fill(t, s, 1)
	settled(retry)
	d.full.Store(true)
	fill(t, s, 129)
	if err := s.Close(); err != nil {
		t.Errorf("Close on a full disk: %v", err)
	}
	s, retry = d.opened(t, cfg)
	settled(retry)
	if diff := cmp.Diff(span(1, 130), numbers(t, s)); diff != "" {
		t.Errorf("readable numbers (-want +got):\n%s", diff)
	}
	if s.Epoch() != 3 || !errors.Is(s.Headroom(), ErrNearlyFull) {
		t.Errorf("epoch %d, headroom %v; want 3, ErrNearlyFull", s.Epoch(), s.Headroom())
	}
	fill(t, s, 1) // what is left of the newest segment is used
}

// Cutting the file under the mapping makes the kernel answer as it does when a page cannot be had: with SIGBUS.
func TestFault_IsAnErrorOrAnotherSegmentNotTheEndOfTheProcess(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
	var d disk
	s, retry := d.opened(t, cfg)
	fill(t, s, 60)
	settled(retry)
	if err := os.Truncate(filepath.Join(cfg.Dir, segmentName(1)), 32<<10); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 10) // written to the spare
	settled(retry)
	got := numbers(t, s)
	if first := uint64((32<<10)-headBytes) / uint64(recordBytes(entryBytes)); len(got) < int(first)+10 || got[first-1] != first ||
		got[len(got)-1] != 70 || got[len(got)-10] != 61 {
		t.Errorf("readable: %v; want those before the cut and the last ten", got)
	}
	kinds := map[DamageKind]int{}
	for _, d := range s.Recovered() {
		kinds[d.Kind]++
	}
	if kinds[Unreadable] != 2 {
		t.Errorf("damage %+v, want one place met by an append and one by a read", s.Recovered())
	}
	if err := s.Release(70); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.UsedBytes != 0 || st.Segments != 1 {
		t.Errorf("after a release of all: %+v", st)
	}
}

func TestCreateSegment_ZerosWhereTheFileSystemCannotReserve(t *testing.T) {
	dir := t.TempDir()
	g, err := createSegment(dir, 7, minSegment, [16]byte{1}, writeZeros)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.munmap() }()
	if lastNonZero(g.data, headBytes, g.limit()) != headBytes || !g.fits(g.limit()-headBytes) {
		t.Error("a new segment is not empty")
	}
	info, err := os.Stat(filepath.Join(dir, segmentName(7)))
	if err != nil || info.Size() != minSegment || info.Sys().(*syscall.Stat_t).Blocks*512 < minSegment {
		t.Errorf("file is %+v, %v; want %d allocated bytes", info, err, minSegment)
	}
}
