package httpx

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/saker-security/saker/outputs"
)

const (
	// maxText is how much of an answer's body an error shows, in bytes.
	maxText = 512
	// maxDelay is the longest pause that an endpoint can ask for.
	maxDelay = time.Hour
)

// hidden stands in an error where an endpoint repeated a part of the request.
const hidden = "[hidden]"

// meaning is what a status that is not 2xx says about sending the same request again.
type meaning int

const (
	// later: it may be accepted the next time.
	later meaning = iota
	// never: the request itself is at fault.
	never
	// held: not before somebody has mended the endpoint or the configuration.
	held
)

// class returns what a status that is not 2xx means.
func class(status int) meaning {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return never
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusMisdirectedRequest, http.StatusLocked,
		http.StatusFailedDependency, http.StatusTooEarly, http.StatusTooManyRequests:
		return later
	}
	if status/100 == 3 || status/100 == 4 {
		return held
	}
	return later
}

// StatusError returns the error for an answer that is not 2xx: outputs.Reject for 400, 413
// and 422, outputs.RetryAfter (an hour at most) when the answer has a usable Retry-After,
// a plain error for 408, 409, 421, 423, 424, 425, 429 and 5xx, outputs.Hold for the rest of
// 4xx and for 3xx. It shows the status and the start of body, which must be free of
// secrets; an HTML page is left out.
func StatusError(status int, header http.Header, body []byte) error {
	text := fmt.Sprintf("the endpoint answered %d", status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	if status/100 == 3 {
		text += " (a redirect is followed only on the same host and without changing the method)"
	}
	if said := answerText(header, body); said != "" {
		text += ": " + said
	}
	err := errors.New(text)
	means := class(status)
	if means == never {
		return outputs.Reject(err)
	}
	// An endpoint that says when to come back expects no one to mend anything.
	if d := retryAfter(header.Get("Retry-After"), time.Now()); d > 0 {
		return outputs.RetryAfter(d, err)
	}
	if means == held {
		return outputs.Hold(err)
	}
	return err
}

// retryAfter reads a Retry-After header, which is seconds or a date; 0 when there is none
// that says when.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if s, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(s, uint64(maxDelay/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return maxDelay
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxDelay)
}

// answerText is the start of body on one line, fit for a log.
func answerText(header http.Header, body []byte) string {
	if strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		return ""
	}
	// Reading further than what is shown lets the cut fall on a character's edge.
	body = body[:min(len(body), 2*maxText)]
	words := strings.FieldsFunc(strings.ToValidUTF8(string(body), "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	})
	return cut(strings.Join(words, " "), maxText)
}

// cut returns at most n bytes of s, whole characters only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// hideSecrets replaces in an answer what it repeats of the request that may be secret. It
// works on what an error may show and returns no more than that.
func hideSecrets(req *http.Request, answer []byte) []byte {
	// A secret may straddle the cut, so that much more than what is shown is searched.
	text := string(answer[:min(len(answer), 16*maxText)])
	return []byte(hideIn(req, text))
}

// hideIn replaces the request's secrets in text.
func hideIn(req *http.Request, text string) string {
	for _, s := range secretsOf(req) {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return text
}

// secretsOf returns the parts of a request that may be secret, longest first: address,
// path, words of the path that look like a token, values of the query, the password, and
// the values of all headers but the harmless ones.
func secretsOf(req *http.Request) []string {
	u := req.URL
	found := []string{u.String(), u.RequestURI(), u.EscapedPath(), u.Path}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if len(segment) >= 6 && strings.ContainsAny(segment, "0123456789") {
			found = append(found, segment, url.PathEscape(segment))
		}
	}
	for _, values := range u.Query() {
		for _, v := range values {
			found = append(found, v, url.QueryEscape(v))
		}
	}
	if password, ok := u.User.Password(); ok {
		found = append(found, password, u.User.String())
	}
	for name, values := range req.Header {
		if name == "Content-Type" || name == "User-Agent" || name == "Accept" || name == "Content-Encoding" {
			continue
		}
		for _, v := range values {
			_, token, _ := strings.Cut(v, " ")
			found = append(found, v, token)
		}
	}
	// Hiding every "/" or "1" would only make the text unreadable.
	found = slices.DeleteFunc(found, func(s string) bool { return len(s) < 4 })
	slices.SortFunc(found, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	return slices.Compact(found)
}

// CleanError returns err without the URL that a *url.Error shows. Outputs whose SDK makes
// its own requests use it.
func CleanError(err error) error {
	for {
		e, ok := errors.AsType[*url.Error](err)
		if !ok || e.Err == nil {
			return err
		}
		err = e.Err
	}
}

// cleanError is CleanError that also hides what else repeats the request.
func cleanError(req *http.Request, err error) error {
	err = CleanError(err)
	if text := hideIn(req, err.Error()); text != err.Error() {
		return &hiddenError{text, err}
	}
	return err
}

// hiddenError shows text in place of what err says, and is err to errors.Is.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string        { return e.text }
func (e *hiddenError) Is(target error) bool { return errors.Is(e.err, target) }
