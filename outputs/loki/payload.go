package loki

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
)

// Loki's limits unless set otherwise, in bytes. It refuses what is longer.
const (
	maxLabel = 2048
	maxLine  = 256 << 10
)

// labeller makes the labels of events.
type labeller struct {
	fields map[string]string // the output fields that become labels, with the labels' names
	meta   map[string]string // those that become structured metadata
}

func newLabeller(c Config, custom []string) labeller {
	l := labeller{fields: map[string]string{}, meta: map[string]string{}}
	for _, name := range slices.Concat(custom, c.ExtraLabels) {
		l.fields[name] = labelName(name)
	}
	for _, name := range c.StructuredMetadata {
		l.meta[name] = labelName(name)
	}
	return l
}

// labelName is a field's name as Loki allows it: proc.aname[2] is proc_aname2.
func labelName(field string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == '[' || r == ']':
			return -1
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_':
			return r
		}
		return '_'
	}, field)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// labels are the labels of an event.
func (l labeller) labels(e event.Event) map[string]string {
	all := map[string]string{"rule": e.Rule, "source": e.Source, "priority": e.Priority.String()}
	for _, f := range e.Fields {
		value, ok := f.Value.Str()
		if !ok {
			continue
		}
		switch f.Name {
		case "k8s.ns.name":
			all["k8s_ns_name"] = value
		case "k8s.pod.name":
			all["k8s_pod_name"] = value
		}
		if name, wanted := l.fields[f.Name]; wanted {
			all[name] = strings.ReplaceAll(value, `"`, "")
		}
	}
	if e.Hostname != "" {
		all["hostname"] = e.Hostname
	}
	if len(e.Tags) > 0 {
		all["tags"] = strings.Join(e.Tags, ",")
	}
	for name, value := range all {
		all[name] = cut(value, maxLabel)
	}
	return all
}

// metadata is the structured metadata of an event, JSON of an object, or nothing.
func (l labeller) metadata(e event.Event) []byte {
	found := map[string]string{}
	for _, f := range e.Fields {
		if name, wanted := l.meta[f.Name]; wanted && f.Value.Kind() != event.Null {
			found[name] = f.Value.Text()
		}
	}
	if len(found) == 0 {
		return nil
	}
	return appendObject(nil, found)
}

// entry is an event as Loki keeps it.
type entry struct {
	labels string // JSON of an object, sorted by name: two events with the same are of one stream
	time   time.Time
	line   []byte // the entry's JSON
}

func (l labeller) entry(c Config, e event.Event) entry {
	line := []byte(`["`)
	line = strconv.AppendInt(line, e.Time.UnixNano(), 10)
	line = append(line, `",`...)
	if c.Format == "json" {
		line = event.AppendJSONString(line, e.AppendJSON(nil))
	} else {
		line = event.AppendJSONString(line, cut(e.Output, maxLine))
	}
	if meta := l.metadata(e); meta != nil {
		line = append(append(line, ','), meta...)
	}
	return entry{string(appendObject(nil, l.labels(e))), e.Time, append(line, ']')}
}

// appendObject appends the JSON of an object, sorted by name.
func appendObject(dst []byte, members map[string]string) []byte {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendJSONString(dst, name)
		dst = append(dst, ':')
		dst = event.AppendJSONString(dst, members[name])
	}
	return append(dst, '}')
}

// push is a request in the making.
type push struct {
	streams map[string][]entry
	order   []string // the streams' labels, as they came
	size    int      // bytes, about
}

func newPush() *push { return &push{streams: map[string][]entry{}} }

func (p *push) add(e entry) {
	if _, known := p.streams[e.labels]; !known {
		p.order = append(p.order, e.labels)
		p.size += len(e.labels)
	}
	p.streams[e.labels] = append(p.streams[e.labels], e)
	p.size += len(e.line) + 1
}

// body is what the golden files pin.
func (p *push) body() []byte {
	b := append(make([]byte, 0, p.size+64), `{"streams":[`...)
	for i, labels := range p.order {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"stream":`...)
		b = append(b, labels...)
		b = append(b, `,"values":[`...)
		entries := p.streams[labels]
		slices.SortStableFunc(entries, func(a, b entry) int { return a.time.Compare(b.time) })
		for j, e := range entries {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(b, e.line...)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}\n"...)
}

// cut returns at most n bytes of s, whole characters only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
