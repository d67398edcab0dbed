package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ snapshot.Source = (*Store)(nil)

// maxDelta is the number of changes from which on the whole configuration is read
// instead of each changed resource.
const maxDelta = 20_000

// consistent makes every statement of a transaction see the same commit.
var consistent = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// Revision implements [snapshot.Source].
func (s *Store) Revision(ctx context.Context) (int64, error) {
	revision, err := s.queries.ConfigurationRevisionGet(ctx, s.pool)
	if err != nil {
		return 0, fmt.Errorf("read revision: %w", fault(err))
	}
	return revision, nil
}

// All implements [snapshot.Source].
func (s *Store) All(ctx context.Context) (snapshot.Delta, error) {
	var d snapshot.Delta
	err := s.inTx(ctx, consistent, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		d, err = s.all(ctx, tx)
		return err
	})
	return d, err
}

// Since implements [snapshot.Source].
func (s *Store) Since(ctx context.Context, after int64, mark string) (snapshot.Delta, error) {
	var d snapshot.Delta
	err := s.inTx(ctx, consistent, func(ctx context.Context, tx pgx.Tx) error {
		known, err := s.mark(ctx, tx, after)
		if err != nil {
			return err
		}
		if known != mark {
			return snapshot.ErrOtherHistory
		}
		count, err := s.queries.ConfigChangeCount(ctx, tx, dbsqlc.ConfigChangeCountParams{AfterRevision: after, Bound: maxDelta + 1})
		if err != nil {
			return fmt.Errorf("count changes: %w", err)
		}
		if count > maxDelta {
			d, err = s.allSince(ctx, tx, after)
		} else {
			d, err = s.changed(ctx, tx, after)
		}
		return err
	})
	return d, err
}

// mark returns what tells a revision from others of its number: what was changed with it,
// and when. Before the first revision there is nothing to tell.
func (s *Store) mark(ctx context.Context, tx pgx.Tx, revision int64) (string, error) {
	mark, err := s.queries.ConfigChangeMark(ctx, tx, revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read change: %w", err)
	}
	return mark, nil
}

// all reads the whole configuration.
func (s *Store) all(ctx context.Context, tx pgx.Tx) (snapshot.Delta, error) {
	revision, err := s.queries.ConfigurationRevisionGet(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read revision: %w", err)
	}
	d := snapshot.Delta{Revision: revision}
	if d.Mark, err = s.mark(ctx, tx, revision); err != nil {
		return snapshot.Delta{}, err
	}
	if d.Admins, err = s.adminKeys(ctx, tx); err != nil {
		return snapshot.Delta{}, err
	}
	keys, err := s.queries.KeySnapshot(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read keys: %w", err)
	}
	secrets, err := s.queries.KeySecretSnapshot(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read secrets: %w", err)
	}
	d.Keys = make(map[uuid.UUID]*identity.Key, len(keys))
	for _, row := range keys {
		k := keyOf(row.Key, row.TeamID, row.AgentID, nil)
		d.Keys[k.UID] = &k
	}
	for _, row := range secrets {
		k := d.Keys[row.KeyUID] // a foreign key holds that there is one
		k.Secrets = append(k.Secrets, secretOf(row.SecretSHA256, row.ExpireTime))
	}
	certificates, err := s.queries.KeyCertificateSnapshot(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read certificate names: %w", err)
	}
	for _, row := range certificates {
		k := d.Keys[row.KeyUID]
		k.CertificateNames = append(k.CertificateNames, row.CertificateName)
	}
	if err := errors.Join(s.allIdentities(ctx, tx, &d), s.allPolicies(ctx, tx, &d)); err != nil {
		return snapshot.Delta{}, err
	}
	agents, err := s.queries.AgentSnapshot(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read agents: %w", err)
	}
	d.Agents = make(map[uuid.UUID]*registry.Agent, len(agents))
	for _, row := range agents {
		if err := addAgent(d.Agents, agentRow(row)); err != nil {
			return snapshot.Delta{}, err
		}
	}
	return d, nil
}

func addAgent(agents map[uuid.UUID]*registry.Agent, row agentRow) error {
	a, err := agentOf(row)
	if err != nil {
		return err
	}
	agents[a.UID] = &a
	return nil
}

