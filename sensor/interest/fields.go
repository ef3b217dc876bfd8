package interest

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// outcome is a part of the calls of a kind, with the values that a field can have of them.
// All outcomes of a field together are all calls.
type outcome struct {
	clause clause
	// null: there may be no value. any: the value may be whatever the field's type allows.
	null, any bool
	values    []fields.Value
	// ranged: a number from low to high.
	ranged    bool
	low, high int64
}

// may says that the comparison can have the result for a call of this outcome.
func (o outcome) may(c rules.Comparison, result bool) bool {
	if o.null && !result {
		return true
	}
	op, known := c.Operator()
	if o.any && (result || !known || op != filter.Exists) {
		return true
	}
	if o.ranged && slices.ContainsFunc(probes(c, o.low, o.high), func(n int64) bool {
		return c.Holds(fields.Signed(n)) == result
	}) {
		return true
	}
	return slices.ContainsFunc(o.values, func(v fields.Value) bool { return c.Holds(v) == result })
}

// probes are numbers from low to high of which one at least is on each side of every
// literal, and each literal: no comparison changes its result elsewhere.
func probes(c rules.Comparison, low, high int64) []int64 {
	numbers := []int64{low, high}
	for _, n := range c.Numbers() {
		for _, x := range [...]int64{int64(n), int64(n) - 1, int64(n) + 1} {
			if low <= x && x <= high {
				numbers = append(numbers, x)
			}
		}
	}
	return numbers
}

// among is the condition that the outcomes for which the comparison can have the result make.
func (d *derivation) among(outcomes []outcome, c rules.Comparison, result bool) condition {
	var out condition
	for _, o := range outcomes {
		if o.may(c, result) {
			out = append(out, o.clause)
		}
	}
	return d.simplify(out)
}

var (
	succeeded = clause{results: probe.Succeeded}
	failed    = clause{results: probe.Failed}
)

func family(numbers ...int) clause {
	var c clause
	for _, n := range numbers {
		c.families |= 1 << n
	}
	return c
}

var internet = family(unix.AF_INET, unix.AF_INET6)

func texts(values ...string) []fields.Value {
	out := make([]fields.Value, len(values))
	for i, s := range values {
		out[i] = fields.Text(s)
	}
	return out
}

func isOpen(k probe.Kind) bool { return opensWithFlags(k) || k == probe.KindCreat }

// opensWithFlags leaves out creat, which has no flags.
func opensWithFlags(k probe.Kind) bool {
	return k == probe.KindOpen || k == probe.KindOpenat || k == probe.KindOpenat2
}

func isDup(k probe.Kind) bool {
	return k == probe.KindDup || k == probe.KindDup2 || k == probe.KindDup3
}

func transfers(k probe.Kind) bool {
	switch k {
	case probe.KindSendto, probe.KindSendmsg, probe.KindRecvfrom, probe.KindRecvmsg:
		return true
	}
	return false
}

func makesSocket(k probe.Kind) bool {
	return k == probe.KindSocket || k == probe.KindAccept || k == probe.KindAccept4
}

// onDescriptor says that the kind's descriptor is one whose family the probe can tell.
func onDescriptor(k probe.Kind) bool {
	switch k {
	case probe.KindConnect, probe.KindBind, probe.KindListen:
		return true
	}
	return makesSocket(k) || transfers(k) || isDup(k) || !k.Common() && k.NarrowedByFamily()
}

// outcomes returns the outcomes of a field for calls of the kind, nil if nothing is known.
func outcomes(name string, k probe.Kind) []outcome {
	switch name {
	case "evt.failed":
		return []outcome{{clause: succeeded, values: []fields.Value{fields.Boolean(false)}}, {clause: failed, values: []fields.Value{fields.Boolean(true)}}}
	case "evt.rawres":
		return []outcome{{clause: succeeded, ranged: true, high: math.MaxInt64}, {clause: failed, ranged: true, low: math.MinInt64, high: -1}}
	case "evt.rawarg.res":
		return append(outcomes("evt.rawres", k), outcome{null: true})
	case "fd.num":
		return numberOutcomes(k)
	case "evt.buffer":
		if transfers(k) {
			return []outcome{{clause: succeeded, any: true}, {clause: failed, null: true}}
		}
	case "fd.filename", "fd.ino", "fd.dev", "fd.dev.major", "fd.dev.minor", "fd.is_upper_layer", "fd.is_lower_layer":
		if isOpen(k) {
			return []outcome{{clause: succeeded, any: true, null: true}, {clause: failed, null: true}}
		}
	case "fs.path.name", "fs.path.nameraw", "fs.path.source", "fs.path.sourceraw", "fs.path.target", "fs.path.targetraw":
		if !isOpen(k) {
			return []outcome{{clause: succeeded, any: true, null: true}, {clause: failed, null: true}}
		}
	case "evt.is_open_read", "evt.is_open_write", "evt.is_open_exec", "evt.is_open_create":
		return openOutcomes(name, k)
	case "fd.type", "fd.typechar":
		return typeOutcomes(name == "fd.typechar", k)
	}
	if onDescriptor(k) {
		return socketOutcomes(name)
	}
	return nil
}

