package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/seal"
)

// keyText makes a key that differs by its first byte.
func keyText(n byte) string {
	secret := make([]byte, seal.KeySize)
	for i := range secret {
		secret[i] = byte(i)
	}
	secret[0] = n
	return base64.StdEncoding.EncodeToString(secret)
}

func open(t *testing.T, cfg seal.Config) *seal.Ring {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	r, err := seal.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestUnseal_GivesBackOnlyWhatWasSealedForTheSameThing(t *testing.T) {
	r := open(t, seal.Config{Env: keyText(1)})
	s, err := r.Seal([]byte("secret"), []byte("key a"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Unseal(s, []byte("key a")); err != nil || string(got) != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
	if bytes.Contains(s.Data, []byte("secret")) {
		t.Error("the text stands in what was sealed")
	}
	changed := seal.Sealed{KeyID: s.KeyID, Data: slices.Clone(s.Data)}
	changed.Data[len(changed.Data)-1] ^= 1
	for name, try := range map[string]struct {
		sealed seal.Sealed
		thing  string
	}{
		"for another thing": {s, "key b"},
		"changed":           {changed, "key a"},
		"cut":               {seal.Sealed{KeyID: s.KeyID, Data: s.Data[:10]}, "key a"},
		"empty":             {seal.Sealed{KeyID: s.KeyID}, "key a"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := r.Unseal(try.sealed, []byte(try.thing)); !errors.Is(err, seal.ErrNotAuthentic) {
				t.Errorf("got %q, %v, want ErrNotAuthentic", got, err)
			}
		})
	}
}

func TestUnseal_NamesTheKeyThatIsMissing(t *testing.T) {
	one, two := open(t, seal.Config{Env: keyText(1)}), open(t, seal.Config{Env: keyText(2)})
	s, err := one.Seal([]byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = two.Unseal(s, nil)
	unknown, ok := errors.AsType[*seal.UnknownKeyError](err)
	if !ok {
		t.Fatalf("got %v, want an UnknownKeyError", err)
	}
	want := &seal.UnknownKeyError{SealedWith: one.ID(), Have: []string{two.ID()}, Source: "SIGNALBOX_KEK"}
	if diff := cmp.Diff(want, unknown); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, part := range []string{one.ID(), two.ID(), "kek.key", "SIGNALBOX_KEK"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestOpen_TheFirstKeySealsAndAllUnseal(t *testing.T) {
	old, fresh := open(t, seal.Config{Env: keyText(1)}), open(t, seal.Config{Env: keyText(2)})
	s, err := old.Seal([]byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]seal.Config{
		"variable with lines":  {Env: keyText(2) + "\n" + keyText(1) + "\n"},
		"variable with blanks": {Env: keyText(2) + " " + keyText(1)},
		"file":                 {Setting: "file:" + write(t, "# new\n"+keyText(2)+"\n\n# old\n  "+keyText(1), 0o600)},
	} {
		t.Run(name, func(t *testing.T) {
			both := open(t, cfg)
			if diff := cmp.Diff([]string{fresh.ID(), old.ID()}, both.IDs()); diff != "" || both.ID() != fresh.ID() {
				t.Errorf("IDs (-want +got)\n%s", diff)
			}
			if got, err := both.Unseal(s, nil); err != nil || string(got) != "secret" {
				t.Errorf("the old key: %q, %v", got, err)
			}
			again, err := both.Seal([]byte("secret"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fresh.Unseal(again, nil); err != nil {
				t.Errorf("the first key did not seal: %v", err)
			}
		})
	}
}

func TestOpen_FindsTheKeyWhereItIsGiven(t *testing.T) {
	url := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(keyText(1))
	path := write(t, keyText(1)+"\n", 0o400)
	for name, cfg := range map[string]seal.Config{
		"variable":                       {Env: keyText(1)},
		"variable with a line end":       {Env: keyText(1) + "\n"},
		"variable in base64url":          {Env: url},
		"variable copied to the setting": {Env: keyText(1), Setting: keyText(1)},
		"file":                           {Setting: "file:" + path},
		"file as a URL":                  {Setting: "file://" + path},
		"file named by the variable":     {Env: "file:" + path},
		"file over the variable":         {Setting: "file:" + path, Env: keyText(2)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.DataDir = t.TempDir()
			if got, want := open(t, cfg).ID(), open(t, seal.Config{Env: keyText(1)}).ID(); got != want {
				t.Errorf("key %s, want %s", got, want)
			}
			if files, err := os.ReadDir(cfg.DataDir); err != nil || len(files) > 0 {
				t.Errorf("the data directory has %v, %v, want nothing", files, err)
			}
		})
	}
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	short := base64.StdEncoding.EncodeToString([]byte("too short"))
	for name, test := range map[string]struct {
		cfg  seal.Config
		want string
	}{
		"Google's KMS":      {seal.Config{Setting: "gcp-kms://projects/p/locations/l"}, "kek: keys of gcp-kms: are not supported; give file:/path"},
		"Amazon's KMS":      {seal.Config{Env: "aws-kms://arn:aws:kms:us-east-1:1:key/k"}, "SIGNALBOX_KEK: keys of aws-kms: are not supported"},
		"no path":           {seal.Config{Setting: "file:"}, "kek: there is no path behind file:"},
		"key in setting":    {seal.Config{Setting: keyText(1)}, "kek: this is not the address of a key"},
		"short key":         {seal.Config{Env: short}, "SIGNALBOX_KEK: key 1: a key-encryption key is 32 random bytes in base64; make one with: openssl rand -base64 32"},
		"second key broken": {seal.Config{Env: keyText(1) + "\n!"}, "SIGNALBOX_KEK: key 2: "},
		"placeholder":       {seal.Config{Env: base64.StdEncoding.EncodeToString(make([]byte, 32))}, "must be random"},
		"empty file":        {seal.Config{Setting: "file:" + write(t, "# nothing\n", 0o600)}, "there is no key"},
		"no file":           {seal.Config{Setting: "file:/nowhere/key"}, "open /nowhere/key: no such file"},
		"a folder":          {seal.Config{Setting: "file:" + t.TempDir()}, "is no file with a key"},
		"large file":        {seal.Config{Setting: "file:" + write(t, strings.Repeat("#\n", 40<<10), 0o600)}, "too large"},
		"group may read":    {seal.Config{Setting: "file:" + write(t, keyText(1), 0o640)}, "has mode 0640: others than its owner can use the key-encryption key; run: chmod 600 "},
		"all may read":      {seal.Config{Setting: "file:" + write(t, keyText(1), 0o604)}, "chmod 600"},
		"group may write":   {seal.Config{Setting: "file:" + write(t, keyText(1), 0o620)}, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.DataDir = t.TempDir()
			_, err := seal.Open(t.Context(), test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), short) || strings.Contains(err.Error(), keyText(1)) {
				t.Errorf("%q tells the key", err)
			}
		})
	}
	if _, err := seal.Open(t.Context(), seal.Config{}); err == nil {
		t.Error("opened without a data directory")
	}
}

func TestOpen_MakesAKeyAtTheFirstStartAndFindsItAtTheNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "dir")
	var log bytes.Buffer
	cfg := seal.Config{DataDir: dir, Logger: slog.New(slog.NewJSONHandler(&log, nil))}
	first := open(t, cfg)
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), first.ID()) {
		t.Errorf("logged %q, want one line with the id", &log)
	}
	log.Reset()
	if second := open(t, cfg); second.ID() != first.ID() || log.Len() > 0 {
		t.Errorf("key %s and %q at the second start, want %s and nothing", second.ID(), &log, first.ID())
	}
	path := filepath.Join(dir, "kek.key")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the data directory has %v, %v, want the key alone", files, err)
	}
	// What stands in the file can be moved to the variable as it is.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if moved := open(t, seal.Config{Env: string(text)}); moved.ID() != first.ID() {
		t.Errorf("key %s from the variable, want %s", moved.ID(), first.ID())
	}
}

