package main

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// endpoint is an address to bind to or connect to.
func endpoint(text string) (unix.Sockaddr, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, err
	}
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, nil
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
}

// bound is a socket of the kind "tcp" or "udp", that has the address.
func bound(kind, address string) (int, error) {
	where, err := endpoint(address)
	if err != nil {
		return 0, err
	}
	typ := unix.SOCK_STREAM
	switch kind {
	case "tcp":
	case "udp":
		typ = unix.SOCK_DGRAM
	default:
		return 0, fmt.Errorf("no kind of socket %q", kind)
	}
	family := unix.AF_INET
	if _, ok := where.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, typ, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, where)
}

// connect connects a socket of the kind a[0], whose own address is a[1], to a[2].
func connect(a []string) error {
	fd, err := bound(a[0], a[1])
	if err != nil {
		return err
	}
	to, err := endpoint(a[2])
	if err != nil {
		return err
	}
	return unix.Connect(fd, to)
}

// accept listens on a[0], connects to it from a[1] and accepts the connection.
func accept(a []string) error {
	server, err := bound("tcp", a[0])
	if err != nil {
		return err
	}
	if err := unix.Listen(server, 1); err != nil {
		return err
	}
	if err := connect([]string{"tcp", a[1], a[0]}); err != nil {
		return err
	}
	_, _, err = unix.Accept4(server, 0)
	return err
}

// receive takes a class file's first bytes out of a datagram to a[0] from a[1].
func receive(a []string) error {
	server, err := bound("udp", a[0])
	if err != nil {
		return err
	}
	client, err := bound("udp", a[1])
	if err != nil {
		return err
	}
	to, err := endpoint(a[0])
	if err != nil {
		return err
	}
	if err := unix.Sendto(client, []byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52}, 0, to); err != nil {
		return err
	}
	var b [16]byte
	_, _, err = unix.Recvfrom(server, b[:], 0)
	return err
}

func packetSocket([]string) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// redirect makes a connection from a[1] to a[0] its standard input.
func redirect(a []string) error {
	return redirectBy(a, func(from, to int) error { return unix.Dup3(from, to, 0) })
}

func redirectBy(a []string, duplicate func(from, to int) error) error {
	server, err := bound("tcp", a[0])
	if err != nil {
		return err
	}
	if err := unix.Listen(server, 1); err != nil {
		return err
	}
	client, err := bound("tcp", a[1])
	if err != nil {
		return err
	}
	to, err := endpoint(a[0])
	if err != nil {
		return err
	}
	if err := unix.Connect(client, to); err != nil {
		return err
	}
	return duplicate(client, 0)
}

// serveAndConnect listens on a[0], connects to it and accepts the connection.
func serveAndConnect(a []string) error {
	l, err := net.Listen("tcp4", a[0])
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp4", a[0])
	if err != nil {
		return err
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		return err
	}
	return accepted.Close()
}