func numberOutcomes(k probe.Kind) []outcome {
	made := outcome{clause: succeeded, ranged: true, high: math.MaxInt64}
	switch {
	case isOpen(k), makesSocket(k):
		return []outcome{made, {clause: failed, ranged: true, low: -1, high: -1}}
	case isDup(k):
		return []outcome{made, {clause: failed, any: true}}
	}
	return nil
}

func openOutcomes(name string, k probe.Kind) []outcome {
	yes, no := []fields.Value{fields.Boolean(true)}, []fields.Value{fields.Boolean(false)}
	reading, writing, creating := clause{opens: probe.OpenReading}, clause{opens: probe.OpenWriting}, clause{opens: probe.OpenCreating}
	switch {
	case k == probe.KindCreat && name == "evt.is_open_exec":
		return nil
	case k == probe.KindOpenByHandleAt:
		return nil
	case !opensWithFlags(k):
		return []outcome{{values: no}}
	case name == "evt.is_open_read":
		return []outcome{{clause: reading, values: yes}, {clause: writing, values: no}}
	case name == "evt.is_open_write":
		return []outcome{{clause: writing, values: yes}, {clause: reading, values: no}}
	}
	return []outcome{{clause: creating, values: yes}, {values: no}}
}

// kindsOfFile are fd.type and fd.typechar of what is no socket.
var kindsOfFile = [2][]fields.Value{
	texts("<NA>", "file", "directory", "pipe", "event", "signalfd", "eventpoll", "inotify", "timerfd", "bpf",
		"userfaultfd", "io_uring", "memfd", "pidfd"),
	texts("o", "f", "d", "p", "e", "s", "l", "i", "t", "b", "u", "r", "m", "P", "?"),
}

// typeOutcomes are those of fd.type, or of fd.typechar, which calls have that failed to make a
// descriptor. A socket of IPv6 shows as one of IPv4 if its addresses are.
func typeOutcomes(char bool, k probe.Kind) []outcome {
	pick := func(name, letter string) fields.Value {
		if char {
			return fields.Text(letter)
		}
		return fields.Text(name)
	}
	v4, v6 := pick("ipv4", "4"), pick("ipv6", "6")
	files := outcome{values: kindsOfFile[0], null: true}
	if char {
		files = outcome{values: kindsOfFile[1]}
	}
	switch {
	case isOpen(k):
		made := outcome{clause: succeeded, values: []fields.Value{pick("file", "f"), pick("directory", "d")}}
		missing := outcome{clause: failed, null: !char}
		if char {
			missing.values = texts("f")
			if k == probe.KindOpen {
				missing.values = texts("o")
			}
		}
		return []outcome{made, missing}
	case !onDescriptor(k):
		return nil
	}
	out := []outcome{
		{clause: family(unix.AF_INET), values: []fields.Value{v4}},
		{clause: family(unix.AF_INET6), values: []fields.Value{v6, v4}},
		{clause: family(unix.AF_UNIX), values: []fields.Value{pick("unix", "u")}},
		{clause: family(unix.AF_NETLINK), values: []fields.Value{pick("netlink", "n")}},
		files,
	}
	switch {
	case char && k == probe.KindSocket:
		// Also of one that another thread closed at once, which shows no more what it was.
		out = append(out, outcome{values: []fields.Value{v4}})
	case char && makesSocket(k):
		out = append(out, outcome{clause: failed, values: []fields.Value{v4}})
	}
	return out
}

