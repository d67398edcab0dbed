package signkey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/signkey/signkeytest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func TestOpenKeys_ReplicasThatStartTogetherHaveOneKey(t *testing.T) {
	s := store.New(pgtest.New(t))
	sets := make([]string, 8)
	var wg sync.WaitGroup
	for i := range sets {
		wg.Go(func() {
			k, err := signkey.Open(t.Context(), signkey.Config{Purpose: purpose(), Store: s, Seal: ring(t, "one")})
			if err != nil {
				t.Error(err)
				return
			}
			sets[i] = string(k.JWKS())
		})
	}
	wg.Wait()
	slices.Sort(sets)
	if sets = slices.Compact(sets); len(sets) != 1 || len(kids(t, []byte(sets[0]))) != 1 {
		t.Fatalf("key sets %q, want one with one key", sets)
	}
	// The next start finds it again.
	if again := openKeys(t, signkey.Config{Store: s}); string(again.JWKS()) != sets[0] {
		t.Errorf("key set %s at the next start, want %s", again.JWKS(), sets[0])
	}
}

func TestRotate_TheNewKeyIsPublishedBeforeItSignsAndTheOldOneAfter(t *testing.T) {
	s, clock := store.New(pgtest.New(t)), newTimepiece()
	open := func() *signkey.Keys { return openKeys(t, signkey.Config{Store: s, Clock: clock}) }
	keys := open()
	first := signed(t, keys)
	before := kids(t, keys.JWKS())[0]

	after, err := keys.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name      string
		advance   time.Duration
		signing   string
		published []string
	}{
		{"at once", 0, before, []string{after, before}},
		{"just before it signs", publishTime - time.Millisecond, before, []string{after, before}},
		{"when it signs", time.Millisecond, after, []string{after, before}},
		{"just before the old one retires", keepTime - time.Millisecond, after, []string{after, before}},
		{"when the old one is retired", time.Millisecond, after, []string{after}},
	} {
		clock.advance(step.advance)
		// A replica that starts now sees what one that was there all the time does.
		fresh := open()
		if diff := cmp.Diff(step.published, kids(t, fresh.JWKS())); diff != "" {
			t.Errorf("%s: published (-want +got)\n%s", step.name, diff)
		}
		for _, k := range []*signkey.Keys{keys, fresh} {
			if got := signedBy(t, signed(t, k), keys.JWKS()); got != step.signing {
				t.Errorf("%s: %s signed, want %s", step.name, got, step.signing)
			}
		}
	}
	if got := signedBy(t, first, open().JWKS()); got != "" {
		t.Errorf("the signature of a retired key verifies with %s", got)
	}
}

func TestRotate_RetiredKeysAreForgotten(t *testing.T) {
	pool, clock := pgtest.New(t), newTimepiece()
	keys := openKeys(t, signkey.Config{Store: store.New(pool), Clock: clock})
	for range 3 {
		if _, err := keys.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock.advance(publishTime + keepTime)
	}
	var n int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM signing_keys").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d keys stored, %v, want the newest and the one that was retired since", n, err)
	}
}

func TestRotate_AtTheSameTimeThereIsOneNewest(t *testing.T) {
	pool := pgtest.New(t)
	s, clock := store.New(pool), newTimepiece()
	var replicas []*signkey.Keys
	for range 4 {
		replicas = append(replicas, openKeys(t, signkey.Config{Store: s, Clock: clock}))
	}
	first := kids(t, replicas[0].JWKS())[0]
	var wg sync.WaitGroup
	for _, k := range replicas {
		wg.Go(func() {
			if kid, err := k.Rotate(t.Context()); err != nil || kid == "" || kid == first {
				t.Errorf("rotated to %q, %v", kid, err)
			}
		})
	}
	wg.Wait()
	var newest int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM signing_keys WHERE retire_time IS NULL").Scan(&newest); err != nil || newest != 1 {
		t.Errorf("%d newest keys, %v, want 1", newest, err)
	}
}

func TestRun_LearnsOfRotationsAndBridgesOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &flaky{Store: &signkeytest.Memory{}}
		var log bytes.Buffer
		other := openKeys(t, signkey.Config{Store: shared.Store})
		keys := openKeys(t, signkey.Config{Store: shared, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := keys.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		passes := func(d time.Duration) {
			timer := time.NewTimer(d)
			<-timer.C
			synctest.Wait()
		}
		first := kids(t, keys.JWKS())[0]

		shared.away.Store(true)
		second, err := other.Rotate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		passes(5*time.Minute + time.Second)
		if diff := cmp.Diff([]string{first}, kids(t, keys.JWKS())); diff != "" {
			t.Errorf("published in an outage (-want +got)\n%s", diff)
		}
		signed(t, keys)
		shared.away.Store(false)
		passes(time.Minute)
		if diff := cmp.Diff([]string{second, first}, kids(t, keys.JWKS())); diff != "" {
			t.Errorf("published after it (-want +got)\n%s", diff)
		}
		cancel()
		wg.Wait()
		if warn, info := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); warn != 1 || info != 1 {
			t.Errorf("logged %s, want one line for the outage and one for its end", &log)
		}
	})
}

