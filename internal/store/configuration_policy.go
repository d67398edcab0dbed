package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// policiesOf returns what the row of a policy stands for: the version in force, and the
// one that is tried beside it.
func policiesOf(row dbsqlc.PolicySnapshotRow) []policy.Policy {
	p := row.Policy
	var all []policy.Policy
	if p.CurrentVersion != nil {
		all = append(all, policy.Policy{
			ID: p.PolicyID, Version: *p.CurrentVersion, Mode: policy.Mode(p.CurrentMode), Text: policyText(p.PolicyID, p.Shipped, row.CurrentText),
		})
	}
	if p.ShadowVersion != nil {
		all = append(all, policy.Policy{
			ID: p.PolicyID, Version: *p.ShadowVersion, Mode: policy.ModeShadow, Text: policyText(p.PolicyID, p.Shipped, row.ShadowText),
		})
	}
	return all
}

// policyText returns the text of a version, which for a shipped policy is that of this
// program: an upgrade brings its policies along.
func policyText(id string, shipped bool, stored string) string {
	if shipped {
		all := policy.Shipped()
		if i := slices.IndexFunc(all, func(p policy.Policy) bool { return p.ID == id }); i >= 0 {
			return all[i].Text
		}
	}
	return stored
}

// grantOf returns a grant as package policy knows it.
func grantOf(row dbsqlc.Grant) (policy.Grant, error) {
	principal, err := policy.ParseUID(row.Principal)
	if err != nil {
		return policy.Grant{}, fmt.Errorf("read grant %s: %w", row.GrantID, err)
	}
	agents, err := policy.ParseSelector(row.Agents)
	if err != nil {
		return policy.Grant{}, fmt.Errorf("read grant %s: %w", row.GrantID, err)
	}
	g := policy.Grant{ID: row.GrantID, Principal: principal, Agents: agents, Until: moment(row.ExpireTime), Via: row.Via}
	for _, a := range row.Actions {
		g.Actions = append(g.Actions, policy.Action(a))
	}
	return g, nil
}

// grantPolicies returns the policy that the row of a grant stands for.
func grantPolicies(row dbsqlc.Grant) ([]policy.Policy, error) {
	g, err := grantOf(row)
	if err != nil {
		return nil, err
	}
	p := g.Policy()
	if row.Disabled {
		p.Mode = policy.ModeDisabled
	}
	return []policy.Policy{p}, nil
}

func (s *Store) allPolicies(ctx context.Context, tx pgx.Tx, d *snapshot.Delta) error {
	d.Policies = map[uuid.UUID][]policy.Policy{}
	policies, err := s.queries.PolicySnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read policies: %w", err)
	}
	for _, row := range policies {
		d.Policies[row.Policy.UID] = policiesOf(row)
	}
	grants, err := s.queries.GrantSnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	return addGrants(d, grants)
}

func addGrants(d *snapshot.Delta, rows []dbsqlc.Grant) (err error) {
	for _, row := range rows {
		if d.Policies[row.UID], err = grantPolicies(row); err != nil {
			return err
		}
	}
	return nil
}

// changedPolicies reads policies and grants of some uids.
func (s *Store) changedPolicies(ctx context.Context, tx pgx.Tx, policies, grants []uuid.UUID, d *snapshot.Delta) error {
	d.Policies = map[uuid.UUID][]policy.Policy{}
	absent(d.Policies, policies)
	absent(d.Policies, grants)
	if len(policies) > 0 {
		rows, err := s.queries.PolicySnapshotOf(ctx, tx, policies)
		if err != nil {
			return fmt.Errorf("read policies: %w", err)
		}
		for _, row := range rows {
			d.Policies[row.Policy.UID] = policiesOf(dbsqlc.PolicySnapshotRow(row))
		}
	}
	if len(grants) == 0 {
		return nil
	}
	rows, err := s.queries.GrantSnapshotOf(ctx, tx, grants)
	if err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	return addGrants(d, rows)
}
