package identity_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func TestEnsureAdminKey_MadeOnceAndFoundAgain(t *testing.T) {
	s := store.New(pgtest.New(t))
	path := filepath.Join(t.TempDir(), "admin.key")
	made, err := identity.EnsureAdminKey(t.Context(), s, path, "", nil)
	if err != nil || !made.Made || !strings.HasPrefix(made.Secret, identity.SecretPrefix) || made.Given != nil {
		t.Fatalf("first start: %+v, %v", made, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v; want mode 0600", info, err)
	}
	again, err := identity.EnsureAdminKey(t.Context(), s, path, "", nil)
	if err != nil || again.Made || again.Secret != made.Secret {
		t.Errorf("second start: %+v, %v; want the same secret", again, err)
	}
	hashes, err := s.AdminKeys(t.Context())
	if err != nil || len(hashes) != 1 || hashes[0] != identity.HashSecret(made.Secret) {
		t.Errorf("stored %d hashes, %v; want that of the secret alone", len(hashes), err)
	}

	elsewhere := filepath.Join(t.TempDir(), "admin.key")
	other, err := identity.EnsureAdminKey(t.Context(), s, elsewhere, "", nil)
	if err != nil || other.Secret != "" || other.Made {
		t.Errorf("another replica: %+v, %v; want no secret", other, err)
	}
	if _, err := os.Stat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another replica left a key file: %v", err)
	}

	// A file that came with the data directory works on a new database too.
	fresh := store.New(pgtest.New(t))
	if moved, err := identity.EnsureAdminKey(t.Context(), fresh, path, "", nil); err != nil || moved.Secret != made.Secret {
		t.Errorf("on a new database: %+v, %v", moved, err)
	}
	if hashes, err := fresh.AdminKeys(t.Context()); err != nil || len(hashes) != 1 {
		t.Errorf("a new database knows %d hashes, %v; want 1", len(hashes), err)
	}
}

func TestEnsureAdminKey_ANewFileRevokesTheKeyBefore(t *testing.T) {
	s := store.New(pgtest.New(t))
	path := filepath.Join(t.TempDir(), "admin.key")
	if _, err := identity.EnsureAdminKey(t.Context(), s, path, "", nil); err != nil {
		t.Fatal(err)
	}
	secret, hash, _ := identity.NewSecret()
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for start, warns := range []bool{true, false} {
		log.Reset()
		got, err := identity.EnsureAdminKey(t.Context(), s, path, "", slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || got.Secret != secret {
			t.Errorf("start %d: %+v, %v", start, got, err)
		}
		if hashes, err := s.AdminKeys(t.Context()); err != nil || !slices.Equal(hashes, [][32]byte{hash}) {
			t.Errorf("start %d: %d keys are known, %v; want that of the file alone", start, len(hashes), err)
		}
		if warned := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "removed=1"); warned != warns {
			t.Errorf("start %d logged %q, want a warning: %t", start, log.String(), warns)
		}
	}
}

func TestEnsureAdminKey_ManyReplicasStartTogether(t *testing.T) {
	s := store.New(pgtest.New(t))
	results := make([]identity.AdminKey, 6)
	paths := make([]string, len(results))
	var replicas sync.WaitGroup
	for i := range results {
		paths[i] = filepath.Join(t.TempDir(), "admin.key")
		replicas.Go(func() {
			var err error
			if results[i], err = identity.EnsureAdminKey(t.Context(), s, paths[i], "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	replicas.Wait()
	made := 0
	for i, r := range results {
		_, err := os.Stat(paths[i])
		if r.Made {
			made++
		}
		if r.Made != (err == nil) {
			t.Errorf("replica %d made a key: %t, has a file: %v", i, r.Made, err)
		}
	}
	if hashes, err := s.AdminKeys(t.Context()); err != nil || made != 1 || len(hashes) != 1 {
		t.Errorf("%d replicas made a key, %d are known, %v; want 1 and 1", made, len(hashes), err)
	}
}

func TestEnsureAdminKey_GivenByTheEnvironmentIsStoredNowhere(t *testing.T) {
	s := store.New(pgtest.New(t))
	path := filepath.Join(t.TempDir(), "admin.key")
	secret := strings.Repeat("x", identity.MinAdminKeyLength)
	given, err := identity.EnsureAdminKey(t.Context(), s, path, secret, nil)
	if err != nil || given.Given == nil || *given.Given != identity.HashSecret(secret) {
		t.Fatalf("given key: %+v, %v", given, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a given key was written to a file: %v", err)
	}
	if hashes, err := s.AdminKeys(t.Context()); err != nil || len(hashes) != 0 {
		t.Errorf("a given key was stored: %d, %v", len(hashes), err)
	}
	for _, bad := range []string{secret[1:], secret + " ", secret + "é"} {
		if _, err := identity.EnsureAdminKey(t.Context(), s, path, bad, nil); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("key of %d characters: %v; want an error that does not show it", len(bad), err)
		}
	}
}

func TestEnsureAdminKey_RefusesAFileThatIsNoKey(t *testing.T) {
	s := store.New(pgtest.New(t))
	for name, content := range map[string]string{"empty": "", "short": "sb_x\n", "large": strings.Repeat("x", 2000)} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.EnsureAdminKey(t.Context(), s, path, "", nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s file: %v; want an error that names it", name, err)
		}
	}
}
