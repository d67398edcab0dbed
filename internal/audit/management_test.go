package audit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
)

func TestRecorder_TheFloodOfOnePlaneIsNotCountedToTheOther(t *testing.T) {
	s := &memory{}
	r, err := audit.NewRecorder(audit.RecorderConfig{Spool: s})
	if err != nil {
		t.Fatal(err)
	}
	// The limit is one for both.
	const each = 100
	for i := range 2 * each {
		o := &audit.Opening{Invocation: uuid.Must(uuid.NewV7()), Time: time.Now(), SourceAddress: "192.0.2.1"}
		if i%2 == 0 {
			o.Plane = audit.PlaneManagement
		}
		if err := r.RefuseUnauthenticated(o, &audit.Closing{Invocation: o.Invocation, Outcome: audit.Refused}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	counts, singly := map[audit.Plane]int64{}, 0
	for _, e := range s.decoded(t, audit.KindRefused) {
		counts[e.Opening.Plane]++
		singly++
	}
	for _, e := range s.decoded(t, audit.KindSummary) {
		counts[e.Opening.Plane] += e.Refusals.Count
	}
	if counts[""] != each || counts[audit.PlaneManagement] != each || singly > 2*20 {
		t.Errorf("counted %v, %d singly; want %d of each plane, and few singly", counts, singly, each)
	}
}

func TestRecorder_KeepsMoreRoomForTheClosingOfAManagementCall(t *testing.T) {
	s := &memory{}
	r, err := audit.NewRecorder(audit.RecorderConfig{Spool: s})
	if err != nil {
		t.Fatal(err)
	}
	o := &audit.Opening{Invocation: uuid.Must(uuid.NewV7()), Time: time.Now(), Plane: audit.PlaneManagement}
	s.set(errors.New("nearly full"), nil)
	if err := r.Open(o); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Open = %v, want ErrUnavailable", err)
	}
	s.set(nil, nil)
	if err := r.Open(o); err != nil {
		t.Fatal(err)
	}
	if got := audit.ReservedRoom(r); got < audit.MaxEntry {
		t.Errorf("%d bytes are kept for the closing, want those of the largest entry", got)
	}
	if err := r.Close(&audit.Closing{Invocation: o.Invocation, Outcome: audit.Succeeded, Management: &audit.ManagementEnd{}}); err != nil {
		t.Fatal(err)
	}
	if got := audit.ReservedRoom(r); got != 0 {
		t.Errorf("%d bytes are kept after the closing, want none", got)
	}
}
