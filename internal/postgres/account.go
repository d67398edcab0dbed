package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the OS user that the server runs as. Postgres refuses root, so
// root must drop its rights; anybody else runs the server as himself.
type account struct {
	uid, gid uint32
	name     string
	drop     bool // root starts processes as this user
}

// serverAccount chooses the account: the owner of an existing cluster, else the
// user "postgres", else who called sudo, else "nobody".
func serverAccount(dataDir string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	info, err := os.Stat(dataDir)
	switch {
	case err == nil && owner(info) == 0:
		return account{}, fmt.Errorf("the cluster in %s belongs to root, which Postgres refuses: give it to another user with chown -R", dataDir)
	case err == nil:
		uid := strconv.Itoa(int(owner(info)))
		if u, err := user.LookupId(uid); err == nil {
			return dropTo(u)
		}
		return account{uid: owner(info), gid: group(info), name: uid, drop: true}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return account{}, fmt.Errorf("look at the cluster: %w", err)
	}
	if u, err := user.Lookup("postgres"); err == nil {
		return dropTo(u)
	}
	if u, err := user.LookupId(os.Getenv("SUDO_UID")); err == nil && u.Uid != "0" {
		return dropTo(u)
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return account{}, errors.New("no user to run Postgres as: it refuses root, and there is neither a user \"postgres\" nor \"nobody\": create one, or start the gateway as an ordinary user")
	}
	return dropTo(u)
}

func dropTo(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("read the id of user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("read the group of user %s: %w", u.Username, err)
	}
	return account{uid: uint32(uid), gid: uint32(gid), name: u.Username, drop: true}, nil
}

// own gives a path to the account.
func (a account) own(path string) error {
	if !a.drop {
		return nil
	}
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, a.name, err)
	}
	return nil
}

// enters reports whether the account may walk down to path and into it, and
// the first folder that it may not enter. Only mode bits are read.
func (a account) enters(path string) (blockedBy string, ok bool) {
	if !a.drop {
		return "", true // whoever calls finds out by himself
	}
	for p := path; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil || !a.executes(info) {
			blockedBy = p
		}
		if p == filepath.Dir(p) {
			return blockedBy, blockedBy == ""
		}
	}
}

func (a account) executes(info fs.FileInfo) bool {
	switch {
	case owner(info) == a.uid:
		return info.Mode()&0o100 != 0
	case group(info) == a.gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}

func owner(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

func group(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Gid }
