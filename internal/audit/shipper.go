package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/clock"
)

// ShippedSpool is where a shipper takes entries from. Numbers grow; there may be gaps.
type ShippedSpool interface {
	// Read returns entries with numbers above after, in order, none when there are none
	// yet. It reuses buf and the memory of its records. It returns spool.ErrDamaged when
	// there are entries and none can be read.
	Read(after uint64, limit int, buf []spool.Record) ([]spool.Record, error)
	// Release says that entries up to through are safe in the ledger.
	Release(through uint64) error
	// Wait returns when there is an entry with a number above after.
	Wait(ctx context.Context, after uint64) error
	// Last returns the number of the newest entry.
	Last() uint64
	// Advance makes the next number follow through. It works until the first append.
	Advance(through uint64) error
}

var _ ShippedSpool = (*spool.Spool)(nil)

// ShipperMetrics counts what a shipper does. Its methods are safe for concurrent use.
type ShipperMetrics interface {
	// Shipped counts a batch, which took d and became some events.
	Shipped(events int, d time.Duration)
	// ShipFailed counts a batch that did not reach the database and will be tried again.
	ShipFailed()
}

// ShipperConfig says how a Shipper works.
type ShipperConfig struct {
	// Spool and Ledger are required, and so are Replica and Epoch, which are the spool's.
	Spool   ShippedSpool
	Ledger  Ledger
	Replica uuid.UUID
	Epoch   uint64
	// ServedRevision tells which revision of the configuration is served; nil means 0.
	ServedRevision func() int64
	// RevisionChanged returns a channel that is closed when another revision is served,
	// which is then told at once; nil means that the next sign of life tells it.
	RevisionChanged func() <-chan struct{}
	// Interval is the time between two batches; 0 means 200 ms.
	Interval time.Duration
	// MaxBatch is the number of entries that are shipped without waiting for that time,
	// and at most at once; 0 means 4000.
	MaxBatch int
	// Heartbeat is the time between two signs of life; 0 means 1 s.
	Heartbeat time.Duration
	// WriteOffAfter is how long another replica may be silent before its open calls
	// become INTERRUPTED; 0 means 1 h.
	WriteOffAfter time.Duration
	// WriteOffEvery is the time between two looks for such replicas; 0 means 1 min.
	WriteOffEvery time.Duration
	// Timeout bounds one transaction; 0 means 15 s.
	Timeout time.Duration
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets outages and their ends; nil discards.
	Logger *slog.Logger
	// Metrics counts; nil discards.
	Metrics ShipperMetrics
}

func (c *ShipperConfig) complete() error {
	if c.Spool == nil || c.Ledger == nil || c.Replica == uuid.Nil || c.Epoch == 0 {
		return errors.New("audit: ShipperConfig.Spool, Ledger, Replica and Epoch are required")
	}
	for d, preset := range map[*time.Duration]time.Duration{
		&c.Interval: 200 * time.Millisecond, &c.Heartbeat: time.Second, &c.WriteOffAfter: time.Hour,
		&c.WriteOffEvery: time.Minute, &c.Timeout: 15 * time.Second,
	} {
		if *d == 0 {
			*d = preset
		}
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 4000
	}
	if c.ServedRevision == nil {
		c.ServedRevision = func() int64 { return 0 }
	}
	if c.RevisionChanged == nil {
		c.RevisionChanged = func() <-chan struct{} { return nil }
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	return nil
}

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// looks is how often in an interval the shipper looks whether a batch is full. It
	// does not wait for that entry, because every append would then wake it.
	looks = 4
)

// Shipper brings the entries of a replica's spool into the ledger, each once, and
// closes the record of calls that nobody can close any more.
type Shipper struct {
	cfg     ShipperConfig
	process Process

	// healthy is since when every heartbeat arrived, in nanoseconds; 0 when the last
	// one did not.
	healthy atomic.Int64

	mu      sync.Mutex // held while a batch is shipped
	cursor  uint64     // the last entry that is in the ledger
	records []spool.Record
	entries []SpooledEntry
	// Until recovered, startLast is the last entry there was at the start, and through
	// the last one seen of earlier epochs.
	recovered bool
	startLast uint64
	through   uint64
	failing   bool // the last attempt did not work, which was logged
}

