package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"
)

const (
	// pollInterval is how often the log is looked at once it was read to its end.
	pollInterval = 250 * time.Millisecond
	// saveInterval is how often the state file is written, if anything was judged.
	saveInterval = time.Second
	// maxLine is how long a line of the log may be, in bytes. Longer ones are given up.
	maxLine = 1 << 20
	// readSize is how much is read of the log at once.
	readSize = 64 << 10
)

// tail follows the log.
type tail struct {
	Log
	source *Source
	marks  marks
	// file is what is being read, from its start up to offset; rest is the part of a line
	// that has no end yet, and skipping says that a line was too long and its end is looked
	// for.
	file     *followed
	offset   int64
	rest     []byte
	skipping bool
	saved    time.Time
}

// run reads the log until ctx ends.
func (t *tail) run(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	t.resume()
	told := false
	for {
		err := t.step(ctx)
		if err != nil && !told && ctx.Err() == nil {
			t.source.log.Warn("the API server's audit log cannot be read for now", "error", err)
		}
		told = err != nil
		t.saveSometimes()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// step reads what there is to read now.
func (t *tail) step(ctx context.Context) error {
	if t.file == nil {
		if err := t.open(); err != nil {
			return err
		}
	}
	return t.follow(ctx)
}

// finish saves and closes what run has left.
func (t *tail) finish() {
	t.save()
	if t.file != nil {
		t.leave()
	}
}

// resume opens the file that was read last, where it was left. Without a state it goes to the
// end of the log, or to its start if the configuration says so.
func (t *tail) resume() {
	state, err := readState(t.State, t.Path)
	if err != nil {
		t.source.log.Warn("the state of the audit log cannot be read and begins anew", "error", err)
	}
	if state != nil {
		if t.file = state.find(); t.file != nil {
			t.offset = state.Offset
		} else {
			t.source.log.Warn("the audit log that was read last is gone, so that events may be missing; the one there is now is read from its start", "file", t.Path)
		}
		return
	}
	if t.From == "start" || t.open() != nil {
		return
	}
	if info, err := t.file.Stat(); err == nil {
		t.offset = info.Size()
	}
	// The rest of a line that is being written now is no line.
	last := []byte{'\n'}
	_, err = t.file.ReadAt(last, t.offset-1)
	t.skipping = err == nil && last[0] != '\n'
	t.file.identify()
	t.judged(mark{t.file, t.offset})
}

// open opens the log at its start.
func (t *tail) open() error {
	f, err := open(t.Path)
	if err != nil {
		return err
	}
	t.file, t.offset, t.rest, t.skipping = f, 0, t.rest[:0], false
	return nil
}

// leave closes the file.
func (t *tail) leave() {
	t.file.Close()
	t.file = nil
}

// follow reads what is new. If after that the path leads to another file it goes on with that
// one at its start, and if the file was cut, at its start too.
func (t *tail) follow(ctx context.Context) error {
	for {
		// The order matters: what is written before the file is replaced is read here.
		replaced := t.replaced()
		if err := t.read(ctx); err != nil {
			return err
		}
		if !replaced {
			return t.cut()
		}
		if err := t.line(ctx, t.rest); err != nil {
			return err
		}
		t.source.counters.rotations.Add(1)
		t.leave()
		if t.open() != nil {
			return nil
		}
	}
}

// replaced says whether the path leads to another file than the one that is read. One that
// is gone for now is not.
func (t *tail) replaced() bool {
	now, err := os.Stat(t.Path)
	if err != nil {
		return false
	}
	open, err := t.file.Stat()
	return err == nil && !os.SameFile(now, open)
}

// cut goes to the start of a file that is shorter than what was read of it.
func (t *tail) cut() error {
	info, err := t.file.Stat()
	if err != nil || info.Size() >= t.offset {
		return err
	}
	t.source.counters.truncations.Add(1)
	t.leave()
	return ignoreMissing(t.open())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// read takes all lines up to the end of the file.
func (t *tail) read(ctx context.Context) error {
	chunk := make([]byte, readSize)
	for {
		n, err := t.file.ReadAt(chunk, t.offset)
		t.offset += int64(n)
		t.source.counters.logBytes.Add(uint64(n))
		if err := t.lines(ctx, chunk[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			t.file.identify()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lines takes the lines that end in b, which ends at the offset.
func (t *tail) lines(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			t.keep(b)
			return nil
		}
		t.keep(b[:i])
		b = b[i+1:]
		line := t.rest
		t.rest = t.rest[:0]
		if t.skipping {
			t.skipping = false
			continue
		}
		if err := t.lineUpTo(ctx, line, t.offset-int64(len(b))); err != nil {
			return err
		}
	}
	return nil
}

// keep adds to the line that has no end yet.
func (t *tail) keep(b []byte) {
	if t.skipping {
		return
	}
	if len(t.rest)+len(b) <= maxLine {
		t.rest = append(t.rest, b...)
		return
	}
	t.skipping = true
	t.rest = t.rest[:0]
	t.source.counters.tooLarge.Add(1)
	t.source.log.Warn("a line of the audit log is too long and was given up", "limit_bytes", maxLine)
}

// line takes a last line that has no end.
func (t *tail) line(ctx context.Context, line []byte) error { return t.lineUpTo(ctx, line, t.offset) }

// lineUpTo puts the events of a line that ends at offset into the queue, and waits while that
// is full.
func (t *tail) lineUpTo(ctx context.Context, line []byte, offset int64) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	d := delivery{size: int64(len(line)), mark: mark{t.file, offset}}
	d.events, d.err = Split(string(line))
	return t.source.queue.put(ctx, d)
}
