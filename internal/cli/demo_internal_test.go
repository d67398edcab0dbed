package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	"github.com/signalbox-dev/signalbox/internal/config"
)

func TestDemo_LogsOnlyWarningsOnATerminalUnlessALevelIsGiven(t *testing.T) {
	// It is a character device, which is all that a terminal is known by.
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nested, flat := file("nested.yaml", "log:\n  level: info\n"), file("flat.yaml", "log.level: error\n")
	without := file("without.yaml", "log:\n  format: text\n")
	tests := []struct {
		name     string
		errs     io.Writer
		args     []string
		variable string
		want     string
	}{
		{"nothing is given", terminal, nil, "", "warn"},
		{"not a terminal", &bytes.Buffer{}, nil, "", "info"},
		{"a flag", terminal, []string{"--log-level", "info"}, "", "info"},
		{"a variable", terminal, nil, "debug", "debug"},
		{"a file", terminal, []string{"--config", nested}, "", "info"},
		{"a flat file", terminal, []string{"--config", flat}, "", "error"},
		{"a file without a level", terminal, []string{"--config", without}, "", "warn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(varLogLevel, tt.variable)
			if tt.variable == "" {
				if err := os.Unsetenv(varLogLevel); err != nil { // t.Setenv restores it
					t.Fatal(err)
				}
			}
			t.Setenv("SIGNALBOX_CONFIG", "")
			flags := pflag.NewFlagSet("demo", pflag.ContinueOnError)
			config.AddFlags(flags)
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			p := newProgram(Config{Err: tt.errs})
			if err := p.logLessOnTerminal(flags); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(flags)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Log.Level != tt.want {
				t.Errorf("level %q, want %q", cfg.Log.Level, tt.want)
			}
		})
	}
	t.Run("the command decides so", func(t *testing.T) {
		// A usage error after the decision, so that nothing starts.
		t.Setenv("SIGNALBOX_LISTEN", "nowhere")
		p := newProgram(Config{Out: io.Discard, Err: terminal})
		cmd := p.demoCommand()
		cmd.SetArgs(nil)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.Execute(); err == nil {
			t.Fatal("a demo without an address started")
		}
		if got := cmd.Flags().Lookup(flagLogLevel).Value.String(); got != "warn" {
			t.Errorf("demo ran with level %q on a terminal, want warn", got)
		}
	})
}