// NewShipper returns a shipper; Start comes before everything else.
func NewShipper(cfg ShipperConfig) (*Shipper, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &Shipper{
		cfg:     cfg,
		process: Process{Replica: cfg.Replica, Epoch: cfg.Epoch, Instance: uuid.New()},
	}, nil
}

// Start makes this the process that ships for its replica and, when the data directory
// is older than what the ledger has of it, keeps the spool from giving out numbers a
// second time. Nothing may be appended to the spool before it returns, and it may
// succeed once only for each opening of the spool.
func (s *Shipper) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	shipped, err := s.cfg.Ledger.Register(ctx, s.process)
	if err != nil {
		return fmt.Errorf("register replica %s: %w", s.process.Replica, err)
	}
	last := s.cfg.Spool.Last()
	if shipped > last && last > 0 {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the spool is older than the database's record of it",
			slog.Uint64("last_number", last), slog.Uint64("shipped_through", shipped))
	}
	s.lookForLost(ctx, shipped)
	if err := s.cfg.Spool.Advance(shipped); err != nil {
		return fmt.Errorf("number entries from %d: %w", shipped+1, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor, s.through, s.startLast = shipped, shipped, last
	if err := s.cfg.Spool.Release(shipped); err != nil {
		return fmt.Errorf("release shipped entries: %w", err)
	}
	return nil
}

// lookForLost says when entries that pass for shipped are not in the ledger: another
// process has shipped under their numbers, from a copy of the data directory. They are
// lost, as nothing tells their numbers from the other's.
func (s *Shipper) lookForLost(ctx context.Context, shipped uint64) {
	lost, first, err := s.countLost(ctx, shipped)
	if lost > 0 {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "entries are lost: another process ships as this replica, from a copy of its data directory",
			slog.Int("entries", lost), slog.Uint64("first_number", first), slog.Uint64("shipped_through", shipped),
			slog.String("replica", s.process.Replica.String()))
	}
	if err != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "whether all shipped entries are in the database is not known", slog.Any("error", err))
	}
}

// countLost looks at the entries up to shipped that the spool still has, which are those
// that share a segment with newer ones.
func (s *Shipper) countLost(ctx context.Context, shipped uint64) (lost int, first uint64, err error) {
	for after := uint64(0); after < shipped; {
		s.records, err = s.cfg.Spool.Read(after, s.cfg.MaxBatch, s.records)
		if errors.Is(err, spool.ErrDamaged) || err == nil && len(s.records) == 0 {
			return lost, first, nil // the spool says itself what is damaged
		}
		if err != nil {
			return lost, first, err
		}
		after = s.records[len(s.records)-1].Number
		n, from, err := s.lostOf(ctx, shipped)
		if err != nil {
			return lost, first, err
		}
		if lost == 0 {
			first = from
		}
		lost += n
	}
	return lost, first, nil
}

// lostOf counts the records up to shipped whose calls the ledger does not have.
func (s *Shipper) lostOf(ctx context.Context, shipped uint64) (lost int, first uint64, err error) {
	var calls []uuid.UUID
	var entries []SpooledEntry
	for i := range s.records {
		// What cannot be read makes no event, and shipping has reported it.
		if e, err := DecodeEntry(s.records[i].Data); err == nil && s.records[i].Number <= shipped {
			calls = append(calls, e.Invocation())
			entries = append(entries, SpooledEntry{Number: s.records[i].Number, Entry: e})
		}
	}
	if len(calls) == 0 {
		return 0, 0, nil
	}
	ended, open, err := s.cfg.Ledger.Recorded(ctx, calls)
	if err != nil {
		return 0, 0, err
	}
	known := make(map[uuid.UUID]Kind, len(ended)+len(open))
	for _, id := range open {
		known[id] = KindOpened
	}
	for _, id := range ended {
		known[id] = KindClosed
	}
	for i := range entries {
		kind, ok := known[entries[i].Entry.Invocation()]
		if ok && (kind == KindClosed || entries[i].Entry.Kind == KindOpened) {
			continue
		}
		if lost++; lost == 1 {
			first = entries[i].Number
		}
	}
	return lost, first, nil
}

