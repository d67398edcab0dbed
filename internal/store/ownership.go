package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
	"github.com/signalbox-dev/signalbox/internal/task"
)

// Ownership keeps whose the tasks and contexts are.
type Ownership struct {
	pool    *pgxpool.Pool
	queries *dbsqlc.Queries
}

var _ task.Store = (*Ownership)(nil)

// NewOwnership returns the bindings in a migrated database.
func NewOwnership(pool *pgxpool.Pool) *Ownership {
	return &Ownership{pool: pool, queries: dbsqlc.New()}
}

// Resolve looks bindings up and claims contexts in one statement.
func (o *Ownership) Resolve(ctx context.Context, agent, owner uuid.UUID, tasks, contexts, claims []string) ([]task.Entry, error) {
	return o.resolve(ctx, o.pool, agent, owner, tasks, contexts, claims)
}

func (o *Ownership) resolve(
	ctx context.Context, db dbsqlc.DBTX, agent, owner uuid.UUID, tasks, contexts, claims []string,
) ([]task.Entry, error) {
	rows, err := o.queries.OwnershipResolve(ctx, db, dbsqlc.OwnershipResolveParams{
		AgentUID: agent, OwnerUID: owner, TaskIds: orEmpty(tasks), ContextIds: orEmpty(contexts), Claims: orEmpty(claims),
	})
	if err != nil {
		return nil, fmt.Errorf("resolve ownership: %w", fault(err))
	}
	entries := make([]task.Entry, len(rows))
	for i, r := range rows {
		kind := task.Context
		if r.IsTask {
			kind = task.Task
		}
		entries[i] = task.Entry{
			ID:      task.ID{Kind: kind, Agent: agent, ID: r.BoundID},
			Binding: task.Binding{Owner: r.OwnerUID, Endpoint: r.EndpointURL, Context: r.ContextID, Terminal: r.Terminal},
		}
	}
	return entries, nil
}

// Write stores bindings and returns those that belong to another owner.
func (o *Ownership) Write(ctx context.Context, entries []task.Entry) ([]task.Entry, error) {
	// The two statements need no common transaction: each may be repeated.
	return o.write(ctx, o.pool, entries)
}

func (o *Ownership) write(ctx context.Context, db dbsqlc.DBTX, entries []task.Entry) ([]task.Entry, error) {
	var tasks dbsqlc.OwnershipTasksWriteParams
	var contexts dbsqlc.OwnershipContextsWriteParams
	owners := make(map[task.ID]uuid.UUID, len(entries))
	for _, e := range entries {
		owners[e.ID] = e.Owner
		if e.Kind == task.Task {
			tasks.AgentUids = append(tasks.AgentUids, e.Agent)
			tasks.TaskIds = append(tasks.TaskIds, e.ID.ID)
			tasks.OwnerUids = append(tasks.OwnerUids, e.Owner)
			tasks.ContextIds = append(tasks.ContextIds, e.Context)
			tasks.EndpointUrls = append(tasks.EndpointUrls, e.Endpoint)
			tasks.Terminals = append(tasks.Terminals, e.Terminal)
			continue
		}
		contexts.AgentUids = append(contexts.AgentUids, e.Agent)
		contexts.ContextIds = append(contexts.ContextIds, e.ID.ID)
		contexts.OwnerUids = append(contexts.OwnerUids, e.Owner)
		contexts.EndpointUrls = append(contexts.EndpointUrls, e.Endpoint)
	}
	var conflicts []task.Entry
	keep := func(e task.Entry) {
		if owners[e.ID] != e.Owner {
			conflicts = append(conflicts, e)
		}
	}
	if len(tasks.TaskIds) > 0 {
		rows, err := o.queries.OwnershipTasksWrite(ctx, db, tasks)
		if err != nil {
			return nil, fmt.Errorf("bind tasks: %w", storable(err))
		}
		for _, r := range rows {
			keep(task.Entry{
				ID:      task.ID{Kind: task.Task, Agent: r.AgentUID, ID: r.TaskID},
				Binding: task.Binding{Owner: r.OwnerUID, Endpoint: r.EndpointURL, Context: r.ContextID, Terminal: r.Terminal},
			})
		}
	}
	if len(contexts.ContextIds) > 0 {
		rows, err := o.queries.OwnershipContextsWrite(ctx, db, contexts)
		if err != nil {
			return nil, fmt.Errorf("bind contexts: %w", storable(err))
		}
		for _, r := range rows {
			keep(task.Entry{
				ID:      task.ID{Kind: task.Context, Agent: r.AgentUID, ID: r.ContextID},
				Binding: task.Binding{Owner: r.OwnerUID, Endpoint: r.EndpointURL},
			})
		}
	}
	return conflicts, nil
}

// errNotAdopted takes back a transaction that is not to go on.
var errNotAdopted = errors.New("nothing is adopted")

// Adopt binds what nobody owns in one transaction.
func (o *Ownership) Adopt(ctx context.Context, entries []task.Entry, proceed func([]task.Entry) bool) (bound []task.Entry, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	var tasks, contexts []string
	for _, e := range entries {
		if e.Kind == task.Task {
			tasks = append(tasks, e.ID.ID)
		} else {
			contexts = append(contexts, e.ID.ID)
		}
	}
	err = New(o.pool).InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if bound, err = o.resolve(ctx, tx, entries[0].Agent, entries[0].Owner, tasks, contexts, nil); err != nil {
			return err
		}
		if !proceed(bound) {
			return errNotAdopted
		}
		late, err := o.write(ctx, tx, without(entries, bound))
		if err != nil {
			return err
		}
		if len(late) == 0 {
			return nil
		}
		if bound = append(bound, late...); !proceed(bound) {
			return errNotAdopted
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNotAdopted) {
		return nil, fmt.Errorf("adopt tasks: %w", err)
	}
	return bound, nil
}

// without returns the entries whose ids are not among those of others.
func without(entries, others []task.Entry) []task.Entry {
	known := make(map[task.ID]struct{}, len(others))
	for _, e := range others {
		known[e.ID] = struct{}{}
	}
	rest := make([]task.Entry, 0, len(entries))
	for _, e := range entries {
		if _, ok := known[e.ID]; !ok {
			rest = append(rest, e)
		}
	}
	return rest
}

// Count counts the tasks of an owner.
func (o *Ownership) Count(ctx context.Context, agent, owner uuid.UUID, contextID string, except []string) (int, error) {
	n, err := o.queries.OwnershipTasksCount(ctx, o.pool, dbsqlc.OwnershipTasksCountParams{
		AgentUID: agent, OwnerUID: owner, ContextID: contextID, Without: orEmpty(except),
	})
	if err != nil {
		return 0, fmt.Errorf("count owned tasks: %w", err)
	}
	return int(n), nil
}

// Purge forgets what ended or was last used before the given times.
func (o *Ownership) Purge(ctx context.Context, terminalBefore, contextUsedBefore time.Time) error {
	return errors.Join(
		o.queries.OwnershipPurgeTasks(ctx, o.pool, &terminalBefore),
		o.queries.OwnershipPurgeContexts(ctx, o.pool, contextUsedBefore),
	)
}

// storable marks errors that are the data's own: class 22 is what is no value, class
// 54 what is over a limit (PostgreSQL, appendix A).
func storable(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && (strings.HasPrefix(pgErr.Code, "22") || strings.HasPrefix(pgErr.Code, "54")) {
		return errors.Join(task.ErrUnstorable, err)
	}
	return err
}

// orEmpty makes an empty array of none: NULL = ANY would match nothing, but unnest
// and ANY of NULL are not what the statement means.
func orEmpty(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}
