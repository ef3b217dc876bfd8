// Package dialx opens connections for protocol libraries that do not watch a context
// themselves.
//
// An output keeps a Session beside its library's client, gives the client the session's
// Dial, and holds the session Within the context of each attempt: when that ends, every
// open connection is closed, and whatever the library waits for ends with it.
package dialx

import (
	"context"
	"net"
	"sync"
	"time"
)

// Timeout is how long opening a connection may take, where the context allows more.
const Timeout = 30 * time.Second

// Session is the open connections of one client. The zero Session has none.
type Session struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
}

// Dial opens a connection that belongs to the session until it is closed.
func (s *Session) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: Timeout}
	opened, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := s.Adopt(opened)
	// The context may have ended, and the session been cut, between dialing and now.
	if err := ctx.Err(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Adopt makes c, which somebody else has opened, belong to the session.
func (s *Session) Adopt(c net.Conn) net.Conn {
	own := &conn{Conn: c, session: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[own] = struct{}{}
	return own
}

// Cut closes all open connections.
func (s *Session) Cut() {
	s.mu.Lock()
	open := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

// Within cuts the session when ctx ends before end is called.
func (s *Session) Within(ctx context.Context) (end func()) {
	stop := context.AfterFunc(ctx, s.Cut)
	return func() { stop() }
}

// conn is a connection that leaves its session when it is closed.
type conn struct {
	net.Conn
	session *Session
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.session.mu.Lock()
	delete(c.session.conns, c)
	c.session.mu.Unlock()
	return c.Conn.Close()
}
