package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// arrivals is a store that takes users who called alone.
type arrivals struct {
	identity.Store
	fail    bool
	batches [][]identity.UserUse
}

func (a *arrivals) RecordUsers(_ context.Context, uses []identity.UserUse) error {
	if a.fail {
		return errors.New("away")
	}
	a.batches = append(a.batches, uses)
	return nil
}

func (a *arrivals) DeleteUser(context.Context, string, uuid.UUID, func(identity.User) error) (int64, error) {
	return 1, nil
}

func caller(subject string, edit ...func(*identity.Claims)) *identity.Principal {
	c := &identity.Claims{Issuer: "idp", Subject: subject, UserID: "idp~" + subject, DisplayName: "Ada", Email: "ada@example.org"}
	for _, e := range edit {
		e(c)
	}
	return &identity.Principal{Kind: identity.KindUser, UID: uuid.NewSHA1(uuid.Nil, []byte(subject)), Name: "users/idp~" + subject, Claims: c}
}

// ticking is a clock that moves on by a millisecond each time.
type ticking struct{ at time.Time }

func (c *ticking) Now() time.Time { c.at = c.at.Add(time.Millisecond); return c.at }

func newArrivals(t *testing.T) (*identity.Service, *arrivals) {
	t.Helper()
	db := &arrivals{}
	s, err := identity.New(identity.Config{Store: db, Clock: &ticking{at: time.Unix(1_800_000_000, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func TestRecordUser_IsWrittenOnceForEachUserAndFlush(t *testing.T) {
	s, db := newArrivals(t)
	s.RecordUser(caller("ada", func(c *identity.Claims) {
		c.DisplayName, c.Email = "A\x1b[31mda\n"+strings.Repeat("é", 300), "\xff"
	}))
	s.RecordUser(caller("bob"))
	s.RecordUser(caller("bob", func(c *identity.Claims) { c.DisplayName = "Bob" }))
	s.RecordUser(caller("bad\x00subject"))
	s.RecordUser(caller(strings.Repeat("x", 256)))
	s.RecordUser(&identity.Principal{Kind: identity.KindKey, UID: uuid.New()})
	s.RecordUser(&identity.Principal{Kind: identity.KindUser, UID: uuid.New()})
	s.Flush(t.Context())
	s.Flush(t.Context())
	if len(db.batches) != 1 || len(db.batches[0]) != 2 {
		t.Fatalf("wrote %+v, want two users at once", db.batches)
	}
	for _, use := range db.batches[0] {
		switch use.Subject {
		case "ada":
			if want := "A[31mda" + strings.Repeat("é", 193); use.DisplayName != want || use.Email != "\uFFFD" {
				t.Errorf("name %q, email %q; want 200 characters that can be shown", use.DisplayName, use.Email)
			}
		case "bob":
			if use.DisplayName != "Bob" || use.ID != "idp~bob" || use.Issuer != "idp" {
				t.Errorf("wrote %+v, want what the last call said", use)
			}
		default:
			t.Errorf("wrote %q", use.Subject)
		}
	}
}

func TestFlush_KeepsUsersThatCannotBeWritten(t *testing.T) {
	s, db := newArrivals(t)
	db.fail = true
	s.RecordUser(caller("ada"))
	s.RecordUser(caller("bob"))
	s.Flush(t.Context())
	s.RecordUser(caller("bob", func(c *identity.Claims) { c.DisplayName = "Bob" }))
	db.fail = false
	s.Flush(t.Context())
	if len(db.batches) != 1 || len(db.batches[0]) != 2 {
		t.Fatalf("wrote %+v, want both users", db.batches)
	}
	for _, use := range db.batches[0] {
		if use.Subject == "bob" && use.DisplayName != "Bob" {
			t.Errorf("an older call went over a newer one: %+v", use)
		}
	}
}

func TestRecordUser_IsBounded(t *testing.T) {
	s, db := newArrivals(t)
	for n := range 30_000 {
		s.RecordUser(caller(fmt.Sprint("u", n)))
	}
	db.fail = true
	s.Flush(t.Context()) // what is put back is bounded too
	s.RecordUser(caller("late"))
	db.fail = false
	s.Flush(t.Context())
	if n := len(db.batches[0]); n != 20_000 {
		t.Errorf("wrote %d users, want 20000", n)
	}
	s.RecordUser(caller("late"))
	s.Flush(t.Context())
	if len(db.batches) != 2 || db.batches[1][0].Subject != "late" {
		t.Error("who did not fit is not noted later")
	}
}

func TestDeleteUser_IsNotUndoneByWhatItDidBefore(t *testing.T) {
	s, db := newArrivals(t)
	ada := caller("ada")
	s.RecordUser(ada)
	if _, err := s.DeleteUser(t.Context(), "admin", ada.UID, ""); err != nil {
		t.Fatal(err)
	}
	s.Flush(t.Context())
	if len(db.batches) != 0 {
		t.Errorf("wrote %+v after the user was deleted", db.batches)
	}
}
