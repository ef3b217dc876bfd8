package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

const (
	// replayChunk and replayBytes bound what is stored for an output at once.
	replayChunk = 500
	replayBytes = 4 << 20
	// replayIdle is how long the journal may take for the next event that it ought to have.
	// What cannot be decoded is left out by the journal, and may be the last there is.
	replayIdle = 5 * time.Second
	// replaySlack is how far behind its end a range is searched for events that a clock,
	// when it was set back, has put behind later ones.
	replaySlack = time.Minute
)

// EventReplay is the body of POST /events/replay.
type EventReplay struct {
	// Since and Until are the range, by the time at which the forwarder stored the events:
	// RFC 3339, or how long ago. Until may be empty, which is now.
	Since string `json:"since"`
	Until string `json:"until,omitempty"`
	// Output is the one that gets the events, whatever its route and the silences say.
	Output string `json:"output"`
	// Match is an expression as outputs have; empty is all events.
	Match string `json:"match,omitempty"`
	// Limit is the most events that are sent; 0 is no limit.
	Limit int `json:"limit,omitempty"`
	// DryRun counts and sends nothing.
	DryRun bool `json:"dryRun,omitempty"`
	// ID and After are those of an answer that was not complete; with them a replay goes on.
	// The same ID sends the same event only once within the journal's duplicate window.
	ID    string `json:"id,omitempty"`
	After uint64 `json:"after,omitempty"`
}

// EventsReplayed is the answer of POST /events/replay.
type EventsReplayed struct {
	// Read are the events looked at, Matched those of them that were meant, Appended those
	// that were stored for the output.
	Read     int `json:"read"`
	Matched  int `json:"matched"`
	Appended int `json:"appended"`
	// Unclear are the events for which Match could not be evaluated; they do not match.
	Unclear int `json:"unclear,omitempty"`
	// Since and Until are the range as it was understood.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Oldest is when the oldest event in the journal was stored, if that is later than the
	// range's start: what came before is gone.
	Oldest time.Time `json:"oldest,omitzero"`
	// Complete tells that the whole range has been read, or as many sent as were wanted.
	// Otherwise Stopped says why not, and a request with Since, Until, ID and After as they
	// are here goes on.
	Complete bool   `json:"complete"`
	Stopped  string `json:"stopped,omitempty"`
	ID       string `json:"id"`
	After    uint64 `json:"after,omitempty"`
}

// replayEvents sends events of the past to one output again.
func (a *API) replayEvents(w http.ResponseWriter, r *http.Request) (any, error) {
	var q EventReplay
	if err := decode(w, r, &q); err != nil {
		return nil, err
	}
	p, err := a.plan(&q)
	if err != nil {
		return nil, err
	}
	end, err := a.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(r.Context(), workTime)
	defer cancel()
	err = p.run(ctx)
	answer := p.EventsReplayed
	if answer.Appended > 0 {
		a.audit(r).Info("events were sent again", "output", q.Output, "count", answer.Appended,
			"since", p.Since, "until", p.Until, "match", q.Match, "id", p.ID)
	}
	switch {
	case err == nil:
		answer.Complete = true
	case answer.Read == 0:
		return nil, err
	case errors.Is(err, context.DeadlineExceeded):
		answer.Stopped = "there is more to do than fits into one request"
	default:
		answer.Stopped = err.Error()
	}
	return answer, nil
}

// replay is one request's share of a replay.
type replay struct {
	EventsReplayed
	journal Journal
	output  string
	match   *route.Match
	limit   int
	dryRun  bool
	// at is the place of the event read last; wait are the events up to it that are stored
	// for the output next.
	at    uint64
	wait  []event.Event
	first uint64 // the place of the first of them
	bytes int
}

