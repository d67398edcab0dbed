package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// readyTimeout bounds the start of an agent: a cold Python needs seconds.
	readyTimeout = 60 * time.Second
	// processGrace is what a process has for ending by itself.
	processGrace = 5 * time.Second
	// maxLog is how much of a process's output is kept for a failure's report.
	maxLog = 64 << 10
)

// watchInput runs a command that does not look at its standard input, and ends
// it and all that it started when that is closed, as our own programs do.
const watchInput = `exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
(cat <&3; kill -9 0) >/dev/null 2>&1 &
wait $pid`

// startProcessAgent starts an agent that is a program of its own: that of its kind, or
// another one with arguments.
func startProcessAgent(t testing.TB, k Kind, program string, args ...string) *Agent {
	t.Helper()
	tr, err := install(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(tr.program(k, program), args...)
	out := &readyWriter{mark: "READY ", ready: make(chan string, 1)}
	if k == GoCLI {
		inner := startGoAgent(t, k, "peer-"+string(k), textExecutor{stop: t.Context().Done()})
		argv = append([]string{"sh", "-c", watchInput, "sh"}, append(argv,
			"serve", "--transport", "jsonrpc", "--port", "0", "--proxy", inner.URL)...)
		out.mark = "Listening on "
	}
	p := startProcess(t, string(k)+" agent", argv, out)

	// Also a process that dies at once must not make the test wait.
	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	var line string
	select {
	case line = <-out.ready:
	case <-p.ended:
		t.Fatalf("peers: the %s agent ended before it served: %v\n%s", k, p.err, out)
	case <-timer.C:
		t.Fatalf("peers: the %s agent does not serve after %s\n%s", k, readyTimeout, out)
	}
	a := &Agent{Kind: k, Version: k.Version()}
	if k == GoCLI {
		a.URL = "http://" + line
		return a
	}
	var ready struct{ URL, Version string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("peers: the %s agent said %q: %v", k, line, err)
	}
	if ready.Version != a.Version {
		t.Fatalf("peers: the %s agent speaks %q, want %q", k, ready.Version, a.Version)
	}
	a.URL = ready.URL
	return a
}

// process is a program that runs until the test ends.
type process struct {
	ended chan struct{} // closed when it has ended
	err   error         // valid then
}

// startProcess starts a program in a process group of its own. When the test
// ends its standard input is closed; what does not leave then is killed.
func startProcess(t testing.TB, name string, argv []string, out *readyWriter) *process {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = processGrace
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("peers: start %s: %v", name, err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("peers: start %s: %v", name, err)
	}
	p := &process{ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = input.Close()
		timer := time.NewTimer(processGrace)
		defer timer.Stop()
		select {
		case <-p.ended:
		case <-timer.C:
		}
		// The group may hold what the program has left behind.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
		if t.Failed() {
			t.Logf("%s:\n%s", name, out)
		}
	})
	return p
}

// runProcessClient runs a client that is a program of its own. Further arguments may
// choose a binding and name the agent.
func runProcessClient(ctx context.Context, k Kind, base, key string, more ...string) (Result, error) {
	tr, err := install(ctx, k)
	if err != nil {
		return Result{}, err
	}
	args := tr.program(k, "client")
	args = append(args, "--base", base)
	if key != "" {
		args = append(args, "--key", key)
	}
	args = append(args, more...)
	out, err := output(ctx, args...)
	if err != nil {
		return Result{}, fmt.Errorf("peers: %s client: %w", k, err)
	}
	var r Result
	if err := json.Unmarshal(out, &r); err != nil {
		return Result{}, fmt.Errorf("peers: %s client said %q: %w", k, out, err)
	}
	return r, nil
}

// output runs a program and returns what it writes. What it says about a
// failure is in the error.
func output(ctx context.Context, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = processGrace
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, &exitError{err: errors.Join(err, context.Cause(ctx)), stderr: strings.TrimSpace(stderr.String())}
	}
	return stdout.Bytes(), nil
}

// exitError is the end of a program that failed.
type exitError struct {
	err    error
	stderr string
}

func (e *exitError) Error() string { return e.err.Error() + "\n" + e.stderr }

func (e *exitError) Unwrap() error { return e.err }

// readyWriter keeps the last of what a program writes and tells of the first
// line that begins with the mark.
type readyWriter struct {
	mark  string
	ready chan string // receives the rest of that line; holds one

	mu   sync.Mutex
	log  []byte
	line []byte
	done bool
}

var _ io.Writer = (*readyWriter)(nil)

func (w *readyWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, b...)
	if extra := len(w.log) - maxLog; extra > 0 {
		w.log = append(w.log[:0], w.log[extra:]...)
	}
	if w.done {
		return len(b), nil
	}
	w.line = append(w.line, b...)
	for {
		line, rest, found := bytes.Cut(w.line, []byte("\n"))
		if !found {
			return len(b), nil
		}
		w.line = rest
		if said, ok := strings.CutPrefix(string(line), w.mark); ok {
			w.ready <- strings.TrimSpace(said)
			w.done = true
			return len(b), nil
		}
	}
}

func (w *readyWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.log)
}
