package group

import (
	"hash/maphash"
	"strings"

	"github.com/saker-security/saker/event"
)

// identityNames are what an event's identity has besides its output fields, and keyNames
// what a key shows of such an identity.
var (
	identityNames = []string{"rule", "priority", "source", "hostname"}
	keyNames      = []string{"rule", "hostname"}
)

// identity returns a number that is the same for events with the same values of names. The
// seed is this Stage's own, so that nobody can make up an event that hides behind another.
func (s *Stage) identity(names []string, e *event.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	if !isDefault(names) {
		for _, name := range names {
			write(&h, value(e, name))
		}
		return h.Sum64()
	}
	for _, name := range identityNames {
		write(&h, value(e, name))
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if isVolatile(f.Name) {
			continue
		}
		write(&h, f.Name)
		v := f.Value.Text()
		if f.Name == "fd.name" {
			client, server := withoutClientPort(v)
			write(&h, client)
			v = server
		}
		write(&h, v)
	}
	return h.Sum64()
}

// write adds s so that where it ends matters.
func write(h *maphash.Hash, s string) {
	maphash.WriteComparable(h, len(s))
	_, _ = h.WriteString(s)
}

// value returns what the event has under a name of group_by or dedup_by; "" when it has
// nothing.
func value(e *event.Event, name string) string {
	switch name {
	case "rule":
		return e.Rule
	case "priority":
		return e.Priority.String()
	case "source":
		return e.Source
	case "hostname":
		return e.Hostname
	case "output":
		return e.Output
	case "tags":
		return strings.Join(e.Tags, ",")
	}
	if v, ok := e.Field(name); ok && v.Kind() != event.Null {
		return v.Text()
	}
	return ""
}

// isVolatile reports whether the output field called name says when or by which process
// something happened rather than what: events that differ in nothing else say the same.
func isVolatile(name string) bool {
	base, _, _ := strings.Cut(name, "[")
	switch base {
	case "evt.num", "evt.cpu", "evt.wait_latency",
		"proc.pid", "proc.ppid", "proc.vpid", "proc.pvpid", "proc.apid", "proc.sid", "proc.pgid", "proc.vpgid",
		"proc.loginshellid", "proc.duration", "proc.ppid.duration", "proc.pid.ts", "proc.ppid.ts",
		"proc.exe_ino.ctime_duration_proc_start", "proc.exe_ino.ctime_duration_pidns_start",
		"thread.tid", "thread.vtid", "fd.num", "fd.cport", "container.duration",
		"ka.auditid", "jevt.time", "jevt.time.iso8601", "jevt.rawtime":
		return true
	}
	rest, ok := strings.CutPrefix(base, "evt.")
	if !ok {
		return false
	}
	kind, _, _ := strings.Cut(rest, ".")
	switch kind {
	case "time", "datetime", "rawtime", "reltime", "deltatime", "latency":
		return true
	}
	return false
}

// withoutClientPort splits the name of a connection, client:port->server:port, and leaves
// out the client's port, which is another for every connection. Another name comes back as
// the second part.
func withoutClientPort(name string) (client, server string) {
	client, server, ok := strings.Cut(name, "->")
	if !ok {
		return "", name
	}
	colon := strings.LastIndexByte(client, ':')
	if colon < 0 || colon == len(client)-1 || strings.Trim(client[colon+1:], "0123456789") != "" {
		return "", name
	}
	return client[:colon], server
}

// key says in words what the events of a group share.
type key struct {
	// whole has all names: "rule=A, k8s.ns.name=prod". where is for a line that begins with
	// the rule.
	whole, where string
}

const (
	// maxKeyValue and maxKey are the most bytes of one value in a key and of the key.
	maxKeyValue = 128
	maxKey      = 1024
)

func keyOf(e *event.Event, names []string) key {
	if isDefault(names) {
		names = keyNames
	}
	var whole, where []string
	for _, name := range names {
		v := value(e, name)
		pair := cut(oneLine(name), maxKeyValue) + "=" + cut(oneLine(v), maxKeyValue)
		whole = append(whole, pair)
		if name != "rule" && v != "" {
			where = append(where, pair)
		}
	}
	return key{cut(strings.Join(whole, ", "), maxKey), cut(strings.Join(where, ", "), maxKey)}
}
