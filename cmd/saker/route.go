package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/ingest"
)

// routeCmd are the commands about the way of alerts.
type routeCmd struct {
	Explain routeExplain `cmd:"" help:"Say which outputs get an alert, and why each other does not."`
}

type routeExplain struct {
	settings
	remote
	Event string `arg:"" name:"event" help:"File with one alert in Falco's form. - is standard input."`
}

// Help says who is asked.
func (*routeExplain) Help() string {
	return "Without --url, and whenever --config is given, the configuration alone decides and no forwarder needs to run. " +
		"With --url (or SAKER_URL) the forwarder there is asked, so that its silences count."
}

// maxEventFile is the most bytes that the file of one alert may have.
const maxEventFile = 2 * event.MaxEventBytes

func (r *routeExplain) Run() error {
	text, err := readEvent(r.Event)
	if err != nil {
		return err
	}
	e, err := event.Decode(text)
	if err != nil {
		return fmt.Errorf("%s is not an alert in Falco's form: %w", r.Event, err)
	}
	if r.URL == "" || r.Config != "" {
		return r.offline(e)
	}
	return r.asking(func(ctx context.Context, c *client.Client) error {
		var answer api.Explanations
		if err := c.Post(ctx, "/route/explain", json.RawMessage(text), &answer); err != nil {
			return err
		}
		return r.print(answer, func(w io.Writer) error { return explanations(w, answer) })
	})
}

func readEvent(file string) ([]byte, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxEventFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the alert: %w", err)
	}
	if len(text) > maxEventFile {
		return nil, fmt.Errorf("read the alert: it is larger than %d bytes", maxEventFile)
	}
	return text, nil
}

// offline decides by the configuration, as a forwarder that knows no silences would.
func (r *routeExplain) offline(e event.Event) error {
	loaded, _, err := r.load()
	if err != nil {
		return err
	}
	answer, err := decide(loaded, e, time.Now())
	if err != nil {
		return err
	}
	return r.print(answer, func(w io.Writer) error {
		if err := explanations(w, answer); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, "\nThis is what the configuration says. Silences are known to a running forwarder only: ask it with --url.")
		return err
	})
}

// decide says what becomes of an alert at each output.
func decide(loaded *forwarder.Loaded, e event.Event, now time.Time) (api.Explanations, error) {
	enricher, err := ingest.NewEnricher(loaded.Enrichment)
	if err != nil {
		return api.Explanations{}, err
	}
	e = enricher.Enrich(e, true)
	if err := e.Validate(); err != nil {
		return api.Explanations{}, fmt.Errorf("a forwarder would refuse the alert: %w", err)
	}
	answer := api.Explanations{Outputs: []api.Explanation{}}
	for _, o := range loaded.Outputs {
		r, err := o.Route()
		if err != nil {
			return api.Explanations{}, err
		}
		answer.Outputs = append(answer.Outputs, api.Explained(o.Name, r.Explain(&e, now)))
	}
	return answer, nil
}

func explanations(w io.Writer, answer api.Explanations) error {
	if len(answer.Outputs) == 0 {
		_, err := fmt.Fprintln(w, "no output is configured")
		return err
	}
	t := newTable(w, "OUTPUT", "VERDICT", "WHY")
	for _, o := range answer.Outputs {
		t.line(o.Output, o.Verdict, o.Reason)
	}
	return t.flush()
}
