package tlscert

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"sync"
	"time"
)

// connections are the open ones whose clients showed certificates.
type connections struct {
	mu   sync.Mutex
	open map[*conn]shown
}

// shown is what a client showed.
type shown struct {
	certs []*x509.Certificate
	until time.Time // when the certificate, or its whole chain, is not valid any more
}

// conn is a connection below TLS.
type conn struct {
	net.Conn
	of     *Reloader
	closed bool // under the lock of the connections
}

// Close forgets the connection and closes it.
func (c *conn) Close() error {
	c.of.conns.mu.Lock()
	c.closed = true
	delete(c.of.conns.open, c)
	c.of.conns.mu.Unlock()
	return c.Conn.Close()
}

// Listen returns a listener for servers of [Reloader.TLS]. Its connections are closed
// when the certificate that their client showed is not accepted any more: it has expired,
// its authority is not in the file any more, or it is revoked. A connection may be open
// for days, and nobody asks for the certificate again.
func (r *Reloader) Listen(l net.Listener) net.Listener {
	if r.clients.Load() == nil {
		return l
	}
	return &listener{Listener: l, of: r}
}

type listener struct {
	net.Listener
	of *Reloader
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, of: l.of}, nil
}

// watch remembers a connection that was accepted.
func (r *Reloader) watch(c *conn, by *clients, certs []*x509.Certificate, until time.Time) error {
	r.conns.mu.Lock()
	defer r.conns.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	// Who was replaced during the handshake has been gone over already.
	if now := r.clients.Load(); now != by {
		var err error
		if until, err = now.verify(certs, r.cfg.Clock.Now()); err != nil {
			return err
		}
	}
	if r.conns.open == nil {
		r.conns.open = map[*conn]shown{}
	}
	r.conns.open[c] = shown{certs, until}
	return nil
}

// closeRefused closes the connections whose clients would not be let in any more. Unless
// who is accepted has changed, it looks at their ends alone.
func (r *Reloader) closeRefused(ctx context.Context, changed bool) {
	accepted, now := r.clients.Load(), r.cfg.Clock.Now()
	var refused []*conn
	var why error
	r.conns.mu.Lock()
	for c, s := range r.conns.open {
		if !changed && !now.After(s.until) {
			continue
		}
		until, err := accepted.verify(s.certs, now)
		if err != nil {
			refused, why = append(refused, c), err
			continue
		}
		s.until = until
		r.conns.open[c] = s
	}
	r.conns.mu.Unlock()
	if len(refused) == 0 {
		return
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "closing connections whose client certificates are not accepted any more",
		slog.Int("connections", len(refused)), slog.Any("last_error", why))
	for _, c := range refused {
		_ = c.Close() // its server notices
	}
}
