// Package streamtest runs a NATS server inside the process for the tests of what the
// journals share.
package streamtest

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Server is a server with JetStream that can be stopped and started again; its
// connections come back by themselves.
type Server struct {
	t   testing.TB
	dir string

	mu sync.Mutex
	ns *server.Server
}

// Start runs a server for the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir()}
	s.Restart()
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server, if it runs.
func (s *Server) Stop() {
	s.mu.Lock()
	ns := s.ns
	s.ns = nil
	s.mu.Unlock()
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

// Restart stops the server and runs it again on the same folder.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	ns, err := server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: s.dir, MaxPayload: 8 << 20,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("the server doesn't come up")
	}
	s.mu.Lock()
	s.ns = ns
	s.mu.Unlock()
}

// InProcessConn gives the client library a connection.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ns == nil {
		return nil, errors.New("the server is down")
	}
	return s.ns.InProcessConn()
}

// Connect returns a connection of its own, which ends with the test.
func (s *Server) Connect() jetstream.JetStream {
	s.t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}
