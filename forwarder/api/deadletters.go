package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// Journal is what the API needs of the journal.
type Journal interface {
	AppendFor(ctx context.Context, output, call string, events []event.Event) error
	Tail(ctx context.Context, from journal.From) (journal.Tail, error)
	Recent(ctx context.Context, n int) ([]journal.Entry, error)
	Stats(ctx context.Context) (journal.Stats, error)
	DeadLetters() journal.DeadLetters
}

const (
	// letterPage is how many dead letters are read at once: an event may have a megabyte.
	letterPage = 50
	// maxLetters is the most dead letters that one answer lists.
	maxLetters = 500
)

// DeadLetter is an event that an output gave up.
type DeadLetter struct {
	ID     uint64 `json:"id"`
	Output string `json:"output"`
	// UUID, Rule, Priority and EventTime are the event's; the list has no more of it.
	UUID      string         `json:"uuid,omitempty"`
	Rule      string         `json:"rule,omitempty"`
	Priority  event.Priority `json:"priority,omitempty"`
	EventTime time.Time      `json:"eventTime,omitzero"`
	// Unreadable says that what is stored is not an event, so that it cannot be sent again.
	Unreadable bool `json:"unreadable,omitempty"`
	// Sequence and Stored are the event's place in the journal and when it was stored.
	Sequence   uint64    `json:"sequence"`
	Stored     time.Time `json:"stored,omitzero"`
	Attempts   int       `json:"attempts"`
	FirstError string    `json:"firstError,omitempty"`
	LastError  string    `json:"lastError"`
	// Time is when it was given up.
	Time time.Time `json:"time"`
	// Event is the whole event, Raw what is stored in the place of one. Both are left out
	// of lists.
	Event *event.Event `json:"event,omitempty"`
	Raw   string       `json:"raw,omitempty"`
}

// shown is d without its event.
func shown(d *journal.DeadLetter) DeadLetter {
	return DeadLetter{
		ID: d.ID, Output: d.Output, UUID: d.Event.UUID, Rule: d.Event.Rule, Priority: d.Event.Priority, EventTime: d.Event.Time,
		Unreadable: unreadable(d), Sequence: d.Sequence, Stored: d.Stored, Attempts: d.Attempts,
		FirstError: d.FirstError, LastError: d.LastError, Time: d.Time,
	}
}

// unreadable reports whether d has no event.
func unreadable(d *journal.DeadLetter) bool { return d.Event.Rule == "" }

// DeadLetterList is the answer of GET /deadletters.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"deadLetters"`
	// Next is the parameter "after" of the next page; 0 on the last one.
	Next uint64 `json:"next,omitempty"`
	// Counts are all dead letters there are, by output.
	Counts map[string]uint64 `json:"counts"`
}

// listDeadLetters answers with dead letters, oldest first.
func (a *API) listDeadLetters(_ http.ResponseWriter, r *http.Request) (any, error) {
	query := r.URL.Query()
	limit, err := number(query.Get("limit"), "limit", 1, maxLetters, defaultLimit)
	if err != nil {
		return nil, err
	}
	after, err := number(query.Get("after"), "after", 0, maxID, 0)
	if err != nil {
		return nil, err
	}
	stats, err := a.Journal.Stats(r.Context())
	if err != nil {
		return nil, err
	}
	answer := DeadLetterList{DeadLetters: []DeadLetter{}, Counts: stats.DeadLetters}
	if answer.Counts == nil {
		answer.Counts = map[string]uint64{}
	}
	q := journal.DeadLetterQuery{Output: query.Get("output"), After: after}
	for left := int(limit); left > 0; {
		q.Limit = min(left, letterPage)
		page, err := a.Journal.DeadLetters().List(r.Context(), q)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return answer, nil
		}
		for i := range page {
			answer.DeadLetters = append(answer.DeadLetters, shown(&page[i]))
		}
		q.After = page[len(page)-1].ID
		left -= len(page)
	}
	answer.Next = q.After
	return answer, nil
}

// maxID is the largest number that JSON's readers take exactly.
const maxID = 1 << 53

// number reads a number from least to most; empty is the given default.
func number(text, name string, least, most, empty uint64) (uint64, error) {
	if text == "" {
		return empty, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, invalid("%s must be a number from %d to %d, not %q", name, least, most, text)
	}
	return n, nil
}

func letterID(r *http.Request) (uint64, error) {
	return number(parameter(r, "id"), "the id of a dead letter", 1, maxID, 0)
}

func (a *API) showDeadLetter(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := letterID(r)
	if err != nil {
		return nil, err
	}
	d, err := a.Journal.DeadLetters().Get(r.Context(), id)
	if err != nil {
		return nil, err
	}
	s := shown(&d)
	s.Raw = d.Raw
	if !s.Unreadable {
		s.Event = &d.Event
	}
	return s, nil
}

// LetterReplay is the body of POST /deadletters/{id}/replay.
type LetterReplay struct {
	// To is the output that gets the event; empty is the one that gave it up.
	To string `json:"to,omitempty"`
}

// replayDeadLetter sends one dead letter again.
func (a *API) replayDeadLetter(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := letterID(r)
	if err != nil {
		return nil, err
	}
	var q LetterReplay
	if err := decode(w, r, &q); err != nil {
		return nil, err
	}
	d, err := a.Journal.DeadLetters().Get(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if err := a.resend(r.Context(), &d, q.To); err != nil {
		return nil, err
	}
	to := cmp.Or(q.To, d.Output)
	a.audit(r).Info("a dead letter was sent again", "id", id, "to", to)
	return LetterReplayed{id, to}, nil
}

// LetterReplayed is the answer of POST /deadletters/{id}/replay.
type LetterReplayed struct {
	ID uint64 `json:"id"`
	// Output is the one that gets the event.
	Output string `json:"output"`
}

// dropTimeout bounds the removal of a dead letter that has been stored for its output.
const dropTimeout = 5 * time.Second

// resend stores d's event for the output called to, or d's own, and removes d. Repeated
// after a failure in between, it stores nothing twice.
func (a *API) resend(ctx context.Context, d *journal.DeadLetter, to string) error {
	if unreadable(d) {
		return refuse(http.StatusUnprocessableEntity,
			"dead letter %d cannot be sent again, because what is stored is not an event; it can be shown and dropped", d.ID)
	}
	to = cmp.Or(to, d.Output)
	if err := a.configured(to, http.StatusConflict); err != nil {
		return err
	}
	call := "dl-" + strconv.FormatUint(d.ID, 10)
	if err := a.Journal.AppendFor(ctx, to, call, []event.Event{d.Event}); err != nil {
		return err
	}
	// The event is on its way; a client that leaves now must not make it stay here as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	if err := a.Journal.DeadLetters().Drop(ctx, d.ID); err != nil && !errors.Is(err, journal.ErrNotFound) {
		return err
	}
	return nil
}

func (a *API) dropDeadLetter(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := letterID(r)
	if err != nil {
		return nil, err
	}
	if err := a.Journal.DeadLetters().Drop(r.Context(), id); err != nil {
		return nil, err
	}
	a.audit(r).Info("a dead letter was dropped", "id", id)
	return map[string]uint64{"id": id}, nil
}
