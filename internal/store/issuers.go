package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// issuerDocument is an issuer in the history. What makes the uids of its users is not in
// it.
type issuerDocument struct {
	Name          string                  `json:"name"`
	DisplayName   string                  `json:"display_name"`
	Disabled      bool                    `json:"disabled"`
	URL           string                  `json:"url"`
	JWKS          string                  `json:"jwks,omitempty"`
	JWKSURL       string                  `json:"jwks_url,omitempty"`
	Audiences     []string                `json:"audiences"`
	Algorithms    []string                `json:"algorithms"`
	SkewMS        int64                   `json:"skew_ms"`
	NameClaim     string                  `json:"name_claim,omitempty"`
	EmailClaim    string                  `json:"email_claim,omitempty"`
	ClaimMappings []identity.ClaimMapping `json:"claim_mappings,omitempty"`
	Etag          string                  `json:"etag"`
}

func issuerDoc(i identity.Issuer) issuerDocument {
	return issuerDocument{
		Name: i.Name(), DisplayName: i.DisplayName, Disabled: i.Disabled, URL: i.URL, JWKS: i.JWKS, JWKSURL: i.JWKSURL,
		Audiences: i.Audiences, Algorithms: i.Algorithms, SkewMS: i.Skew.Milliseconds(), NameClaim: i.NameClaim,
		EmailClaim: i.EmailClaim, ClaimMappings: i.Mappings, Etag: i.Etag,
	}
}

func mappingsOf(i identity.Issuer) (json.RawMessage, error) {
	if len(i.Mappings) == 0 {
		return json.RawMessage("[]"), nil
	}
	text, err := json.Marshal(i.Mappings)
	if err != nil {
		return nil, fmt.Errorf("write claim mappings: %w", err)
	}
	return text, nil
}

// checkIssuerURL refuses the url of another issuer. Asked first, because a violated
// constraint is an error in the log of Postgres.
func (s *Store) checkIssuerURL(ctx context.Context, tx pgx.Tx, i identity.Issuer) error {
	used, err := s.queries.IssuerURLUsed(ctx, tx, dbsqlc.IssuerURLUsedParams{IssuerURL: i.URL, UID: i.UID})
	if err != nil {
		return fmt.Errorf("look issuer url up: %w", err)
	}
	if used {
		return identity.ErrIssuerURLUsed
	}
	return nil
}

// CreateIssuer implements [identity.IssuerStore].
func (s *Store) CreateIssuer(ctx context.Context, author string, i identity.Issuer) (identity.Issuer, int64, error) {
	mappings, err := mappingsOf(i)
	if err != nil {
		return identity.Issuer{}, 0, err
	}
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		used, err := s.queries.IssuerUsed(ctx, tx, dbsqlc.IssuerUsedParams{IssuerID: i.ID, IssuerName: i.Name()})
		switch {
		case err != nil:
			return change{}, fmt.Errorf("look issuer id up: %w", err)
		case used.Present:
			return change{}, identity.ErrIssuerExists
		case used.Deleted:
			return change{}, identity.ErrIssuerIDUsed
		}
		if err := s.checkIssuerURL(ctx, tx, i); err != nil {
			return change{}, err
		}
		i.Etag = newEtag()
		err = s.queries.IssuerInsert(ctx, tx, dbsqlc.IssuerInsertParams{
			UID: i.UID, IssuerID: i.ID, DisplayName: i.DisplayName, Disabled: i.Disabled, IssuerURL: i.URL, JWKS: i.JWKS, JWKSURL: i.JWKSURL,
			Audiences: i.Audiences, Algorithms: i.Algorithms, SkewMS: i.Skew.Milliseconds(), NameClaim: i.NameClaim, EmailClaim: i.EmailClaim,
			ClaimMappings: mappings, UserKey: i.UserKey[:], Etag: i.Etag, CreateTime: i.CreateTime, UpdateTime: i.UpdateTime,
		})
		return change{kind: "issuer", verb: "create", uid: i.UID, name: i.Name(), author: author, after: issuerDoc(i), at: i.UpdateTime}, err
	})
	if err != nil {
		return identity.Issuer{}, 0, err
	}
	return i, revision, nil
}

// Issuer implements [identity.IssuerStore].
func (s *Store) Issuer(ctx context.Context, id string) (identity.Issuer, error) {
	row, err := s.queries.IssuerGet(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.Issuer{}, identity.ErrIssuerNotFound
	}
	if err != nil {
		return identity.Issuer{}, fault(err)
	}
	return issuerOf(row)
}

