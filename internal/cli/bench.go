package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/bench"
)

func (p *program) benchCommand() *cobra.Command {
	var o bench.Options
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure what the gateway costs beside other proxies", Args: cobra.NoArgs,
		Long: `Measure, in one run on this machine, calls of an agent directly and through a byte relay,
nginx, a bare httputil.ReverseProxy and a gateway that is started for it; then what it costs the
gateway when caller and agent speak different dialects (--workload translation for that alone).
Progress goes to standard error, the report to standard output as Markdown.`,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			if err := ranLocally(cmd); err != nil {
				return err
			}
			o.Out = p.err
			o.Commit = readBuild().Commit
			o.StartGateway = (&benchGateway{program: p, executable: o.Executable}).start
			report, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			return report.WriteTable(p.out)
		}),
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.Targets, "target", nil, "measure only these: "+strings.Join(bench.Targets(), ", "))
	must(cmd.RegisterFlagCompletionFunc("target", fixed(bench.Targets()...)))
	flags.StringSliceVar(&o.Workloads, "workload", nil, "run only these: "+strings.Join(bench.Workloads(), ", "))
	must(cmd.RegisterFlagCompletionFunc("workload", fixed(bench.Workloads()...)))
	flags.DurationVar(&o.Duration, "duration", bench.DefaultDuration, "length of a round")
	flags.IntVar(&o.Rounds, "rounds", bench.DefaultRounds, "rounds of each target and workload")
	flags.DurationVar(&o.Warmup, "warmup", bench.DefaultWarmup, "length of the round that is not counted")
	flags.DurationVar(&o.Settle, "settle", bench.DefaultSettle, "time after a round in which processor time still counts")
	flags.Float64Var(&o.Rate, "rate", bench.DefaultRate, "calls per second of the open loop")
	flags.IntVar(&o.ParkedStreams, "parked-streams", bench.DefaultParkedStreams, "streams that are held open at once")
	flags.DurationVar(&o.TranslationDuration, "translation-duration", bench.DefaultTranslationDuration, "length of a round of a pair of dialects")
	flags.IntVar(&o.TranslationRounds, "translation-rounds", bench.DefaultTranslationRounds, "rounds of each pair of dialects")
	flags.BoolVar(&o.WithoutNginx, "without-nginx", false, "leave nginx out")
	flags.StringVar(&o.NginxPath, "nginx", "", "the nginx binary; looked for unless given")
	flags.StringVar(&o.JSONOut, "json", "", "file that receives the report as JSON")
	flags.StringVar(&o.Executable, "executable", "", "signalbox binary to measure; this one unless given")
	must(cmd.MarkFlagFilename("json", "json"))
	cmd.AddCommand(p.benchHelperCommand())
	return cmd
}

// benchHelperCommand is how a run starts the processes that it measures.
func (p *program) benchHelperCommand() *cobra.Command {
	return &cobra.Command{
		Use: "helper KIND", Hidden: true, DisableFlagParsing: true, Args: cobra.MinimumNArgs(1),
		RunE: run(func(cmd *cobra.Command, args []string) error {
			return bench.RunHelper(cmd.Context(), args[0], args[1:])
		}),
	}
}

// Times that a gateway gets in a benchmark.
const (
	benchStartTimeout = time.Minute
	benchStopTimeout  = time.Minute
)

// Names that the benchmark gives to its things.
const (
	benchTeam = "bench"
	benchKey  = "bench"
)

var errBenchEnded = errors.New("the gateway ended")

// notReadyError is a first line that is not the one that was waited for.
type notReadyError struct{ line string }

// Error quotes the line.
func (e *notReadyError) Error() string {
	return fmt.Sprintf("the gateway said %q instead of being ready", e.line)
}
