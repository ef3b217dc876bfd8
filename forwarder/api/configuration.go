package api

import (
	"net/http"
	"time"
)

// Configuration is what became of the configuration since the start. It shows no values.
type Configuration struct {
	// InForce is when the configuration in force was read.
	InForce time.Time `json:"inForce"`
	// Error says what is wrong with the one that was read last, one mistake a line, and
	// FailedAt when that was found; both are empty when that one is in force.
	Error    string    `json:"error,omitempty"`
	FailedAt time.Time `json:"failedAt,omitzero"`
	// NeedRestart are the keys whose new values come into force with the next start.
	NeedRestart []string `json:"needRestart,omitempty"`
}

func (a *API) configuration(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.Configuration()) }
