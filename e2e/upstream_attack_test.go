package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"os/user"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// markVariable is the environment variable by which the alerts of an attack are told from
// those that anything else on the machine causes. The sensor adds it to every alert.
const markVariable = "SAKER_E2E_ATTACK"

// attack is something that rules look for, done once and for real.
type attack struct {
	name string // unique; without one that of the first alert's rule
	at   place
	run  string                            // command line; its first word and those after an @ are names of stand-ins, or paths
	env  []string                          // beyond the mark and PATH
	do   func(s *scene, mark string) error // instead of run
	want []want                            // the alerts, each rule's in the order in which they come
	also []string                          // rules that rightly find something as well
}

// want is an alert as it has to be. In texts, words in capitals after a $ stand for what
// only the running test knows.
type want struct {
	rule     string
	priority string
	event    string
	by       string   // command line of the process, unless that is the attack's
	parents  []string // command lines of its parents up to the attack's, if by is a descendant
	fields   fields   // beyond those that follow from the rest
	many     bool     // one or more such alerts, of which all but the last may be early
}

// fields are what output_fields has to hold: values as JSON has them, a regular expression
// that a text has to match whole, or a test.
type fields map[string]any

// fromRuntime are the fields of every alert that the container's runtime has to tell.
var fromRuntime = []string{"container.name", "container.image.repository", "container.image.tag"}

func positive(v any) bool {
	n, ok := v.(float64)
	return ok && n > 0
}

func anything(any) bool { return true }

// mark is the name by which an attack's alerts are known.
func (a attack) mark() string {
	if a.name != "" {
		return a.name
	}
	return a.want[0].rule
}

// carryOut does the attack.
func (s *scene) carryOut(a attack) error {
	mark := strings.ReplaceAll(a.mark(), " ", "_")
	if a.do != nil {
		return a.do(s, mark)
	}
	words := strings.Fields(s.fill(a.run))
	for i, word := range words {
		if name, ok := strings.CutPrefix(word, "@"); ok {
			path, err := s.program(a.at, name)
			if err != nil {
				return err
			}
			words[i] = path
		}
	}
	return s.run(a.at, mark, a.env, words...)
}

// fill puts what this test knows into a text.
func (s *scene) fill(text string) string {
	return strings.NewReplacer("$DIR", s.dir, "$SHM", s.shm,
		"$OWN", localAddress, "$PEER", peerAddress, "$API", apiAddress, "$POOL", poolAddress, "$METADATA", metadataAddress,
		"$6OWN", localAddress6, "$6PEER", peerAddress6).Replace(text)
}

// actor is a process by its command line.
type actor struct{ path, name, line string }

func (s *scene) actor(at place, line string) actor {
	words := strings.Fields(s.fill(line))
	path, _ := s.program(at, words[0])
	for i, word := range words {
		if name, ok := strings.CutPrefix(word, "@"); ok {
			words[i], _ = s.program(at, name)
		}
	}
	a := actor{path: path, name: filepath.Base(path)}
	a.name = a.name[:min(15, len(a.name))]
	a.line = strings.Join(append([]string{a.name}, words[1:]...), " ")
	return a
}

// expected are the values that the fields of an alert must have, and which of them must be
// there.
func (s *scene) expected(a attack, w want) fields {
	self := s.actor(a.at, cmp.Or(w.by, a.run, "trigger"))
	f := fields{
		"evt.type": w.event, "evt.res": "SUCCESS", "evt.time": positive,
		"proc.name": self.name, "proc.exepath": self.path, "proc.exe": self.path, "proc.cmdline": self.line,
		"proc.args": strings.TrimPrefix(strings.TrimPrefix(self.line, self.name), " "),
		"proc.tty":  float64(s.tty), "proc.cwd": strings.TrimSuffix(s.folder(a.at), "/") + "/",
		"user.name": "root", "user.uid": 0.0, "user.loginuid": float64(s.loginuid), "user.loginname": loginName(s.loginuid),
		"group.name": "root", "group.gid": 0.0,
		"evt.arg.flags": "EXE_WRITABLE", "fd.name": nil,
		"container.id": "host", "container.name": "host", "container.image.repository": "", "container.image.tag": "",
		"container.start_ts": positive, "k8s.ns.name": nil, "k8s.pod.name": nil,
		"proc.env[" + markVariable + "]": strings.ReplaceAll(a.mark(), " ", "_"),
	}
	s.addLineage(f, a, w)
	if a.at != onHost && a.at != onNetwork {
		s.addContainer(f, a.at)
		f["evt.arg.flags"] = "EXE_WRITABLE|EXE_LOWER_LAYER"
		f["proc.tty"] = 0.0
	}
	for name, v := range w.fields {
		if text, ok := v.(string); ok {
			v = s.fill(text)
		}
		f[name] = v
	}
	return f
}

// addLineage adds what is known of the parents.
func (s *scene) addLineage(f fields, a attack, w want) {
	var names []string
	parents := slices.Clone(w.parents)
	if w.by != "" && a.run != "" {
		parents = append(parents, a.run)
	}
	for i, line := range parents {
		p := s.actor(a.at, line)
		names = append(names, p.name)
		if i == 0 {
			f["proc.pcmdline"], f["proc.pexe"], f["proc.pexepath"] = p.line, p.path, p.path
		}
		if i == 1 {
			f["proc.aexepath[2]"] = p.path
		}
	}
	if pid := s.runner(a.at); pid != 0 {
		names = append(names, lineage(pid)...)
		if stat := statOf(pid); len(stat) > 3 {
			session, _ := strconv.Atoi(stat[3])
			f["proc.sname"] = commOf(session)
		}
		if len(parents) == 0 {
			f["proc.pcmdline"] = commandLine(pid)
			f["proc.aexepath[2]"] = parentProgram(pid)
		}
	}
	if len(names) > 0 {
		f["proc.pname"] = names[0]
	}
	for i := 2; i <= 7; i++ {
		key := fmt.Sprintf("proc.aname[%d]", i)
		if f[key] = nil; i <= len(names) {
			f[key] = names[i-1]
		}
	}
}

