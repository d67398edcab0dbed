// Package cli holds the commands of the signalbox program: those that run a gateway,
// and those that are clients of one. It decides nothing that the gateway decides; what
// it adds are names, tables, and errors that say what to do next.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1 // the command could not do what it was asked to
	exitUsage   = 2 // the command was not understood
	exitDenied  = 3 // the command was to ask, and the answer is no
)

// Config is the surroundings of the program. The zero value is the process itself.
type Config struct {
	// In is read where an argument is "-"; nil means standard input.
	In io.Reader
	// Out takes results, Err everything else; nil means the standard ones.
	Out, Err io.Writer
	// Getenv reads the variables of client commands; nil means os.Getenv.
	Getenv func(string) string
	// WorkDir is where .signalbox is looked for; empty means the working directory.
	WorkDir string
	// Clock tells how long ago something was; nil means the machine's.
	Clock clock.Clock
	// Location is the time zone of tables; nil means the machine's.
	Location *time.Location
}

// program is what all commands share.
type program struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	workDir  string
	clock    clock.Clock
	location *time.Location
	flags    clientFlags
	terminal bool // results are shown by a terminal, which obeys control characters
}

func newProgram(cfg Config) *program {
	p := &program{
		in: cfg.In, out: cfg.Out, err: cfg.Err, getenv: cfg.Getenv, workDir: cfg.WorkDir,
		clock: cfg.Clock, location: cfg.Location,
	}
	if p.in == nil {
		p.in = os.Stdin
	}
	if p.out == nil {
		p.out = os.Stdout
	}
	p.terminal = isTerminal(p.out)
	if p.err == nil {
		p.err = os.Stderr
	}
	if p.getenv == nil {
		p.getenv = os.Getenv
	}
	if p.clock == nil {
		p.clock = clock.System{}
	}
	if p.location == nil {
		p.location = time.Local
	}
	return p
}

// Main runs one command and returns the exit code: 0 when it did what it was asked
// to, 1 when it could not, 2 when it was not understood, 3 when it was to ask whether
// something is permitted and it is not. It returns soon after ctx ends.
func Main(ctx context.Context, args []string, cfg Config) int {
	p := newProgram(cfg)
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[*answerError](err); ok {
		return exitDenied
	}
	p.report(cmd, err)
	if _, ok := errors.AsType[*failure](err); ok {
		return exitFailure
	}
	return exitUsage
}

// root makes the tree of commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "signalbox",
		Short: "The agent gateway: it routes, decides on and records every call between agents",
		Long: `Signalbox is the one point through which every agent-to-agent call passes: it routes
calls by agent name, decides who may call what, and keeps the record.

Begin with "signalbox demo", which runs a gateway with three sample agents.

Commands that talk to a gateway find it and their key in this order:
  server   --server, SIGNALBOX_SERVER, the configuration file, ` + defaultServer + `
  key      --key, --key-file, SIGNALBOX_KEY, the configuration file (key, key_file),
           .signalbox/admin.key in this folder (for "call": .signalbox/demo.key)
  certificate
           --cert and --cert-key, SIGNALBOX_CERT and SIGNALBOX_CERT_KEY, the configuration
           file (cert, cert_key); a key that is given too goes before it
The configuration file is ~/.config/signalbox/config.yaml with server, key, key_file, cert
and cert_key; what it has is for its own server only, and the keys in .signalbox for a
gateway on this machine only.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	p.flags.add(root.PersistentFlags())
	must(root.RegisterFlagCompletionFunc("output", fixed(outputs()...)))
	must(root.MarkPersistentFlagFilename("key-file"))
	root.AddGroup(
		&cobra.Group{ID: groupGateway, Title: "Run a gateway:"},
		&cobra.Group{ID: groupClient, Title: "Use a gateway:"},
	)
	root.AddCommand(
		p.inGroup(groupGateway, p.serveCommand(), p.demoCommand(), p.migrateCommand(), p.benchCommand())...)
	root.AddCommand(
		p.inGroup(groupClient, p.callCommand(), p.agentsCommand(), p.teamsCommand(), p.keysCommand(), p.usersCommand(), p.issuersCommand(), p.rolesCommand(), p.tasksCommand(), p.grantsCommand(), p.policyCommand(), p.eventsCommand())...)
	root.AddCommand(p.versionCommand())
	return root
}

// Groups of commands in the help.
const (
	groupGateway = "gateway"
	groupClient  = "client"
)

func (p *program) inGroup(group string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = group
	}
	return commands
}

// parent makes a command that only holds others.
func parent(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// action is what a command does. What it returns is a failure, unless it is a usage
// error.
type action func(cmd *cobra.Command, args []string) error

// run makes a RunE of an action. Errors that cobra finds before an action starts stay
// as they are: they are about usage.
func run(a action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := a(cmd, args)
		if _, usage := errors.AsType[*usageError](err); err == nil || usage {
			return err
		}
		return &failure{err: err}
	}
}

// notForClients refuses the flags of client commands, which mean nothing here.
func notForClients(cmd *cobra.Command) error {
	for _, name := range []string{flagServer, flagKey, flagKeyFile, flagCert, flagCertKey} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return usagef("--%s is for commands that call a gateway; %q does not", name, cmd.CommandPath())
		}
	}
	return nil
}

// onlyTable refuses an output format where there is nothing to format.
func onlyTable(cmd *cobra.Command) error {
	if f := cmd.Flags().Lookup(flagOutput); f != nil && f.Changed {
		return usagef("--%s means nothing to %q", flagOutput, cmd.CommandPath())
	}
	return nil
}

// ranLocally refuses every flag of client commands.
func ranLocally(cmd *cobra.Command) error {
	return errors.Join(notForClients(cmd), onlyTable(cmd))
}

// fixed completes one of some values.
func fixed(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// must is for the wiring of commands, which is wrong always or never.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// readSource reads a file, or standard input for "-".
func (p *program) readSource(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(p.in)
	}
	return os.ReadFile(path)
}

// oneLine makes a text fit a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
