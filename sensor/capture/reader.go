package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// reader reads the entries of a capture one after the other.
type reader struct {
	r       io.Reader
	header  Header
	decoder *zstd.Decoder
	offset  int64
	frame   []byte
	chunk   []byte
	rest    []byte
	// end is the last entry, nil until it was read.
	end *End
}

// newReader reads the beginning of a capture.
func newReader(r io.Reader) (*reader, error) {
	c := &reader{r: r}
	head := make([]byte, len(magic)+1)
	if n, err := io.ReadFull(r, head); err != nil {
		if cut(err) && n == 0 || cut(err) && bytes.HasPrefix([]byte(magic), head[:min(n, len(magic))]) {
			return nil, fmt.Errorf("%w: it ends before its header", ErrFormat)
		}
		return nil, formatOr(err)
	}
	switch {
	case string(head[:len(magic)]) != magic:
		return nil, ErrFormat
	case head[len(magic)] != version:
		return nil, fmt.Errorf("it has version %d of the format, this program reads version %d", head[len(magic)], version)
	}
	c.offset = int64(len(head))
	raw, err := c.part(maxHeader)
	if err != nil {
		if cut(err) {
			return nil, fmt.Errorf("%w: it ends before its header", ErrFormat)
		}
		return nil, err
	}
	if err := json.Unmarshal(raw, &c.header); err != nil {
		return nil, &DamagedError{int64(len(head)), "its header cannot be read"}
	}
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunk))
	if err != nil {
		return nil, fmt.Errorf("read a capture: %w", err)
	}
	return c, nil
}

func cut(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func formatOr(err error) error {
	if cut(err) {
		return ErrFormat
	}
	return fmt.Errorf("read a capture: %w", err)
}

// close frees what the reader holds.
func (c *reader) close() {
	if c.decoder != nil {
		c.decoder.Close()
	}
}

// part reads one part with its length and checksum. io.EOF and io.ErrUnexpectedEOF mean that
// the file ends here.
func (c *reader) part(limit uint32) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	length, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if length == 0 || length > limit {
		return nil, &DamagedError{c.offset, fmt.Sprintf("a part of %d bytes cannot be", length)}
	}
	// The buffer grows with what is there, not with what the length claims.
	buf := bytes.NewBuffer(c.frame[:0])
	n, err := io.CopyN(buf, c.r, int64(length))
	c.frame = buf.Bytes()
	switch {
	case n < int64(length) && (err == nil || cut(err)):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case crc32.Checksum(c.frame, castagnoli) != sum:
		return nil, &DamagedError{c.offset, "its checksum is wrong"}
	}
	c.offset += int64(len(head)) + n
	return c.frame, nil
}

// next returns the next entry, whose bytes are valid until the next call. io.EOF means that
// there is none: that the capture has ended, or without an end that it was cut off.
func (c *reader) next() (entryType, []byte, error) {
	for len(c.rest) == 0 {
		if c.end != nil {
			return 0, nil, io.EOF
		}
		start := c.offset
		frame, err := c.part(maxChunk)
		if cut(err) {
			return 0, nil, io.EOF
		}
		if err != nil {
			return 0, nil, wrapped(err)
		}
		if c.chunk, err = c.decoder.DecodeAll(frame, c.chunk[:0]); err != nil {
			return 0, nil, &DamagedError{start, "a chunk cannot be decompressed"}
		}
		c.rest = c.chunk
	}
	t := entryType(c.rest[0])
	length, n := binary.Uvarint(c.rest[1:])
	if n <= 0 || length > uint64(len(c.rest)-1-n) || length > maxEntry {
		return 0, nil, &DamagedError{c.offset, "an entry is longer than its chunk"}
	}
	body := c.rest[1+n : 1+n+int(length)]
	c.rest = c.rest[1+n+int(length):]
	if t == endEntry {
		c.end = &End{}
		if err := json.Unmarshal(body, c.end); err != nil {
			return 0, nil, &DamagedError{c.offset, "the end cannot be read"}
		}
		c.rest = nil
	}
	return t, body, nil
}

func wrapped(err error) error {
	if _, ok := errors.AsType[*DamagedError](err); ok {
		return err
	}
	return fmt.Errorf("read a capture: %w", err)
}
