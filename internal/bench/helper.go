package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kinds of helper processes.
const (
	helperUpstream     = "upstream"
	helperRelay        = "relay"
	helperReverseProxy = "reverseproxy"
)

const readHeaderTimeout = 10 * time.Second

// HelperKinds returns what [RunHelper] can run.
func HelperKinds() []string {
	return []string{helperUpstream, helperRelay, helperReverseProxy}
}

// RunHelper is the body of a helper process: the benchmark agent or one of the
// control proxies. args are the flags --listen ADDRESS and, for proxies,
// --target ADDRESS. It prints "ready ADDRESS" on standard output and ends when
// standard input does, so that no helper outlives the run that started it.
func RunHelper(ctx context.Context, kind string, args []string) error {
	return runHelper(ctx, kind, args, os.Stdin, os.Stdout)
}

func runHelper(ctx context.Context, kind string, args []string, stdin io.Reader, stdout io.Writer) error {
	if !slices.Contains(HelperKinds(), kind) {
		return fmt.Errorf("bench helper: unknown kind %q: choose from %s", kind, strings.Join(HelperKinds(), ", "))
	}
	flags := flag.NewFlagSet("bench helper "+kind, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	target := flags.String("target", "", "host:port to forward to")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("bench helper %s: %w", kind, err)
	}
	if *target == "" && kind != helperUpstream {
		return fmt.Errorf("bench helper %s: --target is required", kind)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// Whatever ends the reading means that nobody is there any more.
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()

	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("bench helper %s: listen: %w", kind, err)
	}
	if _, err := fmt.Fprintf(stdout, "ready %s\n", ln.Addr()); err != nil {
		return errors.Join(fmt.Errorf("bench helper %s: announce: %w", kind, err), ln.Close())
	}
	switch kind {
	case helperUpstream:
		var h http.Handler
		if h, err = upstreamHandler("http://" + ln.Addr().String()); err == nil {
			err = serveHTTP(ctx, ln, h)
		}
	case helperRelay:
		err = serveRelay(ctx, ln, *target)
	case helperReverseProxy:
		err = serveHTTP(ctx, ln, newReverseProxy(*target))
	}
	if err != nil {
		return fmt.Errorf("bench helper %s: %w", kind, err)
	}
	return nil
}

// upstreamHandler is the benchmark agent and, beside it, one of each dialect.
func upstreamHandler(baseURL string) (http.Handler, error) {
	agent := newAgent(baseURL).handler()
	dialects, err := NewDialectAgents()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || !isDialectPath(r.URL.Path) {
			agent.ServeHTTP(w, r)
			return
		}
		dialects.ServeHTTP(w, r)
	}), nil
}

// quiet discards what net/http would log of callers that break off.
func quiet() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }

func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // for gRPC
	srv := &http.Server{Handler: h, Protocols: protocols, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: quiet()}
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { closed <- srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-closed
}

// newReverseProxy is what a Go programmer gets without effort: the standard
// proxy with a transport that keeps its connections.
func newReverseProxy(target string) http.Handler {
	upstream := &url.URL{Scheme: "http", Host: target}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     10 * time.Minute,
			DisableCompression:  true,
		},
		ErrorLog: quiet(),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without this a reply that overtakes the end of the request's body
		// makes the server close that body, the transport take the close for
		// a failed request, and one stream in some hundreds break off.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// serveRelay gives each connection one of its own to target and copies bytes
// both ways, the least that a proxy in user space can do.
func serveRelay(ctx context.Context, ln net.Listener, target string) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // Accept reports it
	defer stop()
	for {
		down, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = down.Close() // accepted while stopping
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		wg.Go(func() { relay(ctx, down, target) })
	}
}

func relay(ctx context.Context, down net.Conn, target string) {
	defer func() { _ = down.Close() }()
	var dialer net.Dialer
	up, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return // the caller sees its connection closed
	}
	defer func() { _ = up.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = down.Close()
		_ = up.Close()
	})
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(up, down) })
	copyHalf(down, up)
	wg.Wait()
}

// copyHalf copies one direction and passes its end on, so that the other
// direction may still finish.
func copyHalf(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	half, ok := dst.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = dst.Close() // a broken direction ends both
		_ = src.Close()
	}
}
