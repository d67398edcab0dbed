package api

import (
	"context"
	"errors"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
)

// isRecorded tells whether calls of a path are in the record: all but those for health and
// reflection, which say nothing of this installation. What names no method of ours is
// recorded as well, since somebody looked for one.
func isRecorded(path string) bool { return strings.HasPrefix(path, "/signalbox.") }

// countedBody is a body whose size is recorded.
type countedBody struct {
	io.ReadCloser
	record *interceptor.Recording
}

// Read implements [io.Reader].
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.record.Read(n)
	return n, err
}

// decide asks the one decision point about the call itself, and puts the answer, with
// all that it could see, into the record. A call that is permitted is recorded from here
// on; the error says that it cannot be, and then nothing may be done.
func (a *api) decide(ctx context.Context, action policy.Action, r asked) (bool, error) {
	call, snap := interceptor.FromContext(ctx), a.snapshot()
	q := a.question(ctx, snap, action, r)
	answer := a.decisions.Decide(snap.Policies(), snap.Entities(), q)
	var decision audit.Decision
	recorded.FromQuery(&decision, q, answer, snap.Revision())
	return answer.Permit, call.Record.Decide(decision)
}

// recordChange puts into the record what a call changed: the resource as the API shows
// it, before and after, nil where there was none, and the revision that was made. It
// comes right after the write, so that nothing can come in between.
func recordChange(ctx context.Context, before, after proto.Message, revision int64) {
	if unchanged(before, after) {
		revision = 0
	}
	name := ""
	var documents [2][]byte
	for i, m := range []proto.Message{before, after} {
		if m == nil {
			continue
		}
		documents[i] = document(m)
		if named, ok := m.(interface{ GetName() string }); ok {
			name = named.GetName()
		}
	}
	interceptor.FromContext(ctx).Record.Changed(name, documents[0], documents[1], revision)
}

// unchanged tells whether a write turned out to have nothing to write.
func unchanged(before, after proto.Message) bool {
	type versioned interface{ GetEtag() string }
	b, ok := before.(versioned)
	if !ok {
		return false
	}
	a, ok := after.(versioned)
	return ok && a.GetEtag() != "" && a.GetEtag() == b.GetEtag()
}

// maxWriteAttempts bounds how often a write is tried whose resource changes between being
// read and being written.
const maxWriteAttempts = 8

// versions are how a write can be tied to a version of what it changes.
type versions[T any] struct {
	// etag is the one that the caller gave; empty for none.
	etag string
	// mismatch is what a write fails with when the etag is not the stored one.
	mismatch error
	// read returns the resource, if the caller may change it, and of says its etag.
	read func() (T, error)
	of   func(T) string
}

// write changes a resource of the very version that was read, and on which the decision
// rests, so that what is recorded as before is what the transaction saw. A resource that
// is changed by others all the time is changed all the same: then what was read last may
// be older.
func (v versions[T]) write(f func(was T, etag string) (T, int64, error)) (was, is T, revision int64, err error) {
	for attempt := 1; ; attempt++ {
		if was, err = v.read(); err != nil {
			return was, is, 0, err
		}
		stored, last := v.of(was), attempt == maxWriteAttempts
		if v.etag != "" && v.etag != stored {
			return was, is, 0, v.mismatch
		}
		if last {
			stored = v.etag
		}
		is, revision, err = f(was, stored)
		if last || v.etag != "" || !errors.Is(err, v.mismatch) {
			return was, is, revision, err
		}
	}
}
