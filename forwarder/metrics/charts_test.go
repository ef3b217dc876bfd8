package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	dashboardFile = "../../charts/saker/dashboards/forwarder.json"
	rulesFile     = "../../charts/saker/rules/forwarder.yaml"
)

// foreign are metrics that Prometheus itself, or the Go client, provides.
var foreign = []string{"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}

// known returns the labels of every series that a scrape has, by name.
func known(t *testing.T) map[string][]string {
	t.Helper()
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	target := []string{"job", "instance"}
	names := map[string][]string{}
	for _, m := range all {
		labels := slices.Concat(m.Labels, target)
		if m.Type != "histogram" {
			names[m.Name] = labels
			continue
		}
		names[m.Name+"_bucket"] = append(labels, "le")
		names[m.Name+"_sum"], names[m.Name+"_count"] = labels, labels
	}
	for _, name := range foreign {
		names[name] = target
	}
	return names
}

var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	duration   = regexp.MustCompile(`\[[^\]]*\]`)
	grouping   = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	selector   = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	word       = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	notMetrics = []string{"and", "or", "unless", "bool"}
)

// check reports what a PromQL expression uses and no scrape has.
func check(t *testing.T, where, expr string, names map[string][]string) {
	t.Helper()
	for _, m := range mistakes(expr, names) {
		t.Errorf("%s: %s: %s", where, expr, m)
	}
}

// mistakes finds the metrics and labels in a PromQL expression that are not among names.
func mistakes(expr string, names map[string][]string) (found []string) {
	mistake := func(text ...string) { found = append(found, strings.Join(text, " ")) }
	plain := duration.ReplaceAllString(quotedText.ReplaceAllString(expr, `""`), "")
	for _, s := range selector.FindAllStringSubmatch(plain, -1) {
		for _, label := range matcher.FindAllStringSubmatch(s[2], -1) {
			if labels, ok := names[s[1]]; ok && !slices.Contains(labels, label[1]) {
				mistake(s[1], "has no label", label[1])
			}
		}
	}
	plain = selector.ReplaceAllString(plain, "$1")
	var used []string
	for _, w := range word.FindAllString(grouping.ReplaceAllString(plain, " "), -1) {
		if strings.HasSuffix(w, "(") || slices.Contains(notMetrics, strings.TrimSpace(w)) {
			continue
		}
		name := strings.TrimSpace(w)
		used = append(used, name)
		if names[name] == nil {
			mistake("there is no metric", name)
		}
	}
	if len(used) == 0 {
		mistake("there is no metric in it")
	}
	for _, g := range grouping.FindAllStringSubmatch(plain, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			label = strings.TrimSpace(label)
			if !slices.ContainsFunc(used, func(name string) bool { return slices.Contains(names[name], label) }) {
				mistake("none of the metrics has the label", label)
			}
		}
	}
	return found
}

func TestTheScannerFindsMistakesInExpressions(t *testing.T) {
	names := map[string][]string{"m_total": {"output"}, "n": {}}
	for expr, good := range map[string]bool{
		`sum by (output) (rate(m_total{output=~"a{b}"}[5m])) > 0`: true,
		`m_total - (n > bool 0) * 3600`:                           true,
		`rate(x_total[5m])`:                                       false,
		`m_total{kind="a"}`:                                       false,
		`sum by (kind) (m_total)`:                                 false,
		`vector(0)`:                                               false,
	} {
		if found := mistakes(expr, names); (len(found) == 0) != good {
			t.Errorf("%s: found %q", expr, found)
		}
	}
}

func TestTheDashboardUsesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	type query struct {
		Expr       string
		Datasource struct{ UID string }
	}
	var d struct {
		Title, UID string
		Panels     []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []query
		}
		Templating struct {
			List []struct {
				Name, Type, Definition string
			}
		}
		Annotations struct{ List []query }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	names := known(t)
	if len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" || d.Templating.List[0].Name != "datasource" {
		t.Error("the data source cannot be chosen")
	}
	variable := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range d.Templating.List[1:] {
		m := variable.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		check(t, "variable "+v.Name, "sum by ("+m[2]+") ("+m[1]+")", names)
	}
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has an id twice", p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q has no description or shows nothing", p.Title)
		}
		for _, q := range p.Targets {
			check(t, "panel "+p.Title, q.Expr, names)
			if q.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q has the data source %q", p.Title, q.Datasource.UID)
			}
		}
	}
	for _, q := range d.Annotations.List {
		check(t, "annotation", q.Expr, names)
	}
}

func TestTheAlertingRulesUseWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/monitor.md")
	if err != nil {
		t.Fatal(err)
	}
	names := known(t)
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			check(t, r.Alert, r.Expr, names)
			if seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s is there twice or lacks a severity, a summary or a description", r.Alert)
			}
			seen[r.Alert] = true
			if !strings.Contains(string(page), "`"+r.Alert+"`") {
				t.Errorf("docs/monitor.md does not explain %s", r.Alert)
			}
		}
	}
	if len(seen) == 0 {
		t.Error("there are no rules")
	}
}

func TestPrometheusAcceptsTheRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal("promtool is missing: install the package prometheus")
		}
		t.Skip("promtool is not installed")
	}
	for _, args := range [][]string{
		{"check", "rules", rulesFile},
		{"test", "rules", "testdata/rules_test.yaml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
