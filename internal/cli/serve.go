package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/telemetry"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a gateway", Args: cobra.NoArgs,
		Long: `Run a gateway in the foreground. Without --database-url it runs its own private Postgres
under the data folder. An interrupt or SIGTERM drains it and stops everything.

Each setting can be given as a flag, as the variable that its description names, or in
the file of --config; the flag counts over the variable, the variable over the file.
SIGNALBOX_ADMIN_KEY (32 characters or more) is the admin key; without it one is made at
the first start and kept in the data folder.`,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			if err := ranLocally(cmd); err != nil {
				return err
			}
			return p.serve(cmd, nil, func(_ context.Context, g *gateway) (func() error, error) {
				return nil, g.announce(p)
			})
		}),
	}
	config.AddFlags(cmd.Flags())
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagDirname("data-dir"))
	return cmd
}

// gateway is a running gateway.
type gateway struct {
	cfg    *config.Config
	app    *app.App
	logger *slog.Logger
}

// serve runs a gateway until the command's context ends. change, unless it is nil, is
// called with the settings before they are used, started when the gateway serves;
// what that returns is called when it has stopped.
func (p *program) serve(cmd *cobra.Command, change func(*config.Config), started func(ctx context.Context, g *gateway) (stop func() error, err error)) error {
	cfg, logger, err := p.loadConfig(cmd)
	if err != nil {
		return err
	}
	if change != nil {
		change(cfg)
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	a, err := app.New(ctx, cfg, logger)
	if err != nil {
		return doingf(err, "start the gateway")
	}
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	var stop func() error
	select {
	case err := <-ran:
		return doingf(err, "run the gateway")
	case <-a.Ready():
		stop, err = started(ctx, &gateway{cfg: cfg, app: a, logger: logger})
	}
	if err != nil {
		interrupted := ctx.Err() != nil
		cancel()
		err = errors.Join(err, <-ran)
		if interrupted {
			return nil
		}
		return err
	}
	err = doingf(<-ran, "run the gateway")
	if stop != nil {
		err = errors.Join(err, stop())
	}
	return err
}

func (p *program) loadConfig(cmd *cobra.Command) (*config.Config, *slog.Logger, error) {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return nil, nil, usagef("%s", err)
	}
	logger, err := telemetry.NewLogger(p.err, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return nil, nil, usagef("%s", err)
	}
	return cfg, logger, nil
}

// announce prints the first lines of a gateway that serves. Other programs wait for
// the first one and read the address at its end.
func (g *gateway) announce(p *program) error {
	if err := p.announced("signalbox ready", g.app.URL()); err != nil {
		return err
	}
	key, note := "", ""
	switch {
	case g.app.AdminKey() == "":
		note = "not known here: it was made by another replica"
	case g.cfg.AdminKey != "":
		note = "SIGNALBOX_ADMIN_KEY"
	case g.app.AdminKeyMade():
		key, note = g.app.AdminKey(), "("+keyFileText(g.app.AdminKeyFile())+")"
	default:
		note = "in " + keyFileText(g.app.AdminKeyFile())
	}
	if key == "" {
		return p.announced("  admin key", note)
	}
	return p.announced("  admin key", fmt.Sprintf("%-15s %s", key, note))
}

func (p *program) announced(name, value string) error {
	return p.line(fmt.Sprintf("%-19s %s", name, value))
}

func keyFileText(path string) string { return filepath.Clean(path) + ", mode 0600" }
