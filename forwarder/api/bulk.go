package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// workTime is how long a change of many things goes on before it answers. With what it
	// finishes then, it stays below the server's own limit for an answer.
	workTime = 40 * time.Second
	// maxSelected is the most dead letters that are named one by one.
	maxSelected = 1000
	// maxFailures is the most failures that an answer names.
	maxFailures = 20
)

// Selection is the body of POST /deadletters/replay and /deadletters/drop: either IDs, or
// All with what narrows it down.
type Selection struct {
	// IDs names up to 1000 dead letters.
	IDs []uint64 `json:"ids,omitempty"`
	// All means all dead letters, or those of Output, that were given up until Before, which
	// is the time of the request if it is zero. After leaves out those up to an ID.
	All    bool      `json:"all,omitempty"`
	Output string    `json:"output,omitempty"`
	Before time.Time `json:"before,omitzero"`
	After  uint64    `json:"after,omitempty"`
}

// SelectionReplay is the body of POST /deadletters/replay.
type SelectionReplay struct {
	Selection
	// To is the output that gets the events; empty is each one's own.
	To string `json:"to,omitempty"`
}

// Work is what a change of many dead letters has done.
type Work struct {
	Done   int `json:"done"`
	Failed int `json:"failed"`
	// Later are those that were left out because they were given up after Before.
	Later int `json:"later,omitempty"`
	// Failures are the first 20 of those that failed.
	Failures []Failure `json:"failures,omitempty"`
	// Complete tells that everything asked for has been looked at. Otherwise Stopped says
	// why it has not, and a request with the same Before and After goes on.
	Complete bool      `json:"complete"`
	Stopped  string    `json:"stopped,omitempty"`
	Before   time.Time `json:"before,omitzero"`
	After    uint64    `json:"after,omitempty"`
}

// Failure is a dead letter that stays, and why.
type Failure struct {
	ID    uint64 `json:"id"`
	Error string `json:"error"`
}

func (s *Selection) validate() error {
	switch {
	case len(s.IDs) == 0 && !s.All:
		return invalid(`"ids" must name dead letters, or "all" be true`)
	case len(s.IDs) > 0 && (s.All || s.Output != "" || s.After != 0 || !s.Before.IsZero()):
		return invalid(`"ids" goes with nothing else that selects dead letters`)
	case len(s.IDs) > maxSelected:
		return invalid(`"ids" may name at most %d dead letters, not %d`, maxSelected, len(s.IDs))
	}
	return nil
}

func (a *API) replayDeadLetters(w http.ResponseWriter, r *http.Request) (any, error) {
	var q SelectionReplay
	if err := decode(w, r, &q); err != nil {
		return nil, err
	}
	if err := q.validate(); err != nil {
		return nil, err
	}
	// Dead letters of an output that is gone can still go to another one.
	if name := cmp.Or(q.To, q.Output); name != "" {
		if err := a.configured(name, http.StatusConflict); err != nil {
			return nil, err
		}
	}
	work, err := a.work(r.Context(), &q.Selection, func(ctx context.Context, d *journal.DeadLetter) error {
		return a.resend(ctx, d, q.To)
	})
	if work.Done > 0 {
		a.audit(r).Info("dead letters were sent again",
			"count", work.Done, "failed", work.Failed, "output", q.Output, "ids", some(q.IDs), "to", q.To)
	}
	return work, err
}

func (a *API) dropDeadLetters(w http.ResponseWriter, r *http.Request) (any, error) {
	var q Selection
	if err := decode(w, r, &q); err != nil {
		return nil, err
	}
	if err := q.validate(); err != nil {
		return nil, err
	}
	work, err := a.work(r.Context(), &q, func(ctx context.Context, d *journal.DeadLetter) error {
		return a.Journal.DeadLetters().Drop(ctx, d.ID)
	})
	if work.Done > 0 {
		a.audit(r).Info("dead letters were dropped",
			"count", work.Done, "failed", work.Failed, "output", q.Output, "ids", some(q.IDs))
	}
	return work, err
}

// some are at most as many IDs as a line of the log bears.
func some(ids []uint64) []uint64 { return ids[:min(len(ids), maxFailures)] }

// work does something with each dead letter of a selection. It stops when the journal does
// not answer, when its time is up or when the client has gone; the error is for what
// stopped it before it had done anything.
func (a *API) work(ctx context.Context, s *Selection, do func(context.Context, *journal.DeadLetter) error) (Work, error) {
	end, err := a.begin()
	if err != nil {
		return Work{}, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	if s.Before.IsZero() && s.All {
		s.Before = time.Now()
	}
	w := Work{Before: s.Before, After: s.After}
	if s.All {
		err = a.workThrough(ctx, s, &w, do)
	} else {
		err = a.workOn(ctx, s.IDs, &w, do)
	}
	switch {
	case err == nil:
		w.Complete, w.Before, w.After = true, time.Time{}, 0
	case w.Done == 0 && w.Failed == 0:
		return w, err
	case errors.Is(err, context.DeadlineExceeded):
		w.Stopped = "there is more to do than fits into one request"
	default:
		w.Stopped = err.Error()
	}
	return w, nil
}

// begin takes the place of the one change of many things that may run at a time; end
// gives it back.
func (a *API) begin() (end func(), err error) {
	select {
	case a.working <- struct{}{}:
		return func() { <-a.working }, nil
	default:
		return nil, refuse(http.StatusServiceUnavailable, "another replay or drop is under way; please try again in a moment")
	}
}

// workOn works on the dead letters with the given IDs.
func (a *API) workOn(ctx context.Context, ids []uint64, w *Work, do func(context.Context, *journal.DeadLetter) error) error {
	for _, id := range ids {
		d, err := a.Journal.DeadLetters().Get(ctx, id)
		if err == nil {
			err = do(ctx, &d)
		}
		if err := w.count(ctx, id, err); err != nil {
			return err
		}
	}
	return nil
}

// workThrough works on all dead letters of a selection, page by page.
func (a *API) workThrough(ctx context.Context, s *Selection, w *Work, do func(context.Context, *journal.DeadLetter) error) error {
	for {
		page, err := a.Journal.DeadLetters().List(ctx, journal.DeadLetterQuery{Output: s.Output, After: w.After, Limit: letterPage})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			d := &page[i]
			// What is given up again meanwhile would make this go on for ever.
			if d.Time.After(s.Before) {
				w.Later++
			} else if err := w.count(ctx, d.ID, do(ctx, d)); err != nil {
				return err
			}
			w.After = d.ID
		}
	}
}

// count notes what became of one dead letter. It returns the error that ends the work:
// the journal's or ctx's, which the next dead letter would meet as well.
func (w *Work) count(ctx context.Context, id uint64, err error) error {
	switch {
	case err == nil:
		w.Done++
		return ctx.Err()
	case comeBack(err) || ctx.Err() != nil:
		return err
	}
	w.Failed++
	if len(w.Failures) < maxFailures {
		w.Failures = append(w.Failures, Failure{id, err.Error()})
	}
	return nil
}