func TestOpen_ProcessesThatStartTogetherHaveOneKey(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		ids := make([]string, 16)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				r, err := seal.Open(t.Context(), seal.Config{DataDir: dir})
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = r.ID()
			})
		}
		wg.Wait()
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 1 {
			t.Fatalf("keys %v, want one", ids)
		}
	}
}

func TestRing_IsNeverPrinted(t *testing.T) {
	cfg := seal.Config{Env: keyText(1), DataDir: t.TempDir()}
	r := open(t, cfg)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("ring", r), slog.Any("config", cfg))
	encoded, err := json.Marshal(map[string]any{"ring": r, "config": cfg})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %d %x %q", r, r, r, r, r, r, r) +
		fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, &cfg) + fmt.Sprint(struct{ R *seal.Ring }{r}) + r.String() + r.GoString() +
		log.String() + string(encoded)
	rest := strings.ReplaceAll(shown, "[redacted]", "")
	for _, secret := range []string{keyText(1), keyText(1)[:12], r.ID()} {
		if strings.Contains(rest, secret) {
			t.Errorf("%q tells %q", rest, secret)
		}
	}
	if strings.Contains(rest, "0x") || strings.Contains(rest, "SIGNALBOX") {
		t.Errorf("%q shows the inside", rest)
	}
}
