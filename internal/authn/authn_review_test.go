package authn_test

import (
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
