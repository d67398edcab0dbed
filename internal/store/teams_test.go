package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func disable(t *testing.T, s *store.Store, key uuid.UUID) {
	t.Helper()
	_, _, err := s.UpdateKey(t.Context(), "admin", key, func(k *identity.Key) (bool, error) {
		k.Disabled = true
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeleteTeam_TakesDisabledKeysAlongAndReplicasLearnOfEach(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	team := makeTeam(t, s, "home")
	var keys []uuid.UUID
	for _, id := range []string{"one", "two"} {
		k, _, err := s.CreateKey(t.Context(), "admin", keyDraft(id))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k.UID)
	}
	agent, _, err := s.CreateAgent(t.Context(), "admin", agentDraft("echo"))
	if err != nil {
		t.Fatal(err)
	}
	remove := func() (int64, error) {
		return s.DeleteTeam(t.Context(), "admin", team.UID, func(identity.Team) error { return nil })
	}
	disable(t, s, keys[0])
	disable(t, s, keys[1])
	if _, err := remove(); !errors.Is(err, identity.ErrTeamNotEmpty) {
		t.Fatalf("deleting a team with an agent: %v", err)
	}
	if _, err := s.DeleteAgent(t.Context(), "admin", agent.UID, func(registry.Agent) error { return nil }); err != nil {
		t.Fatal(err)
	}
	enabled, _, err := s.CreateKey(t.Context(), "admin", keyDraft("three"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remove(); !errors.Is(err, identity.ErrTeamNotEmpty) {
		t.Fatalf("deleting a team with an enabled key: %v", err)
	}
	disable(t, s, enabled.UID)
	before, err := s.All(t.Context())
	if err != nil || len(before.Keys) != 3 {
		t.Fatalf("%d keys, %v; want all three to have stayed", len(before.Keys), err)
	}

	revision, err := remove()
	if err != nil || revision != before.Revision+4 {
		t.Fatalf("deleted at revision %d, %v; want one for the team and one for each key after %d", revision, err, before.Revision)
	}
	delta, err := s.SinceKnown(t.Context(), before.Revision)
	if err != nil {
		t.Fatal(err)
	}
	want := map[uuid.UUID]*identity.Key{keys[0]: nil, keys[1]: nil, enabled.UID: nil}
	if diff := cmp.Diff(want, delta.Keys); diff != "" || delta.Revision != revision {
		t.Errorf("replicas at revision %d learn (-want +got):\n%s", delta.Revision, diff)
	}
	var gaps, secrets int
	err = pool.QueryRow(t.Context(), `
		SELECT (SELECT revision FROM configuration_revision) - count(*), (SELECT count(*) FROM key_secrets)
		FROM config_changes`).Scan(&gaps, &secrets)
	if err != nil || gaps != 0 || secrets != 0 {
		t.Errorf("history lacks %d revisions, %d secrets are left: %v", gaps, secrets, err)
	}
	if _, err := remove(); !errors.Is(err, identity.ErrTeamNotFound) {
		t.Errorf("deleting it again: %v", err)
	}
}

func TestCreateTeam_NeverGivesAnIDOutTwice(t *testing.T) {
	s := store.New(pgtest.New(t))
	team := makeTeam(t, s, "home")
	again := identity.Team{UID: uuid.New(), ID: "home", CreateTime: time.Now(), UpdateTime: time.Now()}
	if _, _, err := s.CreateTeam(t.Context(), "admin", again); !errors.Is(err, identity.ErrTeamExists) {
		t.Errorf("an id that is taken: %v", err)
	}
	if _, err := s.DeleteTeam(t.Context(), "admin", team.UID, func(identity.Team) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateTeam(t.Context(), "admin", again); !errors.Is(err, identity.ErrTeamIDUsed) {
		t.Errorf("an id that was used before: %v", err)
	}
	if _, err := s.Team(t.Context(), "home"); !errors.Is(err, identity.ErrTeamNotFound) {
		t.Errorf("the team is there again: %v", err)
	}
	makeTeam(t, s, "home-2")
}

// failures counts the statements that Postgres refused, each of which is in its log.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (*failures) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (f *failures) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if data.Err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.errs = append(f.errs, data.Err)
	}
}

func TestCreate_OfWhatExistsIsNoErrorOfPostgres(t *testing.T) {
	config := pgtest.New(t).Config()
	seen := &failures{}
	config.ConnConfig.Tracer = seen
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := store.New(pool)
	team := makeTeam(t, s, "home")
	if _, _, err := s.CreateKey(t.Context(), "admin", keyDraft("laptop")); err != nil {
		t.Fatal(err)
	}
	again := identity.Team{UID: uuid.New(), ID: "home", CreateTime: time.Now(), UpdateTime: time.Now()}
	if _, _, err := s.CreateTeam(t.Context(), "admin", again); !errors.Is(err, identity.ErrTeamExists) {
		t.Errorf("a team that exists: %v", err)
	}
	if _, _, err := s.CreateKey(t.Context(), "admin", keyDraft("laptop")); !errors.Is(err, identity.ErrKeyExists) {
		t.Errorf("a key that exists: %v", err)
	}
	if _, err := s.DeleteTeam(t.Context(), "admin", team.UID, func(identity.Team) error { return nil }); !errors.Is(err, identity.ErrTeamNotEmpty) {
		t.Errorf("deleting a team that is not empty: %v", err)
	}
	if len(seen.errs) != 0 {
		t.Errorf("Postgres refused %v", seen.errs)
	}
}
