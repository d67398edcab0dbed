package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// errNoNginx says what to do about it.
var errNoNginx = errors.New("nginx was not found: install it (apt-get install nginx-light, dnf install nginx or apk add nginx), name its path, or measure without it (--without-nginx)")

// findNginx returns the nginx binary. Distributions put it where only the
// administrator's PATH leads.
func findNginx(path string) (string, error) {
	if path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("nginx: %w", err)
		}
		return found, nil
	}
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"} {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", errNoNginx
}

// nginxConfig is what an operator who knows nginx would write for this load:
// kept-alive connections on both sides, bodies in memory, no access log.
// Streams ask for unbuffered forwarding by X-Accel-Buffering, unary replies
// keep the buffering that is nginx's strength.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(`
{{- if .Root}}user root root;
{{end -}}
worker_processes auto;
worker_rlimit_nofile 16384;
daemon off;
pid {{.Dir}}/nginx.pid;
error_log stderr error;
events {
	worker_connections 8192;
}
http {
	access_log off;
	tcp_nodelay on;
	keepalive_timeout 600s;
	keepalive_requests 1000000000;
	client_max_body_size 16m;
	client_body_buffer_size 128k;
	proxy_buffers 32 8k;
	proxy_busy_buffers_size 64k;
	proxy_read_timeout 600s;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	upstream agent {
		server {{.Upstream}};
		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_timeout 600s;
	}
	server {
		listen {{.Listen}} backlog=4096;
		location / {
			proxy_pass http://agent;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
		}
	}
}
`))

const nginxAttempts = 3

// launchNginx starts nginx with its own configuration in a temporary folder;
// an nginx that runs as a service on this machine is not touched.
func launchNginx(ctx context.Context, t *target, path, upstream string) error {
	dir, err := os.MkdirTemp("", "signalbox-bench-nginx-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	// nginx cannot say which port it was given, so a free one is chosen for
	// it; somebody else may take that one first.
	var p *process
	for range nginxAttempts {
		if p, err = startNginx(ctx, dir, path, upstream); err == nil {
			break
		}
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	t.pid, t.tree = p.pid(), true
	t.endpoint = &url.URL{Scheme: "http", Host: p.addr, Path: "/"}
	t.version = nginxVersion(ctx, path)
	t.stop = func() error { return errors.Join(p.stop(), os.RemoveAll(dir)) }
	return nil
}

func startNginx(ctx context.Context, dir, path, upstream string) (*process, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	var conf strings.Builder
	err = nginxConfig.Execute(&conf, struct {
		Root                  bool
		Dir, Listen, Upstream string
	}{os.Geteuid() == 0, dir, addr, upstream})
	if err != nil {
		return nil, fmt.Errorf("write nginx configuration: %w", err)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		return nil, fmt.Errorf("write nginx configuration: %w", err)
	}
	// Not tied to ctx: a kill would leave the workers behind.
	cmd := exec.Command(path, "-p", dir, "-c", file) //nolint:noctx // the operator names the binary; see above
	p := &process{cmd: cmd, stderr: &tail{}, addr: addr}
	cmd.Stderr = p.stderr
	p.ask = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if p.done, err = start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := waitForPort(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

// waitForPort returns when the process accepts connections.
func waitForPort(ctx context.Context, p *process) error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", p.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case end := <-p.done:
			return fmt.Errorf("%w: %s", errors.Join(errEnded, end.err), p.stderr)
		case <-timeout.C:
			return errors.Join(fmt.Errorf("nothing listens on %s after %v: %s", p.addr, startTimeout, p.stderr), p.stop())
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), p.stop())
		case <-retry.C:
		}
	}
}

// nginxVersion returns what nginx says of itself, or nothing.
func nginxVersion(ctx context.Context, path string) string {
	out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return ""
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), "nginx/")
	return version
}
