package api

import (
	"context"
	"log/slog"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/signalbox-dev/signalbox/gen/signalbox/rollout/v1"
	"github.com/signalbox-dev/signalbox/internal/rollout"
)

// rolloutHeader says which replicas have not confirmed a write. It is on every answer
// that has a rollout, and on those that are empty it alone says it.
const rolloutHeader = "X-Signalbox-Rollout"

// The numbers of replicas that an answer names at most. Proxies take headers of a few
// kilobytes only.
const (
	maxUnconfirmed       = 100
	maxUnconfirmedHeader = 16
)

// rollOut is sync for writes that can take rights away: it waits for the other replicas
// as well, as long as for this one, and tells which have not confirmed. It returns nil
// when that is not known. The write stands in any case.
func (a *api) rollOut(ctx context.Context, revision int64) *rolloutv1.Rollout {
	wait, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	a.sync(wait, revision)
	if a.rollout == nil {
		return nil
	}
	known, err := a.rollout.Confirm(wait, revision)
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "which replicas serve a change is not known",
			slog.Int64("revision", revision), slog.Any("error", err))
		return nil
	}
	if call, ok := connect.CallInfoForHandlerContext(ctx); ok {
		if text, err := protojson.Marshal(rolloutToProto(known, maxUnconfirmedHeader)); err == nil {
			call.ResponseHeader().Set(rolloutHeader, string(text))
		}
	}
	return rolloutToProto(known, maxUnconfirmed)
}

// rolloutToProto converts a rollout and names at most so many replicas.
func rolloutToProto(r rollout.Rollout, limit int) *rolloutv1.Rollout {
	out := &rolloutv1.Rollout{
		Revision: r.Revision, ConfirmedCount: int32(r.Confirmed), UnconfirmedCount: int32(len(r.Unconfirmed)),
	}
	for _, replica := range r.Unconfirmed[:min(limit, len(r.Unconfirmed))] {
		out.UnconfirmedReplicas = append(out.UnconfirmedReplicas, &rolloutv1.UnconfirmedReplica{
			Uid: replica.UID.String(), ServedRevision: replica.ServedRevision, LastSeenTime: timestamppb.New(replica.LastSeen),
		})
	}
	return out
}
