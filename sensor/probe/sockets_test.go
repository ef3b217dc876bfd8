package probe

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func inet4(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func portOf(fd int) int {
	switch a := must(unix.Getsockname(fd)).(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}

// redirected is the descriptor that a connection is copied to.
const redirected = 201

// serve listens, connects, accepts and exchanges a message.
func serve(domain int, listen unix.Sockaddr, to func(listener int) unix.Sockaddr) error {
	l := must(unix.Socket(domain, unix.SOCK_STREAM, 0))
	if err := errors.Join(unix.Bind(l, listen), unix.Listen(l, 1)); err != nil {
		return err
	}
	c := must(unix.Socket(domain, unix.SOCK_STREAM, 0))
	if err := unix.Connect(c, to(l)); err != nil {
		return err
	}
	s, _, err := unix.Accept(l)
	if err != nil {
		return err
	}
	_, err = unix.SendmsgN(c, []byte("hello"), nil, nil, 0)
	_, _, err2 := unix.Recvfrom(s, make([]byte, 100), 0)
	return errors.Join(err, err2, unix.Dup3(c, redirected, 0))
}

var (
	serve4 = action("tcp over v4", func() error {
		return serve(unix.AF_INET, inet4(0), func(l int) unix.Sockaddr { return inet4(portOf(l)) })
	})
	serve6 = action("tcp over v6", func() error {
		loop := [16]byte{15: 1}
		return serve(unix.AF_INET6, &unix.SockaddrInet6{Addr: loop}, func(l int) unix.Sockaddr {
			return &unix.SockaddrInet6{Addr: loop, Port: portOf(l)}
		})
	})
	serveUnix = action("unix stream", func() error {
		return serve(unix.AF_UNIX, &unix.SockaddrUnix{Name: "sock"}, func(int) unix.Sockaddr {
			return &unix.SockaddrUnix{Name: "sock"}
		})
	})
	serveAbstract = action("abstract unix stream", func() error {
		return serve(unix.AF_UNIX, &unix.SockaddrUnix{Name: "@saker-probe-test"}, func(int) unix.Sockaddr {
			return &unix.SockaddrUnix{Name: "@saker-probe-test"}
		})
	})
)

var socketKinds = []Kind{
	KindSocket, KindBind, KindListen, KindConnect, KindAccept, KindAccept4,
	KindSendto, KindSendmsg, KindRecvfrom, KindRecvmsg, KindDup3, KindSocketpair,
}

func TestTCPConnectionsHaveBothEnds(t *testing.T) {
	w := startWatch(t, Interest{Kinds: socketKinds})
	for _, c := range []struct {
		action, host string
		kind         FileKind
	}{
		{serve4, "127.0.0.1", FileIPv4},
		{serve6, "::1", FileIPv6},
	} {
		t.Run(c.action, func(t *testing.T) {
			records := w.run(t, c.action, tempDir(t))
			host := netip.MustParseAddr(c.host)

			listen := only(t, records, KindListen, anyRecord)
			server := listen.File.Local
			check(t, "listener's address", server.Addr(), host)
			check(t, "listener's state", listen.File.State, 10)

			connect := only(t, records, KindConnect, func(r *Record) bool { return r.Addr == server })
			check(t, "Ret", connect.Ret, 0)
			check(t, "File.Num", connect.File.Num, int32(connect.Args[0]))
			check(t, "File.Kind", connect.File.Kind, c.kind)
			check(t, "Remote", connect.File.Remote, server)
			check(t, "State", connect.File.State, 1)
			check(t, "SockType", connect.File.SockType, uint16(unix.SOCK_STREAM))
			check(t, "Proto", connect.File.Proto, uint16(unix.IPPROTO_TCP))
			client := connect.File.Local

			accept := only(t, records, KindAccept4, func(r *Record) bool { return r.Ret > 2 })
			check(t, "accepted descriptor", int64(accept.File.Num), accept.Ret)
			check(t, "accepted local end", accept.File.Local, server)
			check(t, "accepted remote end", accept.File.Remote, client)

			send := only(t, records, KindSendmsg, func(r *Record) bool { return r.File.Local == client })
			check(t, "what was sent", string(send.Data), "hello")
			receive := only(t, records, KindRecvfrom, func(r *Record) bool { return r.File.Remote == client })
			check(t, "what was received", string(receive.Data), "hello")

			dup := only(t, records, KindDup3, func(r *Record) bool { return r.Ret == redirected })
			check(t, "kind of the copy", dup.File.Kind, c.kind)
			check(t, "copy's inode", dup.File.Inode, connect.File.Inode)
			check(t, "copy's remote end", dup.File.Remote, server)
		})
	}
}

func TestUnixSocketsHaveTheirPath(t *testing.T) {
	w := startWatch(t, Interest{Kinds: socketKinds})
	for _, c := range []struct{ action, path string }{
		{serveUnix, "sock"},
		{serveAbstract, "@saker-probe-test"},
	} {
		t.Run(c.action, func(t *testing.T) {
			records := w.run(t, c.action, tempDir(t))
			bind := only(t, records, KindBind, anyRecord)
			check(t, "bound address", bind.AddrPath, c.path)
			check(t, "bound socket's path", bind.File.UnixPath, c.path)
			check(t, "kind", bind.File.Kind, FileUnix)
			connect := only(t, records, KindConnect, func(r *Record) bool { return r.AddrPath == c.path })
			check(t, "peer's path", connect.File.UnixPath, c.path)
			check(t, "type", connect.File.SockType, uint16(unix.SOCK_STREAM))
		})
	}
}

var datagrams = action("datagrams", func() error {
	r := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	if err := unix.Bind(r, inet4(0)); err != nil {
		return err
	}
	s := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	to := inet4(portOf(r))
	long := make([]byte, 200)
	copy(long, "long")
	buffers := [][]byte{[]byte("one "), []byte("two "), long}
	if _, err := unix.SendmsgBuffers(s, buffers, nil, to, 0); err != nil {
		return err
	}
	if _, _, _, _, err := unix.RecvmsgBuffers(r, [][]byte{make([]byte, 2), make([]byte, 300)}, nil, 0); err != nil {
		return err
	}
	if err := unix.Sendto(s, []byte("ping"), 0, to); err != nil {
		return err
	}
	_, _, err := unix.Recvfrom(r, make([]byte, 10), 0)
	return err
})

func TestDatagramsHaveAddressAndData(t *testing.T) {
	w := startWatch(t, Interest{Kinds: socketKinds})
	records := w.run(t, datagrams, tempDir(t))
	bind := only(t, records, KindBind, anyRecord)
	server := bind.File.Local
	if server.Port() == 0 {
		t.Fatalf("bound to %v", server)
	}
	want := "one two long" + string(make([]byte, 68))

	message := only(t, records, KindSendmsg, func(r *Record) bool { return r.Addr == server })
	check(t, "gathered data", string(message.Data), want)
	check(t, "Ret", message.Ret, 208)
	scattered := only(t, records, KindRecvmsg, func(r *Record) bool { return r.File.Local == server })
	check(t, "scattered data", string(scattered.Data), want)
	check(t, "message's sender", scattered.Addr.Addr(), server.Addr())

	send := only(t, records, KindSendto, func(r *Record) bool { return r.Addr == server })
	check(t, "data", string(send.Data), "ping")
	check(t, "Proto", send.File.Proto, uint16(unix.IPPROTO_UDP))
	receive := only(t, records, KindRecvfrom, func(r *Record) bool { return r.File.Local == server })
	check(t, "data", string(receive.Data), "ping")
	check(t, "sender's port", receive.Addr.Port(), scattered.Addr.Port())
}

var otherSockets = action("other sockets", func() error {
	_ = must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE))
	if _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0); err != nil {
		return err
	}
	_, _ = unix.Socket(99, unix.SOCK_STREAM, 0)
	_ = unix.Connect(must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)), inet4(1))
	_ = unix.Connect(987, inet4(9))
	mapped := &unix.SockaddrInet6{Port: 1, Addr: [16]byte{10: 255, 11: 255, 12: 127, 15: 1}}
	_ = unix.Connect(must(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)), mapped)
	return nil
})

