// Package bench measures what the gateway costs beside proxies that do less:
// a byte relay, nginx and a bare httputil.ReverseProxy, all in one run on one
// machine, in front of the same agent and under the same load.
//
// Every proxy is a process of its own, so that its processor time and memory
// are read from the system and not guessed. Every reply is checked, because a
// proxy that answers errors is fast; one wrong reply fails the run. Targets
// take turns within each round, so that a disturbance of the machine hits all
// of them alike, and ratios are taken inside a round before they are averaged.
//
// The package starts everything but the gateway itself, which the caller
// starts through [Options.StartGateway]. It is no general load generator: it
// speaks HTTP/1.1 and the JSON-RPC binding of A2A 1.0 and nothing else.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Names of the targets, in the order in which the report lists them.
const (
	// TargetDirect calls the agent without any proxy.
	TargetDirect = "direct"
	// TargetRelay copies bytes between two connections and reads nothing.
	TargetRelay = "tcp-relay"
	// TargetNginx is nginx with proxy_pass and kept-alive upstream connections.
	TargetNginx = "nginx"
	// TargetReverseProxy is net/http/httputil.ReverseProxy and nothing around it.
	TargetReverseProxy = "reverseproxy"
	// TargetGateway is the gateway with the controls that its Config names.
	TargetGateway = "gateway"
)

// Values that Options takes where its fields are zero.
const (
	DefaultDuration      = 2 * time.Second
	DefaultRounds        = 5
	DefaultWarmup        = 500 * time.Millisecond
	DefaultSettle        = 300 * time.Millisecond
	DefaultRate          = 1000.0
	DefaultParkedStreams = 1000
	// DefaultTranslationDuration and DefaultTranslationRounds keep all pairs of
	// dialects together below three minutes.
	DefaultTranslationDuration = 250 * time.Millisecond
	DefaultTranslationRounds   = 3
)

// Gateway is a running gateway as [Options.StartGateway] hands it over.
type Gateway struct {
	// URL is the full address to which calls of the first agent are posted.
	URL string
	// Address is that of the gateway itself, with the agents at /a2a/ and their
	// id. Only the workload translation needs it.
	Address string
	// Header is sent with every call, such as Authorization.
	Header http.Header
	// PID is the process whose time and memory are counted. What its
	// descendants use, such as a private Postgres, is counted apart.
	PID int
	// Config names the controls that are on, such as auth and record.
	Config []string
	// Stop ends the gateway and removes what it left. It may be nil.
	Stop func() error
}

// Agent is an agent that a gateway is to have registered.
type Agent struct {
	// ID is the name that it is registered under.
	ID string
	// URL is its address, with its card below it.
	URL string
}

// Options say what to measure and how long.
type Options struct {
	// Executable is the signalbox binary, started again for the helper
	// processes. Empty means the running one.
	Executable string
	// Targets to measure; empty means all, nginx only without WithoutNginx.
	Targets []string
	// Workloads to run; empty means all of [Workloads].
	Workloads []string
	// Duration of one round, and how long parked streams are held.
	Duration time.Duration
	// Rounds of each target and workload, of which the median is reported.
	Rounds int
	// Warmup is run once per target and workload and not counted.
	Warmup time.Duration
	// Settle is waited after each round before the processor time is read, so
	// that work a proxy puts off, such as shipping its record, is counted.
	Settle time.Duration
	// Rate of the open loop in calls per second.
	Rate float64
	// WithoutNginx leaves nginx out of the default targets.
	WithoutNginx bool
	// NginxPath is the nginx binary; empty means to look for it.
	NginxPath string
	// JSONOut is a file that receives the report as JSON; empty means none.
	JSONOut string
	// Out receives a line per step as the run goes on; nil discards them.
	Out io.Writer
	// ParkedStreams is how many streams are held open at once.
	ParkedStreams int
	// TranslationDuration and TranslationRounds are Duration and Rounds of each
	// pair of dialects; there are many.
	TranslationDuration time.Duration
	TranslationRounds   int
	// Commit of the gateway's sources, copied into the report.
	Commit string
	// StartGateway starts a gateway with agents registered. It is called once
	// for the timed workloads, once for translation and once per round of
	// parked streams, because memory is compared in a fresh process. ctx lives
	// as long as the gateway may.
	StartGateway func(ctx context.Context, agents []Agent) (Gateway, error)
}

