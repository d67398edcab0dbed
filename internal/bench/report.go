package bench

import (
	"slices"
	"time"
)

// Report is the outcome of a run.
type Report struct {
	// Started is when the run began, in UTC.
	Started time.Time `json:"started"`
	// Commit of the gateway's sources, if it was given.
	Commit string `json:"commit,omitempty"`
	// Machine on which everything ran.
	Machine Machine `json:"machine"`
	// Settings of the run.
	Settings Settings `json:"settings"`
	// Targets that were measured.
	Targets []TargetInfo `json:"targets"`
	// Results by workload and target.
	Results []Result `json:"results"`
	// Translation has a cell for each pair of a caller's and an agent's dialect.
	Translation []TranslationCell `json:"translation,omitempty"`
	// Comparisons of the gateway with its controls.
	Comparisons []Comparison `json:"comparisons"`
	// Goals beside the measured figures.
	Goals []Goal `json:"goals"`
}

// Machine says where the figures come from.
type Machine struct {
	Cores       int    `json:"cores"`
	CPU         string `json:"cpu"`
	MemoryBytes int64  `json:"memory_bytes"`
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	Kernel      string `json:"kernel"`
	Go          string `json:"go"`
	// LoadAverage is that of the last 1, 5 and 15 minutes before the run: what
	// else the machine was doing.
	LoadAverage string `json:"load_average"`
}

// Settings are the options that decide what the figures mean.
type Settings struct {
	DurationSeconds float64 `json:"duration_seconds"`
	Rounds          int     `json:"rounds"`
	WarmupSeconds   float64 `json:"warmup_seconds"`
	SettleSeconds   float64 `json:"settle_seconds"`
	RatePerSecond   float64 `json:"rate_per_second"`
	ParkedStreams   int     `json:"parked_streams"`
	EventsPerStream int     `json:"events_per_stream"`

	TranslationSeconds float64 `json:"translation_seconds"`
	TranslationRounds  int     `json:"translation_rounds"`
}

// TargetInfo describes a target.
type TargetInfo struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Config names the controls that are on.
	Config []string `json:"config,omitempty"`
}

// Result is one workload on one target.
type Result struct {
	Workload    string `json:"workload"`
	Title       string `json:"title"`
	Kind        string `json:"kind"`
	Target      string `json:"target"`
	Connections int    `json:"connections"`
	// RatePerSecond is the rate of an open loop, 0 for a closed one.
	RatePerSecond float64 `json:"rate_per_second,omitempty"`
	// Rounds as they were measured, in their order.
	Rounds []Round `json:"rounds"`
	// Summary holds median, minimum and maximum over the rounds, by the name
	// that the figure has in a round.
	Summary map[string]Stat `json:"summary"`
}

// Round is what one round of one workload on one target gave. Latencies are
// in microseconds, processor times in microseconds of the named process.
type Round struct {
	Calls          int64   `json:"calls"`
	Events         int64   `json:"events,omitempty"`
	Reconnects     int64   `json:"reconnects"`
	ElapsedSeconds float64 `json:"elapsed_seconds"`
	Throughput     float64 `json:"calls_per_second,omitempty"`

	P50  float64 `json:"p50_us,omitempty"`
	P90  float64 `json:"p90_us,omitempty"`
	P99  float64 `json:"p99_us,omitempty"`
	P999 float64 `json:"p99_9_us,omitempty"`
	Max  float64 `json:"max_us,omitempty"`

	// Time to the first event of a stream.
	FirstP50 float64 `json:"first_event_p50_us,omitempty"`
	FirstP99 float64 `json:"first_event_p99_us,omitempty"`

	// CPUPerCall is the proxy's own time, 0 for direct; work that it puts off
	// is in it, as far as it is done within the settling time.
	CPUPerCall float64 `json:"cpu_per_call_us,omitempty"`
	// CPUPerEvent is the same divided by the events of streams.
	CPUPerEvent float64 `json:"cpu_per_event_us,omitempty"`
	// ChildCPUPerCall is the time of the gateway's children, such as its
	// private Postgres, which would run elsewhere in earnest.
	ChildCPUPerCall float64 `json:"child_cpu_per_call_us,omitempty"`
	// AgentCPUPerCall and ClientCPUPerCall show that neither end dominates.
	AgentCPUPerCall  float64 `json:"agent_cpu_per_call_us,omitempty"`
	ClientCPUPerCall float64 `json:"client_cpu_per_call_us,omitempty"`

	// OthersPercent is the part of the machine that was busy with something
	// that does not belong to the benchmark.
	OthersPercent float64 `json:"others_percent,omitempty"`

	// LagP50 and LagP99 are how late the generator of an open loop itself was.
	LagP50 float64 `json:"generator_lag_p50_us,omitempty"`
	LagP99 float64 `json:"generator_lag_p99_us,omitempty"`

	RSSBytes     int64 `json:"rss_bytes,omitempty"`
	PeakRSSBytes int64 `json:"peak_rss_bytes,omitempty"`
	// IdleRSSBytes and BytesPerStream belong to parked streams.
	IdleRSSBytes   int64   `json:"idle_rss_bytes,omitempty"`
	BytesPerStream float64 `json:"bytes_per_stream,omitempty"`
}

