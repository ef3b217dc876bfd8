package config

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// Watcher tells when the files that a configuration was read from have changed: its own
// and those of its secrets. It looks at names and not at open files, so that it sees a file
// that an editor replaces, and one below a symbolic link that Kubernetes swaps. It is not
// safe for concurrent use.
type Watcher struct {
	paths []string
	// seen are the stamps last taken for good, pending those that differed at the last look.
	seen, pending []fileStamp
}

// fileStamp tells one content of a file from another. The zero stamp is that of a file
// that cannot be looked at.
type fileStamp struct {
	device, inode uint64
	size          int64
	modified      int64 // in nanoseconds
}

// readFrom is a file that was read, as it was then.
type readFrom struct {
	path  string
	stamp fileStamp
	// regular is false for a pipe or a device, which is read only once.
	regular bool
}

func stampOf(info os.FileInfo) fileStamp {
	s := fileStamp{size: info.Size(), modified: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = sys.Dev, sys.Ino
	}
	return s
}

// Rereadable returns nil when the configuration can be read a second time, and says which
// file is in the way when it cannot: from a pipe it would come back empty.
func (l *Loaded) Rereadable() error {
	i := slices.IndexFunc(l.files, func(f readFrom) bool { return !f.regular })
	if i < 0 {
		return nil
	}
	return fmt.Errorf("%s is not a regular file and can be read only once", l.files[i].path)
}

// Watch returns a Watcher of the files that l was read from. What has happened to them
// since they were read counts as a change.
func (l *Loaded) Watch() *Watcher {
	w := &Watcher{}
	for _, f := range l.files {
		if !f.regular {
			continue
		}
		w.paths = append(w.paths, f.path)
		w.seen = append(w.seen, f.stamp)
	}
	return w
}

// Files returns the paths of the files that are watched.
func (w *Watcher) Files() []string { return slices.Clone(w.paths) }

// Changed looks at the files and reports whether they have changed and then stayed as they
// are since the call before, for a file that is still being written must not be read. It
// reports each change once. Call it about once a second; it costs one stat a file.
func (w *Watcher) Changed() bool {
	now := make([]fileStamp, len(w.paths))
	for i, path := range w.paths {
		if info, err := os.Stat(path); err == nil {
			now[i] = stampOf(info)
		}
	}
	switch {
	case slices.Equal(now, w.seen):
		w.pending = nil
	case w.pending != nil && slices.Equal(now, w.pending):
		w.seen, w.pending = now, nil
		return true
	default:
		w.pending = now
	}
	return false
}
