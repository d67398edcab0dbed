package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/bench"
)

// benchGateway starts gateways to measure.
type benchGateway struct {
	program    *program
	executable string
}

// start starts one with its own database and registers the agents.
func (b *benchGateway) start(ctx context.Context, agents []bench.Agent) (_ bench.Gateway, err error) {
	executable := b.executable
	if executable == "" {
		if executable, err = os.Executable(); err != nil {
			return bench.Gateway{}, fmt.Errorf("find own executable: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "signalbox-bench-")
	if err != nil {
		return bench.Gateway{}, fmt.Errorf("make a data folder: %w", err)
	}
	admin := rand.Text() + rand.Text()
	p, err := startServe(ctx, executable, dir, admin)
	if err != nil {
		return bench.Gateway{}, errors.Join(err, os.RemoveAll(dir))
	}
	stop := func() error { return errors.Join(p.stop(), os.RemoveAll(dir)) }
	secret, err := register(ctx, p.url, admin, agents)
	if err != nil {
		return bench.Gateway{}, errors.Join(err, stop())
	}
	return bench.Gateway{
		URL:     p.url + "/a2a/" + agents[0].ID,
		Address: p.url,
		Header:  http.Header{"Authorization": {"Bearer " + secret}, "A2a-Version": {version10}},
		PID:     p.cmd.Process.Pid,
		// The policies are those that come with the gateway, of which two match a key that was given no role.
		Config: []string{"auth", "policy", "record"},
		Stop:   stop,
	}, nil
}

// register makes the team, key and agents that the calls need.
func register(ctx context.Context, url, admin string, agents []bench.Agent) (secret string, err error) {
	m := newManagement(settings{server: url, key: admin})
	defer m.close()
	if _, err := m.identity.CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: benchTeam}); err != nil {
		return "", fmt.Errorf("create team: %w", err)
	}
	key, err := m.identity.CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: full(teamsCollection, benchTeam), KeyId: benchKey})
	if err != nil {
		return "", fmt.Errorf("create key: %w", err)
	}
	for _, a := range agents {
		_, err = m.registry.CreateAgent(ctx, &registryv1.CreateAgentRequest{AgentId: a.ID, Agent: &registryv1.Agent{
			Team: full(teamsCollection, benchTeam), Endpoints: []*registryv1.Endpoint{{Url: a.URL}},
		}})
		if err != nil {
			return "", fmt.Errorf("create agent %s: %w", a.ID, err)
		}
	}
	return key.GetSecret(), nil
}

// serveProcess is a gateway in a process of its own.
type serveProcess struct {
	cmd  *exec.Cmd
	url  string
	done chan error // one value, when it has ended
	said *tailWriter
}

// startServe starts a gateway and waits until it is ready.
func startServe(ctx context.Context, executable, dir, admin string) (*serveProcess, error) {
	// Not tied to ctx: it is stopped in order, so that its Postgres stops too.
	cmd := exec.Command(executable, "serve", "--listen", "127.0.0.1:0", "--data-dir", dir, "--log-level", "warn") //nolint:noctx // our own binary; see above
	cmd.Env = append(withoutSettings(os.Environ()), "SIGNALBOX_ADMIN_KEY="+admin)
	// An interrupt at the terminal is for the benchmark, which then stops the gateway.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &serveProcess{cmd: cmd, done: make(chan error, 1), said: &tailWriter{}}
	cmd.Stderr = p.said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n') // an end without a line is seen below
		first <- line
		_, _ = io.Copy(io.Discard, r)
		p.done <- cmd.Wait()
	}()
	timer := time.NewTimer(benchStartTimeout)
	defer timer.Stop()
	select {
	case line := <-first:
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "signalbox ready") || len(fields) < 3 {
			err := error(&notReadyError{line: strings.TrimSpace(line)})
			if line == "" {
				err = errBenchEnded
			}
			return nil, fmt.Errorf("%w: %w\n%s", err, p.stop(), p.said)
		}
		p.url = fields[len(fields)-1]
		return p, nil
	case <-timer.C:
		return nil, errors.Join(fmt.Errorf("the gateway was not ready within %v\n%s", benchStartTimeout, p.said), p.stop())
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), p.stop())
	}
}

// stop ends the gateway in order.
func (p *serveProcess) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the gateway: %w", err)
	}
	timer := time.NewTimer(benchStopTimeout)
	defer timer.Stop()
	select {
	case err := <-p.done:
		if err != nil {
			return fmt.Errorf("the gateway stopped badly: %w", err)
		}
		return nil
	case <-timer.C:
		err := p.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("the gateway did not stop within %v", benchStopTimeout), err, <-p.done)
	}
}

// withoutSettings leaves out what would change the gateway: figures are of the
// defaults.
func withoutSettings(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "SIGNALBOX_") || strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "OTEL_")
	})
}

// tailWriter keeps the last of what is written, to explain an early end.
type tailWriter struct {
	mu   sync.Mutex
	text []byte
}

const tailKept = 4 << 10

// Write keeps the end of everything so far.
func (t *tailWriter) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailKept; over > 0 {
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(b), nil
}

// String returns what was kept.
func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}
