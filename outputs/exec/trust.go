package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkProgram returns the path of the file that path means once links are followed. It is
// an error unless that is a program which only root and we can change: the file, the
// folders above it, and the folders above the links on the way.
func checkProgram(path string) (string, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("look at the program: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("look at the program: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("the program %q is not a file", path)
	case info.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("the program %q is not executable", path)
	}
	for _, p := range []string{file, filepath.Dir(filepath.Clean(path))} {
		if err := checkOwners(p); err != nil {
			return "", err
		}
	}
	return file, nil
}

// checkOwners checks path and all folders above it.
func checkOwners(path string) error {
	for {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("look at the program: %w", err)
		}
		if err := checkOwner(path, info, os.Geteuid()); err != nil {
			return err
		}
		if path == filepath.Dir(path) {
			return nil
		}
		path = filepath.Dir(path)
	}
}

// checkOwner checks that nobody but root and the user uid can change what is at path.
func checkOwner(path string, info fs.FileInfo, uid int) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the file system does not tell who owns the program")
	}
	if owner.Uid != 0 && int(owner.Uid) != uid {
		return fmt.Errorf("the program must belong to root or to the forwarder's user, and %q belongs to user %d", path, owner.Uid)
	}
	// In a folder such as /tmp others can write, but not replace what is ours.
	kept := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	if info.Mode().Perm()&0o022 != 0 && !kept {
		return fmt.Errorf("the program must not be writable by others, and %q has mode %o", path, info.Mode().Perm())
	}
	return nil
}
