package sensing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/capture"
	"github.com/saker-security/saker/sensor/explain"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/ruletest"
	"github.com/saker-security/saker/sensor/ruletest/written"
)

// Explain is the command that says why a rule does or does not match an event.
type Explain struct {
	Rule    string   `arg:"" help:"Name of the rule."`
	Event   string   `short:"e" placeholder:"FILE" xor:"from" required:"" help:"Event as in a test file, as YAML or JSON; a Kubernetes audit event; or an alert, of which only the output fields are known. - reads standard input."`
	Capture string   `placeholder:"FILE" xor:"from" required:"" help:"File that \"rules record\" made."`
	Num     uint64   `placeholder:"N" help:"Number of the event in the capture, as evt.num has it. Without it the first that matches, or the one that comes closest."`
	Rules   []string `short:"r" placeholder:"FILE" sep:"none" help:"Rules file or folder, instead of the rules that ship. Repeat for more."`
	All     bool     `help:"Let every rule that matches alert, not the first alone."`
	JSON    bool     `help:"Print JSON."`
}

// Run prints the explanation.
func (x *Explain) Run() error {
	if x.Num > 0 && x.Capture == "" {
		return errors.New("--num needs --capture")
	}
	registries := ruletest.Registries(sensor.Registries())
	files, err := sensor.ReadRules(x.Rules)
	if err != nil {
		return err
	}
	set, _, err := rules.Load(files, registries, rules.Options{All: x.All})
	if err != nil {
		return fmt.Errorf("load rules:\n%w", err)
	}
	explainer, err := explain.New(set, x.Rule)
	if err != nil {
		return err
	}
	var (
		verdict explain.Verdict
		num     uint64
	)
	if x.Capture != "" {
		verdict, num, err = x.ofCapture(explainer)
	} else {
		verdict, err = x.ofFile(explainer, registries)
	}
	if err != nil {
		return err
	}
	return x.print(verdict, num)
}

func (x *Explain) print(v explain.Verdict, num uint64) error {
	if x.JSON {
		return printJSON(os.Stdout, struct {
			Num uint64 `json:"num,omitempty"`
			explain.Verdict
		}{num, v})
	}
	what := "the event"
	if num > 0 {
		what = fmt.Sprintf("event %d", num)
	}
	fmt.Print(what, " ")
	return v.Write(os.Stdout)
}

// ofFile explains the event in a file.
func (x *Explain) ofFile(explainer *explain.Explainer, registries map[string]*fields.Registry) (explain.Verdict, error) {
	name, content, err := readEvent(x.Event)
	if err != nil {
		return explain.Verdict{}, err
	}
	ev, err := parseEvent(name, content, registries)
	if err != nil {
		return explain.Verdict{}, err
	}
	if source := explainer.Rule().Source; source != ev.Source {
		return explain.Verdict{}, fmt.Errorf("the rule %q is for events of source %q, and this one is of %q", x.Rule, source, ev.Source)
	}
	return explainer.Explain(ev), nil
}

// maxEvent is the most that is read of an event, in bytes.
const maxEvent = 4 << 20

func readEvent(file string) (name string, content []byte, err error) {
	in := os.Stdin
	name = "standard input"
	if file != "-" {
		name = file
		if in, err = os.Open(file); err != nil {
			return "", nil, fmt.Errorf("read the event: %w", err)
		}
		defer in.Close()
	}
	content, err = io.ReadAll(io.LimitReader(in, maxEvent+1))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("read the event: %w", err)
	case len(content) > maxEvent:
		return "", nil, fmt.Errorf("read the event: %s has more than %d MiB", name, maxEvent>>20)
	}
	return name, content, nil
}

