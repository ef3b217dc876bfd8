package forwarder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/ui"
)

// doors are what the servers answer with. They can be exchanged while the servers run: a
// request is answered by what was in force when it came.
type doors struct {
	ingest, plain, page door

	mu      sync.Mutex
	api     *api.API // nil without a page
	stopped bool
}

// door is an http.Handler that can be exchanged.
type door struct{ current atomic.Pointer[http.Handler] }

func (d *door) exchange(h http.Handler) { d.current.Store(&h) }

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*d.current.Load()).ServeHTTP(w, r)
}

// open makes a the page's API and ends the streams of the one before: their readers come
// back and have to show the new credentials.
func (d *doors) open(a *api.API) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.api != nil && !d.stopped {
		d.api.Stop()
	}
	d.api = a
	d.page.exchange(a.Router())
	if d.stopped {
		a.Stop()
	}
}

// stop ends the streams of the page for good.
func (d *doors) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.api != nil {
		d.api.Stop()
	}
}

// front is what a configuration says about requests, found right.
type front struct {
	config   Config
	enricher *ingest.Enricher
	mappings map[string]adapter.Decode
	audit    ingest.AuditJudge
}

func newFront(c Config, audit func(rulesFiles []string) (ingest.AuditJudge, error)) (front, error) {
	x := front{config: c}
	var err error
	if x.enricher, err = ingest.NewEnricher(c.Enrichment); err != nil {
		return front{}, err
	}
	if x.mappings, err = c.Ingest.Mappings(); err != nil {
		return front{}, err
	}
	if c.Ingest.K8sAudit.Enabled {
		if audit == nil {
			return front{}, errors.New("ingest.k8saudit.enabled: this program has no rules")
		}
		if x.audit, err = audit(c.Ingest.K8sAudit.RulesFiles); err != nil {
			return front{}, fmt.Errorf("ingest.k8saudit: %w", err)
		}
	}
	return x, nil
}

// openIngest answers senders as x says from now on.
func (f *forwarder) openIngest(x front) {
	in := ingest.New(ingest.Options{
		Journal: f.tracer.Journal(f.refusals.watch(f.journal)), Enricher: x.enricher, Guard: auth.Senders(x.config.Auth),
		OwnSensor: auth.New(auth.Config{Token: f.SensorToken}), Limits: x.config.Limits, Generic: x.mappings, Audit: x.audit,
		Observer: f.tracer.Ingest(f.metrics), Metrics: f.metrics.Handler(), NotReady: f.notReady, Log: f.Log,
	})
	moved := f.TLSServer.movedPaths()
	f.doors.ingest.exchange(in.Router(ingest.Without(moved...)))
	f.doors.plain.exchange(in.Router(ingest.Only(moved...)))
}

// openPage answers those who look at the page as x says from now on.
func (f *forwarder) openPage(x front) {
	if !f.UI.Enabled {
		return
	}
	guard := auth.New(x.config.Auth)
	f.doors.open(api.New(api.Options{
		Events: f.ring, Feed: f.feed, Outputs: f.outputStates, Journal: f.journal, Silences: f.book,
		Explain: f.explain, Test: f.testOutput, Configuration: f.reloads.get, Page: ui.Handler(),
		Guard: guard, Version: f.Version, Log: f.Log,
		LocalOnly: isLoopback(f.UI.ListenAddress) && !guard.Enabled(),
	}))
}

// journalSource shows the journal to the page.
type journalSource struct{ journal journal.Journal }

// Follow implements api.Source.
func (s journalSource) Follow(ctx context.Context, n int, add func(uint64, event.Event)) error {
	tail, err := s.journal.Tail(ctx, journal.From{Last: n})
	if err != nil {
		return err
	}
	defer tail.Close()
	for {
		entry, err := tail.Next(ctx)
		if err != nil {
			return err
		}
		add(entry.Sequence, entry.Event)
	}
}

// Last implements api.Source.
func (s journalSource) Last(ctx context.Context) (uint64, error) {
	stats, err := s.journal.Stats(ctx)
	if err != nil || stats.Events == 0 {
		return 0, err
	}
	return stats.Last, nil
}
