package bench

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// column is one figure of a table.
type column struct {
	head   string
	figure string
	scale  float64
}

// columns returns what a table about a kind of workload shows.
func columns(k kind, open bool) []column {
	const mib = 1 << 20
	rss := []column{{"RSS MiB", figRSS, mib}, {"peak MiB", figPeakRSS, mib}}
	switch k {
	case kindParked:
		return append([]column{{"KiB per stream", figStream, 1024}, {"RSS before MiB", figIdleRSS, mib}}, rss...)
	case kindStream:
		return append([]column{
			{"streams/s", figThroughput, 1},
			{"first event p50 µs", figFirstP50, 1},
			{"first event p99 µs", figFirstP99, 1},
			{"whole p50 µs", figP50, 1},
			{"whole p99 µs", figP99, 1},
			{"CPU µs/event", figCPUEvent, 1},
		}, rss...)
	case kindUnary, kindTranslation: // which has tables of its own
	}
	cols := []column{
		{"calls/s", figThroughput, 1},
		{"p50 µs", figP50, 1},
		{"p90 µs", figP90, 1},
		{"p99 µs", figP99, 1},
		{"p99.9 µs", figP999, 1},
		{"CPU µs/call", figCPU, 1},
	}
	if open {
		cols = append(cols, column{"generator late p99 µs", figLagP99, 1})
	}
	return append(cols, rss...)
}