// Run ships until ctx ends, and returns nil then. What is in the spool by then stays
// there, for Drain or the next start.
func (s *Shipper) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.ship(ctx) })
	g.Go(func() error { return s.beat(ctx) })
	g.Go(func() error { return s.writeOff(ctx) })
	return g.Wait()
}

// Drain ships everything that was in the spool when it was called, and tries until ctx
// ends. It may be called while Run runs, and after.
func (s *Shipper) Drain(ctx context.Context) error {
	target := s.cfg.Spool.Last()
	for delay := firstBackoff; ; delay = min(2*delay, lastBackoff) {
		done, err := s.drainOnce(ctx, target)
		if done {
			return nil
		}
		if err == nil && ctx.Err() == nil {
			delay = firstBackoff
			continue
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if errors.Is(err, spool.ErrClosed) || !pause(ctx, delay) {
			return fmt.Errorf("ship the last entries: %w", err)
		}
	}
}

func (s *Shipper) drainOnce(ctx context.Context, target uint64) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor >= target && s.recovered {
		return true, nil
	}
	return false, s.step(ctx)
}

func (s *Shipper) ship(ctx context.Context) error {
	delay := firstBackoff
	for {
		s.mu.Lock()
		err := s.step(ctx)
		cursor := s.cursor
		s.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // that it was stopped is why it failed
		case errors.Is(err, spool.ErrClosed):
			return fmt.Errorf("ship entries: %w", err)
		case err != nil:
			pause(ctx, delay)
			delay = min(2*delay, lastBackoff)
			continue
		}
		delay = firstBackoff
		if err := s.await(ctx, cursor); err != nil {
			return err
		}
	}
}

// await returns when the next batch is due: an interval after there is anything to
// ship, or when the batch is full.
func (s *Shipper) await(ctx context.Context, cursor uint64) error {
	if err := s.cfg.Spool.Wait(ctx, cursor); err != nil && ctx.Err() == nil {
		return fmt.Errorf("wait for entries: %w", err)
	}
	for range looks {
		if s.full(cursor) || !pause(ctx, s.cfg.Interval/looks) {
			break
		}
	}
	return nil
}

func (s *Shipper) full(cursor uint64) bool {
	last := s.cfg.Spool.Last()
	return last > cursor && last-cursor >= uint64(s.cfg.MaxBatch)
}

// pause waits, and tells whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// step ships a batch, and once all of earlier epochs is shipped, interrupts what they
// left open. It is called with mu held.
func (s *Shipper) step(ctx context.Context) error {
	err := s.batch(ctx)
	if err == nil && !s.recovered && s.cursor >= s.startLast {
		err = s.recover(ctx)
	}
	switch {
	case err != nil && !s.failing && ctx.Err() == nil:
		s.failing = true
		level := slog.LevelWarn
		if errors.Is(err, ErrReplaced) {
			level = slog.LevelError
		}
		s.cfg.Logger.LogAttrs(ctx, level, "events stay in the spool for now", slog.Any("error", err))
	case err == nil && s.failing:
		s.failing = false
		s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "events are shipped again")
	}
	return err
}

func (s *Shipper) batch(ctx context.Context) error {
	last := s.cfg.Spool.Last()
	var err error
	s.records, err = s.cfg.Spool.Read(s.cursor, s.cfg.MaxBatch, s.records)
	if errors.Is(err, spool.ErrDamaged) {
		// The spool has said what is lost. Waiting would not bring it back.
		return s.release(ctx, max(last, s.cursor))
	}
	if err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	if len(s.records) == 0 {
		return nil
	}
	s.decode(ctx)
	begin := s.cfg.Clock.Now()
	tx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	shipment, err := s.cfg.Ledger.Ship(tx, s.process, s.entries)
	if err != nil {
		s.cfg.Metrics.ShipFailed()
		return fmt.Errorf("ship a batch of %d entries: %w", len(s.entries), err)
	}
	s.cfg.Metrics.Shipped(shipment.Events, s.cfg.Clock.Now().Sub(begin))
	if len(shipment.Late) > 0 {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "calls ended after they were recorded as interrupted",
			slog.Int("calls", len(shipment.Late)), slog.String("first_invocation", shipment.Late[0].String()))
	}
	return s.release(ctx, max(shipment.Through, s.records[len(s.records)-1].Number))
}

