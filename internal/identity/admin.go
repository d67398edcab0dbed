package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// MinAdminKeyLength is the number of characters that a given admin key needs: it is
// hashed once, so it must not be guessable.
const MinAdminKeyLength = 32

// maxAdminKeyLength bounds what is read from a key file.
const maxAdminKeyLength = 1024

// AdminStore keeps the hashes of admin keys.
type AdminStore interface {
	// AdminKeys returns the hashes of the admin keys that were made so far.
	AdminKeys(ctx context.Context) ([][32]byte, error)
	// AddFirstAdminKey stores a hash unless there is one already, and tells whether it
	// did; the two cannot happen in between.
	AddFirstAdminKey(ctx context.Context, author string, hash [32]byte) (bool, error)
	// SetAdminKey makes a hash the only one in one transaction, which replicas learn
	// of as of any other change, and returns how many others it removed. When it is the
	// only one already nothing changes.
	SetAdminKey(ctx context.Context, author string, hash [32]byte) (int, error)
}

// AdminKey is the admin key as a replica knows it.
type AdminKey struct {
	// Secret is the key itself, to be shown to who starts the gateway; empty when
	// only another replica's data directory has it.
	Secret string
	// Given is the hash of a key that the environment gave. It is stored nowhere, so
	// the snapshot must be told of it; nil means that the database knows the key.
	Given *[32]byte
	// Made tells whether the key was made just now.
	Made bool
}

// EnsureAdminKey makes sure that there is an admin key. One given by the environment
// is used as it is and never stored. Otherwise the key of the file at path is used,
// and when the installation has none at all, one is made and written there with
// mode 0600.
//
// The key of the file becomes the only one that is stored: a file with another secret
// revokes the key before, on every replica. Where replicas have data directories of
// their own with different files, the one that started last wins; such installations
// should set SIGNALBOX_ADMIN_KEY for all of them.
func EnsureAdminKey(ctx context.Context, store AdminStore, path, fromEnv string, log *slog.Logger) (AdminKey, error) {
	if fromEnv != "" {
		if len(fromEnv) < MinAdminKeyLength {
			return AdminKey{}, fmt.Errorf("the given admin key has %d characters; it needs at least %d", len(fromEnv), MinAdminKeyLength)
		}
		if strings.ContainsFunc(fromEnv, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return AdminKey{}, errors.New("the given admin key has characters that no header can carry; use printable ASCII without spaces")
		}
		hash := HashSecret(fromEnv)
		return AdminKey{Secret: fromEnv, Given: &hash}, nil
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	secret, err := readAdminKey(path)
	switch {
	case err == nil:
		removed, err := store.SetAdminKey(ctx, "signalbox", HashSecret(secret))
		if err != nil {
			return AdminKey{}, fmt.Errorf("store admin key: %w", err)
		}
		if removed > 0 {
			log.LogAttrs(ctx, slog.LevelWarn, "the admin key was replaced by that of the key file, those before work no longer",
				slog.Int("removed", removed))
		}
		return AdminKey{Secret: secret}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return AdminKey{}, fmt.Errorf("read admin key: %w", err)
	}
	known, err := store.AdminKeys(ctx)
	if err != nil {
		return AdminKey{}, fmt.Errorf("read admin keys: %w", err)
	}
	if len(known) > 0 {
		log.LogAttrs(ctx, slog.LevelInfo, "the admin key was made elsewhere and is not in this data directory")
		return AdminKey{}, nil
	}
	secret, hash, _ := NewSecret()
	// The file comes first: were it the hash, a crash in between would leave an
	// installation whose admin key nobody knows.
	if err := writeAdminKey(path, secret); err != nil {
		return AdminKey{}, fmt.Errorf("write admin key: %w", err)
	}
	added, err := store.AddFirstAdminKey(ctx, "signalbox", hash)
	if err != nil {
		return AdminKey{}, fmt.Errorf("store admin key: %w", err)
	}
	if !added {
		log.LogAttrs(ctx, slog.LevelInfo, "the admin key was made elsewhere and is not in this data directory")
		if err := os.Remove(path); err != nil {
			return AdminKey{}, fmt.Errorf("remove admin key that came too late: %w", err)
		}
		return AdminKey{}, nil
	}
	return AdminKey{Secret: secret, Made: true}, nil
}

func readAdminKey(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxAdminKeyLength {
		return "", fmt.Errorf("%s is no key: it has %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < MinAdminKeyLength {
		return "", fmt.Errorf("%s holds no key: it needs at least %d characters", path, MinAdminKeyLength)
	}
	return secret, nil
}

// writeAdminKey makes the file appear with its whole content or not at all, and
// never replaces one.
func writeAdminKey(path, secret string) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".admin-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // the link below is what stays
	_, err = temp.WriteString(secret + "\n")
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
