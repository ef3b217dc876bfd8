package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/saker-security/saker/event"
)

// An entry is one encoded alert and its place in the order of all alerts.
type entry struct {
	seq  uint64
	data []byte
}

// A spool keeps entries in files, in order, until they are acknowledged.
//
//	lock                        held by the process that uses the folder
//	cursor                      two slots with the place of the first entry still needed
//	00000000000000000017.seg    entries from 17 on: length, CRC-32C, data, length, …
//
// An entry counts as kept once append has returned: it then survives the death of the
// process; that of the machine once it was forced to the disk, which the queue sees to. A
// record that was cut short ends its segment when the folder is opened again.
//
// Beyond the limits of size and age whole segments are dropped, the oldest first. A spool is
// not safe for use by several goroutines at once.
type spool struct {
	dir      string
	max      int64
	maxAge   time.Duration // 0 for any
	segments []segment     // oldest first, never overlapping
	bytes    int64
	head     uint64 // first entry that isn't acknowledged
	tail     uint64 // place after the last entry

	lock   *os.File
	cursor *os.File
	slot   int64
	out    *os.File // the last segment, nil if none is open for writing
	in     *os.File // the segment that ahead was read from
	inSeq  uint64   // the first entry of in
	inNext uint64   // the entry after the last one read from in
	inPos  int64    // where that entry starts
	ahead  []entry  // entries from head on
	buf    []byte

	// drop is told how many entries were given up, and why.
	drop func(reason string, n uint64)
}

// A segment is one file: n entries from first on, in size bytes, written from born to last.
type segment struct {
	first, n   uint64
	size       int64
	born, last time.Time
}

func (s segment) end() uint64 { return s.first + s.n }

const (
	recordHeader = 8
	segmentExt   = ".seg"
	cursorSlot   = 12
	// readAhead is how much of a segment is read at once; at least one record is.
	readAhead = 256 << 10
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// openSpool opens the folder, which it makes if needed, and locks it.
func openSpool(dir string, limit int64, maxAge time.Duration, drop func(string, uint64)) (_ *spool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &spool{dir: dir, max: limit, maxAge: maxAge, drop: drop}
	defer func() {
		if err != nil {
			_ = s.closeFiles() // the first error says more
			err = fmt.Errorf("open spool %q: %w", dir, err)
		}
	}()
	if s.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another process uses it")
		}
		return nil, fmt.Errorf("lock it: %w", err)
	}
	if err := s.loadCursor(); err != nil {
		return nil, err
	}
	if err := s.scan(); err != nil {
		return nil, err
	}
	return s, nil
}

// pending returns how many entries there are.
func (s *spool) pending() uint64 {
	var n uint64
	for _, seg := range s.segments {
		n += seg.end() - min(seg.end(), max(seg.first, s.head))
	}
	return n
}

// append keeps entries, which follow one another in place. After an error those before
// tail are kept.
func (s *spool) append(entries []entry) error {
	now := time.Now()
	for len(entries) > 0 {
		last := len(s.segments) - 1
		if s.out == nil || entries[0].seq != s.tail || s.segments[last].size >= s.segmentBytes() || s.stale(s.segments[last], now) {
			if err := s.rotate(entries[0].seq, now); err != nil {
				return err
			}
			last = len(s.segments) - 1
		}
		n, err := s.write(&s.segments[last], entries)
		if err != nil {
			_ = s.finish() // the next try gets a new file
			return err
		}
		s.segments[last].last = now
		entries = entries[n:]
	}
	s.expire(now)
	s.evict()
	return nil
}

// segmentBytes is the size at which a segment is finished, so that little is lost when
// one is dropped.
func (s *spool) segmentBytes() int64 { return min(s.max/16, 4<<20) }

// write adds as many entries to seg as fit, at least one, and returns their number.
func (s *spool) write(seg *segment, entries []entry) (int, error) {
	s.buf = s.buf[:0]
	n := 0
	for ; n < len(entries) && (n == 0 || seg.size+int64(len(s.buf)) < s.segmentBytes()); n++ {
		data := entries[n].data
		s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(data)))
		s.buf = binary.LittleEndian.AppendUint32(s.buf, crc32.Checksum(data, crcTable))
		s.buf = append(s.buf, data...)
	}
	if _, err := s.out.WriteAt(s.buf, seg.size); err != nil {
		return 0, errors.Join(err, s.out.Truncate(seg.size))
	}
	seg.size += int64(len(s.buf))
	s.bytes += int64(len(s.buf))
	seg.n += uint64(n)
	s.tail = seg.end()
	if cap(s.buf) > readAhead {
		s.buf = nil
	}
	return n, nil
}