// WriteTable prints the report as Markdown: each figure is the median of the
// rounds, with the least and the greatest in brackets.
func (r *Report) WriteTable(w io.Writer) error {
	var b bytes.Buffer
	r.writeHead(&b)
	done := map[string]bool{}
	for _, res := range r.Results {
		if !done[res.Workload] {
			done[res.Workload] = true
			r.writeWorkload(&b, res)
		}
	}
	r.writeComparisons(&b)
	if len(r.Results) > 0 {
		r.writeGoals(&b)
	}
	r.writeTranslation(&b)
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

func (r *Report) writeHead(b *bytes.Buffer) {
	m, s := r.Machine, r.Settings
	fmt.Fprintf(b, "# Benchmark of %s\n\n", r.Started.Format(time.DateTime+" MST"))
	fmt.Fprintf(b, "- machine: %d × %s, %.1f GiB, %s/%s, kernel %s, load before the run %s\n",
		m.Cores, m.CPU, float64(m.MemoryBytes)/(1<<30), m.OS, m.Arch, m.Kernel, m.LoadAverage)
	fmt.Fprintf(b, "- %s", m.Go)
	if r.Commit != "" {
		fmt.Fprintf(b, ", commit %s", r.Commit)
	}
	for _, t := range r.Targets {
		if t.Version != "" {
			fmt.Fprintf(b, ", %s %s", t.Name, t.Version)
		}
	}
	b.WriteString("\n")
	if len(r.Results) > 0 {
		fmt.Fprintf(b, "- %d rounds of %gs each, targets in turn; median (least – greatest)\n", s.Rounds, s.DurationSeconds)
	}
	for _, t := range r.Targets {
		if t.Name == TargetGateway {
			fmt.Fprintf(b, "- controls of the gateway that are on: %s\n", orNone(strings.Join(t.Config, ", ")))
		}
	}
	var others []float64
	for _, res := range r.Results {
		if kind(res.Kind) != kindParked {
			others = append(others, res.values(figOthers)...)
		}
	}
	for _, c := range r.Translation {
		others = append(others, c.OthersPercent...)
	}
	if len(others) == 0 {
		return
	}
	busy := newStat(others)
	fmt.Fprintf(b, "- other work took %s %% of the machine", spread(busy, 1))
	if busy.Median > quietPercent {
		b.WriteString(": **the machine was not quiet, do not quote latencies of this run**")
	}
	b.WriteString("\n")
}

// quietPercent is how much other work a run may meet and still be quoted.
const quietPercent = 5

func (r *Report) writeWorkload(b *bytes.Buffer, first Result) {
	fmt.Fprintf(b, "\n## %s: %s\n\n", first.Workload, first.Title)
	switch {
	case first.Kind == string(kindParked):
		fmt.Fprintf(b, "%d streams, held for %gs in a fresh process.\n\n", first.Connections, r.Settings.DurationSeconds)
	case first.RatePerSecond > 0:
		fmt.Fprintf(b, "%g calls/s over at most %d connections.\n\n", first.RatePerSecond, first.Connections)
	}
	cols := columns(kind(first.Kind), first.RatePerSecond > 0)
	heads := []string{"target"}
	for _, c := range cols {
		heads = append(heads, c.head)
	}
	writeRow(b, heads)
	writeRule(b, len(heads))
	var ends []string
	for _, target := range Targets() {
		res := r.result(first.Workload, target)
		if res == nil {
			continue
		}
		cells := []string{target}
		for _, c := range cols {
			cells = append(cells, cell(res.Summary, c))
		}
		writeRow(b, cells)
		if child, ok := res.Summary[figChildCPU]; ok {
			ends = append(ends, fmt.Sprintf("children of %s (its private Postgres) %s", target, number(child.Median)))
		}
		if target == TargetDirect {
			ends = append(ends, fmt.Sprintf("load generator %s, agent %s (both measured direct)",
				number(res.Summary[figClientCPU].Median), number(res.Summary[figAgentCPU].Median)))
		}
	}
	if len(ends) > 0 {
		fmt.Fprintf(b, "\nOther CPU µs/call: %s.\n", strings.Join(ends, "; "))
	}
}

func (r *Report) writeComparisons(b *bytes.Buffer) {
	if len(r.Comparisons) == 0 {
		return
	}
	b.WriteString("\n## The gateway against its controls\n\n")
	writeRow(b, []string{"workload", "figure", "÷ control", "ratio"})
	writeRule(b, 4)
	for _, c := range r.Comparisons {
		writeRow(b, []string{c.Workload, figureName(c.Figure), c.Control, spread(c.Ratio, 1)})
	}
}

func figureName(fig string) string {
	switch fig {
	case figCPU:
		return "CPU per call"
	case figCPUEvent:
		return "CPU per event"
	case added + figP50:
		return "added p50"
	case added + figFirstP50:
		return "added time to first event, p50"
	case figStream:
		return "memory per stream"
	}
	return fig
}

func (r *Report) writeGoals(b *bytes.Buffer) {
	if !slices.ContainsFunc(r.Targets, func(t TargetInfo) bool { return t.Name == TargetGateway }) {
		return
	}
	b.WriteString("\n## Goals\n\n")
	writeRow(b, []string{"figure", "workload", "goal", "measured", "met", "where it is going"})
	writeRule(b, 6)
	for _, g := range r.Goals {
		measured, met, later := "not measured in this run", "–", "–"
		if g.Measured != nil {
			measured, met = spread(*g.Measured, 1)+" "+g.Unit, "no"
			if g.Met {
				met = "yes"
			}
		}
		if g.Later > 0 {
			later = "≤ " + number(g.Later) + " " + g.Unit
		}
		writeRow(b, []string{g.Figure, g.Workload, "≤ " + number(g.Limit) + " " + g.Unit, measured, met, later})
	}
}

func cell(summary map[string]Stat, c column) string {
	s, ok := summary[c.figure]
	if !ok {
		return "–"
	}
	return spread(s, c.scale)
}

// spread prints a figure as its median and, if they differ, its bounds.
func spread(s Stat, scale float64) string {
	median, least, greatest := number(s.Median/scale), number(s.Min/scale), number(s.Max/scale)
	if least == greatest {
		return median
	}
	return fmt.Sprintf("%s (%s – %s)", median, least, greatest)
}

// number prints three significant digits, or all before the point.
func number(v float64) string {
	decimals := 0
	switch abs := max(v, -v); {
	case abs == 0:
	case abs < 10:
		decimals = 2
	case abs < 100:
		decimals = 1
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func writeRow(b *bytes.Buffer, cells []string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

func writeRule(b *bytes.Buffer, n int) {
	b.WriteString("| ---" + strings.Repeat(" | ---:", n-1) + " |\n")
}
