package spool

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// allocate reserves size bytes of zeros for f, so that a full disk shows here and not at a later write.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return writeZeros(f, size)
		default:
			return fmt.Errorf("fallocate: %w", err)
		}
	}
}

// populated reports whether the kernel has made all pages of data writable. Kernels before 5.14 cannot.
func populated(data []byte) bool { return unix.Madvise(data, unix.MADV_POPULATE_WRITE) == nil }
