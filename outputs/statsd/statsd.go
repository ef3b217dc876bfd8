// Package statsd counts events, requests and deliveries in StatsD.
package statsd

import (
	_ "embed"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/statsdx"
)

//go:embed page.md
var page string

// maxBatch is the most events that one datagram counts.
const maxBatch = 1000

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "statsd",
		Title:   "StatsD",
		Doc:     "Counts events, requests and deliveries in StatsD.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	statsdx.Config
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	return statsdx.New(c.Config, c.StatsD(), env), nil
}
