// Package outputs is the contract between the forwarder and the destinations it delivers
// to, and the registry of all kinds of them.
//
// An output is one folder below this one: a typed Config, a constructor and a Sender,
// declared once with Register from the folder's init. Everything else that speaks of
// outputs (documentation, the example configuration, the JSON schema, the environment
// table, the CLI) walks the registry; nothing outside the folder names an output, but for
// the import line in outputs/all.
//
// In the flow an output stands last: kernel, rules, ingest, journal, route, deliver,
// output. It knows nothing of what stands before it.
package outputs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/event"
)

// A Sender delivers batches to one destination.
//
// Send returns nil when the destination has accepted every event. Any other error means
// that none was accepted and that the batch is tried again, unless the error is made by
// Reject, Hold, RetryAfter or Partial. Send honours ctx, which ends when the attempt has taken
// too long. It may run in several goroutines at once, unless its Kind says Serial, and it
// neither keeps nor changes the batch. A Sender that holds a connection also implements
// io.Closer.
type Sender interface {
	Send(ctx context.Context, batch []event.Event) error
}

// Limited is implemented by a Sender that, as it is configured, takes fewer events at once
// than its Kind says.
type Limited interface {
	// MaxBatch is the most events that one Send may take, at least 1.
	MaxBatch() int
}

// Collecting is implemented by a Sender whose configuration says how long events are
// collected for one batch.
type Collecting interface {
	// BatchAge is how long to wait for a batch to fill up where batch.age is 0.
	BatchAge() time.Duration
}

// Env is what the forwarder gives to every output's constructor.
type Env struct {
	// Log is for rare remarks about the output itself; attempts are logged by the forwarder.
	Log *slog.Logger
	// TLS are the client certificates and authorities that all outputs share.
	TLS TLSClient
	// UserAgent is sent by outputs that speak HTTP through our own client.
	UserAgent string
	// CustomFields are the names of the custom and templated fields, which ingest adds to
	// every event; some outputs turn them into labels or columns.
	CustomFields []string
	// Host is the forwarder that the output works for; nil where there is none, as when
	// only a test event is sent.
	Host Host
}

// Host is what an output may ask of the forwarder it works for. It may be asked from the
// first Send on.
type Host interface {
	// Outputs are the titles of the kinds of output that are configured, each once, sorted.
	Outputs() []string
	// Gather returns the forwarder's own metrics, those of /metrics.
	prometheus.Gatherer
}

// TLSClient are the settings upstream keeps under mutualtlsfilespath, mutualtlsclient and
// tlsclient.
type TLSClient struct {
	// CACertFile is added to the system's authorities for every output (tlsclient.cacertfile).
	CACertFile string
	// MutualFilesPath is the folder searched for client.crt, client.key and ca.crt when the
	// file of that purpose below is not set.
	MutualFilesPath string
	// MutualCertFile, MutualKeyFile and MutualCACertFile are used by outputs with mutualtls.
	MutualCertFile   string
	MutualKeyFile    string
	MutualCACertFile string
}