var replayID = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// plan finds out whether a replay can be made.
func (a *API) plan(q *EventReplay) (*replay, error) {
	p := &replay{journal: a.Journal, output: q.Output, limit: q.Limit, dryRun: q.DryRun}
	now := time.Now()
	var err error
	if p.Since, err = moment(`"since"`, q.Since, now); err != nil {
		return nil, err
	}
	if p.Until, err = moment(`"until"`, q.Until, now); err != nil {
		return nil, err
	}
	if p.Until.IsZero() {
		p.Until = now
	}
	switch {
	case p.Since.IsZero():
		return nil, invalid(`"since" says where the replay starts and is missing`)
	case !p.Since.Before(p.Until):
		return nil, invalid(`"until" must be later than "since"`)
	case q.Limit < 0:
		return nil, invalid(`"limit" must not be negative`)
	case q.ID != "" && !replayID.MatchString(q.ID):
		return nil, invalid(`"id" must be that of an earlier answer`)
	case q.Output == "":
		return nil, invalid(`"output" names the output that gets the events and is missing`)
	}
	if err := a.configured(q.Output, http.StatusConflict); err != nil {
		return nil, err
	}
	if p.match, err = route.Compile(q.Match); err != nil {
		return nil, invalid(`"match": %v`, err)
	}
	p.ID, p.After, p.at = q.ID, q.After, q.After
	if p.ID == "" {
		p.ID = rand.Text()
	}
	return p, nil
}

// run reads the range and stores what matches. After it, After is the place up to which
// everything has been dealt with.
func (p *replay) run(ctx context.Context) error {
	stats, err := p.journal.Stats(ctx)
	if err != nil {
		return err
	}
	if stats.Oldest.After(p.Since) {
		p.Oldest = stats.Oldest
	}
	last, err := p.last(ctx, &stats)
	if err != nil || last <= p.at {
		return err
	}
	tail, err := p.journal.Tail(ctx, journal.From{After: p.After, Since: p.Since})
	if err != nil {
		return err
	}
	defer tail.Close()
	err = p.read(ctx, tail, last)
	// What has been read is still stored when the time for reading is up, but not when the
	// one who asked has gone.
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(p.store(context.WithoutCancel(ctx)), err)
	}
	return err
}

// last returns the place of the newest event of the range, 0 if there is none. The newest
// place of all may be that of an event for one output alone, which no Tail comes to.
func (p *replay) last(ctx context.Context, stats *journal.Stats) (uint64, error) {
	newest, err := p.journal.Recent(ctx, 1)
	switch {
	case err != nil || stats.Events == 0:
		return 0, err
	case len(newest) == 0:
		return stats.Last, nil // what is newest cannot be decoded
	case newest[0].Stored.Before(p.Since):
		return 0, nil
	}
	return newest[0].Sequence, nil
}

// read takes events up to the place last.
func (p *replay) read(ctx context.Context, tail journal.Tail, last uint64) error {
	for p.at < last && (p.limit == 0 || p.Matched < p.limit) {
		entry, more, err := next(ctx, tail)
		if err != nil || !more || entry.Sequence > last || entry.Stored.After(p.Until.Add(replaySlack)) {
			return err
		}
		p.at = entry.Sequence
		p.Read++
		if p.wants(&entry) {
			p.Matched++
			if len(p.wait) == 0 {
				p.first = entry.Sequence
			}
			p.wait = append(p.wait, entry.Event)
			p.bytes += size(&entry.Event)
		}
		if len(p.wait) >= replayChunk || p.bytes >= replayBytes {
			if err := p.store(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// wants reports whether an event lies in the range and matches. An event for which the
// expression cannot be evaluated does not: unlike a route, a replay must not send what
// nobody asked for.
func (p *replay) wants(entry *journal.Entry) bool {
	if entry.Stored.Before(p.Since) || entry.Stored.After(p.Until) {
		return false
	}
	pass, err := p.match.Eval(&entry.Event)
	if err != nil {
		p.Unclear++
	}
	return pass && err == nil
}

// next returns the next entry; more is false when there is none, although there should be.
func next(ctx context.Context, tail journal.Tail) (entry journal.Entry, more bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, replayIdle)
	defer cancel()
	entry, err = tail.Next(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return entry, false, nil
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return entry, true, err
}

// store stores what waits for the output. Everything up to at has been dealt with then.
func (p *replay) store(ctx context.Context) error {
	if len(p.wait) > 0 && !p.dryRun {
		// What failed half-way is read again from its first event on, and called the same.
		call := "replay-" + p.ID + "-" + strconv.FormatUint(p.first, 10)
		if err := p.journal.AppendFor(ctx, p.output, call, p.wait); err != nil {
			return err
		}
		p.Appended += len(p.wait)
	}
	p.After = p.at
	clear(p.wait)
	p.wait, p.bytes = p.wait[:0], 0
	return nil
}

// size is about how many bytes e takes.
func size(e *event.Event) int {
	n := len(e.Output) + len(e.Rule)
	for _, f := range e.Fields {
		n += len(f.Name) + len(f.Value.Text())
	}
	return n
}
