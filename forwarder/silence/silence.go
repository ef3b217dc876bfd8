// Package silence keeps the silences: agreements that for some time nobody is to be told
// of certain events. A silence stops notification, never history.
//
// It stands beside route, which asks it about every event that an output would get. The
// silences are stored in a bucket of the journal, so that they survive restarts and are
// shared by all forwarders of a cluster. A Book is one forwarder's view of them: it follows
// the bucket, and everything it knows has come from there.
//
//	Add, Expire ──▶ bucket ── Watch ──▶ Book ── snapshot ──▶ Silenced
//
// Until a Book has read the bucket for the first time it knows of no silence and holds back
// nothing.
package silence

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// The limits of silences.
const (
	// Max is the most silences that are kept, expired ones included. Where it is reached,
	// the one that expired first makes room for a new one. It is below what a bucket takes,
	// in which a deleted record still has its place for a while.
	Max = 900
	// MaxDuration is the longest time from a silence's start to its end: a year and a day.
	MaxDuration = 366 * 24 * time.Hour
	// MaxMatchers is the most matchers of one silence.
	MaxMatchers = 16
	// MaxName and MaxValue are the most bytes of a matcher's name and value.
	MaxName, MaxValue = 256, 1024
	// MaxAuthor and MaxComment are the most bytes of these texts.
	MaxAuthor, MaxComment = 128, 1024
	// Retention is how long an expired silence is kept, so that one can look up who held
	// back what.
	Retention = 30 * 24 * time.Hour
)

// Silence says which events nobody is told of, and how long.
type Silence struct {
	ID string `json:"id"`
	// Matchers must all match.
	Matchers []Matcher `json:"matchers"`
	// StartsAt is the first moment of the silence, EndsAt the first one behind it.
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
	// Author is who made it, Comment why.
	Author    string    `json:"author"`
	Comment   string    `json:"comment"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// State says whether a silence counts.
type State string

// The states of a silence, in the order it goes through them.
const (
	Pending State = "pending"
	Active  State = "active"
	Expired State = "expired"
)

// State returns the state at the time now.
func (s Silence) State(now time.Time) State {
	switch {
	case now.Before(s.StartsAt):
		return Pending
	case now.Before(s.EndsAt):
		return Active
	}
	return Expired
}

// Validate reports everything that keeps s from being a silence, whatever the time is. It
// doesn't ask for an ID.
func (s Silence) Validate() error {
	var all []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	must(len(s.Matchers) > 0, "a silence needs at least one matcher")
	must(len(s.Matchers) <= MaxMatchers, "a silence has at most %d matchers, not %d", MaxMatchers, len(s.Matchers))
	all = append(all, validateMatchers(s.Matchers[:min(len(s.Matchers), MaxMatchers)]))
	must(!s.EndsAt.IsZero(), "a silence needs an end")
	must(s.EndsAt.IsZero() || s.EndsAt.After(s.StartsAt), "a silence must end after it starts")
	must(s.EndsAt.Sub(s.StartsAt) <= MaxDuration, "a silence lasts at most %d days", int(MaxDuration/(24*time.Hour)))
	must(s.Author != "", "a silence needs an author")
	must(s.Comment != "", "a silence needs a comment that says why")
	must(len(s.Author) <= MaxAuthor && utf8.ValidString(s.Author), "the author must be text of at most %d bytes", MaxAuthor)
	must(len(s.Comment) <= MaxComment && utf8.ValidString(s.Comment), "the comment must be text of at most %d bytes", MaxComment)
	return errors.Join(all...)
}

// validateMatchers reports what is wrong with each matcher, or that none of them narrows
// anything: a mistyped name with an empty value would silence everything. The rule is
// Alertmanager's.
func validateMatchers(ms []Matcher) error {
	var all []error
	everything := len(ms) > 0
	for _, m := range ms {
		c, err := compile(m)
		if err != nil {
			all = append(all, fmt.Errorf("matcher %s: %w", m, err))
		}
		everything = everything && err == nil && c.everything()
	}
	if everything {
		all = append(all, errors.New("at least one matcher must ask for something that an event has: these match the empty value too, or any value"))
	}
	return errors.Join(all...)
}
