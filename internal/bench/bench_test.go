package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/bench"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// TestMain lets the test binary stand in for the signalbox binary when a run
// starts its helper processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "bench" && os.Args[2] == "helper" {
		if err := bench.RunHelper(context.Background(), os.Args[3], os.Args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// The race detector keeps a process for a second after its end, which
	// would be most of this test's time.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(pgtest.Wrap(m))
}

// quick returns options of a run that takes as little time as it can.
func quick(t *testing.T) bench.Options {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are measured on Linux only")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return bench.Options{
		Executable:    exe,
		Duration:      60 * time.Millisecond,
		Warmup:        20 * time.Millisecond,
		Settle:        10 * time.Millisecond,
		Rounds:        2,
		Rate:          200,
		ParkedStreams: 40,
	}
}

func TestRun_MeasuresEveryWorkloadOnEveryControl(t *testing.T) {
	opts := quick(t)
	opts.Targets = []string{bench.TargetReverseProxy, bench.TargetDirect, bench.TargetRelay}
	opts.JSONOut = filepath.Join(t.TempDir(), "report.json")
	opts.Commit = "0123abc"
	report, err := bench.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}

	for _, workload := range bench.Workloads() {
		if workload == "translation" {
			continue // it has no control that translates
		}
		for _, target := range []string{bench.TargetDirect, bench.TargetRelay, bench.TargetReverseProxy} {
			if workload == "parked" && target == bench.TargetDirect {
				continue // there is no process whose memory could grow
			}
			res := find(report, workload, target)
			if res == nil || len(res.Rounds) != opts.Rounds {
				t.Errorf("%s on %s: got %+v, want %d rounds", workload, target, res, opts.Rounds)
				continue
			}
			for _, round := range res.Rounds {
				checkRound(t, workload, target, round)
			}
		}
	}

	data, err := os.ReadFile(opts.JSONOut)
	if err != nil {
		t.Fatal(err)
	}
	var read bench.Report
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, &read); diff != "" {
		t.Errorf("the JSON file differs from the report (-returned +file):\n%s", diff)
	}
	var table bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## unary-64k-c32", "| reverseproxy |", "commit 0123abc", report.Machine.Kernel} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
}

func checkRound(t *testing.T, workload, target string, r bench.Round) {
	t.Helper()
	switch {
	case r.Calls <= 0:
		t.Errorf("%s on %s: no calls", workload, target)
	case target != bench.TargetDirect && r.RSSBytes <= 0:
		t.Errorf("%s on %s: no memory was read", workload, target)
	case workload == "parked":
		if r.Calls != 40 || r.IdleRSSBytes <= 0 {
			t.Errorf("parked on %s: got %+v, want 40 streams and the memory before", target, r)
		}
	case r.P50 <= 0 || r.P90 < r.P50 || r.P999 < r.P99:
		t.Errorf("%s on %s: percentiles do not rise: %+v", workload, target, r)
	case target != bench.TargetDirect && r.CPUPerCall <= 0:
		t.Errorf("%s on %s: no processor time was read", workload, target)
	case strings.HasPrefix(workload, "stream") && (r.Events != r.Calls*64 || r.FirstP50 <= 0 || r.FirstP50 > r.P50):
		t.Errorf("%s on %s: events do not fit the calls: %+v", workload, target, r)
	}
}

func find(r *bench.Report, workload, target string) *bench.Result {
	for i := range r.Results {
		if r.Results[i].Workload == workload && r.Results[i].Target == target {
			return &r.Results[i]
		}
	}
	return nil
}

// child starts a helper process by hand, as a caller starts its gateway.
func child(ctx context.Context, t *testing.T, kind, target string) (addr string, cmd *exec.Cmd, stop func() error) {
	t.Helper()
	cmd = exec.CommandContext(ctx, os.Args[0], "bench", "helper", kind, "--target", target)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		t.Fatalf("helper %s said %q", kind, line)
	}
	return addr, cmd, func() error { return errors.Join(stdin.Close(), cmd.Wait()) }
}

// The engine's side of StartGateway is tested with a proxy that is at hand;
// what the real gateway costs is measured, not tested.
func TestRun_ComparesTheGatewayWithItsControls(t *testing.T) {
	opts := quick(t)
	opts.Targets = []string{bench.TargetDirect, bench.TargetReverseProxy, bench.TargetGateway}
	opts.Workloads = []string{"unary-1k-c32", "parked"}
	started, stopped := 0, 0
	opts.StartGateway = func(ctx context.Context, agents []bench.Agent) (bench.Gateway, error) {
		addr, cmd, stop := child(ctx, t, "reverseproxy", strings.TrimPrefix(agents[0].URL, "http://"))
		started++
		return bench.Gateway{
			URL:    "http://" + addr + "/",
			Header: http.Header{"Authorization": {"Bearer secret"}},
			PID:    cmd.Process.Pid,
			Config: []string{"auth", "policy", "record"},
			Stop:   func() error { stopped++; return stop() },
		}, nil
	}
	report, err := bench.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	// One for the timed workloads and a fresh one per round of parked streams.
	if want := 1 + opts.Rounds; started != want || stopped != want {
		t.Errorf("started %d and stopped %d gateways, want %d each", started, stopped, want)
	}
	got := map[string]bool{}
	for _, c := range report.Comparisons {
		got[c.Workload+" "+c.Figure+" "+c.Control] = c.Ratio.Median > 0
	}
	for _, want := range []string{"unary-1k-c32 cpu_per_call_us reverseproxy", "parked bytes_per_stream reverseproxy"} {
		if !got[want] {
			t.Errorf("no comparison %q in %v", want, got)
		}
	}
	var table bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"controls of the gateway that are on: auth, policy, record", "≤ 72 KiB", "not measured in this run"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
	if strings.Contains(table.String(), "secret") {
		t.Error("the table shows a credential")
	}
}

