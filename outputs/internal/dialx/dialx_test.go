package dialx

import (
	"context"
	"net"
	"testing"
)

// listen accepts connections and keeps them open until the test ends.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func dial(t *testing.T, s *Session, address string) net.Conn {
	t.Helper()
	c, err := s.Dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAReadEndsWithTheContextOfTheSession(t *testing.T) {
	var s Session
	c := dial(t, &s, listen(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer s.Within(ctx)()
	cancel()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a read of a connection that was cut succeeded")
	}
}

func TestAContextThatEndsAfterwardsCutsNothing(t *testing.T) {
	var s Session
	c := dial(t, &s, listen(t))
	ctx, cancel := context.WithCancel(t.Context())
	s.Within(ctx)()
	cancel()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("the connection was cut: %v", err)
	}
}

func TestAClosedConnectionIsForgotten(t *testing.T) {
	var s Session
	address := listen(t)
	first, second := dial(t, &s, address), dial(t, &s, address)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.conns); n != 1 {
		t.Errorf("the session has %d connections, want 1", n)
	}
	s.Cut()
	if _, err := second.Write([]byte("x")); err == nil {
		t.Error("a connection that was cut can be written to")
	}
	if n := len(s.conns); n != 0 {
		t.Errorf("the session has %d connections after it was cut", n)
	}
}

func TestAContextThatHasEndedOpensNothing(t *testing.T) {
	var s Session
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Dial(ctx, "tcp", listen(t)); err == nil {
		t.Error("a connection was opened")
	}
	if n := len(s.conns); n != 0 {
		t.Errorf("the session has %d connections", n)
	}
}
