package listen

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/netutil"
)

// limit bounds the connections of a listener: all together, of which further ones wait in
// the kernel's queue, and those from one address, of which further ones are closed at once.
// 0 is no bound.
func limit(l net.Listener, all, perAddress int, log *slog.Logger) net.Listener {
	if all > 0 {
		l = netutil.LimitListener(l, all)
	}
	if perAddress > 0 {
		l = &fairListener{Listener: l, most: perAddress, log: log, open: map[netip.Addr]int{}}
	}
	return l
}

// fairListener keeps one address from taking all connections. It knows only the addresses
// with open connections, so that it is bounded as they are.
type fairListener struct {
	net.Listener
	most int
	log  *slog.Logger

	mu   sync.Mutex
	open map[netip.Addr]int
}

// Accept implements net.Listener.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, ok := address(c.RemoteAddr())
		if !ok {
			return c, nil
		}
		if l.enter(from) {
			return &fairConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		l.log.Debug("a connection was closed because its address has too many", "address", from.String(), "limit", l.most)
		c.Close()
	}
}

// address returns the machine at the other end; IPv6 addresses count by their /64 network.
func address(a net.Addr) (netip.Addr, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			ip = network.Addr()
		}
	}
	return ip, true
}

func (l *fairListener) enter(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= l.most {
		return false
	}
	l.open[from]++
	return true
}

func (l *fairListener) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] <= 0 {
		delete(l.open, from)
	}
}

// fairConn gives its place back when it is closed.
type fairConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *fairConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