// allSince reads the whole configuration together with what was deleted since.
func (s *Store) allSince(ctx context.Context, tx pgx.Tx, after int64) (snapshot.Delta, error) {
	d, err := s.all(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, err
	}
	deleted, err := s.queries.ConfigChangeDeleted(ctx, tx, after)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read what was deleted: %w", err)
	}
	for _, row := range deleted {
		switch row.ResourceKind {
		case "key":
			d.Keys[row.ResourceUID] = nil
		case "agent":
			d.Agents[row.ResourceUID] = nil
		case "team":
			d.Teams[row.ResourceUID] = nil
		case "issuer":
			d.Issuers[row.ResourceUID] = nil
		case "policy", "grant":
			d.Policies[row.ResourceUID] = nil
		}
	}
	// These may come and go without being deleted.
	touched, err := s.queries.ConfigChangeTouched(ctx, tx, after)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read changes: %w", err)
	}
	for _, row := range touched {
		switch row.ResourceKind {
		case "user":
			if _, ok := d.Users[row.ResourceUID]; !ok {
				d.Users[row.ResourceUID] = nil
			}
		case "roles":
			if _, ok := d.Roles[row.ResourceUID]; !ok {
				d.Roles[row.ResourceUID] = nil
			}
		}
	}
	return d, nil
}

// changed reads what was changed since a revision.
func (s *Store) changed(ctx context.Context, tx pgx.Tx, after int64) (snapshot.Delta, error) {
	revision, err := s.queries.ConfigurationRevisionGet(ctx, tx)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read revision: %w", err)
	}
	touched, err := s.queries.ConfigChangeTouched(ctx, tx, after)
	if err != nil {
		return snapshot.Delta{}, fmt.Errorf("read changes: %w", err)
	}
	d := snapshot.Delta{
		Revision: revision,
		Keys:     map[uuid.UUID]*identity.Key{},
		Agents:   map[uuid.UUID]*registry.Agent{},
		Users:    map[uuid.UUID]*identity.User{},
	}
	if d.Mark, err = s.mark(ctx, tx, revision); err != nil {
		return snapshot.Delta{}, err
	}
	of := map[string][]uuid.UUID{} // the uids of each kind
	for _, row := range touched {
		of[row.ResourceKind] = append(of[row.ResourceKind], row.ResourceUID)
	}
	keys, agents := of["key"], of["agent"]
	absent(d.Keys, keys) // unless they are found below
	absent(d.Agents, agents)
	if len(of["admin_key"]) > 0 {
		if d.Admins, err = s.adminKeys(ctx, tx); err != nil {
			return snapshot.Delta{}, err
		}
	}
	read := func(uids []uuid.UUID, f func(context.Context, pgx.Tx, []uuid.UUID, *snapshot.Delta) error) {
		if err == nil && len(uids) > 0 {
			err = f(ctx, tx, uids, &d)
		}
	}
	read(of["team"], s.changedTeams)
	read(of["user"], s.changedUsers)
	read(of["issuer"], s.changedIssuers)
	read(of["roles"], s.changedRoles)
	if err != nil {
		return snapshot.Delta{}, err
	}
	if len(of["policy"])+len(of["grant"]) > 0 {
		if err := s.changedPolicies(ctx, tx, of["policy"], of["grant"], &d); err != nil {
			return snapshot.Delta{}, err
		}
	}
	if err := s.changedKeys(ctx, tx, keys, d.Keys); err != nil {
		return snapshot.Delta{}, err
	}
	if len(agents) > 0 {
		rows, err := s.queries.AgentSnapshotOf(ctx, tx, agents)
		if err != nil {
			return snapshot.Delta{}, fmt.Errorf("read agents: %w", err)
		}
		for _, row := range rows {
			if err := addAgent(d.Agents, agentRow(row)); err != nil {
				return snapshot.Delta{}, err
			}
		}
	}
	return d, nil
}

func (s *Store) changedKeys(ctx context.Context, tx pgx.Tx, uids []uuid.UUID, into map[uuid.UUID]*identity.Key) error {
	if len(uids) == 0 {
		return nil
	}
	rows, err := s.queries.KeySnapshotOf(ctx, tx, uids)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	keys := make([]identity.Key, len(rows))
	for i, row := range rows {
		keys[i] = keyOf(row.Key, row.TeamID, row.AgentID, nil)
	}
	if err := s.addSecrets(ctx, tx, keys); err != nil {
		return err
	}
	if err := s.addCertificates(ctx, tx, keys); err != nil {
		return err
	}
	for i := range keys {
		into[keys[i].UID] = &keys[i]
	}
	return nil
}
