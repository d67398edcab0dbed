package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of the times in /proc/PID/stat, 100 on every Linux that
// Go runs on.
const userHZ = 100

// supported says whether processes can be measured on this system.
func supported() error { return nil }

// cpuTime returns the processor time of a process with all its threads, ended
// ones too. The process clock counts nanoseconds; /proc/PID/stat would count
// hundredths of a second, and schedstat forgets threads that ended.
func cpuTime(pid int) (time.Duration, error) {
	// See clock_getcpuclockid(3): the complement of the pid and, in the low
	// bits, the clock that counts what the scheduler gave.
	const schedClock = 2
	var ts unix.Timespec
	clock := int32(^pid<<3 | schedClock)
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// procStat is what is needed of /proc/PID/stat.
type procStat struct {
	pid, parent int
	own         time.Duration // user and system
	reaped      time.Duration // the same of children that ended and were waited for
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, fmt.Errorf("read stat of process %d: %w", pid, err)
	}
	return parseStat(pid, data)
}

func parseStat(pid int, data []byte) (procStat, error) {
	// The command stands in brackets and may hold anything, brackets too.
	end := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if end < 0 || len(fields) < 15 {
		return procStat{}, fmt.Errorf("stat of process %d: unexpected form %s", pid, excerpt(data))
	}
	var n [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid, utime, stime, cutime, cstime
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return procStat{}, fmt.Errorf("stat of process %d: %w", pid, err)
		}
		n[i] = v
	}
	const tick = time.Second / userHZ
	return procStat{
		pid: pid, parent: int(n[0]),
		own:    time.Duration(n[1]+n[2]) * tick,
		reaped: time.Duration(n[3]+n[4]) * tick,
	}, nil
}

// descendants returns the living children of a process and theirs.
func descendants(root int) ([]procStat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]procStat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		st, err := readStat(pid)
		if err != nil {
			continue // it ended in between
		}
		children[st.parent] = append(children[st.parent], st)
	}
	var found []procStat
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			found = append(found, c)
			queue = append(queue, c.pid)
		}
	}
	return found, nil
}

// childrenTime returns the processor time of all descendants, ended ones too,
// in steps of a hundredth of a second.
func childrenTime(root int) (time.Duration, error) {
	st, err := readStat(root)
	if err != nil {
		return 0, err
	}
	list, err := descendants(root)
	if err != nil {
		return 0, err
	}
	sum := st.reaped
	for _, d := range list {
		sum += d.own + d.reaped
	}
	return sum, nil
}

// machineTime returns how long all processors together were not idle since the
// machine started, time taken by other virtual machines included.
func machineTime() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read times of the machine: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return parseMachineTime(line)
}

func parseMachineTime(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("times of the machine: unexpected form %q", line)
	}
	var ticks int64
	for _, at := range []int{1, 2, 3, 6, 7, 8} { // user, nice, system, irq, softirq, steal
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("times of the machine: %w", err)
		}
		ticks += v
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}

// memory returns the resident memory of a process in bytes, now and at most.
func memory(pid int) (rss, peak int64, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, fmt.Errorf("read status of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		var to *int64
		switch name {
		case "VmRSS":
			to = &rss
		case "VmHWM":
			to = &peak
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("status of process %d: %w", pid, err)
		}
		*to = kib << 10
	}
	if rss == 0 {
		return 0, 0, fmt.Errorf("status of process %d: no VmRSS", pid)
	}
	return rss, peak, nil
}

// start starts a command that the kernel ends when this process dies, and
// returns a channel with the outcome of its Wait. The order is tied to the
// thread that forks, so that thread is kept until the command ended.
func start(cmd *exec.Cmd, onDeath syscall.Signal) (<-chan exit, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: onDeath}
	started := make(chan error)
	done := make(chan exit, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- exit{cmd.Wait()}
		}
	}()
	return done, <-started
}

// sleepUntil waits for a moment more exactly than a timer of the runtime,
// which may be a millisecond late. The caller holds its thread.
func sleepUntil(ctx context.Context, due time.Time) error {
	for ctx.Err() == nil {
		left := time.Until(due)
		if left <= 0 {
			return nil
		}
		// In pieces, so that the end of ctx is seen.
		ts := unix.NsecToTimespec(int64(min(left, 50*time.Millisecond)))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("sleep: %w", err)
		}
	}
	return context.Cause(ctx)
}

// exactSleep lets the kernel wake this thread without its usual slack.
func exactSleep() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	return nil
}

// machineFacts reads what the standard library does not know.
func machineFacts(m *Machine) {
	m.Kernel = strings.TrimSpace(readText("/proc/sys/kernel/osrelease"))
	m.LoadAverage = strings.Join(firstFields(readText("/proc/loadavg"), 3), " ")
	m.CPU = valueOf(readText("/proc/cpuinfo"), "model name")
	kib, err := strconv.ParseInt(strings.TrimSuffix(valueOf(readText("/proc/meminfo"), "MemTotal"), " kB"), 10, 64)
	if err == nil {
		m.MemoryBytes = kib << 10
	}
}

// readText returns the empty string for what cannot be read: a fact less.
func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

func firstFields(s string, n int) []string {
	f := strings.Fields(s)
	return f[:min(n, len(f))]
}

func valueOf(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
