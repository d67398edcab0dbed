package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	lockFile    = "lock"
	replicaFile = "replica"
	stateFile   = "state"

	stateSlot = 4096 // one write never touches the page of the other slot
	stateLine = "signalbox-spool 1 generation=%d epoch=%d last=%d"
	stateSize = 2 * stateSlot
)

// lockDir takes the directory for this process; the kernel gives it back when the file is closed or the process dies.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &LockedError{Dir: dir}
	}
	return nil, fmt.Errorf("lock spool: %w", err)
}

// state is what must outlive the segments. It is overwritten in place, one of two slots at a time, so that it can be
// written on a full disk and a torn write leaves the other slot.
type state struct {
	file       *os.File
	generation uint64
	epoch      uint64
	last       uint64 // the last number given out when this was written; segments may know of later ones
}

// openState reads the newest whole slot. known is false when there is none.
func openState(dir string) (st *state, known bool, err error) {
	path := filepath.Join(dir, stateFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("open spool state: %w", err)
	}
	st = &state{file: f}
	slot := make([]byte, stateSlot)
	for i := range int64(2) {
		n, err := f.ReadAt(slot, i*stateSlot)
		if err != nil && !errors.Is(err, io.EOF) {
			_ = f.Close()
			return nil, false, fmt.Errorf("read spool state: %w", err)
		}
		if s, ok := decodeState(slot[:n]); ok && (!known || s.generation > st.generation) {
			st.generation, st.epoch, st.last, known = s.generation, s.epoch, s.last, true
		}
	}
	if info, err := f.Stat(); err == nil && info.Size() < stateSize {
		// Both slots get their room now: later writes replace it, and cannot fail for lack of it.
		if _, err := f.WriteAt(make([]byte, stateSize-info.Size()), info.Size()); err != nil {
			_ = f.Close()
			return nil, false, fmt.Errorf("allocate spool state: %w", err)
		}
	}
	return st, known, nil
}

func decodeState(slot []byte) (s state, ok bool) {
	line, _, found := bytes.Cut(slot, []byte{'\n'})
	if !found {
		return s, false
	}
	text, sum, found := strings.Cut(string(line), " crc=")
	if !found || sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) {
		return s, false
	}
	n, err := fmt.Sscanf(text, stateLine, &s.generation, &s.epoch, &s.last)
	return s, err == nil && n == 3
}

// write makes the state durable.
func (s *state) write() error {
	s.generation++
	text := fmt.Sprintf(stateLine, s.generation, s.epoch, s.last)
	line := fmt.Sprintf("%s crc=%08x\n", text, crc32.Checksum([]byte(text), castagnoli))
	at := int64(s.generation%2) * stateSlot
	if _, err := s.file.WriteAt([]byte(line), at); err != nil {
		return fmt.Errorf("write spool state: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync spool state: %w", err)
	}
	return nil
}

// loadReplica returns the directory's identity, and whether it had to be found elsewhere than in its file: in a
// segment, else, for a directory without a past, by chance.
func loadReplica(dir string, segments []string) (id [16]byte, repaired bool, err error) {
	path := filepath.Join(dir, replicaFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return id, false, fmt.Errorf("read replica identity: %w", err)
	}
	existed := err == nil
	if id, ok := parseUUID(strings.TrimSpace(string(text))); ok {
		return id, false, nil
	}
	for _, s := range segments {
		if id, ok := replicaOf(s); ok {
			return id, true, writeReplica(path, id)
		}
	}
	if _, err := rand.Read(id[:]); err != nil {
		return id, false, fmt.Errorf("make replica identity: %w", err)
	}
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id, existed, writeReplica(path, id)
}

func writeReplica(path string, id [16]byte) (err error) {
	f, err := os.OpenFile(path+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write replica identity: %w", err)
	}
	_, err = f.WriteString(formatUUID(id) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write replica identity: %w", err)
	}
	if err := os.Rename(path+tmpSuffix, path); err != nil {
		return fmt.Errorf("write replica identity: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func formatUUID(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

func parseUUID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 {
		return id, false
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(raw) != len(id) {
		return id, false
	}
	copy(id[:], raw)
	return id, formatUUID(id) == strings.ToLower(s)
}
