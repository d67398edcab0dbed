package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// installTimeout bounds the installation of one peer on a machine that has
// nothing of it yet.
const installTimeout = 5 * time.Minute

// cliModule is the module of a2a-go's command, which the main module requires.
const cliModule = "github.com/a2aproject/a2a-go/v2"

// tree knows where the peers' programs and packages are.
type tree struct {
	root string // of the repository
	dir  string // of this package
}

// findTree looks from this source file, and for a binary that was built
// without paths from the working directory, upwards for the module's root.
func findTree() (tree, error) {
	var starts []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			here := filepath.Join(dir, "internal", "gatewaytest", "peers")
			if _, err := os.Stat(filepath.Join(here, "setup.sh")); err == nil {
				return tree{root: dir, dir: here}, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return tree{}, errors.New("peers: no repository above the source or the working directory")
}

func (tr tree) python(k Kind) string {
	return filepath.Join(tr.root, ".cache", "venv-"+string(k), "bin", "python")
}

func (tr tree) cli() string {
	return filepath.Join(tr.root, ".cache", "peers", "a2a")
}

// program returns the command line of a kind's program, "agent" or "client".
func (tr tree) program(k Kind, name string) []string {
	switch k {
	case JS, JS03:
		return []string{"node", filepath.Join(tr.dir, string(k), name+".mjs")}
	case Py, Py03:
		return []string{tr.python(k), filepath.Join(tr.dir, string(k), name+".py")}
	default:
		return []string{tr.cli()}
	}
}

// installed tells whether what stands in the lock file is what setup.sh
// installed last.
func (tr tree) installed(k Kind) bool {
	var lock, stamp string
	switch k {
	case JS, JS03:
		lock = filepath.Join(tr.dir, string(k), "package-lock.json")
		stamp = filepath.Join(tr.dir, string(k), "node_modules", ".installed")
	case Py, Py03:
		lock = filepath.Join(tr.dir, string(k), "requirements.txt")
		stamp = filepath.Join(tr.root, ".cache", "venv-"+string(k), ".installed")
	default:
		got, err := os.ReadFile(tr.cli() + ".installed")
		return err == nil && strings.TrimSpace(string(got)) == tr.cliVersion()
	}
	want, err := os.ReadFile(lock)
	if err != nil {
		return false
	}
	got, err := os.ReadFile(stamp)
	return err == nil && bytes.Equal(want, got)
}

// cliVersion is the version of a2a-go in go.mod.
func (tr tree) cliVersion() string {
	mod, err := os.ReadFile(filepath.Join(tr.root, "go.mod"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == cliModule {
			return f[1]
		}
	}
	return ""
}

// install makes sure that a kind's programs can run. It never gives up
// quietly: the error names the command that shows why.
func install(ctx context.Context, k Kind) (tree, error) {
	tr, err := findTree()
	if err != nil {
		return tr, err
	}
	if tr.installed(k) {
		return tr, nil
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(tr.dir, "setup.sh"), string(k))
	cmd.Dir = tr.root
	cmd.WaitDelay = processGrace
	out, err := cmd.CombinedOutput()
	if err != nil {
		return tr, fmt.Errorf("peers: %s is not installed; run internal/gatewaytest/peers/setup.sh %s: %w\n%s", k, k, err, out)
	}
	if !tr.installed(k) {
		return tr, fmt.Errorf("peers: %s is still not installed after internal/gatewaytest/peers/setup.sh %s\n%s", k, k, out)
	}
	return tr, nil
}
