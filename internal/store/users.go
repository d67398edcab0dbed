package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// userDocument is a user in the history.
type userDocument struct {
	Name        string `json:"name"`
	Issuer      string `json:"issuer"`
	Subject     string `json:"subject"`
	DisplayName string `json:"display_name"`
	Email       string `json:"email"`
	Disabled    bool   `json:"disabled"`
	Etag        string `json:"etag"`
}

func userDoc(u identity.User) userDocument {
	return userDocument{
		Name: u.Name(), Issuer: identity.IssuerName(u.Issuer), Subject: u.Subject, DisplayName: u.DisplayName, Email: u.Email,
		Disabled: u.Disabled, Etag: u.Etag,
	}
}

// CreateUser implements [identity.UserStore].
func (s *Store) CreateUser(ctx context.Context, author string, u identity.User) (identity.User, int64, error) {
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		if _, err := s.issuerInTx(ctx, tx, u.IssuerUID); err != nil {
			return change{}, err
		}
		u.Etag = newEtag()
		// It may come by itself at any time, which no lock of configuration keeps away.
		made, err := s.queries.UserInsert(ctx, tx, dbsqlc.UserInsertParams{
			UID: u.UID, UserID: u.ID, IssuerUID: u.IssuerUID, Subject: u.Subject, DisplayName: u.DisplayName, Email: u.Email,
			Disabled: u.Disabled, Etag: u.Etag, CreateTime: u.CreateTime, UpdateTime: u.UpdateTime,
		})
		if err != nil {
			return change{}, fmt.Errorf("store user: %w", err)
		}
		if made == 0 {
			return change{}, identity.ErrUserExists
		}
		return change{kind: "user", verb: "create", uid: u.UID, name: u.Name(), author: author, after: userDoc(u), at: u.UpdateTime}, nil
	})
	if err != nil {
		return identity.User{}, 0, err
	}
	return u, revision, nil
}

// User implements [identity.UserStore].
func (s *Store) User(ctx context.Context, id string) (identity.User, error) {
	row, err := s.queries.UserGet(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.User{}, identity.ErrUserNotFound
	}
	if err != nil {
		return identity.User{}, fault(err)
	}
	users := []identity.User{userOf(row.User, row.IssuerID)}
	err = s.addUserRoles(ctx, s.pool, users)
	return users[0], fault(err)
}

// UserByUID implements [identity.UserStore].
func (s *Store) UserByUID(ctx context.Context, uid uuid.UUID) (identity.User, error) {
	row, err := s.queries.UserGetByUID(ctx, s.pool, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.User{}, identity.ErrUserNotFound
	}
	if err != nil {
		return identity.User{}, fault(err)
	}
	users := []identity.User{userOf(row.User, row.IssuerID)}
	err = s.addUserRoles(ctx, s.pool, users)
	return users[0], fault(err)
}

// Users implements [identity.UserStore].
func (s *Store) Users(ctx context.Context, q identity.UserQuery) ([]identity.User, error) {
	p := dbsqlc.UserListParams{AfterID: q.After, DisabledOnly: q.DisabledOnly, MaxRows: rowLimit(q.Limit)}
	if q.Issuer != "" {
		p.OnlyIssuer = &q.Issuer
	}
	rows, err := s.queries.UserList(ctx, s.pool, p)
	if err != nil {
		return nil, fault(err)
	}
	users := make([]identity.User, len(rows))
	for i, row := range rows {
		users[i] = userOf(row.User, row.IssuerID)
	}
	err = s.addUserRoles(ctx, s.pool, users)
	return users, fault(err)
}

// addUserRoles reads what users hold.
func (s *Store) addUserRoles(ctx context.Context, db dbsqlc.DBTX, users []identity.User) error {
	uids := make([]uuid.UUID, len(users))
	for i, u := range users {
		uids[i] = u.UID
	}
	roles, err := s.rolesOf(ctx, db, uids)
	for i := range users {
		users[i].Roles = roles[users[i].UID]
	}
	return err
}

func (s *Store) userInTx(ctx context.Context, tx pgx.Tx, uid uuid.UUID) (identity.User, error) {
	row, err := s.queries.UserGetByUID(ctx, tx, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity.User{}, identity.ErrUserNotFound
	}
	if err != nil {
		return identity.User{}, fmt.Errorf("read user: %w", err)
	}
	users := []identity.User{userOf(row.User, row.IssuerID)}
	return users[0], s.addUserRoles(ctx, tx, users)
}

// UpdateUser implements [identity.UserStore].
func (s *Store) UpdateUser(
	ctx context.Context, author string, uid uuid.UUID, edit func(*identity.User) (bool, error),
) (identity.User, int64, error) {
	var u identity.User
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		var err error
		if u, err = s.userInTx(ctx, tx, uid); err != nil {
			return change{}, err
		}
		before := userDoc(u)
		changed, err := edit(&u)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		u.Etag = newEtag()
		err = s.queries.UserUpdate(ctx, tx, dbsqlc.UserUpdateParams{
			UID: uid, DisplayName: u.DisplayName, Email: u.Email, Disabled: u.Disabled, Etag: u.Etag, UpdateTime: u.UpdateTime,
		})
		return change{
			kind: "user", verb: "update", uid: uid, name: u.Name(), author: author, before: before, after: userDoc(u), at: u.UpdateTime,
		}, err
	})
	return u, revision, err
}

// DeleteUser implements [identity.UserStore]. The user's row in the history comes first,
// and its roles have one of their own after that.
func (s *Store) DeleteUser(ctx context.Context, author string, uid uuid.UUID, check func(identity.User) error) (int64, error) {
	var last int64
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		u, err := s.userInTx(ctx, tx, uid)
		if err != nil {
			return change{}, err
		}
		if err := check(u); err != nil {
			return change{}, err
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		h := identity.Holder{Kind: identity.KindUser, UID: uid, Name: u.Name()}
		if last, err = s.dropRoles(ctx, tx, author, []identity.Holder{h}, revision, now); err != nil {
			return change{}, err
		}
		if last, err = s.deleteGrantsNaming(ctx, tx, author, last, now, policy.UserUID(u.Name())); err != nil {
			return change{}, err
		}
		return change{kind: "user", verb: "delete", uid: uid, name: u.Name(), author: author, before: userDoc(u), at: now},
			s.queries.UserDelete(ctx, tx, uid)
	})
	if err != nil {
		return 0, err
	}
	return last, nil
}

// RecordUsers implements [identity.UserStore].
func (s *Store) RecordUsers(ctx context.Context, uses []identity.UserUse) error {
	var p dbsqlc.UserUseRecordParams
	for _, use := range uses {
		p.Uids = append(p.Uids, use.UID)
		p.UserIds = append(p.UserIds, use.ID)
		p.IssuerIds = append(p.IssuerIds, use.Issuer)
		p.Subjects = append(p.Subjects, use.Subject)
		p.DisplayNames = append(p.DisplayNames, use.DisplayName)
		p.Emails = append(p.Emails, use.Email)
		p.Times = append(p.Times, use.Time)
		p.Etags = append(p.Etags, newEtag()) // for those who come to be
	}
	if err := s.queries.UserUseRecord(ctx, s.pool, p); err != nil {
		return fmt.Errorf("record users: %w", fault(err))
	}
	return nil
}
