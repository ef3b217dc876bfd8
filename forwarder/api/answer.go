package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/silence"
)

// refusal is an answer that says why a request was not followed. The detail is for the
// person who made the request.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string { return r.detail }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return refuse(http.StatusBadRequest, format, args...) }

// retryAfter is the pause, in seconds, asked of a client that comes at a bad moment.
const retryAfter = "5"

// created is an answer about something new, which stands at the path At.
type created struct {
	Value any
	At    string
}

// answer makes a handler that sends what h returns as JSON, or the problem that it found.
func (a *API) answer(h func(w http.ResponseWriter, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(w, r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		if c, ok := v.(created); ok {
			w.Header().Set("Location", c.At)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			v = c.Value
		}
		writeJSON(w, v)
	}
}

// fail answers with err as a problem. What is nobody's affair but ours goes to the log.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if no, ok := errors.AsType[*refusal](err); ok {
		if no.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retryAfter)
		}
		problem(w, no.status, no.detail)
		return
	}
	_, badSilence := errors.AsType[*silence.InvalidError](err)
	switch {
	case errors.Is(err, journal.ErrNotFound), errors.Is(err, silence.ErrNotFound):
		problem(w, http.StatusNotFound, err.Error())
	case badSilence:
		problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, silence.ErrExpired), errors.Is(err, silence.ErrTooMany):
		problem(w, http.StatusConflict, err.Error())
	case errors.Is(err, journal.ErrTooLarge):
		problem(w, http.StatusRequestEntityTooLarge, err.Error())
	case comeBack(err), errors.Is(err, silence.ErrNotReady), errors.Is(err, context.DeadlineExceeded):
		w.Header().Set("Retry-After", retryAfter)
		problem(w, http.StatusServiceUnavailable, err.Error())
	case r.Context().Err() != nil:
		// The client has gone.
	default:
		a.Log.Error("a request to the API failed", "method", r.Method, "path", r.URL.Path, "error", err)
		problem(w, http.StatusInternalServerError, "the request could not be carried out; the forwarder's log says why")
	}
}

// comeBack reports whether the journal may take later what it refused with err.
func comeBack(err error) bool {
	return errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrUnavailable) || errors.Is(err, journal.ErrClosed)
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
	_ = json.NewEncoder(w).Encode(Problem{http.StatusText(status), status, detail})
}

// Problem is the body of every answer that is not a success, as RFC 9457 has it.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is a sentence for people.
	Detail string `json:"detail"`
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
