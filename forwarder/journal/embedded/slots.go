package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// slotBytes is the room for one record and what is before it.
	slotBytes = 64 << 10
	// slotHeader is the checksum, the generation and the length of the record.
	slotHeader = 4 + 8 + 4
	maxRecord  = slotBytes - slotHeader
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// slots is a file that holds one small record and always has a whole one, whenever the
// process or the machine stops: records are written to its two halves in turn, each with a
// checksum, and the newest good one counts. The room is taken when the file is made, so
// that a full disk doesn't keep a record from being written.
type slots struct {
	f          *os.File
	generation uint64
	buf        []byte
}

// createSlots makes a file with a first record, over one of the same name.
func createSlots(path string, record []byte) (_ *slots, err error) {
	temporary := path + newSuffix
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &slots{f: f}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(temporary))
		}
	}()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 2*slotBytes); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, fmt.Errorf("take room for %q: %w", path, err)
	}
	if err := s.write(record); err != nil {
		return nil, err
	}
	if err := s.sync(); err != nil {
		return nil, err
	}
	return s, os.Rename(temporary, path)
}

// newSuffix ends the name of a file that isn't complete yet.
const newSuffix = ".new"

// openSlots opens a file and returns its record. A file without a good record is an error.
func openSlots(path string) (*slots, []byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 2*slotBytes))
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	generation, record := newestRecord(data)
	if record == nil {
		return nil, nil, errors.Join(fmt.Errorf("%q holds no whole record", path), f.Close())
	}
	return &slots{f: f, generation: generation}, record, nil
}

// newestRecord returns the newest good record in the content of a file; nil if there is
// none.
func newestRecord(data []byte) (generation uint64, record []byte) {
	for len(data) > 0 {
		slot := data[:min(len(data), slotBytes)]
		data = data[len(slot):]
		if g, r := readSlot(slot); r != nil && (record == nil || g > generation) {
			generation, record = g, r
		}
	}
	return generation, record
}

func readSlot(slot []byte) (generation uint64, record []byte) {
	if len(slot) < slotHeader {
		return 0, nil
	}
	size := binary.BigEndian.Uint32(slot[12:])
	if uint64(size) > uint64(len(slot)-slotHeader) {
		return 0, nil
	}
	slot = slot[:slotHeader+int(size)]
	if crc32.Checksum(slot[4:], castagnoli) != binary.BigEndian.Uint32(slot) || size == 0 {
		return 0, nil
	}
	return binary.BigEndian.Uint64(slot[4:]), slot[slotHeader:]
}

// write puts a record of 1 to maxRecord bytes in the place of the older of the two. It
// survives the death of the process from here on.
func (s *slots) write(record []byte) error {
	generation := s.generation + 1
	s.buf = append(s.buf[:0], 0, 0, 0, 0)
	s.buf = binary.BigEndian.AppendUint64(s.buf, generation)
	s.buf = binary.BigEndian.AppendUint32(s.buf, uint32(len(record)))
	s.buf = append(s.buf, record...)
	binary.BigEndian.PutUint32(s.buf, crc32.Checksum(s.buf[4:], castagnoli))
	if _, err := s.f.WriteAt(s.buf, int64(generation%2)*slotBytes); err != nil {
		return err
	}
	s.generation = generation
	return nil
}

// sync makes the record survive a power cut.
func (s *slots) sync() error { return s.f.Sync() }

func (s *slots) close() error { return s.f.Close() }
