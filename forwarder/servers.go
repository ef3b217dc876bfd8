package forwarder

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/listen"
	"github.com/saker-security/saker/ui"
)

// The servers' names in logs and errors.
const (
	serverIngest = "ingest"
	serverPlain  = "plain ingest"
	serverPage   = "page"
)

// server is an open listener with its name.
type server struct {
	*listen.Server
	name   string
	secure bool
}

// handlers are what the servers answer with, built before anything is opened.
type handlers struct {
	enricher *ingest.Enricher
	guard    *auth.Guard
	// ingestTLS and pageTLS are nil for plain HTTP.
	ingestTLS, pageTLS *tls.Config
}

// buildHandlers makes what can be wrong in the configuration of the servers.
func (f *forwarder) buildHandlers() (err error) {
	h := &f.handlers
	if h.enricher, err = ingest.NewEnricher(f.Enrichment); err != nil {
		return err
	}
	h.guard = auth.New(f.Auth)
	certificates := listen.Certificates{CertFile: f.TLSServer.CertFile, KeyFile: f.TLSServer.KeyFile}
	if f.UI.Enabled && f.UI.TLS {
		if h.pageTLS, err = listen.TLS(certificates, f.Log); err != nil {
			return err
		}
	}
	if !f.TLSServer.Deploy {
		return nil
	}
	if f.TLSServer.MutualTLS {
		certificates.ClientCAFile = f.TLSServer.CACertFile
	}
	h.ingestTLS, err = listen.TLS(certificates, f.Log)
	return err
}

// openListeners opens all listeners; on an error those already open are closed.
func (f *forwarder) openListeners(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			for _, s := range f.servers {
				s.Close()
			}
		}
	}()
	in := ingest.New(ingest.Options{
		Journal: f.journal, Enricher: f.handlers.enricher, Guard: f.handlers.guard, OwnSensor: auth.New(auth.Config{Token: f.SensorToken}), Limits: f.Limits,
		Observer: f.metrics, Metrics: f.metrics.Handler(), NotReady: f.notReady, Log: f.Log,
	})
	moved := f.TLSServer.movedPaths()
	if _, err = f.listen(ctx, serverIngest, f.ListenAddress, f.ListenPort, in.Router(ingest.Without(moved...)), f.handlers.ingestTLS); err != nil {
		return err
	}
	if len(moved) > 0 {
		if _, err = f.listen(ctx, serverPlain, f.ListenAddress, f.TLSServer.NoTLSPort, in.Router(ingest.Only(moved...)), nil); err != nil {
			return err
		}
	}
	return f.openPage(ctx)
}

// openPage opens the listener of the page, unless it is off.
func (f *forwarder) openPage(ctx context.Context) error {
	ring := api.NewRing()
	f.feed = api.NewFeed(ring, journalSource{f.journal}, f.Log)
	if !f.UI.Enabled {
		return nil
	}
	page := api.New(api.Options{
		Events: ring, Feed: f.feed, Outputs: f.outputStates, Page: ui.Handler(),
		Guard: f.handlers.guard, Version: f.Version, Log: f.Log,
		LocalOnly: isLoopback(f.UI.ListenAddress) && !f.handlers.guard.Enabled(),
	})
	s, err := f.listen(ctx, serverPage, f.UI.ListenAddress, f.UI.ListenPort, page.Router(), f.handlers.pageTLS)
	if err == nil {
		s.OnStop(page.Stop)
	}
	return err
}

func (f *forwarder) listen(ctx context.Context, name, address string, port int, h http.Handler, secure *tls.Config) (*listen.Server, error) {
	s, err := listen.Open(ctx, net.JoinHostPort(address, strconv.Itoa(port)), h, listen.Options{
		Name: name, TLS: secure, MaxConnections: f.Limits.MaxConnections, Log: f.Log,
	})
	if err != nil {
		return nil, err
	}
	f.servers = append(f.servers, server{s, name, secure != nil})
	return s, nil
}

// notReady returns why events cannot be taken now.
func (f *forwarder) notReady() []string {
	if err := f.journal.Ready(); err != nil {
		return []string{"journal: " + err.Error()}
	}
	return nil
}

// journalSource shows the journal to the page.
type journalSource struct{ journal *journal.Journal }

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
