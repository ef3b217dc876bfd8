package syscalls

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

// socketLimit is how many sockets are remembered. A socket that was forgotten has its role
// guessed from the ports again.
const socketLimit = 16384

// role is which end of a connection is the local one.
type role uint8

const (
	roleNone role = iota
	roleClient
	roleServer
)

// socketState is what earlier events tell of a socket, and what this one did to it. The
// kernel gives the two addresses with every event, but not who called whom.
type socketState struct {
	role role
	// bound: it has an address of its own and no peer.
	bound bool
	// connected: it has a peer.
	connected bool
	// local is its own address, remote the peer that the last event had.
	local, remote netip.AddrPort
	// class is its family.
	class class
	// changed: this event gave it another name.
	changed bool
	// refused: this event was to give it a peer and did not.
	refused bool
}

// StateKinds are the records that a Source needs besides those of the kinds that rules ask
// for, to know a socket by its inode and its client from its server. uses says whether a rule
// uses a field. Without these records roles are guessed by the ports, and proc.stdin.type and
// its like are null for sockets.
func StateKinds(asked []probe.Kind, uses func(field string) bool) []probe.Kind {
	// What is asked of a descriptor may be asked of a socket.
	readers := slices.ContainsFunc(asked, func(k probe.Kind) bool {
		_, ok := k.FD()
		return transfers(k) || ok && !k.Common()
	})
	if !readers && !slices.ContainsFunc(stdioNames, uses) {
		return nil
	}
	return []probe.Kind{probe.KindConnect, probe.KindAccept, probe.KindAccept4, probe.KindBind}
}

// sockets remembers sockets by inode, which is unique while a socket lives.
type sockets struct {
	byInode *simplelru.LRU[uint64, socketState]
}

func newSockets() *sockets {
	byInode, err := simplelru.NewLRU[uint64, socketState](socketLimit, nil)
	if err != nil {
		panic(err) // only a limit that is not positive is refused
	}
	return &sockets{byInode}
}

// observe takes the event's effect on its socket into account and returns the state after
// it.
func (s *sockets) observe(rec *probe.Record) socketState {
	f := &rec.File
	if rec.Kind == probe.KindSocket {
		// An earlier socket may have had the number.
		if rec.Ret >= 0 && f.Kind != probe.NoFile {
			s.byInode.Add(f.Inode, socketState{class: classOf(f.Kind)})
		}
		return socketState{}
	}
	before, _ := s.byInode.Get(f.Inode)
	after := before
	after.changed, after.refused = false, false
	switch rec.Kind {
	case probe.KindConnect:
		after.connect(rec)
	case probe.KindAccept, probe.KindAccept4:
		if rec.Ret >= 0 {
			after = socketState{role: roleServer, connected: true, remote: f.Remote, changed: true}
		}
	case probe.KindBind:
		if rec.Ret == 0 {
			after.changed = !after.bound && rec.Addr.Port() != 0
			after.bound = true
		}
	case probe.KindListen:
		after.bound = after.bound || rec.Ret == 0
	case probe.KindSendto, probe.KindSendmsg:
		if rec.Ret >= 0 {
			after.transfer(rec, roleClient)
		}
	case probe.KindRecvfrom, probe.KindRecvmsg:
		if rec.Ret >= 0 {
			after.transfer(rec, roleServer)
		}
	}
	after.guess(f)
	after.class, after.local = classOf(f.Kind), f.Local
	if stored := after.settled(); stored != before {
		s.byInode.Add(f.Inode, stored)
	}
	return after
}

// settled is the part of the state that outlives the event.
func (st socketState) settled() socketState {
	st.changed, st.refused = false, false
	return st
}

func (st *socketState) connect(rec *probe.Record) {
	if rec.Ret != 0 && rec.Ret != -int64(unix.EINPROGRESS) {
		st.refused = !st.connected
		return
	}
	remote := peer(rec)
	st.changed = !st.connected || st.remote != remote
	st.role, st.connected, st.remote = roleClient, true, remote
}

// transfer notes the peer of a datagram. A socket's first one tells the role: who sends
// first is the client, unless it has an address it was bound to.
func (st *socketState) transfer(rec *probe.Record, first role) {
	if rec.File.SockType != unix.SOCK_DGRAM {
		return
	}
	remote := peer(rec)
	if !assigned(remote) {
		return
	}
	st.changed = st.remote != remote
	st.remote = remote
	if st.role == roleNone {
		st.role = first
		if first == roleServer && !st.bound && ephemeral(rec.File.Local.Port()) {
			st.role = roleClient
		}
	}
	if first == roleClient {
		st.connected = true
	}
}

// byLink returns what is known of the socket that /proc shows as link.
func (s *sockets) byLink(link string) (socketState, bool) {
	number, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return socketState{}, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	if err != nil {
		return socketState{}, false
	}
	return s.byInode.Get(inode)
}

// peer is the remote address of the event: the argument where there is one.
func peer(rec *probe.Record) netip.AddrPort {
	if rec.Addr.IsValid() {
		return unmap(rec.Addr)
	}
	return rec.File.Remote
}

// assigned says that a is more than the empty address of a socket that has none yet.
func assigned(a netip.AddrPort) bool {
	return a.IsValid() && (a.Port() != 0 || !a.Addr().IsUnspecified())
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// tcpListen is the state TCP_LISTEN.
const tcpListen = 10

// guess fills in what was before the sensor started, or was forgotten.
func (st *socketState) guess(f *probe.File) {
	if st.role != roleNone || st.refused {
		return
	}
	if assigned(f.Remote) {
		st.connected, st.remote = true, f.Remote
		st.role = roleClient
		if !ephemeral(f.Local.Port()) && (ephemeral(f.Remote.Port()) || f.Local.Port() < f.Remote.Port()) {
			st.role = roleServer
		}
		return
	}
	if f.State == tcpListen {
		st.bound = true
	}
}

// ephemeral says that the kernel gives out such ports itself by default.
func ephemeral(port uint16) bool { return port >= 32768 }