// figure is a number of a round that is summed up over the rounds.
type figure struct {
	name string
	of   func(Round) float64
}

// Names of the figures that tables and comparisons use.
const (
	figThroughput = "calls_per_second"
	figP50        = "p50_us"
	figP90        = "p90_us"
	figP99        = "p99_us"
	figP999       = "p99_9_us"
	figFirstP50   = "first_event_p50_us"
	figFirstP99   = "first_event_p99_us"
	figCPU        = "cpu_per_call_us"
	figCPUEvent   = "cpu_per_event_us"
	figChildCPU   = "child_cpu_per_call_us"
	figAgentCPU   = "agent_cpu_per_call_us"
	figClientCPU  = "client_cpu_per_call_us"
	figLagP99     = "generator_lag_p99_us"
	figOthers     = "others_percent"
	figRSS        = "rss_bytes"
	figPeakRSS    = "peak_rss_bytes"
	figIdleRSS    = "idle_rss_bytes"
	figStream     = "bytes_per_stream"
)

func figures() []figure {
	return []figure{
		{figThroughput, func(r Round) float64 { return r.Throughput }},
		{figP50, func(r Round) float64 { return r.P50 }},
		{figP90, func(r Round) float64 { return r.P90 }},
		{figP99, func(r Round) float64 { return r.P99 }},
		{figP999, func(r Round) float64 { return r.P999 }},
		{figFirstP50, func(r Round) float64 { return r.FirstP50 }},
		{figFirstP99, func(r Round) float64 { return r.FirstP99 }},
		{figCPU, func(r Round) float64 { return r.CPUPerCall }},
		{figCPUEvent, func(r Round) float64 { return r.CPUPerEvent }},
		{figChildCPU, func(r Round) float64 { return r.ChildCPUPerCall }},
		{figAgentCPU, func(r Round) float64 { return r.AgentCPUPerCall }},
		{figClientCPU, func(r Round) float64 { return r.ClientCPUPerCall }},
		{figLagP99, func(r Round) float64 { return r.LagP99 }},
		{figOthers, func(r Round) float64 { return r.OthersPercent }},
		{figRSS, func(r Round) float64 { return float64(r.RSSBytes) }},
		{figPeakRSS, func(r Round) float64 { return float64(r.PeakRSSBytes) }},
		{figIdleRSS, func(r Round) float64 { return float64(r.IdleRSSBytes) }},
		{figStream, func(r Round) float64 { return r.BytesPerStream }},
	}
}

// Stat is a figure over all rounds.
type Stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// newStat sums up at least one value; of an even number the median is the
// mean of the middle two.
func newStat(values []float64) Stat {
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return Stat{Median: median, Min: v[0], Max: v[len(v)-1]}
}

// summarise fills Summary from Rounds. A figure that is 0 in every round does
// not apply and is left out.
func (r *Result) summarise() {
	r.Summary = map[string]Stat{}
	for _, f := range figures() {
		values := r.values(f.name)
		if slices.ContainsFunc(values, func(v float64) bool { return v != 0 }) {
			r.Summary[f.name] = newStat(values)
		}
	}
}

// values returns a figure of all rounds in their order.
func (r *Result) values(name string) []float64 {
	all := figures()
	i := slices.IndexFunc(all, func(f figure) bool { return f.name == name })
	if i < 0 {
		panic("bench: no figure " + name)
	}
	values := make([]float64, len(r.Rounds))
	for n, round := range r.Rounds {
		values[n] = all[i].of(round)
	}
	return values
}

// conclude derives everything that follows from the rounds.
func (r *Report) conclude() {
	for i := range r.Results {
		r.Results[i].summarise()
	}
	summariseTranslation(r.Translation)
	r.Comparisons = r.compare()
	r.Goals = r.judge()
}

// result returns one workload on one target, or nil.
func (r *Report) result(workload, target string) *Result {
	for i := range r.Results {
		if r.Results[i].Workload == workload && r.Results[i].Target == target {
			return &r.Results[i]
		}
	}
	return nil
}

// addTarget describes a target once.
func (r *Report) addTarget(t *target) {
	if !slices.ContainsFunc(r.Targets, func(i TargetInfo) bool { return i.Name == t.name }) {
		r.Targets = append(r.Targets, TargetInfo{Name: t.name, Version: t.version, Config: t.config})
	}
	slices.SortFunc(r.Targets, func(a, b TargetInfo) int {
		return slices.Index(Targets(), a.Name) - slices.Index(Targets(), b.Name)
	})
}
