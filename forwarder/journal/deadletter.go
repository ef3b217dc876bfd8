package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
)

const (
	// maxErrorText is the most bytes of an error that a dead letter keeps.
	maxErrorText = 2 << 10
	// maxDeadLetters is the most dead letters that are listed at once.
	maxDeadLetters = 1000
)

// DeadLetter is an event that no attempt could deliver to one output.
type DeadLetter struct {
	// ID is the dead letter's place among all of them. The journal gives it.
	ID     uint64      `json:"-"`
	Output string      `json:"output"`
	Event  event.Event `json:"event,omitzero"`
	// Raw is what is stored in the place of an event that cannot be decoded; Event is zero.
	Raw string `json:"raw,omitempty"`
	// Sequence and Stored are the event's place and time in the journal.
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	// Attempts counts the attempts of the process that gave up.
	Attempts int `json:"attempts"`
	// LastError is the text of the last attempt's error, at most 2 KiB of it.
	LastError string `json:"last_error"`
	// Time is when it was given up.
	Time time.Time `json:"time"`
}

// Bury stores a dead letter of this output. It returns nil only once it is stored, so
// that the event can be acknowledged then; it waits at most 5 seconds. An event that the
// same output buried within the duplicate window is stored once.
func (c *Consumer) Bury(ctx context.Context, d DeadLetter) error {
	d.Output, d.LastError = c.name, truncate(d.LastError, maxErrorText)
	d.Raw = truncate(d.Raw, maxMessage/8)
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("bury an event of %q: %w", c.name, err)
	}
	m := nats.NewMsg(deadPrefix + c.durable)
	m.Data = data
	m.Header.Set(nats.MsgIdHdr, c.durable+"."+strconv.FormatUint(d.Sequence, 10))
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if _, err := c.j.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("bury an event of %q: %w", c.name, unavailable(err))
	}
	return nil
}

// DeadLetters returns the dead letters of an output, oldest first: at most limit (and
// never more than 1000) of those with an ID above after. Without a name it returns those
// of all outputs.
func (j *Journal) DeadLetters(ctx context.Context, output string, after uint64, limit int) ([]DeadLetter, error) {
	subject := deadPrefix + ">"
	if output != "" {
		name, err := escape(output)
		if err != nil {
			return nil, fmt.Errorf("list dead letters: %w", err)
		}
		subject = deadPrefix + name
	}
	stream, err := j.js.Stream(ctx, deadStream)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", unavailable(err))
	}
	var all []DeadLetter
	for len(all) < min(max(limit, 1), maxDeadLetters) {
		m, err := stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(subject))
		if isNotFound(err) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list dead letters: %w", unavailable(err))
		}
		after = m.Sequence
		d := DeadLetter{}
		if err := json.Unmarshal(m.Data, &d); err != nil {
			d = DeadLetter{Raw: string(m.Data), LastError: fmt.Sprintf("decode the dead letter: %v", err), Time: m.Time}
		}
		d.ID, d.Output = m.Sequence, unescape(strings.TrimPrefix(m.Subject, deadPrefix))
		all = append(all, d)
	}
	return all, nil
}

// truncate cuts s to at most limit bytes, between two characters.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