// Targets returns the names of all targets in the order of the report.
func Targets() []string {
	return []string{TargetDirect, TargetRelay, TargetNginx, TargetReverseProxy, TargetGateway}
}

// withDefaults fills what is zero and refuses, all at once, what cannot be run.
func (o Options) withDefaults() (Options, []workload, error) {
	var faults []error
	if o.Executable == "" {
		exe, err := os.Executable()
		if err != nil {
			faults = append(faults, fmt.Errorf("find own executable: %w", err))
		}
		o.Executable = exe
	}
	setDefault(&o.Duration, DefaultDuration)
	setDefault(&o.Rounds, DefaultRounds)
	setDefault(&o.Warmup, DefaultWarmup)
	setDefault(&o.Settle, DefaultSettle)
	setDefault(&o.Rate, DefaultRate)
	setDefault(&o.ParkedStreams, DefaultParkedStreams)
	setDefault(&o.TranslationDuration, DefaultTranslationDuration)
	setDefault(&o.TranslationRounds, DefaultTranslationRounds)
	if o.Duration < 0 || o.Rounds < 0 || o.Warmup < 0 || o.Settle < 0 || o.Rate < 0 || o.ParkedStreams < 0 ||
		o.TranslationDuration < 0 || o.TranslationRounds < 0 {
		faults = append(faults, errors.New("durations, rounds, rate and the number of parked streams must be positive"))
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if len(o.Targets) == 0 && slices.Equal(o.Workloads, []string{loadTranslation}) {
		o.Targets = []string{TargetGateway} // its controls are its own
	}
	if len(o.Targets) == 0 {
		o.Targets = slices.DeleteFunc(Targets(), func(name string) bool {
			return name == TargetNginx && o.WithoutNginx
		})
	}
	for _, name := range o.Targets {
		if !slices.Contains(Targets(), name) {
			faults = append(faults, fmt.Errorf("unknown target %q: choose from %s", name, strings.Join(Targets(), ", ")))
		}
	}
	// The report's order, whatever the order of asking, each once.
	o.Targets = slices.DeleteFunc(Targets(), func(name string) bool { return !slices.Contains(o.Targets, name) })
	if slices.Contains(o.Targets, TargetGateway) && o.StartGateway == nil {
		faults = append(faults, errors.New("Options.StartGateway is required for the target gateway"))
	}
	if slices.Contains(o.Targets, TargetNginx) {
		path, err := findNginx(o.NginxPath)
		if err != nil {
			faults = append(faults, err)
		}
		o.NginxPath = path
	}
	loads, err := selectWorkloads(o.Workloads)
	if err != nil {
		faults = append(faults, err)
	}
	if !slices.Contains(o.Targets, TargetGateway) {
		if slices.Contains(o.Workloads, loadTranslation) {
			faults = append(faults, errors.New("only the target gateway translates"))
		}
		loads = slices.DeleteFunc(loads, func(w workload) bool { return w.kind == kindTranslation })
	}
	return o, loads, errors.Join(faults...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run measures everything that opts ask for and returns the report. It fails
// at the first wrong reply: figures of a broken run are worth nothing.
func Run(ctx context.Context, opts Options) (*Report, error) {
	opts, loads, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("bench options: %w", err)
	}
	if err := supported(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	r := &runner{opts: opts, nonce: newNonce()}
	report, err := r.run(ctx, loads)
	if err != nil {
		return nil, err
	}
	if opts.JSONOut != "" {
		data, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode report: %w", err)
		}
		if err := os.WriteFile(opts.JSONOut, append(data, '\n'), 0o600); err != nil {
			return nil, fmt.Errorf("write report: %w", err)
		}
	}
	return report, nil
}
