package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func makeTeam(t *testing.T, s *store.Store, id string) identity.Team {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	team, _, err := s.CreateTeam(t.Context(), "admin", identity.Team{UID: uuid.New(), ID: id, CreateTime: now, UpdateTime: now})
	if err != nil {
		t.Fatal(err)
	}
	return team
}

func keyDraft(id string) identity.Key {
	now := time.Now().UTC().Truncate(time.Microsecond)
	_, hash, hint := identity.NewSecret()
	return identity.Key{
		UID: uuid.New(), Team: "home", ID: id, SecretHint: hint, Secrets: []identity.Secret{{SHA256: hash}}, CreateTime: now, UpdateTime: now,
	}
}

func agentDraft(id string, aliases ...string) registry.Agent {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return registry.Agent{
		UID: uuid.New(), Team: "home", ID: id, Aliases: aliases, Visibility: registry.VisibilityTeam, State: registry.StateApproved,
		Push: registry.PushOff, CardShape: registry.ShapeAuto, CardSource: registry.CardInline, Card: []byte(`{"name":"x"}`), Revision: 1,
		Endpoints: []registry.Endpoint{{URL: "http://h", Weight: 1}}, CreateTime: now, UpdateTime: now,
	}
}

// editor makes random changes to a configuration.
type editor struct {
	t      *testing.T
	s      *store.Store
	r      *rand.Rand
	n      int
	keys   []uuid.UUID
	agents []uuid.UUID
	people people
}

func (e *editor) edit() {
	e.t.Helper()
	ctx := e.t.Context()
	e.n++
	name := fmt.Sprintf("n%d", e.n)
	var err error
	switch pick := e.r.IntN(16); {
	case pick >= 10:
		err = e.people.edit(e, name)
	case pick == 0:
		_, _, err = e.s.CreateTeam(ctx, "admin", identity.Team{UID: uuid.New(), ID: name, CreateTime: time.Now(), UpdateTime: time.Now()})
	case pick == 1 || len(e.keys) == 0:
		k := keyDraft(name)
		e.keys = append(e.keys, k.UID)
		_, _, err = e.s.CreateKey(ctx, "admin", k)
	case pick <= 3 || len(e.agents) == 0:
		a := agentDraft(name, name+".alias")
		e.agents = append(e.agents, a.UID)
		_, _, err = e.s.CreateAgent(ctx, "admin", a)
	case pick == 4:
		i := e.r.IntN(len(e.agents))
		_, err = e.s.DeleteAgent(ctx, "admin", e.agents[i], func(registry.Agent) error { return nil })
		e.agents = append(e.agents[:i], e.agents[i+1:]...)
		e.people.gone()
	case pick <= 6:
		_, _, err = e.s.UpdateAgent(ctx, "admin", e.agents[e.r.IntN(len(e.agents))], func(a *registry.Agent) (bool, error) {
			a.DisplayName, a.Aliases = name, []string{name + ".b"}
			if e.r.IntN(2) == 0 {
				a.Card, a.Revision = []byte(`{"name":"`+name+`"}`), a.Revision+1
			}
			return true, nil
		})
	case pick <= 8:
		_, _, err = e.s.UpdateKey(ctx, "admin", e.keys[e.r.IntN(len(e.keys))], func(k *identity.Key) (bool, error) {
			_, hash, hint := identity.NewSecret()
			old := k.Secrets[0]
			old.ExpireTime = time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
			k.Secrets, k.SecretHint, k.Disabled = []identity.Secret{{SHA256: hash}, old}, hint, !k.Disabled
			return true, nil
		})
	default:
		_, hash, _ := identity.NewSecret()
		_, err = e.s.SetAdminKey(ctx, "test", hash)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// merge applies a delta to what was read before.
func merge(d *snapshot.Delta, next snapshot.Delta) {
	d.Revision, d.Mark = next.Revision, next.Mark
	fold(d.Keys, next.Keys, func(k *identity.Key) bool { return k == nil })
	fold(d.Agents, next.Agents, func(a *registry.Agent) bool { return a == nil })
	fold(d.Teams, next.Teams, func(t *identity.Team) bool { return t == nil })
	fold(d.Issuers, next.Issuers, func(i *identity.Issuer) bool { return i == nil })
	fold(d.Roles, next.Roles, func(roles []identity.RoleIn) bool { return len(roles) == 0 })
	fold(d.Policies, next.Policies, func(policies []policy.Policy) bool { return len(policies) == 0 })
	fold(d.Users, next.Users, func(u *identity.User) bool { return u == nil })
	// Of users who are as their tokens say, a delta may tell or not.
	maps.DeleteFunc(d.Users, func(uid uuid.UUID, u *identity.User) bool { return !u.Disabled && len(d.Roles[uid]) == 0 })
	if next.Admins != nil {
		d.Admins = next.Admins
	}
}

// fold applies what changed to a map, and removes what is gone.
func fold[V any](into, changed map[uuid.UUID]V, gone func(V) bool) {
	for uid, v := range changed {
		if gone(v) {
			delete(into, uid)
		} else {
			into[uid] = v
		}
	}
}

func TestSince_DeltasAddUpToTheWholeConfiguration(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := store.New(pgtest.New(t))
			makeTeam(t, s, "home")
			e := &editor{t: t, s: s, r: rand.New(rand.NewPCG(seed, 7))}
			followed, err := s.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 12 {
				for range e.r.IntN(8) {
					e.edit()
				}
				delta, err := s.SinceKnown(t.Context(), followed.Revision)
				if err != nil {
					t.Fatal(err)
				}
				merge(&followed, delta)
				all, err := s.All(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(all, followed); diff != "" {
					t.Fatalf("deltas differ from the whole (-whole +deltas):\n%s", diff)
				}
			}
		})
	}
}