func TestOpenKeys_AReplicaWithAnotherKeyEncryptionKeySaysSo(t *testing.T) {
	s := store.New(pgtest.New(t))
	openKeys(t, signkey.Config{Store: s, Seal: ring(t, "one")})
	_, err := signkey.Open(t.Context(), signkey.Config{Purpose: purpose(), Store: s, Seal: ring(t, "two")})
	unknown, ok := errors.AsType[*seal.UnknownKeyError](err)
	if !ok || unknown.SealedWith != ring(t, "one").ID() || unknown.Have[0] != ring(t, "two").ID() {
		t.Errorf("got %v, want both keys named", err)
	}
}

func TestOpenKeys_ANewKeyEncryptionKeyTakesOver(t *testing.T) {
	s := store.New(pgtest.New(t))
	first := openKeys(t, signkey.Config{Store: s, Seal: ring(t, "old")})
	both := openKeys(t, signkey.Config{Store: s, Seal: ring(t, "new", "old")})
	alone := openKeys(t, signkey.Config{Store: s, Seal: ring(t, "new")})
	for _, k := range []*signkey.Keys{both, alone} {
		if !bytes.Equal(k.JWKS(), first.JWKS()) {
			t.Errorf("key set %s, want %s", k.JWKS(), first.JWKS())
		}
	}
	if _, err := signkey.Open(t.Context(), signkey.Config{Purpose: purpose(), Store: s, Seal: ring(t, "old")}); err == nil {
		t.Error("the old key still unseals")
	}
}

// A replica that was not given the new key-encryption key yet goes on with what it has.
func TestRun_AKeyThatCannotBeUnsealedLeavesTheOthers(t *testing.T) {
	shared := &signkeytest.Memory{}
	var log bytes.Buffer
	keys := openKeys(t, signkey.Config{Store: shared, Seal: ring(t, "old")})
	first := kids(t, keys.JWKS())[0]
	// The rotation comes from a replica that seals with the new one.
	moved := openKeys(t, signkey.Config{Store: &noReseal{shared}, Seal: ring(t, "new", "old")})
	if _, err := moved.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	late, err := signkey.Open(t.Context(), signkey.Config{
		Purpose: purpose(), Store: shared, Seal: ring(t, "old"), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{first}, kids(t, late.JWKS())); diff != "" {
		t.Errorf("published (-want +got)\n%s", diff)
	}
	if strings.Count(log.String(), "level=ERROR") != 1 || !strings.Contains(log.String(), ring(t, "new").ID()) {
		t.Errorf("logged %s, want the missing key", &log)
	}
	if kid, err := late.Rotate(t.Context()); err == nil {
		t.Errorf("rotated to %s past a key that it cannot unseal", kid)
	}
}

type noReseal struct{ signkey.Store }

func (noReseal) ResealSigningKey(context.Context, string, string, seal.Sealed) error { return nil }

func TestKeys_WhoWritesToTheDatabaseGetsNoKeyPublished(t *testing.T) {
	pool := pgtest.New(t)
	s := store.New(pool)
	keys := openKeys(t, signkey.Config{Store: s})
	stored, err := s.SigningKeys(t.Context(), purpose().Name, time.Time{})
	if err != nil || len(stored) != 1 {
		t.Fatalf("%v, %v", stored, err)
	}
	for name, sql := range map[string]string{
		"another public key": `UPDATE signing_keys SET public_jwk = '{"kty":"EC","crv":"P-256","x":"eA","y":"eQ","kid":"evil"}'`,
		"a key of their own": `INSERT INTO signing_keys SELECT 'evil', purpose, '{}', sealed_private_key, kek_id, create_time, sign_time, '3000-01-01' FROM signing_keys`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := openKeys(t, signkey.Config{Store: s}); !bytes.Equal(again.JWKS(), keys.JWKS()) {
			t.Errorf("%s: published %s, want %s", name, again.JWKS(), keys.JWKS())
		}
	}
}

func TestHandler_ServesPublicKeysAlone(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	srv := httptest.NewServer(signkey.Handler(keys))
	defer srv.Close()
	call := func(method, etag string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/.well-known/jwks.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp, body.Bytes()
	}
	resp, body := call(http.MethodGet, "")
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, keys.JWKS()) {
		t.Errorf("%s %s", resp.Status, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	key := set.Keys[0]
	for _, member := range []string{"x", "y", "kid"} {
		if len(key[member]) != 43 {
			t.Errorf("%s is %q", member, key[member])
		}
		delete(key, member)
	}
	if diff := cmp.Diff(map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}, key); diff != "" {
		t.Errorf("the other members (-want +got)\n%s", diff)
	}
	etag := resp.Header.Get("ETag")
	if resp, body := call(http.MethodGet, etag); resp.StatusCode != http.StatusNotModified || len(body) > 0 || etag == "" {
		t.Errorf("with the entity tag %s: %s %q", etag, resp.Status, body)
	}
	if resp, body := call(http.MethodHead, ""); resp.StatusCode != http.StatusOK || len(body) > 0 || resp.Header.Get("ETag") != etag {
		t.Errorf("HEAD: %s %q", resp.Status, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if resp, _ := call(method, ""); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, allowed %q", method, resp.Status, resp.Header.Get("Allow"))
		}
	}
}
