package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewStat_IsMedianAndBounds(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   Stat
	}{
		{"one", []float64{4}, Stat{4, 4, 4}},
		{"odd, unordered", []float64{9, 1, 5}, Stat{5, 1, 9}},
		{"even", []float64{1, 10, 4, 2}, Stat{3, 1, 10}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, newStat(tt.values)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// sample is a report of three rounds; the machine is twice as slow in the
// second one, which ratios inside a round do not feel.
func sample(gatewayAdds, nginxAdds float64) *Report {
	r := &Report{}
	slow := []float64{1, 2, 1}
	for target, base := range map[string]Round{
		TargetDirect:       {P50: 100},
		TargetNginx:        {P50: 100 + nginxAdds, CPUPerCall: 20},
		TargetReverseProxy: {P50: 200, CPUPerCall: 80},
		TargetGateway:      {P50: 100 + gatewayAdds, CPUPerCall: 60},
	} {
		res := Result{Workload: loadUnaryOne, Kind: string(kindUnary), Target: target}
		for _, f := range slow {
			res.Rounds = append(res.Rounds, Round{P50: base.P50 * f, CPUPerCall: base.CPUPerCall * f})
		}
		r.Results = append(r.Results, res)
	}
	r.conclude()
	return r
}

func goal(t *testing.T, r *Report, fig string, workload string) Goal {
	t.Helper()
	for _, g := range r.Goals {
		if g.Figure == fig && g.Workload == workload {
			return g
		}
	}
	t.Fatalf("no goal %q for %s", fig, workload)
	return Goal{}
}

func TestReport_RatiosAreTakenWithinARound(t *testing.T) {
	r := sample(30, 25)
	tests := []struct {
		fig  string
		want Stat
		met  bool
	}{
		{"CPU per governed unary call ÷ bare ReverseProxy", Stat{0.75, 0.75, 0.75}, true},
		{"CPU per governed unary call ÷ nginx", Stat{3, 3, 3}, true},
		{"added p50 at one connection ÷ what nginx adds", Stat{1.2, 1.2, 1.2}, true},
	}
	for _, tt := range tests {
		g := goal(t, r, tt.fig, loadUnaryOne)
		if g.Measured == nil {
			t.Errorf("%s was not measured", tt.fig)
			continue
		}
		if diff := cmp.Diff(tt.want, *g.Measured); diff != "" || g.Met != tt.met {
			t.Errorf("%s: met %t, want %t (-want +got):\n%s", tt.fig, g.Met, tt.met, diff)
		}
	}
}

func TestReport_GoalsThatAreMissedOrUnknownAreNotMet(t *testing.T) {
	const addedP50 = "added p50 at one connection ÷ what nginx adds"
	if g := goal(t, sample(80, 20), addedP50, loadUnaryOne); g.Met || g.Measured == nil || g.Measured.Median != 4 {
		t.Errorf("four times as much as nginx adds: got %+v, want measured and not met", g)
	}
	if g := goal(t, sample(80, -5), addedP50, loadUnaryOne); g.Met || g.Measured != nil {
		t.Errorf("nginx lost in the noise: got %+v, want no ratio", g)
	}
	if g := goal(t, sample(30, 25), "memory per parked stream", loadParked); g.Met || g.Measured != nil {
		t.Errorf("a workload that was not run: got %+v, want not measured", g)
	}
}

func TestHistogram_KeepsThreeDigits(t *testing.T) {
	h := newHistogram()
	for i := range 1000 {
		if err := h.RecordValue(int64(i+1) * int64(time.Microsecond)); err != nil {
			t.Fatal(err)
		}
	}
	for percentile, want := range map[float64]float64{50: 500, 90: 900, 99: 990, 99.9: 999} {
		if got := micros(h, percentile); got < want*0.998 || got > want*1.002 {
			t.Errorf("p%g is %g µs, want %g", percentile, got, want)
		}
	}
	if err := h.RecordValue(histMax * 2); err == nil {
		t.Error("a value beyond the histogram was swallowed")
	}
}

func TestOthersPercent_LeavesOutWhatTakesPart(t *testing.T) {
	begin := time.Unix(0, 0)
	after := snapshot{
		at:      begin.Add(10 * time.Second),
		target:  usage{own: 4 * time.Second, children: time.Second},
		agent:   2 * time.Second,
		machine: 12 * time.Second, ourselves: 3 * time.Second,
	}
	if got := othersPercent(snapshot{at: begin}, after, 2); got != 10 {
		t.Errorf("got %g %%, want 10: 2 of 20 s", got)
	}
}

func TestNumber_KeepsWhatMatters(t *testing.T) {
	for in, want := range map[float64]string{0: "0", 0.754: "0.75", 3: "3", -1.5: "-1.5", 42.25: "42.2", 100: "100", 12345.6: "12346"} {
		if got := number(in); got != want {
			t.Errorf("number(%g) = %q, want %q", in, got, want)
		}
	}
}

// The machine is twice as slow in the second round, which ratios do not feel.
func TestTranslation_RatiosAreToTheCallersOwnDialectInTheSameRound(t *testing.T) {
	cells := []TranslationCell{
		{Caller: "a", Agent: "a", CPUPerCall: []float64{10, 20}, CPUPerEvent: []float64{4, 8}},
		{Caller: "a", Agent: "b", CPUPerCall: []float64{15, 30}, CPUPerEvent: []float64{2, 4}},
		{Caller: "b", Agent: "a", CPUPerCall: []float64{60, 120}, CPUPerEvent: []float64{3, 6}},
		{Caller: "b", Agent: "b", CPUPerCall: []float64{20, 40}, CPUPerEvent: []float64{1, 2}},
	}
	summariseTranslation(cells)
	want := []TranslationCell{
		{CallRatio: Stat{1, 1, 1}, EventRatio: Stat{1, 1, 1}, Call: Stat{15, 10, 20}, Event: Stat{6, 4, 8}},
		{CallRatio: Stat{1.5, 1.5, 1.5}, EventRatio: Stat{0.5, 0.5, 0.5}, Call: Stat{22.5, 15, 30}, Event: Stat{3, 2, 4}},
		{CallRatio: Stat{3, 3, 3}, EventRatio: Stat{3, 3, 3}, Call: Stat{90, 60, 120}, Event: Stat{4.5, 3, 6}},
		{CallRatio: Stat{1, 1, 1}, EventRatio: Stat{1, 1, 1}, Call: Stat{30, 20, 40}, Event: Stat{1.5, 1, 2}},
	}
	for i := range want {
		want[i].Caller, want[i].Agent, want[i].CPUPerCall, want[i].CPUPerEvent = cells[i].Caller, cells[i].Agent, cells[i].CPUPerCall, cells[i].CPUPerEvent
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}
