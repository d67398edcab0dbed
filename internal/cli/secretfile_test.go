package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeys_OutKeepsTheSecretInAFileOfOnesOwn(t *testing.T) {
	g := startGateway(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ci.key")
	// secret reads the file, which must be whole, private and alone.
	secret := func() string {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || !strings.HasPrefix(string(text), "sb_") || !strings.HasSuffix(string(text), "\n") {
			t.Fatalf("the file has mode %o and %d bytes", info.Mode().Perm(), len(text))
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Fatalf("%d files, %v, want that of the secret alone", len(files), err)
		}
		return strings.TrimSpace(string(text))
	}
	works := func() result {
		return runWith(t, map[string]string{"SIGNALBOX_SERVER": g.url, "HOME": g.home}, "", "teams", "list", "--key-file", path)
	}

	// Nothing is made, and nothing left behind, when it cannot be kept or is refused.
	g.steps(t, []step{
		{args: []string{"keys", "create", "ci", "--team", "demo", "--out", filepath.Join(dir, "none", "ci.key")}, code: 1, err: "no such file or directory"},
		{args: []string{"keys", "create", "ci", "--team", "demo", "--out", dir}, code: 1, err: dir + " exists already: give --force to replace it"},
		{args: []string{"keys", "create", "ci", "--team", "demo", "--out", dir, "--force"}, code: 1, err: "is no file that --force could replace"},
		{args: []string{"keys", "create", "ci", "--team", "demo", "--force"}, code: 2, err: "--force is for --out"},
		{args: []string{"keys", "get", "demo/ci"}, code: 1, err: "reason  KEY_NOT_FOUND"},
		{args: []string{"keys", "create", "ci", "--team", "nobody", "--out", path}, code: 1, err: "reason  TEAM_NOT_FOUND"},
	})
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Fatalf("%d files, %v, want none", len(files), err)
	}

	g.steps(t, []step{{
		args: []string{"keys", "create", "ci", "--team", "demo", "--expires", "90d", "--out", path},
		out:  "=", err: "the secret of key demo/ci is in " + path + "; it cannot be shown again\nit works until ",
	}})
	first := secret()
	if got := works().ok(t); strings.Contains(got.err, "warning") {
		t.Errorf("the file that was written is warned of:\n%s", got.err)
	}

	g.steps(t, []step{
		{args: []string{"keys", "rotate", "demo/ci", "--out", path}, code: 1, err: "give --force to replace it"},
		{args: []string{"keys", "rotate", "demo/none", "--out", path, "--force"}, code: 1, err: "reason  KEY_NOT_FOUND"},
	})
	if secret() != first {
		t.Error("a rotation that was refused changed the file")
	}
	works().ok(t)

	// A file that others could read is replaced by one that they cannot.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := works().ok(t); !strings.Contains(got.err, "warning: "+path+" holds a key and has mode 0644") {
		t.Errorf("a key that others can read: %s", got.err)
	}
	got := g.run(t, "keys", "rotate", "demo/ci", "--out", path, "--force", "-o", "json").ok(t)
	second := secret()
	var answer struct {
		Secret string
		Key    struct{ Name string }
	}
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Secret != "" || answer.Key.Name != "teams/demo/keys/ci" || strings.Contains(got.out+got.err, second) || first == second {
		t.Errorf("rotate --out printed:\n%s%s", got.out, got.err)
	}
	works().ok(t)
}
