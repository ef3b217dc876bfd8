package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// headBytes is how much of a file's start tells it apart from another that has got its
	// number in the file system.
	headBytes = 1024
	// maxState is how large a state file may be, in bytes.
	maxState = 16 << 10
	// maxSiblings is how many files of the log's folder are looked at for one that was
	// renamed.
	maxSiblings = 10_000
)

// followed is a log file with what tells it apart from others.
type followed struct {
	*os.File
	device, inode uint64
	// sum is that of the first summed bytes, at most headBytes.
	sum    string
	summed int64
}

func open(path string) (*followed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	file := &followed{File: f}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		file.device, file.inode = s.Dev, s.Ino
	}
	return file, nil
}

// identify takes the sum of the file's start, as far as there is one by now.
func (f *followed) identify() {
	if f.summed == headBytes {
		return
	}
	if sum, read, err := f.head(headBytes); err == nil {
		f.sum, f.summed = sum, read
	}
}

// head returns the sum of the file's first n bytes, or fewer if it has no more.
func (f *followed) head(n int64) (sum string, read int64, err error) {
	h := sha256.New()
	read, err = io.Copy(h, io.NewSectionReader(f, 0, n))
	return hex.EncodeToString(h.Sum(nil)), read, err
}

// mark is a place in a file.
type mark struct {
	file   *followed
	offset int64
}

// marks hold up to where events were judged.
type marks struct {
	mu   sync.Mutex
	last mark
	// written is what the state file has, and failed says that it could not be written.
	written mark
	failed  bool
}

// judged notes that the log was judged up to m.
func (t *tail) judged(m mark) {
	t.marks.mu.Lock()
	defer t.marks.mu.Unlock()
	t.marks.last = m
}

// state is what the state file holds.
type state struct {
	Path   string `json:"path"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// HeadBytes and Head are the sum of the file's start.
	HeadBytes int64  `json:"head_bytes"`
	Head      string `json:"head_sha256"`
	Offset    int64  `json:"offset"`
}

// readState returns the state for a log; nil if there is none.
func readState(file, path string) (*state, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read %q: %w", file, err)
	}
	if s.Path != path || s.Offset < 0 {
		return nil, nil
	}
	return &s, nil
}

// find opens the file that the state is about, which may have been renamed in its folder;
// nil if there is none.
func (s *state) find() *followed {
	if f := s.same(s.Path); f != nil {
		return f
	}
	folder, err := os.Open(filepath.Dir(s.Path))
	if err != nil {
		return nil
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(maxSiblings)
	for _, name := range names {
		path := filepath.Join(filepath.Dir(s.Path), name)
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if sys, ok := info.Sys().(*syscall.Stat_t); !ok || sys.Ino != s.Inode {
			continue
		}
		if f := s.same(path); f != nil {
			return f
		}
	}
	return nil
}

// same opens a file if it is the state's.
func (s *state) same(path string) *followed {
	f, err := open(path)
	if err != nil {
		return nil
	}
	sum, read, err := f.head(min(s.HeadBytes, headBytes))
	if err == nil && f.device == s.Device && f.inode == s.Inode && read == s.HeadBytes && sum == s.Head {
		if info, err := f.Stat(); err == nil && info.Size() >= s.Offset {
			return f
		}
	}
	f.Close()
	return nil
}

// saveSometimes saves once saveInterval has passed.
func (t *tail) saveSometimes() {
	if time.Since(t.saved) >= saveInterval {
		t.saved = time.Now()
		t.save()
	}
}

// save writes up to where the log was judged, if that has changed.
func (t *tail) save() {
	m := &t.marks
	m.mu.Lock()
	last := m.last
	m.mu.Unlock()
	if t.State == "" || last.file == nil || last == m.written {
		return
	}
	err := t.write(last)
	if err != nil && !m.failed {
		t.source.log.Warn("the state of the audit log cannot be written, so that events may come again after a restart", "error", err)
	}
	if m.failed = err != nil; !m.failed {
		m.written = last
	}
}

func (t *tail) write(last mark) error {
	text, err := json.Marshal(state{
		Path: t.Path, Device: last.file.device, Inode: last.file.inode,
		HeadBytes: last.file.summed, Head: last.file.sum, Offset: last.offset,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.State), 0o755); err != nil {
		return err
	}
	next := t.State + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, t.State)
}
