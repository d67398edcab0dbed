package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

const (
	// DefaultSegmentBytes is the size of a segment file when the configuration names none.
	DefaultSegmentBytes = 16 << 20
	// DefaultMaxBytes is the cap when the configuration names none.
	DefaultMaxBytes = 1 << 30

	minMaxBytes = 1 << 20 // a tenth of it holds an entry of the largest size
)

// Config says where a spool is and how large it may grow.
type Config struct {
	Dir          string       // required; made when absent, used by one process at a time
	SegmentBytes int64        // 0 means DefaultSegmentBytes; rounded up to 64 KiB, between 128 KiB and 1 GiB
	MaxBytes     int64        // cap of unreleased bytes; 0 means DefaultMaxBytes; at least 1 MiB. Files take up to four segments more
	Logger       *slog.Logger // nil discards
	Clock        clock.Clock  // nil means clock.System
}

// Spool is an open spool. Any number of goroutines may append; one reads and one releases.
type Spool struct {
	dir          string
	segmentBytes int64
	maxBytes     int64
	nearlyBytes  int64 // openings are refused from here
	log          *slog.Logger
	clock        clock.Clock
	alloc        allocator
	retry        <-chan time.Time

	replica [16]byte
	epoch   uint64
	lock    *os.File

	// mu is held for a copy, never for a system call.
	mu       sync.Mutex
	ready    sync.Cond // on mu: spare, spareErr or closed changed
	active   *segment  // nil when there is none that can be written
	spare    *segment  // nil while it is made, or cannot be
	retired  *segment  // released, to become the next spare; nil when there is none
	spareErr error     // why the last spare could not be made
	next     uint64    // the next number
	appended bool      // something was appended in this epoch
	used     int64     // unreleased bytes
	closed   bool
	faulted  []*segment // sealed after a memory fault, to be logged

	segments atomic.Pointer[[]*segment] // in order, the active one last; replaced under mu, never changed
	last     atomic.Uint64              // the newest number that can be read; stored after its record is whole
	refusal  atomic.Pointer[refusal]    // why openings are refused; nil when they are not

	// readMu is held while mapped memory is read, and to unmap it. It is taken before mu.
	readMu sync.Mutex
	cursor cursor
	dead   bool   // all is unmapped
	freed  uint64 // the highest number released

	waiting atomic.Bool // somebody waits on wakeup
	waitMu  sync.Mutex
	wakeup  chan struct{} // nil when nobody waits

	damageMu sync.Mutex
	damages  []Damage
	damaged  int64

	ordinal uint64 // of the newest segment; used by Open, then by maintain alone
	state   *state // used by Open, then by Close alone
	kick    chan struct{}
	stop    context.CancelFunc
	stopped chan struct{}
}

type refusal struct{ err error }

// Open takes the directory, begins a new epoch in it and finds the entries that are not released. It returns a
// [*LockedError] when the directory is in use. Damage does not keep it from opening: see [Spool.Recovered].
func Open(cfg Config) (*Spool, error) {
	ticker := time.NewTicker(time.Second)
	s, err := open(cfg, allocate, ticker.C)
	if err != nil {
		ticker.Stop()
		return nil, err
	}
	stop := s.stop
	s.stop = func() { ticker.Stop(); stop() }
	return s, nil
}

// open is Open with the allocator and the rhythm of trying again that tests need to hold.
func open(cfg Config, alloc allocator, retry <-chan time.Time) (_ *Spool, err error) {
	s := &Spool{
		dir:          cfg.Dir,
		segmentBytes: (cmp.Or(cfg.SegmentBytes, DefaultSegmentBytes) + pageRound - 1) / pageRound * pageRound,
		maxBytes:     cmp.Or(cfg.MaxBytes, DefaultMaxBytes),
		log:          cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		clock:        cfg.Clock,
		alloc:        alloc,
		retry:        retry,
		kick:         make(chan struct{}, 1),
		stopped:      make(chan struct{}),
	}
	if s.clock == nil {
		s.clock = clock.System{}
	}
	s.nearlyBytes = s.maxBytes / 10 * 9
	s.ready.L = &s.mu
	switch {
	case cfg.Dir == "":
		return nil, errors.New("spool: Config.Dir is required")
	case s.segmentBytes < minSegment || s.segmentBytes > maxSegment:
		return nil, fmt.Errorf("spool: Config.SegmentBytes must be between %d and %d", minSegment, maxSegment)
	case s.maxBytes < minMaxBytes:
		return nil, fmt.Errorf("spool: Config.MaxBytes must be at least %d", minMaxBytes)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make spool directory: %w", err)
	}
	if s.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.unmapAll()
			_ = s.closeFiles()
		}
	}()
	if err := s.load(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.mu.Lock()
	s.judge()
	s.mu.Unlock()
	go s.maintain(ctx)
	return s, nil
}

