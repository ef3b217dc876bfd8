package ingest

import (
	"github.com/saker-security/saker/config"
)

// Limits is the section "limits".
type Limits struct {
	MaxBodyBytes     config.Bytes `key:"maxbodybytes" default:"5MiB" doc:"Largest request body, after decompression. A larger one is answered with 413."`
	MaxEvents        int          `key:"maxevents" default:"1000" doc:"Most events in one request."`
	MaxRequests      int          `key:"maxrequests" default:"256" doc:"Most requests worked on at once. Further ones wait up to 5 seconds and are then answered with 503."`
	MaxInFlightBytes config.Bytes `key:"maxinflightbytes" default:"64MiB" doc:"Most memory that the bodies of requests being read take together. Requests beyond it are answered with 503; a quarter is kept for bodies of at most 64 KiB."`
	MaxConnections   int          `key:"maxconnections" default:"4096" doc:"Most open connections a listener holds. Further ones wait to be accepted."`
	MaxPerAddress    int          `key:"maxconnectionsperaddress" default:"1024" doc:"Most open connections from one address; further ones are closed at once, so that one address cannot take all. 0 is no limit of its own, for a forwarder behind a proxy."`
	PerSender        PerSender    `key:"persender"`
}

// PerSender is the section "limits.persender". A sender is the name of a credential, the
// subject of a client certificate, or else the address that the request comes from (for
// IPv6 its /64 network).
type PerSender struct {
	Events float64      `key:"eventspersecond" default:"0" doc:"Events that one sender may send a second in the long run. What is beyond is answered with 429 and Retry-After. A sender is a credential, a client certificate's subject or an address. 0 is no limit."`
	Burst  int          `key:"burst" default:"0" doc:"Events that one sender may send at once after a pause. 0 is what it may send in 10 seconds."`
	Bytes  config.Bytes `key:"bytespersecond" default:"0" doc:"Bytes of bodies, after decompression, that one sender may send a second in the long run. 0 is no limit."`
}

// Validate refuses limits that would let nothing in.
func (l Limits) Validate() error {
	switch {
	case l.MaxBodyBytes < 1:
		return config.At("maxbodybytes", errNotPositive)
	case l.MaxEvents < 1:
		return config.At("maxevents", errNotPositive)
	case l.MaxRequests < 1:
		return config.At("maxrequests", errNotPositive)
	case l.MaxInFlightBytes/2 < l.MaxBodyBytes:
		return config.At("maxinflightbytes", errBelowBody)
	case l.MaxConnections < 1:
		return config.At("maxconnections", errNotPositive)
	case l.MaxPerAddress < 0:
		return config.At("maxconnectionsperaddress", errNegative)
	}
	return nil
}

// Validate refuses negative rates and a burst without a rate.
func (p PerSender) Validate() error {
	switch {
	case p.Events < 0:
		return config.At("eventspersecond", errNegative)
	case p.Burst < 0:
		return config.At("burst", errNegative)
	case p.Burst > 0 && p.Events == 0:
		return config.At("burst", errNoRate)
	case p.Bytes < 0:
		return config.At("bytespersecond", errNegative)
	}
	return nil
}

const (
	errNotPositive = constError("must be at least 1")
	errBelowBody   = constError("must be at least twice limits.maxbodybytes")
	errNegative    = constError("must not be negative")
	errNoRate      = constError("has no effect without limits.persender.eventspersecond")
)