// rotate finishes the last segment and begins one whose first entry is seq.
func (s *spool) rotate(seq uint64, now time.Time) error {
	if err := s.finish(); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path(seq), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if len(s.segments) == 0 {
		s.head = max(s.head, seq)
	}
	s.out, s.tail = f, seq
	s.segments = append(s.segments, segment{first: seq, born: now, last: now})
	return syncDirectory(s.dir)
}

// finish forces the last segment to the disk and closes it.
func (s *spool) finish() error {
	if s.out == nil {
		return nil
	}
	err := errors.Join(s.out.Sync(), s.out.Close())
	s.out = nil
	if last := len(s.segments) - 1; last >= 0 && s.segments[last].n == 0 {
		err = errors.Join(err, s.remove(last))
	}
	return err
}

// evict drops the oldest segments until the others are within the limit. The last one
// stays: it is much smaller than the limit.
func (s *spool) evict() {
	for s.bytes > s.max && len(s.segments) > 1 {
		seg := s.segments[0]
		if lost := seg.end() - max(s.head, seg.first); lost > 0 {
			s.drop(dropSpoolFull, lost)
		}
		s.ack(seg.end())
	}
}

// read returns entries from the first that isn't acknowledged on, up to limit of them and
// maxBytes, but at least one if there is any.
func (s *spool) read(limit, maxBytes int) []entry {
	s.expire(time.Now())
	for len(s.ahead) == 0 && s.head < s.tail {
		s.fill()
	}
	n, size := 0, 0
	for n < len(s.ahead) && n < limit && (n == 0 || size+len(s.ahead[n].data) <= maxBytes) {
		size += len(s.ahead[n].data)
		n++
	}
	return slices.Clone(s.ahead[:n])
}

// fill reads ahead in the segment of head, or steps over what can't be read.
func (s *spool) fill() {
	i := slices.IndexFunc(s.segments, func(seg segment) bool { return seg.end() > s.head })
	if i < 0 {
		s.ack(s.tail)
		return
	}
	seg := s.segments[i]
	if s.head < seg.first {
		s.ack(seg.first)
	}
	if err := s.load(seg); err != nil {
		s.drop(dropCorrupt, seg.end()-s.head)
		s.ack(seg.end())
	}
}

// load fills ahead from seg, whose entries it steps over up to head.
func (s *spool) load(seg segment) error {
	if s.in == nil || s.inSeq != seg.first {
		s.closeIn()
		f, err := os.Open(s.path(seg.first))
		if err != nil {
			return err
		}
		s.in, s.inSeq, s.inNext, s.inPos = f, seg.first, seg.first, 0
	}
	for ; s.inNext < s.head; s.inNext++ {
		size, err := s.sizeAt(s.inPos, seg.size)
		if err != nil {
			return err
		}
		s.inPos += recordHeader + size
	}
	size, err := s.sizeAt(s.inPos, seg.size)
	if err != nil {
		return err
	}
	chunk := make([]byte, min(max(readAhead, recordHeader+size), seg.size-s.inPos))
	if _, err := s.in.ReadAt(chunk, s.inPos); err != nil {
		return err
	}
	for s.inNext < seg.end() {
		data, ok := cutRecord(&chunk)
		if !ok {
			break
		}
		s.ahead = append(s.ahead, entry{s.inNext, data})
		s.inPos += recordHeader + int64(len(data))
		s.inNext++
	}
	if len(s.ahead) == 0 {
		return errors.New("a record is damaged")
	}
	return nil
}

// sizeAt returns the length of the data of the record at pos.
func (s *spool) sizeAt(pos, end int64) (int64, error) {
	var header [recordHeader]byte
	if _, err := s.in.ReadAt(header[:], pos); err != nil {
		return 0, err
	}
	size := int64(binary.LittleEndian.Uint32(header[:]))
	if size > event.MaxEventBytes || pos+recordHeader+size > end {
		return 0, errors.New("a record is damaged")
	}
	return size, nil
}

// cutRecord takes the first record off buf and returns its data; false if there is no
// whole and sound one.
func cutRecord(buf *[]byte) ([]byte, bool) {
	b := *buf
	if len(b) < recordHeader {
		return nil, false
	}
	size, sum := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if size == 0 || size > event.MaxEventBytes || int(size) > len(b)-recordHeader {
		return nil, false
	}
	data := b[recordHeader : recordHeader+size : recordHeader+size]
	if crc32.Checksum(data, crcTable) != sum {
		return nil, false
	}
	*buf = b[recordHeader+size:]
	return data, true
}

