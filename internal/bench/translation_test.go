package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/bench"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// gatewayHere starts a real gateway in this process, so that translation is
// really done and every reply is checked.
func gatewayHere(t *testing.T) func(context.Context, []bench.Agent) (bench.Gateway, error) {
	return func(_ context.Context, agents []bench.Agent) (bench.Gateway, error) {
		g := gatewaytest.Start(t)
		key := g.Team("bench")
		for _, a := range agents {
			g.Agent(a.ID, "bench", a.URL)
		}
		return bench.Gateway{
			URL: g.AgentURL(agents[0].ID), Address: g.URL, PID: os.Getpid(), Config: []string{"auth", "policy", "record"},
			Header: http.Header{"Authorization": {"Bearer " + key}},
			Stop:   func() error { g.Stop(); return nil },
		}, nil
	}
}

func TestRun_MeasuresEveryPairOfDialects(t *testing.T) {
	opts := quick(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections) // of the management plane
	opts.Workloads = []string{"translation"}
	opts.TranslationDuration, opts.TranslationRounds = 4*time.Millisecond, 1
	opts.JSONOut = filepath.Join(t.TempDir(), "report.json")
	opts.StartGateway = gatewayHere(t)
	report, err := bench.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, caller := range a2a.Dialects {
		for _, agent := range a2a.Dialects {
			want[caller.String()+" "+agent.String()] = true
		}
	}
	got := map[string]bool{}
	for _, c := range report.Translation {
		got[c.Caller+" "+c.Agent] = true
		if c.Calls < 32 || c.Events < 64 || len(c.CPUPerCall) != 1 || len(c.CPUPerEvent) != 1 || c.Call.Min <= 0 || c.Event.Min <= 0 {
			t.Errorf("%s to %s: got %+v, want calls and events in one round, with their processor time", c.Caller, c.Agent, c)
		}
		if same := c.Caller == c.Agent; same && (c.CallRatio != bench.Stat{Median: 1, Min: 1, Max: 1}) || c.EventRatio.Median <= 0 {
			t.Errorf("%s to %s: ratios %+v and %+v are not those to the same dialect", c.Caller, c.Agent, c.CallRatio, c.EventRatio)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pairs of dialects (-want +got):\n%s", diff)
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
	for _, want := range []string{"## translation", "| caller ↓ agent → |", "| GRPC/0.3 | ", "other work took"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
	if strings.Contains(table.String(), "## Goals") {
		t.Errorf("the table has goals that this run has not looked at:\n%s", &table)
	}
}

func TestRun_FailsWhenAPairOfDialectsGetsAnError(t *testing.T) {
	opts := quick(t)
	opts.Workloads = []string{"translation"}
	opts.TranslationDuration, opts.TranslationRounds = time.Millisecond, 1
	opts.StartGateway = func(ctx context.Context, agents []bench.Agent) (bench.Gateway, error) {
		addr, cmd, stop := child(ctx, t, "reverseproxy", strings.TrimPrefix(agents[0].URL[:strings.LastIndex(agents[0].URL, "/dialect")], "http://"))
		return bench.Gateway{URL: "http://" + addr + "/", Address: "http://" + addr, PID: cmd.Process.Pid, Stop: stop}, nil
	}
	_, err := bench.Run(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "JSONRPC/1.0 to JSONRPC/1.0") || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("got error %v, want one that names the pair and the status", err)
	}
}
