package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// childHandle is where a child finds the folder that it inherits: files after
// the three standard ones are numbered from 3.
const childHandle = "/proc/self/fd/3"

// reach is how the server and its clients get at the data folder.
//
// The plain way is its path. Where that cannot work (the server runs as another
// user who may not walk through the folders above, or the path is too long or
// too odd for a unix socket) both sides go through an open handle of the folder
// instead, which only Linux offers; elsewhere the socket moves to a short
// folder of its own.
type reach struct {
	handle    *os.File // inherited by the server; nil in the plain way
	serverDir string   // the data folder as the server is told
	serverSoc string   // the socket folder as the server is told
	socketDir string   // the socket folder as a path of ours
	host      string   // the socket folder for connections of this process
	external  string   // the same for other processes, may be empty
	temporary bool     // socketDir is ours to remove
}

func openReach(dataDir string, a account) (*reach, error) {
	plain := plainPath(dataDir)
	if haveHandles() && (a.drop || !plain) {
		f, err := os.Open(dataDir)
		if err != nil {
			return nil, fmt.Errorf("open the cluster: %w", err)
		}
		fd := strconv.FormatUint(uint64(f.Fd()), 10)
		r := &reach{
			handle: f, serverDir: childHandle, serverSoc: childHandle, socketDir: dataDir,
			host:     "/proc/self/fd/" + fd,
			external: "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + fd,
		}
		if plain {
			r.external = dataDir
		}
		return r, nil
	}
	if blockedBy, ok := a.enters(filepath.Dir(dataDir)); !ok {
		return nil, fmt.Errorf("user %s, who runs Postgres for root, may not enter %s: choose another data directory, or start the gateway as an ordinary user", a.name, blockedBy)
	}
	if plain {
		return &reach{serverDir: dataDir, serverSoc: dataDir, socketDir: dataDir, host: dataDir, external: dataDir}, nil
	}
	dir, err := shortSocketDir(dataDir, a)
	if err != nil {
		return nil, err
	}
	return &reach{serverDir: dataDir, serverSoc: dir, socketDir: dir, host: dir, external: dir, temporary: true}, nil
}

func (r *reach) close() {
	if r.handle != nil {
		_ = r.handle.Close()
	}
	if r.temporary {
		_ = os.RemoveAll(r.socketDir)
	}
}

// plainPath reports whether a folder can be named everywhere as it is: short
// enough for a socket in it, and without characters that Postgres or a
// connection string reads as something else, such as a comma.
func plainPath(dir string) bool {
	if len(dir)+len("/.s.PGSQL."+strconv.Itoa(port)) > longestSocketPath {
		return false
	}
	for _, c := range []byte(dir) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '.', c == '_', c == '-', c == '+':
		default:
			return false
		}
	}
	return true
}

// shortSocketDir makes a folder for the socket whose name depends on the data
// folder alone, so that a crash leaves at most one.
func shortSocketDir(dataDir string, a account) (string, error) {
	sum := sha256.Sum256([]byte(dataDir))
	dir := "/tmp/signalbox-" + strconv.Itoa(int(a.uid)) + "-" + hex.EncodeToString(sum[:8])
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		if err := a.own(dir); err != nil {
			return "", err
		}
	case !os.IsExist(err):
		return "", fmt.Errorf("create a folder for the socket: %w", err)
	}
	// Everybody may write to /tmp: somebody else may have been first.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("look at the folder for the socket: %w", err)
	}
	if !info.IsDir() || owner(info) != a.uid || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("the folder for the socket, %s, was made by somebody else: remove it", dir)
	}
	return dir, nil
}