// ack says that the entries before seq are no longer needed.
func (s *spool) ack(seq uint64) {
	if seq <= s.head {
		return
	}
	s.head = seq
	done := 0
	for done < len(s.ahead) && s.ahead[done].seq < seq {
		done++
	}
	if s.ahead = s.ahead[done:]; len(s.ahead) == 0 {
		s.ahead = nil // gives up what was read
	}
	for len(s.segments) > 0 && s.segments[0].end() <= seq {
		if s.in != nil && s.inSeq == s.segments[0].first {
			s.closeIn()
		}
		if len(s.segments) == 1 && s.out != nil {
			_ = s.out.Close() // nobody needs what is in it
			s.out = nil
		}
		_ = s.remove(0) // what stays there by mistake is before the cursor
	}
	s.saveCursor()
}

// remove deletes segment i.
func (s *spool) remove(i int) error {
	err := os.Remove(s.path(s.segments[i].first))
	s.bytes -= s.segments[i].size
	s.segments = slices.Delete(s.segments, i, i+1)
	return err
}

func (s *spool) path(first uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d%s", first, segmentExt))
}

// scan finds the segments and cuts off what was not written to its end.
func (s *spool) scan() error {
	files, err := os.ReadDir(s.dir) // sorted by name
	if err != nil {
		return err
	}
	for _, f := range files {
		digits, isSegment := strings.CutSuffix(f.Name(), segmentExt)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !isSegment || err != nil || len(digits) != 20 {
			continue
		}
		if err := s.scanSegment(first); err != nil {
			return err
		}
	}
	s.tail = s.head
	if last := len(s.segments) - 1; last >= 0 {
		s.tail = max(s.segments[last].end(), s.head)
	}
	if s.head > 0 {
		s.dropAcknowledged()
	}
	return nil
}

// scanSegment reads the segment whose first entry is first.
func (s *spool) scanSegment(first uint64) error {
	path := s.path(first)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	seg := segment{first: first, born: info.ModTime(), last: info.ModTime()}
	rest := data
	for len(rest) > 0 {
		if _, ok := cutRecord(&rest); !ok {
			break
		}
		seg.n++
	}
	seg.size = int64(len(data) - len(rest))
	if len(rest) > 0 {
		if err := os.Truncate(path, seg.size); err != nil {
			return err
		}
	}
	if last := len(s.segments) - 1; last >= 0 {
		// A write that failed half-way may have left whole records, which came again later.
		s.segments[last].n = min(s.segments[last].n, first-s.segments[last].first)
		before := s.segments[last].end()
		if lost := first - max(min(s.head, first), before); lost > 0 {
			s.drop(dropCorrupt, lost)
		}
	}
	if seg.n == 0 {
		return os.Remove(path)
	}
	s.segments = append(s.segments, seg)
	s.bytes += seg.size
	return nil
}

// dropAcknowledged removes the segments before the cursor, which a crash has left.
func (s *spool) dropAcknowledged() {
	head := s.head
	s.head = 0
	s.ack(head)
}

// loadCursor reads where the first entry still needed is.
func (s *spool) loadCursor() error {
	var err error
	if s.cursor, err = os.OpenFile(filepath.Join(s.dir, "cursor"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	var slots [2 * cursorSlot]byte
	if _, err := s.cursor.ReadAt(slots[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i := range int64(2) {
		slot := slots[i*cursorSlot:][:cursorSlot]
		seq := binary.LittleEndian.Uint64(slot)
		if binary.LittleEndian.Uint32(slot[8:]) == crc32.Checksum(slot[:8], crcTable) && seq > s.head {
			s.head, s.slot = seq, i
		}
	}
	return nil
}

// saveCursor writes head to the older of the two slots. When that fails, entries may be
// sent again after a restart, and nothing is lost.
func (s *spool) saveCursor() {
	slot := binary.LittleEndian.AppendUint64(nil, s.head)
	slot = binary.LittleEndian.AppendUint32(slot, crc32.Checksum(slot, crcTable))
	s.slot = 1 - s.slot
	_, _ = s.cursor.WriteAt(slot, s.slot*cursorSlot)
}

// close forces everything to the disk and gives the folder back.
func (s *spool) close() error {
	return errors.Join(s.finish(), s.closeFiles())
}

func (s *spool) closeIn() {
	if s.in != nil {
		_ = s.in.Close() // it was only read
		s.in = nil
	}
	s.ahead = nil
}

func (s *spool) closeFiles() error {
	s.closeIn()
	var errs []error
	for _, f := range []*os.File{s.out, s.cursor, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	s.out, s.cursor, s.lock = nil, nil, nil
	return errors.Join(errs...)
}
