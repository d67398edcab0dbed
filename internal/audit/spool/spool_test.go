package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

const smallSegment = 128 << 10

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		os.Exit(appendUntilKilled(os.Getenv(childDir)))
	}
	goleak.VerifyTestMain(m)
}

func mustOpen(t testing.TB, cfg spool.Config) *spool.Spool {
	t.Helper()
	s, err := spool.Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, spool.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func mustAppend(t testing.TB, s *spool.Spool, p []byte) uint64 {
	t.Helper()
	n, err := s.Append(p)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return n
}

func mustClose(t testing.TB, s *spool.Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// readAll reads everything above after, in batches.
func readAll(t testing.TB, s *spool.Spool, after uint64) []spool.Record {
	t.Helper()
	var all []spool.Record
	for {
		got, err := s.Read(after, 100, nil)
		if err != nil {
			t.Fatalf("Read after %d: %v", after, err)
		}
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
		after = got[len(got)-1].Number
	}
}

// payload makes data of which size and content follow from seed.
func payload(seed uint64) []byte {
	p := make([]byte, 8+seed*7919%3000)
	x := seed
	for i := range p {
		x = x*6364136223846793005 + 1442695040888963407
		p[i] = byte(x >> 56)
	}
	for i := range 8 {
		p[i] = byte(seed >> (8 * i))
	}
	return p
}

func TestAppend_GivesBackWhatWasAppended(t *testing.T) {
	at := time.Unix(1700000000, 123456789)
	s := mustOpen(t, spool.Config{Dir: t.TempDir(), Clock: clock.Func(func() time.Time { return at })})
	sizes := []int{0, 1, 7, 8, 9, 600, 4096, spool.MaxEntry}
	var want []spool.Record
	for i, size := range sizes {
		p := bytes.Repeat([]byte{byte(i + 1)}, size)
		n := mustAppend(t, s, p)
		want = append(want, spool.Record{Number: n, Epoch: 1, Time: at, Data: p})
	}
	got := readAll(t, s, 0)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("records differ (-want +got):\n%s", diff)
	}
	if s.Last() != uint64(len(sizes)) || s.Epoch() != 1 {
		t.Errorf("Last = %d, Epoch = %d; want %d, 1", s.Last(), s.Epoch(), len(sizes))
	}
	if _, err := s.Append(make([]byte, spool.MaxEntry+1)); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("Append of too much: %v, want ErrTooLarge", err)
	}
}

func TestOpen_RefusesWhatCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]spool.Config{
		"no directory":      {},
		"small segments":    {Dir: t.TempDir(), SegmentBytes: 1},
		"huge segments":     {Dir: t.TempDir(), SegmentBytes: 2 << 30},
		"small cap":         {Dir: t.TempDir(), MaxBytes: 1},
		"directory is file": {Dir: file},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := spool.Open(cfg); err == nil {
				_ = s.Close()
				t.Error("Open succeeded")
			}
		})
	}
}

func TestOpen_OneUserOfADirectory(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, spool.Config{Dir: dir})
	_, err := spool.Open(spool.Config{Dir: dir})
	if locked, ok := errors.AsType[*spool.LockedError](err); !ok || locked.Dir != dir {
		t.Errorf("second Open: %v, want a LockedError naming %s", err, dir)
	}
	mustClose(t, s)
	mustOpen(t, spool.Config{Dir: dir})
}