// While writers work, every state that a reader is shown is one that there was.
func TestSince_IsConsistentUnderConcurrentWrites(t *testing.T) {
	s := store.New(pgtest.New(t))
	makeTeam(t, s, "home")
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 15 {
				// One team, key and agent at a time: at each revision their numbers are known.
				if _, _, err := s.CreateKey(t.Context(), "admin", keyDraft(fmt.Sprintf("k%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	followed, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base := followed.Revision - int64(len(followed.Keys))
	for len(followed.Keys) < 60 {
		delta, err := s.SinceKnown(t.Context(), followed.Revision)
		if err != nil {
			t.Fatal(err)
		}
		merge(&followed, delta)
		if got := followed.Revision - int64(len(followed.Keys)); got != base {
			t.Fatalf("at revision %d there are %d keys, want %d", followed.Revision, len(followed.Keys), followed.Revision-base)
		}
		for uid, k := range followed.Keys {
			if len(k.Secrets) != 1 {
				t.Fatalf("key %s came with %d secrets", uid, len(k.Secrets))
			}
		}
	}
	writers.Wait()
}

func TestConfigure_HistoryHasOneRowForEachRevision(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	e := &editor{t: t, s: s, r: rand.New(rand.NewPCG(9, 9))}
	for range 30 {
		e.edit()
	}
	// Refused and empty writes take no revision.
	team := identity.Team{UID: uuid.New(), ID: "home", CreateTime: time.Now(), UpdateTime: time.Now()}
	if _, _, err := s.CreateTeam(t.Context(), "admin", team); err == nil {
		t.Fatal("a team was made twice")
	}
	if _, _, err := s.UpdateKey(t.Context(), "admin", e.keys[0], func(*identity.Key) (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	var gaps, unauthored int
	err := pool.QueryRow(t.Context(), `
		SELECT (SELECT revision FROM configuration_revision) - count(*), count(*) FILTER (WHERE author = '' OR
			(before_state IS NULL) <> (verb = 'create') AND resource_kind <> 'admin_key' OR (after_state IS NULL) <> (verb = 'delete') AND resource_kind <> 'admin_key')
		FROM config_changes`).Scan(&gaps, &unauthored)
	if err != nil || gaps != 0 || unauthored != 0 {
		t.Errorf("history lacks %d revisions, %d rows lack author or state: %v", gaps, unauthored, err)
	}
}

func TestDeleteAgent_KeepsItsRevisions(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	a, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("echo"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteAgent(t.Context(), "admin", a.UID, func(registry.Agent) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var card []byte
	if err := pool.QueryRow(t.Context(), `SELECT card FROM agent_revisions WHERE agent_uid = $1`, a.UID).Scan(&card); err != nil || string(card) != `{"name":"x"}` {
		t.Errorf("card of a deleted agent: %q, %v", card, err)
	}
}

func TestRecordUses_NeverMovesBackAndPassesOverWhatIsGone(t *testing.T) {
	s := store.New(pgtest.New(t))
	makeTeam(t, s, "home")
	k, _, err := s.CreateKey(t.Context(), "admin", keyDraft("laptop"))
	if err != nil {
		t.Fatal(err)
	}
	late := time.Now().UTC().Truncate(time.Microsecond)
	for _, at := range []time.Time{late.Add(-time.Hour), late, late.Add(-time.Minute)} {
		if err := s.RecordUses(t.Context(), map[uuid.UUID]time.Time{k.UID: at, uuid.New(): at}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Key(t.Context(), "home", "laptop")
	if err != nil || !got.LastUsed.Equal(late) {
		t.Errorf("last use %v, %v; want %v", got.LastUsed, err, late)
	}
}

func TestSharedSecret_IsOneForAllReplicas(t *testing.T) {
	s := store.New(pgtest.New(t))
	secrets := make([][]byte, 6)
	var replicas sync.WaitGroup
	for i := range secrets {
		replicas.Go(func() {
			var err error
			if secrets[i], err = s.SharedSecret(t.Context(), "page-token"); err != nil {
				t.Error(err)
			}
		})
	}
	replicas.Wait()
	for _, secret := range secrets {
		if len(secret) != 32 || !reflect.DeepEqual(secret, secrets[0]) {
			t.Errorf("secrets %x and %x", secret, secrets[0])
		}
	}
	if other, err := s.SharedSecret(t.Context(), "other"); err != nil || reflect.DeepEqual(other, secrets[0]) {
		t.Errorf("two purposes share a secret (%v)", err)
	}
}

// listening runs a Listener and returns what it wakes.
func listening(t *testing.T, pool *pgxpool.Pool) <-chan struct{} {
	t.Helper()
	wake := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.NewListener(pool, nil).Listen(ctx, wake) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("listen: %v", err)
		}
	})
	return wake
}

func awaitWake(t *testing.T, wake <-chan struct{}, why string) {
	t.Helper()
	select {
	case <-wake:
	case <-time.After(10 * time.Second):
		t.Fatalf("no wake-up %s", why)
	}
}

func TestListener_WakesOnEveryChangeAndAfterItsConnectionWasLost(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	wake := listening(t, pool)
	awaitWake(t, wake, "on connecting")
	makeTeam(t, s, "one")
	awaitWake(t, wake, "on a change")
	_, err := pool.Exec(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND query ILIKE 'LISTEN%'`)
	if err != nil {
		t.Fatal(err)
	}
	awaitWake(t, wake, "after reconnecting")
	makeTeam(t, s, "two")
	awaitWake(t, wake, "on a change after reconnecting")
}

func TestFollower_ServesAChangeFarSoonerThanItsPoll(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	f, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: s, Wake: listening(t, pool), Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for i := range 5 {
		changed := f.Changed()
		if _, _, err := s.CreateAgent(t.Context(), "admin", agentDraft(fmt.Sprintf("a%d", i))); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("the follower was not woken")
		}
	}
}

func TestSince_AfterVeryManyChangesStillTellsWhatIsGone(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	makeTeam(t, s, "home")
	gone, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("gone"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteAgent(t.Context(), "admin", gone.UID, func(registry.Agent) error { return nil }); err != nil {
		t.Fatal(err)
	}
	kept, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("kept"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = pool.Exec(t.Context(), `
		WITH moved AS (UPDATE configuration_revision SET revision = revision + 25000 RETURNING revision - 25000 AS base)
		INSERT INTO config_changes (revision, resource_kind, resource_uid, resource_name, verb, author)
		SELECT base + n, 'team', gen_random_uuid(), 'teams/x', 'update', 'test' FROM moved, generate_series(1, 25000) AS n`)
	if err != nil {
		t.Fatal(err)
	}
	delta, err := s.SinceKnown(t.Context(), before.Revision)
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := delta.Agents[gone.UID]; !ok || a != nil || delta.Agents[kept.UID] == nil || delta.Revision != before.Revision+25002 {
		t.Errorf("delta to revision %d with agents %v; want %d, the deleted one as gone, the other there", delta.Revision, delta.Agents, before.Revision+25002)
	}
}

func TestInTx_RunsAgainOnlyWhenOthersWereInTheWay(t *testing.T) {
	s := store.New(pgtest.New(t))
	for name, tc := range map[string]struct {
		fail error
		want int
	}{
		"serialization failure": {&pgconn.PgError{Code: "40001"}, 3},
		"deadlock":              {&pgconn.PgError{Code: "40P01"}, 3},
		"unique violation":      {&pgconn.PgError{Code: "23505"}, 1},
		"error of the domain":   {identity.ErrTeamNotFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			err := s.InTx(t.Context(), func(context.Context, pgx.Tx) error {
				if runs++; runs < 3 {
					return tc.fail
				}
				return nil
			})
			if runs != tc.want || (tc.want == 1) != errors.Is(err, tc.fail) {
				t.Errorf("ran %d times and ended with %v, want %d times", runs, err, tc.want)
			}
		})
	}
}

func TestStore_TellsAnUnreachableDatabaseFromOtherFaults(t *testing.T) {
	config, err := pgxpool.ParseConfig("host=127.0.0.1 port=1 user=nobody connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := store.New(pool)
	for name, call := range map[string]func() error{
		"read": func() error { _, err := s.Team(t.Context(), "x"); return err },
		"write": func() error {
			_, _, err := s.CreateTeam(t.Context(), "admin", identity.Team{UID: uuid.New()})
			return err
		},
		"list":  func() error { _, err := s.Agents(t.Context(), registry.Query{Limit: 1}); return err },
		"since": func() error { _, err := s.SinceKnown(t.Context(), 0); return err },
	} {
		if _, ok := errors.AsType[*store.UnavailableError](call()); !ok {
			t.Errorf("%s without a database: %v", name, call())
		}
	}
}

// A database that was set back and has gone on otherwise has another revision of the same
// number: what a replica knows of before must not be added to.
func TestSince_RefusesAnotherHistory(t *testing.T) {
	s := store.New(pgtest.New(t))
	home := makeTeam(t, s, "home")
	before, err := s.All(t.Context())
	if err != nil || before.Mark == "" {
		t.Fatalf("the mark is %q, %v", before.Mark, err)
	}
	if _, err := s.Since(t.Context(), before.Revision, before.Mark); err != nil {
		t.Errorf("the same history: %v", err)
	}
	makeTeam(t, s, "other")
	after, err := s.Since(t.Context(), before.Revision, before.Mark)
	if err != nil || after.Mark == before.Mark || after.Mark == "" {
		t.Errorf("the mark of the next revision is %q, %v", after.Mark, err)
	}
	for _, mark := range []string{"", after.Mark, home.UID.String()} {
		if _, err := s.Since(t.Context(), before.Revision, mark); !errors.Is(err, snapshot.ErrOtherHistory) {
			t.Errorf("mark %q: %v, want ErrOtherHistory", mark, err)
		}
	}
}
