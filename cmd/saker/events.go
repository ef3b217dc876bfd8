package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/route"
)

// eventsCmd are the commands about the alerts in the journal.
type eventsCmd struct {
	Tail   eventsTail   `cmd:"" help:"Print alerts as they come in."`
	Send   eventsSend   `cmd:"" help:"Send alerts from a file to a forwarder."`
	Replay eventsReplay `cmd:"" help:"Send alerts of the past to an output again."`
}

type eventsTail struct {
	remote
	Match string `placeholder:"EXPR" help:"Only alerts for which this expression is true, as in the key match of outputs."`
	Limit int    `placeholder:"N" help:"End after that many."`
}

// tailPause is how long to wait before a stream that broke off is followed again.
const tailPause = 2 * time.Second

// errEnough ends a stream.
var errEnough = errors.New("enough alerts have been printed")

func (e *eventsTail) Run() error {
	match, err := route.Compile(e.Match)
	if err != nil {
		return fmt.Errorf("--match: %w", err)
	}
	if e.Limit < 0 {
		return errors.New("--limit must not be negative")
	}
	return e.asking(func(ctx context.Context, c *client.Client) error {
		t := tail{eventsTail: e, match: match}
		err := t.follow(ctx, c)
		if errors.Is(err, errEnough) || ctx.Err() != nil {
			return nil
		}
		return err
	})
}

// tail is one run of `saker events tail`.
type tail struct {
	*eventsTail
	match   *route.Match
	printed int
	// after is the place of the last alert seen.
	after string
}

