package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/silence"
)

// silenceCmd are the commands about silences.
type silenceCmd struct {
	Add    silenceAdd    `cmd:"" help:"Keep certain alerts from notifying anybody for some time."`
	List   silenceList   `cmd:"" help:"List the silences."`
	Expire silenceExpire `cmd:"" help:"End a silence now."`
}

type silenceAdd struct {
	remote
	Matchers []string  `arg:"" name:"matcher" help:"What the alerts are like; all must match: rule=\"…\", k8s.ns.name=~\"dev-.*\", hostname!=a."`
	For      string    `placeholder:"DURATION" help:"How long it lasts: 2h."`
	Until    time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"When it ends: 2026-01-31T15:04:05Z."`
	Comment  string    `required:"" placeholder:"TEXT" help:"Why."`
	Author   string    `placeholder:"NAME" help:"Who makes it; user@host if not given."`
}

// Help says what a matcher is.
func (*silenceAdd) Help() string {
	return "A matcher is a name, an operator and a value. The name is rule, priority, source, hostname, output, tag, or that of an output field. " +
		"The operators are = and !=, and =~ and !~ with an RE2 expression for the whole value. " +
		"Alerts that are held back are still stored and still go to outputs that keep a record."
}

func (s *silenceAdd) Run() error {
	q, err := s.request()
	if err != nil {
		return err
	}
	return s.asking(func(ctx context.Context, c *client.Client) error {
		var stored silence.Status
		if err := c.Post(ctx, "/silences", q, &stored); err != nil {
			return err
		}
		return s.print(stored, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "silence %s holds back %s until %s\n", clean(stored.ID), clean(matchers(stored.Matchers)), at(stored.EndsAt))
			return err
		})
	})
}

func (s *silenceAdd) request() (api.SilenceRequest, error) {
	q := api.SilenceRequest{For: s.For, EndsAt: s.Until, Author: s.Author, Comment: s.Comment}
	if (s.For == "") == s.Until.IsZero() {
		return q, errors.New("say when the silence ends, either with --for or with --until")
	}
	for _, text := range s.Matchers {
		m, err := silence.ParseMatcher(text)
		if err != nil {
			return q, fmt.Errorf("matcher %w", err)
		}
		q.Matchers = append(q.Matchers, m)
	}
	if q.Author == "" {
		q.Author = whoami()
	}
	return q, nil
}

// whoami is user@host, as far as this host knows.
func whoami() string {
	name := "somebody"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// matchers are those of a silence as a person writes them.
func matchers(all []silence.Matcher) string {
	texts := make([]string, 0, len(all))
	for _, m := range all {
		texts = append(texts, m.String())
	}
	return strings.Join(texts, " ")
}

type silenceList struct {
	remote
	Expired bool `help:"List those that are over as well."`
}

func (s *silenceList) Run() error {
	return s.asking(func(ctx context.Context, c *client.Client) error {
		var answer api.SilenceList
		if err := c.Get(ctx, "/silences", nil, &answer); err != nil {
			return err
		}
		shown := api.SilenceList{Silences: []silence.Status{}}
		for _, one := range answer.Silences {
			if s.Expired || one.State != silence.Expired {
				shown.Silences = append(shown.Silences, one)
			}
		}
		return s.print(shown, func(w io.Writer) error { return silences(w, shown.Silences) })
	})
}

func silences(w io.Writer, all []silence.Status) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "there are no silences")
		return err
	}
	t := newTable(w, "ID", "STATE", "MATCHERS", "STARTS", "ENDS", "HELD BACK", "AUTHOR", "COMMENT")
	for _, s := range all {
		t.line(s.ID, s.State, matchers(s.Matchers), at(s.StartsAt), at(s.EndsAt), s.HeldBack, s.Author, s.Comment)
	}
	return t.flush()
}

type silenceExpire struct {
	remote
	ID string `arg:"" help:"The silence, as saker silence list shows it."`
}

func (s *silenceExpire) Run() error {
	return s.asking(func(ctx context.Context, c *client.Client) error {
		var ended silence.Status
		if err := c.Delete(ctx, "/silences/"+url.PathEscape(s.ID), &ended); err != nil {
			return err
		}
		return s.print(ended, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "silence %s is over; it held back %d\n", clean(ended.ID), ended.HeldBack)
			return err
		})
	})
}
