// Package api serves the web page and the data behind it: recent alerts, a live stream of
// new ones, and the state of the outputs.
//
// It reads the journal once, however many look, and only while somebody looks: one feed
// fills a ring with the newest alerts, and every answer and every stream is read from there.
//
//	journal ─ feed ─ ring ─┬─ GET /api/v2/events          the newest
//	                       └─ GET /api/v2/events/stream   server-sent events
//	delivery workers ──────── GET /api/v2/outputs
//
// The ring, the number of streams and what one stream sends in a second are bounded. A
// stream that cannot keep up is told how many alerts it missed, and one that does not read
// at all is closed; neither holds up anything else.
package api

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/saker-security/saker/forwarder/auth"
)

const (
	defaultLimit = 100
	// maxLimit is the most events one answer holds.
	maxLimit = ringEvents
)

// Output is the state of one output as the page shows it.
type Output struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// State is "ok", "failing", or "idle" before the first attempt.
	State string `json:"state"`
	// Pending are the events not yet delivered, Delivered and DeadLetters those since the
	// start of the process.
	Pending     uint64     `json:"pending"`
	Delivered   uint64     `json:"delivered"`
	Retries     uint64     `json:"retries"`
	DeadLetters uint64     `json:"deadLetters"`
	Lost        uint64     `json:"lost"`
	LastSuccess *time.Time `json:"lastSuccess,omitempty"`
	LastError   string     `json:"lastError,omitempty"`
}

// Options are what an API is made of. All are needed.
type Options struct {
	// Events is the ring that Feed fills.
	Events *Ring
	Feed   *Feed
	// Outputs returns the state of all outputs, in the order they are shown.
	Outputs func() []Output
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
}

// New makes an API.
func New(o Options) *API {
	return &API{Options: o, streams: make(chan struct{}, maxStreams), stopped: make(chan struct{})}
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
			r.Get("/version", func(w http.ResponseWriter, _ *http.Request) {
				writeJSON(w, map[string]string{"version": a.Version})
			})
			r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
				problem(w, http.StatusNotFound, "there is no such resource")
			})
		})
		r.Handle("/*", a.Page)
	})
	return r
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

func (a *API) outputs(w http.ResponseWriter, _ *http.Request) {
	list := a.Outputs()
	if list == nil {
		list = []Output{}
	}
	writeJSON(w, struct {
		Outputs []Output `json:"outputs"`
	}{list})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(v)
}

// problem answers with an RFC 9457 problem.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

// securityHeaders confines the page to what this server gives it.
func securityHeaders(next http.Handler) http.Handler {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		next.ServeHTTP(w, r)
	})
}

func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			problem(w, http.StatusForbidden,
				"this address answers only as localhost; set auth.username and auth.password to open it under other names")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
