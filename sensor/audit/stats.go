package audit

import "sync/atomic"

// Reasons for which single events are given up, in Stats.
const (
	DropTooLarge  = "too_large"
	DropMalformed = "malformed"
)

// Results of requests to the webhook, in Stats.
const (
	ResultAccepted     = "accepted"
	ResultUnauthorized = "unauthorized"
	ResultRefused      = "refused"   // method, path's content type
	ResultTooLarge     = "too_large" // the body
	ResultInvalid      = "invalid"
	ResultBusy         = "busy" // the queue is full; the API server tries again
)

// Stats counts since the start.
type Stats struct {
	// Events are those that were judged.
	Events uint64
	// Dropped are events given up, by reason.
	Dropped map[string]uint64
	// Requests are those to the webhook, by result.
	Requests map[string]uint64
	// LogBytes is how much was read of the log; Rotations how often it was replaced, and
	// Truncations how often it was cut.
	LogBytes, Rotations, Truncations uint64
	// Waiting are the deliveries in the queue now.
	Waiting int
}

// counters are what Stats is made of.
type counters struct {
	events, tooLarge, malformed                               atomic.Uint64
	accepted, unauthorized, refused, bodyLarge, invalid, busy atomic.Uint64
	logBytes, rotations, truncations                          atomic.Uint64
}

// Stats returns the counts. It may be called at any time.
func (s *Source) Stats() Stats {
	c := &s.counters
	return Stats{
		Events:  c.events.Load(),
		Dropped: map[string]uint64{DropTooLarge: c.tooLarge.Load(), DropMalformed: c.malformed.Load()},
		Requests: map[string]uint64{
			ResultAccepted: c.accepted.Load(), ResultUnauthorized: c.unauthorized.Load(), ResultRefused: c.refused.Load(),
			ResultTooLarge: c.bodyLarge.Load(), ResultInvalid: c.invalid.Load(), ResultBusy: c.busy.Load(),
		},
		LogBytes: c.logBytes.Load(), Rotations: c.rotations.Load(), Truncations: c.truncations.Load(),
		Waiting: len(s.queue.deliveries),
	}
}
