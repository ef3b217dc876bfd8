package ingest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// Paths are the paths that can be moved from the TLS server to a plain one with the
// setting tlsserver.notlspaths. "/" stands for every path not named here.
var Paths = []string{"/", "/ping", "/healthz", "/readyz", "/test", "/metrics"}

// Router returns the Handler on the paths for which serves is true. A path it doesn't
// serve is one like any other: it takes events if "/" is served, and is not found if not.
//
// The health paths ask for no credential, because kubelet has none to give.
func (h *Handler) Router(serves func(path string) bool) http.Handler {
	routes := map[string]http.Handler{
		"/ping":    http.HandlerFunc(ping),
		"/healthz": http.HandlerFunc(healthz),
		"/readyz":  http.HandlerFunc(h.readyz),
		"/test":    http.HandlerFunc(h.test),
		"/metrics": h.Guard.Require(h.Metrics),
	}
	r := chi.NewRouter()
	r.Use(h.recoverPanics, cleanPath)
	for _, p := range Paths {
		if handler, ok := routes[p]; ok && serves(p) {
			r.Handle(p, handler)
		}
	}
	if serves("/") {
		r.Handle("/*", http.HandlerFunc(h.post))
		// chi knows the usual methods only; the others get their answer, too.
		r.MethodNotAllowed(h.post)
	}
	return r
}

// Everything is what a server without moved paths serves.
func Everything(string) bool { return true }

// Only returns a choice of the given paths.
func Only(paths ...string) func(string) bool {
	return func(p string) bool { return slices.Contains(paths, p) }
}

// Without returns a choice of all but the given paths.
func Without(paths ...string) func(string) bool {
	return func(p string) bool { return !slices.Contains(paths, p) }
}

func ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "pong\n")
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status": "ok"}`)
}

// readyz says whether events can be taken. Events POSTed here are taken as anywhere.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.post(w, r)
		return
	}
	answer := struct {
		Status  string   `json:"status"`
		Reasons []string `json:"reasons,omitempty"`
	}{"ready", h.NotReady()}
	w.Header().Set("Content-Type", "application/json")
	if len(answer.Reasons) > 0 {
		answer.Status = "not ready"
		w.Header().Set("Retry-After", retryJournal)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// recoverPanics turns a panic, which would be a mistake of ours, into a 500 and a log line.
func (h *Handler) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			h.Log.Error("a request made ingest panic", "panic", cause, "stack", string(debug.Stack()))
			h.refuse(w, &refusal{why: ReasonPanic, status: http.StatusInternalServerError, text: textPanic})
		}()
		next.ServeHTTP(w, r)
	})
}

// cleanPath redirects paths such as "//" to their clean form, as net/http's mux does, which
// Falcosidekick uses.
func cleanPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		clean := path.Clean("/" + p)
		if strings.HasSuffix(p, "/") && clean != "/" {
			clean += "/"
		}
		if p == clean || p == "" || p == "*" {
			next.ServeHTTP(w, r)
			return
		}
		u := *r.URL
		u.Path, u.RawPath = clean, ""
		http.Redirect(w, r, u.RequestURI(), http.StatusTemporaryRedirect)
	})
}
