package api

import (
	"net/http"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/route"
)

// Explanation says what becomes of an event at one output, and why.
type Explanation struct {
	Output string `json:"output"`
	// Verdict is "deliver", "below_priority", "no_match" or "silenced".
	Verdict string `json:"verdict"`
	// Reason is a clause for people.
	Reason string `json:"reason"`
}

// Explained is d as the API shows it.
func Explained(output string, d route.Decision) Explanation {
	return Explanation{output, d.Verdict.String(), d.Reason}
}

// Explanations is the answer of POST /route/explain.
type Explanations struct {
	Outputs []Explanation `json:"outputs"`
}

// explain says what would become of the event in the body.
func (a *API) explain(w http.ResponseWriter, r *http.Request) (any, error) {
	text, err := body(w, r)
	if err != nil {
		return nil, err
	}
	e, err := event.Decode(text)
	if err != nil {
		return nil, invalid("the body must be one event in Falco's format: %v", err)
	}
	list, err := a.Explain(e)
	if err != nil {
		return nil, invalid("the event would be refused: %v", err)
	}
	if list == nil {
		list = []Explanation{}
	}
	return Explanations{list}, nil
}
