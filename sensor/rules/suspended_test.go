package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

// isLate is the field whose values come later in these tests, and another.
const lateField, otherLateField = "k8s.ns.name", "container.image.repository"

// lateSet loads rules over a registry in which two fields are late.
func lateSet(t *testing.T, all bool, conditions ...string) *rules.Ruleset {
	t.Helper()
	reg := testRegistry()
	for _, name := range []string{lateField, otherLateField} {
		f, ok := reg.Lookup(name)
		if !ok {
			t.Fatalf("the tests have no field %s", name)
		}
		f.Late = true
	}
	var file []map[string]any
	for i, c := range conditions {
		file = append(file, map[string]any{
			"rule": fmt.Sprintf("R%d", i), "desc": "d", "condition": c, "priority": "NOTICE",
			"output": "%proc.name %k8s.ns.name %toupper(k8s.ns.name) %concat(proc.name, k8s.ns.name) %proc.aname",
		})
	}
	content, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	set, _, err := rules.Load([]rules.File{{Name: "rules.yaml", Content: content}}, map[string]*fields.Registry{"syscall": reg}, rules.Options{All: all})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// found is what an event causes, for comparison.
func found(matches []rules.Match) []string {
	var out []string
	for _, m := range matches {
		text, fields := m.Format()
		out = append(out, m.Rule.Name+": "+text+"|"+printFields(fields))
	}
	return out
}

func printFields(fs []event.Field) string {
	var parts []string
	for _, f := range fs {
		parts = append(parts, f.Name+"="+f.Value.Text())
	}
	return strings.Join(parts, ",")
}

func resumed(s *rules.Suspended, ev occurrence) []string {
	if s == nil {
		return nil
	}
	var out []string
	s.Resume(ev, func(m rules.Match) { out = append(out, found([]rules.Match{m})...) })
	return out
}

// late splits off what comes later.
func late(ev occurrence) (early, later occurrence) {
	early, later = occurrence{}, occurrence{}
	for k, v := range ev {
		if k == lateField || k == otherLateField {
			later[k] = v
		} else {
			early[k] = v
		}
	}
	return early, later
}

func TestASuspendedEventIsDecidedAsIfAllHadBeenKnown(t *testing.T) {
	whole := shell()
	whole[lateField], whole[otherLateField] = fields.Text("prod"), fields.Text("shop")
	for _, tt := range []struct {
		name       string
		conditions []string
		all        bool
		want       string // names of the rules that match
	}{
		{"an exception spares the image", []string{`evt.type=openat and not container.image.repository in (shop)`}, false, ""},
		{"an exception for another does not", []string{`evt.type=openat and not container.image.repository in (other)`}, false, "R0"},
		{"a rule for an image does not miss it", []string{`evt.type=openat and container.image.repository=shop`}, false, "R0"},
		{"a rule about something else is sure", []string{`evt.type=openat and proc.name=bash`}, false, "R0"},
		{"the first that matches counts", []string{
			`evt.type=openat and k8s.ns.name=test`, `evt.type=openat and k8s.ns.name=prod`, `evt.type=openat`,
		}, false, "R1"},
		{"or all of them", []string{`evt.type=openat and k8s.ns.name=test`, `evt.type=openat and k8s.ns.name=prod`, `evt.type=openat`}, true, "R1R2"},
		{"what cannot match is not kept", []string{`evt.type=openat and proc.name=vi and k8s.ns.name=prod`}, false, ""},
		{"a transformer of it", []string{`evt.type=openat and toupper(k8s.ns.name)=PROD`}, false, "R0"},
		{"a comparison with it", []string{`evt.type=openat and proc.name != val(k8s.ns.name)`}, false, "R0"},
		{"presence", []string{`evt.type=openat and k8s.ns.name exists`}, false, "R0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := lateSet(t, tt.all, tt.conditions...)
			want := found(set.NewEvaluator("syscall").Evaluate(whole))
			e := set.NewEvaluator("syscall")
			early, later := late(whole)
			s := e.Suspend(early)
			clear(early) // nothing of the event may be used any more
			got := resumed(s, later)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-at once +later:\n%s", diff)
			}
			names := ""
			for _, line := range got {
				names += line[:2]
			}
			if names != tt.want {
				t.Errorf("%q matched, want %q", names, tt.want)
			}
		})
	}
}

// Any rules over any event give the same alerts, whether late fields were known at once or
// come later, as some value or as null.
func TestSuspendingChangesNothingButTheTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	leaves := []string{
		"proc.name=bash", "proc.name=vi", "user.uid=1000", "user.uid=0", "k8s.ns.name=prod", "k8s.ns.name!=prod", "k8s.ns.name exists",
		"container.image.repository in (shop, bank)", "container.image.repository startswith sh", "proc.name=val(k8s.ns.name)",
		"toupper(k8s.ns.name)=PROD", "fd.directory startswith /etc",
	}
	var condition func(depth int) string
	condition = func(depth int) string {
		if depth == 0 || rng.IntN(4) == 0 {
			return leaves[rng.IntN(len(leaves))]
		}
		op := []string{" and ", " or "}[rng.IntN(2)]
		text := "(" + condition(depth-1) + op + condition(depth-1) + ")"
		if rng.IntN(3) == 0 {
			text = "not " + text
		}
		return text
	}
	pick := func(values ...fields.Value) fields.Value { return values[rng.IntN(len(values))] }
	suspended := 0
	for range 300 {
		var conditions []string
		for range 1 + rng.IntN(4) {
			conditions = append(conditions, "evt.type=openat and "+condition(3))
		}
		set := lateSet(t, rng.IntN(2) == 0, conditions...)
		now, e := set.NewEvaluator("syscall"), set.NewEvaluator("syscall")
		for range 10 {
			ev := shell()
			ev["proc.name"] = pick(fields.Text("bash"), fields.Text("vi"), fields.Text("prod"))
			ev["user.uid"] = pick(fields.Unsigned(0), fields.Unsigned(1000))
			ev[lateField] = pick(fields.Text("prod"), fields.Text("test"), fields.Value{})
			ev[otherLateField] = pick(fields.Text("shop"), fields.Text(""), fields.Value{})
			want := found(now.Evaluate(ev))
			early, later := late(ev)
			s := e.Suspend(early)
			clear(early)
			if s != nil {
				suspended++
			}
			if diff := cmp.Diff(want, resumed(s, later)); diff != "" {
				t.Fatalf("%q over %v: -at once +later:\n%s", conditions, ev, diff)
			}
		}
		if a, b := now.Counts(), e.Counts(); !slices.EqualFunc(a, b, func(a, b rules.Count) bool { return a.Matched == b.Matched }) {
			t.Fatalf("%q: the counts of matches are %v, later %v", conditions, a, b)
		}
	}
	if suspended < 500 {
		t.Errorf("only %d events were put aside", suspended)
	}
}
