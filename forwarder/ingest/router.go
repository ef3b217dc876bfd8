package ingest

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
)

// Paths are the paths that can be moved from the TLS server to a plain one with the
// setting tlsserver.notlspaths. "/" stands for every path not named here, those below
// /ingest/ among them.
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
	maps.DeleteFunc(routes, func(p string, _ http.Handler) bool { return !serves(p) })
	return &router{Handler: h, routes: routes, takesEvents: serves("/")}
}

// router is a Handler on some paths. Almost all requests are for "/", so that a router
// with patterns would cost more than it does.
type router struct {
	*Handler
	routes      map[string]http.Handler
	takesEvents bool
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer rt.recoverPanic(w)
	p := r.URL.Path
	switch {
	case p == "/" && rt.takesEvents:
		rt.post(w, r)
	case !isClean(p):
		redirectClean(w, r)
	case rt.routes[p] != nil:
		rt.routes[p].ServeHTTP(w, r)
	case !rt.takesEvents:
		http.NotFound(w, r)
	default:
		if name, ok := strings.CutPrefix(p, adapterPath); ok {
			rt.adapt(w, r, name)
			return
		}
		rt.post(w, r)
	}
}

// post takes the Falco events of a request.
func (h *Handler) post(w http.ResponseWriter, r *http.Request) { h.accept(w, r, readEvents) }

func (h *Handler) test(w http.ResponseWriter, r *http.Request) { h.accept(w, r, readTest) }

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

// recoverPanic turns a panic, which would be a mistake of ours, into a 500 and a log line.
func (h *Handler) recoverPanic(w http.ResponseWriter) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	h.Log.Error("a request made ingest panic", "panic", cause, "stack", string(debug.Stack()))
	h.refuse(w, &refusal{why: ReasonPanic, status: http.StatusInternalServerError, text: textPanic})
}

// isClean reports whether p is in the form that net/http's mux, which Falcosidekick uses,
// serves without a redirect.
func isClean(p string) bool { return p == "" || p == "*" || p == cleaned(p) }

func cleaned(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// redirectClean redirects paths such as "//" to their clean form.
func redirectClean(w http.ResponseWriter, r *http.Request) {
	u := *r.URL
	u.Path, u.RawPath = cleaned(r.URL.Path), ""
	http.Redirect(w, r, u.RequestURI(), http.StatusTemporaryRedirect)
}
