package gatewaytest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
)

// childVariable marks a test process that is to be a gateway.
const childVariable = "SIGNALBOX_TEST_CHILD"

// IsChild tells whether this test process was started by [StartChild]. TestMain must
// ask, and call [RunChild] if so.
func IsChild() bool { return os.Getenv(childVariable) != "" }

// RunChild is a gateway until its standard input ends, configured by the environment.
func RunChild() int {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg, err := config.Load(nil)
	if err == nil {
		var a *app.App
		if a, err = app.New(ctx, cfg, logger); err == nil {
			go func() {
				<-a.Ready()
				_, _ = fmt.Fprintln(os.Stdout, a.URL())
				_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
				cancel()
			}()
			err = a.Run(ctx)
		}
	}
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelError, "the child failed", slog.Any("error", err))
		return 1
	}
	return 0
}

// ChildAdminKey is the admin key of every child.
const ChildAdminKey = "sb_admin-key-of-the-tests-only-0123456789"

// Child is a gateway in a process of its own, which can be killed.
type Child struct {
	*Gateway
	cmd *exec.Cmd
}

// StartChild starts this test's own program as a gateway.
func StartChild(t testing.TB, dsn, dataDir string) *Child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"=1", "SIGNALBOX_LISTEN=127.0.0.1:0",
		"SIGNALBOX_DATABASE_URL="+dsn, "SIGNALBOX_DATA_DIR="+dataDir, "SIGNALBOX_ADMIN_KEY="+ChildAdminKey,
		"SIGNALBOX_KEK="+testKEK,
		"GORACE=atexit_sleep_ms=0")
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil { // held open until the end
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &Child{cmd: cmd}
	t.Cleanup(c.Kill)
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child did not become ready: %v", err)
	}
	c.Gateway = &Gateway{URL: strings.TrimSpace(url), AdminKey: ChildAdminKey, DataDir: dataDir, DSN: dsn, t: t}
	c.Registry, c.Identity, c.Audit = c.Clients(ChildAdminKey)
	return c
}

// Kill ends the child as a power cut of its process would.
func (c *Child) Kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill() // it may have ended by itself
	_ = c.cmd.Wait()         // says that it was killed
}
