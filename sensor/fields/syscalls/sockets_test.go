package syscalls_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// tcp and udp are sockets with the given ends; an empty one is not assigned.
func tcp(inode uint64, local, remote string) probe.File {
	f := probe.File{Kind: probe.FileIPv4, Num: 3, Inode: inode, SockType: unix.SOCK_STREAM, Proto: unix.IPPROTO_TCP}
	f.Local, f.Remote = addr("0.0.0.0:0"), addr("0.0.0.0:0")
	if local != "" {
		f.Local = addr(local)
	}
	if remote != "" {
		f.Remote = addr(remote)
	}
	if f.Local.Addr().Is6() {
		f.Kind = probe.FileIPv6
	}
	return f
}

func udp(inode uint64, local, remote string) probe.File {
	f := tcp(inode, local, remote)
	f.SockType, f.Proto = unix.SOCK_DGRAM, unix.IPPROTO_UDP
	return f
}

func connect(f probe.File, to string, ret int64) *probe.Record {
	return &probe.Record{Kind: probe.KindConnect, Ret: ret, File: f, Addr: addr(to), Args: [6]uint64{3}}
}

func TestConnecting(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindSocket, Ret: 3, File: tcp(1, "", "")}, want{
		"fd.num", "3", "fd.name", `""`, "fd.type", `"ipv4"`, "fd.typechar", `"4"`, "fd.sockfamily", `"ip"`, "fd.l4proto", `"<NA>"`,
		"fd.sip", "null", "fd.ip", "null", "fd.connected", "false", "fd.is_server", "false", "fd.name_changed", "false",
	})
	connected := want{
		"fd.name", `"10.0.0.2:40000->93.184.216.34:443"`, "fd.l4proto", `"tcp"`, "fd.connected", "true", "fd.name_changed", "true",
		"fd.cip", "10.0.0.2", "fd.cport", "40000", "fd.sip", "93.184.216.34", "fd.sport", "443", "fd.snet", "93.184.216.34",
		"fd.lip", "10.0.0.2", "fd.lport", "40000", "fd.rip", "93.184.216.34", "fd.rport", "443", "fd.rnet", "93.184.216.34",
		"fd.ip", "[10.0.0.2 93.184.216.34]", "fd.net", "[10.0.0.2 93.184.216.34]", "fd.port", "[40000 443]",
		"fd.sproto", `"443"`, "fd.is_server", "false", "fd.directory", "null", "fd.filename", "null",
		"evt.arg.tuple", `"10.0.0.2:40000->93.184.216.34:443"`, "evt.arg.addr", `"93.184.216.34:443"`,
		"evt.arg.fd", `"<4t>10.0.0.2:40000->93.184.216.34:443"`,
	}
	w.check(connect(tcp(1, "10.0.0.2:40000", "93.184.216.34:443"), "93.184.216.34:443", 0), connected)
	w.check(connect(tcp(2, "10.0.0.2:40000", "93.184.216.34:443"), "93.184.216.34:443", -int64(unix.EINPROGRESS)), append(connected, "evt.res", `"EINPROGRESS"`))
	w.check(&probe.Record{Kind: probe.KindDup, Ret: 0, File: tcp(1, "10.0.0.2:40000", "93.184.216.34:443"), Args: [6]uint64{3}}, want{
		"fd.num", "0", "fd.sip", "93.184.216.34", "fd.lport", "40000", "fd.connected", "true", "fd.name_changed", "false",
	})
}

func TestARefusedConnectHasNoName(t *testing.T) {
	w := newWorld(t)
	w.check(connect(tcp(1, "10.0.0.2:40000", ""), "10.0.0.9:1", -int64(unix.ECONNREFUSED)), want{
		"fd.num", "3", "fd.name", `""`, "fd.type", `"ipv4"`, "fd.sip", "null", "fd.l4proto", `"<NA>"`, "fd.connected", "false", "evt.res", `"ECONNREFUSED"`,
	})
}

