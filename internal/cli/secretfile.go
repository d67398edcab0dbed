package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// secretMode lets the owner alone read a secret.
const secretMode = 0o600

// secretFile is where a new secret goes instead of standard output, whose file would
// have the mode of any other. It is opened before the secret is made: one that then has
// no place would be lost.
type secretFile struct {
	path  string
	force bool

	file    *os.File // nil when there is none, or it is done
	replace bool     // file takes the place of the one at path
}

func (s *secretFile) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.path, "out", "", "write the secret to this file, which only you can read, instead of printing it")
	must(cmd.MarkFlagFilename("out"))
	cmd.Flags().BoolVar(&s.force, "force", false, "replace the file of --out if there is one")
}

// open makes the file. One that is replaced stays as it is until keep.
func (s *secretFile) open() error {
	if s.path == "" {
		if s.force {
			return usagef("--force is for --out")
		}
		return nil
	}
	var err error
	info, statErr := os.Lstat(s.path)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		s.file, err = os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secretMode)
	case statErr != nil:
		err = statErr
	case !s.force:
		err = fs.ErrExist
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file that --force could replace", s.path)
	default: // a file that others have open, or may read, must not get the secret
		s.replace = true
		s.file, err = os.CreateTemp(filepath.Dir(s.path), "."+filepath.Base(s.path)+".*")
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: give --force to replace it", s.path)
	}
	if err != nil {
		return fmt.Errorf("make the file for the secret: %w", err)
	}
	return nil
}

// keep writes the secret.
func (s *secretFile) keep(secret string) error {
	_, err := s.file.WriteString(secret + "\n")
	if err := errors.Join(err, s.file.Sync(), s.file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	if s.replace {
		if err := os.Rename(s.file.Name(), s.path); err != nil {
			return fmt.Errorf("replace %s: %w", s.path, err)
		}
	}
	s.file = nil
	return nil
}

// discard removes the file when no secret came into it.
func (s *secretFile) discard() {
	if s.file == nil {
		return
	}
	_ = s.file.Close()           // it may be closed
	_ = os.Remove(s.file.Name()) // what is left is empty, or half of a secret that nobody has
	s.file = nil
}