// decode fills entries from records.
func (s *Shipper) decode(ctx context.Context) {
	s.entries = s.entries[:0]
	for i := range s.records {
		r := &s.records[i]
		e := SpooledEntry{Number: r.Number, Epoch: r.Epoch, Time: r.Time, Data: r.Data}
		if e.Entry, e.Fault = DecodeEntry(r.Data); e.Fault != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "spool entry cannot be read, it is kept as it is",
				slog.Uint64("number", r.Number), slog.Any("error", e.Fault))
		}
		if r.Epoch < s.process.Epoch {
			s.through = max(s.through, r.Number)
		}
		s.entries = append(s.entries, e)
	}
}

func (s *Shipper) release(ctx context.Context, through uint64) error {
	s.cursor = through
	if err := s.cfg.Spool.Release(through); err != nil {
		if errors.Is(err, spool.ErrClosed) {
			return err
		}
		// The entries are safe; only their room is not given back.
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "spool keeps entries that are shipped", slog.Any("error", err))
	}
	return nil
}

// recover interrupts the calls of earlier runs. Nobody will close them: their entries
// are all shipped, and a run closes only what it opened.
func (s *Shipper) recover(ctx context.Context) error {
	total := 0
	for {
		tx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		n, err := s.cfg.Ledger.Interrupt(tx, s.process, s.through, s.cfg.MaxBatch)
		cancel()
		if err != nil {
			return fmt.Errorf("interrupt calls of earlier runs: %w", err)
		}
		if total += n; n < s.cfg.MaxBatch {
			break
		}
	}
	s.recovered = true
	if total > 0 {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "calls of an earlier run were interrupted", slog.Int("calls", total))
	}
	return nil
}

// beat gives signs of life: from time to time, and when another revision is served.
func (s *Shipper) beat(ctx context.Context) error {
	for {
		changed := s.cfg.RevisionChanged() // before the revision is read, so that no change is missed
		tx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		err := s.cfg.Ledger.Heartbeat(tx, s.process, s.cfg.ServedRevision())
		cancel()
		if err != nil {
			// The shipping says that the database is away.
			s.healthy.Store(0)
		} else {
			s.healthy.CompareAndSwap(0, s.cfg.Clock.Now().UnixNano())
		}
		timer := time.NewTimer(s.cfg.Heartbeat)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
			timer.Stop()
			if err != nil { // it would be asked as often as it changes
				pause(ctx, firstBackoff)
			}
		case <-timer.C:
		}
	}
}

// Leave says that the replica serves no calls any more, so that nobody waits for it to
// confirm a change. It comes after Run has ended.
func (s *Shipper) Leave(ctx context.Context) error {
	if err := s.cfg.Ledger.Leave(ctx, s.process); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// writeOff interrupts the calls of replicas that are away for long.
func (s *Shipper) writeOff(ctx context.Context) error {
	failing := false
	for pause(ctx, s.cfg.WriteOffEvery) {
		// After the database was away, all look as if they had been. They get time to
		// give a sign of life again.
		since := s.healthy.Load()
		if since == 0 || s.cfg.Clock.Now().Sub(time.Unix(0, since)) < s.cfg.WriteOffEvery {
			continue
		}
		n, err := s.writeOffOnce(ctx)
		if n > 0 {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "calls of lost replicas were interrupted", slog.Int("calls", n))
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "calls of lost replicas stay open for now", slog.Any("error", err))
		}
		failing = err != nil
	}
	return nil
}

func (s *Shipper) writeOffOnce(ctx context.Context) (total int, err error) {
	for {
		tx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		n, err := s.cfg.Ledger.WriteOff(tx, s.process, s.cfg.WriteOffAfter, s.cfg.MaxBatch)
		cancel()
		total += n
		if err != nil || n < s.cfg.MaxBatch {
			return total, err
		}
	}
}