func TestBadDescriptors(t *testing.T) {
	w := newWorld(t)
	for kind, name := range map[probe.Kind]string{
		probe.KindConnect: `"NULL"`, probe.KindBind: `""`, probe.KindListen: `""`, probe.KindSendto: `""`,
		probe.KindRecvfrom: `""`, probe.KindClose: `""`, probe.KindSetns: `""`,
	} {
		w.check(&probe.Record{Kind: kind, Ret: -9, Args: [6]uint64{77}}, want{
			"fd.num", "77", "fd.name", name, "fd.type", "null", "fd.typechar", `"o"`, "fd.ip", "null", "fd.directory", `"/"`,
		})
	}
	for _, kind := range []probe.Kind{probe.KindAccept, probe.KindAccept4} {
		w.check(&probe.Record{Kind: kind, Ret: -11, Args: [6]uint64{3}}, want{"fd.num", "-1", "fd.typechar", `"4"`, "fd.name", `"NULL"`})
	}
}

func TestServing(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindBind, File: tcp(1, "0.0.0.0:8080", ""), Addr: addr("0.0.0.0:8080"), Args: [6]uint64{3}}, want{
		"fd.name", `"0.0.0.0:8080"`, "fd.name_changed", "true", "fd.sip", "0.0.0.0", "fd.sport", "8080", "fd.cip", "null", "fd.lip", "null",
		"fd.rip", "null", "fd.lport", "null", "fd.is_server", "true", "fd.l4proto", `"tcp"`, "fd.connected", "false",
	})
	listening := tcp(1, "0.0.0.0:8080", "")
	listening.State = 10
	w.check(&probe.Record{Kind: probe.KindListen, File: listening, Args: [6]uint64{3, 128}}, want{
		"fd.name", `"0.0.0.0:8080"`, "fd.name_changed", "false", "fd.sport", "8080", "fd.port", "[8080]", "fd.is_server", "true",
		"evt.arg.backlog", `"128"`,
	})
	accepted := tcp(2, "10.0.0.2:8080", "10.0.0.9:50000")
	accepted.Num = 5
	w.check(&probe.Record{Kind: probe.KindAccept4, Ret: 5, File: accepted, Args: [6]uint64{3}}, want{
		"fd.num", "5", "fd.name", `"10.0.0.9:50000->10.0.0.2:8080"`, "fd.cip", "10.0.0.9", "fd.sport", "8080", "fd.lip", "10.0.0.2", "fd.rport", "50000",
		"fd.is_server", "true", "fd.connected", "true",
	})
	w.check(&probe.Record{Kind: probe.KindClose, File: accepted, Args: [6]uint64{5}}, want{"fd.name", `"10.0.0.9:50000->10.0.0.2:8080"`})
}

func TestBothEndsOnLoopbackSeeTheServerAsLocal(t *testing.T) {
	w := newWorld(t)
	ends := want{
		"fd.name", `"127.0.0.1:40000->127.0.0.1:8080"`, "fd.lport", "8080", "fd.rport", "40000", "fd.lip", "127.0.0.1", "fd.is_server", "false",
	}
	w.check(connect(tcp(1, "127.0.0.1:40000", "127.0.0.1:8080"), "127.0.0.1:8080", 0), ends)
	w.check(&probe.Record{Kind: probe.KindAccept, Ret: 3, File: tcp(2, "127.0.0.1:8080", "127.0.0.1:40000")}, ends)
}

func TestABindToAnyPort(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindBind, File: tcp(1, "127.0.0.1:33333", ""), Addr: addr("127.0.0.1:0")}, want{
		"fd.name", `"127.0.0.1:0"`, "fd.sip", "null", "fd.l4proto", `"<NA>"`, "fd.is_server", "false",
	})
}

