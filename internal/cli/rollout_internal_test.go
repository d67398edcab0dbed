package cli

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	rolloutv1 "github.com/signalbox-dev/signalbox/gen/signalbox/rollout/v1"
)

func TestConfirmed_SaysWhoDoesAndNamesWhoDoesNot(t *testing.T) {
	const hint = "  a replica that cannot reach the database goes on with what it knows for snapshot.max_age; stop it to be sure\n"
	replica := &rolloutv1.UnconfirmedReplica{Uid: "1e9dbec8-18ec-4af0-b51a-a6384d56cd76", ServedRevision: 41, LastSeenTime: before(3 * time.Second)}
	tests := []struct {
		name    string
		rollout *rolloutv1.Rollout
		all     string // what confirmed says
		some    string // what unconfirmed says
	}{
		{"unknown", nil, "warning: the gateway does not know which replicas serve the change by now\n", ""},
		{"one", &rolloutv1.Rollout{Revision: 44, ConfirmedCount: 1}, "confirmed by the only replica\n", ""},
		{"all", &rolloutv1.Rollout{Revision: 44, ConfirmedCount: 3}, "confirmed by all 3 replicas\n", ""},
		{"all but one", &rolloutv1.Rollout{
			Revision: 44, ConfirmedCount: 2, UnconfirmedCount: 1, UnconfirmedReplicas: []*rolloutv1.UnconfirmedReplica{replica},
		}, "", `warning: 1 of 3 replicas has not confirmed the change and may still serve what was before:
  1e9dbec8-18ec-4af0-b51a-a6384d56cd76  serves revision 41, not yet 44; last seen 3s ago
` + hint},
		{"more than are named", &rolloutv1.Rollout{
			Revision: 44, UnconfirmedCount: 7, UnconfirmedReplicas: []*rolloutv1.UnconfirmedReplica{replica},
		}, "", `warning: 7 of 7 replicas have not confirmed the change and may still serve what was before:
  1e9dbec8-18ec-4af0-b51a-a6384d56cd76  serves revision 41, not yet 44; last seen 3s ago
  and 6 more
` + hint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, errs := quiet(outputTable)
			p.confirmed(tt.rollout)
			if diff := cmp.Diff(tt.all+tt.some, errs.String()); diff != "" {
				t.Errorf("confirmed (-want +got):\n%s", diff)
			}
			errs.Reset()
			p.unconfirmed(tt.rollout)
			if diff := cmp.Diff(tt.some, errs.String()); diff != "" {
				t.Errorf("unconfirmed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRolloutIn_ReadsTheHeaderOfANewerGatewayToo(t *testing.T) {
	header := http.Header{"X-Signalbox-Rollout": {`{"revision":"44","confirmedCount":2,"new":[1]}`}}
	if r := rolloutIn(header); r.GetRevision() != 44 || r.GetConfirmedCount() != 2 {
		t.Errorf("the header is read as %v", r)
	}
	for _, header := range []http.Header{{}, {"X-Signalbox-Rollout": {"none"}}} {
		if r := rolloutIn(header); r != nil {
			t.Errorf("%v is read as %v", header, r)
		}
	}
}
