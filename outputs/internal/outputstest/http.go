// Package outputstest is the contract test that every output runs, with the events it
// sends and the servers it sends them to.
//
// HTTP is the contract of an output that speaks HTTP: golden requests for all Events, the
// outcome of every class of status, Retry-After, contexts that end, servers that hang,
// refuse or redirect, wrong configuration, secrets that must not show, connections that
// must be reused, goroutines that must not stay. Wire is that of an output of another
// protocol. Start and StartAddress run a real server.
package outputstest

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// patience is how long a test waits for what ought to happen at once.
const patience = 20 * time.Second

// Outcome is what a status means for delivery.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered"
	NotNow    Outcome = "not now"
	Held      Outcome = "held"
	Rejected  Outcome = "rejected"
)

// OutcomeOf returns the outcome that deliver reads from what Send returned.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Delivered
	case outputs.Rejected(err):
		return Rejected
	case outputs.Held(err):
		return Held
	}
	return NotNow
}

// HTTP is the contract test of an output that speaks HTTP.
type HTTP struct {
	// Kind is the name the output is registered by.
	Kind string
	// Config is the YAML text of the output's section; URL in it stands for the test
	// server's address.
	Config string
	// Secret is a text of Config that must never show. Several are separated by spaces.
	Secret string
	// Variants are further configurations by name, whose requests have golden files too.
	Variants map[string]string
	// Wrong are configurations that must be refused, each with a part of the error.
	Wrong map[string]string
	// Statuses are the outcomes of statuses where the service differs from the rest.
	Statuses map[int]Outcome
	// Answer writes what the service answers when it accepts a request; nil means 200 and
	// a short text.
	Answer func(w http.ResponseWriter, r *http.Request, body []byte)
	// Hollow are bodies of answers with the status 200 that are no success: an error that
	// only the body tells, the page of another site. Each has an outcome.
	Hollow map[string]Outcome
	// Clean makes recorded requests fit for a golden file: it replaces what changes from
	// run to run. It is called with each body and with the whole file.
	Clean func(text string) string
	// Unordered says that the requests of one Send come in any order; golden files have
	// them by path.
	Unordered bool
	// NoRedirects leaves out the tests of redirects, for an SDK with rules of its own.
	NoRedirects bool
}

// Run runs the contract.
func (h HTTP) Run(t *testing.T) {
	t.Helper()
	t.Run("requests match the golden files", h.golden)
	t.Run("each status has its outcome", h.statuses)
	t.Run("success that is none is seen", h.hollow)
	t.Run("Retry-After is honoured", h.retryAfter)
	t.Run("a cancelled context sends nothing", h.cancelled)
	t.Run("a server that hangs is left when the context ends", h.hangs)
	t.Run("a refused connection is tried again later", h.refused)
	t.Run("a connection that is reset is tried again later", h.reset)
	if !h.NoRedirects {
		t.Run("a redirect to a stranger is not followed", h.strangers)
		t.Run("a redirect that changes the method is not followed", h.changedMethods)
		t.Run("a redirect on the same host keeps method and body", h.sameHost)
	}
	t.Run("wrong configuration is refused", h.wrong)
	t.Run("no secret shows", h.secrets)
	t.Run("connections are reused", h.reuse)
	t.Run("concurrent sends all arrive", h.concurrent)
}

// open makes the sender for the given configuration with s as its endpoint. It is closed
// before s when the test ends, and leaves no goroutine.
func (h HTTP) open(t *testing.T, text string, s *server) outputs.Sender {
	t.Helper()
	sender, err := New(h.Kind, strings.ReplaceAll(text, "URL", s.URL), Env(t))
	if err != nil {
		t.Fatalf("make sender: %v", err)
	}
	closer, ok := sender.(io.Closer)
	if !ok {
		t.Fatalf("a sender over HTTP must be an io.Closer that lets go of its connections")
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sender
}

// begin is what most parts of the contract begin with.
func (h HTTP) begin(t *testing.T) (*server, outputs.Sender) {
	t.Helper()
	NoLeak(t)
	s := h.serve(t)
	return s, h.open(t, h.Config, s)
}

// plain is a batch of one.
func plain() []event.Event { return []event.Event{Plain()} }

func (h HTTP) golden(t *testing.T) {
	variants := maps.Clone(h.Variants)
	if variants == nil {
		variants = map[string]string{}
	}
	variants["requests"] = h.Config
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		t.Run(name, func(t *testing.T) {
			NoLeak(t)
			s := h.serve(t)
			sender := h.open(t, variants[name], s)
			var got strings.Builder
			send := func(title string, batch []event.Event) {
				if err := sender.Send(t.Context(), batch); err != nil {
					t.Errorf("%s: send: %v", title, err)
				}
				got.WriteString("-- " + title + " --\n")
				requests := s.take()
				if h.Unordered {
					slices.SortStableFunc(requests, func(a, b request) int { return strings.Compare(a.uri, b.uri) })
				}
				for _, r := range requests {
					r.body = h.clean(r.body) // before its sum is taken
					got.WriteString(r.String())
				}
			}
			var all []event.Event
			for _, f := range Events() {
				send(f.Name, []event.Event{f.Event})
				all = append(all, f.Event)
			}
			if kind := Kind(t, h.Kind); kind.Batch > 1 {
				send("batch", all[:min(len(all), kind.Batch)])
			}
			text := strings.ReplaceAll(got.String(), s.URL, "URL")
			Golden(t, "testdata/"+name+".golden", h.clean(text))
		})
	}
}

func (h HTTP) clean(text string) string {
	if h.Clean == nil {
		return text
	}
	return h.Clean(text)
}

func (h HTTP) wrong(t *testing.T) {
	for text, want := range h.Wrong {
		_, err := New(h.Kind, strings.ReplaceAll(text, "URL", "http://127.0.0.1:1"), Env(t))
		if err == nil {
			t.Errorf("%s: was accepted, want an error with %q", text, want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want an error with %q", text, err, want)
		}
		NoSecret(t, h.Secret, err.Error())
	}
}
