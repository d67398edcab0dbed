package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	// maxUserText is how many characters of a name or an e-mail address are kept.
	maxUserText = 200
	// maxSubject is how many bytes a subject may have; OpenID Connect has the same bound.
	maxSubject = 255
	// maxPendingUsers bounds the users that wait to be written. Whoever comes when they
	// are so many is noted at the next call.
	maxPendingUsers = 20_000
)

// UserStore keeps users. Writes are as in [TeamStore].
type UserStore interface {
	// CreateUser stores a user of the issuer of u.IssuerUID. It returns ErrIssuerNotFound,
	// or ErrUserExists.
	CreateUser(ctx context.Context, author string, u User) (User, int64, error)
	// User returns the user of an id, or ErrUserNotFound.
	User(ctx context.Context, id string) (User, error)
	// UserByUID returns the user of a uid, or ErrUserNotFound.
	UserByUID(ctx context.Context, uid uuid.UUID) (User, error)
	// Users returns at most q.Limit users in the order of their ids.
	Users(ctx context.Context, q UserQuery) ([]User, error)
	// UpdateUser changes a user, or returns ErrUserNotFound.
	UpdateUser(ctx context.Context, author string, uid uuid.UUID, edit func(*User) (bool, error)) (User, int64, error)
	// DeleteUser removes a user that check does not object to, with its roles, or returns
	// ErrUserNotFound.
	DeleteUser(ctx context.Context, author string, uid uuid.UUID, check func(User) error) (int64, error)
	// RecordUsers notes who called and when: users who are not there yet come to be.
	// Later times win; users of issuers that are gone are passed over. It is no change of
	// configuration.
	RecordUsers(ctx context.Context, uses []UserUse) error
}

// UserQuery asks for a page of users.
type UserQuery struct {
	Issuer       string // only users of the issuer of this id; empty means of every one
	DisabledOnly bool
	After        string // only ids after this one
	Limit        int
}

// UserUse is that a user called, with what its token said.
type UserUse struct {
	UID                uuid.UUID
	ID                 string
	Issuer             string // the issuer's id
	Subject            string
	DisplayName, Email string // empty where the token does not say it
	Time               time.Time
}

// UserDraft is what a new user is made of.
type UserDraft struct {
	Issuer             string // the issuer's id
	Subject            string
	DisplayName, Email string
	Disabled           bool
}

// CreateUser makes a user before it comes by itself.
func (s *Service) CreateUser(ctx context.Context, author string, d UserDraft) (User, int64, error) {
	if d.Subject == "" || len(d.Subject) > maxSubject || !utf8.ValidString(d.Subject) {
		return User{}, 0, &InvalidError{Field: "user.subject", Problem: "must have 1 to 255 bytes"}
	}
	err := errors.Join(
		checkText("user.subject", d.Subject), checkText("user.display_name", d.DisplayName), checkText("user.email", d.Email),
	)
	if err != nil {
		return User{}, 0, err
	}
	issuer, err := s.store.Issuer(ctx, d.Issuer)
	if err != nil {
		return User{}, 0, fmt.Errorf("create user of issuer %s: %w", d.Issuer, err)
	}
	now := s.now()
	u, revision, err := s.store.CreateUser(ctx, author, User{
		UID: issuer.UserUID(d.Subject), ID: issuer.UserID(d.Subject), IssuerUID: issuer.UID, Issuer: issuer.ID, Subject: d.Subject,
		DisplayName: d.DisplayName, Email: d.Email, Disabled: d.Disabled, CreateTime: now, UpdateTime: now,
	})
	if err != nil {
		return User{}, 0, fmt.Errorf("create user of issuer %s: %w", d.Issuer, err)
	}
	return u, revision, nil
}

// User returns the user of an id, or ErrUserNotFound.
func (s *Service) User(ctx context.Context, id string) (User, error) {
	u, err := s.store.User(ctx, id)
	if err != nil {
		return User{}, fmt.Errorf("get user %s: %w", id, err)
	}
	return s.withUserUse(u), nil
}

// UserByUID returns the user of a uid, or ErrUserNotFound.
func (s *Service) UserByUID(ctx context.Context, uid uuid.UUID) (User, error) {
	u, err := s.store.UserByUID(ctx, uid)
	if err != nil {
		return User{}, fmt.Errorf("get user %s: %w", uid, err)
	}
	return s.withUserUse(u), nil
}

// Users returns a page of users and whether there are more.
func (s *Service) Users(ctx context.Context, q UserQuery) ([]User, bool, error) {
	limit := q.Limit
	q.Limit++
	users, err := s.store.Users(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list users: %w", err)
	}
	more := len(users) > limit
	if more {
		users = users[:limit]
	}
	for i := range users {
		users[i] = s.withUserUse(users[i])
	}
	return users, more, nil
}

