package forwarder

import (
	"log/slog"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/route"
	"github.com/saker-security/saker/forwarder/silence"
)

// Routing are the keys that every output has, beside its minimum priority, about which
// events it gets.
type Routing struct {
	Match    string `key:"match" doc:"Expression in CEL that has to be true for an event to be delivered, such as priority >= WARNING && field(\"k8s.ns.name\") == \"prod\". Empty lets all pass. An event for which it cannot be evaluated is delivered. Test events always pass."`
	Silences string `key:"silences" default:"auto" oneof:"auto,on,off" doc:"Whether silences hold events back from this output. auto is off for outputs that keep a record of events and on for all others."`
}

// Validate compiles the expression.
func (r Routing) Validate() error {
	_, err := route.Compile(r.Match)
	return config.At("match", err)
}

// Route returns what the output wants to get, as the configuration says it: without
// silences, of which only a running forwarder knows.
func (in Instance) Route() (route.Route, error) {
	match, err := route.Compile(in.Routing.Match)
	return route.Route{MinimumPriority: in.Settings.MinimumPriority, Match: match}, err
}

// silenced reports whether silences hold events back from the output.
func (in Instance) silenced() bool {
	switch in.Routing.Silences {
	case "on":
		return true
	case "off":
		return false
	default:
		return !in.Kind.Archive
	}
}

// liveRoute returns the route of an output that runs, silences included.
func (in Instance) liveRoute(book *silence.Book, log *slog.Logger) (route.Route, error) {
	r, err := in.Route()
	if err != nil {
		return route.Route{}, err
	}
	r.Failures = route.NewFailures(log, in.Name)
	if book != nil && in.silenced() {
		r.Silenced, r.WhySilenced = book.Silenced, book.WhySilenced
	}
	return r, nil
}

// explain says what would become of e at each output if it came in now; an error says why
// it would be refused.
func (f *forwarder) explain(e event.Event) ([]api.Explanation, error) {
	enricher, err := ingest.NewEnricher(f.live.Load().Enrichment)
	if err != nil {
		return nil, err
	}
	e = enricher.Enrich(e, true)
	if err := e.Validate(); err != nil {
		return nil, err
	}
	now := time.Now()
	var all []api.Explanation
	for _, o := range f.delivery.all() {
		all = append(all, api.Explained(o.Name, o.route.Explain(&e, now)))
	}
	return all, nil
}
