package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// maxBody is the most bytes that a request's body may have.
const maxBody = 1 << 20

// protect refuses changes that a foreign web page makes a reader's browser send: by what
// the browser says of the request's origin, and by a content type that forms cannot send.
func (a *API) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.origins.Check(r); err != nil {
			a.Log.Warn("a change that another web site asked for was refused",
				"path", r.URL.Path, "origin", r.Header.Get("Origin"), "from", r.RemoteAddr)
			problem(w, http.StatusForbidden, "requests from other web sites are refused")
			return
		}
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if r.Method != http.MethodDelete && (err != nil || kind != "application/json") {
			problem(w, http.StatusUnsupportedMediaType, "the header Content-Type must be application/json")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// body reads a request's body, which may be empty.
func body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is too large: at most %d bytes are taken", maxBody)
	}
	if err != nil {
		return nil, invalid("the body could not be read to its end")
	}
	return text, nil
}

// decode reads a request's body, one JSON object, into v; an empty one counts as {}.
// Members that v does not have are refused, because a mistyped limit of a change is worse
// than none.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	text, err := body(w, r)
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalid("the body is not what is expected here: %s", jsonProblem(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("the body must be one JSON object and nothing behind it")
	}
	return nil
}

// jsonProblem says what is wrong with a JSON text in words that do not speak of Go.
func jsonProblem(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s cannot be a JSON %s", cmp.Or(e.Field, "the whole of it"), e.Value)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%v (at byte %d)", e, e.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON text ends too soon"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// parameter returns a part of the path as it was meant: names of outputs may have
// characters that are escaped there.
func parameter(r *http.Request, name string) string {
	text := chi.URLParam(r, name)
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// audit returns the log for a change, with who made it.
func (a *API) audit(r *http.Request) *slog.Logger {
	return a.Log.With("by", a.person(r), "from", r.RemoteAddr)
}

// person names who makes a request that the Guard has let in.
func (a *API) person(r *http.Request) string {
	if name, _ := a.Guard.Sender(r); name != "" {
		return name
	}
	return "anybody"
}

// moment reads a point in time: RFC 3339, or how long ago, "2h". Empty is the zero time.
func moment(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, invalid(`%s must be a time such as 2026-01-31T15:04:05Z or how long ago it was, such as 2h, not %q`, name, text)
	}
	return now.Add(-d), nil
}
