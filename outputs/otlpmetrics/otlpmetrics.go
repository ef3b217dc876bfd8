// Package otlpmetrics counts events, requests and deliveries by OpenTelemetry's protocol.
//
// Each Send reports the counters of its events. An interval repeats them, because backends
// forget a counter that is silent, and adds what the forwarder has counted itself.
//
// A counter grows only when the endpoint has taken it: what is sent again after an error has
// the same value, so that nothing counts twice.
package otlpmetrics

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/hostx"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

//go:embed page.md
var page string

// maxBatch is the most events of one Send, and maxPoints the most points of one request, so
// that a request with long attributes fits what gRPC servers take.
const (
	maxBatch  = 256
	maxPoints = 256
)

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "otlpmetrics",
		Key:     "otlp.metrics",
		Title:   "OTLPMetrics",
		Doc:     "Counts events, requests and deliveries by OpenTelemetry's protocol.",
		Page:    page,
		Batch:   maxBatch,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

const (
	temporalityDelta = "delta"
	// exportTime bounds an export of the interval, and lastTime the one of Close.
	exportTime = 10 * time.Second
	lastTime   = time.Second
)

// Config is what a user sets.
type Config struct {
	otlpx.Config
	ExtraAttributes []string      `key:"extraattributes" doc:"Output fields that become attributes of the events' counter, dots turned into underscores."`
	Temporality     string        `key:"temporality" default:"cumulative" oneof:"cumulative,delta" doc:"What a point holds: all that was counted so far, or what has been added. OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE of extraenvvars comes first."`
	Interval        time.Duration `key:"interval" default:"60s" doc:"How often all counters are sent. OTEL_METRIC_EXPORT_INTERVAL of extraenvvars, in milliseconds, comes first."`
}

// validName is what Falcosidekick takes as the name of an attribute.
var validName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// Validate checks the attributes' names and the interval.
func (c Config) Validate() error {
	var errs []error
	for _, field := range c.ExtraAttributes {
		name := attributeName(field)
		if !validName.MatchString(name) || slices.Contains(memberNames, name) {
			errs = append(errs, config.At("extraattributes", fmt.Errorf("%q cannot be an attribute", field)))
		}
	}
	if c.Interval < time.Second || c.Interval > time.Hour {
		errs = append(errs, config.At("interval", errors.New("must be between 1s and 1h")))
	}
	return errors.Join(errs...)
}

type sender struct {
	client   *otlpx.Client
	fields   []field
	delta    bool
	interval time.Duration
	host     outputs.Host
	log      *slog.Logger
	now      func() time.Time

	// turn is held by whoever uses what follows.
	turn      chan struct{}
	counts    counts
	inputs    hostx.Deltas
	outputs   hostx.Deltas
	hostSent  time.Time
	complains bool
	closed    bool

	stop context.CancelFunc // nil before the goroutine runs
	done chan struct{}
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := otlpx.New(c.Config, otlpx.Metrics, env)
	if err != nil {
		return nil, err
	}
	s := &sender{
		client: client, fields: fieldsOf(c, env), delta: c.Temporality == temporalityDelta, interval: c.Interval,
		host: env.Host, log: env.Log, now: time.Now, turn: make(chan struct{}, 1),
	}
	if err := s.readVariables(); err != nil {
		return nil, errors.Join(fmt.Errorf("extraenvvars: %w", err), client.Close())
	}
	s.counts = newCounts(s.now())
	s.hostSent = s.counts.began
	return s, nil
}

func (s *sender) readVariables() error {
	if text, ok := s.client.Variable(otlpx.VariableTemporality); ok {
		switch strings.ToLower(text) {
		case "cumulative":
			s.delta = false
		case temporalityDelta, "lowmemory":
			s.delta = true
		default:
			return fmt.Errorf("%s must be cumulative, delta or lowmemory", otlpx.VariableTemporality)
		}
	}
	if text, ok := s.client.Variable(otlpx.VariableInterval); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 || n > int(time.Hour/time.Millisecond) {
			return fmt.Errorf("%s must be a number of milliseconds between 1000 and 3600000", otlpx.VariableInterval)
		}
		s.interval = time.Duration(n) * time.Millisecond
	}
	return nil
}

// Send reports the counters that the events of batch add to.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.closed {
		return net.ErrClosed
	}
	if s.stop == nil {
		s.begin()
	}
	added := s.counts.add(s.fields, batch, s.delta)
	if len(added) == 0 {
		return nil
	}
	now := s.now()
	if err := s.export(ctx, []*metric{s.rules(added, now)}); err != nil {
		return err
	}
	s.counts.commit(added, now, s.delta)
	return nil
}

// take waits for the turn.
func (s *sender) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sender) release() { <-s.turn }

// begin starts the goroutine that sends all counters in each interval. The turn is held.
func (s *sender) begin() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.stop, s.done = stop, done
	go func() {
		defer close(done)
		tick := time.NewTicker(s.interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if s.take(ctx) != nil {
				return
			}
			s.repeat(ctx, exportTime, true)
			s.release()
		}
	}()
}

// repeat sends the forwarder's own counters and, if wanted, those of events. What cannot be
// sent is a part of the next. The turn is held.
func (s *sender) repeat(ctx context.Context, limit time.Duration, events bool) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	now := s.now()
	var metrics []*metric
	if events && !s.delta {
		metrics = append(metrics, s.rules(s.counts.all(), now))
	}
	own, sent, err := s.own(now)
	if err == nil {
		if err = s.export(within, append(metrics, own...)); err == nil {
			sent()
		}
	}
	if err != nil && ctx.Err() == nil && !s.complains && s.log != nil {
		s.log.Warn("the counters cannot be sent now; later ones will include them", "error", err)
	}
	s.complains = err != nil
}

// Close sends what the forwarder has counted itself, and ends all connections.
func (s *sender) Close() error {
	s.turn <- struct{}{} // a Send ends with its context
	stop, done := s.stop, s.done
	closed := s.closed
	s.closed = true
	s.release()
	if closed {
		return nil
	}
	if stop != nil {
		stop()
		<-done
		s.turn <- struct{}{}
		s.repeat(context.Background(), lastTime, false)
		s.release()
	}
	return s.client.Close()
}
