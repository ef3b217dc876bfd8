package ingest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/saker-security/saker/event"
)

const (
	// firstRead is the room a body gets at first; typical events fit.
	firstRead = 4 << 10
	// smallBody is the size up to which a body counts as small: a part of the budget is
	// kept for such.
	smallBody = 64 << 10
	// reserve is the part of the budget kept for small bodies.
	reserve = 4
)

// A body that is not small has to come in at leastRate bytes a second, after graceTime, or
// its connection is given up: the memory that it holds is others' too. No body may take
// longer than bodyTime, which is the server's limit.
const (
	leastRate = 256 << 10
	graceTime = 5 * time.Second
	bodyTime  = 60 * time.Second
)

// readEvents reads and decodes the events in a request's body.
func readEvents(h *Handler, w http.ResponseWriter, r *http.Request) ([]event.Event, int, *refusal) {
	b := newBuffer(r.ContentLength)
	defer h.release(b)
	if no := h.readBody(w, r, b); no != nil {
		return nil, len(b.data), no
	}
	batch, no := decode(b.data, h.Limits.MaxEvents)
	return batch, len(b.data), no
}

// buffer holds one body; taken are the bytes of the budget it stands for.
type buffer struct {
	data  []byte
	taken int64
}

// pool keeps buffers for bodies of up to some size. A new one has the room first, and one
// that has grown beyond most is not kept.
type pool struct {
	sync.Pool
	upTo        int64
	first, most int
}

// pools are those for bodies of rising size. Buffers for small bodies are not mixed with
// large ones, because a body takes the room of its buffer from the budget.
var pools = [...]*pool{
	{upTo: 16 << 10, first: firstRead, most: 16 << 10},
	{upTo: smallBody, first: smallBody, most: smallBody},
	{upTo: math.MaxInt64, first: 2 * smallBody, most: 8 * smallBody},
}

// newBuffer returns a buffer for a body of the given size, -1 if it isn't known.
func newBuffer(size int64) *buffer {
	i := slices.IndexFunc(pools[:], func(p *pool) bool { return size <= p.upTo })
	if kept, ok := pools[i].Get().(*buffer); ok {
		return kept
	}
	return &buffer{data: make([]byte, 0, pools[i].first)}
}

// release gives b and its part of the budget back.
func (h *Handler) release(b *buffer) {
	h.bytes.give(b.taken)
	b.data, b.taken = b.data[:0], 0
	for _, p := range pools {
		if size := cap(b.data); size >= p.first && size <= p.most {
			p.Put(b)
			return
		}
	}
}

// readBody reads the body into b, unpacking gzip.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, b *buffer) *refusal {
	limit := int64(h.Limits.MaxBodyBytes)
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return tooLarge(limit)
	}
	body := io.Reader(r.Body)
	if r.ContentLength < 0 {
		body = http.MaxBytesReader(w, r.Body, limit)
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && strings.EqualFold(encoding, "gzip") {
		unpacked, done, err := gunzip(body)
		if err != nil {
			return unreadable(err, limit)
		}
		defer done()
		body = unpacked
	}
	p := pace{w: w}
	err := h.fill(b, body, limit, &p)
	p.end()
	if errors.Is(err, errNoBudget) {
		return overloaded()
	}
	if err != nil {
		return unreadable(err, limit)
	}
	return nil
}

var (
	errNoBudget = errors.New("too many bytes are being read")
	errTooLarge = errors.New("the body is too large")
)

// fill reads body to its end into b, taking from the budget as b grows.
func (h *Handler) fill(b *buffer, body io.Reader, limit int64, p *pace) error {
	if !h.charge(b) {
		return errNoBudget
	}
	p.expect(cap(b.data))
	for {
		if len(b.data) == cap(b.data) {
			grown := make([]byte, len(b.data), min(2*int64(cap(b.data)), max(limit+1, firstRead)))
			copy(grown, b.data)
			b.data = grown
			if !h.charge(b) {
				return errNoBudget
			}
			p.expect(cap(b.data))
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
	kept := int64(0)
	if cap(b.data) > smallBody {
		kept = int64(h.Limits.MaxInFlightBytes) / reserve
	}
	more := int64(cap(b.data)) - b.taken
	if !h.bytes.take(more, kept) {
		return false
	}
	b.taken += more
	return true
}

// pace sees to it that a body that is not small comes in fast enough.
type pace struct {
	w     http.ResponseWriter
	start time.Time
}

// expect gives the sender time to fill a buffer of size bytes. A connection that knows no
// deadlines is not one of a server's.
func (p *pace) expect(size int) {
	if size <= smallBody {
		return
	}
	now := time.Now()
	if p.start.IsZero() {
		p.start = now
	}
	until := now.Add(graceTime + time.Duration(size)*time.Second/leastRate)
	if last := p.start.Add(bodyTime); last.Before(until) {
		until = last
	}
	_ = http.NewResponseController(p.w).SetReadDeadline(until)
}

// end takes the deadline back, which would otherwise end the connection while the journal
// works; the server sets the one for the next request.
func (p *pace) end() {
	if !p.start.IsZero() {
		_ = http.NewResponseController(p.w).SetReadDeadline(p.start.Add(bodyTime))
	}
}

// budget is an amount that many may take from and give back to.
type budget struct{ left atomic.Int64 }

// take takes n if at least kept is left then.
func (b *budget) take(n, kept int64) bool {
	if b.left.Add(-n) < kept {
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

func tooMany(limit int) *refusal {
	return &refusal{
		why: ReasonTooLarge, status: http.StatusRequestEntityTooLarge, text: textTooLarge,
		detail: fmt.Sprintf("The limit is %d events in one request (limits.maxevents)", limit),
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
		return nil, tooMany(limit)
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