func TestRun_FailsWhenATargetAnswersErrors(t *testing.T) {
	opts := quick(t)
	opts.Targets = []string{bench.TargetGateway}
	opts.Workloads = []string{"unary-1k-c1"}
	opts.StartGateway = func(ctx context.Context, agents []bench.Agent) (bench.Gateway, error) {
		addr, cmd, stop := child(ctx, t, "reverseproxy", strings.TrimPrefix(agents[0].URL, "http://"))
		return bench.Gateway{URL: "http://" + addr + "/no/such/agent", PID: cmd.Process.Pid, Stop: stop}, nil
	}
	_, err := bench.Run(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "status 404") || !strings.Contains(err.Error(), bench.TargetGateway) {
		t.Errorf("got error %v, want one that names the target and the status", err)
	}
}

func TestRun_MeasuresNginx(t *testing.T) {
	opts := quick(t)
	opts.Targets = []string{bench.TargetNginx}
	opts.Workloads = []string{"parked", "unary-64k-c1", "stream-64"}
	report, err := bench.Run(t.Context(), opts)
	if err != nil && strings.Contains(err.Error(), "nginx was not found") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range report.Results {
		for _, round := range res.Rounds {
			checkRound(t, res.Workload, res.Target, round)
		}
	}
	if report.Targets[0].Version == "" {
		t.Error("the version of nginx is not in the report")
	}
}

func TestRun_RefusesWhatItCannotMeasure(t *testing.T) {
	tests := []struct {
		name string
		edit func(*bench.Options)
		want string
	}{
		{"unknown target", func(o *bench.Options) { o.Targets = []string{"envoy"} }, `unknown target "envoy"`},
		{"unknown workload", func(o *bench.Options) { o.Workloads = []string{"unary"} }, `unknown workload "unary"`},
		{"gateway without a way to start it", func(o *bench.Options) { o.Targets = []string{bench.TargetGateway} }, "StartGateway is required"},
		{"nginx at a wrong path", func(o *bench.Options) { o.Targets = nil; o.NginxPath = "/no/nginx" }, "/no/nginx"},
		{"translation without the gateway", func(o *bench.Options) { o.Workloads = []string{"translation"} }, "only the target gateway"},
		{"negative rounds", func(o *bench.Options) { o.Rounds = -1 }, "must be positive"},
		{"a binary without helpers", func(o *bench.Options) { o.Executable = "/bin/false" }, "ended at once"},
		{"no binary", func(o *bench.Options) { o.Executable = "/no/signalbox" }, "/no/signalbox"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := quick(t)
			opts.Targets = []string{bench.TargetDirect}
			tt.edit(&opts)
			if _, err := bench.Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	opts := quick(t)
	opts.Targets = []string{bench.TargetDirect, bench.TargetRelay}
	opts.Duration = time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("operator pressed a key")
	opts.Workloads = []string{"unary-1k-c1"}
	opts.Out = writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("warm up tcp-relay")) {
			cancel(stop)
		}
		return len(p), nil
	})
	if _, err := bench.Run(ctx, opts); !errors.Is(err, stop) {
		t.Errorf("got error %v, want %v", err, stop)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRunHelper_EndsWhenItsStarterIsGone(t *testing.T) {
	for _, kind := range bench.HelperKinds() {
		t.Run(kind, func(t *testing.T) {
			addr, _, stop := child(t.Context(), t, kind, "127.0.0.1:1")
			if addr == "" {
				t.Fatal("no address")
			}
			// stop closes standard input and waits; the test's deadline is
			// the limit, and a status other than 0 is an error.
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunHelper_SaysWhatIsWrongWithItsArguments(t *testing.T) {
	tests := []struct {
		name, kind string
		args       []string
		want       string
	}{
		{"unknown kind", "cache", nil, "unknown kind"},
		{"no target", "relay", nil, "--target is required"},
		{"unknown flag", "upstream", []string{"--fast"}, "-fast"},
		{"address in use or bad", "upstream", []string{"--listen", "256.0.0.1:x"}, "listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"bench", "helper", tt.kind}, tt.args...)...)
			var stderr bytes.Buffer
			cmd.Stderr, cmd.Stdout = &stderr, io.Discard
			if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("got error %v, %q, want text %q", err, &stderr, tt.want)
			}
		})
	}
}
