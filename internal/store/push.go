package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
	"github.com/signalbox-dev/signalbox/internal/task"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Push keeps which push configs agents were given.
type Push struct {
	pool    *pgxpool.Pool
	queries *dbsqlc.Queries
}

var _ push.Store = (*Push)(nil)

// NewPush returns the notes in a migrated database.
func NewPush(pool *pgxpool.Pool) *Push { return &Push{pool: pool, queries: dbsqlc.New()} }

// Write notes configs and forgets removed ones.
func (p *Push) Write(ctx context.Context, noted, removed []push.Config) error {
	// The two statements need no common transaction: each may be repeated.
	if len(noted) > 0 {
		var w dbsqlc.PushWriteParams
		for _, c := range noted {
			w.AgentUids = append(w.AgentUids, c.Agent)
			w.TaskIds = append(w.TaskIds, c.Task)
			w.ConfigIds = append(w.ConfigIds, c.Config)
			w.OwnerUids = append(w.OwnerUids, c.Owner)
			w.ProtocolVersions = append(w.ProtocolVersions, c.Version.String())
			w.EndpointUrls = append(w.EndpointUrls, c.Endpoint)
			w.Times = append(w.Times, c.Time)
		}
		if err := p.queries.PushWrite(ctx, p.pool, w); err != nil {
			return fmt.Errorf("note push configs: %w", storablePush(err))
		}
	}
	if len(removed) > 0 {
		var f dbsqlc.PushForgetParams
		for _, c := range removed {
			f.AgentUids = append(f.AgentUids, c.Agent)
			f.TaskIds = append(f.TaskIds, c.Task)
			f.ConfigIds = append(f.ConfigIds, c.Config)
			f.Times = append(f.Times, c.Time)
		}
		if err := p.queries.PushForget(ctx, p.pool, f); err != nil {
			return fmt.Errorf("forget removed push configs: %w", storablePush(err))
		}
	}
	return nil
}

// storablePush is storable in the words of package push.
func storablePush(err error) error {
	if errors.Is(storable(err), task.ErrUnstorable) {
		return errors.Join(push.ErrUnstorable, err)
	}
	return err
}

// Holders lists who has configs and which agents do.
func (p *Push) Holders(ctx context.Context) (owners, agents []uuid.UUID, err error) {
	if owners, err = p.queries.PushOwners(ctx, p.pool); err != nil {
		return nil, nil, fmt.Errorf("list the owners of push configs: %w", err)
	}
	if agents, err = p.queries.PushAgents(ctx, p.pool); err != nil {
		return nil, nil, fmt.Errorf("list the agents with push configs: %w", err)
	}
	return owners, agents, nil
}

// Claim takes configs whose deletion is due.
func (p *Push) Claim(ctx context.Context, due push.Due, lease time.Duration, limit int) ([]push.Claim, error) {
	rows, err := p.queries.PushClaim(ctx, p.pool, dbsqlc.PushClaimParams{
		OwnerUids: uids(due.Owners), AgentUids: uids(due.Agents), LeaseSeconds: lease.Seconds(), MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("claim push configs: %w", err)
	}
	claims := make([]push.Claim, len(rows))
	for i, row := range rows {
		version, _ := a2a.ParseVersion(row.ProtocolVersion) // what Write wrote
		claims[i] = push.Claim{Attempts: int(row.Attempts), Config: push.Config{
			ID:    push.ID{Agent: row.AgentUID, Task: row.TaskID, Config: row.ConfigID},
			Owner: row.OwnerUID, Version: version, Endpoint: row.EndpointURL, Time: row.CreateTime,
		}}
	}
	return claims, nil
}

// Settle forgets a claimed config or says when it may be claimed again.
func (p *Push) Settle(ctx context.Context, c push.Claim, retry time.Duration) error {
	var err error
	if retry == 0 {
		err = p.queries.PushDelete(ctx, p.pool, dbsqlc.PushDeleteParams{
			AgentUID: c.Agent, TaskID: c.Task, ConfigID: c.ID.Config, Attempts: int32(c.Attempts),
		})
	} else {
		err = p.queries.PushRetry(ctx, p.pool, dbsqlc.PushRetryParams{
			AgentUID: c.Agent, TaskID: c.Task, ConfigID: c.ID.Config, Attempts: int32(c.Attempts), WaitSeconds: retry.Seconds(),
		})
	}
	if err != nil {
		return fmt.Errorf("settle the deletion of a push config: %w", err)
	}
	return nil
}

// Tidy forgets what nobody needs any more.
func (p *Push) Tidy(ctx context.Context, due push.Due, gone []uuid.UUID, notedBefore time.Time) error {
	var errs []error
	if len(gone) > 0 {
		errs = append(errs, p.queries.PushDeleteAgents(ctx, p.pool, gone))
	}
	errs = append(errs,
		p.queries.PushRelease(ctx, p.pool, dbsqlc.PushReleaseParams{OwnerUids: uids(due.Owners), AgentUids: uids(due.Agents)}),
		p.queries.PushPurge(ctx, p.pool, notedBefore))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tidy notes of push configs: %w", err)
	}
	return nil
}

// uids makes an empty array of none: a row is neither equal nor unequal to any of NULL.
func uids(list []uuid.UUID) []uuid.UUID {
	if list == nil {
		return []uuid.UUID{}
	}
	return list
}
