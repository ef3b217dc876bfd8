package api

import (
	"context"
	"net/http"
	"time"

	"github.com/saker-security/saker/forwarder/silence"
)

// Silences are those of all forwarders that share a journal; a silence.Book is one.
type Silences interface {
	List(now time.Time) []silence.Status
	Get(id string, now time.Time) (silence.Status, error)
	Add(ctx context.Context, s silence.Silence) (silence.Silence, error)
	Expire(ctx context.Context, id string) (silence.Silence, error)
}

// SilenceList is the answer of GET /silences. It has the active ones first, then those
// that are to come, then the expired ones.
type SilenceList struct {
	Silences []silence.Status `json:"silences"`
}

// SilenceRequest is the body of POST /silences and PUT /silences/{id}.
type SilenceRequest struct {
	// Matchers must all match an event for it to be held back.
	Matchers []silence.Matcher `json:"matchers"`
	// StartsAt is now if it is zero.
	StartsAt time.Time `json:"startsAt,omitzero"`
	// EndsAt is the end; instead of it For may say how long the silence lasts: "2h".
	EndsAt time.Time `json:"endsAt,omitzero"`
	For    string    `json:"for,omitempty"`
	// Author is the one who asks if it is empty.
	Author  string `json:"author,omitempty"`
	Comment string `json:"comment,omitempty"`
}

func (a *API) listSilences(http.ResponseWriter, *http.Request) (any, error) {
	list := a.Silences.List(time.Now())
	if list == nil {
		list = []silence.Status{}
	}
	return SilenceList{list}, nil
}

func (a *API) showSilence(_ http.ResponseWriter, r *http.Request) (any, error) {
	return a.Silences.Get(parameter(r, "id"), time.Now())
}

func (a *API) addSilence(w http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.readSilence(w, r)
	if err != nil {
		return nil, err
	}
	stored, err := a.storeSilence(r, s)
	if err != nil {
		return nil, err
	}
	return created{stored, "/api/v2/silences/" + stored.ID}, nil
}

// changeSilence puts a silence in the place of one there is.
func (a *API) changeSilence(w http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.readSilence(w, r)
	if err != nil {
		return nil, err
	}
	s.ID = parameter(r, "id")
	return a.storeSilence(r, s)
}

// readSilence makes a silence of a request's body.
func (a *API) readSilence(w http.ResponseWriter, r *http.Request) (silence.Silence, error) {
	var q SilenceRequest
	if err := decode(w, r, &q); err != nil {
		return silence.Silence{}, err
	}
	s := silence.Silence{Matchers: q.Matchers, StartsAt: q.StartsAt, EndsAt: q.EndsAt, Author: q.Author, Comment: q.Comment}
	start := time.Now()
	if s.StartsAt.After(start) {
		start = s.StartsAt
	}
	switch {
	case q.For != "" && !q.EndsAt.IsZero():
		return s, invalid(`"for" and "endsAt" both say when the silence ends; give one of them`)
	case q.For != "":
		d, err := time.ParseDuration(q.For)
		if err != nil || d <= 0 {
			return s, invalid(`"for" must be how long the silence lasts, such as 2h, not %q`, q.For)
		}
		s.EndsAt = start.Add(d)
	case q.EndsAt.IsZero():
		return s, invalid(`"for" or "endsAt" must say when the silence ends`)
	}
	if s.Author == "" {
		s.Author = a.person(r)
	}
	return s, nil
}

func (a *API) storeSilence(r *http.Request, s silence.Silence) (silence.Status, error) {
	stored, err := a.Silences.Add(r.Context(), s)
	if err != nil {
		return silence.Status{}, err
	}
	a.audit(r).Info("a silence was stored", "id", stored.ID, "matchers", stored.Matchers,
		"starts", stored.StartsAt, "ends", stored.EndsAt, "author", stored.Author, "comment", stored.Comment)
	return a.status(stored), nil
}

// status is what there is to know of s, which has just been stored.
func (a *API) status(s silence.Silence) silence.Status {
	now := time.Now()
	known, err := a.Silences.Get(s.ID, now)
	if err != nil {
		return silence.Status{Silence: s, State: s.State(now)}
	}
	known.Silence, known.State = s, s.State(now)
	return known
}

func (a *API) expireSilence(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.Silences.Expire(r.Context(), parameter(r, "id"))
	if err != nil {
		return nil, err
	}
	a.audit(r).Info("a silence was ended", "id", s.ID, "comment", s.Comment)
	return a.status(s), nil
}
