package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/demo"
)

func (p *program) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a gateway with three sample agents and a key to try it", Args: cobra.NoArgs,
		Long: `Run a gateway as "serve" does, with three real agents on this machine: echo says it again,
researcher finds things out about a topic, planner asks researcher through the gateway.
They belong to the team "demo", for which a key is made. The next start finds it all.`,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			if err := ranLocally(cmd); err != nil {
				return err
			}
			return p.serve(cmd, func(ctx context.Context, g *gateway) (func() error, error) {
				return p.startDemo(ctx, g)
			})
		}),
	}
	config.AddFlags(cmd.Flags())
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagDirname("data-dir"))
	return cmd
}

var errNoAdminKey = errors.New("the admin key was made by another replica and is not in this data folder: put it there, or into SIGNALBOX_ADMIN_KEY")

func (p *program) startDemo(ctx context.Context, g *gateway) (func() error, error) {
	if g.app.AdminKey() == "" {
		return nil, doingf(errNoAdminKey, "start the sample agents")
	}
	d, err := demo.Start(ctx, demo.Options{
		GatewayURL: g.app.URL(), ManagementURL: g.managementURL(), AdminKey: g.app.AdminKey(),
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
	if g.managementURL() != url {
		events = " --server " + g.managementURL()
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
