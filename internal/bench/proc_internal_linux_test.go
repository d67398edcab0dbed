package bench

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat_SurvivesBracketsInTheCommand(t *testing.T) {
	const line = "42 (a) R 7 (b) S 17 42 42 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 8 0 100 1 2"
	got, err := parseStat(42, []byte(line))
	if err != nil {
		t.Fatal(err)
	}
	want := procStat{pid: 42, parent: 17, own: 2 * time.Second, reaped: 500 * time.Millisecond}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(procStat{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "42 (x) S", "42 (x) S a b c d e f g h i j k l m n o p"} {
		if _, err := parseStat(42, []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestParseMachineTime_LeavesOutIdleAndWaiting(t *testing.T) {
	got, err := parseMachineTime("cpu  100 10 90 5000 700 1 4 5 0 0")
	if err != nil || got != 2100*time.Millisecond {
		t.Errorf("got %v, %v, want 2.1s", got, err)
	}
	if _, err := parseMachineTime("intr 1 2 3"); err == nil {
		t.Error("another line was read")
	}
}

func TestCPUTime_FollowsTheWorkOfAProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const work = 30 * time.Millisecond
	end := time.Now().Add(10 * time.Second)
	for after := before; after-before < work; {
		if time.Now().After(end) {
			t.Fatalf("after %v of work only %v were counted", 10*time.Second, after-before)
		}
		if after, err = cpuTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cpuTime(1 << 22); err == nil {
		t.Error("a process that cannot exist has a processor time")
	}
}

func TestMemory_OfThisProcess(t *testing.T) {
	rss, peak, err := memory(os.Getpid())
	if err != nil || rss < 1<<20 || peak < rss {
		t.Errorf("got %d now, %d at most, %v", rss, peak, err)
	}
}
