package bench

// Comparison is a figure of the gateway divided by that of a control. The
// ratio is taken in each round, where both met the same machine, and then
// summed up.
type Comparison struct {
	Workload string `json:"workload"`
	// Figure is what is compared: "cpu_per_call_us", or with the prefix
	// "added_" a latency less that of the direct call.
	Figure string `json:"figure"`
	// Control is the target that the gateway is compared with.
	Control string `json:"control"`
	// Ratio is gateway ÷ control.
	Ratio Stat `json:"ratio"`
	// Rounds that could be compared. A control that added nothing
	// measurable in a round has no ratio there.
	Rounds int `json:"rounds"`
}

// added marks the part of a latency that a proxy adds to the direct call.
const added = "added_"

// Goal is a figure that the gateway is to reach, beside what was measured.
type Goal struct {
	Figure   string `json:"figure"`
	Workload string `json:"workload"`
	// Unit of Measured and Limit: "×", "µs" or "KiB".
	Unit  string  `json:"unit"`
	Limit float64 `json:"limit"`
	// Later is the limit of a coming round, 0 for none.
	Later float64 `json:"later,omitempty"`
	// Measured is nil when this run does not tell.
	Measured *Stat `json:"measured,omitempty"`
	// Met says whether the median keeps to the limit.
	Met bool `json:"met"`
}

// compare sets the gateway against every control in every workload.
func (r *Report) compare() []Comparison {
	var out []Comparison
	seen := map[string]bool{}
	for _, res := range r.Results {
		if seen[res.Workload] {
			continue
		}
		seen[res.Workload] = true
		for _, control := range []string{TargetRelay, TargetNginx, TargetReverseProxy} {
			for _, fig := range []string{figCPU, figCPUEvent, added + figP50, added + figFirstP50, figStream} {
				if c, ok := r.ratio(res.Workload, fig, control); ok {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// ratio compares one figure in one workload.
func (r *Report) ratio(workload, fig, control string) (Comparison, bool) {
	ours, theirs := r.series(workload, TargetGateway, fig), r.series(workload, control, fig)
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] > 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	// Where the control is mostly lost in the noise, the rest is chance.
	if len(ratios) == 0 || 2*len(ratios) < len(ours) {
		return Comparison{}, false
	}
	return Comparison{Workload: workload, Figure: fig, Control: control, Ratio: newStat(ratios), Rounds: len(ratios)}, true
}

// series returns a figure of a target round by round, or nil where it was not
// measured.
func (r *Report) series(workload, target, fig string) []float64 {
	res := r.result(workload, target)
	if res == nil {
		return nil
	}
	base := fig
	if len(fig) > len(added) && fig[:len(added)] == added {
		base = fig[len(added):]
	}
	if _, ok := res.Summary[base]; !ok {
		return nil
	}
	values := res.values(base)
	if base == fig {
		return values
	}
	direct := r.result(workload, TargetDirect)
	if direct == nil {
		return nil
	}
	for i, v := range direct.values(base) {
		if i < len(values) {
			values[i] -= v
		}
	}
	return values
}

// judge sets the goals of the gateway beside the measured figures.
func (r *Report) judge() []Goal {
	const kib = 1024
	goals := []Goal{
		r.ratioGoal("CPU per governed unary call ÷ bare ReverseProxy", loadUnaryMany, figCPU, TargetReverseProxy, 0.9, 0),
		r.ratioGoal("CPU per governed unary call ÷ bare ReverseProxy", loadUnaryOne, figCPU, TargetReverseProxy, 0.9, 0),
		r.ratioGoal("CPU per governed unary call ÷ nginx", loadUnaryMany, figCPU, TargetNginx, 4, 2),
		r.ratioGoal("CPU per governed unary call ÷ nginx", loadUnaryOne, figCPU, TargetNginx, 4, 2),
		r.ratioGoal("added p50 at one connection ÷ what nginx adds", loadUnaryOne, added+figP50, TargetNginx, 1.5, 1.3),
		r.ratioGoal("added time to first event ÷ what nginx adds", loadStream, added+figFirstP50, TargetNginx, 1.5, 1.2),
		r.valueGoal("CPU per forwarded event, each sent alone", loadStreamPaced, figCPUEvent, "µs", 1, 15, 10),
		r.valueGoal("CPU per forwarded event, all sent at once", loadStream, figCPUEvent, "µs", 1, 15, 10),
		r.valueGoal("memory per parked stream", loadParked, figStream, "KiB", kib, 72, 40),
	}
	for i, g := range goals {
		goals[i].Met = g.Measured != nil && g.Measured.Median <= g.Limit
	}
	return goals
}

func (r *Report) ratioGoal(name, workload, fig, control string, limit, later float64) Goal {
	g := Goal{Figure: name, Workload: workload, Unit: "×", Limit: limit, Later: later}
	if c, ok := r.ratio(workload, fig, control); ok {
		g.Measured = &c.Ratio
	}
	return g
}

func (r *Report) valueGoal(name, workload, fig, unit string, scale, limit, later float64) Goal {
	g := Goal{Figure: name, Workload: workload, Unit: unit, Limit: limit, Later: later}
	if values := r.series(workload, TargetGateway, fig); len(values) > 0 {
		s := newStat(values)
		g.Measured = &Stat{Median: s.Median / scale, Min: s.Min / scale, Max: s.Max / scale}
	}
	return g
}