// UserUpdate says what to change of a user; nil leaves a field as it is.
type UserUpdate struct {
	DisplayName, Email *string
	Disabled           *bool
	// Etag, when not empty, must be the stored one.
	Etag string
}

// UpdateUser changes a user.
func (s *Service) UpdateUser(ctx context.Context, author string, uid uuid.UUID, up UserUpdate) (User, int64, error) {
	u, revision, err := s.store.UpdateUser(ctx, author, uid, func(u *User) (bool, error) {
		if up.Etag != "" && up.Etag != u.Etag {
			return false, ErrEtagMismatch
		}
		before := *u
		for _, text := range []struct {
			field string
			to    *string
			at    *string
		}{{"user.display_name", up.DisplayName, &u.DisplayName}, {"user.email", up.Email, &u.Email}} {
			if text.to == nil {
				continue
			}
			if err := checkText(text.field, *text.to); err != nil {
				return false, err
			}
			*text.at = *text.to
		}
		if up.Disabled != nil {
			u.Disabled = *up.Disabled
		}
		if before.DisplayName == u.DisplayName && before.Email == u.Email && before.Disabled == u.Disabled {
			return false, nil
		}
		u.UpdateTime = s.now()
		return true, nil
	})
	if err != nil {
		return User{}, 0, fmt.Errorf("update user: %w", err)
	}
	return s.withUserUse(u), revision, nil
}

// DeleteUser removes a user with its roles; an etag that is not empty must be the stored
// one.
func (s *Service) DeleteUser(ctx context.Context, author string, uid uuid.UUID, etag string) (int64, error) {
	revision, err := s.store.DeleteUser(ctx, author, uid, func(u User) error {
		if etag != "" && etag != u.Etag {
			return ErrEtagMismatch
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete user: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.written, uid)
	delete(s.users, uid) // or what it did before would bring it back
	return revision, nil
}

// RecordUser notes that a user called now, so that it comes to be with its first token. It
// takes no time and touches no database. Principals of other kinds are passed over.
func (s *Service) RecordUser(p *Principal) {
	c := p.Claims
	if p.Kind != KindUser || c == nil {
		return
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	use, known := s.users[p.UID]
	if !known && len(s.users) >= maxPendingUsers || now.Before(use.Time) {
		return
	}
	s.users[p.UID] = UserUse{
		UID: p.UID, ID: c.UserID, Issuer: c.Issuer, Subject: c.Subject, DisplayName: c.DisplayName, Email: c.Email, Time: now,
	}
	if _, ok := s.written[p.UID]; !ok {
		select {
		case s.newcomer <- struct{}{}:
		default: // Run knows already
		}
	}
}

// wrote notes users that have rows now. It is for telling newcomers only, so that all may
// be forgotten when they are too many.
func (s *Service) wrote(uses []UserUse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.written)+len(uses) > 5*maxPendingUsers {
		clear(s.written)
	}
	for _, use := range uses {
		s.written[use.UID] = struct{}{}
	}
}

// withUserUse shows a use that is not yet written.
func (s *Service) withUserUse(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	if use := s.users[u.UID]; use.Time.After(u.LastUsed) {
		u.LastUsed = use.Time
	}
	return u
}

// flushUsers writes who called since the last time.
func (s *Service) flushUsers(ctx context.Context) {
	s.mu.Lock()
	pending := s.users
	s.users = make(map[uuid.UUID]UserUse, len(pending))
	s.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	uses := make([]UserUse, 0, len(pending))
	for _, use := range pending {
		// One row that Postgres does not take would stand in the way of all others.
		if len(use.Subject) > maxSubject || !utf8.ValidString(use.Subject) || strings.ContainsFunc(use.Subject, unicode.IsControl) {
			continue
		}
		use.DisplayName, use.Email = cleanText(use.DisplayName), cleanText(use.Email)
		uses = append(uses, use)
	}
	err := s.store.RecordUsers(ctx, uses)
	if err == nil {
		s.wrote(uses)
		return
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "users who called not written, trying again",
		slog.Int("users", len(uses)), slog.Any("error", err))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, use := range uses {
		newer, known := s.users[use.UID]
		if !known && len(s.users) >= maxPendingUsers || newer.Time.After(use.Time) {
			continue
		}
		s.users[use.UID] = use
	}
}

// cleanText makes a text that a token brought fit to be kept and shown.
func cleanText(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.TrimSpace(text)
	n := 0
	for i := range text {
		if n == maxUserText {
			return text[:i]
		}
		n++
	}
	return text
}
