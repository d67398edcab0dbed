package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func issuerDraft(id string) identity.Issuer {
	i := identity.Issuer{
		UID: uuid.New(), ID: id, URL: "https://" + id + ".example.com", Audiences: []string{"signalbox"}, Algorithms: []string{"ES256"},
		Skew: time.Minute, NameClaim: "name", Mappings: []identity.ClaimMapping{{Claim: "groups", Value: "eng", Team: "home", Role: "publisher"}},
		CreateTime: now(), UpdateTime: now(),
	}
	copy(i.UserKey[:], id)
	return i
}

func makeIssuer(t *testing.T, s *store.Store, id string) identity.Issuer {
	t.Helper()
	i, _, err := s.CreateIssuer(t.Context(), "admin", issuerDraft(id))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func userDraft(i identity.Issuer, subject string) identity.User {
	return identity.User{
		UID: i.UserUID(subject), ID: i.UserID(subject), IssuerUID: i.UID, Issuer: i.ID, Subject: subject, CreateTime: now(), UpdateTime: now(),
	}
}

func makeUser(t *testing.T, s *store.Store, i identity.Issuer) identity.User {
	t.Helper()
	u, _, err := s.CreateUser(t.Context(), "admin", userDraft(i, "ada"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func holderOf(t *testing.T, s *store.Store, name string) identity.Holder {
	t.Helper()
	h, err := s.Holder(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func give(t *testing.T, s *store.Store, name string, roles ...identity.RoleIn) identity.Holder {
	t.Helper()
	h := holderOf(t, s, name)
	for _, r := range roles {
		if _, err := s.AddRole(t.Context(), "admin", h, r); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// people are what random changes of identities go on with.
type people struct {
	issuers []identity.Issuer
	users   []identity.User
	agent   string // that has keys, which go with it
}

// gone forgets the agent that may have been deleted.
func (p *people) gone() { p.agent = "" }

func (p *people) edit(e *editor, name string) error {
	ctx, pick := e.t.Context(), e.r.IntN(10)
	home := identity.RoleIn{Role: "publisher", Team: "home"}
	anybody := func() identity.User { return p.users[e.r.IntN(len(p.users))] }
	switch {
	case len(p.issuers) == 0 || pick == 0:
		i, _, err := e.s.CreateIssuer(ctx, "admin", issuerDraft(name))
		p.issuers = append(p.issuers, i)
		return err
	case len(p.users) == 0 || pick == 1:
		u, _, err := e.s.CreateUser(ctx, "admin", userDraft(p.issuers[0], name))
		p.users = append(p.users, u)
		return err
	case pick <= 3:
		_, _, err := e.s.UpdateUser(ctx, "admin", anybody().UID, func(u *identity.User) (bool, error) {
			u.Disabled, u.DisplayName = !u.Disabled, name
			return true, nil
		})
		return err
	case pick <= 5:
		u := anybody()
		h := identity.Holder{Kind: identity.KindUser, UID: u.UID, Name: u.Name()}
		w, err := e.s.AddRole(ctx, "admin", h, home)
		if err == nil && slices.Equal(w.Before, w.After) {
			_, err = e.s.RemoveRole(ctx, "admin", h, home)
		}
		return err
	case pick == 6:
		i := e.r.IntN(len(p.users))
		_, err := e.s.DeleteUser(ctx, "admin", p.users[i].UID, func(identity.User) error { return nil })
		p.users = slices.Delete(p.users, i, i+1)
		return err
	case pick == 7:
		_, _, err := e.s.UpdateIssuer(ctx, "admin", p.issuers[0].UID, func(i *identity.Issuer) (bool, error) {
			i.URL, i.Disabled = "https://"+name+".example.org", !i.Disabled
			return true, nil
		})
		return err
	case pick == 8:
		k := keyDraft(name)
		k.CertificateNames = []string{"DNS:" + name + ".example.com", "URI:spiffe://example.com/" + name}
		k.Roles = []identity.RoleIn{home}
		e.keys = append(e.keys, k.UID)
		_, _, err := e.s.CreateKey(ctx, "admin", k)
		return err
	}
	if p.agent == "" {
		a := agentDraft(name)
		p.agent = name
		e.agents = append(e.agents, a.UID)
		if _, _, err := e.s.CreateAgent(ctx, "admin", a); err != nil {
			return err
		}
	}
	k := keyDraft(name)
	k.Agent, k.Disabled = p.agent, true // so that the agent can be deleted
	_, _, err := e.s.CreateKey(ctx, "admin", k)
	return err
}

// history returns the changes after a revision as "kind verb name".
func history(t *testing.T, pool *pgxpool.Pool, after int64) (rows []string, afters []json.RawMessage) {
	t.Helper()
	found, err := pool.Query(t.Context(), `
		SELECT resource_kind || ' ' || verb || ' ' || resource_name, after_state FROM config_changes WHERE revision > $1 ORDER BY revision`, after)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var row string
		var state json.RawMessage
		if err := found.Scan(&row, &state); err != nil {
			t.Fatal(err)
		}
		rows, afters = append(rows, row), append(afters, state)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows, afters
}

func wantHistory(t *testing.T, pool *pgxpool.Pool, after int64, want ...string) []json.RawMessage {
	t.Helper()
	rows, afters := history(t, pool, after)
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	return afters
}

func revisionOf(t *testing.T, s *store.Store) int64 {
	t.Helper()
	revision, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func TestRoles_HistoryHasAllThatAPrincipalHolds(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	u := makeUser(t, s, makeIssuer(t, s, "idp"))
	before := revisionOf(t, s)
	publisher, auditor := identity.RoleIn{Role: "publisher", Team: "home"}, identity.RoleIn{Role: "auditor"}
	h := give(t, s, u.Name(), publisher, auditor, auditor) // the third one changes nothing
	for _, r := range []identity.RoleIn{publisher, auditor} {
		if _, err := s.RemoveRole(t.Context(), "admin", h, r); err != nil {
			t.Fatal(err)
		}
	}
	name := "users/idp~ada"
	afters := wantHistory(t, pool, before, "roles create "+name, "roles update "+name, "roles update "+name, "roles delete "+name)
	var doc struct {
		Principal string
		Roles     []identity.RoleIn
	}
	if err := json.Unmarshal(afters[1], &doc); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]identity.RoleIn{auditor, publisher}, doc.Roles); diff != "" || doc.Principal != name {
		t.Errorf("%s (-want +got):\n%s", afters[1], diff)
	}
	if afters[3] != nil {
		t.Errorf("after the last role there is a state: %s", afters[3])
	}
	if _, err := s.RemoveRole(t.Context(), "admin", h, auditor); !errors.Is(err, identity.ErrRoleNotHeld) {
		t.Errorf("taking a role that is not held: %v", err)
	}
	if _, err := s.AddRole(t.Context(), "admin", h, identity.RoleIn{Role: "member", Team: "none"}); !errors.Is(err, identity.ErrTeamNotFound) {
		t.Errorf("a role in a team that is not there: %v", err)
	}
	if _, err := s.DeleteUser(t.Context(), "admin", u.UID, func(identity.User) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddRole(t.Context(), "admin", h, auditor); !errors.Is(err, identity.ErrUserNotFound) {
		t.Errorf("a role for a user who is gone: %v", err)
	}
}

func TestRemoveRole_KeepsTheLastOneOfAKeyAlone(t *testing.T) {
	s := store.New(pgtest.New(t))
	makeTeam(t, s, "home")
	k := keyDraft("ci")
	k.Roles = []identity.RoleIn{{Role: "auditor"}, {Role: "member", Team: "home"}}
	if _, _, err := s.CreateKey(t.Context(), "admin", k); err != nil {
		t.Fatal(err)
	}
	h := holderOf(t, s, "teams/home/keys/ci")
	if _, err := s.RemoveRole(t.Context(), "admin", h, k.Roles[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RemoveRole(t.Context(), "admin", h, k.Roles[1]); !errors.Is(err, identity.ErrLastRole) {
		t.Errorf("taking the last role of a key: %v, want ErrLastRole", err)
	}
	got, err := s.Key(t.Context(), "home", "ci")
	if err != nil || !slices.Equal(got.Roles, k.Roles[1:]) {
		t.Errorf("the key holds %v, %v; want the one role", got.Roles, err)
	}
}

func TestRoleMembers_AreListedByTeamRoleAndMember(t *testing.T) {
	s := store.New(pgtest.New(t))
	makeTeam(t, s, "home")
	makeTeam(t, s, "away")
	u := makeUser(t, s, makeIssuer(t, s, "idp"))
	if _, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("planner")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateKey(t.Context(), "admin", keyDraft("ci")); err != nil {
		t.Fatal(err)
	}
	give(t, s, u.Name(), identity.RoleIn{Role: "auditor"}, identity.RoleIn{Role: "publisher", Team: "home"}, identity.RoleIn{Role: "member", Team: "away"})
	give(t, s, "agents/planner", identity.RoleIn{Role: "publisher", Team: "home"})
	give(t, s, "teams/home/keys/ci", identity.RoleIn{Role: "auditor"})
	all := []string{
		"roles/auditor teams/home/keys/ci", "roles/auditor users/idp~ada", "teams/away/roles/member users/idp~ada",
		"teams/home/roles/publisher agents/planner", "teams/home/roles/publisher users/idp~ada",
	}
	for name, tc := range map[string]struct {
		q    identity.RoleQuery
		want []string
	}{
		"all":         {identity.RoleQuery{Everywhere: true, InTeams: true}, all},
		"everywhere":  {identity.RoleQuery{Everywhere: true}, all[:2]},
		"in teams":    {identity.RoleQuery{InTeams: true}, all[2:]},
		"of a team":   {identity.RoleQuery{InTeams: true, Team: "home"}, all[3:]},
		"of a role":   {identity.RoleQuery{Everywhere: true, InTeams: true, Role: "publisher"}, all[3:]},
		"of a holder": {identity.RoleQuery{Everywhere: true, InTeams: true, Holder: &u.UID}, []string{all[1], all[2], all[4]}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for tc.q.Limit = 2; ; {
				page, err := s.RoleMembers(t.Context(), tc.q)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range page {
					got = append(got, m.Role.Name()+" "+m.Member)
					tc.q.After = m
				}
				if len(page) < tc.q.Limit {
					break
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeleteTeam_TakesRolesOfItsOwnKeysAndOfNobodyElse(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	team := makeTeam(t, s, "home")
	u := makeUser(t, s, makeIssuer(t, s, "idp"))
	k := keyDraft("ci")
	k.Disabled, k.CertificateNames, k.Roles = true, []string{"DNS:ci.example.com"}, []identity.RoleIn{{Role: "member", Team: "home"}}
	if _, _, err := s.CreateKey(t.Context(), "admin", k); err != nil {
		t.Fatal(err)
	}
	h := give(t, s, u.Name(), identity.RoleIn{Role: "member", Team: "home"})
	allowed := func(identity.Team) error { return nil }
	if _, err := s.DeleteTeam(t.Context(), "admin", team.UID, allowed); !errors.Is(err, identity.ErrTeamNotEmpty) {
		t.Errorf("deleting a team in which a user holds a role: %v", err)
	}
	if _, err := s.RemoveRole(t.Context(), "admin", h, identity.RoleIn{Role: "member", Team: "home"}); err != nil {
		t.Fatal(err)
	}
	before := revisionOf(t, s)
	last, err := s.DeleteTeam(t.Context(), "admin", team.UID, allowed)
	if err != nil || last != revisionOf(t, s) {
		t.Errorf("deleted at revision %d of %d: %v", last, revisionOf(t, s), err)
	}
	wantHistory(t, pool, before, "team delete teams/home", "key delete teams/home/keys/ci", "roles delete teams/home/keys/ci")
	makeTeam(t, s, "other")
	k = keyDraft("ci")
	k.Team, k.CertificateNames = "other", []string{"DNS:ci.example.com"}
	if _, _, err := s.CreateKey(t.Context(), "admin", k); err != nil {
		t.Errorf("a certificate name of a key that is gone: %v", err)
	}
}

func TestDeleteTeam_IsRefusedWhileAGrantIsAboutItsAgents(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	team := makeTeam(t, s, "home")
	_, err := pool.Exec(t.Context(), `
		INSERT INTO grants (uid, grant_id, principal, agents, actions, via, team_uid, author, etag)
		VALUES (gen_random_uuid(), 'g-1', 'team:home', 'team:home', '{invoke}', false, $1, 'admin', 'x')`, team.UID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteTeam(t.Context(), "admin", team.UID, func(identity.Team) error { return nil }); !errors.Is(err, identity.ErrTeamNotEmpty) {
		t.Errorf("deleting a team with a grant: %v", err)
	}
}

func TestDeleteAgent_TakesItsDisabledKeysAndRolesAlong(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	makeTeam(t, s, "away")
	a, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("planner"))
	if err != nil {
		t.Fatal(err)
	}
	k := keyDraft("planner")
	k.Agent = "planner"
	made, _, err := s.CreateKey(t.Context(), "admin", k)
	if err != nil || made.AgentUID != a.UID {
		t.Fatalf("key of agent %v: %v", made.AgentUID, err)
	}
	if got, err := s.Key(t.Context(), "home", "planner"); err != nil || got.Agent != "planner" || got.Principal().Kind != identity.KindAgent {
		t.Errorf("read %+v, %v; want the agent's key", got, err)
	}
	if h := holderOf(t, s, "teams/home/keys/planner"); h.Agent != "planner" {
		t.Errorf("holder %+v; want that it says as which agent the key calls", h)
	}
	foreign := keyDraft("spy")
	foreign.Team, foreign.Agent = "away", "planner"
	if _, _, err := s.CreateKey(t.Context(), "admin", foreign); !errors.Is(err, registry.ErrAgentNotFound) {
		t.Errorf("a key of another team for the agent: %v", err)
	}
	give(t, s, "agents/planner", identity.RoleIn{Role: "auditor"})
	allowed := func(registry.Agent) error { return nil }
	if _, err := s.DeleteAgent(t.Context(), "admin", a.UID, allowed); !errors.Is(err, registry.ErrAgentHasKeys) {
		t.Errorf("deleting an agent with an enabled key: %v", err)
	}
	if _, _, err := s.UpdateKey(t.Context(), "admin", made.UID, func(k *identity.Key) (bool, error) { k.Disabled = true; return true, nil }); err != nil {
		t.Fatal(err)
	}
	before := revisionOf(t, s)
	last, err := s.DeleteAgent(t.Context(), "admin", a.UID, allowed)
	if err != nil || last != revisionOf(t, s) {
		t.Errorf("deleted at revision %d of %d: %v", last, revisionOf(t, s), err)
	}
	wantHistory(t, pool, before, "agent delete agents/planner", "key delete teams/home/keys/planner", "roles delete agents/planner")
}

func TestCreateAgent_NamesOfDeletedAgentsStayWithTheirTeam(t *testing.T) {
	s := store.New(pgtest.New(t))
	makeTeam(t, s, "home")
	makeTeam(t, s, "away")
	for range 2 {
		a, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("planner"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeleteAgent(t.Context(), "admin", a.UID, func(registry.Agent) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	foreign := agentDraft("planner")
	foreign.Team = "away"
	if _, _, err := s.CreateAgent(t.Context(), "admin", foreign); !errors.Is(err, registry.ErrAgentIDUsed) {
		t.Errorf("another team takes the name: %v, want ErrAgentIDUsed", err)
	}
}

func TestCertificateNames_BelongToOneKey(t *testing.T) {
	s := store.New(pgtest.New(t))
	makeTeam(t, s, "home")
	names := []string{"DNS:a.example.com", "DNS:b.example.com"}
	one := keyDraft("one")
	one.Secrets, one.SecretHint, one.CertificateNames = nil, "", names
	if _, _, err := s.CreateKey(t.Context(), "admin", one); err != nil {
		t.Fatal(err)
	}
	two := keyDraft("two")
	two.CertificateNames = names[1:]
	_, _, err := s.CreateKey(t.Context(), "admin", two)
	if e, ok := errors.AsType[*identity.CertificateNameError](err); !ok || e.Name != names[1] || !errors.Is(err, identity.ErrCertificateNameUsed) {
		t.Errorf("a name twice: %v", err)
	}
	set := func(uid uuid.UUID, names ...string) error {
		_, _, err := s.UpdateKey(t.Context(), "admin", uid, func(k *identity.Key) (bool, error) { k.CertificateNames = names; return true, nil })
		return err
	}
	if err := set(one.UID, "DNS:a.example.com", "DNS:c.example.com"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateKey(t.Context(), "admin", two); err != nil {
		t.Errorf("a name that was given up: %v", err)
	}
	if err := set(two.UID, "DNS:c.example.com"); !errors.Is(err, identity.ErrCertificateNameUsed) {
		t.Errorf("a name that another key has: %v", err)
	}
	got, err := s.Key(t.Context(), "home", "one")
	if diff := cmp.Diff([]string{"DNS:a.example.com", "DNS:c.example.com"}, got.CertificateNames); diff != "" || err != nil || len(got.Secrets) != 0 {
		t.Errorf("read %v, %v (-want +got):\n%s", got.Secrets, err, diff)
	}
}

func TestIssuers_NamesAndURLsAreTheirsAlone(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	idp := makeIssuer(t, s, "idp")
	read, err := s.Issuer(t.Context(), "idp")
	if diff := cmp.Diff(idp, read); diff != "" || err != nil {
		t.Errorf("read %v (-made +read):\n%s", err, diff)
	}
	same := issuerDraft("other")
	same.URL = idp.URL
	for name, tc := range map[string]struct {
		draft identity.Issuer
		want  error
	}{
		"name of another": {issuerDraft("idp"), identity.ErrIssuerExists},
		"url of another":  {same, identity.ErrIssuerURLUsed},
	} {
		if _, _, err := s.CreateIssuer(t.Context(), "admin", tc.draft); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	other := makeIssuer(t, s, "other")
	_, _, err = s.UpdateIssuer(t.Context(), "admin", other.UID, func(i *identity.Issuer) (bool, error) { i.URL = idp.URL; return true, nil })
	if !errors.Is(err, identity.ErrIssuerURLUsed) {
		t.Errorf("taking the url of another: %v", err)
	}
	var secret bool
	err = pool.QueryRow(t.Context(), `SELECT bool_or(after_state::text LIKE '%user_key%') FROM config_changes WHERE resource_kind = 'issuer'`).Scan(&secret)
	if err != nil || secret {
		t.Errorf("the history has the key of user ids: %t, %v", secret, err)
	}
}

func TestDeleteIssuer_TakesItsUsersUnlessTheyHoldRoles(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	idp := makeIssuer(t, s, "idp")
	makeUser(t, s, idp)
	bob := userDraft(idp, "bob")
	bob.Disabled = true
	if _, _, err := s.CreateUser(t.Context(), "admin", bob); err != nil {
		t.Fatal(err)
	}
	member := identity.RoleIn{Role: "member", Team: "home"}
	h := give(t, s, "users/idp~ada", member)
	allowed := func(identity.Issuer) error { return nil }
	if _, err := s.DeleteIssuer(t.Context(), "admin", idp.UID, allowed); !errors.Is(err, identity.ErrIssuerHasUsers) {
		t.Errorf("deleting an issuer whose user holds a role: %v", err)
	}
	if _, err := s.RemoveRole(t.Context(), "admin", h, member); err != nil {
		t.Fatal(err)
	}
	before := revisionOf(t, s)
	if _, err := s.DeleteIssuer(t.Context(), "admin", idp.UID, allowed); err != nil {
		t.Fatal(err)
	}
	wantHistory(t, pool, before, "issuer delete issuers/idp", "user delete users/idp~bob")
	if users, err := s.Users(t.Context(), identity.UserQuery{Limit: 10}); err != nil || len(users) != 0 {
		t.Errorf("users left: %v, %v", users, err)
	}
	if _, _, err := s.CreateIssuer(t.Context(), "admin", issuerDraft("idp")); !errors.Is(err, identity.ErrIssuerIDUsed) {
		t.Errorf("the name again: %v, want ErrIssuerIDUsed", err)
	}
	if _, _, err := s.CreateUser(t.Context(), "admin", userDraft(idp, "eve")); !errors.Is(err, identity.ErrIssuerNotFound) {
		t.Errorf("a user of an issuer that is gone: %v", err)
	}
}

func TestRecordUsers_AreNoChangeOfConfiguration(t *testing.T) {
	s := store.New(pgtest.New(t))
	idp := makeIssuer(t, s, "idp")
	before := revisionOf(t, s)
	use := func(subject, name string, at time.Time) identity.UserUse {
		return identity.UserUse{
			UID: idp.UserUID(subject), ID: idp.UserID(subject), Issuer: "idp", Subject: subject, DisplayName: name, Email: "", Time: at,
		}
	}
	late := now()
	gone := use("eve", "Eve", late)
	gone.Issuer = "none"
	for _, batch := range [][]identity.UserUse{
		{use("ada", "Ada", late), use("bob", "", late), gone},
		{use("ada", "Ada L.", late.Add(-time.Hour))},
		{use("ada", "", late.Add(-time.Minute))},
	} {
		if err := s.RecordUsers(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	ada, err := s.User(t.Context(), "idp~ada")
	if err != nil || ada.UID != idp.UserUID("ada") || ada.DisplayName != "Ada L." || !ada.LastUsed.Equal(late) || ada.Etag == "" {
		t.Errorf("user %+v, %v; want the newest name and the latest use", ada, err)
	}
	users, err := s.Users(t.Context(), identity.UserQuery{Issuer: "idp", Limit: 10})
	if err != nil || len(users) != 2 || revisionOf(t, s) != before {
		t.Errorf("%d users at revision %d, %v; want 2 and revision %d", len(users), revisionOf(t, s), err, before)
	}
	// A user that came by itself and is disabled is known from then on, and stays so.
	disabled, revision, err := s.UpdateUser(t.Context(), "admin", ada.UID, func(u *identity.User) (bool, error) { u.Disabled = true; return true, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RecordUsers(t.Context(), []identity.UserUse{use("ada", "Ada", late)}); err != nil {
		t.Fatal(err)
	}
	delta, err := s.SinceKnown(t.Context(), revision-1)
	if got := delta.Users[ada.UID]; err != nil || got == nil || !got.Disabled || got.Etag != disabled.Etag {
		t.Errorf("snapshot has %+v, %v; want the user as disabled", got, err)
	}
}

func TestCreateUser_ThatCameByItselfExists(t *testing.T) {
	s := store.New(pgtest.New(t))
	idp := makeIssuer(t, s, "idp")
	u := userDraft(idp, "ada")
	use := identity.UserUse{UID: u.UID, ID: u.ID, Issuer: "idp", Subject: "ada", Time: now()}
	if err := s.RecordUsers(t.Context(), []identity.UserUse{use}); err != nil {
		t.Fatal(err)
	}
	before := revisionOf(t, s)
	if _, _, err := s.CreateUser(t.Context(), "admin", u); !errors.Is(err, identity.ErrUserExists) || revisionOf(t, s) != before {
		t.Errorf("made twice: %v at revision %d, want ErrUserExists at %d", err, revisionOf(t, s), before)
	}
}