func TestOpen_ContinuesNumbersAndEpochs(t *testing.T) {
	cfg := spool.Config{Dir: t.TempDir(), SegmentBytes: smallSegment}
	var replica [16]byte
	next := uint64(1)
	for epoch := uint64(1); epoch <= 5; epoch++ {
		s := mustOpen(t, cfg)
		if epoch == 1 {
			replica = s.Replica()
		}
		if s.Epoch() != epoch || s.Replica() != replica || s.Last() != next-1 {
			t.Fatalf("epoch %d, last %d, replica %x; want %d, %d, %x",
				s.Epoch(), s.Last(), s.Replica(), epoch, next-1, replica)
		}
		for range 100 {
			if n := mustAppend(t, s, payload(next)); n != next {
				t.Fatalf("number %d, want %d", n, next)
			}
			next++
		}
		if d := s.Recovered(); len(d) > 0 {
			t.Fatalf("damage in a sound spool: %+v", d)
		}
		mustClose(t, s)
	}
	s := mustOpen(t, cfg)
	got := readAll(t, s, 0)
	if len(got) != 500 {
		t.Fatalf("%d records, want 500", len(got))
	}
	for i, r := range got {
		if n := uint64(i + 1); r.Number != n || r.Epoch != (n-1)/100+1 || !bytes.Equal(r.Data, payload(n)) {
			t.Fatalf("record %d: number %d, epoch %d, intact %t", n, r.Number, r.Epoch, bytes.Equal(r.Data, payload(n)))
		}
	}
}

func TestRelease_DeletesSegmentsAndNeverNumbersAgain(t *testing.T) {
	cfg := spool.Config{Dir: t.TempDir(), SegmentBytes: smallSegment}
	s := mustOpen(t, cfg)
	var last uint64
	for i := range uint64(400) {
		last = mustAppend(t, s, payload(i))
	}
	before := s.Stats()
	if before.Segments < 3 || before.Unreleased != last {
		t.Fatalf("Stats = %+v, want several segments and %d unreleased", before, last)
	}
	if err := s.Release(last + 1); !errors.Is(err, spool.ErrAhead) {
		t.Errorf("Release ahead: %v, want ErrAhead", err)
	}
	if err := s.Release(last / 2); err != nil {
		t.Fatal(err)
	}
	middle := s.Stats()
	if middle.UsedBytes >= before.UsedBytes || middle.UsedBytes == 0 || middle.Segments >= before.Segments {
		t.Errorf("after half: %+v, before: %+v", middle, before)
	}
	if got := readAll(t, s, last/2); uint64(len(got)) != last-last/2 || got[0].Number != last/2+1 {
		t.Errorf("%d records left, want %d", len(got), last-last/2)
	}
	for range 2 { // the second changes nothing
		if err := s.Release(last); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.UsedBytes != 0 || st.Segments != 1 || st.Unreleased != 0 {
			t.Errorf("after all: %+v, want nothing used in one segment", st)
		}
	}
	mustClose(t, s)

	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*.seg"))
	if err != nil || len(files) == 0 || len(files) > 2 {
		t.Fatalf("files %v, %v; want the newest and a spare", files, err)
	}
	s = mustOpen(t, cfg)
	if n := mustAppend(t, s, nil); n != last+1 {
		t.Errorf("number %d, want %d", n, last+1)
	}
	mustClose(t, s)

	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, cfg)
	if n := mustAppend(t, s, nil); n != last+2 {
		t.Errorf("without any segment: number %d, want %d", n, last+2)
	}
}

func TestAdvance_OnlyBeforeTheFirstAppend(t *testing.T) {
	cfg := spool.Config{Dir: t.TempDir()}
	s := mustOpen(t, cfg)
	mustAppend(t, s, nil)
	if err := s.Advance(1); err != nil {
		t.Errorf("Advance to what is given out: %v", err)
	}
	if err := s.Advance(2); !errors.Is(err, spool.ErrAhead) {
		t.Errorf("Advance after an append: %v, want ErrAhead", err)
	}
	mustClose(t, s)
	s = mustOpen(t, cfg)
	if err := s.Advance(1000); err != nil {
		t.Fatal(err)
	}
	if n := mustAppend(t, s, nil); n != 1001 {
		t.Errorf("number %d, want 1001", n)
	}
	if got := readAll(t, s, 1); len(got) != 1 || got[0].Number != 1001 {
		t.Errorf("read %+v, want 1001 alone", got)
	}
}