// Issuers implements [identity.IssuerStore].
func (s *Store) Issuers(ctx context.Context, q identity.IssuerQuery) ([]identity.Issuer, error) {
	rows, err := s.queries.IssuerList(ctx, s.pool, dbsqlc.IssuerListParams{AfterID: q.After, MaxRows: rowLimit(q.Limit)})
	if err != nil {
		return nil, fault(err)
	}
	issuers := make([]identity.Issuer, len(rows))
	for n, row := range rows {
		if issuers[n], err = issuerOf(row); err != nil {
			return nil, err
		}
	}
	return issuers, nil
}

func (s *Store) issuerInTx(ctx context.Context, tx pgx.Tx, uid uuid.UUID) (identity.Issuer, error) {
	row, err := s.queries.IssuerGetByUID(ctx, tx, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.Issuer{}, identity.ErrIssuerNotFound
	}
	if err != nil {
		return identity.Issuer{}, fmt.Errorf("read issuer: %w", err)
	}
	return issuerOf(row)
}

// UpdateIssuer implements [identity.IssuerStore].
func (s *Store) UpdateIssuer(
	ctx context.Context, author string, uid uuid.UUID, edit func(*identity.Issuer) (bool, error),
) (identity.Issuer, int64, error) {
	var i identity.Issuer
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		var err error
		if i, err = s.issuerInTx(ctx, tx, uid); err != nil {
			return change{}, err
		}
		before := issuerDoc(i)
		changed, err := edit(&i)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		if err := s.checkIssuerURL(ctx, tx, i); err != nil {
			return change{}, err
		}
		mappings, err := mappingsOf(i)
		if err != nil {
			return change{}, err
		}
		i.Etag = newEtag()
		err = s.queries.IssuerUpdate(ctx, tx, dbsqlc.IssuerUpdateParams{
			UID: uid, DisplayName: i.DisplayName, Disabled: i.Disabled, IssuerURL: i.URL, JWKS: i.JWKS, JWKSURL: i.JWKSURL,
			Audiences: i.Audiences, Algorithms: i.Algorithms, SkewMS: i.Skew.Milliseconds(), NameClaim: i.NameClaim, EmailClaim: i.EmailClaim,
			ClaimMappings: mappings, Etag: i.Etag, UpdateTime: i.UpdateTime,
		})
		return change{
			kind: "issuer", verb: "update", uid: uid, name: i.Name(), author: author, before: before, after: issuerDoc(i), at: i.UpdateTime,
		}, err
	})
	return i, revision, err
}

// DeleteIssuer implements [identity.IssuerStore]. The issuer's row in the history comes
// first. Of its users, those have one of their own after that of whom replicas know more
// than their tokens say: those who are disabled.
func (s *Store) DeleteIssuer(ctx context.Context, author string, uid uuid.UUID, check func(identity.Issuer) error) (int64, error) {
	var last int64
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		i, err := s.issuerInTx(ctx, tx, uid)
		if err != nil {
			return change{}, err
		}
		if err := check(i); err != nil {
			return change{}, err
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		held, err := s.queries.IssuerHasRoles(ctx, tx, uid)
		if err != nil {
			return change{}, fmt.Errorf("look for roles of users: %w", err)
		}
		if held {
			return change{}, identity.ErrIssuerHasUsers
		}
		if last, err = s.noteDeletedUsers(ctx, tx, author, i, revision, now); err != nil {
			return change{}, err
		}
		if last, err = s.deleteGrantsOfIssuer(ctx, tx, author, last, now, i.ID); err != nil {
			return change{}, err
		}
		return change{kind: "issuer", verb: "delete", uid: uid, name: i.Name(), author: author, before: issuerDoc(i), at: now},
			s.queries.IssuerDelete(ctx, tx, uid)
	})
	if err != nil {
		return 0, err
	}
	return last, nil
}

// noteDeletedUsers writes into the history that the disabled users of an issuer are gone,
// and returns the last revision that it took, or the one given when there are none.
func (s *Store) noteDeletedUsers(
	ctx context.Context, tx pgx.Tx, author string, i identity.Issuer, revision int64, now time.Time,
) (int64, error) {
	rows, err := s.queries.UserDisabledOfIssuer(ctx, tx, i.UID)
	if err != nil {
		return 0, fmt.Errorf("read users: %w", err)
	}
	for _, row := range rows {
		u := userOf(row, i.ID)
		revision, err = s.also(ctx, tx, change{kind: "user", verb: "delete", uid: u.UID, name: u.Name(), author: author, before: userDoc(u), at: now})
		if err != nil {
			return 0, err
		}
	}
	return revision, nil
}
