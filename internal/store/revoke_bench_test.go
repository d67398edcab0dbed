package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// fill makes n agents and n keys without a history, as one long past has none that
// matters.
func fill(tb testing.TB, pool *pgxpool.Pool, n int) {
	tb.Helper()
	for _, sql := range []string{
		`INSERT INTO teams (uid, team_id, display_name, etag) VALUES (gen_random_uuid(), 'many', '', '')`,
		`INSERT INTO agents (uid, agent_id, team_uid, display_name, description, visibility, lifecycle_state, push_mode, current_revision, etag)
		SELECT gen_random_uuid(), 'many-' || i, (SELECT uid FROM teams WHERE team_id = 'many'), '', '', 'TEAM', 'APPROVED', 'OFF', 1, ''
		FROM generate_series(1, $1::int) i`,
		`INSERT INTO agent_names (agent_name, agent_uid, alias) SELECT agent_id, uid, false FROM agents`,
		`INSERT INTO agent_revisions (agent_uid, revision, card, card_source, endpoints)
		SELECT uid, 1, '', 'INLINE', '[{"url":"http://127.0.0.1:9","weight":1}]' FROM agents`,
		`INSERT INTO keys (uid, team_uid, key_id, display_name, secret_hint, etag)
		SELECT gen_random_uuid(), (SELECT uid FROM teams WHERE team_id = 'many'), 'many-' || i, '', '', '' FROM generate_series(1, $1::int) i`,
		`INSERT INTO key_secrets (secret_sha256, key_uid) SELECT sha256(uid::text::bytea), uid FROM keys`,
		`ANALYZE`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = []any{n}
		}
		if _, err := pool.Exec(tb.Context(), sql, args...); err != nil {
			tb.Fatal(err)
		}
	}
}

// changes alternates an agent between suspended and resumed, and a key between disabled
// and enabled. Each returns the revision that it made.
func changes(tb testing.TB, pool *pgxpool.Pool) (agent, key func() int64) {
	tb.Helper()
	s := store.New(pool)
	a, err := s.Agent(tb.Context(), "many-7")
	if err != nil {
		tb.Fatal(err)
	}
	k, err := s.Key(tb.Context(), "many", "many-7")
	if err != nil {
		tb.Fatal(err)
	}
	agent = func() int64 {
		_, revision, err := s.SetAgentState(tb.Context(), "admin", "", a.UID, func(a *registry.Agent) (bool, error) {
			if a.State == registry.StateSuspended {
				a.State, a.Suspension = a.Suspension.From, registry.Suspension{}
			} else {
				a.State, a.Suspension = registry.StateSuspended, registry.Suspension{From: a.State, Time: time.Now()}
			}
			return true, nil
		})
		if err != nil {
			tb.Fatal(err)
		}
		return revision
	}
	key = func() int64 {
		_, revision, err := s.UpdateKey(tb.Context(), "admin", k.UID, func(k *identity.Key) (bool, error) {
			k.Disabled = !k.Disabled
			return true, nil
		})
		if err != nil {
			tb.Fatal(err)
		}
		return revision
	}
	return agent, key
}

// A change costs its own size: what replicas read of it is one row of one table.
func TestSince_OfASuspensionIsOneAgentAndOfADisabledKeyOneKey(t *testing.T) {
	pool := pgtest.New(t)
	fill(t, pool, 50)
	agent, key := changes(t, pool)
	for _, tt := range []struct {
		change       func() int64
		agents, keys int
	}{{agent, 1, 0}, {key, 0, 1}, {agent, 1, 0}} {
		d := since(t, pool, tt.change()-1)
		if len(d.Agents) != tt.agents || len(d.Keys) != tt.keys || d.Admins != nil {
			t.Errorf("the change reads %d agents, %d keys, %d admin keys; want %d, %d, none", len(d.Agents), len(d.Keys), len(d.Admins), tt.agents, tt.keys)
		}
	}
}

func since(tb testing.TB, pool *pgxpool.Pool, revision int64) snapshot.Delta {
	tb.Helper()
	d, err := store.New(pool).SinceKnown(tb.Context(), revision)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// BenchmarkRevoke writes a change, and reads it as a replica does, among 100 000 agents
// and keys.
func BenchmarkRevoke(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"of 100", 100}, {"of 100000", 100_000}} {
		pool := pgtest.New(b)
		fill(b, pool, size.n)
		agent, key := changes(b, pool)
		for name, change := range map[string]func() int64{"agent": agent, "key": key} {
			b.Run(name+" "+size.name, func(b *testing.B) {
				for b.Loop() {
					if d := since(b, pool, change()-1); len(d.Agents)+len(d.Keys) != 1 {
						b.Fatalf("the change reads %d agents and %d keys", len(d.Agents), len(d.Keys))
					}
				}
			})
		}
	}
}
