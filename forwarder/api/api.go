// Package api serves the web page, the data behind it, and what people do to look after
// delivery: dead letters, replays, silences, test events, and the question why an alert
// goes where it goes.
//
// It reads the journal once, however many look, and only while somebody looks: one feed
// fills a ring with the newest alerts, and every answer and every stream is read from there.
//
//	journal ─ feed ─ ring ─┬─ GET /api/v2/events          the newest
//	                       └─ GET /api/v2/events/stream   server-sent events
//	delivery workers ──────── GET /api/v2/outputs
//	journal ─┬─ /api/v2/deadletters …      list, send again, drop
//	         └─ /api/v2/events/replay      send a past range to an output again
//	silences ── /api/v2/silences …
//	routes ──── /api/v2/route/explain
//
// The ring, the number of streams and what one stream sends in a second are bounded. A
// stream that cannot keep up is told how many alerts it missed, and one that does not read
// at all is closed; neither holds up anything else.
//
// Requests that change something are refused when a browser sends them on behalf of
// another web site, and need the content type JSON. Each change is a line in the log that
// names who made it. One change of many dead letters or events runs at a time, and each
// answers within a bound of time, with how far it has come and where to go on.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/auth"
)

const (
	defaultLimit = 100
	// maxLimit is the most events one answer holds.
	maxLimit = ringEvents
)

// Options are what an API is made of. All are needed.
type Options struct {
	// Events is the ring that Feed fills.
	Events *Ring
	Feed   *Feed
	// Outputs returns the state of all outputs, in the order they are shown.
	Outputs func() []Output
	// Journal is where dead letters are kept and past events are read.
	Journal Journal
	// Silences are those that can be made and ended.
	Silences Silences
	// Explain says what would become of an event at each output if it came in now; the error
	// says why it would be refused.
	Explain func(e event.Event) ([]Explanation, error)
	// Test sends a test event to the output called name, which is one of Outputs, and
	// waits for its answer until ctx ends. An error is for a test that could not be made.
	Test func(ctx context.Context, name string) (TestResult, error)
	// Configuration says what became of the configuration since the start.
	Configuration func() Configuration
	// Page answers everything that is not below /api.
	Page    http.Handler
	Guard   *auth.Guard
	Version string
	// LocalOnly refuses requests whose Host is not this machine. It is for a server on a
	// loopback address without credentials, which any web page open in the same browser
	// could otherwise reach through a name that it points to 127.0.0.1.
	LocalOnly bool
	Log       *slog.Logger
}

// API answers the requests of the page. Stop ends its streams.
type API struct {
	Options
	streams chan struct{}
	stopped chan struct{}
	// working is taken by the one change of many things at once that may run.
	working chan struct{}
	// testing are the tests of outputs under way.
	testing chan struct{}
	// origins refuses what a browser sends on behalf of a foreign web page.
	origins *http.CrossOriginProtection
}

// New makes an API.
func New(o Options) *API {
	return &API{
		Options: o, streams: make(chan struct{}, maxStreams), stopped: make(chan struct{}),
		working: make(chan struct{}, 1), testing: make(chan struct{}, maxTests), origins: http.NewCrossOriginProtection(),
	}
}

// Stop ends all streams. It is called once, when the server begins to stop.
func (a *API) Stop() { close(a.stopped) }

// Router returns the API and the page on their paths.
func (a *API) Router() http.Handler {
	r := chi.NewRouter()
	r.Use(securityHeaders)
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]string{"status": "ok"}) })
	r.Group(func(r chi.Router) {
		if a.LocalOnly {
			r.Use(localOnly)
		}
		r.Use(a.Guard.Require)
		r.Route("/api/v2", func(r chi.Router) {
			r.Use(noStore)
			r.Get("/events", a.events)
			r.Get("/events/stream", a.stream)
			r.Get("/outputs", a.outputs)
			r.Get("/configuration", a.configuration)
			a.operate(r)
			r.Get("/version", func(w http.ResponseWriter, _ *http.Request) {
				writeJSON(w, map[string]string{"version": a.Version})
			})
			r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
				problem(w, http.StatusNotFound, "there is no such resource")
			})
			r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
				problem(w, http.StatusMethodNotAllowed, r.Method+" is not for this resource")
			})
		})
		r.Handle("/*", a.Page)
	})
	return r
}

// operate registers what people do to look after delivery.
func (a *API) operate(r chi.Router) {
	r.Get("/deadletters", a.answer(a.listDeadLetters))
	r.Get("/deadletters/{id}", a.answer(a.showDeadLetter))
	r.Get("/silences", a.answer(a.listSilences))
	r.Get("/silences/{id}", a.answer(a.showSilence))
	r.Group(func(r chi.Router) {
		r.Use(a.protect)
		r.Post("/deadletters/replay", a.answer(a.replayDeadLetters))
		r.Post("/deadletters/drop", a.answer(a.dropDeadLetters))
		r.Post("/deadletters/{id}/replay", a.answer(a.replayDeadLetter))
		r.Delete("/deadletters/{id}", a.answer(a.dropDeadLetter))
		r.Post("/events/replay", a.answer(a.replayEvents))
		r.Post("/route/explain", a.answer(a.explain))
		r.Post("/silences", a.answer(a.addSilence))
		r.Put("/silences/{id}", a.answer(a.changeSilence))
		r.Delete("/silences/{id}", a.answer(a.expireSilence))
		r.Post("/outputs/{name}/test", a.answer(a.testOutput))
	})
}

// events answers with the newest events, newest first.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	limit := defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			problem(w, http.StatusBadRequest, "limit must be a number from 1 to "+strconv.Itoa(maxLimit))
			return
		}
		limit = n
	}
	leave := a.Feed.enter(r.Context())
	defer leave()
	newest, last := a.Events.newest(limit)
	list := make([]json.RawMessage, 0, len(newest))
	for _, it := range slices.Backward(newest) {
		list = append(list, it.json)
	}
	writeJSON(w, struct {
		Events []json.RawMessage `json:"events"`
		// Last is where a stream goes on from.
		Last uint64 `json:"last"`
	}{list, last})
}
