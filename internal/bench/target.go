package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	maxStderr    = 4 << 10
)

// target is something that answers calls of the benchmark agent.
type target struct {
	name     string
	endpoint *url.URL
	header   http.Header
	pid      int  // 0 for direct
	tree     bool // its children are part of the proxy
	version  string
	config   []string
	stop     func() error
}

// usage is what a target used so far.
type usage struct {
	own, children time.Duration
}

// cpu returns the processor time of the proxy and, apart, of the children that
// are not part of it.
func (t *target) cpu() (usage, error) {
	if t.pid == 0 {
		return usage{}, nil
	}
	own, err := cpuTime(t.pid)
	if err != nil {
		return usage{}, err
	}
	if !t.tree {
		children, err := childrenTime(t.pid)
		return usage{own: own, children: children}, err
	}
	list, err := descendants(t.pid)
	if err != nil {
		return usage{}, err
	}
	for _, d := range list {
		more, err := cpuTime(d.pid)
		if err != nil {
			return usage{}, err
		}
		own += more
	}
	return usage{own: own}, nil
}

// memory returns the resident memory of the proxy, now and at most.
func (t *target) memory() (rss, peak int64, err error) {
	if t.pid == 0 {
		return 0, 0, nil
	}
	pids := []int{t.pid}
	if t.tree {
		list, err := descendants(t.pid)
		if err != nil {
			return 0, 0, err
		}
		for _, d := range list {
			pids = append(pids, d.pid)
		}
	}
	for _, pid := range pids {
		r, p, err := memory(pid)
		if err != nil {
			return 0, 0, err
		}
		rss += r
		peak += p
	}
	return rss, peak, nil
}

// launch starts one instance of a target in front of the agent at upstream, a
// host and port.
func (r *runner) launch(ctx context.Context, name, upstream string) (*target, error) {
	t := &target{name: name, stop: func() error { return nil }}
	var err error
	switch name {
	case TargetDirect:
		t.endpoint = &url.URL{Scheme: "http", Host: upstream, Path: "/"}
	case TargetRelay:
		err = r.launchHelper(ctx, t, helperRelay, upstream)
	case TargetReverseProxy:
		err = r.launchHelper(ctx, t, helperReverseProxy, upstream)
	case TargetNginx:
		err = launchNginx(ctx, t, r.opts.NginxPath, upstream)
	case TargetGateway:
		err = r.launchGateway(ctx, t, upstream)
	default:
		err = errors.New("unknown target")
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return t, nil
}

func (r *runner) launchHelper(ctx context.Context, t *target, kind, upstream string) error {
	p, err := startHelper(ctx, r.opts.Executable, kind, upstream)
	if err != nil {
		return err
	}
	t.pid, t.stop = p.pid(), p.stop
	t.endpoint = &url.URL{Scheme: "http", Host: p.addr, Path: "/"}
	return nil
}

func (r *runner) launchGateway(ctx context.Context, t *target, upstream string) error {
	_, err := r.startGateway(ctx, t, []Agent{{ID: agentID, URL: "http://" + upstream}})
	return err
}

// agentID names the agent of all workloads but translation.
const agentID = "bench"

func (r *runner) startGateway(ctx context.Context, t *target, agents []Agent) (Gateway, error) {
	gw, err := r.opts.StartGateway(ctx, agents)
	if err != nil {
		return Gateway{}, err
	}
	if gw.Stop != nil {
		t.stop = gw.Stop
	}
	t.endpoint, err = url.Parse(gw.URL)
	if err == nil && (t.endpoint.Scheme != "http" || t.endpoint.Port() == "") {
		err = fmt.Errorf("gateway URL %q: want http with a port", gw.URL)
	}
	if err == nil && gw.PID <= 0 {
		err = errors.New("the process id of the gateway is required")
	}
	if err != nil {
		return Gateway{}, errors.Join(err, t.stop())
	}
	t.header, t.pid, t.config = gw.Header, gw.PID, gw.Config
	return gw, nil
}

// exit is how a child ended; err is nil for status 0.
type exit struct{ err error }

// process is a child that ends with this process.
type process struct {
	cmd    *exec.Cmd
	done   <-chan exit
	stderr *tail
	addr   string
	ask    func() error // asks it to end
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end and makes it end if it does not.
func (p *process) stop() error {
	err := p.ask()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done: // how it ended does not matter any more
		return err
	case <-timer.C:
		err = errors.Join(err, fmt.Errorf("%s did not end within %v", p.cmd.Path, stopTimeout), p.cmd.Process.Kill())
		<-p.done
		return err
	}
}

// startHelper starts a helper process and waits until it is ready.
func startHelper(ctx context.Context, executable, kind, upstream string) (*process, error) {
	args := []string{"bench", "helper", kind, "--listen", "127.0.0.1:0"}
	if upstream != "" {
		args = append(args, "--target", upstream)
	}
	// Not tied to ctx: it ends when its standard input is closed.
	cmd := exec.Command(executable, args...) //nolint:noctx // our own binary; see above
	ready := &firstLine{found: make(chan string, 1)}
	p := &process{cmd: cmd, stderr: &tail{}}
	cmd.Stdout, cmd.Stderr = ready, p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.ask = stdin.Close
	if p.done, err = start(cmd, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("start %s: %w", executable, err)
	}
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case line := <-ready.found:
		addr, ok := strings.CutPrefix(line, "ready ")
		if !ok {
			return nil, errors.Join(fmt.Errorf("helper %s said %q instead of being ready", kind, line), p.stop())
		}
		p.addr = addr
		return p, nil
	case end := <-p.done:
		return nil, fmt.Errorf("helper %s ended at once: %w: %s", kind, errors.Join(errEnded, end.err), p.stderr)
	case <-timer.C:
		return nil, errors.Join(fmt.Errorf("helper %s was not ready within %v", kind, startTimeout), p.stop())
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), p.stop())
	}
}

var errEnded = errors.New("process ended")

// firstLine hands over the first line written to it.
type firstLine struct {
	found chan string // with room for one
	buf   []byte
	sent  bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if f.sent {
		return len(p), nil
	}
	f.buf = append(f.buf, p...)
	if line, _, ok := strings.Cut(string(f.buf), "\n"); ok {
		f.sent = true
		f.found <- line
	}
	return len(p), nil
}

// tail keeps the last of what is written to it, to explain an early end.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-maxStderr):]
	return len(p), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
