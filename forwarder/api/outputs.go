package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The states of an output, from good to bad.
const (
	StateIdle    = "idle"    // nothing has been sent since the start
	StateOK      = "ok"      // the last attempt worked
	StateFailing = "failing" // the last attempt failed, and more are made
	StateOpen    = "open"    // too many failed in a row: now and then one attempt tries the destination
	StateHeld    = "held"    // the destination refuses us until somebody mends its set-up
)

// Output is the state of one output. What it counts, it counts since the start of the
// process.
type Output struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// State is one of the states above, Breaker what the circuit breaker is: "closed",
	// "open" or "probing".
	State   string `json:"state"`
	Breaker string `json:"breaker,omitempty"`
	// Limit is the most requests under way at once at present, InFlight the events in hand.
	Limit    int `json:"limit,omitempty"`
	InFlight int `json:"inFlight"`
	// Pending are the events not yet delivered, those in hand included.
	Pending     uint64 `json:"pending"`
	Delivered   uint64 `json:"delivered"`
	Retries     uint64 `json:"retries"`
	DeadLetters uint64 `json:"deadLetters"`
	// Lost are the events that were gone before the output got them, removed by the
	// journal's limits or lost with a damaged file.
	Lost uint64 `json:"lost"`
	// Filtered are the events that the output's own settings held back, Silenced those that
	// a silence did, and Suppressed those that got no message of their own because they
	// repeat another or stand in a summary.
	Filtered   uint64 `json:"filtered"`
	Silenced   uint64 `json:"silenced"`
	Suppressed uint64 `json:"suppressed"`

	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"`
	LastError    string     `json:"lastError,omitempty"`
	LastErrorAt  *time.Time `json:"lastErrorAt,omitempty"`
}

const (
	// testTimeout bounds a test of an output, connecting included.
	testTimeout = 30 * time.Second
	// maxTests is the most tests under way at once.
	maxTests = 4
)

// TestResult is what became of a test event.
type TestResult struct {
	Output   string `json:"output"`
	Accepted bool   `json:"accepted"`
	// TookMS is how long the attempt took, in milliseconds.
	TookMS int64 `json:"tookMs"`
	// Error is what the destination said when it did not accept the event. Permanent tells
	// that it would refuse the event however often it is sent.
	Error     string `json:"error,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
}

func (a *API) outputs(w http.ResponseWriter, _ *http.Request) {
	list := a.Outputs()
	if list == nil {
		list = []Output{}
	}
	writeJSON(w, OutputList{list})
}

// OutputList is the answer of GET /outputs.
type OutputList struct {
	Outputs []Output `json:"outputs"`
}

// testOutput sends a test event to one output, past the journal.
func (a *API) testOutput(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := decode(w, r, &struct{}{}); err != nil {
		return nil, err
	}
	name := parameter(r, "name")
	if err := a.configured(name, http.StatusNotFound); err != nil {
		return nil, err
	}
	select {
	case a.testing <- struct{}{}:
		defer func() { <-a.testing }()
	default:
		return nil, refuse(http.StatusServiceUnavailable, "too many tests are under way; please try again in a moment")
	}
	ctx, cancel := context.WithTimeout(r.Context(), testTimeout)
	defer cancel()
	result, err := a.Test(ctx, name)
	if err != nil {
		return nil, err
	}
	a.audit(r).Info("a test event was sent", "output", name, "accepted", result.Accepted)
	return result, nil
}

// configured returns nil when there is an output called name, or a refusal that names
// those there are.
func (a *API) configured(name string, status int) error {
	var names []string
	for _, o := range a.Outputs() {
		names = append(names, o.Name)
	}
	if slices.Contains(names, name) {
		return nil
	}
	if len(names) == 0 {
		return refuse(status, "output %q is not configured, and no other is", name)
	}
	slices.Sort(names)
	return refuse(status, "output %q is not configured; those that are: %s", name, strings.Join(names, ", "))
}
