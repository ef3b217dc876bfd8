// Package syscalls declares the filter fields of kernel events: evt.*, proc.*, thread.*,
// user.*, group.*, fd.*, fs.path.*, container.* and k8s.*, with Falco's names, types and
// texts.
//
// A Source turns the probe's records into Events, one at a time: it applies each record to
// the process table and to what it remembers of sockets, and the fields of its Registry then
// read from the Event.
//
//	probe.Record ── Source.Event ──> *Event ── fields.Field.Extract ──> fields.Value
//
// Fields are extracted only when a rule asks. Nothing here blocks: host names are resolved in
// the background, see Hosts, and what a container runtime knows is used once it is there.
package syscalls

import (
	"os"
	"unsafe"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

// Options say where a Source finds facts. What is nil is made with its defaults.
type Options struct {
	Processes  *process.Table
	Users      *process.Users
	Containers *container.Resolver
	// Hosts resolves the host names that conditions hold; without it they match no address.
	Hosts *Hosts
	// Hostname is evt.hostname. Default: FALCO_HOSTNAME, else the system's.
	Hostname string
}

// Source makes Events. It is used from one goroutine.
type Source struct {
	opt      Options
	sockets  *sockets
	registry *fields.Registry
	event    Event
	num      uint64
	first    uint64
}

// New returns a Source.
func New(opt Options) *Source {
	if opt.Processes == nil {
		opt.Processes = process.NewTable(process.Options{})
	}
	if opt.Users == nil {
		opt.Users = process.NewUsers(process.UsersOptions{})
	}
	if opt.Containers == nil {
		opt.Containers = container.NewResolver(0)
	}
	if opt.Hostname == "" {
		opt.Hostname = hostname()
	}
	return &Source{opt: opt, sockets: newSockets(), registry: NewRegistry(opt.Hosts)}
}

func hostname() string {
	if name := os.Getenv("FALCO_HOSTNAME"); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return name
}

// Registry is that of the source's events.
func (s *Source) Registry() *fields.Registry { return s.registry }

// Event takes rec into account and returns it joined with what is known. The Event and all
// that is extracted from it is valid until the next call.
func (s *Source) Event(rec *probe.Record) *Event {
	e := &s.event
	previous := uint64(0)
	if s.num > 0 {
		previous = e.time
	}
	s.num++
	if s.first == 0 {
		s.first = rec.Time
	}
	*e = Event{
		Rec: rec, Proc: s.opt.Processes.Apply(rec), src: s,
		num: s.num, time: rec.Time, previous: previous,
		text: e.text[:0], values: e.values[:0],
	}
	if cap(e.text) > textLimit {
		e.text = nil
	}
	if isSocket(rec.File.Kind) {
		e.socket = s.sockets.observe(rec)
	}
	return e
}

// textLimit is how large the buffer of made text may be between events.
const textLimit = 64 << 10

// Event is one record with the process it belongs to. Its fields are read through the
// registry.
type Event struct {
	Rec *probe.Record
	// Proc is the process, of a fork the parent. It is never nil.
	Proc *process.Process

	src            *Source
	num            uint64
	time, previous uint64
	socket         socketState
	fd             descriptor
	fdDone         bool
	text           []byte
	values         []fields.Value
}

// made returns as a string what the caller has appended to the event's buffer since it was
// from bytes long. The string is good until the next event.
func (e *Event) made(b []byte, from int) string {
	e.text = b
	if len(b) == from {
		return ""
	}
	return unsafe.String(&b[from], len(b)-from)
}

func (e *Event) table() *process.Table { return e.src.opt.Processes }
func (e *Event) users() *process.Users { return e.src.opt.Users }

// extractor is an Extract of fields without argument.
func extractor(f func(*Event) fields.Value) func(any, fields.Arg) fields.Value {
	return func(ev any, _ fields.Arg) fields.Value { return f(ev.(*Event)) }
}

// extractorArg is an Extract of fields with an argument.
func extractorArg(f func(*Event, fields.Arg) fields.Value) func(any, fields.Arg) fields.Value {
	return func(ev any, a fields.Arg) fields.Value { return f(ev.(*Event), a) }
}

var null fields.Value
