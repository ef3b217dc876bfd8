package outputstest

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// Lines collects the lines that are written to the connections of a listener, as the Peer of
// an output whose server answers nothing.
func Lines(t *testing.T, l net.Listener) Peer {
	t.Helper()
	lines := make(chan string, 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			read(c, lines)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return Peer{Address: l.Addr().String(), Take: func(t *testing.T, n int) string {
		t.Helper()
		var text strings.Builder
		for i := range n {
			select {
			case line := <-lines:
				text.WriteString(line)
			case <-time.After(patience):
				t.Fatalf("%d of %d lines came", i, n)
			}
		}
		return text.String()
	}}
}

func read(c net.Conn, lines chan<- string) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if line != "" {
			lines <- line
		}
		if err != nil {
			return
		}
	}
}

// Listen listens on a free port of this host.
func Listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
