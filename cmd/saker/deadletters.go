package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/forwarder/api"
)

// deadlettersCmd are the commands about events that could not be delivered.
type deadlettersCmd struct {
	List   deadlettersList   `cmd:"" help:"List the events that outputs have given up, oldest first."`
	Show   deadlettersShow   `cmd:"" help:"Show one of them whole."`
	Replay deadlettersReplay `cmd:"" help:"Send them again."`
	Drop   deadlettersDrop   `cmd:"" help:"Remove them for good."`
}

// letterPage is how many dead letters one request asks for.
const letterPage = 200

type deadlettersList struct {
	remote
	Output string `placeholder:"NAME" help:"Only those of this output."`
	After  uint64 `placeholder:"ID" help:"Only those behind this one."`
	Limit  int    `default:"100" help:"Most that are listed."`
}

func (d *deadlettersList) Run() error {
	return d.asking(func(ctx context.Context, c *client.Client) error {
		all, err := d.list(ctx, c)
		if err != nil {
			return err
		}
		return d.print(all, func(w io.Writer) error { return d.table(w, all) })
	})
}

// list asks for page after page, until there are enough.
func (d *deadlettersList) list(ctx context.Context, c *client.Client) (all api.DeadLetterList, err error) {
	if d.Limit < 1 {
		return all, errors.New("--limit must be at least 1")
	}
	after := d.After
	for left := d.Limit; left > 0; {
		query := url.Values{"limit": {strconv.Itoa(min(left, letterPage))}, "after": {strconv.FormatUint(after, 10)}}
		if d.Output != "" {
			query.Set("output", d.Output)
		}
		var page api.DeadLetterList
		if err := c.Get(ctx, "/deadletters", query, &page); err != nil {
			return all, err
		}
		page.DeadLetters = append(all.DeadLetters, page.DeadLetters...)
		left = d.Limit - len(page.DeadLetters)
		all, after = page, page.Next
		if after == 0 {
			break
		}
	}
	return all, nil
}