// socketOutcomes are those of fields that only sockets have.
func socketOutcomes(name string) []outcome {
	protocol := func(p probe.Protocols, names ...string) outcome {
		c := internet
		c.protocols, c.ends = p, endsKnown
		return outcome{clause: c, values: texts(names...)}
	}
	known, missing := internet, clause{ends: endsMissing}
	known.ends = endsKnown
	switch name {
	case "fd.l4proto":
		// A raw socket is raw whichever its protocol, and even without an address.
		return []outcome{
			protocol(probe.TCP, "tcp"), protocol(probe.UDP, "udp"), protocol(probe.OtherProtocol, "icmp", "tcp", "udp", "<NA>"),
			{clause: internet, values: texts("raw")},
			{clause: missing, values: texts("<NA>"), null: true},
		}
	case "fd.sockfamily":
		return []outcome{{clause: internet, values: texts("ip")}, {clause: family(unix.AF_UNIX), values: texts("unix")}, {null: true}}
	case "fd.is_server":
		return []outcome{{clause: known, any: true}, {values: []fields.Value{fields.Boolean(false)}, null: true}}
	case "fd.ip", "fd.net", "fd.port", "fd.proto":
		return []outcome{{clause: known, any: true}, {null: true}}
	}
	end, ok := strings.CutPrefix(name, "fd.")
	if ok && end != "" && strings.IndexByte("cslr", end[0]) >= 0 {
		switch end[1:] {
		case "ip", "net", "port", "proto", "ip.name":
			return []outcome{{clause: known, any: true}, {null: true}}
		}
	}
	return nil
}

// results derives a condition on evt.res: the errors by their numbers, if they are few.
func (d *derivation) results(c rules.Comparison, result bool) condition {
	var out condition
	if c.Holds(fields.Text("SUCCESS")) == result {
		out = append(out, succeeded)
	}
	named := !slices.ContainsFunc(c.Texts(), func(s string) bool { return s == "" || s[0] < 'A' || s[0] > 'Z' })
	if op, _ := c.Operator(); op != filter.In && op != filter.StartsWith {
		named = false
	}
	// An error without a name shows as its number, which is none of named literals.
	if !named || c.Holds(fields.Text("-4096")) == result {
		return d.simplify(append(out, failed))
	}
	var values []int64
	for e := 1; e < 4096; e++ {
		if name := unix.ErrnoName(unix.Errno(e)); name != "" && c.Holds(fields.Text(name)) == result {
			values = append(values, -int64(e))
		}
	}
	slices.Sort(values)
	switch {
	case len(values) > maxValues:
		out = append(out, failed)
	case len(values) > 0:
		out = append(out, clause{values: values})
	}
	return d.simplify(out)
}

// returned derives a condition on a returned number that is compared with a few.
func returned(c rules.Comparison, result bool) (condition, bool) {
	op, ok := c.Operator()
	if !ok || op != filter.In || c.Differs() == result || len(c.Numbers()) > maxValues {
		return nil, false
	}
	var values []int64
	for _, n := range c.Numbers() {
		values = append(values, int64(n))
	}
	slices.Sort(values)
	return condition{{values: slices.Compact(values)}}, true
}

// openFlags derives a condition on the text of an open's flags.
func openFlags(c rules.Comparison, result bool) (condition, bool) {
	op, ok := c.Operator()
	if !ok || op != filter.Contains || c.Differs() == result {
		return nil, false
	}
	var out condition
	for _, s := range c.Texts() {
		class, known := flagClasses[s]
		if !known {
			return nil, false
		}
		out = append(out, clause{opens: class})
	}
	return out, true
}

// flagClasses are the flags that imply a class of access.
var flagClasses = map[string]probe.OpenClass{
	"O_RDONLY": probe.OpenReading,
	"O_WRONLY": probe.OpenWriting, "O_RDWR": probe.OpenWriting, "O_TRUNC": probe.OpenWriting,
	"O_CREAT": probe.OpenCreating, "O_TMPFILE": probe.OpenCreating, "O_F_CREATED": probe.OpenCreating,
}

// domains derives a condition on evt.arg.domain of a socket call: it asks the field itself
// what it is of each family.
func (d *derivation) domains(c rules.Comparison, result bool) condition {
	const most = 64
	source := syscalls.New(syscalls.Options{})
	var out condition
	for f := range most {
		event := source.Event(&probe.Record{Kind: probe.KindSocket, Args: [6]uint64{uint64(f)}})
		if c.Holds(c.Value(event)) == result {
			out = append(out, family(f))
		}
	}
	if len(out) == most {
		return everything
	}
	return d.simplify(out)
}
