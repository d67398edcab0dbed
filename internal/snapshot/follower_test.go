package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

var errAway = errors.New("the database is away")

// source is a configuration of one agent that is renamed at each revision.
type source struct {
	mu        sync.Mutex
	revision  int64
	err       error
	hang      bool          // answers nothing until the question's context ends
	delay     time.Duration // before every answer
	other     bool          // the agent has another uid
	questions int
	deltas    int
}

func (s *source) set(change func(s *source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *source) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.questions
}

func (s *source) state(revision int64) snapshot.Delta {
	agent := &registry.Agent{UID: uuid.UUID{1}, ID: name(revision), State: registry.StateApproved}
	if s.other {
		agent.UID = uuid.UUID{2}
	}
	return snapshot.Delta{Revision: revision, Mark: s.mark(), Agents: map[uuid.UUID]*registry.Agent{agent.UID: agent}}
}

// mark is another one once the database was set back.
func (s *source) mark() string {
	if s.other {
		return "another history"
	}
	return ""
}

func name(revision int64) string { return "agent-" + string(rune('a'+revision)) }

func (s *source) Revision(ctx context.Context) (int64, error) {
	s.mu.Lock()
	s.questions++
	revision, err, hang, delay := s.revision, s.err, s.hang, s.delay
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if delay > 0 {
		<-time.After(delay)
	}
	return revision, err
}

func (s *source) All(context.Context) (snapshot.Delta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state(s.revision), s.err
}

func (s *source) Since(_ context.Context, _ int64, mark string) (snapshot.Delta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mark != s.mark() {
		return snapshot.Delta{}, snapshot.ErrOtherHistory
	}
	s.deltas++
	return s.state(s.revision), s.err
}

// follow runs a Follower in the bubble of a test.
func follow(t *testing.T, cfg snapshot.Config) *snapshot.Follower {
	t.Helper()
	f, err := snapshot.NewFollower(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v after a regular stop", err)
		}
	})
	return f
}

// wantServed checks that a revision is served, and all of it.
func wantServed(t *testing.T, f *snapshot.Follower, revision int64) {
	t.Helper()
	s := f.Current()
	if s.Revision() != revision {
		t.Errorf("revision %d is served, want %d", s.Revision(), revision)
	}
	if _, ok := s.Agent(name(revision)); !ok || s.Agents() != 1 {
		t.Errorf("revision %d lacks its agent %s", revision, name(revision))
	}
}

func TestFollower_PollingAloneBringsEveryChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{revision: 1}
		f := follow(t, snapshot.Config{Source: src})
		wantServed(t, f, 1)
		changed := f.Changed()
		src.set(func(s *source) { s.revision = 2 })
		<-time.After(499 * time.Millisecond)
		synctest.Wait()
		wantServed(t, f, 1)
		select {
		case <-changed:
			t.Error("Changed is closed though nothing changed")
		default: // as it must be
		}
		<-time.After(2 * time.Millisecond)
		synctest.Wait()
		wantServed(t, f, 2)
		<-changed
		if _, ok := f.Current().Agent(name(1)); ok {
			t.Error("the agent's old name is still served")
		}
		// What did not change is not fetched again.
		<-time.After(5 * time.Second)
		synctest.Wait()
		if src.deltas != 1 {
			t.Errorf("the changes were fetched %d times, want once", src.deltas)
		}
	})
}

func TestFollower_AWakeMakesAChangeArriveBeforeThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, wake := &source{revision: 1}, make(chan struct{}, 1)
		f := follow(t, snapshot.Config{Source: src, Wake: wake, Poll: time.Hour})
		begin := time.Now()
		src.set(func(s *source) { s.revision = 2 })
		wake <- struct{}{}
		<-f.Changed()
		if took := time.Since(begin); took != 0 {
			t.Errorf("the change took %s", took)
		}
		wantServed(t, f, 2)
	})
}

// A database that was restored from a backup has an older revision than is served.
func TestFollower_ADatabaseThatWasSetBackIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{revision: 5}
		f := follow(t, snapshot.Config{Source: src})
		wantServed(t, f, 5)
		// What was made since the backup is in no list of changes.
		src.set(func(s *source) { s.revision, s.other = 2, true })
		<-f.Changed()
		wantServed(t, f, 2)
		if _, ok := f.Current().Agent(name(5)); ok {
			t.Error("an agent is served that the database does not have")
		}
	})
}

