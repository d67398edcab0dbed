package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Connections of the two loads of each cell, those of the workloads that they
// are to be held against.
const (
	cellConns       = 32
	cellStreamConns = 1
)

// TranslationCell is what calls of one dialect to an agent of another cost the
// gateway. Processor times are in microseconds and of the gateway's process
// alone; ratios are to the agent that speaks the caller's own dialect, in the
// same round.
type TranslationCell struct {
	Caller string `json:"caller"`
	Agent  string `json:"agent"`
	// Calls and Events are how many there were, over all rounds.
	Calls  int64 `json:"calls"`
	Events int64 `json:"events"`
	// CPUPerCall is of unary calls, CPUPerEvent of streams, by round.
	CPUPerCall  []float64 `json:"cpu_per_call_us"`
	CPUPerEvent []float64 `json:"cpu_per_event_us"`
	// Call and Event sum up the rounds, CallRatio and EventRatio what they are
	// of those of the same dialect.
	Call       Stat `json:"call_us"`
	Event      Stat `json:"event_us"`
	CallRatio  Stat `json:"call_ratio"`
	EventRatio Stat `json:"event_ratio"`
	// OthersPercent is how busy the machine was with something else, by round
	// and load.
	OthersPercent []float64 `json:"others_percent"`
}

// translationRounds measures every pair of dialects through one gateway. All
// pairs have a turn in each round.
func (r *runner) translationRounds(ctx context.Context, report *Report) (err error) {
	r.progress("%s: start %s", loadTranslation, TargetGateway)
	agents := DialectAgents("http://" + r.upstream.addr)
	t := &target{name: TargetGateway, stop: func() error { return nil }}
	gw, err := r.startGateway(ctx, t, registrations(agents))
	if err != nil {
		return fmt.Errorf("start %s: %w", TargetGateway, err)
	}
	defer func() {
		if stopErr := t.stop(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stop %s: %w", t.name, stopErr))
		}
	}()
	report.addTarget(t)

	n := len(agents)
	report.Translation = make([]TranslationCell, n*n)
	for round := -1; round < r.opts.TranslationRounds; round++ {
		d := r.opts.TranslationDuration
		if round < 0 {
			d /= 2 // the warm-up
		}
		for i := range n * n {
			// Another agent begins the turns of a caller in each round.
			at := i/n*n + (i+round+1)%n
			caller, agent := agents[at/n].Dialect, agents[at%n]
			cell := &report.Translation[at]
			cell.Caller, cell.Agent = caller.String(), agent.Dialect.String()
			for _, streaming := range []bool{false, true} {
				cfg := CallerConfig{Gateway: gw.Address, Header: gw.Header, Agent: agent.ID, Dialect: caller, Streaming: streaming}
				load, err := r.cell(ctx, t, cfg, d)
				if err != nil {
					return fmt.Errorf("%s, %s to %s: %w", loadTranslation, cell.Caller, cell.Agent, err)
				}
				if round >= 0 {
					cell.add(load, streaming)
				}
			}
			if round >= 0 {
				r.progress("%s: round %d of %d, %s to %s: %.1f µs per call, %.2f µs per event", loadTranslation,
					round+1, r.opts.TranslationRounds, cell.Caller, cell.Agent, cell.CPUPerCall[round], cell.CPUPerEvent[round])
			}
		}
	}
	return nil
}

// registrations are the agents as a gateway is to register them.
func registrations(agents []DialectAgent) []Agent {
	made := make([]Agent, len(agents))
	for i, a := range agents {
		made[i] = Agent{ID: a.ID, URL: a.URL}
	}
	return made
}

// cellLoad is one load of a cell in one round.
type cellLoad struct {
	calls, events int64
	cpu           time.Duration
	others        float64
}

func (c *TranslationCell) add(l cellLoad, streaming bool) {
	c.OthersPercent = append(c.OthersPercent, l.others)
	if streaming {
		c.Events += l.events
		c.CPUPerEvent = append(c.CPUPerEvent, perCall(l.cpu, float64(l.events)))
		return
	}
	c.Calls += l.calls
	c.CPUPerCall = append(c.CPUPerCall, perCall(l.cpu, float64(l.calls)))
}

// cell loads one cell for about d.
func (r *runner) cell(ctx context.Context, t *target, cfg CallerConfig, d time.Duration) (load cellLoad, err error) {
	conns := cellConns
	if cfg.Streaming {
		conns = cellStreamConns
	}
	cfg.Deadline = time.Now().Add(d + grace)
	callers := make([]*DialectCaller, 0, conns)
	defer func() {
		for _, c := range callers {
			c.Close()
		}
	}()
	for range conns {
		c, err := NewDialectCaller(cfg)
		if err != nil {
			return load, err
		}
		callers = append(callers, c)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range callers {
			c.abort()
		}
	})
	defer stop()

	// One call each first, so that no round measures the making of connections.
	if _, _, err := callAll(ctx, callers, time.Time{}); err != nil {
		return load, err
	}
	before, err := r.snapshot(t)
	if err != nil {
		return load, err
	}
	if load.calls, load.events, err = callAll(ctx, callers, time.Now().Add(d)); err != nil {
		return load, err
	}
	if err := pause(ctx, r.opts.Settle); err != nil {
		return load, err
	}
	after, err := r.snapshot(t)
	if err != nil {
		return load, err
	}
	load.cpu = after.target.own - before.target.own
	load.others = othersPercent(before, after, runtime.NumCPU())
	return load, nil
}

// callAll lets each caller call until end, once at least.
func callAll(ctx context.Context, callers []*DialectCaller, end time.Time) (calls, events int64, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range callers {
		wg.Go(func() {
			var made, came int64
			var failure error
			for failure == nil && (made == 0 || time.Now().Before(end)) {
				var n int
				if n, failure = c.Call(ctx); failure == nil {
					made++
					came += int64(n)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			calls, events = calls+made, events+came
			if err == nil {
				err = failure
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return calls, events, err
}

// summariseTranslation fills in what follows from the rounds.
func summariseTranslation(cells []TranslationCell) {
	for i := range cells {
		c := &cells[i]
		same := &cells[slices.IndexFunc(cells, func(o TranslationCell) bool { return o.Caller == c.Caller && o.Agent == c.Caller })]
		c.Call, c.CallRatio = newStat(c.CPUPerCall), ratioOf(c.CPUPerCall, same.CPUPerCall)
		c.Event, c.EventRatio = newStat(c.CPUPerEvent), ratioOf(c.CPUPerEvent, same.CPUPerEvent)
	}
}

func ratioOf(values, control []float64) Stat {
	ratios := make([]float64, len(values))
	for i, v := range values {
		ratios[i] = v / control[i]
	}
	return newStat(ratios)
}

// dialectNames are the names of all dialects, in the order of the tables.
func dialectNames() []string {
	names := make([]string, len(a2a.Dialects))
	for i, d := range a2a.Dialects {
		names[i] = d.String()
	}
	return names
}