// addContainer adds what is known of a container.
func (s *scene) addContainer(f fields, at place) {
	c := s.agents[at]
	f["container.id"] = c.container[:min(12, len(c.container))]
	repository, tag, _ := strings.Cut(image, ":")
	f["container.name"], f["container.image.repository"], f["container.image.tag"] = c.name, repository, tag
}

// loginName is the name of the user who logged in.
func loginName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); uid >= 0 && err == nil {
		return u.Username
	}
	return "<NA>"
}

// check compares the alerts of an attack with what they have to be.
func (s *scene) check(t *testing.T, a attack, got []alert) {
	t.Helper()
	byRule := map[string][]alert{}
	for _, g := range got {
		byRule[g.Rule] = append(byRule[g.Rule], g)
	}
	wanted := map[string][]want{}
	for _, w := range a.want {
		wanted[w.rule] = append(wanted[w.rule], w)
	}
	for rule, ws := range wanted {
		alerts := byRule[rule]
		slices.SortStableFunc(alerts, func(a, b alert) int { return cmp.Compare(a.time(), b.time()) })
		if len(alerts) != len(ws) && (!ws[0].many || len(alerts) == 0) {
			t.Errorf("%d alerts of rule %q, want %d%s", len(alerts), rule, len(ws), list(alerts))
		}
		for i, g := range alerts {
			if i < len(ws) || ws[0].many {
				w := ws[min(i, len(ws)-1)]
				s.compare(t, g, w, s.expected(a, w), w.many && i < len(alerts)-1)
			}
		}
	}
	for rule, alerts := range byRule {
		if wanted[rule] == nil && !slices.Contains(a.also, rule) {
			t.Errorf("alerts of rule %q, which has nothing to do with it%s", rule, list(alerts))
		}
	}
	for _, rule := range a.also {
		if len(byRule[rule]) == 0 {
			t.Errorf("no alert of rule %q, which looks for the same", rule)
		}
	}
}

// checkFirst checks that a sensor with the rules of a file alone has found the attack, if the
// first rule that it is for is in there, and says the same of it.
func (s *scene) checkFirst(t *testing.T, a attack, l *lookout, file string) {
	t.Helper()
	if len(a.want) == 0 || !slices.Contains(rulesOf(t, file), a.want[0].rule) {
		return
	}
	found := 0
	for _, g := range l.alerts(a) {
		if w := a.want[0]; g.Rule == w.rule {
			if found++; found == 1 {
				s.compare(t, g, w, s.expected(a, w), w.many)
			}
		}
	}
	if found == 0 {
		t.Errorf("with %s alone: no alert of rule %q%s", l.rules, a.want[0].rule, list(l.alerts(a)))
	}
}

func (a alert) time() float64 { n, _ := a.OutputFields["evt.time"].(float64); return n }

func list(alerts []alert) string {
	var b strings.Builder
	for _, a := range alerts {
		fmt.Fprintf(&b, "\n\t%s", a.Output)
	}
	return b.String()
}

// compare compares an alert with what it has to be. Every field that the alert has must be
// accounted for, and every one that was named for it must be there. An early one may lack what
// only the container's runtime tells.
func (s *scene) compare(t *testing.T, g alert, w want, f fields, early bool) {
	t.Helper()
	if g.Priority != w.priority {
		t.Errorf("rule %q: priority %s, want %s", w.rule, g.Priority, w.priority)
	}
	if g.Source != "syscall" || g.Hostname == "" {
		t.Errorf("rule %q: source %q, hostname %q", w.rule, g.Source, g.Hostname)
	}
	for _, name := range slices.Sorted(maps.Keys(g.OutputFields)) {
		v, ok := f[name]
		if name == "container.metadata" && early {
			continue // says why the rest is missing
		}
		if !ok {
			t.Errorf("rule %q: nobody said what %s has to be, it is %#v", w.rule, name, g.OutputFields[name])
		} else if got := g.OutputFields[name]; !equal(got, v) && (!early || got != nil || !slices.Contains(fromRuntime, name)) {
			t.Errorf("rule %q: %s is %#v, want %#v", w.rule, name, got, show(v))
		}
	}
	for name := range w.fields {
		if _, ok := g.OutputFields[name]; !ok {
			t.Errorf("rule %q: no %s in the alert", w.rule, name)
		}
	}
	for _, name := range []string{"container.id", "container.name", "container.image.repository", "container.image.tag", "k8s.ns.name", "k8s.pod.name", "evt.time"} {
		if _, ok := g.OutputFields[name]; !ok {
			t.Errorf("rule %q: no %s in the alert, which Falco adds to every one", w.rule, name)
		}
	}
}

func equal(got, want any) bool {
	switch want := want.(type) {
	case func(any) bool:
		return want(got)
	case *regexp.Regexp:
		text, ok := got.(string)
		return ok && want.FindString(text) == text && text != ""
	}
	return reflect.DeepEqual(got, want)
}

func show(v any) any {
	switch v := v.(type) {
	case func(any) bool:
		return "another value"
	case *regexp.Regexp:
		return v.String()
	}
	return v
}