// It may have been written to since, so that its revision is not an older one when it is
// next looked at.
func TestFollower_ADatabaseThatWasSetBackAndWentOnIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{revision: 5}
		f := follow(t, snapshot.Config{Source: src})
		wantServed(t, f, 5)
		src.set(func(s *source) { s.revision, s.other = 7, true })
		<-f.Changed()
		wantServed(t, f, 7)
		if _, ok := f.Current().Agent(name(5)); ok {
			t.Error("an agent is served that the database does not have")
		}
	})
}

func TestFollower_SyncReturnsOnceTheRevisionIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{revision: 1}
		f := follow(t, snapshot.Config{Source: src, Poll: time.Minute})
		begin := time.Now()
		if err := f.Sync(t.Context(), 1); err != nil || src.asked() != 0 {
			t.Errorf("a revision that is served already: %v after %d questions", err, src.asked())
		}
		// One that was just written is fetched at once.
		src.set(func(s *source) { s.revision = 2 })
		if err := f.Sync(t.Context(), 2); err != nil || time.Since(begin) != 0 {
			t.Errorf("a new revision: %v after %s, want none and no wait", err, time.Since(begin))
		}
		wantServed(t, f, 2)

		// One that the database does not show yet is waited for, by any number.
		results := make(chan error, 10)
		for range cap(results) {
			go func() { results <- f.Sync(t.Context(), 4) }()
		}
		synctest.Wait()
		if len(results) > 0 {
			t.Fatal("Sync returned before the revision was there")
		}
		src.set(func(s *source) { s.revision = 3 })
		<-time.After(time.Minute + time.Second)
		synctest.Wait()
		if len(results) > 0 {
			t.Fatal("Sync returned at an older revision")
		}
		src.set(func(s *source) { s.revision = 5 })
		<-time.After(time.Minute)
		synctest.Wait()
		if len(results) != cap(results) {
			t.Fatalf("%d of %d waiters returned", len(results), cap(results))
		}
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestFollower_SyncEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{revision: 1, err: nil}
		f := follow(t, snapshot.Config{Source: src})
		src.set(func(s *source) { s.err = errAway })
		cause := errors.New("the caller left")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error, 1)
		go func() { result <- f.Sync(ctx, 9) }()
		<-time.After(3 * time.Second)
		synctest.Wait()
		if len(result) > 0 {
			t.Fatalf("Sync returned %v while it could wait", <-result)
		}
		cancel(cause)
		if err := <-result; !errors.Is(err, cause) {
			t.Errorf("Sync returned %v, want the context's cause", err)
		}
	})
}

func TestFollower_AnOutageKeepsServingAndTheAgeGrows(t *testing.T) {
	for _, outage := range []struct {
		name string
		set  func(s *source)
	}{
		{"errors", func(s *source) { s.err = errAway }},
		{"silence", func(s *source) { s.hang = true }},
	} {
		t.Run(outage.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				src := &source{revision: 1}
				f := follow(t, snapshot.Config{
					Source: src, Poll: time.Second, Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				<-time.After(10*time.Second + time.Millisecond)
				synctest.Wait()
				if age := f.Age(); age != time.Millisecond {
					t.Errorf("the age is %s a millisecond after a poll", age)
				}
				served := f.Current()
				src.set(outage.set)
				asked := src.asked()
				<-time.After(time.Minute)
				synctest.Wait()
				if f.Current() != served {
					t.Error("another snapshot is served during the outage")
				}
				wantServed(t, f, 1)
				if age := f.Age(); age != time.Minute+time.Millisecond {
					t.Errorf("the age is %s a minute after the last confirmation", age)
				}
				if n := src.asked() - asked; n < 15 {
					t.Errorf("only %d questions in a minute of outage", n)
				}
				src.set(func(s *source) { s.err, s.hang, s.revision = nil, false, 2 })
				<-time.After(4 * time.Second)
				synctest.Wait()
				wantServed(t, f, 2)
				if age := f.Age(); age > time.Second {
					t.Errorf("the age is %s after the outage", age)
				}
				if w, i := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); w != 1 || i != 1 {
					t.Errorf("%d warnings and %d notices of one outage, want one each:\n%s", w, i, log.String())
				}
			})
		})
	}
}

// What the database said long ago is not news when it arrives.
func TestFollower_TheAgeCountsFromTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{revision: 1, delay: 3 * time.Second}
		f := follow(t, snapshot.Config{Source: src, Poll: 10 * time.Second})
		<-time.After(13 * time.Second)
		synctest.Wait()
		if age := f.Age(); age != 3*time.Second {
			t.Errorf("the age is %s after an answer that took 3s", age)
		}
	})
}

