package interest

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

// state is what has to be reported of a kind for the events that follow it, whether a rule
// matches it or not.
func (d *derivation) state(k probe.Kind) condition {
	if slices.Contains(process.Kinds(), k) {
		return condition{succeeded} // a failed call changes no process
	}
	return d.socketState(k)
}

// socketState keeps the calls that tell what the two ends of a socket are, where a kind is
// watched that asks for it later. Without them the ends are guessed by their ports, as they
// are for sockets older than the sensor. A process for which none of those later calls can
// matter need not be followed: what happens when it hands its socket to another one is that
// guess.
func (d *derivation) socketState(k probe.Kind) condition {
	tells := clause{results: probe.Succeeded}
	switch k {
	case probe.KindConnect, probe.KindAccept, probe.KindAccept4, probe.KindBind, probe.KindListen:
	case probe.KindSendto, probe.KindSendmsg, probe.KindRecvfrom, probe.KindRecvmsg:
		// Of datagrams each one may have another peer.
		tells.families = 1<<unix.AF_INET | 1<<unix.AF_INET6
		tells.protocols = probe.UDP | probe.OtherProtocol
	default:
		return nil
	}
	if d.showsDescriptors() {
		return everything
	}
	later := never
	for _, reader := range d.asked {
		if !asksForEnds(reader) {
			continue
		}
		for _, c := range d.bound(reader) {
			later = d.eitherGuard(later, c.guard)
		}
	}
	if later == never {
		return nil
	}
	tells.guard = later
	return condition{tells}
}

// never is a guard that is never true, before any has been added to it.
const never guard = -1

func (d *derivation) eitherGuard(a, b guard) guard {
	if a == never {
		return b
	}
	return d.guards.any(a, b)
}

// asksForEnds says that the fields of the kind's events depend on earlier calls on the same
// socket.
func asksForEnds(k probe.Kind) bool {
	if !k.Common() {
		_, ok := k.FD()
		return ok
	}
	return transfers(k) || isDup(k) || k == probe.KindListen || k == probe.KindBind || k == probe.KindClose
}

// showsDescriptors says that rules look at descriptors that the event is not about, which are
// known by any earlier event.
func (d *derivation) showsDescriptors() bool {
	used := false
	syscalls.StateKinds(nil, func(name string) bool {
		used = used || d.uses(name)
		return false
	})
	return used
}
