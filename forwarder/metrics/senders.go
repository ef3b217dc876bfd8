package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/forwarder/ingest"
)

// maxSenders is the most senders with series of their own. Their names come from the
// configuration, which may change often while the forwarder runs.
const maxSenders = 1000

// senders count by the credential that requests come with.
type senders struct {
	events, rejected *prometheus.CounterVec

	mu    sync.RWMutex
	known map[string]*sender
}

// sender has the counters of one sender that are needed most.
type sender struct {
	name   string
	events prometheus.Counter
}

func newSenders() *senders {
	return &senders{
		events:   counter("saker_ingest_sender_events_total", "Events stored, by the name of the sender's credential.", "sender"),
		rejected: counter("saker_ingest_sender_rejected_total", "Requests that were not accepted although their sender is known, by the name of its credential; rate_limit is a sender beyond limits.persender.", "sender", "reason"),
		known:    map[string]*sender{},
	}
}

func (s *senders) accepted(name string, events int) {
	if name != "" {
		s.of(name).events.Add(float64(events))
	}
}

func (s *senders) refused(name string, why ingest.Reason) {
	if name != "" {
		s.rejected.WithLabelValues(s.of(name).name, string(why)).Inc()
	}
}

// of returns the counters of the sender called name.
func (s *senders) of(name string) *sender {
	s.mu.RLock()
	known, ok := s.known[name]
	s.mu.RUnlock()
	if ok {
		return known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[name]; ok {
		return known
	}
	if len(s.known) >= maxSenders {
		name = other
	}
	fresh := &sender{name, s.events.WithLabelValues(name)}
	s.known[name] = fresh
	return fresh
}
