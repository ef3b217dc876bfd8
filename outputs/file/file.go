// Package file appends events to a file, one a line, and rotates it.
package file

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

const (
	// maxBatch is the most events of one write.
	maxBatch = 500
	// mode is the access that a new file gives: events hold what others may not see.
	mode = 0o600
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "file",
		Title:   "File",
		Doc:     "Appends each event to a file, one a line, and rotates it.",
		Page:    page,
		Batch:   maxBatch,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	Path     string       `key:"path" required:"true" doc:"File to append to. Its folder must exist."`
	MaxSize  config.Bytes `key:"maxsize" default:"100MiB" doc:"Size at which the file becomes PATH.1 and a new one is begun; 0 leaves that to others, such as logrotate."`
	MaxFiles int          `key:"maxfiles" default:"5" doc:"How many files PATH.1, PATH.2 and so on are kept."`
	Sync     bool         `key:"sync" default:"true" doc:"Count an event as delivered only once the disk has it (fsync). Without it, a crash of the host may lose the last seconds."`
}

// Validate checks what the keys hold.
func (c Config) Validate() error {
	var errs []error
	if !filepath.IsAbs(c.Path) || filepath.Clean(c.Path) != c.Path {
		errs = append(errs, config.At("path", errors.New("must be an absolute path of a file")))
	}
	if c.MaxSize < 0 || c.MaxSize > 0 && c.MaxSize < 1<<20 {
		errs = append(errs, config.At("maxsize", errors.New("must be at least 1MiB, or 0")))
	}
	if c.MaxFiles < 1 || c.MaxFiles > 1000 {
		errs = append(errs, config.At("maxfiles", errors.New("must be a number from 1 to 1000")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	file *os.File // nil while none is open
	size int64
}

// New makes a Sender. It does not touch the file.
func New(c Config, _ outputs.Env) (outputs.Sender, error) { return &sender{Config: c}, nil }

// Send appends the events in one write. One that fails leaves no part of a line.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var text []byte
	for i := range batch {
		text = append(batch[i].AppendJSON(text), '\n')
	}
	if err := s.append(text); err != nil {
		s.drop()
		return classify(err)
	}
	return nil
}

func (s *sender) append(text []byte) error {
	if err := s.ready(int64(len(text))); err != nil {
		return err
	}
	if _, err := s.file.Write(text); err != nil {
		return errors.Join(err, s.file.Truncate(s.size))
	}
	s.size += int64(len(text))
	if s.Sync {
		return s.file.Sync()
	}
	return nil
}

// ready opens the file unless it is open, also when somebody has moved it away, and rotates
// it when n more bytes would make it too large.
func (s *sender) ready(n int64) error {
	if s.file != nil && !s.isAt(s.Path) {
		s.drop()
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.MaxSize == 0 || s.size == 0 || s.size+n <= int64(s.MaxSize) {
		return nil
	}
	s.drop()
	if err := s.rotate(); err != nil {
		return err
	}
	return s.open()
}

// isAt reports whether the open file is still the one at path.
func (s *sender) isAt(path string) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	ours, err := s.file.Stat()
	return err == nil && os.SameFile(at, ours)
}

func (s *sender) open() error {
	// Opening a pipe would wait for a reader.
	f, err := os.OpenFile(s.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(errNotRegular, f.Close())
	}
	s.file, s.size = f, info.Size()
	return s.endLine()
}

// endLine ends a line that a crash has cut off, so that the next event has its own.
func (s *sender) endLine() error {
	if s.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := s.file.ReadAt(last, s.size-1); err != nil || last[0] == '\n' {
		return err
	}
	n, err := s.file.Write([]byte{'\n'})
	s.size += int64(n)
	return err
}

// rotate makes PATH.1 of the file, PATH.2 of PATH.1 and so on; the last one goes.
func (s *sender) rotate() error {
	name := func(i int) string { return fmt.Sprintf("%s.%d", s.Path, i) }
	for i := s.MaxFiles - 1; i >= 1; i-- {
		if err := os.Rename(name(i), name(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(s.Path, name(1))
}

func (s *sender) drop() {
	if s.file != nil {
		_ = s.file.Close() // what matters has been synced
		s.file = nil
	}
}

// Close closes the file.
func (s *sender) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

var errNotRegular = errors.New("the path is that of a folder, a device or a pipe")

// classify returns what an error means for delivery: a full disk passes, a path that is
// wrong does not.
func classify(err error) error {
	for _, wrong := range []error{
		errNotRegular, fs.ErrNotExist, fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP,
	} {
		if errors.Is(err, wrong) {
			return outputs.Hold(err)
		}
	}
	return err
}