// load reads the directory, begins the epoch and makes sure that there is a segment to append to.
func (s *Spool) load() error {
	files, ordinal, err := segmentFiles(s.dir)
	if err != nil {
		return err
	}
	var repaired, known bool
	if s.replica, repaired, err = loadReplica(s.dir, files); err != nil {
		return err
	}
	if repaired {
		s.note(Damage{Kind: Identity, File: replicaFile})
	}
	if s.state, known, err = openState(s.dir); err != nil {
		return err
	}
	rec, err := recoverSegments(files, s.replica)
	if err != nil {
		return err
	}
	for _, d := range rec.damages {
		s.note(d)
	}
	if known && s.state.last > rec.last && len(rec.segments) > 0 {
		s.note(Damage{Kind: Missing, File: stateFile, First: rec.last + 1, Last: s.state.last})
	}
	s.epoch = max(rec.epoch, s.state.epoch) + 1
	if !known && (repaired || len(files) > 0) {
		// The last epoch is not known for certain, and an epoch must never come twice. The time in seconds is
		// above any count of openings.
		s.note(Damage{Kind: Identity, File: stateFile})
		s.epoch = max(s.epoch, uint64(s.clock.Now().Unix()))
	}
	s.last.Store(rec.last)
	s.next = max(rec.last+rec.skip, s.state.last) + 1
	s.ordinal = ordinal
	if len(rec.segments) > 0 {
		s.freed = rec.segments[0].first - 1
	} else {
		s.freed = s.next - 1
	}

	s.state.epoch, s.state.last = s.epoch, s.next-1
	if err := s.state.write(); err != nil {
		return errors.Join(err, unmap(rec.segments), unmap(rec.empty))
	}
	return s.adopt(rec)
}

// adopt chooses the segment to append to and the spare among those found.
func (s *Spool) adopt(rec *recovery) error {
	segs := rec.segments
	for _, g := range segs {
		s.used += g.end.Load() - headBytes
	}
	if n := len(segs); n > 0 && !segs[n-1].sealed && segs[n-1].populate() == nil {
		s.active = segs[n-1]
	}
	s.segments.Store(&segs)
	for i, g := range rec.empty {
		behind := len(segs) == 0 || g.ordinal > segs[len(segs)-1].ordinal
		if s.spare == nil && behind && int64(len(g.data)) == s.segmentBytes && g.populate() == nil {
			s.spare = g
			continue
		}
		if err := g.remove(); err != nil {
			return errors.Join(err, unmap(rec.empty[i+1:]))
		}
	}
	if s.active != nil || s.spare != nil {
		return nil
	}
	spare, err := createSegment(s.dir, s.ordinal+1, s.segmentBytes, s.replica, s.alloc)
	if err != nil && len(segs) == 0 {
		return err // nothing to give to anybody, and no room: better said at once
	}
	s.spare, s.spareErr = spare, err
	if err == nil {
		s.ordinal++
	}
	return nil
}

// Replica is the identity of the directory, a random UUID made on its first use.
func (s *Spool) Replica() [16]byte { return s.replica }

// Epoch counts the openings of the directory; it never comes twice for one replica.
func (s *Spool) Epoch() uint64 { return s.epoch }

// Last is the number of the newest entry that can be read, 0 when there never was one or all that were found damaged.
func (s *Spool) Last() uint64 { return s.last.Load() }

// Stats is a moment of a spool.
type Stats struct {
	// UsedBytes is what unreleased entries take, with their headers; MaxBytes is the cap on it.
	UsedBytes, MaxBytes int64
	// Segments is how many files hold entries; DiskBytes is their size with that of the spare and of one kept to
	// become the next spare.
	Segments  int
	DiskBytes int64
	// Unreleased is how many numbers were given out and not released.
	Unreleased uint64
	// SpareReady says that the next segment is prepared.
	SpareReady bool
	// SpareFailed says that it could not be prepared, which is tried again: the disk may be full.
	SpareFailed bool
	// Damaged counts places of damage found since Open, torn entries among them.
	Damaged int64
}

// Stats returns figures for metrics.
func (s *Spool) Stats() Stats {
	s.damageMu.Lock()
	st := Stats{MaxBytes: s.maxBytes, Damaged: s.damaged}
	s.damageMu.Unlock()
	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	segs := *s.segments.Load()
	st.UsedBytes, st.Segments, st.SpareReady, st.SpareFailed = s.used, len(segs), s.spare != nil, s.spareErr != nil
	for _, g := range segs {
		st.DiskBytes += int64(len(g.data))
	}
	for _, g := range []*segment{s.spare, s.retired} {
		if g != nil {
			st.DiskBytes += int64(len(g.data))
		}
	}
	if s.next-1 > s.freed {
		st.Unreleased = s.next - 1 - s.freed
	}
	return st
}

// Close ends the epoch, makes what was appended durable and gives the directory back. Waiting calls return ErrClosed.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.judge()
	s.ready.Broadcast()
	s.mu.Unlock()
	s.stop()
	<-s.stopped
	s.wake()

	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, g := range *s.segments.Load() {
		if err := unix.Msync(g.data, unix.MS_SYNC); err != nil {
			errs = append(errs, fmt.Errorf("sync segment %s: %w", g.path, err))
		}
	}
	s.state.last = s.next - 1
	errs = append(errs, s.state.write(), s.unmapAll(), s.closeFiles())
	s.dead = true
	return errors.Join(errs...)
}

func (s *Spool) unmapAll() error {
	var errs []error
	if segs := s.segments.Load(); segs != nil {
		errs = append(errs, unmap(*segs))
	}
	for _, g := range []*segment{s.spare, s.retired} {
		if g != nil {
			errs = append(errs, g.munmap())
		}
	}
	return errors.Join(errs...)
}

func unmap(segs []*segment) error {
	var errs []error
	for _, g := range segs {
		errs = append(errs, g.munmap())
	}
	return errors.Join(errs...)
}

func (s *Spool) closeFiles() error {
	var err error
	if s.state != nil {
		err = s.state.file.Close()
	}
	return errors.Join(err, s.lock.Close())
}
