package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ admin.Store = (*Store)(nil)

// policyDocument is a policy in the history. It has the texts of its versions in use:
// replays decide with them.
type policyDocument struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Shipped     bool   `json:"shipped,omitempty"`
	// Mode is that of the version in force: ENFORCE or DISABLED.
	Mode          string `json:"mode"`
	Version       int64  `json:"version,omitempty"` // 0 for none
	Text          string `json:"text,omitempty"`
	ShadowVersion int64  `json:"shadow_version,omitempty"`
	ShadowText    string `json:"shadow_text,omitempty"`
	LastVersion   int64  `json:"last_version"`
	Replay        string `json:"replay,omitempty"`
	Etag          string `json:"etag"`
}

func policyDoc(p admin.Policy) policyDocument {
	doc := policyDocument{
		Name: p.Name(), Description: p.Description, Shipped: p.Shipped, Mode: string(p.Mode), LastVersion: p.LastVersion, Etag: p.Etag,
	}
	if v := p.Current; v != nil {
		doc.Version, doc.Text = v.Number, v.Text
		if v.Replay != uuid.Nil {
			doc.Replay = "replays/" + v.Replay.String()
		}
	}
	if v := p.Shadow; v != nil {
		doc.ShadowVersion, doc.ShadowText = v.Number, v.Text
	}
	if p.Shipped {
		doc.Text = "" // it is the program's
	}
	return doc
}

// policies returns what the document stands for.
func (d policyDocument) policies(id string) []policy.Policy {
	var all []policy.Policy
	if d.Version != 0 {
		all = append(all, policy.Policy{ID: id, Version: d.Version, Mode: policy.Mode(d.Mode), Text: policyText(id, d.Shipped, d.Text)})
	}
	if d.ShadowVersion != 0 {
		all = append(all, policy.Policy{ID: id, Version: d.ShadowVersion, Mode: policy.ModeShadow, Text: policyText(id, d.Shipped, d.ShadowText)})
	}
	return all
}

func versionOf(row dbsqlc.PolicyVersion) admin.Version {
	v := admin.Version{
		Number: row.PolicyVersion, Text: row.CedarText, Mode: policy.Mode(row.AppliedMode), Author: row.Author, Comment: row.Comment,
		CreateTime: row.CreateTime.UTC(),
	}
	if row.RollbackOf != nil {
		v.RollbackOf = *row.RollbackOf
	}
	if row.ReplayUID != nil {
		v.Replay = *row.ReplayUID
	}
	return v
}

// policiesWith makes policies of rows with their versions in use.
func (s *Store) policiesWith(ctx context.Context, db dbsqlc.DBTX, rows []dbsqlc.Policy) ([]admin.Policy, error) {
	uids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		uids[i] = row.UID
	}
	versions, err := s.queries.PolicyVersionInUse(ctx, db, uids)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	find := func(p dbsqlc.Policy, number *int64) *admin.Version {
		if number == nil {
			return nil
		}
		i := slices.IndexFunc(versions, func(v dbsqlc.PolicyVersion) bool { return v.PolicyUID == p.UID && v.PolicyVersion == *number })
		if i < 0 {
			return &admin.Version{Number: *number} // of a shipped policy
		}
		v := versionOf(versions[i])
		return &v
	}
	all := make([]admin.Policy, len(rows))
	for i, row := range rows {
		all[i] = admin.Policy{
			UID: row.UID, ID: row.PolicyID, Description: row.Description, Shipped: row.Shipped, Mode: policy.Mode(row.CurrentMode),
			Current: find(row, row.CurrentVersion), Shadow: find(row, row.ShadowVersion), LastVersion: row.LastVersion, Etag: row.Etag,
			CreateTime: row.CreateTime.UTC(), UpdateTime: row.UpdateTime.UTC(),
		}
	}
	return all, nil
}

func (s *Store) policy(ctx context.Context, db dbsqlc.DBTX, id string) (admin.Policy, error) {
	row, err := s.queries.PolicyGet(ctx, db, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return admin.Policy{}, admin.ErrPolicyNotFound
	}
	if err != nil {
		return admin.Policy{}, fmt.Errorf("read policy: %w", err)
	}
	all, err := s.policiesWith(ctx, db, []dbsqlc.Policy{row})
	if err != nil {
		return admin.Policy{}, err
	}
	return all[0], nil
}

// Policy implements [admin.PolicyStore].
func (s *Store) Policy(ctx context.Context, id string) (p admin.Policy, err error) {
	// One transaction, so that the versions are those of the row.
	err = s.inTx(ctx, consistent, func(ctx context.Context, tx pgx.Tx) error {
		p, err = s.policy(ctx, tx, id)
		return err
	})
	return p, err
}

// Policies implements [admin.PolicyStore].
func (s *Store) Policies(ctx context.Context) (all []admin.Policy, err error) {
	err = s.inTx(ctx, consistent, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := s.queries.PolicyList(ctx, tx)
		if err != nil {
			return fmt.Errorf("read policies: %w", err)
		}
		all, err = s.policiesWith(ctx, tx, rows)
		return err
	})
	return all, err
}

