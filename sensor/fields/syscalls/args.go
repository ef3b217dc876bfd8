package syscalls

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
)

// otherParams are names of parameters that rules may ask for and that no record has: those
// of events that Falco has and the probe does not watch.
const otherParams = `
ID action arg arg2 arg3 arg4 arg5 argument argv aux clockid container_id cpu cpu_sys
cpu_usr cq_entries cur desc description dpid dqb_bhardlimit dqb_bsoftlimit dqb_btime
dqb_curspace dqb_ihardlimit dqb_isoftlimit dqb_itime dqi_bgrace dqi_flags dqi_igrace entries error
event_data event_type exe_ino_num exepath fd_in fd_out fd_type fdin fdout fds features first home
how id image in_fd initval ino_num interval ip json key last level local_ip local_port mask max
maxevents min_complete mnt_id mountfd nativeID newcur newmax next nr_args nsems nsops offin offout
offset oldcur oldmax op opcode operation optlen optname out_fd plugin_id pos ppid prot quota_fmt
quota_fmt_out quotafilepath ratio remote_ip remote_port res_or_fd resource root
scope sem_flg_0 sem_flg_1 sem_num_0 sem_num_1 sem_op_0 sem_op_1 semflg semid semnum shell sid
sigmask sk_pointer sk_proto sk_type special spid sq_entries sq_thread_cpu sq_thread_idle start_time
sun_path tags target_fd timeout to_submit val value_bytebuf value_charbuf vtgid whence
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
	byName := make(map[string]*[len(categories)]*param)
	for kind := range params {
		for i := range params[kind] {
			p := &params[kind][i]
			if byName[p.name] == nil {
				byName[p.name] = new([len(categories)]*param)
			}
			byName[p.name][kind] = p
		}
	}
	for name := range strings.FieldsSeq(otherParams) {
		if byName[name] == nil {
			byName[name] = new([len(categories)]*param)
		}
	}
	for name, byKind := range byName {
		fs = append(fs, fields.Field{
			Name: "evt.arg." + name, Type: fields.String,
			Doc: "Parameter " + name + " of the event in readable form; null for events without it.",
			Extract: extractor(func(e *Event) fields.Value {
				if p := byKind[e.kind()]; p != nil {
					return e.argText(p)
				}
				return null
			}),
		}, rawField(name, byKind))
	}
	return fs
}

// rawField is a number if the parameter is one for every event that has it, else a string.
func rawField(name string, byKind *[len(categories)]*param) fields.Field {
	numeric, some := true, false
	for _, p := range byKind {
		if p != nil {
			numeric, some = numeric && p.format.numeric(), true
		}
	}
	numeric = numeric && some
	f := fields.Field{
		Name: "evt.rawarg." + name, Type: fields.String, NoRHS: true, NoTransform: true,
		Doc: "Parameter " + name + " of the event as it was passed; null for events without it.",
		Extract: extractor(func(e *Event) fields.Value {
			p := byKind[e.kind()]
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
	case asHex:
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
	case asErrno:
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
