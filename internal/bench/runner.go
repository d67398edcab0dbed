package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// grace is how long a round may take beyond its duration before its calls are
// broken off.
const grace = 30 * time.Second

// runner holds what all rounds of a run share.
type runner struct {
	opts     Options
	nonce    string
	seq      atomic.Int64 // of call ids
	upstream *process
}

// run starts the agent and the targets, takes the rounds, and stops everything.
func (r *runner) run(ctx context.Context, loads []workload) (report *Report, err error) {
	report = &Report{
		Started: time.Now().UTC(),
		Commit:  r.opts.Commit,
		Machine: Machine{
			Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		},
		Settings: Settings{
			DurationSeconds: r.opts.Duration.Seconds(),
			Rounds:          r.opts.Rounds,
			WarmupSeconds:   r.opts.Warmup.Seconds(),
			SettleSeconds:   r.opts.Settle.Seconds(),
			RatePerSecond:   r.opts.Rate,
			ParkedStreams:   r.opts.ParkedStreams,
			EventsPerStream: streamEvents,

			TranslationSeconds: r.opts.TranslationDuration.Seconds(),
			TranslationRounds:  r.opts.TranslationRounds,
		},
	}
	machineFacts(&report.Machine)

	r.upstream, err = startHelper(ctx, r.opts.Executable, helperUpstream, "")
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	defer func() { err = errors.Join(err, r.upstream.stop()) }()

	// Parked streams come first and bring their own targets: memory is only
	// comparable in processes that did nothing else before.
	loads = slices.Clone(loads)
	if i := slices.IndexFunc(loads, func(w workload) bool { return w.kind == kindParked }); i >= 0 {
		if err := r.parkedRounds(ctx, report, loads[i]); err != nil {
			return nil, err
		}
		loads = slices.Delete(loads, i, i+1)
	}
	translates := slices.ContainsFunc(loads, func(w workload) bool { return w.kind == kindTranslation })
	loads = slices.DeleteFunc(loads, func(w workload) bool { return w.kind == kindTranslation })
	if len(loads) > 0 {
		if err := r.timedRounds(ctx, report, loads); err != nil {
			return nil, err
		}
	}
	if translates {
		if err := r.translationRounds(ctx, report); err != nil {
			return nil, err
		}
	}
	report.conclude()
	return report, nil
}

// timedRounds takes the rounds of all workloads that have targets in turn. All
// targets are up all the time; they take turns within a round.
func (r *runner) timedRounds(ctx context.Context, report *Report, loads []workload) (err error) {
	var targets []*target
	defer func() {
		for _, t := range slices.Backward(targets) {
			if stopErr := t.stop(); stopErr != nil {
				err = errors.Join(err, fmt.Errorf("stop %s: %w", t.name, stopErr))
			}
		}
	}()
	for _, name := range r.opts.Targets {
		r.progress("start %s", name)
		t, err := r.launch(ctx, name, r.upstream.addr)
		if err != nil {
			return err
		}
		targets = append(targets, t)
		report.addTarget(t)
	}
	for _, w := range loads {
		results := make([]*Result, len(targets))
		for i, t := range targets {
			r.progress("%s: warm up %s", w.name, t.name)
			if _, err := r.round(ctx, t, w, r.opts.Warmup); err != nil {
				return fmt.Errorf("%s, %s, warm-up: %w", w.name, t.name, err)
			}
			results[i] = &Result{Workload: w.name, Title: w.title, Kind: string(w.kind), Target: t.name, Connections: w.conns}
			if w.open {
				results[i].RatePerSecond = r.opts.Rate
			}
		}
		for n := range r.opts.Rounds {
			for i := range targets {
				// Another target begins each round, so that none always
				// follows the same one.
				at := (i + n) % len(targets)
				t := targets[at]
				round, err := r.round(ctx, t, w, r.opts.Duration)
				if err != nil {
					return fmt.Errorf("%s, %s, round %d: %w", w.name, t.name, n+1, err)
				}
				results[at].Rounds = append(results[at].Rounds, round)
				r.progress("%s: round %d of %d, %s: %d calls, p50 %.0f µs", w.name, n+1, r.opts.Rounds, t.name, round.Calls, round.P50)
			}
		}
		for _, res := range results {
			report.Results = append(report.Results, *res)
		}
	}
	return nil
}

// snapshot is what all processes used up to a moment.
type snapshot struct {
	at               time.Time
	target           usage
	agent, ourselves time.Duration
	machine          time.Duration
}

// total is what the processes that take part used together.
func (s snapshot) total() time.Duration {
	return s.target.own + s.target.children + s.agent + s.ourselves
}

// othersPercent is the part of the machine that was busy with something else
// between two snapshots.
func othersPercent(before, after snapshot, cores int) float64 {
	others := (after.machine - before.machine) - (after.total() - before.total())
	return max(0, 100*float64(others)/(float64(after.at.Sub(before.at))*float64(cores)))
}

func (r *runner) snapshot(t *target) (s snapshot, err error) {
	if s.target, err = t.cpu(); err != nil {
		return s, fmt.Errorf("%s: %w", t.name, err)
	}
	if s.agent, err = cpuTime(r.upstream.pid()); err != nil {
		return s, fmt.Errorf("agent: %w", err)
	}
	if s.ourselves, err = cpuTime(os.Getpid()); err != nil {
		return s, err
	}
	s.at = time.Now()
	s.machine, err = machineTime()
	return s, err
}

// round loads one target for about d and returns what was seen.
func (r *runner) round(ctx context.Context, t *target, w workload, d time.Duration) (Round, error) {
	lanes, err := r.lanes(t, w, d)
	if err != nil {
		return Round{}, err
	}
	defer func() {
		for _, l := range lanes {
			l.client.close()
		}
	}()
	stop := context.AfterFunc(ctx, func() {
		for _, l := range lanes {
			l.client.abort()
		}
	})
	defer stop()

	if err := prime(ctx, lanes); err != nil {
		return Round{}, err
	}
	before, err := r.snapshot(t)
	if err != nil {
		return Round{}, err
	}
	var lag lags
	begin := time.Now()
	if w.open {
		lag, err = openLoop(ctx, lanes, begin, r.opts.Rate, d)
	} else {
		err = closedLoop(ctx, lanes, begin.Add(d))
	}
	elapsed := time.Since(begin)
	if err != nil {
		return Round{}, err
	}
	rss, peak, err := t.memory()
	if err != nil {
		return Round{}, err
	}
	if err := pause(ctx, r.opts.Settle); err != nil {
		return Round{}, err
	}
	after, err := r.snapshot(t)
	if err != nil {
		return Round{}, err
	}
	return summarise(lanes, elapsed, before, after, rss, peak, lag)
}

// pause waits, or returns early with the reason when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// progress writes one line of what is being done.
func (r *runner) progress(format string, args ...any) {
	// Nobody's figures depend on who reads along.
	_, _ = fmt.Fprintf(r.opts.Out, format+"\n", args...)
}

// agentCall asks the agent itself, past all targets.
func (r *runner) agentCall(ctx context.Context, method, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.upstream.addr+path, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("ask the agent: %w", err)
	}
	req.Close = true // a few calls in a run: no connection is worth keeping
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the agent: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("ask the agent: %w", err)
	}
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("ask the agent: status %d: %s", resp.StatusCode, excerpt(text))
	}
	return string(text), nil
}

// parkedAtAgent returns how many streams the agent holds open.
func (r *runner) parkedAtAgent(ctx context.Context) (int, error) {
	text, err := r.agentCall(ctx, http.MethodGet, pathParked)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("count parked streams: %w", err)
	}
	return n, nil
}
