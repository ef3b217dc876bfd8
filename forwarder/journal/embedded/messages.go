package embedded

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// The limits of what one request reads. It ends with the chunk that reaches the bytes.
const (
	maxRead      = 64
	maxReadBytes = 512 << 10
)

// getSubject takes the questions for messages of the log.
const getSubject = "$JS.API.DIRECT.GET." + logStream

// errNothing says that there is no such message.
var errNothing = errors.New("there is nothing there")

// get returns the first chunk at the given place of the stream or behind it, for all
// outputs and for one alone. The error is errNothing if there is none.
func (l *link) get(ctx context.Context, message uint64) (*chunk, error) {
	return l.ask(ctx, fmt.Appendf(nil, `{"seq":%d,"next_by_subj":">"}`, max(message, 1)))
}

// getFor does the same for one output's own chunks.
func (l *link) getFor(ctx context.Context, message uint64, escaped string) (*chunk, error) {
	return l.ask(ctx, fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, max(message, 1), onlyPrefix+escaped))
}

// getLast returns the last chunk.
func (l *link) getLast(ctx context.Context) (*chunk, error) {
	return l.ask(ctx, []byte(`{"last_by_subj":">"}`))
}

func (l *link) ask(ctx context.Context, question []byte) (*chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	m, err := l.reads.RequestWithContext(ctx, getSubject, question)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return readMessage(m)
}

// errScattered says that some chunks cannot be read with one request.
var errScattered = errors.New("there are gaps or damaged chunks")

// getMany returns the chunks from the given place of the stream on: n, or fewer when they
// are large or the log ends or cannot be read there. The server then leaves out where each
// message is, which is half the work, and says it of the last one; so there must not be a
// gap, or the error is errScattered.
func (l *link) getMany(ctx context.Context, message uint64, n int) ([]*chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	answers := make(chan *nats.Msg, n+1) // with the one behind the last
	inbox := nats.NewInbox()
	sub, err := l.reads.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails when the connection is lost
	question := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d,"no_hdr":true}`, message, n, maxReadBytes)
	if err := l.reads.PublishRequest(getSubject, inbox, question); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	all := make([]*chunk, 0, n)
	for {
		m, err := l.answer(ctx, answers)
		if err != nil {
			return nil, err
		}
		if m.Header != nil {
			return endOfMany(m, all, message)
		}
		c, err := decodeChunk(m.Data)
		if err != nil {
			return nil, errScattered
		}
		c.message = message + uint64(len(all))
		all = append(all, c)
	}
}

// answer waits for the next of several answers.
func (l *link) answer(ctx context.Context, answers <-chan *nats.Msg) (*nats.Msg, error) {
	select {
	case m := <-answers: // most often it is there
		return m, nil
	default:
	}
	select {
	case m := <-answers:
		return m, nil
	case <-l.readsLost:
		return nil, errors.New("read the log: the log has stopped")
	case <-ctx.Done():
		return nil, fmt.Errorf("read the log: %w", ctx.Err())
	}
}

// endOfMany checks with the answer behind the last chunk that there is no gap between them.
func endOfMany(m *nats.Msg, all []*chunk, message uint64) ([]*chunk, error) {
	if m.Header.Get("Status") != "204" {
		_, err := readMessage(m)
		return nil, err
	}
	last, err := strconv.ParseUint(m.Header.Get("Nats-Last-Sequence"), 10, 64)
	if err != nil || len(all) == 0 || last != all[len(all)-1].message {
		return nil, errScattered
	}
	return all, nil
}

// readMessage makes a chunk of a message of the stream.
func readMessage(m *nats.Msg) (*chunk, error) {
	message, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		if status := m.Header.Get("Status"); status != "404" {
			return nil, fmt.Errorf("read the log: it answers %q", status+" "+m.Header.Get("Description"))
		}
		return nil, errNothing
	}
	c, err := decodeChunk(m.Data)
	if err != nil {
		stored, _ := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
		c = &chunk{text: m.Data, damaged: err, stored: stored}
	}
	c.message = message
	return c, nil
}
