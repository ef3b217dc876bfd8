package httpx

import (
	"errors"
	"net/http"
)

// Answer returns the status and the start of the body, some kilobytes without the request's
// secrets, of the answer that err, or an error it wraps, is about. Do makes such errors;
// ok is false for any other.
func Answer(err error) (status int, body []byte, ok bool) {
	e, ok := errors.AsType[*answeredError](err)
	if !ok {
		return 0, nil, false
	}
	return e.status, e.body, true
}

// answered is StatusError with what Answer returns.
func answered(status int, header http.Header, body []byte) error {
	return &answeredError{StatusError(status, header, body), status, body}
}

type answeredError struct {
	err    error
	status int
	body   []byte
}

func (e *answeredError) Error() string { return e.err.Error() }
func (e *answeredError) Unwrap() error { return e.err }
