package stream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// server is a listener whose connections the test takes one by one.
type server struct {
	t        *testing.T
	listener net.Listener
}

func listen(t *testing.T) *server {
	t.Helper()
	outputstest.NoLeak(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &server{t, l}
}

func (s *server) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.listener.Addr().String())
}

// accept takes the next connection.
func (s *server) accept() net.Conn {
	s.t.Helper()
	c, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func line(t *testing.T, c net.Conn) string {
	t.Helper()
	text, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOneConnectionIsKept(t *testing.T) {
	s := listen(t)
	c := New(s.dial)
	t.Cleanup(func() { c.Close() })
	for range 3 {
		if err := c.Write(t.Context(), []byte("a\n")); err != nil {
			t.Fatal(err)
		}
	}
	peer := s.accept()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer peer.Close()
		if got, err := io.ReadAll(peer); string(got) != "a\na\na\n" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestAConnectionThatTheServerHasClosedIsReplacedBeforeAWrite(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t)
			c := New(s.dial)
			t.Cleanup(func() { c.Close() })
			if err := c.Write(t.Context(), []byte("first\n")); err != nil {
				t.Fatal(err)
			}
			peer := s.accept()
			line(t, peer)
			end(peer)
			if err := c.Write(t.Context(), []byte("second\n")); err != nil {
				t.Fatal(err)
			}
			if got := line(t, s.accept()); got != "second\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestAServerThatDoesNotReadIsLeftWhenTheContextEnds(t *testing.T) {
	s := listen(t)
	c := New(s.dial)
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Write(ctx, make([]byte, 64<<20)) }() // more than kernels buffer
	s.accept()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	if c.open != nil {
		t.Error("a connection of which a half is written is kept")
	}
}

func TestAWriteThatTheServerCutsFails(t *testing.T) {
	s := listen(t)
	c := New(s.dial)
	t.Cleanup(func() { c.Close() })
	done := make(chan error, 1)
	go func() { done <- c.Write(t.Context(), make([]byte, 64<<20)) }()
	peer := s.accept()
	if _, err := io.ReadFull(peer, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	if err := <-done; err == nil {
		t.Error("the write succeeded")
	}
}

func TestAServerThatIsAwayIsAnError(t *testing.T) {
	s := listen(t)
	s.listener.Close()
	if err := New(s.dial).Write(t.Context(), []byte("x")); err == nil || !strings.HasPrefix(err.Error(), "connect: ") {
		t.Errorf("got %v", err)
	}
}

func TestACancelledContextConnectsToNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := New(func(context.Context) (net.Conn, error) {
		t.Error("connected")
		return nil, errClosed
	})
	if err := c.Write(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TLS of version 1.3 sends tickets that a client which only writes never reads.
func TestNothingIsLostWhenTLSIsClosed(t *testing.T) {
	s := listen(t)
	ca := outputstest.NewCA(t)
	pair, err := tls.X509KeyPair(ca.Issue(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	c := New(func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // only bytes matter here
		return d.DialContext(ctx, "tcp", s.listener.Addr().String())
	})
	const size = 1 << 20
	done := make(chan error, 1)
	go func() {
		err := c.Write(t.Context(), make([]byte, size))
		c.Close()
		done <- err
	}()
	peer := tls.Server(s.accept(), &tls.Config{Certificates: []tls.Certificate{pair}}) //nolint:gosec // only bytes matter here
	got, err := io.ReadAll(peer)
	if err != nil || len(got) != size {
		t.Errorf("the server got %d of %d bytes, and %v", len(got), size, err)
	}
	peer.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