// follow prints alerts until ctx ends or there are enough. A stream that broke off goes on
// where it stopped.
func (t *tail) follow(ctx context.Context, c *client.Client) error {
	for began := false; ; {
		query := url.Values{}
		if t.after != "" {
			query.Set("after", t.after)
		}
		err := c.Stream(ctx, "/events/stream", query, func(f client.Frame) error {
			began = true
			return t.show(f)
		})
		_, unreachable := errors.AsType[*client.UnreachableError](err)
		if !errors.Is(err, io.EOF) && (!unreachable || !began) {
			return err
		}
		began = true
		fmt.Fprintln(os.Stderr, "the forwarder does not answer; trying again")
		select {
		case <-time.After(tailPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *tail) show(f client.Frame) error {
	if f.Event == "gap" {
		var gap struct {
			Skipped uint64 `json:"skipped"`
		}
		if err := json.Unmarshal(f.Data, &gap); err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		fmt.Fprintf(os.Stderr, "%d alerts came too fast to be shown here\n", gap.Skipped)
		return nil
	}
	var alert struct {
		Event event.Event `json:"event"`
	}
	if err := json.Unmarshal(f.Data, &alert); err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	t.after = f.ID
	e := &alert.Event
	if pass, err := t.match.Eval(e); err != nil || !pass {
		return nil //nolint:nilerr // what the expression says nothing about was not asked for
	}
	var err error
	if t.Format == "json" {
		_, err = fmt.Printf("%s\n", e.AppendJSON(nil))
	} else {
		_, err = fmt.Printf("%s  %-13s  %s  %s\n", at(e.Time), e.Priority, clean(e.Rule), clean(e.Output))
	}
	if t.printed++; err == nil && t.printed == t.Limit {
		return errEnough
	}
	return err
}

type eventsSend struct {
	File string `arg:"" help:"File with alerts in Falco's form: one, several one after the other, or a list. - is standard input."`
	To   string `env:"SAKER_INGEST_URL" default:"http://127.0.0.1:2801/" placeholder:"URL" help:"Address where alerts are taken (${default})."`
	credentials
}

const (
	// sendEvents and sendBytes bound one request, well below a forwarder's own limits.
	sendEvents = 100
	sendBytes  = 1 << 20
)

func (s *eventsSend) Run() error {
	in := io.Reader(os.Stdin)
	if s.File != "-" {
		f, err := os.Open(s.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	o, err := s.options(s.To)
	if err != nil {
		return err
	}
	c, err := client.New(o)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer c.Close()
	ctx, stop := sensing.Interruptible()
	defer stop()
	b := batch{client: c}
	if err := b.sendAll(ctx, in); err != nil {
		err = advise(err, "--to or SAKER_INGEST_URL", "the forwarder's door for alerts, by default port 2801",
			func(e *client.StatusError) bool {
				return e.Status != http.StatusNotFound && e.Status != http.StatusMethodNotAllowed
			})
		if b.sent > 0 {
			err = fmt.Errorf("%s taken, then: %w", plural(b.sent, "alert"), err)
		}
		return err
	}
	fmt.Printf("%s taken\n", plural(b.sent, "alert"))
	return nil
}

// batch collects alerts for one request.
type batch struct {
	client *client.Client
	texts  bytes.Buffer
	count  int
	sent   int
}

// sendAll sends all alerts that are read.
func (b *batch) sendAll(ctx context.Context, in io.Reader) error {
	for d := json.NewDecoder(in); ; {
		var value json.RawMessage
		err := d.Decode(&value)
		if errors.Is(err, io.EOF) {
			return b.send(ctx)
		}
		if err != nil {
			return fmt.Errorf("alert %d: not JSON: %w", b.sent+b.count+1, err)
		}
		list := []json.RawMessage{value}
		if value[0] == '[' {
			if err := json.Unmarshal(value, &list); err != nil {
				return fmt.Errorf("read a list of alerts: %w", err)
			}
		}
		for _, text := range list {
			if err := b.add(ctx, text); err != nil {
				return err
			}
		}
	}
}

func (b *batch) add(ctx context.Context, text []byte) error {
	if b.count > 0 && (b.count == sendEvents || b.texts.Len()+len(text) > sendBytes) {
		if err := b.send(ctx); err != nil {
			return err
		}
	}
	b.texts.Write(text)
	b.texts.WriteByte('\n')
	b.count++
	return nil
}

// send sends what has been collected.
func (b *batch) send(ctx context.Context) error {
	if b.count == 0 {
		return nil
	}
	if err := b.client.SendEvents(ctx, b.texts.Bytes()); err != nil {
		if b.sent+b.count > 1 {
			return fmt.Errorf("alerts %d to %d were refused: %w", b.sent+1, b.sent+b.count, err)
		}
		return err
	}
	b.sent += b.count
	b.count = 0
	b.texts.Reset()
	return nil
}

type eventsReplay struct {
	remote
	Since  string `required:"" placeholder:"WHEN" help:"Start of the range: how long ago, such as 2h, or a time such as 2026-01-31T15:04:05Z. It is the forwarder's time of arrival that counts."`
	Until  string `placeholder:"WHEN" help:"End of the range; without it now."`
	Output string `required:"" placeholder:"NAME" help:"Output that gets them."`
	Match  string `placeholder:"EXPR" help:"Only alerts for which this expression is true, as in the key match of outputs."`
	Limit  int    `placeholder:"N" help:"Most that are sent."`
	DryRun bool   `help:"Only say how many there are."`
}

// Help says what holds them back: nothing.
func (*eventsReplay) Help() string {
	return "The output's minimum priority, its match and silences do not hold them back."
}

func (e *eventsReplay) Run() error {
	return e.asking(func(ctx context.Context, c *client.Client) error {
		q := api.EventReplay{Since: e.Since, Until: e.Until, Output: e.Output, Match: e.Match, Limit: e.Limit, DryRun: e.DryRun}
		all, err := replay(ctx, c, q)
		if err != nil {
			return err
		}
		if err := e.print(all, func(w io.Writer) error { return e.report(w, &all) }); err != nil {
			return err
		}
		if !all.Complete {
			return fmt.Errorf("not all of the range could be read: %s", clean(all.Stopped))
		}
		return nil
	})
}

// replay makes requests until the whole range has been read, and returns what all of them
// came to.
func replay(ctx context.Context, c *client.Client, q api.EventReplay) (api.EventsReplayed, error) {
	var all api.EventsReplayed
	for limit := q.Limit; ; {
		var r api.EventsReplayed
		if err := c.Post(ctx, "/events/replay", q, &r); err != nil {
			return all, err
		}
		read, matched, appended, unclear := all.Read, all.Matched, all.Appended, all.Unclear
		if all.ID != "" {
			r.Oldest = all.Oldest
		}
		all = r
		all.Read, all.Matched, all.Appended, all.Unclear = r.Read+read, r.Matched+matched, r.Appended+appended, r.Unclear+unclear
		if r.Complete || r.After == q.After || limit > 0 && all.Matched >= limit {
			return all, nil
		}
		q.Since, q.Until, q.ID, q.After = r.Since.Format(time.RFC3339Nano), r.Until.Format(time.RFC3339Nano), r.ID, r.After
		if limit > 0 {
			q.Limit = limit - all.Matched
		}
		fmt.Fprintf(os.Stderr, "%s read so far, %d sent again\n", plural(all.Read, "alert"), all.Appended)
	}
}

func (e *eventsReplay) report(w io.Writer, all *api.EventsReplayed) error {
	if !all.Oldest.IsZero() {
		fmt.Fprintf(w, "the journal reaches back to %s only\n", at(all.Oldest))
	}
	if all.Unclear > 0 {
		fmt.Fprintf(w, "for %s the expression cannot be evaluated; they were left out\n", plural(all.Unclear, "alert"))
	}
	did := fmt.Sprintf("%d sent again to %s", all.Appended, clean(e.Output))
	if e.DryRun {
		did = "nothing was sent"
	}
	_, err := fmt.Fprintf(w, "%s read, %d meant, %s\n", plural(all.Read, "alert"), all.Matched, did)
	return err
}
