package syscalls

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

// otherParams are names of parameters that rules may ask for and that no record has: those
// of Falco's events that are no system calls.
const otherParams = `
action argv container_id cpu_sys cpu_usr desc dpid error event_data event_type exe_ino_num exepath
fd_type home image ino_num ip json local_ip local_port mnt_id next pgoffset plugin_id ppid ratio
remote_ip remote_port res_or_fd root scope shell sid sk_pointer sk_proto sk_type spid start_time
sun_path tags vtgid
`

// argFields declares one field for each name that a parameter of some event has: a name
// that none has is then unknown when the rule is loaded.
func argFields() []fields.Field {
	fs := []fields.Field{
		{
			Name: "evt.args", Type: fields.String, Extract: extractor(allArgs),
			Doc: "All parameters of the event as name=raw or name=raw(readable), separated by spaces.",
		},
		{Name: "evt.info", Type: fields.String, Doc: "Like evt.args.", Extract: extractor(allArgs)},
		{
			Name: "evt.arg", Type: fields.String, Arg: fields.IndexArg,
			Doc: "The parameter of the event with the number in brackets, counted from 0, in readable form.",
			Extract: extractorArg(func(e *Event, a fields.Arg) fields.Value {
				if ps := params[e.kind()]; a.Index >= 0 && a.Index < len(ps) {
					return e.argText(&ps[a.Index])
				}
				return null
			}),
		},
	}
	byName := make(map[string]*places)
	for kind := range params {
		for i, p := range params[kind] {
			if byName[p.name] == nil {
				byName[p.name] = new(places)
			}
			byName[p.name][kind] = uint8(i + 1)
		}
	}
	for name := range strings.FieldsSeq(otherParams) {
		if byName[name] == nil {
			byName[name] = new(places)
		}
	}
	for name, byKind := range byName {
		fs = append(fs, fields.Field{
			Name: "evt.arg." + name, Type: fields.String, Events: eventsWith(byKind.has),
			Doc: "Parameter " + name + " of the event in readable form; null for events without it.",
			Extract: extractor(func(e *Event) fields.Value {
				if p := byKind.of(e.kind()); p != nil {
					return e.argText(p)
				}
				return null
			}),
		}, rawField(name, byKind))
	}
	return fs
}

// places says where the parameters of one name are among those of each kind: 1 for the first,
// 0 for a kind that has none.
type places [probe.KindCount]uint8

// of returns the parameter of a kind, nil if there is none.
func (ps *places) of(k probe.Kind) *param {
	if ps[k] == 0 {
		return nil
	}
	return &params[k][ps[k]-1]
}

func (ps *places) has(k probe.Kind) bool { return ps[k] != 0 }

// rawField is a number if the parameter is one for every event that has it, else a string.
func rawField(name string, byKind *places) fields.Field {
	numeric, some := true, false
	for k := range byKind {
		if p := byKind.of(probe.Kind(k)); p != nil {
			numeric, some = numeric && p.format.numeric(), true
		}
	}
	numeric = numeric && some
	f := fields.Field{
		Name: "evt.rawarg." + name, Type: fields.String, NoRHS: true, NoTransform: true,
		Events: eventsWith(byKind.has),
		Doc:    "Parameter " + name + " of the event as it was passed; null for events without it.",
		Extract: extractor(func(e *Event) fields.Value {
			p := byKind.of(e.kind())
			if p == nil {
				return null
			}
			a := p.get(e)
			switch {
			case !a.ok:
				return null
			case numeric:
				return fields.Signed(a.num)
			case p.format.numeric():
				from := len(e.text)
				return fields.Text(e.made(strconv.AppendInt(e.text, a.num, 10), from))
			}
			return fields.Text(a.text)
		}),
	}
	if numeric {
		f.Type = fields.Int
	}
	return f
}

// argText is a parameter in its readable form, in its raw form if there is none.
func (e *Event) argText(p *param) fields.Value {
	a := p.get(e)
	if !a.ok {
		return fields.Text(missing(p))
	}
	switch p.format {
	case asText, asTuple, asAddress:
		return fields.Text(a.text)
	case asPath:
		s, _ := e.resolved(p.path)
		return fields.Text(s)
	}
	if p.format == asFD {
		e.descriptorName() // makes its text before this one is begun
	}
	from := len(e.text)
	b := e.appendReadable(e.text, p, a)
	if len(b) == from {
		b = e.appendRaw(b, p, a)
	}
	return fields.Text(e.made(b, from))
}