func TestADatagramServerOnAnyPort(t *testing.T) {
	w := newWorld(t)
	f := udp(1, "127.0.0.1:41724", "")
	w.Event(&probe.Record{Kind: probe.KindBind, File: f, Addr: addr("127.0.0.1:0"), PID: 10})
	w.check(&probe.Record{Kind: probe.KindRecvfrom, Ret: 1, File: f, Addr: addr("127.0.0.1:49708")}, want{
		"fd.name", `"127.0.0.1:49708->127.0.0.1:41724"`,
	})
}

func TestRolesNeedTheEventsThatMakeThem(t *testing.T) {
	uses := func(names ...string) func(string) bool {
		return func(name string) bool { return slices.Contains(names, name) }
	}
	if ks := syscalls.StateKinds([]probe.Kind{probe.KindOpenat, probe.KindSendto}, uses()); len(ks) != 4 {
		t.Errorf("sendto needs %v", ks)
	}
	if ks := syscalls.StateKinds([]probe.Kind{probe.KindExecve}, uses("proc.stdin.type")); len(ks) != 4 {
		t.Errorf("proc.stdin.type needs %v", ks)
	}
	if ks := syscalls.StateKinds([]probe.Kind{probe.KindOpenat, probe.KindConnect}, uses("fd.name")); ks != nil {
		t.Errorf("connect needs %v", ks)
	}
}

func TestVersion6(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindBind, File: tcp(1, "[::]:80", ""), Addr: addr("[::]:80")}, want{
		"fd.name", `":::80"`, "fd.type", `"ipv6"`, "fd.typechar", `"6"`, "fd.sip", "::",
	})
	w.check(connect(tcp(2, "[2001:db8::1]:40000", "[2001:db8::2]:443"), "[2001:db8::2]:443", 0), want{
		"fd.name", `"2001:db8::1:40000->2001:db8::2:443"`, "fd.type", `"ipv6"`, "fd.sip", "2001:db8::2",
	})
	mapped := tcp(3, "10.0.0.2:40000", "10.0.0.9:443")
	mapped.Kind = probe.FileIPv6
	w.check(connect(mapped, "[::ffff:10.0.0.9]:443", 0), want{
		"fd.name", `"10.0.0.2:40000->10.0.0.9:443"`, "fd.type", `"ipv4"`, "fd.typechar", `"4"`, "fd.sip", "10.0.0.9", "fd.l4proto", `"tcp"`,
	})
}

func TestDatagrams(t *testing.T) {
	w := newWorld(t)
	send := &probe.Record{Kind: probe.KindSendto, Ret: 4, File: udp(1, "0.0.0.0:40000", ""), Addr: addr("8.8.8.8:53"), Data: []byte("ab\x00\xff"), Args: [6]uint64{3, 0, 4}}
	w.check(send, want{
		"fd.name", `"0.0.0.0:40000->8.8.8.8:53"`, "fd.name_changed", "true", "fd.connected", "true", "fd.l4proto", `"udp"`, "fd.sport", "53",
		"evt.buffer", `"ab\x00\xff"`, "evt.buflen", "4", "evt.arg.data", `"ab.."`, "evt.arg.size", `"4"`, "evt.is_io_write", "true", "evt.io_dir", `"write"`,
		"evt.is_syslog", "false",
	})
	w.check(send, want{"fd.name_changed", "false"})
	other := *send
	other.Addr = addr("9.9.9.9:53")
	w.check(&other, want{"fd.name", `"0.0.0.0:40000->9.9.9.9:53"`, "fd.name_changed", "true"})

	bound := udp(2, "10.0.0.2:514", "")
	w.check(&probe.Record{Kind: probe.KindBind, File: bound, Addr: addr("10.0.0.2:514")}, want{"fd.is_server", "true"})
	received := &probe.Record{Kind: probe.KindRecvfrom, Ret: 1, File: bound, Addr: addr("10.0.0.9:50000"), Data: []byte("x")}
	w.check(received, want{
		"fd.name", `"10.0.0.9:50000->10.0.0.2:514"`, "fd.connected", "false", "fd.cip", "10.0.0.9", "fd.sport", "514", "evt.io_dir", `"read"`,
	})
	answer := &probe.Record{Kind: probe.KindSendto, Ret: 1, File: bound, Addr: addr("10.0.0.9:50000")}
	w.check(answer, want{"fd.name", `"10.0.0.9:50000->10.0.0.2:514"`, "fd.cip", "10.0.0.9", "evt.buffer", `""`, "evt.arg.data", `"NULL"`})

	failed := *send
	failed.Ret = -int64(unix.EPERM)
	w.check(&failed, want{"evt.buffer", "null", "evt.buflen", "null"})
}

