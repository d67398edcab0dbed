package store

import (
	"context"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox/internal/rollout"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ rollout.Store = (*Store)(nil)

// Replicas implements [rollout.Store].
func (s *Store) Replicas(ctx context.Context, within time.Duration) ([]rollout.Replica, error) {
	var age *float64
	if within > 0 {
		seconds := within.Seconds()
		age = &seconds
	}
	rows, err := s.queries.ReplicaList(ctx, s.pool, age)
	if err != nil {
		return nil, fmt.Errorf("list replicas: %w", fault(err))
	}
	replicas := make([]rollout.Replica, len(rows))
	for i, row := range rows {
		replicas[i] = replicaOf(row)
	}
	return replicas, nil
}

func replicaOf(row dbsqlc.ReplicaListRow) rollout.Replica {
	return rollout.Replica{
		UID: row.ReplicaUID, ServedRevision: row.ServedRevision, LastSeen: row.HeartbeatTime.UTC(),
		Silent: time.Duration(row.SilentSeconds * float64(time.Second)),
	}
}
