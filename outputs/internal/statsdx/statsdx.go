// Package statsdx sends counters to StatsD and its kin: what the outputs statsd and
// dogstatsd share.
//
// Each Send counts its events by priority. With it, and every ten seconds, goes what the
// forwarder has counted of requests and of deliveries since the last time.
//
// Nobody acknowledges a datagram. What the system refuses to send is sent again later; what
// gets lost on its way is lost. A Sender starts its one goroutine with the first Send.
package statsdx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/hostx"
)

// Config are the keys that both outputs have.
type Config struct {
	Forwarder string   `key:"forwarder" required:"true" doc:"Address of the server, host:port (UDP), or the path of a datagram socket, unix:///var/run/datadog/dsd.socket."`
	Namespace string   `key:"namespace" default:"falcosidekick." doc:"What the metrics' names begin with. A dot at its end is added where there is none."`
	Tags      []string `key:"tags" doc:"Tags of all metrics, each name:value, in DogStatsD's form."`
}

const unixScheme = "unix://"

// maxFixed is the most bytes of namespace and tags, so that a metric fits a datagram.
const maxFixed = 1024

// Validate checks the address and what stands in every metric.
func (c Config) Validate() error {
	var errs []error
	if err := c.checkForwarder(); err != nil {
		errs = append(errs, config.At("forwarder", err))
	}
	if strings.ContainsAny(c.Namespace, ":|@#\n ") {
		errs = append(errs, config.At("namespace", errors.New("must have none of : | @ # and no space")))
	}
	n := len(c.Namespace)
	for _, tag := range c.Tags {
		n += len(tag)
		if tag == "" || strings.ContainsAny(tag, ",|\n") {
			errs = append(errs, config.At("tags", fmt.Errorf("%q must be a tag without , and |", tag)))
		}
	}
	if n > maxFixed {
		errs = append(errs, config.At("tags", fmt.Errorf("must be shorter: namespace and tags have more than %d bytes", maxFixed)))
	}
	return errors.Join(errs...)
}

func (c Config) checkForwarder() error {
	if path, ok := strings.CutPrefix(c.Forwarder, unixScheme); ok {
		if path == "" {
			return errors.New("must name a socket, such as unix:///var/run/datadog/dsd.socket")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(c.Forwarder)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || host == "" || e != nil || n == 0 {
		return errors.New("must be host:port or unix:///path")
	}
	return nil
}

// Dialect writes counters as a server wants them.
type Dialect interface {
	// Append appends the line of a counter, with its newline. Labels are names and values in
	// turn.
	Append(dst []byte, name string, value int64, labels ...string) []byte
}

const (
	// every is how often the forwarder's own counters are sent at least, and least how often
	// at most.
	every = 10 * time.Second
	least = time.Second
	// redial is how long a socket is used: a name may stand for another address by then.
	redial = time.Minute
	// young is the age of the process below which all that it has counted is new. An output
	// that is made later, by a reload, follows one that has sent the beginning.
	young = time.Minute
	// lastTime bounds what is sent when the Sender is closed.
	lastTime = time.Second
	// The most bytes of a datagram over a network, where it must not be split, and on a host.
	maxUDP  = 1432
	maxUnix = 8192
)

// Sender sends counters. It implements outputs.Sender.
type Sender struct {
	config  Config
	dialect Dialect
	host    outputs.Host
	log     *slog.Logger
	every   time.Duration
	made    time.Time

	// turn is held by whoever uses what follows.
	turn      chan struct{}
	conn      net.Conn
	dialled   time.Time
	asked     time.Time // when the host was last asked
	inputs    hostx.Deltas
	rejects   hostx.Deltas
	outputs   hostx.Deltas
	baselined bool
	complains bool
	closed    bool

	stop context.CancelFunc // nil before the goroutine runs
	done chan struct{}
}

// New makes a Sender. It does not touch the network.
func New(c Config, d Dialect, env outputs.Env) *Sender {
	return &Sender{
		config: c, dialect: d, host: env.Host, log: env.Log, every: every, made: time.Now(),
		turn: make(chan struct{}, 1),
	}
}

// Send counts the events of batch.
func (s *Sender) Send(ctx context.Context, batch []event.Event) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.closed {
		return net.ErrClosed
	}
	if err := s.write(ctx, s.accepted(batch)); err != nil {
		return err
	}
	if s.host == nil {
		return nil
	}
	if s.stop == nil {
		s.begin()
	}
	if time.Since(s.asked) >= least {
		s.flush(ctx)
	}
	return nil
}

// take waits for the turn.
func (s *Sender) take(ctx context.Context) error {
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

func (s *Sender) release() { <-s.turn }

// accepted are the lines for the events of a batch, by priority.
func (s *Sender) accepted(batch []event.Event) [][]byte {
	var counts [event.Emergency + 1]int64
	for _, e := range batch {
		counts[min(e.Priority, event.Emergency)] += hostx.Events(e)
	}
	var lines [][]byte
	for p, n := range counts {
		if n > 0 {
			lines = append(lines, s.dialect.Append(nil, "falco.accepted", n, "priority", event.Priority(p).String()))
		}
	}
	return lines
}

// begin starts the goroutine that sends the host's counters when there are no events. It
// is called with the turn held.
func (s *Sender) begin() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.stop, s.done = stop, done
	go func() {
		defer close(done)
		tick := time.NewTicker(s.every)
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
			s.flush(ctx)
			s.release()
		}
	}()
}

// Close sends what has been counted and not been sent, and lets go of the socket.
func (s *Sender) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastTime)
	defer cancel()
	s.turn <- struct{}{} // a Send ends with its context
	stop, done := s.stop, s.done
	s.release()
	if stop != nil {
		stop()
		<-done
	}
	s.turn <- struct{}{}
	defer s.release()
	if s.closed {
		return nil
	}
	s.closed = true
	if stop != nil {
		s.flush(ctx)
	}
	s.hangUp()
	return nil
}