func (d *deadlettersList) table(w io.Writer, all api.DeadLetterList) error {
	if len(all.DeadLetters) > 0 {
		t := newTable(w, "ID", "GIVEN UP", "OUTPUT", "PRIORITY", "RULE", "ATTEMPTS", "LAST ERROR")
		for _, l := range all.DeadLetters {
			rule := l.Rule
			if l.Unreadable {
				rule = "(not an event)"
			}
			t.line(l.ID, at(l.Time), l.Output, l.Priority, short(rule, 40), l.Attempts, short(l.LastError, 100))
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	var total uint64
	counts := make([]string, 0, len(all.Counts))
	for _, name := range slices.Sorted(maps.Keys(all.Counts)) {
		total += all.Counts[name]
		counts = append(counts, fmt.Sprintf("%s %d", clean(name), all.Counts[name]))
	}
	if total == 0 {
		_, err := fmt.Fprintln(w, "there are no dead letters")
		return err
	}
	if all.Next > 0 {
		fmt.Fprintf(w, "there may be more: --after %d\n", all.Next)
	}
	_, err := fmt.Fprintf(w, "all dead letters: %s\n", strings.Join(counts, ", "))
	return err
}

type deadlettersShow struct {
	remote
	ID uint64 `arg:"" help:"Number of the dead letter, as saker deadletters list shows it."`
}

func (d *deadlettersShow) Run() error {
	return d.asking(func(ctx context.Context, c *client.Client) error {
		var l api.DeadLetter
		if err := c.Get(ctx, "/deadletters/"+strconv.FormatUint(d.ID, 10), nil, &l); err != nil {
			return err
		}
		return d.print(l, func(w io.Writer) error { return showLetter(w, &l) })
	})
}

func showLetter(w io.Writer, l *api.DeadLetter) error {
	fmt.Fprintf(w, "dead letter  %d\noutput       %s\nstored       %s\ngiven up     %s, after %s\n",
		l.ID, clean(l.Output), cmp.Or(at(l.Stored), "-"), at(l.Time), plural(l.Attempts, "attempt"))
	if l.FirstError != "" && l.FirstError != l.LastError {
		fmt.Fprintf(w, "first error  %s\n", clean(l.FirstError))
	}
	fmt.Fprintf(w, "last error   %s\n", clean(l.LastError))
	if l.Event == nil {
		_, err := fmt.Fprintf(w, "not an event %s\n", clean(l.Raw))
		return err
	}
	_, err := fmt.Fprintf(w, "event        %s\n", clean(string(l.Event.AppendJSON(nil))))
	return err
}

// selection are the flags and arguments that name dead letters.
type selection struct {
	IDs    []uint64 `arg:"" optional:"" name:"id" help:"Numbers of dead letters, as saker deadletters list shows them."`
	All    bool     `help:"All dead letters, or with --output all of that output."`
	Output string   `placeholder:"NAME" help:"With --all: only those of this output."`
}

// selected is the selection as the API takes it.
func (s *selection) selected() (api.Selection, error) {
	switch {
	case len(s.IDs) == 0 && !s.All:
		return api.Selection{}, errors.New("name dead letters by their numbers, or all of them with --all")
	case len(s.IDs) > 0 && (s.All || s.Output != ""):
		return api.Selection{}, errors.New("name dead letters either by their numbers or with --all and --output")
	}
	return api.Selection{IDs: s.IDs, All: s.All, Output: s.Output}, nil
}

// work makes requests until all dead letters of a selection have been worked on, and
// returns what all of them came to. Body makes the request's body.
func work(ctx context.Context, c *client.Client, path string, s api.Selection, body func(api.Selection) any) (api.Work, error) {
	var all api.Work
	for {
		var w api.Work
		if err := c.Post(ctx, path, body(s), &w); err != nil {
			return all, err
		}
		all.Done += w.Done
		all.Failed += w.Failed
		all.Later += w.Later
		all.Failures = append(all.Failures, w.Failures...)
		all.Complete, all.Stopped = w.Complete, w.Stopped
		if w.Complete || w.After == s.After {
			return all, nil
		}
		s.Before, s.After = w.Before, w.After
		fmt.Fprintf(os.Stderr, "%s so far\n", plural(all.Done, "dead letter"))
	}
}

// report says what has been done, "sent again", and fails when not all of it has.
func (r *remote) report(all api.Work, done string) error {
	err := r.print(all, func(w io.Writer) error {
		for _, f := range all.Failures {
			fmt.Fprintf(w, "dead letter %d: %s\n", f.ID, clean(f.Error))
		}
		_, err := fmt.Fprintf(w, "%s %s\n", plural(all.Done, "dead letter"), done)
		return err
	})
	switch {
	case err != nil:
		return err
	case !all.Complete:
		return fmt.Errorf("not all could be worked on: %s", clean(all.Stopped))
	case all.Failed > 0:
		return fmt.Errorf("%s stayed as they were", plural(all.Failed, "dead letter"))
	}
	return nil
}

type deadlettersReplay struct {
	remote
	selection
	To string `placeholder:"NAME" help:"Send them to this output instead of their own."`
}

// Help says what becomes of them.
func (*deadlettersReplay) Help() string {
	return "The events are stored for the output once more and are no dead letters any longer. " +
		"Its minimum priority, its match and silences do not hold them back. Those that it gives up again are dead letters again."
}

func (d *deadlettersReplay) Run() error {
	s, err := d.selected()
	if err != nil {
		return err
	}
	return d.asking(func(ctx context.Context, c *client.Client) error {
		all, err := work(ctx, c, "/deadletters/replay", s, func(s api.Selection) any {
			return api.SelectionReplay{Selection: s, To: d.To}
		})
		if err != nil {
			return err
		}
		return d.report(all, "sent again")
	})
}

type deadlettersDrop struct {
	remote
	selection
	Yes bool `help:"Do not ask."`
}

func (d *deadlettersDrop) Run() error {
	s, err := d.selected()
	if err != nil {
		return err
	}
	return d.asking(func(ctx context.Context, c *client.Client) error {
		if d.All && !d.Yes {
			if err := d.confirm(ctx, c); err != nil {
				return err
			}
		}
		all, err := work(ctx, c, "/deadletters/drop", s, func(s api.Selection) any { return s })
		if err != nil {
			return err
		}
		return d.report(all, "dropped")
	})
}

// confirm asks whether all are meant.
func (d *deadlettersDrop) confirm(ctx context.Context, c *client.Client) error {
	var list api.DeadLetterList
	if err := c.Get(ctx, "/deadletters", url.Values{"limit": {"1"}}, &list); err != nil {
		return err
	}
	var count uint64
	for name, n := range list.Counts {
		if d.Output == "" || name == d.Output {
			count += n
		}
	}
	of := "of all outputs"
	if d.Output != "" {
		of = "of " + clean(d.Output)
	}
	fmt.Fprintf(os.Stderr, "Remove the %d dead letters %s for good? [y/N] ", count, of)
	answer, err := bufio.NewReader(io.LimitReader(os.Stdin, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	fmt.Fprintln(os.Stderr)
	return errors.New("nothing was dropped: answer yes, or give --yes")
}