// missing is the text of a parameter that the event ought to have and has not.
func missing(p *param) string {
	if p.format == asBytes || p.format == asTuple {
		return "NULL"
	}
	return "<NA>"
}

func allArgs(e *Event) fields.Value {
	// The parameters may add texts to the event's buffer themselves.
	var b []byte
	ps := params[e.kind()]
	for i := range ps {
		p := &ps[i]
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, p.name...), '=')
		a := p.get(e)
		if !a.ok {
			b = append(b, missing(p)...)
			continue
		}
		b = e.appendRaw(b, p, a)
		open := len(b)
		b = append(b, '(')
		if b = e.appendReadable(b, p, a); len(b) == open+1 {
			b = b[:open]
		} else {
			b = append(b, ')')
		}
	}
	return fields.Text(bytesAsString(b))
}

// appendRaw appends the parameter as a number, or the text as it was passed.
func (e *Event) appendRaw(b []byte, p *param, a arg) []byte {
	switch p.format {
	case asHex, asErrnoHex:
		if p.format == asErrnoHex && a.num < 0 {
			break
		}
		from := len(b)
		b = strconv.AppendUint(b, uint64(a.num), 16)
		for i := from; i < len(b); i++ {
			if b[i] >= 'a' {
				b[i] -= 'a' - 'A'
			}
		}
		return b
	case asOctal, asMode:
		if a.num != 0 {
			b = append(b, '0')
		}
		return strconv.AppendUint(b, uint64(a.num), 8)
	case asUID, asGID:
		if uint32(a.num) == ^uint32(0) {
			return append(b, "-1"...)
		}
		return strconv.AppendInt(b, a.num, 10)
	case asBytes:
		return appendPrintable(b, a.text)
	case asText, asPath, asTuple, asAddress:
		return append(b, a.text...)
	case asTime:
		return time.Unix(0, a.num).Local().AppendFormat(b, "2006-01-02 15:04:05.000000000 -0700")
	}
	return strconv.AppendInt(b, a.num, 10)
}

// appendReadable appends what the parameter's number or path means, nothing if there is no
// more to say than the raw form does.
func (e *Event) appendReadable(b []byte, p *param, a arg) []byte {
	switch p.format {
	case asErrno, asErrnoHex:
		return append(b, errnoName(a.num)...)
	case asFD:
		return e.appendFD(b, p, a.num)
	case asPID:
		if q := e.table().Lookup(int32(a.num)); q != nil {
			b = append(b, q.Comm...)
		}
	case asUID:
		if uint32(a.num) == ^uint32(0) {
			return append(b, "<NONE>"...)
		}
		return append(b, e.users().User(e.Proc, uint32(a.num)).Name...)
	case asGID:
		if uint32(a.num) == ^uint32(0) {
			return append(b, "<NONE>"...)
		}
		return append(b, e.users().Group(e.Proc, uint32(a.num))...)
	case asSignal:
		return append(b, unix.SignalName(unix.Signal(a.num))...)
	case asFlags:
		return p.names.appendFlags(b, uint32(a.num))
	case asEnum:
		return p.names.appendEnum(b, uint32(a.num))
	case asMode:
		return p.names.appendFlags(b, uint32(a.num))
	case asPath:
		if s, _ := e.resolved(p.path); s != a.text {
			b = append(b, s...)
		}
	}
	return b
}

// appendFD appends a descriptor as <type>name where it is the event's own or the folder
// that a path starts from.
func (e *Event) appendFD(b []byte, p *param, fd int64) []byte {
	switch {
	case fd == unix.AT_FDCWD:
		return append(b, "AT_FDCWD"...)
	case fd < 0:
		return append(b, errnoName(fd)...)
	}
	if d := e.descriptor(); d.known && d.num == fd {
		b = append(append(b, '<'), e.typeChar()...)
		if proto := e.l4proto(); proto != "<NA>" {
			b = append(b, proto[0])
		}
		name, _ := e.descriptorName()
		return append(append(b, '>'), name...)
	}
	dir := ""
	switch p.name {
	case "dirfd", "olddirfd", "olddir":
		dir = e.Rec.Dir
	case "newdirfd", "newdir", "linkdirfd":
		dir = e.Rec.Dir2
	}
	if dir != "" {
		b = append(append(b, "<d>"...), dir...)
	}
	return b
}

func appendPrintable(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < 0x20 || c > 0x7e {
			c = '.'
		}
		b = append(b, c)
	}
	return b
}