// parseEvent reads a written event, an audit event or an alert.
func parseEvent(name string, content []byte, registries map[string]*fields.Registry) (explain.Event, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return explain.Event{}, fmt.Errorf("%s: %w", name, err)
	}
	if doc.Kind != yaml.DocumentNode {
		return explain.Event{}, fmt.Errorf("%s: there is no event", name)
	}
	if err := written.Check(name, &doc); err != nil {
		return explain.Event{}, err
	}
	top := doc.Content[0]
	pairs, err := written.Pairs(name, top)
	if err != nil {
		return explain.Event{}, err
	}
	has := make(map[string]bool)
	for _, p := range pairs {
		has[p.Key.Value] = true
	}
	switch {
	case has["output_fields"]:
		return ofAlert(name, content, registries)
	case has["auditID"] || has["apiVersion"]:
		return ofAudit(name, top)
	}
	r := written.Reader{File: name, Fields: registries[syscalls.SourceName]}
	e, err := r.Event(top, nil, 1)
	if err != nil {
		return explain.Event{}, err
	}
	return explain.Event{Value: e, Source: syscalls.SourceName, Type: e.Type()}, nil
}

// ofAlert makes an event of what an alert tells.
func ofAlert(name string, content []byte, registries map[string]*fields.Registry) (explain.Event, error) {
	alert, err := event.Decode(content)
	if err != nil {
		return explain.Event{}, fmt.Errorf("%s: the alert cannot be read: %w", name, err)
	}
	source := alert.Source
	if source == "" {
		source = syscalls.SourceName
	}
	registry := registries[source]
	if registry == nil {
		return explain.Event{}, fmt.Errorf("%s: the alert is of the unknown source %q", name, source)
	}
	e := written.Of(&alert, registry)
	return explain.Event{Value: e, Source: source, Type: e.Type(), Known: e.Known}, nil
}

// ofAudit reads a Kubernetes audit event.
func ofAudit(name string, top *yaml.Node) (explain.Event, error) {
	v, err := written.JSONable(name, top)
	if err != nil {
		return explain.Event{}, err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return explain.Event{}, fmt.Errorf("%s: %w", name, err)
	}
	events, err := audit.ReadEvents(raw)
	switch {
	case err != nil:
		return explain.Event{}, fmt.Errorf("%s: %w", name, err)
	case len(events) != 1:
		return explain.Event{}, fmt.Errorf("%s: there are %d audit events, and one can be explained", name, len(events))
	}
	return explain.Event{Value: events[0], Source: audit.SourceName}, nil
}

// ofCapture explains the event of that number, or the first that matches, or else the one
// that comes closest to it.
func (x *Explain) ofCapture(explainer *explain.Explainer) (explain.Verdict, uint64, error) {
	if source := explainer.Rule().Source; source != syscalls.SourceName {
		return explain.Verdict{}, 0, fmt.Errorf("the rule %q is for events of source %q, which no capture has", x.Rule, source)
	}
	player, err := capture.Open(x.Capture)
	if err != nil {
		return explain.Verdict{}, 0, err
	}
	defer player.Close()
	var (
		best   explain.Verdict
		num, n uint64
		source = player.Source(nil)
		types  = source.Registry()
	)
	ctx, found := context.WithCancel(context.Background())
	defer found()
	err = player.Run(ctx, func(rec *probe.Record) {
		n++
		ev := source.Event(rec)
		if x.Num > 0 && n != x.Num || ctx.Err() != nil {
			return
		}
		v := explainer.Explain(explain.Event{Value: ev, Source: syscalls.SourceName, Type: types.EventTypes[types.EventType(ev)]})
		if num == 0 || v.Condition.Result == explain.True || v.Agreement() > best.Agreement() {
			best, num = v, n
		}
		if x.Num > 0 || v.Condition.Result == explain.True {
			found()
		}
	})
	switch {
	case err != nil:
		return best, num, err
	case num == 0 && x.Num > 0:
		return best, num, fmt.Errorf("the capture %q has %d events, and none of number %d", x.Capture, n, x.Num)
	case num == 0:
		return best, num, fmt.Errorf("the capture %q has no events", x.Capture)
	}
	return best, num, nil
}
