package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// idleCursor is how long a cursor that nobody opens is kept by Prune.
	idleCursor = 7 * 24 * time.Hour
	// saveDelay is how long changes of the cursors gather before they are saved: what was
	// acknowledged in that time before a kill is delivered again.
	saveDelay = 5 * time.Millisecond
	// saveRetry is the pause after a cursor could not be saved.
	saveRetry = time.Second

	cursorsFolder = "cursors"
	cursorSuffix  = ".cursor"
	headFile      = "head"
)

// cursors are those of all outputs, open or not, and the number that the log goes on with.
type cursors struct {
	j   *Journal
	dir string
	log *slog.Logger

	mu  sync.Mutex
	all map[string]*cursor

	// wake, which holds one, starts the saver. While nothing changes it sleeps.
	wake      chan struct{}
	saving    sync.Mutex // held while head is used
	head      *slots
	headDirty atomic.Bool
	saveTold  time.Time
	// reset counts the cursors that started from the oldest event again because what was
	// saved of them cannot be read.
	reset atomic.Uint64
}

// load reads the cursors in dir, and returns the least that the log's next number and
// counts can be.
func (s *cursors) load(dir string) (next uint64, n counts, err error) {
	s.dir, s.all, s.wake = filepath.Join(dir, cursorsFolder), map[string]*cursor{}, make(chan struct{}, 1)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return 0, n, err
	}
	if next, n, err = s.loadHead(filepath.Join(dir, headFile)); err != nil {
		return 0, n, err
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, n, err
	}
	for _, f := range files {
		path := filepath.Join(s.dir, f.Name())
		escaped, ok := strings.CutSuffix(f.Name(), cursorSuffix)
		if !ok {
			if strings.HasSuffix(f.Name(), newSuffix) {
				err = os.Remove(path) // a cursor that was being made
			}
			if err != nil {
				return 0, n, err
			}
			continue
		}
		c, err := s.loadCursor(journal.UnescapeName(escaped), path)
		if err != nil {
			return 0, n, err
		}
		next = max(next, c.read+1, c.handed+1)
		n.raise(&c.counts)
	}
	return next, n, nil
}

// loadCursor reads one cursor. One that cannot be read stands before the oldest event.
func (s *cursors) loadCursor(name, path string) (*cursor, error) {
	c := s.newCursor(name, path)
	file, record, err := openSlots(path)
	if err == nil {
		if err = c.decode(record); err != nil {
			err = errors.Join(err, file.close())
		}
	}
	if err != nil {
		s.reset.Add(1)
		s.log.Error("a cursor cannot be read: its output gets all stored events again", "output", name, "error", err)
		c.used, c.lostPlace = time.Now(), true
		if file, err = createSlots(path, c.encode(nil)); err != nil {
			return nil, err
		}
	}
	c.file = file
	s.all[name] = c
	return c, nil
}

func (s *cursors) newCursor(name, path string) *cursor {
	return &cursor{name: name, path: path, touch: s.touch, nudge: make(chan struct{}, 1), filter: filter{output: name}}
}

// loadHead reads the number that the log goes on with.
func (s *cursors) loadHead(path string) (next uint64, n counts, err error) {
	file, record, err := openSlots(path)
	if err == nil {
		if next, n, err = decodeHead(record); err != nil {
			err = errors.Join(err, file.close())
		}
	}
	switch {
	case err == nil:
		s.head = file
		return next, n, nil
	case !errors.Is(err, fs.ErrNotExist):
		s.log.Error("the number that the journal goes on with cannot be read: it is taken from the events", "error", err)
	}
	s.head, err = createSlots(path, encodeHead(1, &n))
	return 1, n, err
}

func encodeHead(next uint64, n *counts) []byte {
	b := binary.AppendUvarint([]byte{cursorVersion}, next)
	for _, k := range n {
		b = binary.AppendUvarint(b, k)
	}
	return b
}

func decodeHead(record []byte) (next uint64, n counts, err error) {
	f := fields{rest: record}
	version := f.bytes(1)
	next = f.uvarint()
	for i := range n {
		n[i] = f.uvarint()
	}
	if f.bad || len(f.rest) > 0 || version[0] != cursorVersion || next == 0 {
		return 0, counts{}, errors.New("the record is damaged")
	}
	return next, n, nil
}

