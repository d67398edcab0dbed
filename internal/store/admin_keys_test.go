package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func TestSetAdminKey_LeavesOneAndReplicasLearnWhich(t *testing.T) {
	s := store.New(pgtest.New(t))
	old, next := [32]byte{1}, [32]byte{2}
	if added, err := s.AddFirstAdminKey(t.Context(), "test", old); err != nil || !added {
		t.Fatalf("first key: %t, %v", added, err)
	}
	if added, err := s.AddFirstAdminKey(t.Context(), "test", next); err != nil || added {
		t.Fatalf("a second first key: %t, %v", added, err)
	}
	before, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if removed, err := s.SetAdminKey(t.Context(), "test", old); err != nil || removed != 0 {
		t.Errorf("the key that there is: removed %d, %v", removed, err)
	}
	if same, err := s.Revision(t.Context()); err != nil || same != before {
		t.Errorf("setting the same key made revision %d of %d, %v", same, before, err)
	}
	if removed, err := s.SetAdminKey(t.Context(), "test", next); err != nil || removed != 1 {
		t.Errorf("another key: removed %d, %v; want the one before", removed, err)
	}
	delta, err := s.SinceKnown(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][32]byte{next}, delta.Admins); diff != "" || delta.Revision != before+1 {
		t.Errorf("replicas at revision %d learn (-want +got):\n%s", delta.Revision, diff)
	}
}
