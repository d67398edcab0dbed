package cli

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	rolloutv1 "github.com/signalbox-dev/signalbox/gen/signalbox/rollout/v1"
)

// rolloutHeader has the rollout of a write whose answer is empty.
const rolloutHeader = "X-Signalbox-Rollout"

// rolloutIn returns the rollout that an answer's header has; nil when it has none.
func rolloutIn(header http.Header) *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{}
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(header.Get(rolloutHeader)), r) != nil {
		return nil
	}
	return r
}

// confirmed tells which replicas serve a change.
func (p *program) confirmed(r *rolloutv1.Rollout) {
	switch n := r.GetConfirmedCount(); {
	case r == nil:
		p.note("warning: the gateway does not know which replicas serve the change by now")
	case r.GetUnconfirmedCount() > 0:
		p.unconfirmed(r)
	case n == 1:
		p.note("confirmed by the only replica")
	default:
		p.note("confirmed by all %d replicas", n)
	}
}

// unconfirmed warns of replicas that may not serve a change.
func (p *program) unconfirmed(r *rolloutv1.Rollout) {
	n := r.GetUnconfirmedCount()
	if n == 0 {
		return
	}
	have := "have"
	if n == 1 {
		have = "has"
	}
	p.note("warning: %d of %d replicas %s not confirmed the change and may still serve what was before:", n, n+r.GetConfirmedCount(), have)
	for _, u := range r.GetUnconfirmedReplicas() {
		p.note("  %s  serves revision %d, not yet %d; last seen %s", printable(u.GetUid()), u.GetServedRevision(), r.GetRevision(), p.ago(u.GetLastSeenTime()))
	}
	if more := int(n) - len(r.GetUnconfirmedReplicas()); more > 0 {
		p.note("  and %d more", more)
	}
	p.note("  a replica that cannot reach the database goes on with what it knows for snapshot.max_age; stop it to be sure")
}
