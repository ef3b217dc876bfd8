// Package statsdtest is the StatsD server that tests of StatsD outputs send to.
package statsdtest

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// Server is a socket that counters are sent to.
type Server struct {
	// Address is where it listens.
	Address   string
	datagrams chan string
}

// most is how many datagrams a Server keeps until they are taken.
const most = 1000

// Serve starts a Server that ends with the test; network is udp or unixgram.
func Serve(t *testing.T, network, address string) *Server {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: c.LocalAddr().String(), datagrams: make(chan string, most)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 64<<10)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			s.datagrams <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return s
}

// Take returns the next datagram.
func (s *Server) Take(t *testing.T) string {
	t.Helper()
	var next string
	outputstest.Eventually(t, "a datagram has arrived", func() bool {
		select {
		case next = <-s.datagrams:
			return true
		default:
			return false
		}
	})
	return next
}

// TakeAll returns the datagrams that have arrived and have not been taken.
func (s *Server) TakeAll() string {
	var all strings.Builder
	for {
		select {
		case d := <-s.datagrams:
			all.WriteString(d)
		default:
			return all.String()
		}
	}
}

// line is what a counter of StatsD or DogStatsD looks like.
var line = regexp.MustCompile(`^[^:|@#\s]+:(\d+)\|c(?:\|#[^|\s]+)?$`)

// Peer makes s the server of a Wire test.
func (s *Server) Peer() outputstest.Peer {
	return outputstest.Peer{Address: s.Address, Take: func(t *testing.T, n int) string {
		t.Helper()
		var text strings.Builder
		for n > 0 {
			datagram := s.Take(t)
			text.WriteString(datagram)
			for l := range strings.Lines(datagram) {
				parts := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
				if parts == nil {
					t.Fatalf("%q is no counter", l)
				}
				count, err := strconv.Atoi(parts[1])
				if err != nil {
					t.Fatal(err)
				}
				n -= count
			}
		}
		return text.String()
	}}
}
