package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/app"
)

// build says what this program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

const unknown = "unknown"

func readBuild() build {
	b := build{Version: app.Version, Commit: unknown, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show what this program was made of", Args: cobra.NoArgs,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			if err := notForClients(cmd); err != nil {
				return err
			}
			b := readBuild()
			if p.flags.output == outputTable {
				commit := b.Commit
				if b.Modified {
					commit += " (modified)"
				}
				return p.printTable(table{rows: [][]string{
					{"signalbox", b.Version}, {"commit", commit}, {"go", b.Go}, {"platform", b.Platform},
				}})
			}
			data, err := json.Marshal(b)
			if err != nil {
				return fmt.Errorf("encode version: %w", err)
			}
			return p.printJSON(data)
		}),
	}
}