func TestConnectionsThatWereThereBefore(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct{ local, remote, client string }{
		{"10.0.0.2:40000", "10.0.0.9:443", "10.0.0.2"},
		{"10.0.0.2:443", "10.0.0.9:40000", "10.0.0.9"},
		{"10.0.0.2:50000", "10.0.0.9:40000", "10.0.0.2"},
		{"10.0.0.2:80", "10.0.0.9:1023", "10.0.0.9"},
	} {
		w.check(&probe.Record{Kind: probe.KindSendmsg, Ret: 1, File: tcp(uint64(i+1), c.local, c.remote)}, want{
			"fd.cip", c.client, "fd.connected", "true",
		})
	}
	old := tcp(99, "0.0.0.0:22", "")
	old.State = 10
	w.check(&probe.Record{Kind: probe.KindListen, Ret: -22, File: old}, want{"fd.name", `"0.0.0.0:22"`, "fd.is_server", "true"})
}

func TestANewSocketWithAnOldInodeIsNotTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.Event(connect(tcp(1, "10.0.0.2:40000", "10.0.0.9:443"), "10.0.0.9:443", 0))
	w.Event(&probe.Record{Kind: probe.KindSocket, Ret: 3, File: tcp(1, "", ""), PID: 10})
	w.check(&probe.Record{Kind: probe.KindDup, Ret: 0, File: tcp(1, "", "")}, want{"fd.connected", "false", "fd.sip", "null"})
}

func TestRawAndICMPSocketsHaveNoPorts(t *testing.T) {
	w := newWorld(t)
	ping := tcp(1, "10.0.0.2:0", "10.0.0.9:0")
	ping.SockType, ping.Proto = unix.SOCK_DGRAM, unix.IPPROTO_ICMP
	w.check(connect(ping, "10.0.0.9:0", 0), want{"fd.name", `"10.0.0.2->10.0.0.9"`, "fd.l4proto", `"icmp"`})
	raw := tcp(2, "", "")
	raw.SockType, raw.Proto = unix.SOCK_RAW, unix.IPPROTO_ICMP
	w.check(&probe.Record{Kind: probe.KindSocket, Ret: 3, File: raw}, want{"fd.name", `""`, "fd.l4proto", `"raw"`})
}

func TestUnixSockets(t *testing.T) {
	w := newWorld(t)
	f := probe.File{Kind: probe.FileUnix, Num: 3, Inode: 0xab, SockType: unix.SOCK_STREAM}
	w.check(&probe.Record{Kind: probe.KindSocket, Ret: 3, File: f}, want{"fd.name", `""`, "fd.type", `"unix"`, "fd.sockfamily", `"unix"`, "fd.l4proto", `"<NA>"`})
	w.check(&probe.Record{Kind: probe.KindConnect, File: f, AddrPath: "/run/docker.sock", Args: [6]uint64{3}}, want{
		"fd.name", `"ab->0 /run/docker.sock"`, "fd.connected", "true", "fd.sip", "null", "evt.arg.addr", `"/run/docker.sock"`,
	})
	f.UnixPath = "/dev/log"
	w.check(&probe.Record{Kind: probe.KindSendto, Ret: 1, File: f, Args: [6]uint64{3}}, want{"evt.is_syslog", "true"})
	w.check(&probe.Record{Kind: probe.KindConnect, Ret: -2, File: probe.File{Kind: probe.FileUnix, Inode: 0xcd}, AddrPath: "/none"}, want{"fd.name", `""`})
}
