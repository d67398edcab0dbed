// Package spool is the local record before Postgres: an append-only log of
// small entries in pre-allocated, memory-mapped segment files.
//
// Appending is a copy under a short mutex and, in the usual case, no system
// call. What has been acknowledged survives kill -9 of the process at any
// instant, because the pages belong to the kernel; it does not promise to
// survive a loss of power. A full disk shows when a segment is created, in
// the background, while the segment in use still has room to close what is
// open.
//
// The package knows nothing of events, hashes or SQL. It numbers bytes, gives
// them back in order, and forgets them when told that they are safe elsewhere.
//
// # Files
//
//	lock                    held with flock while a process uses the directory
//	replica                 the random identity of this directory, a UUID
//	state                   epoch and last number, in two slots written in turn
//	0000000000000001.seg    a segment; the name is its place in the order
//	0000000000000001.free   a released segment that becomes the next spare
//	0000000000000001.damaged  a segment whose head and foot are both unreadable
//
// A segment begins and ends with the same 64 bytes (magic, ordinal, size,
// replica, a random mark, checksum). Between them stand records, each aligned
// to 8 bytes: a commit word (mark and length), number, epoch, time, length,
// CRC-32C, data. The commit word is stored last and atomically, so a record
// either is whole or ends the log. The checksum is keyed with the segment's
// mark, which callers never see, so data that imitates a record is not taken
// for one when a scan has to find its place again after damage.
package spool