// Versions implements [admin.PolicyStore].
func (s *Store) Versions(ctx context.Context, uid uuid.UUID, before int64, limit int) ([]admin.Version, error) {
	rows, err := s.queries.PolicyVersionList(ctx, s.pool, dbsqlc.PolicyVersionListParams{
		PolicyUID: uid, BeforeVersion: before, MaxRows: rowLimit(limit),
	})
	if err != nil {
		return nil, fault(err)
	}
	versions := make([]admin.Version, len(rows))
	for i, row := range rows {
		versions[i] = versionOf(row)
	}
	return versions, nil
}

// EditPolicy implements [admin.PolicyStore].
func (s *Store) EditPolicy(
	ctx context.Context, author, reason, id string, edit func(p *admin.Policy, revision int64) (bool, error),
) (admin.Policy, int64, error) {
	var p admin.Policy
	revision, err := s.configureAlone(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		was, err := s.policy(ctx, tx, id)
		fresh := errors.Is(err, admin.ErrPolicyNotFound)
		if err != nil && !fresh {
			return change{}, err
		}
		// The edit must not reach what it is compared with.
		p = was
		if was.Current != nil {
			v := *was.Current
			p.Current = &v
		}
		if was.Shadow != nil {
			v := *was.Shadow
			p.Shadow = &v
		}
		changed, err := edit(&p, revision)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		p.Etag = newEtag()
		c := change{kind: "policy", verb: "update", uid: p.UID, name: p.Name(), author: author, reason: reason, after: policyDoc(p), at: p.UpdateTime}
		if fresh {
			c.verb = "create"
			err = s.insertPolicy(ctx, tx, p)
		} else {
			c.before = policyDoc(was)
			err = s.updatePolicy(ctx, tx, p)
		}
		if err != nil {
			return change{}, fmt.Errorf("store policy: %w", err)
		}
		return c, s.writeVersions(ctx, tx, was, p)
	})
	return p, revision, err
}

func (s *Store) insertPolicy(ctx context.Context, tx pgx.Tx, p admin.Policy) error {
	return s.queries.PolicyInsert(ctx, tx, dbsqlc.PolicyInsertParams{
		UID: p.UID, PolicyID: p.ID, Description: p.Description, Shipped: p.Shipped, LastVersion: p.LastVersion,
		CurrentVersion: numberOf(p.Current), CurrentMode: string(p.Mode), ShadowVersion: numberOf(p.Shadow), Etag: p.Etag,
		CreateTime: p.CreateTime, UpdateTime: p.UpdateTime,
	})
}

func (s *Store) updatePolicy(ctx context.Context, tx pgx.Tx, p admin.Policy) error {
	return s.queries.PolicyUpdate(ctx, tx, dbsqlc.PolicyUpdateParams{
		UID: p.UID, Description: p.Description, LastVersion: p.LastVersion, CurrentVersion: numberOf(p.Current), CurrentMode: string(p.Mode),
		ShadowVersion: numberOf(p.Shadow), Etag: p.Etag, UpdateTime: p.UpdateTime,
	})
}

func numberOf(v *admin.Version) *int64 {
	if v == nil {
		return nil
	}
	return &v.Number
}

// writeVersions keeps the version that an edit made, and the replay that it attached to
// one that was there.
func (s *Store) writeVersions(ctx context.Context, tx pgx.Tx, was, is admin.Policy) error {
	if is.Shipped {
		return nil
	}
	for _, v := range []*admin.Version{is.Current, is.Shadow} {
		switch {
		case v == nil:
		case v.Number > was.LastVersion:
			err := s.queries.PolicyVersionInsert(ctx, tx, dbsqlc.PolicyVersionInsertParams{
				PolicyUID: is.UID, PolicyVersion: v.Number, CedarText: v.Text, AppliedMode: string(v.Mode), Author: v.Author, Comment: v.Comment,
				RollbackOf: optionalNumber(v.RollbackOf), ReplayUID: optionalUID(v.Replay), CreateTime: v.CreateTime,
			})
			if err != nil {
				return fmt.Errorf("store version: %w", err)
			}
		case v.Replay != uuid.Nil:
			err := s.queries.PolicyVersionAttachReplay(ctx, tx, dbsqlc.PolicyVersionAttachReplayParams{
				PolicyUID: is.UID, PolicyVersion: v.Number, ReplayUID: &v.Replay,
			})
			if err != nil {
				return fmt.Errorf("attach replay: %w", err)
			}
		}
	}
	return nil
}

func optionalNumber(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

func optionalUID(uid uuid.UUID) *uuid.UUID {
	if uid == uuid.Nil {
		return nil
	}
	return &uid
}

// DeletePolicy implements [admin.PolicyStore].
func (s *Store) DeletePolicy(ctx context.Context, author, id string, check func(p admin.Policy, revision int64) error) (int64, error) {
	return s.configureAlone(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		p, err := s.policy(ctx, tx, id)
		if err != nil {
			return change{}, err
		}
		if err := check(p, revision); err != nil {
			return change{}, err
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		return change{kind: "policy", verb: "delete", uid: p.UID, name: p.Name(), author: author, before: policyDoc(p), at: now},
			s.queries.PolicyDelete(ctx, tx, p.UID)
	})
}
