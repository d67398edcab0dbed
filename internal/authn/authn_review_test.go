package authn_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// A user's calls are recorded under one team, whose admins then read what they were. No
// other team may draw them to itself by giving the user a role.
func TestAuthenticate_AGivenRoleDoesNotMoveTheCallsOfAUserToAnotherTeam(t *testing.T) {
	user := identity.Principal{
		Kind: identity.KindUser, UID: uuid.New(), Name: "users/idp~ada",
		Claims: &identity.Claims{Issuer: "idp", Subject: "ada", UserID: "idp~ada", Teams: []string{"payroll"}, Expires: now.Add(time.Hour)},
	}
	s := catalogue(t, func(d *snapshot.Delta) {
		payroll := uuid.New()
		d.Teams[payroll] = &identity.Team{UID: payroll, ID: "payroll"}
		d.Users[user.UID] = &identity.User{UID: user.UID, ID: "idp~ada", Issuer: "idp", Subject: "ada"}
		d.Roles = map[uuid.UUID][]identity.RoleIn{user.UID: {{Role: "member", Team: "a"}}}
	})
	a := authn.New(authn.Config{Tokens: tokens{principal: user}})
	p, err := a.Authenticate(t.Context(), s, authn.Credential{Given: true, Secret: jwtLike}, now)
	if err != nil || p.Team != "payroll" {
		t.Errorf("recorded under team %q, %v; want payroll", p.Team, err)
	}
}

// An open stream is decided again by what a new call with its token would be: what the
// issuer's mappings gave when it was opened is no matter.
func TestConfirm_ATokenGivesWhatItGivesNow(t *testing.T) {
	then := identity.Principal{
		Kind: identity.KindUser, UID: uuid.New(), Name: "users/idp~ada", Team: "a",
		Claims: &identity.Claims{Issuer: "idp", Subject: "ada", UserID: "idp~ada", Teams: []string{"a"}, Expires: now.Add(time.Hour)},
	}
	less := *then.Claims
	less.Teams = nil
	changed := then
	changed.Team, changed.Claims = "", &less
	stranger := then
	stranger.UID = uuid.New()
	late := now.Add(time.Hour + time.Minute)
	for _, tc := range []struct {
		name   string
		tokens tokens
		at     time.Time
		want   []string
		err    error
	}{
		{"as it was", tokens{principal: then}, now, []string{"a"}, nil},
		{"without the mapping", tokens{principal: changed}, now, nil, nil},
		{"for another audience", tokens{err: identity.ErrTokenInvalid}, now, nil, identity.ErrTokenInvalid},
		{"of an issuer that is another", tokens{principal: stranger}, now, nil, identity.ErrCredentialsInvalid},
		{"while keys cannot be had", tokens{err: identity.ErrIssuerUnavailable}, now, []string{"a"}, nil},
		{"soon after its end", tokens{err: identity.ErrTokenExpired}, late, []string{"a"}, nil},
		{"long after its end", tokens{err: identity.ErrTokenExpired}, late.Add(time.Hour), nil, identity.ErrTokenExpired},
	} {
		a := authn.New(authn.Config{Tokens: tc.tokens})
		is, err := a.Confirm(catalogue(t), authn.Credential{Given: true, Secret: jwtLike}, &then, tc.at)
		if !errors.Is(err, tc.err) || (tc.err == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.err)
		}
		if err == nil && !slices.Equal(is.Claims.Teams, tc.want) {
			t.Errorf("%s: teams %v, want %v", tc.name, is.Claims.Teams, tc.want)
		}
	}
}
