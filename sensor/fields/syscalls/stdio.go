package syscalls

import (
	"strings"

	"github.com/saker-security/saker/sensor/fields"
)

// stdioFields are those of descriptors that the event does not name. The sensor keeps no
// table of descriptors: it looks into /proc when a rule asks, so they are null for a process
// that is gone, and for a socket that no earlier event was about.
func stdioFields() []fields.Field {
	fs := []fields.Field{{
		Name: "fd.types", Type: fields.String, List: true, Arg: fields.OptionalIndexArg, NoRHS: true,
		Doc:     "fd.type of the process's descriptors, each once; with a number that of one descriptor.",
		Extract: extractorArg(descriptorTypes),
	}}
	for fd, name := range [...]string{"stdin", "stdout", "stderr"} {
		fs = append(
			fs,
			eventField("proc."+name+".type", fields.String, "fd.type of the process's "+name+".",
				func(e *Event) fields.Value { return e.typeOf(e.link(fd)) }),
			eventField("proc."+name+".name", fields.Path, "fd.name of the process's "+name+".",
				func(e *Event) fields.Value { return e.nameOf(e.link(fd)) }),
		)
	}
	return fs
}

// stdioNames are the names of stdioFields.
var stdioNames = func() []string {
	var ns []string
	for _, f := range stdioFields() {
		ns = append(ns, f.Name)
	}
	return ns
}()

// link is what /proc shows for a descriptor, empty if it cannot be had.
func (e *Event) link(fd int) string {
	link, _ := e.table().Descriptor(e.Proc, fd)
	return link
}

func descriptorTypes(e *Event, a fields.Arg) fields.Value {
	from := len(e.values)
	if a.Given {
		if v := e.typeOf(e.link(a.Index)); v.Valid {
			e.values = append(e.values, v)
		}
		return e.list(from)
	}
	var seen [len(classNames)]bool
	for link := range e.table().Descriptors(e.Proc) {
		if c, ok := e.classOfLink(link); ok && !seen[c] {
			seen[c] = true
			e.values = append(e.values, fields.Text(classNames[c].name))
		}
	}
	return e.list(from)
}

func (e *Event) typeOf(link string) fields.Value {
	c, ok := e.classOfLink(link)
	if !ok {
		return null
	}
	return fields.Text(classNames[c].name)
}

// anonymous are the names of files without a path.
var anonymous = map[string]class{
	"[eventfd]": classEvent, "[signalfd]": classSignalfd, "[eventpoll]": classEventpoll,
	"inotify": classInotify, "[timerfd]": classTimerfd, "[userfaultfd]": classUserfaultfd,
	"[io_uring]": classIOUring, "[pidfd]": classPidfd, "bpf-map": classBPF, "bpf-prog": classBPF,
}

func (e *Event) classOfLink(link string) (class, bool) {
	switch {
	case link == "":
		return 0, false
	case strings.HasPrefix(link, "/memfd:"):
		return classMemfd, true
	case link[0] == '/':
		return classFile, true
	case strings.HasPrefix(link, "pipe:"):
		return classPipe, true
	case strings.HasPrefix(link, "socket:"):
		st, ok := e.src.sockets.byLink(link)
		return st.class, ok
	}
	name, _ := strings.CutPrefix(link, "anon_inode:")
	c, ok := anonymous[name]
	return c, ok
}

func (e *Event) nameOf(link string) fields.Value {
	c, ok := e.classOfLink(link)
	if !ok {
		return null
	}
	switch c {
	case classFile:
		return fields.Text(link)
	case classIPv4, classIPv6:
		st, _ := e.src.sockets.byLink(link)
		return fields.Text(e.ends(st))
	}
	return fields.Text("")
}

// ends is the name of a remembered connection.
func (e *Event) ends(st socketState) string {
	client, server := st.local, st.remote
	switch st.role {
	case roleNone:
		return ""
	case roleServer:
		client, server = server, client
	}
	from := len(e.text)
	b := append(appendEnd(e.text, client, true), "->"...)
	return e.made(appendEnd(b, server, true), from)
}