func TestAppend_RollsOverWithoutLosingARemainder(t *testing.T) {
	s := mustOpen(t, spool.Config{Dir: t.TempDir(), SegmentBytes: smallSegment})
	// Two of these never fit one segment of 128 KiB together with a third; the small ones fill what is left, or not.
	sizes := []int{spool.MaxEntry, 60 << 10, 300, 50 << 10, spool.MaxEntry, spool.MaxEntry, 1, spool.MaxEntry}
	for range 5 {
		for _, size := range sizes {
			mustAppend(t, s, bytes.Repeat([]byte{byte(size)}, size))
		}
	}
	got := readAll(t, s, 0)
	for i, r := range got {
		size := sizes[i%len(sizes)]
		if r.Number != uint64(i+1) || !bytes.Equal(r.Data, bytes.Repeat([]byte{byte(size)}, size)) {
			t.Fatalf("record %d has number %d and %d bytes, want %d", i, r.Number, len(r.Data), size)
		}
	}
	if len(got) != 5*len(sizes) {
		t.Errorf("%d records, want %d", len(got), 5*len(sizes))
	}
}

func TestCap_KeepsTheLastTenthForClosing(t *testing.T) {
	const maxBytes = 1 << 20
	s := mustOpen(t, spool.Config{Dir: t.TempDir(), SegmentBytes: smallSegment, MaxBytes: maxBytes})
	entry := make([]byte, 1000-40)
	fill := func(appendOne func([]byte) (uint64, error)) (uint64, error) {
		for {
			if n, err := appendOne(entry); err != nil {
				return n, err
			}
		}
	}
	if _, err := fill(s.AppendOpening); !errors.Is(err, spool.ErrNearlyFull) || errors.Is(err, spool.ErrFull) {
		t.Fatalf("openings end with %v, want ErrNearlyFull", err)
	}
	if used := s.Stats().UsedBytes; used <= maxBytes*9/10-1000 || used > maxBytes*9/10 {
		t.Errorf("openings took %d of %d", used, maxBytes)
	}
	mustAppend(t, s, entry)
	if err := s.Headroom(); !errors.Is(err, spool.ErrNearlyFull) {
		t.Errorf("Headroom above 90 %%: %v, want ErrNearlyFull", err)
	}
	if _, err := fill(s.Append); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("closings end with %v, want ErrFull", err)
	}
	if used := s.Stats().UsedBytes; used <= maxBytes-1000 || used > maxBytes {
		t.Errorf("closings took %d of %d", used, maxBytes)
	}
	if err := s.Release(s.Last() / 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Headroom(); err != nil {
		t.Errorf("Headroom after a release: %v", err)
	}
	last := s.Last()
	if n, err := s.AppendOpening(entry); err != nil || n != last+1 {
		t.Errorf("opening after a release: %d, %v; want %d", n, err, last+1)
	}
}

func TestWait_WakesForALaterNumber(t *testing.T) {
	s := mustOpen(t, spool.Config{Dir: t.TempDir()})
	mustAppend(t, s, nil)
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait for what exists: %v", err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := s.Wait(ctx, 1); !errors.Is(err, gone) {
		t.Errorf("Wait with an ended context: %v, want its cause", err)
	}
	const rounds = 2000
	done := make(chan error)
	go func() {
		for n := uint64(1); n <= rounds; n++ {
			if err := s.Wait(t.Context(), n); err != nil {
				done <- err
				return
			}
		}
		done <- s.Wait(t.Context(), rounds+1)
	}()
	for range rounds {
		mustAppend(t, s, nil)
	}
	mustClose(t, s)
	if err := <-done; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Wait across Close: %v, want ErrClosed", err)
	}
}