func TestNewFollower_SaysWhatIsMissing(t *testing.T) {
	if _, err := snapshot.NewFollower(t.Context(), snapshot.Config{}); err == nil || !strings.Contains(err.Error(), "Source") {
		t.Errorf("without a source: %v", err)
	}
	_, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: &source{err: errAway}})
	if !errors.Is(err, errAway) {
		t.Errorf("without a database: %v", err)
	}
}

// fixed is a source that never changes.
type fixed struct{ all snapshot.Delta }

func (f fixed) Revision(context.Context) (int64, error) { return f.all.Revision, nil }

func (f fixed) All(context.Context) (snapshot.Delta, error) { return f.all, nil }

func (f fixed) Since(_ context.Context, _ int64, _ string) (snapshot.Delta, error) { return f.all, nil }

func TestAuthenticate_TellsWhoCallsOrWhyNot(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	secret := func(text string, expires time.Time) identity.Secret {
		return identity.Secret{SHA256: identity.HashSecret(text), ExpireTime: expires}
	}
	key := func(id string, change func(k *identity.Key), secrets ...identity.Secret) *identity.Key {
		k := &identity.Key{UID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)), Team: "blue", ID: id, Secrets: secrets}
		if change != nil {
			change(k)
		}
		return k
	}
	keys := map[uuid.UUID]*identity.Key{}
	for _, k := range []*identity.Key{
		key("plain", nil, secret("plain", time.Time{})),
		key("disabled", func(k *identity.Key) { k.Disabled = true }, secret("disabled", time.Time{})),
		key("ending", func(k *identity.Key) { k.ExpireTime = now.Add(time.Nanosecond) }, secret("ending", time.Time{})),
		key("ended", func(k *identity.Key) { k.ExpireTime = now }, secret("ended", time.Time{})),
		key("both", func(k *identity.Key) { k.Disabled, k.ExpireTime = true, now }, secret("both", time.Time{})),
		key("rotated", nil, secret("new", time.Time{}), secret("old", now.Add(time.Nanosecond)), secret("older", now)),
		key("short", func(k *identity.Key) { k.ExpireTime = now }, secret("short", time.Time{}), secret("short-old", now.Add(time.Hour))),
	} {
		keys[k.UID] = k
	}
	given := identity.HashSecret("the admin key of the environment")
	f, err := snapshot.NewFollower(t.Context(), snapshot.Config{AdminSecret: &given, Source: fixed{snapshot.Delta{
		Revision: 1, Keys: keys, Admins: [][32]byte{identity.HashSecret("the admin key of the database")},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		secret, want string
		err          error
	}{
		{"plain", "plain", nil},
		{"ending", "ending", nil},
		{"new", "rotated", nil},
		{"old", "rotated", nil},
		{"disabled", "", identity.ErrKeyDisabled},
		{"both", "", identity.ErrKeyDisabled},
		{"ended", "", identity.ErrKeyExpired},
		{"older", "", identity.ErrKeyExpired},
		{"short", "", identity.ErrKeyExpired},
		{"short-old", "", identity.ErrKeyExpired},
		{"nobody's", "", identity.ErrCredentialsInvalid},
		{"", "", identity.ErrCredentialsInvalid},
		{"PLAIN", "", identity.ErrCredentialsInvalid},
	} {
		got, err := f.Current().Authenticate(tt.secret, now)
		want := identity.Principal{}
		if tt.want != "" {
			want = key(tt.want, nil).Principal()
		}
		if got != want || !errors.Is(err, tt.err) {
			t.Errorf("%q is %+v, %v; want %+v, %v", tt.secret, got, err, want, tt.err)
		}
	}
	own, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{snapshot.Delta{
		Revision: 1, Admins: [][32]byte{identity.HashSecret("the admin key of the database")},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := own.Current().Authenticate("the admin key of the database", now); err != nil || got != identity.Admin() {
		t.Errorf("the admin key of the database, alone, is %+v, %v", got, err)
	}
	if got, err := f.Current().Authenticate("the admin key of the environment", now); err != nil || got != identity.Admin() {
		t.Errorf("the admin key of the environment is %+v, %v", got, err)
	}
	if got, err := f.Current().Authenticate("the admin key of the database", now); !errors.Is(err, identity.ErrCredentialsInvalid) {
		t.Errorf("the admin key of the database works beside that of the environment: %+v", got)
	}
}
