package written

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
)

// connection is what is known of the ends of a socket; an end that is not is the zero
// address.
type connection struct {
	client, server         netip.Addr
	clientPort, serverPort fields.Value
	// accepted says that the process is the server's.
	accepted bool
}

func (c connection) known() bool { return c.client.IsValid() || c.server.IsValid() }

func (c connection) family() string {
	a := c.server
	if !a.IsValid() {
		a = c.client
	}
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// name is fd.name, null unless the server's end is known.
func (c connection) name() fields.Value {
	if !c.server.IsValid() || !c.serverPort.Valid {
		return null
	}
	server := c.server.String() + ":" + strconv.FormatUint(c.serverPort.Num, 10)
	if !c.client.IsValid() || !c.clientPort.Valid {
		return fields.Text(server)
	}
	return fields.Text(c.client.String() + ":" + strconv.FormatUint(c.clientPort.Num, 10) + "->" + server)
}

// localIsServer says which end is the machine's own. Between two processes of one machine
// over loopback it is the server for both.
func (c connection) localIsServer() bool {
	return c.accepted || c.client.IsValid() && c.client.IsLoopback()
}

// connection collects what was given of the ends, in fd.name or one by one.
func (e *Event) connection() connection {
	c := connection{accepted: e.isOneOf("accept", "accept4", "listen", "bind")}
	if v, ok := e.given["fd.name"]; ok && v.Valid {
		c.read(v.Str)
		return c
	}
	client, server := []string{"c"}, []string{"s"}
	if c.accepted {
		client, server = append(client, "r"), append(server, "l")
	} else {
		client, server = append(client, "l"), append(server, "r")
	}
	c.client, c.clientPort = e.givenEnd(client)
	c.server, c.serverPort = e.givenEnd(server)
	return c
}

// givenEnd is an end by the fields whose letters it goes by.
func (e *Event) givenEnd(letters []string) (netip.Addr, fields.Value) {
	var (
		addr netip.Addr
		port fields.Value
	)
	for _, l := range letters {
		for _, name := range []string{"fd." + l + "ip", "fd." + l + "net"} {
			if v, ok := e.given[name]; ok && v.Valid && !addr.IsValid() {
				addr = v.Addr
			}
		}
		if v, ok := e.given["fd."+l+"port"]; ok && !port.Valid {
			port = v
		}
	}
	return addr, port
}

// read takes the ends from the form client->server or server, each address:port.
func (c *connection) read(name string) {
	client, server, both := strings.Cut(name, "->")
	if !both {
		client, server = "", name
	}
	c.client, c.clientPort = readEnd(client)
	c.server, c.serverPort = readEnd(server)
}

func readEnd(s string) (netip.Addr, fields.Value) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return netip.Addr{}, null
	}
	addr, err := netip.ParseAddr(strings.Trim(s[:i], "[]"))
	port, portErr := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || portErr != nil {
		return netip.Addr{}, null
	}
	return addr.Unmap(), fields.Unsigned(port)
}

var connectionFollows = func() map[string]follower {
	m := map[string]follower{
		"fd.sockfamily": func(e *Event, _ fields.Arg) fields.Value {
			switch e.Field("fd.typechar").Str {
			case "4", "6":
				return fields.Text("ip")
			case "u":
				return fields.Text("unix")
			}
			return null
		},
		"fd.is_server": ofConnection(func(e *Event, c connection) fields.Value {
			listens := e.isOneOf("listen", "bind")
			return fields.Boolean(listens || c.accepted && !c.server.IsLoopback())
		}),
		"fd.ip": ofConnection(bothAddresses), "fd.net": ofConnection(bothAddresses),
		"fd.port": ofConnection(bothPorts), "fd.proto": ofConnection(bothPorts),
	}
	for letter, isServer := range map[string]func(connection) bool{
		"c": func(connection) bool { return false },
		"s": func(connection) bool { return true },
		"l": func(c connection) bool { return c.localIsServer() },
		"r": func(c connection) bool { return !c.localIsServer() },
	} {
		address := ofConnection(func(_ *Event, c connection) fields.Value {
			if isServer(c) {
				return fields.Address(c.server)
			}
			return fields.Address(c.client)
		})
		port := ofConnection(func(_ *Event, c connection) fields.Value {
			if isServer(c) {
				return c.serverPort
			}
			return c.clientPort
		})
		m["fd."+letter+"ip"], m["fd."+letter+"net"], m["fd."+letter+"port"] = address, address, port
		m["fd."+letter+"proto"] = func(e *Event, a fields.Arg) fields.Value {
			v := port(e, a)
			return fields.Value{Valid: v.Valid, Str: strconv.FormatUint(v.Num, 10)}
		}
	}
	return m
}()

var connectionUsual = map[string]follower{
	"fd.l4proto": func(e *Event, _ fields.Arg) fields.Value {
		switch {
		case e.connection().known():
			return fields.Text("tcp")
		case e.Field("fd.typechar").Valid:
			return fields.Text("<NA>")
		}
		return null
	},
	"fd.connected": func(e *Event, _ fields.Arg) fields.Value {
		if !e.Field("fd.name").Valid {
			return null
		}
		// A connection that is being made has its peer.
		pending := e.Field("evt.res").Str == "EINPROGRESS"
		return fields.Boolean(e.isOneOf("connect", "accept", "accept4") && (!e.failed() || pending))
	},
}

func ofConnection(of func(*Event, connection) fields.Value) follower {
	return func(e *Event, _ fields.Arg) fields.Value {
		if c := e.connection(); c.known() {
			return of(e, c)
		}
		return null
	}
}

func bothAddresses(_ *Event, c connection) fields.Value {
	return known(fields.Address(c.client), fields.Address(c.server))
}

func bothPorts(_ *Event, c connection) fields.Value { return known(c.clientPort, c.serverPort) }

// known is the list of those values that are not null.
func known(vs ...fields.Value) fields.Value {
	var list []fields.Value
	for _, v := range vs {
		if v.Valid {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return null
	}
	return fields.Elements(list)
}