func TestClose_EndsEverything(t *testing.T) {
	s := mustOpen(t, spool.Config{Dir: t.TempDir()})
	mustAppend(t, s, nil)
	mustClose(t, s)
	_, errAppend := s.Append(nil)
	_, errOpening := s.AppendOpening(nil)
	_, errRead := s.Read(0, 1, nil)
	for name, err := range map[string]error{
		"Append": errAppend, "AppendOpening": errOpening, "Read": errRead, "Release": s.Release(1),
		"Advance": s.Advance(5), "Headroom": s.Headroom(), "Wait": s.Wait(t.Context(), 1), "Close": s.Close(),
	} {
		if !errors.Is(err, spool.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

func TestSpool_ConcurrentAppendReadReleaseKeepsEveryEntryOnce(t *testing.T) {
	const writers, each = 8, 3000
	s := mustOpen(t, spool.Config{Dir: t.TempDir(), SegmentBytes: smallSegment, MaxBytes: 1 << 30})
	given := make([][]uint64, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n, err := s.Append(fmt.Appendf(nil, "%d/%d/%s", w, i, bytes.Repeat([]byte("x"), i%700)))
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				given[w] = append(given[w], n)
			}
		})
	}
	releases := make(chan uint64, 1)
	wg.Go(func() {
		for n := range releases {
			if err := s.Release(n); err != nil {
				t.Errorf("Release: %v", err)
			}
		}
	})
	at := make(map[uint64][2]int)
	wg.Go(func() {
		defer close(releases)
		var buf []spool.Record
		for after := uint64(0); after < writers*each; {
			if err := s.Wait(t.Context(), after); err != nil {
				t.Errorf("Wait: %v", err)
				return
			}
			var err error
			if buf, err = s.Read(after, 777, buf); err != nil {
				t.Errorf("Read: %v", err)
				return
			}
			for _, r := range buf {
				after++
				if r.Number != after {
					t.Errorf("number %d, want %d", r.Number, after)
					return
				}
				var w, i int
				var tail string
				if n, err := fmt.Sscanf(string(r.Data), "%d/%d/%s", &w, &i, &tail); n < 2 || len(tail) != i%700 {
					t.Errorf("record %d is %.40q: %v", r.Number, r.Data, err)
				}
				at[r.Number] = [2]int{w, i}
			}
			select {
			case releases <- after:
			default:
			}
		}
	})
	wg.Wait()
	for w, numbers := range given {
		for i, n := range numbers {
			if at[n] != [2]int{w, i} {
				t.Fatalf("number %d was given to entry %d of writer %d and holds %v", n, i, w, at[n])
			}
		}
	}
	if err := s.Release(writers * each); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.UsedBytes != 0 || st.Segments != 1 || st.Damaged != 0 {
		t.Errorf("Stats at the end: %+v", st)
	}
}

func TestRead_ReusesItsBufferAndFindsAnyPlace(t *testing.T) {
	s := mustOpen(t, spool.Config{Dir: t.TempDir(), SegmentBytes: smallSegment})
	const n = 1000
	for i := range uint64(n) {
		mustAppend(t, s, payload(i+1))
	}
	var buf []spool.Record
	for _, after := range []uint64{500, 0, n - 1, 7, 8, 999, n, 3, 640} {
		var err error
		if buf, err = s.Read(after, 5, buf); err != nil {
			t.Fatal(err)
		}
		if want := min(5, n-int(after)); len(buf) != want {
			t.Fatalf("after %d: %d records, want %d", after, len(buf), want)
		}
		for i, r := range buf {
			if r.Number != after+uint64(i)+1 || !bytes.Equal(r.Data, payload(r.Number)) {
				t.Fatalf("after %d: record %d is number %d", after, i, r.Number)
			}
		}
	}
	buf, err := s.Read(0, 100, buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(10, func() { buf, _ = s.Read(0, 100, buf) }); got > 0 {
		t.Errorf("%v allocations for reading into a used buffer, want none", got)
	}
}

// A reader that begins anew, as after a failure, passes over what it has read.
func TestRead_ReachesWhatStandsBehindMoreThanOneReadTakes(t *testing.T) {
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), SegmentBytes: 16 << 20, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const entries = 200
	entry := make([]byte, 60<<10) // 12 MB in one segment, where a read takes 8 MiB
	for range entries {
		if _, err := s.Append(entry); err != nil {
			t.Fatal(err)
		}
	}
	for _, after := range []uint64{0, 190, 100, entries - 1} {
		got, err := s.Read(after, 10, nil)
		if want := min(10, entries-int(after)); err != nil || len(got) != want || got[0].Number != after+1 {
			t.Errorf("after %d: %d entries (%v), want %d", after, len(got), err, want)
		}
	}
}
