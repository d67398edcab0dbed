package spool_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/audit/spool"
)

// benchSpool opens a spool that somebody empties.
func benchSpool(b *testing.B) (s *spool.Spool, stop func()) {
	s = mustOpen(b, spool.Config{Dir: b.TempDir(), MaxBytes: 64 << 30})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for after := uint64(0); s.Wait(b.Context(), after+10_000) == nil; {
			after = s.Last()
			if s.Release(after) != nil {
				return
			}
		}
	}()
	return s, func() { mustClose(b, s); <-done }
}

func BenchmarkAppend600(b *testing.B) {
	s, stop := benchSpool(b)
	p := make([]byte, 600)
	b.SetBytes(600)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Append(p); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	stop()
}

func BenchmarkAppendOpening600Parallel(b *testing.B) {
	s, stop := benchSpool(b)
	b.SetBytes(600)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := make([]byte, 600)
		for pb.Next() {
			if s.Headroom() != nil {
				b.Error("no headroom")
				return
			}
			if _, err := s.AppendOpening(p); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	stop()
}

func BenchmarkRead600(b *testing.B) {
	s := mustOpen(b, spool.Config{Dir: b.TempDir()})
	p := make([]byte, 600)
	for range 4000 {
		mustAppend(b, s, p)
	}
	var buf []spool.Record
	b.SetBytes(4000 * 600)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = s.Read(0, 4000, buf); err != nil || len(buf) != 4000 {
			b.Fatal(len(buf), err)
		}
	}
}
