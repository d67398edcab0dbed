package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/demo"
)

func (p *program) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a gateway with three sample agents and a key to try it", Args: cobra.NoArgs,
		Long: `Run a gateway as "serve" does, with three real agents on this machine: echo says it again,
researcher finds things out about a topic, planner asks researcher through the gateway.
They belong to the team "demo", for which a key is made. The next start finds it all.

On a terminal only warnings are logged unless the level is set, so that the keys and the
lines to try stay in view.`,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			if err := ranLocally(cmd); err != nil {
				return err
			}
			if err := p.logLessOnTerminal(cmd.Flags()); err != nil {
				return err
			}
			return p.serve(cmd, allowSampleAgents, func(ctx context.Context, g *gateway) (func() error, error) {
				return p.startDemo(ctx, g)
			})
		}),
	}
	config.AddFlags(cmd.Flags())
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagDirname("data-dir"))
	return cmd
}

// Settings that decide how much a demo logs.
const (
	flagConfig   = "config"
	flagLogLevel = "log-level"
	varLogLevel  = "SIGNALBOX_LOG_LEVEL"
	keyLogLevel  = "log.level"
)

// logLessOnTerminal sets the level to warn when the log goes to a terminal, where the
// first calls would push away what there is to try. A level that was given stays.
func (p *program) logLessOnTerminal(flags *pflag.FlagSet) error {
	if _, given := os.LookupEnv(varLogLevel); given || flags.Changed(flagLogLevel) || !isTerminal(p.err) {
		return nil
	}
	if path := flags.Lookup(flagConfig).Value.String(); path != "" {
		k := koanf.New(".")
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return usagef("read configuration file %s: %s", path, err)
		}
		if k.Exists(keyLogLevel) {
			return nil
		}
	}
	return flags.Set(flagLogLevel, "warn")
}

var errNoAdminKey = errors.New("the admin key was made by another replica and is not in this data folder: put it there, or into SIGNALBOX_ADMIN_KEY")

// allowSampleAgents lets the gateway dial the sample agents, which are on loopback,
// also when it listens on another address.
func allowSampleAgents(cfg *config.Config) {
	cfg.AllowedNetworks = append(cfg.AllowedNetworks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
}

func (p *program) startDemo(ctx context.Context, g *gateway) (func() error, error) {
	if g.app.AdminKey() == "" {
		return nil, doingf(errNoAdminKey, "start the sample agents")
	}
	d, err := demo.Start(ctx, demo.Options{
		GatewayURL: g.app.URL(), ManagementURL: g.app.ManagementURL(), AdminKey: g.app.AdminKey(),
		DataDir: g.cfg.DataDir, Logger: g.logger,
	})
	if err != nil {
		return nil, doingf(err, "start the sample agents")
	}
	if err := p.announceDemo(g, d); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d.Close, nil
}

// announceDemo prints what there is to try.
func (p *program) announceDemo(g *gateway, d *demo.Demo) error {
	adminFrom := keyFileText(g.app.AdminKeyFile())
	if g.cfg.AdminKey != "" {
		adminFrom = "SIGNALBOX_ADMIN_KEY"
	}
	url := g.app.URL()
	body := `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m1","role":"ROLE_USER","parts":[{"text":"hello"}]}}}`
	elsewhere := ""
	if url != defaultServer {
		elsewhere = " --server " + url
	}
	events := elsewhere
	if g.app.ManagementURL() != url {
		events = " --server " + g.app.ManagementURL()
	}
	adminFlag, demoFlag := keyFlag(g.app.AdminKeyFile(), adminKeyFile), keyFlag(d.KeyFile(), demoKeyFile)
	if g.cfg.AdminKey != "" {
		adminFlag = ` --key "$SIGNALBOX_ADMIN_KEY"`
	}
	for _, line := range [][2]string{
		{"signalbox ready", url},
		{"  admin key", fmt.Sprintf("%-15s (%s)", g.app.AdminKey(), adminFrom)},
		{"  demo key", fmt.Sprintf("%-15s team %q (%s)", d.Key(), demo.Team, keyFileText(d.KeyFile()))},
		{"  agents", strings.Join(d.Agents(), ", ") + " (planner calls researcher through the gateway)"},
	} {
		if err := p.announced(line[0], line[1]); err != nil {
			return err
		}
	}
	for i, line := range []string{
		fmt.Sprintf(`curl -s %s/a2a/echo -H "Authorization: Bearer %s" -H 'content-type: application/json' -d '%s'`, url, d.Key(), body),
		fmt.Sprintf(`./bin/signalbox call echo "hello"%s%s`, elsewhere, demoFlag),
		fmt.Sprintf(`./bin/signalbox events list%s%s`, events, adminFlag),
	} {
		head := "try:  "
		if i > 0 {
			head = "      "
		}
		if err := p.line(head + line); err != nil {
			return err
		}
	}
	return nil
}

// keyFlag is the flag that a client command needs when the key is not where it looks
// by itself.
func keyFlag(path, name string) string {
	if filepath.Clean(path) == filepath.Join(localDir, name) {
		return ""
	}
	return " --key-file " + path
}
