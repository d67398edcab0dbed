package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// The teams and agents of a replay's record; each team has a key and may call each agent.
const (
	replayTeams  = 20
	replayAgents = 100
)

// recordedCalls fills a database with a configuration and n calls, one every second, and
// returns a service that replays them.
func recordedCalls(tb testing.TB, n int) (*admin.Service, time.Time) {
	tb.Helper()
	pool := pgtest.New(tb)
	s := store.New(pool)
	ctx := tb.Context()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range replayTeams {
		id := fmt.Sprintf("team-%d", i)
		_, _, err := s.CreateTeam(ctx, "admin", identity.Team{UID: uuid.New(), ID: id, CreateTime: now, UpdateTime: now})
		check(err)
		k := keyDraft("k")
		k.Team = id
		_, _, err = s.CreateKey(ctx, "admin", k)
		check(err)
	}
	for i := range replayAgents {
		a := agentDraft(fmt.Sprintf("agent-%d", i))
		a.Team, a.Visibility, a.Tags = fmt.Sprintf("team-%d", i%replayTeams), registry.VisibilityOrganization, []string{fmt.Sprintf("tag-%d", i%7)}
		_, _, err := s.CreateAgent(ctx, "admin", a)
		check(err)
	}
	begin := now.Add(-time.Duration(n) * time.Second)
	fillCalls(tb, pool, n, begin)
	var secret [32]byte
	follower, err := snapshot.NewFollower(ctx, snapshot.Config{Source: s, AdminSecret: &secret})
	check(err)
	service, err := admin.New(admin.Config{Store: s, Decisions: store.NewEvents(pool), Snapshot: follower.Current, Sync: follower.Sync})
	check(err)
	return service, begin
}

// fillCalls writes calls as replicas of today write them.
func fillCalls(tb testing.TB, pool *pgxpool.Pool, n int, begin time.Time) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), `INSERT INTO events
		(event_sequence, ingest_time, invocation_id, event_time, event_count, outcome, method, agent, agent_uid, caller, caller_uid, team,
			task_id, context_id, trace_id, upstream_dialect, plane, resource, replica_uid, replica_epoch, opened_number, closed_number,
			opened_entry, closed_entry)
		SELECT n, at, id, at, 1, 'SUCCEEDED', 'SendMessage', agent, NULL, 'teams/' || team || '/keys/k', NULL, team, '', '', '', 'JSONRPC/1.0',
			'DATA', '', gen_random_uuid(), 1, n, NULL,
			convert_to(format('{"v":1,"kind":"opened","invocation":"%s","time":"%s","caller":"teams/%s/keys/k","team":"%s","source_address":"192.0.2.1","user_agent":"a-client/1.0","agent":"%s","method":"SendMessage","dialect":"JSONRPC/1.0","upstream_dialect":"JSONRPC/1.0","request_id":"1","message_id":"%s","trace_id":"0af7651916cd43dd8448eb211c80319c","request_bytes":512,"endpoint":"http://192.0.2.9:8000/","decision":{"permitted":true,"revision":%s,"principal":"key:teams/%s/keys/k","action":"SendMessage","resource":"agent:%s","rules":["visible-agent"],"context":{"method":"SendMessage","dialect":"JSONRPC/1.0","sourceAddress":"192.0.2.1"}}}',
				id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), team, team, agent, id, revision, team, agent), 'UTF8'), NULL
		FROM generate_series(1, $1::int) AS n,
			LATERAL (SELECT $2::timestamptz + interval '1 s' * n AS at, gen_random_uuid() AS id, 'team-' || n % $3::int AS team,
				'agent-' || (n / $3::int) % $4::int AS agent, (SELECT revision FROM configuration_revision) AS revision) AS call`,
		n, begin.Truncate(time.Second), replayTeams, replayAgents)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := pool.Exec(tb.Context(), "UPDATE event_head SET last_sequence = $1", n); err != nil {
		tb.Fatal(err)
	}
}

// office forbids a part of the calls, by what does and what does not depend on the time.
const office = `
forbid (principal in Signalbox::Team::"team-3", action in Signalbox::Action::"invoke", resource in Signalbox::Tag::"tag-2");
forbid (principal in Signalbox::Team::"team-4", action in Signalbox::Action::"invoke", resource) when { context.hour == 3 };
forbid (principal, action, resource is Signalbox::Agent) when { context has sourceAddress && context.sourceAddress.isInRange(ip("198.51.100.0/24")) };`

func draftOf(text string) admin.ReplayRequest {
	return admin.ReplayRequest{Draft: &admin.Trial{Text: text}, Scope: audit.AllTeams()}
}

func TestReplay_ReadsTheWholeRecordInParts(t *testing.T) {
	const n = 20_000
	service, begin := recordedCalls(t, n)
	by := identity.Admin()
	r, err := service.Replay(t.Context(), &by, draftOf(office), func(admin.Progress) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if r.Replayed != n || r.NewlyDenied == 0 || r.NewlyAllowed != 0 || r.NotReplayable != 0 {
		t.Errorf("replay %+v", r)
	}
	half := draftOf(office)
	half.Since, half.Until = begin.Add(n/4*time.Second), begin.Add(n/2*time.Second)
	r, err = service.Replay(t.Context(), &by, half, func(admin.Progress) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if r.Replayed != n/4 {
		t.Errorf("%d replayed of a quarter of %d", r.Replayed, n)
	}
	half.Scope = audit.Teams("team-3")
	if r, err = service.Replay(t.Context(), &by, half, nil); err != nil || r.Replayed != n/4/replayTeams {
		t.Errorf("%d replayed of one team: %v", r.Replayed, err)
	}
}

func TestReplay_EndsWithItsCallerAndOnlySoManyAtATime(t *testing.T) {
	service, _ := recordedCalls(t, 100)
	by := identity.Admin()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := service.Replay(ctx, &by, draftOf(office), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who left: %v", err)
	}
	// What is refused or ends with an error gives its place back.
	for range 2 * admin.DefaultMaxReplays {
		bad := draftOf("permit")
		var mistakes *policy.MistakesError
		if _, err := service.Replay(t.Context(), &by, bad, nil); !errors.As(err, &mistakes) {
			t.Fatalf("a text with mistakes: %v", err)
		}
	}
	if _, err := service.Replay(t.Context(), &by, draftOf(office), nil); err != nil {
		t.Error(err)
	}
}

// BenchmarkReplay replays a million recorded decisions, from the database to the report.
func BenchmarkReplay(b *testing.B) {
	n := 1_000_000
	if os.Getenv("SIGNALBOX_NIGHTLY") == "" && testing.Short() {
		n = 50_000
	}
	service, _ := recordedCalls(b, n)
	by := identity.Admin()
	b.ReportAllocs()
	for b.Loop() {
		r, err := service.Replay(b.Context(), &by, draftOf(office), func(admin.Progress) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		if r.Replayed != int64(n) || r.NewlyDenied == 0 {
			b.Fatalf("replay %+v", r)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/decision")
}
