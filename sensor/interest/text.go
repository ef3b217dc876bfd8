package interest

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

// Text describes an interest for people: the kinds that are reported whole, and each clause
// with what it asks of a call and of the process. j is the Judge that belongs to it.
func Text(in probe.Interest, j *Judge) string {
	var b strings.Builder
	narrowed := make(map[probe.Kind]bool)
	for _, c := range in.Clauses {
		for _, k := range c.Kinds {
			narrowed[k] = true
		}
	}
	var whole []string
	for _, k := range in.Kinds {
		if !narrowed[k] {
			whole = append(whole, k.String())
		}
	}
	fmt.Fprintf(&b, "every call: %s\n", orNone(whole))
	var left []string
	for name, omit := range map[string]bool{"environments": in.OmitEnv, "data": in.OmitData, "resolved paths of opens": in.OmitOpenPaths} {
		if omit {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	fmt.Fprintf(&b, "left out: %s\n", orNone(left))
	for i, c := range in.Clauses {
		fmt.Fprintf(&b, "\nclause %d: %s\n", i, kindNames(c.Kinds))
		for _, line := range asks(c) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		if c.Judged {
			fmt.Fprintf(&b, "  process: %s\n", j.process(i))
		}
	}
	return b.String()
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func kindNames(kinds []probe.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}

// asks are the members of a clause, a line each.
func asks(c probe.Clause) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch c.Results {
	case probe.Succeeded:
		add("succeeded")
	case probe.Failed:
		add("failed")
	}
	if c.Values != nil {
		add("returned %s", strings.Trim(fmt.Sprint(c.Values), "[]"))
	}
	var names []string
	for _, o := range []struct {
		class probe.OpenClass
		name  string
	}{{probe.OpenReading, "reading"}, {probe.OpenWriting, "writing"}, {probe.OpenCreating, "creating"}} {
		if c.Opens&o.class != 0 {
			names = append(names, o.name)
		}
	}
	if names != nil {
		add("for %s", strings.Join(names, " or "))
	}
	if c.Families != 0 {
		add("family %s", strings.Join(families(c.Families), ", "))
	}
	names = nil
	for _, o := range []struct {
		protocol probe.Protocols
		name     string
	}{{probe.TCP, "TCP"}, {probe.UDP, "UDP"}, {probe.OtherProtocol, "other"}} {
		if c.Protocols&o.protocol != 0 {
			names = append(names, o.name)
		}
	}
	if names != nil {
		add("protocol %s", strings.Join(names, ", "))
	}
	return append(lines, pathLines(c.Paths)...)
}

func families(set uint64) []string {
	known := map[int]string{unix.AF_UNIX: "unix", unix.AF_INET: "IPv4", unix.AF_INET6: "IPv6", unix.AF_NETLINK: "netlink"}
	var names []string
	for f := range 64 {
		if set>>f&1 == 0 {
			continue
		}
		name, ok := known[f]
		if !ok {
			name = fmt.Sprint(f)
		}
		names = append(names, name)
	}
	return names
}

func pathLines(p *probe.Paths) []string {
	if p == nil {
		return nil
	}
	var lines []string
	for _, list := range []struct {
		name  string
		paths []string
	}{
		{"path", p.Equal},
		{"path begins with", p.Prefixes},
		{"path ends with", p.Suffixes},
		{"path contains", p.Parts},
		{"directly in", p.Directories},
		{"last component", p.Names},
	} {
		if len(list.paths) > 0 {
			lines = append(lines, list.name+" "+strings.Join(list.paths, ", "))
		}
	}
	return lines
}

// process is what the i-th clause asks of the process, about as a rule would have it; that a
// missing value satisfies what is negated is not shown.
func (j *Judge) process(i int) string {
	for _, c := range j.clauses {
		if c.bit == 1<<i {
			return j.text(c.node)
		}
	}
	return "any"
}

func (j *Judge) text(at int) string {
	n := &j.nodes[at]
	if n.kind == guardCompare {
		text, differs := strings.CutPrefix(n.comparison.String(), "not ")
		if differs == n.result {
			return "not " + text
		}
		return text
	}
	parts := make([]string, len(n.children))
	for i, c := range n.children {
		if parts[i] = j.text(int(c)); j.nodes[c].kind != guardCompare {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	slices.Sort(parts)
	if n.kind == guardAll {
		return strings.Join(parts, " and ")
	}
	return strings.Join(parts, " or ")
}
