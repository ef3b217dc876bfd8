package capture

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/process"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrFull says that the next chunk would make the file larger than it may be.
var ErrFull = errors.New("the capture file is full")

// endReserve is the room that is left for the last chunk.
const endReserve = 4 << 10

// Writer writes a capture. Its methods may be called from several goroutines. After an error
// all but Size return that error.
type Writer struct {
	mu      sync.Mutex
	w       io.Writer
	encoder *zstd.Encoder
	chunk   []byte
	frame   []byte
	size    int64
	limit   int64
	// records are those in the file, pending those in the chunk.
	records, pending uint64
	err              error
}

// NewWriter writes the beginning of a capture to w and returns the Writer of the rest. The
// file will have no more than limit bytes.
func NewWriter(w io.Writer, h Header, limit int64) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("begin a capture: %w", err)
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("begin a capture: %w", err)
	}
	c := &Writer{w: w, encoder: encoder, limit: limit}
	head := append([]byte(magic), version)
	if err := c.write(appendPart(head, raw), endReserve); err != nil {
		return nil, fmt.Errorf("begin a capture: %w", err)
	}
	return c, nil
}

// appendPart appends a part with its length and checksum.
func appendPart(b, part []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(part)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(part, castagnoli))
	return append(b, part...)
}

// write writes what leaves reserve bytes free.
func (c *Writer) write(b []byte, reserve int64) error {
	if c.size+int64(len(b))+reserve > c.limit {
		return ErrFull
	}
	n, err := c.w.Write(b)
	c.size += int64(n)
	return err
}

// Record writes a record as the probe's Tap was given it.
func (c *Writer) Record(raw []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending++
	return c.add(recordEntry, raw)
}

// Process writes what is known of a process.
func (c *Writer) Process(s process.Snapshot) error { return c.addJSON(processEntry, s) }

// accountsOf are the accounts of a container, of the host for the zero ID.
type accountsOf struct {
	Container container.ID
	process.Accounts
}

// Accounts writes the users and groups of a container, of the host for the zero ID.
func (c *Writer) Accounts(of container.ID, a process.Accounts) error {
	return c.addJSON(accountsEntry, accountsOf{of, a})
}

// Container writes what is known of a container.
func (c *Writer) Container(info *container.Info) error { return c.addJSON(containerEntry, info) }

// Boot writes when the machine was booted, by a clock that was set.
func (c *Writer) Boot(boot time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(bootEntry, binary.LittleEndian.AppendUint64(nil, uint64(boot.UnixNano())))
}

func (c *Writer) addJSON(t entryType, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write to a capture: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(t, raw)
}

// add appends an entry to the chunk, which is written once it is large enough.
func (c *Writer) add(t entryType, body []byte) error {
	if c.err != nil {
		return c.err
	}
	if len(body) > maxEntry {
		return nil // no part of the sensor makes one; a reader would refuse it
	}
	c.chunk = append(c.chunk, byte(t))
	c.chunk = binary.AppendUvarint(c.chunk, uint64(len(body)))
	c.chunk = append(c.chunk, body...)
	if len(c.chunk) < chunkSize {
		return nil
	}
	return c.flush(endReserve)
}

// flush writes the chunk.
func (c *Writer) flush(reserve int64) error {
	if c.err != nil || len(c.chunk) == 0 {
		return c.err
	}
	frame := c.encoder.EncodeAll(c.chunk, nil)
	c.frame = appendPart(c.frame[:0], frame)
	if err := c.write(c.frame, reserve); err != nil {
		c.err = fmt.Errorf("write to a capture: %w", err)
		if errors.Is(err, ErrFull) {
			c.err = ErrFull
		}
	}
	if c.err == nil {
		c.records += c.pending
	}
	c.chunk, c.pending = c.chunk[:0], 0
	return c.err
}

// Flush writes what is in memory.
func (c *Writer) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush(endReserve)
}

// Size returns how many bytes the file has, and Records how many records are in it.
func (c *Writer) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// Records is described at Size.
func (c *Writer) Records() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.records
}

// Close writes the end of the capture, for which a full file has room too.
func (c *Writer) Close(lost uint64, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush(endReserve)
	if err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	c.err, c.chunk = nil, c.chunk[:0]
	raw, err := json.Marshal(End{Records: c.records, Lost: lost, Reason: reason})
	if err != nil {
		return fmt.Errorf("end a capture: %w", err)
	}
	if err := c.add(endEntry, raw); err != nil {
		return err
	}
	err = c.flush(0)
	c.err = errors.New("the capture has ended")
	return err
}
