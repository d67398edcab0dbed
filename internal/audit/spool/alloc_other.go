//go:build !linux

package spool

import "os"

// allocate reserves size bytes of zeros for f, so that a full disk shows here and not at a later write.
func allocate(f *os.File, size int64) error { return writeZeros(f, size) }

// populated reports whether the kernel has made all pages of data writable; here the caller touches them.
func populated([]byte) bool { return false }