// place puts the cursors that couldn't be read before the oldest event.
func (s *cursors) place(oldest position) {
	for _, c := range s.list() {
		c.mu.Lock()
		if c.lostPlace {
			c.lostPlace, c.position = false, oldest
			c.changed()
		}
		c.mu.Unlock()
	}
}

// open returns the cursor called name, and makes it at the end of the log if it is new.
func (s *cursors) open(name string) (*cursor, error) {
	escaped, err := journal.EscapeName(name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[name]; c != nil {
		return c, nil
	}
	c := s.newCursor(name, filepath.Join(s.dir, escaped+cursorSuffix))
	c.position, c.used = s.j.head.end(), time.Now()
	if c.file, err = createSlots(c.path, c.encode(nil)); err != nil {
		return nil, journal.Unavailable(err)
	}
	s.all[name] = c
	return c, nil
}

// ensure makes the cursor of an output that has none.
func (s *cursors) ensure(name string) error {
	_, err := s.open(name)
	return err
}

// expect tells the output that a chunk is for what it will find in the log.
func (s *cursors) expect(c *chunk) {
	s.mu.Lock()
	cursor := s.all[c.output]
	s.mu.Unlock()
	if cursor == nil {
		return
	}
	cursor.mu.Lock()
	defer cursor.mu.Unlock()
	cursor.expect(span{c.first, c.last()})
}

// list returns all cursors.
func (s *cursors) list() []*cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*cursor, 0, len(s.all))
	for _, c := range s.all {
		all = append(all, c)
	}
	return all
}

func (s *cursors) touchHead() {
	if !s.headDirty.Swap(true) {
		s.touch()
	}
}

func (s *cursors) touch() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run saves what has changed until the journal is closed.
func (s *cursors) run() {
	for {
		select {
		case <-s.wake:
		case <-s.j.closing:
			return
		}
		delay := saveDelay
		if err := s.save(); err != nil {
			delay = saveRetry
			s.tell(err)
			s.touch()
		}
		select {
		case <-time.After(delay):
		case <-s.j.closing:
			return
		}
	}
}

// tell logs that cursors cannot be saved, not too often.
func (s *cursors) tell(err error) {
	if now := time.Now(); now.Sub(s.saveTold) >= diskLogInterval {
		s.saveTold = now
		s.log.Error("cursors cannot be saved: after a crash outputs would get events again", "error", err)
	}
}

// save writes all cursors that have changed, and the head.
func (s *cursors) save() error {
	var failed error
	for _, c := range s.list() {
		failed = errors.Join(failed, c.save())
	}
	return errors.Join(failed, s.saveHead())
}

func (s *cursors) saveHead() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	if !s.headDirty.Swap(false) {
		return nil
	}
	next, _, n := s.j.head.state()
	if err := s.head.write(encodeHead(next, &n)); err != nil {
		s.headDirty.Store(true)
		return fmt.Errorf("save the journal's number: %w", err)
	}
	return nil
}

// close saves everything so that it survives a power cut. The saver has ended before.
func (s *cursors) close() error {
	err := s.save()
	if s.head != nil {
		err = errors.Join(err, s.head.sync(), s.head.close())
	}
	for _, c := range s.list() {
		if c.file != nil {
			err = errors.Join(err, c.file.sync(), c.file.close())
		}
	}
	return err
}

// Prune deletes the cursors of outputs that are not in keep and have not been opened for 7
// days, as journal.Journal says.
func (j *Journal) Prune(_ context.Context, keep []string) (deleted, waiting []string, err error) {
	return j.cursors.prune(keep, time.Now().Add(-idleCursor))
}

func (s *cursors) prune(keep []string, before time.Time) (deleted, waiting []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.all {
		if slices.Contains(keep, name) {
			continue
		}
		c.saving.Lock()
		c.mu.Lock()
		idle := c.holder == nil && c.used.Before(before)
		c.mu.Unlock()
		if !idle {
			waiting = append(waiting, name)
		} else if e := c.remove(); e != nil {
			err = errors.Join(err, fmt.Errorf("delete cursor %q: %w", name, journal.Unavailable(e)))
		} else {
			delete(s.all, name)
			deleted = append(deleted, name)
		}
		c.saving.Unlock()
	}
	slices.Sort(deleted)
	slices.Sort(waiting)
	return deleted, waiting, err
}

// remove deletes the file.
func (c *cursor) remove() error {
	if err := os.Remove(c.path); err != nil {
		return err
	}
	err := c.file.close()
	c.file = nil
	return err
}
