package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The major versions that can be used.
const (
	minMajor = 15
	maxMajor = 18
)

// binaries is a folder with a server's programs.
type binaries struct {
	dir     string
	version string
	major   int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// findBinaries returns the programs that can run a cluster of the major
// version; 0 is a cluster yet to be made, for which the first find does. When
// nothing at all is found it fetches them, unless a folder was given.
func findBinaries(ctx context.Context, cfg Config, a account, major int) (binaries, error) {
	cache := cacheDir(cfg.CacheDir, a)
	dirs, searched := searchDirs(cfg, cache)
	var rejected, others []string
	for _, dir := range dirs {
		b, err := inspect(ctx, dir, a)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case ctx.Err() != nil:
			return binaries{}, fmt.Errorf("look for Postgres: %w", context.Cause(ctx))
		case err != nil:
			rejected = append(rejected, err.Error())
			continue
		}
		if major == 0 || b.major == major {
			return b, nil
		}
		others = append(others, b.version+" in "+b.dir)
	}
	if len(others) > 0 {
		return binaries{}, &VersionError{Dir: cfg.Dir, Major: major, Found: others}
	}
	if cfg.BinDir != "" {
		return binaries{}, &NotFoundError{Searched: searched, Rejected: rejected}
	}
	b, err := fetch(ctx, cfg.Logger, cache, a, major)
	if err != nil {
		return binaries{}, &NotFoundError{Searched: searched, Rejected: rejected, Fetch: err}
	}
	return b, nil
}

// searchDirs returns the folders to look into, best first, and how to name them
// to a person.
func searchDirs(cfg Config, cache string) (dirs, names []string) {
	if cfg.BinDir != "" {
		return []string{cfg.BinDir}, []string{cfg.BinDir}
	}
	if cfg.searchDirs != nil {
		dirs, names = slices.Clone(cfg.searchDirs), slices.Clone(cfg.searchDirs)
	} else {
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			if filepath.IsAbs(dir) {
				dirs = append(dirs, dir)
			}
		}
		names = []string{"PATH"}
		for _, pattern := range []string{
			"/usr/lib/postgresql/%d/bin",                          // Debian
			"/usr/pgsql-%d/bin",                                   // Red Hat
			"/usr/libexec/postgresql%d",                           // Alpine
			"/opt/homebrew/opt/postgresql@%d/bin",                 // Homebrew, arm64
			"/usr/local/opt/postgresql@%d/bin",                    // Homebrew, amd64
			"/home/linuxbrew/.linuxbrew/opt/postgresql@%d/bin",    // Homebrew, Linux
			"/Applications/Postgres.app/Contents/Versions/%d/bin", // Postgres.app
		} {
			for major := maxMajor; major >= minMajor; major-- {
				dirs = append(dirs, fmt.Sprintf(pattern, major))
			}
			names = append(names, strings.Replace(pattern, "%d", fmt.Sprintf("{%d..%d}", minMajor, maxMajor), 1))
		}
	}
	for major := maxMajor; major >= minMajor; major-- {
		dirs = append(dirs, filepath.Join(cache, strconv.Itoa(major), "bin"))
	}
	return dirs, append(names, cache)
}

// inspect returns what is in a folder; os.ErrNotExist when that is no Postgres
// server, any other error when there is one that cannot be used.
func inspect(ctx context.Context, dir string, a account) (binaries, error) {
	// PATH often holds links into the real folder, and a server finds its other
	// files from where it really is.
	server, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return binaries{}, os.ErrNotExist
	}
	dir = filepath.Dir(server)
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, os.ErrNotExist
	}
	if blockedBy, ok := a.enters(dir); !ok {
		return binaries{}, fmt.Errorf("%s does not do, user %s may not enter %s", server, a.name, blockedBy)
	}
	cmd := exec.CommandContext(ctx, server, "--version")
	cmd.Dir = "/"
	cmd.Env = serverEnv(os.Environ())
	// Its owner may be the server's user: root must not run it as root.
	cmd.SysProcAttr = childAttr(a, 0)
	out, err := cmd.Output()
	if err != nil {
		return binaries{}, fmt.Errorf("%s does not run: %w", server, err)
	}
	version, major, err := parseVersion(string(out))
	if err != nil {
		return binaries{}, fmt.Errorf("%s: %w", server, err)
	}
	if major < minMajor || major > maxMajor {
		return binaries{}, fmt.Errorf("%s is version %s", server, version)
	}
	return binaries{dir: dir, version: version, major: major}, nil
}

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" and
// its like, also of betas: "19beta1".
func parseVersion(out string) (version string, major int, err error) {
	m := regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^\s]*)`).FindStringSubmatch(out)
	if m == nil {
		return "", 0, fmt.Errorf("no version in %q", strings.TrimSpace(out))
	}
	major, err = strconv.Atoi(m[2])
	if err != nil {
		return "", 0, fmt.Errorf("read the version %q: %w", m[1], err)
	}
	return m[1], major, nil
}
