package ingest

import (
	"net/http"
	"net/netip"
)

// sender is who a request comes from.
type sender struct {
	// name is that of the credential it came with, "" without one.
	name string
	// trusted says that the sender has shown who it is, and may choose its events' ids.
	trusted bool
	// own says that it is the sensor in the same program.
	own bool
}

// sender returns who r comes from, and false if it may not send events.
func (h *Handler) sender(r *http.Request) (sender, bool) {
	if h.OwnSensor != nil && h.OwnSensor.Enabled() && h.OwnSensor.Allows(r) {
		return sender{trusted: true, own: true}, true
	}
	name, ok := h.Guard.Sender(r)
	if !ok {
		return sender{}, false
	}
	certified := r.TLS != nil && len(r.TLS.VerifiedChains) > 0
	return sender{name: name, trusted: h.Guard.Enabled() || certified}, true
}

// rateKey is what the limits of a sender count by: the strongest that is known of it.
func (s sender) rateKey(r *http.Request) string {
	if s.name != "" {
		return "credential " + s.name
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0 {
		return "certificate " + r.TLS.VerifiedChains[0][0].Subject.String()
	}
	return network(r.RemoteAddr)
}

// network returns the address of an "address:port", and for IPv6 the /64 network, of which
// one machine may use any address.
func network(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return remote
	}
	return prefix.String()
}