func TestSocketsOfEveryKindAndFailure(t *testing.T) {
	w := startWatch(t, Interest{Kinds: socketKinds})
	records := w.run(t, otherSockets, tempDir(t))
	domain := func(d uint64) func(*Record) bool {
		return func(r *Record) bool { return r.Args[0] == d }
	}
	netlink := only(t, records, KindSocket, domain(unix.AF_NETLINK))
	check(t, "netlink socket", netlink.File.Kind, FileNetlink)
	pair := only(t, records, KindSocketpair, anyRecord)
	check(t, "socketpair", pair.File.Kind, FileUnix)
	check(t, "socketpair's type", pair.File.SockType, uint16(unix.SOCK_SEQPACKET))
	unknown := only(t, records, KindSocket, domain(99))
	check(t, "unknown family", unknown.Ret, -int64(unix.EAFNOSUPPORT))
	check(t, "unknown family's file", unknown.File.Kind, NoFile)
	check(t, "unknown family's descriptor", unknown.File.Num, -int32(unix.EAFNOSUPPORT))

	refused := only(t, records, KindConnect, func(r *Record) bool { return r.Ret == -int64(unix.ECONNREFUSED) })
	check(t, "refused address", refused.Addr, netip.MustParseAddrPort("127.0.0.1:1"))
	bad := only(t, records, KindConnect, func(r *Record) bool { return r.Ret == -int64(unix.EBADF) })
	check(t, "address on a bad descriptor", bad.Addr, netip.MustParseAddrPort("127.0.0.1:9"))
	check(t, "bad descriptor", bad.File.Num, 987)
	check(t, "bad descriptor's file", bad.File.Kind, NoFile)

	mapped := only(t, records, KindConnect, func(r *Record) bool { return r.File.Kind == FileIPv6 })
	check(t, "mapped address", mapped.Addr, netip.MustParseAddrPort("127.0.0.1:1"))
	check(t, "mapped remote end", mapped.File.Remote, netip.MustParseAddrPort("127.0.0.1:1"))
}
