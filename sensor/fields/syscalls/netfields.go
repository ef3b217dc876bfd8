package syscalls

import (
	"net/netip"
	"strconv"

	"github.com/saker-security/saker/sensor/fields"
)

// end picks one end of a connection, the zero address where it is not known.
type end func(*Event, *descriptor) netip.AddrPort

func clientEnd(_ *Event, d *descriptor) netip.AddrPort {
	if d.role == roleNone {
		return netip.AddrPort{}
	}
	return d.client
}

func serverEnd(_ *Event, d *descriptor) netip.AddrPort {
	if d.role == roleNone && !d.listens {
		return netip.AddrPort{}
	}
	return d.server
}

// localEnd is the machine's own end. Between two processes of one machine over loopback it
// is the server for both, as in Falco.
func localEnd(_ *Event, d *descriptor) netip.AddrPort {
	switch {
	case d.role == roleNone:
		return netip.AddrPort{}
	case d.role == roleServer, d.client.Addr().IsLoopback():
		return d.server
	}
	return d.client
}

func remoteEnd(_ *Event, d *descriptor) netip.AddrPort {
	switch {
	case d.role == roleNone:
		return netip.AddrPort{}
	case d.role == roleServer, d.client.Addr().IsLoopback():
		return d.client
	}
	return d.server
}

func socketFields() []fields.Field {
	onFd := func(f func(*Event, *descriptor) fields.Value) func(any, fields.Arg) fields.Value {
		return extractor(func(e *Event) fields.Value {
			d := e.descriptor()
			if !d.known {
				return null
			}
			return f(e, d)
		})
	}
	fs := []fields.Field{
		{
			Name: "fd.ip", Type: fields.IP, AnyOf: true, NoRHS: true, NoTransform: true,
			Doc:     "Address of either end of the connection, or the one a socket listens on.",
			Extract: onFd(bothAddresses),
		},
		{
			Name: "fd.net", Type: fields.Net, AnyOf: true, NoRHS: true, NoTransform: true,
			Doc:     "Like fd.ip, for comparison with networks.",
			Extract: onFd(bothAddresses),
		},
		{
			Name: "fd.port", Type: fields.Port, AnyOf: true, NoRHS: true, NoTransform: true,
			Doc: "Port of either end of the connection, or the one a socket listens on.", Extract: onFd(bothPorts),
		},
		{
			Name: "fd.proto", Type: fields.Port, AnyOf: true, NoRHS: true, NoTransform: true,
			Doc: "Like fd.port.", Extract: onFd(bothPorts),
		},
		{
			Name: "fd.l4proto", Type: fields.String, Doc: "Protocol of a socket: tcp, udp, icmp or raw, <NA> where it is not known yet or there is none.",
			Extract: onFd(func(e *Event, _ *descriptor) fields.Value { return fields.Text(e.l4proto()) }),
		},
		{
			Name: "fd.sockfamily", Type: fields.String, Doc: "Family of a socket: ip or unix.",
			Extract: onFd(func(_ *Event, d *descriptor) fields.Value {
				switch d.class {
				case classIPv4, classIPv6:
					return fields.Text("ip")
				case classUnix:
					return fields.Text("unix")
				}
				return null
			}),
		},
		{
			Name: "fd.is_server", Type: fields.Bool, Doc: "Whether the process is the server of the socket: it listens, or was called from another machine.",
			Extract: onFd(func(_ *Event, d *descriptor) fields.Value {
				called := d.role == roleServer && !d.server.Addr().IsLoopback()
				return fields.Boolean(d.listens || called)
			}),
		},
		{
			Name: "fd.connected", Type: fields.Bool, Doc: "Whether the socket has a peer, or is about to have one.",
			Extract: onFd(func(e *Event, _ *descriptor) fields.Value { return fields.Boolean(e.socket.connected) }),
		},
		{
			Name: "fd.name_changed", Type: fields.Bool, Doc: "Whether the event changed fd.name.",
			Extract: onFd(func(e *Event, _ *descriptor) fields.Value {
				return fields.Boolean(e.socket.changed || e.opens())
			}),
		},
	}
	for _, of := range []struct {
		letter, whose string
		end           end
	}{
		{"c", "the client, the end that connected", clientEnd},
		{"s", "the server, the end that was connected to or listens", serverEnd},
		{"l", "the local end", localEnd},
		{"r", "the remote end", remoteEnd},
	} {
		address := func(e *Event, d *descriptor) fields.Value { return fields.Address(of.end(e, d).Addr()) }
		fs = append(
			fs,
			fields.Field{
				Name: "fd." + of.letter + "ip", Type: fields.IP,
				Doc: "Address of " + of.whose + ".", Extract: onFd(address),
			},
			fields.Field{
				Name: "fd." + of.letter + "net", Type: fields.Net, NoRHS: true, NoTransform: true,
				Doc: "Address of " + of.whose + ", for comparison with networks.", Extract: onFd(address),
			},
			fields.Field{
				Name: "fd." + of.letter + "port", Type: fields.Port, Doc: "Port of " + of.whose + ".",
				Extract: onFd(func(e *Event, d *descriptor) fields.Value {
					a := of.end(e, d)
					return fields.Value{Valid: a.IsValid(), Num: uint64(a.Port())}
				}),
			},
			fields.Field{
				Name: "fd." + of.letter + "proto", Type: fields.String, Doc: "Port of " + of.whose + ", as text.",
				Extract: onFd(func(e *Event, d *descriptor) fields.Value {
					a := of.end(e, d)
					if !a.IsValid() {
						return null
					}
					from := len(e.text)
					return fields.Text(e.made(strconv.AppendUint(e.text, uint64(a.Port()), 10), from))
				}),
			},
			fields.Field{
				Name: "fd." + of.letter + "ip.name", Type: fields.String, Resolves: true, NoRHS: true, NoTransform: true,
				Doc: "Host name of " + of.whose + "; true for a name that its address is one of. It is printed if a rule names it.",
				Extract: onFd(func(e *Event, d *descriptor) fields.Value {
					a := of.end(e, d).Addr()
					if !a.IsValid() {
						return null
					}
					return fields.Value{Valid: true, Addr: a, Str: e.src.opt.Hosts.NameOf(a)}
				}),
			},
		)
	}
	return fs
}

// bothAddresses are the ends that are known.
func bothAddresses(e *Event, d *descriptor) fields.Value {
	return e.both(clientEnd(e, d), serverEnd(e, d), func(a netip.AddrPort) fields.Value {
		return fields.Address(a.Addr())
	})
}

func bothPorts(e *Event, d *descriptor) fields.Value {
	return e.both(clientEnd(e, d), serverEnd(e, d), func(a netip.AddrPort) fields.Value {
		return fields.Unsigned(uint64(a.Port()))
	})
}

func (e *Event) both(client, server netip.AddrPort, value func(netip.AddrPort) fields.Value) fields.Value {
	from := len(e.values)
	if client.IsValid() {
		e.values = append(e.values, value(client))
	}
	if server.IsValid() {
		e.values = append(e.values, value(server))
	}
	return e.list(from)
}

// list returns the values that were appended to the event's since there were from, null for
// none.
func (e *Event) list(from int) fields.Value {
	if len(e.values) == from {
		return null
	}
	return fields.Elements(e.values[from:len(e.values):len(e.values)])
}
