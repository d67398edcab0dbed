package spool_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/audit/spool"
)

// These name the environment of the child that TestKill starts from this binary.
const (
	childDir  = "SPOOL_TEST_CHILD_DIR"
	childSeed = "SPOOL_TEST_CHILD_SEED"
	writers   = 3
)

// appendUntilKilled is the child: it appends payloads of ever new seeds and writes "number seed" for each that was
// acknowledged, one write each.
func appendUntilKilled(dir string) int {
	first, err := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
	if err != nil {
		return 2
	}
	s, err := spool.Open(spool.Config{Dir: dir, SegmentBytes: smallSegment})
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 3
	}
	var wg sync.WaitGroup
	for w := range uint64(writers) {
		wg.Go(func() {
			// Bounded, so that a child whose parent is gone ends.
			for seed := first + w; seed < first+1_000_000; seed += writers {
				n, err := s.Append(payload(seed))
				if err != nil {
					_, _ = fmt.Fprintln(os.Stderr, err)
					return
				}
				if _, err := fmt.Fprintf(os.Stdout, "%d %d\n", n, seed); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return 4
}

// runAndKill starts a child, kills it after some acknowledgements, and returns all it made as number → seed.
func runAndKill(t *testing.T, dir string, seed uint64, after int) map[uint64]uint64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childSeed+"="+strconv.FormatUint(seed, 10))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := make(map[uint64]uint64)
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break // what stands behind the last line end was cut by the kill
		}
		if err != nil {
			t.Fatal(err)
		}
		var n, s uint64
		if _, err := fmt.Sscanf(line, "%d %d", &n, &s); err != nil {
			t.Fatalf("child wrote %q: %v", line, err)
		}
		if old, twice := acked[n]; twice {
			t.Fatalf("number %d was given to %d and %d", n, old, s)
		}
		if acked[n] = s; len(acked) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed, on purpose
	if len(acked) < after {
		t.Fatalf("child acknowledged %d of %d entries", len(acked), after)
	}
	return acked
}

func TestKill_EveryAcknowledgedEntryIsThereOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	seeds := make(map[uint64]bool)
	var shipped, epoch uint64
	for round := range uint64(25) {
		acked := runAndKill(t, dir, (round+1)<<32, 1+rng.IntN(800))

		s := mustOpen(t, spool.Config{Dir: dir, SegmentBytes: smallSegment})
		if s.Epoch() != epoch+2 { // the child's and this one
			t.Fatalf("round %d: epoch %d, want %d", round, s.Epoch(), epoch+2)
		}
		epoch = s.Epoch()
		for _, d := range s.Recovered() {
			if d.Kind != spool.Torn {
				t.Errorf("round %d: %+v", round, d)
			}
		}
		unacked := 0
		for _, r := range readAll(t, s, shipped) {
			if shipped++; r.Number != shipped {
				t.Fatalf("round %d: number %d, want %d", round, r.Number, shipped)
			}
			seed := binary.LittleEndian.Uint64(r.Data)
			if !bytes.Equal(r.Data, payload(seed)) || seeds[seed] {
				t.Fatalf("round %d: entry %d is not intact, or there twice", round, r.Number)
			}
			seeds[seed] = true
			if want, ok := acked[r.Number]; !ok {
				unacked++
			} else if want != seed {
				t.Fatalf("round %d: number %d holds %d, acknowledged for %d", round, r.Number, seed, want)
			}
			delete(acked, r.Number)
		}
		if len(acked) > 0 {
			t.Fatalf("round %d: %d acknowledged entries are lost", round, len(acked))
		}
		if unacked > writers {
			t.Errorf("round %d: %d entries nobody was told of, want at most one for each writer", round, unacked)
		}
		if round%3 == 0 { // some rounds find what was shipped again
			if err := s.Release(shipped); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, s)
	}
}
