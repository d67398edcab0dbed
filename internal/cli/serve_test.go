package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/cli"
)

// serveForBench is what the program does, for processes that a benchmark starts.
func serveForBench() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, os.Args[1:], cli.Config{})
}

// foreground runs a command until stop is called, which returns its exit code.
func foreground(t *testing.T, args ...string) (out, errs *lines, stop func() int) {
	t.Helper()
	out, errs = newLines(), newLines()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- cli.Main(ctx, args, cli.Config{Out: out, Err: errs}) }()
	stopped := false
	stop = func() int {
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			stop()
		}
	})
	return out, errs, stop
}

// field finds what a line of the first ones says.
func field(t *testing.T, text, line string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + line + ` +(\S+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no line %q in:\n%s", line, text)
	}
	return m[1]
}

// clean keeps the settings of who runs the tests out of gateways.
func clean(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "SIGNALBOX_") || name == "DATABASE_URL" {
			value := os.Getenv(name)
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Setenv(name, value) }) //nolint:usetesting // it was unset, which t.Setenv cannot
		}
	}
}

func TestDemo_OneCommandAndItsThreeLinesWorkAgainAfterARestart(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	var adminKey, demoKey string
	for _, start := range []string{"first", "second"} {
		out, errs, stop := foreground(t, "demo", "--listen", "127.0.0.1:0", "--data-dir", dir, "--log-level", "warn",
			"--audit-spool-bytes", "67108864")
		text := out.wait(t, "events list")
		url := field(t, text, "signalbox ready")
		if !strings.HasPrefix(text, "signalbox ready     http://127.0.0.1:") || !strings.HasSuffix(strings.SplitN(text, "\n", 2)[0], url) {
			t.Errorf("%s start: the first line is %q", start, strings.SplitN(text, "\n", 2)[0])
		}
		admin, user := field(t, text, "  admin key"), field(t, text, "  demo key")
		if start == "second" && (admin != adminKey || user != demoKey) {
			t.Errorf("second start: the keys are others: %s, %s", admin, user)
		}
		adminKey, demoKey = admin, user
		for name, key := range map[string]string{"admin.key": admin, "demo.key": user} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || strings.TrimSpace(string(content)) != key {
				t.Errorf("%s start: %s holds %q (%v), want the key that was printed", start, name, content, err)
			}
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
		}
		if want := "echo, researcher, planner (planner calls researcher through the gateway)"; !strings.Contains(text, want) {
			t.Errorf("%s start: no line %q in:\n%s", start, want, text)
		}

		// The first line to try, as curl sends it.
		m := regexp.MustCompile(`try:  curl -s (\S+) -H "Authorization: (Bearer \S+)" -H 'content-type: application/json' -d '(.*)'\n`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s start: no curl in:\n%s", start, text)
		}
		if got := post(t, m[1], m[2], m[3]); !strings.Contains(got, `"text":"hello"`) || !strings.Contains(got, "TASK_STATE_COMPLETED") {
			t.Errorf("%s start: curl got %s", start, got)
		}
		// The record is complete within a second; a tail knows when.
		seen, _, stopTail := foreground(t, "events", "tail", "--after", "0", "--server", url, "--key", admin)
		seen.wait(t, "SendMessage")
		if code := stopTail(); code != 0 {
			t.Errorf("%s start: events tail ended with %d", start, code)
		}
		// The other two, as they are printed.
		for _, try := range []struct{ command, want string }{{"call echo", "hello\n"}, {"events list", "SendMessage"}} {
			line := regexp.MustCompile(`\./bin/signalbox (` + try.command + `.*)\n`).FindStringSubmatch(text)
			if line == nil {
				t.Fatalf("%s start: no %q in:\n%s", start, try.command, text)
			}
			args := strings.Fields(strings.ReplaceAll(line[1], `"`, ""))
			if got := runWith(t, map[string]string{"HOME": dir}, "", args...).ok(t); !strings.Contains(got.out, try.want) {
				t.Errorf("%s start: %q printed %q, want %q in it", start, line[1], got.out, try.want)
			}
		}
		if code := stop(); code != 0 {
			t.Errorf("%s start: exit code %d after a regular stop; stderr:\n%s", start, code, errs)
		}
	}
}

func post(t *testing.T, url, authorization, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestServe_ShowsTheAdminKeyOnlyWhenItIsMade(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	args := []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir, "--log-level", "warn", "--audit-spool-bytes", "67108864"}
	out, errs, stop := foreground(t, args...)
	text := out.wait(t, "admin key")
	if key := field(t, text, "  admin key"); !strings.HasPrefix(key, "sb_") {
		t.Errorf("first start printed the admin key %q", key)
	}
	if code := stop(); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, errs)
	}
	out, errs, stop = foreground(t, args...)
	if text = out.wait(t, "admin.key"); strings.Contains(text, "sb_") {
		t.Errorf("second start printed a key:\n%s", text)
	}
	if code := stop(); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, errs)
	}

	// The schema can be looked at while no gateway runs.
	var status bytes.Buffer
	if code := cli.Main(t.Context(), []string{"migrate", "status", "--data-dir", dir, "--log-level", "warn"}, cli.Config{Out: &status, Err: errs}); code != 0 {
		t.Fatalf("migrate status: exit code %d; stderr:\n%s", code, errs)
	}
	if got := status.String(); !strings.HasPrefix(got, "VERSION") || strings.Contains(got, " no\n") {
		t.Errorf("migrate status after serve:\n%s", got)
	}
}

func TestServe_RefusesWhatItCannotUse(t *testing.T) {
	clean(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address := taken.Addr().String()
	const next = "  next    choose another address with --listen"
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"settings", []string{"serve", "--log-level", "loud"}, 2, "log.level"},
		{"flags of clients", []string{"serve", "--server", "http://x"}, 2, "--server is for commands that call a gateway"},
		{"an output format", []string{"demo", "-o", "json"}, 2, "--output means nothing"},
		{"an address that is taken", []string{"serve", "--listen", address, "--data-dir", t.TempDir()}, 1, address + ": bind: address already in use\n" + next},
		{"a demo's address that is taken", []string{"demo", "--listen", address, "--data-dir", t.TempDir()}, 1, next},
		{"no database", []string{"migrate", "status", "--database-url", "postgres://127.0.0.1:1/none"}, 1, "error:"},
		{"down to nowhere", []string{"migrate", "down"}, 2, `"to" not set`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t, map[string]string{"HOME": t.TempDir()}, "", tt.args...)
			if got.code != tt.code || !strings.Contains(got.err, tt.want) {
				t.Errorf("exit code %d, stderr:\n%s\nwant %d and %q", got.code, got.err, tt.code, tt.want)
			}
		})
	}
}

func TestBench_MeasuresAGatewayOfItsOwn(t *testing.T) {
	clean(t)
	path := filepath.Join(t.TempDir(), "report.json")
	got := runWith(t, map[string]string{"HOME": t.TempDir()}, "", "bench", "--target", "direct,gateway", "--workload", "unary-1k-c1",
		"--duration", "50ms", "--rounds", "1", "--warmup", "10ms", "--settle", "10ms", "--json", path).ok(t)
	if !strings.HasPrefix(got.out, "# Benchmark") || !strings.Contains(got.out, "gateway") {
		t.Errorf("the report is:\n%s", got.out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Targets []struct {
			Name   string
			Config []string
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if n := len(report.Targets); n != 2 || strings.Join(report.Targets[1].Config, " ") != "auth policy record" {
		t.Errorf("targets %+v, want direct and a gateway with auth, policy and record", report.Targets)
	}
}
