package ingest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"github.com/saker-security/saker/event"
)

const (
	// firstRead is the room a body gets at first; typical events fit.
	firstRead = 4 << 10
	// keptBuffer is the largest buffer that is kept for later requests.
	keptBuffer = 64 << 10
)

// readEvents reads and decodes the events in a request's body.
func (h *Handler) readEvents(w http.ResponseWriter, r *http.Request) ([]event.Event, *refusal) {
	b := buffers.Get().(*buffer)
	defer func() {
		h.bytes.give(b.taken)
		b.release()
	}()
	if no := h.readBody(w, r, b); no != nil {
		return nil, no
	}
	return decode(b.data, h.Limits.MaxEvents)
}

// buffer holds one body; taken are the bytes of the budget it stands for.
type buffer struct {
	data  []byte
	taken int64
}

var buffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, 0, firstRead)} }}

func (b *buffer) release() {
	if cap(b.data) <= keptBuffer {
		b.data, b.taken = b.data[:0], 0
		buffers.Put(b)
	}
}

// readBody reads the body into b, unpacking gzip.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, b *buffer) *refusal {
	limit := int64(h.Limits.MaxBodyBytes)
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return tooLarge(limit)
	}
	body := io.Reader(http.MaxBytesReader(w, r.Body, limit))
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		unpacked, done, err := gunzip(body)
		if err != nil {
			return unreadable(err, limit)
		}
		defer done()
		body = unpacked
	}
	if err := h.fill(b, body, limit); err != nil {
		if errors.Is(err, errNoBudget) {
			return overloaded()
		}
		return unreadable(err, limit)
	}
	return nil
}

var (
	errNoBudget = errors.New("too many bytes are being read")
	errTooLarge = errors.New("the body is too large")
)

// fill reads body to its end into b, taking from the budget as b grows.
func (h *Handler) fill(b *buffer, body io.Reader, limit int64) error {
	if !h.charge(b) {
		return errNoBudget
	}
	for {
		if len(b.data) == cap(b.data) {
			grown := make([]byte, len(b.data), 2*cap(b.data))
			copy(grown, b.data)
			b.data = grown
			if !h.charge(b) {
				return errNoBudget
			}
		}
		n, err := body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		if int64(len(b.data)) > limit {
			return errTooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// charge takes from the budget what b has grown by.
func (h *Handler) charge(b *buffer) bool {
	more := int64(cap(b.data)) - b.taken
	if !h.bytes.take(more) {
		return false
	}
	b.taken += more
	return true
}

// budget is an amount that many may take from and give back to.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.left.Add(n) }

var unpackers = sync.Pool{New: func() any { return new(gzip.Reader) }}

// gunzip returns what body unpacks to. A body that says it is gzip and is not, is taken as
// it is: Falcosidekick never looks at the header, so senders may be wrong about it.
func gunzip(body io.Reader) (io.Reader, func(), error) {
	head := bufio.NewReader(body)
	if magic, err := head.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return head, func() {}, nil
	}
	z := unpackers.Get().(*gzip.Reader)
	if err := z.Reset(head); err != nil {
		unpackers.Put(z)
		return nil, nil, fmt.Errorf("unpack the body: %w", err)
	}
	return z, func() { unpackers.Put(z) }, nil
}

func unreadable(err error, limit int64) *refusal {
	if _, long := errors.AsType[*http.MaxBytesError](err); long || errors.Is(err, errTooLarge) {
		return tooLarge(limit)
	}
	return invalid(err, "")
}

func tooLarge(limit int64) *refusal {
	return &refusal{
		why: ReasonTooLarge, status: http.StatusRequestEntityTooLarge, text: textTooLarge,
		detail: fmt.Sprintf("The limit is %d bytes after decompression (limits.maxbodybytes)", limit),
	}
}

// decode returns the events of a body.
//
// The answer about a body with a single event is Falcosidekick's, to the byte; when there
// are several, a second line says which one is wrong.
func decode(body []byte, limit int) ([]event.Event, *refusal) {
	all, err := event.DecodeAll(body, limit)
	if err == nil {
		return all, nil
	}
	list := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("["))
	switch {
	case len(all) == limit && limit > 1:
		return nil, &refusal{
			why: ReasonTooLarge, status: http.StatusRequestEntityTooLarge, text: textTooLarge,
			detail: fmt.Sprintf("The limit is %d events in one request (limits.maxevents)", limit),
		}
	case !list && len(all) == 1 && trailingRubbish(body):
		return all, nil
	case list || len(all) > 0:
		return nil, invalid(err, err.Error())
	case len(body) > event.MaxEventBytes:
		return nil, tooLarge(event.MaxEventBytes)
	}
	return nil, invalid(err, "")
}

// trailingRubbish reports whether what follows the first JSON value is no attempt at
// another event. Falcosidekick reads the first value only, so senders get away with it.
func trailingRubbish(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	var first json.RawMessage
	if d.Decode(&first) != nil {
		return false
	}
	rest := bytes.TrimLeft(body[d.InputOffset():], " \t\r\n")
	return !bytes.HasPrefix(rest, []byte("{"))
}

// placed names the event that err is about, if there are several.
func placed(i, n int, err error) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("event %d: %v", i+1, err)
}
