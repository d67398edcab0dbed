package seal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const (
	// setting and variable are where operators give keys.
	setting  = "kek"
	variable = "SIGNALBOX_KEK"
	// fileName is the file in the data directory that has the key when none is given.
	fileName = "kek.key"
	// maxFileSize is room for many keys and comments.
	maxFileSize = 64 << 10
)

// supported is what errors about the setting end with.
const supported = "give file:/path/to/the/key, put the key itself into the variable " + variable +
	", or give neither: then it is kept in " + fileName + " of the data directory"

// Config says where the key-encryption key is. Where neither Setting nor Env is given it
// is in a file of the data directory, which is made when it is not there.
type Config struct {
	// Setting is "file:" and a path. It wins over Env.
	Setting string
	// Env is the value of the variable SIGNALBOX_KEK: the key itself, or what Setting may
	// be. A Setting that is equal to it is taken for a copy of it.
	Env string
	// DataDir is the data directory. Required.
	DataDir string
	// Logger gets a line when a key is made; nil discards.
	Logger *slog.Logger
}

// Format hides what may be a key from every verb of fmt.
func (Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides what may be a key.
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides what may be a key from encoders.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Open reads the key-encryption keys. A file or variable may have several, a line each,
// of which the first seals and all unseal; lines that begin with # are comments.
func Open(ctx context.Context, cfg Config) (*Ring, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("seal: Config.DataDir is required")
	}
	given, from := strings.TrimSpace(cfg.Setting), setting
	if given == "" || given == strings.TrimSpace(cfg.Env) {
		given, from = strings.TrimSpace(cfg.Env), variable
	}
	scheme, rest, isURI := strings.Cut(given, ":")
	switch {
	case given == "":
		return openDefault(ctx, cfg)
	case isURI && scheme == "file":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return nil, fmt.Errorf("%s: there is no path behind file:; %s", from, supported)
		}
		return openFile(path)
	case isURI && isScheme(scheme):
		return nil, fmt.Errorf("%s: keys of %s: are not supported; %s", from, scheme, supported)
	case from == setting:
		// It is not repeated: it may be a key.
		return nil, fmt.Errorf("%s: this is not the address of a key; %s", from, supported)
	default:
		return newRing(given, variable)
	}
}

func isScheme(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" && len(s) <= 20
}

func openDefault(ctx context.Context, cfg Config) (*Ring, error) {
	path := filepath.Join(cfg.DataDir, fileName)
	ring, err := openFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	made, err := makeFile(path)
	if err != nil {
		return nil, fmt.Errorf("make a key-encryption key: %w", err)
	}
	// Read back also what was made here: what counts is what the next start will find.
	ring, err = openFile(path)
	if err == nil && made {
		log := cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
		log.LogAttrs(ctx, slog.LevelInfo, "made a key-encryption key: keep a copy, and give the same one to every replica of this database",
			slog.String("path", path), slog.String("key_encryption_key_id", ring.ID()))
	}
	return ring, err
}

// openFile reads keys that nobody else may read.
func openFile(path string) (*Ring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the key-encryption key: %w", err)
	}
	defer f.Close()
	// Of the open file, so that nothing can change between the look and the reading.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the key-encryption key: %w", err)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is no file with a key-encryption key", path)
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %04o: others than its owner can use the key-encryption key; run: chmod 600 %s "+
			"(or, where the mode cannot be changed, put the key into the variable %s)", path, mode.Perm(), path, variable)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the key-encryption key: %w", err)
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%s is too large for a file of key-encryption keys", path)
	}
	return newRing(string(text), path)
}

// makeFile makes a file with a new key, and returns false when another process was
// first. At no time is there a file with half a key.
func makeFile(path string) (bool, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	f, err := os.CreateTemp(dir, fileName+".*.tmp") // mode 0600
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // what is left then is the file's second name
	_, err = f.WriteString("# The key-encryption key of a Signalbox gateway. Whoever has it can read what the database keeps sealed.\n" +
		"# Without it that cannot be read any more: keep a copy.\n" + generate() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	// Unlike a rename, a link never takes the place of what another process made.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, syncDir(dir)
}

// syncDir makes a new name in a folder survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
