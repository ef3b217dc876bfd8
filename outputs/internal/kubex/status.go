package kubex

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Error is what the API server, or a service behind its proxy, answered when it is not
// 2xx.
type Error struct {
	// Code is the HTTP status.
	Code int
	// Reason is the API's word for it: NotFound, AlreadyExists, Conflict, Forbidden … It is
	// empty when the answer is not the API server's own.
	Reason string
	// Message is the server's sentence, on one line.
	Message string
	// Kind and Name are the object that the answer is about, where it names one:
	// "namespaces" and "prod".
	Kind, Name string
	// Causes are the reasons of the details.
	Causes []string
}

// Error says what was answered.
func (e *Error) Error() string {
	text := fmt.Sprintf("the Kubernetes API answered %d", e.Code)
	if name := http.StatusText(e.Code); name != "" {
		text += " " + name
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Reason returns the reason of the API's answer in err, "" if there is none.
func Reason(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// Reasons of the API server that callers ask for.
const (
	NotFound      = "NotFound"
	AlreadyExists = "AlreadyExists"
	Conflict      = "Conflict"
)

// NoNamespace reports whether err says that the namespace of the request does not exist or
// is about to end, so that nothing can be created in it.
func NoNamespace(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	return e.Reason == NotFound && e.Kind == "namespaces" || slices.Contains(e.Causes, "NamespaceTerminating")
}

// status is the part of metav1.Status that is read.
type status struct {
	Kind    string `json:"kind"`
	Status  string `json:"status"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Details struct {
		Name              string `json:"name"`
		Kind              string `json:"kind"`
		RetryAfterSeconds int32  `json:"retryAfterSeconds"`
		Causes            []struct {
			Reason string `json:"reason"`
		} `json:"causes"`
	} `json:"details"`
}

// maxCauses is how many causes of an answer are kept.
const maxCauses = 16

// statusError returns the error for an answer that is not 2xx, classed like those of every
// output over HTTP and by what the answer says itself.
func statusError(code int, header http.Header, body []byte) error {
	e, pause := readStatus(code, header, body)
	switch like := httpx.StatusError(code, header, nil); {
	case outputs.Rejected(like):
		return outputs.Reject(e)
	case outputs.Delay(like) > 0:
		return outputs.RetryAfter(max(pause, outputs.Delay(like)), e)
	case pause > 0:
		return outputs.RetryAfter(pause, e)
	case outputs.Held(like):
		return outputs.Hold(e)
	}
	return e
}

// maxPause is the longest pause that an answer can ask for.
const maxPause = time.Hour

// readStatus reads an answer, which may be any text, and how long it asks to be left alone.
func readStatus(code int, header http.Header, body []byte) (*Error, time.Duration) {
	e := &Error{Code: code}
	var s status
	if err := json.Unmarshal(body, &s); err != nil || s.Kind != "Status" {
		if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
			e.Message = httpx.OneLine(string(body))
		}
		return e, 0
	}
	e.Reason, e.Message = httpx.OneLine(s.Reason), httpx.OneLine(s.Message)
	e.Kind, e.Name = httpx.OneLine(s.Details.Kind), httpx.OneLine(s.Details.Name)
	for _, c := range s.Details.Causes[:min(len(s.Details.Causes), maxCauses)] {
		e.Causes = append(e.Causes, httpx.OneLine(c.Reason))
	}
	pause := time.Duration(max(s.Details.RetryAfterSeconds, 0)) * time.Second
	return e, min(pause, maxPause)
}
