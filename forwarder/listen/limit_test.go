package listen

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dialFrom opens a connection from a loopback address.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// get sends a request over a connection and returns what comes back first.
func get(c net.Conn) string {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return ""
	}
	answer := make([]byte, 512)
	n, _ := c.Read(answer)
	return string(answer[:n])
}

func TestOneAddressCannotTakeAllConnections(t *testing.T) {
	addr, stop := start(t, hello, Options{MaxConnections: 4, MaxPerAddress: 2})
	var first []net.Conn
	for range 2 {
		c := dialFrom(t, "127.0.0.1", addr)
		if got := get(c); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Fatalf("a connection within the limit got %q", got)
		}
		first = append(first, c)
	}
	for range 8 {
		if got := get(dialFrom(t, "127.0.0.1", addr)); got != "" {
			t.Errorf("a connection beyond the limit got %q", got)
		}
	}
	if got := get(dialFrom(t, "127.0.0.2", addr)); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("another address got %q", got)
	}
	first[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if strings.HasPrefix(get(dialFrom(t, "127.0.0.1", addr)), "HTTP/1.1 200") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a closed connection was not given back")
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestSlowHeadersDoNotKeepOthersOut(t *testing.T) {
	addr, stop := start(t, hello, Options{MaxConnections: 64, MaxPerAddress: 32})
	var slow []net.Conn
	for range 32 {
		c := dialFrom(t, "127.0.0.1", addr)
		slow = append(slow, c)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost:"); err != nil {
			t.Fatal(err)
		}
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}
	if got, err := body(t, &client, "http://"+addr); got != "HTTP/1.1 nobody" || err != nil {
		t.Errorf("another sender got %q, %v", got, err)
	}
	for _, c := range slow {
		c.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestAnAddressIsTheSameInEveryNotation(t *testing.T) {
	for _, tc := range []struct{ a, b string }{
		{"10.1.2.3", "::ffff:10.1.2.3"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"},
	} {
		a, _ := address(&net.TCPAddr{IP: net.ParseIP(tc.a)})
		b, _ := address(&net.TCPAddr{IP: net.ParseIP(tc.b)})
		if a != b {
			t.Errorf("%s is %s, %s is %s", tc.a, a, tc.b, b)
		}
	}
	if _, ok := address(&net.UnixAddr{Name: "/x"}); ok {
		t.Error("a unix socket has an address")
	}
}
