package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// revisionChannel is what every write of configuration notifies.
const revisionChannel = "signalbox_revision"

// The bounds of the time between two attempts to connect.
const (
	minReconnect = 100 * time.Millisecond
	maxReconnect = 10 * time.Second
)

// Listener tells when configuration has changed, so that replicas need not wait for
// their next poll. Everything works without it.
type Listener struct {
	pool *pgxpool.Pool
	log  *slog.Logger
}

// NewListener returns a Listener on pool's database, over a connection of its own.
func NewListener(pool *pgxpool.Pool, log *slog.Logger) *Listener {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Listener{pool: pool, log: log}
}

// Listen sends to wake, which needs a buffer of one, when there may be a new
// revision, until ctx ends. A wake-up that nobody has taken yet stands for all that
// follow. Every connection begins with a wake-up, because changes may have been
// missed before it.
func (l *Listener) Listen(ctx context.Context, wake chan<- struct{}) error {
	delay, failing := minReconnect, false
	for {
		err := l.listen(ctx, wake, func() { delay, failing = minReconnect, false })
		if ctx.Err() == nil && !failing { // one line for each outage is enough
			failing = true
			l.log.LogAttrs(ctx, slog.LevelWarn, "not notified of configuration changes, polling only", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = min(2*delay, maxReconnect)
	}
}

// listen serves one connection until it fails.
func (l *Listener) listen(ctx context.Context, wake chan<- struct{}, connected func()) (err error) {
	// Not from the pool: there it would be lost to the statements, and a pooled
	// connection may be given back while it still listens.
	pooled := l.pool.Config()
	config := pooled.ConnConfig.Copy()
	if pooled.BeforeConnect != nil {
		if err := pooled.BeforeConnect(ctx, config); err != nil {
			return fmt.Errorf("prepare connection: %w", err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, conn.Close(closing))
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+revisionChannel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	connected()
	for {
		select {
		case wake <- struct{}{}:
		default: // one is due already
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
	}
}
