// Package saker_test holds the tests of the house itself: which room may know of which,
// and what every room must have.
package saker_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/saker-security/saker/"

type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string
	Deps            []string
	Standard        bool
}

// room returns the path below the module, "" for a package that is not ours.
func (p pkg) room() string { return room(p.ImportPath) }

func room(path string) string {
	r, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	return r
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,Imports,Deps,Standard"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// below reports whether path is the folder or lies in it; "outputs/" means strictly below.
func below(path, folder string) bool {
	if strings.HasSuffix(folder, "/") {
		return strings.HasPrefix(path, folder)
	}
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// rules says for each room which of our rooms it may import. The first rule that fits a
// package counts.
var rules = []struct {
	room   string
	may    []string
	reason string
}{
	{"event", nil, "the event is the contract between all parts and knows none of them"},
	{"config", nil, "configuration is read for the parts; it does not know what they are"},
	{"outputs/all", []string{"outputs/"}, "outputs/all is the list of the outputs and nothing else"},
	{"outputs/internal", []string{"event", "config", "outputs", "outputs/internal"}, "what outputs share knows the contract, not the outputs"},
	{"outputs/", []string{"event", "config", "outputs/internal", "=outputs"}, "an output knows the contract, and neither the forwarder nor another output"},
	{"outputs", []string{"event", "config"}, "the outputs' contract stands on the event alone"},
	{"sensor/probe", nil, "the probe is the first in the flow"},
	{"sensor/container/runtimes", []string{"sensor/container"}, "the runtimes are asked through one watcher"},
	{"sensor/container/", []string{"=sensor/container", "sensor/container/unixhttp", "sensor/container/unixgrpc"}, "a runtime's client knows what is asked of it, and no other runtime"},
	{"sensor/container", nil, "container ids are read from text"},
	{"sensor/process", []string{"sensor/probe", "sensor/container"}, "processes are made of what the probe reports"},
	{"sensor/fields/syscalls", []string{"sensor/fields", "sensor/probe", "sensor/process", "sensor/container"}, "fields read facts; they know no rules"},
	{"sensor/fields", []string{"event"}, "the field contract stands below rules and sources"},
	{"sensor/rules/filter", nil, "the condition language is text and trees"},
	{"sensor/rules/match", nil, "matching knows strings and sets"},
	{"sensor/rules/program", []string{"event", "=sensor/fields", "sensor/rules/filter", "sensor/rules/match"}, "a compiled condition knows fields, not rules"},
	{"sensor/rules", []string{"event", "=sensor/fields", "sensor/rules/"}, "the rules language knows fields, not where they come from"},
	{"sensor/interest", []string{"=sensor/fields", "=sensor/fields/syscalls", "=sensor/probe", "=sensor/process", "sensor/rules"}, "what the kernel is asked for follows from the rules and from what fields are made of"},
	{"sensor/audit/document", nil, "documents are text"},
	{"sensor/audit", []string{"event", "config", "=sensor/fields", "sensor/rules", "sensor/audit/"}, "audit events come from an API server: the kernel has no part in them"},
	{"sensor/capture", []string{"sensor/container", "sensor/fields/syscalls", "sensor/probe", "sensor/process"}, "a capture holds what the probe saw and what was known, no rules"},
	{"sensor/ruletest", []string{"event", "sensor/"}, "tests of rules put events before rules"},
	{"sensor/explain", []string{"sensor/rules"}, "explaining looks at rules from outside"},
	{"sensor/throttle", []string{"event", "config", "sensor/rules/match"}, "the limits of rules know alerts, not what caused them"},
	{"sensor/status", []string{"event", "config"}, "health and figures are shown without knowing whose they are"},
	{"sensor/defaultrules", nil, "the shipped rules are data"},
	{"sensor/report", []string{"event", "config"}, "reporting sees alerts only"},
	{"sensor", []string{"event", "config", "sensor/"}, "the sensor knows no outputs and no forwarder"},
	{"ui", nil, "the pages are data"},
	{"forwarder/ingest/adapter", []string{"event", "config", "forwarder/ingest/adapter"}, "an adapter turns bytes into events and knows nothing of what comes after"},
	{"forwarder/ingest", []string{"event", "config", "forwarder/ingest/", "forwarder/auth", "forwarder/route"}, "ingest comes before the journal and declares what it needs of it"},
	{"forwarder/route", []string{"event"}, "a route is a decision about an event"},
	{"forwarder/journal", []string{"event", "config", "forwarder/journal", "forwarder/route"}, "the journal knows neither who appends nor who reads"},
	{"forwarder/silence", []string{"event", "=forwarder/journal"}, "silences are kept in the journal, whichever it is"},
	{"forwarder/group", []string{"event", "config", "=forwarder/journal", "forwarder/route"}, "grouping stands between route and deliver"},
	{"forwarder/deliver", []string{"event", "config", "=outputs", "=forwarder/journal", "forwarder/route", "forwarder/group"}, "deliver knows the contracts on both sides, no journal and no output"},
	{"forwarder/auth", []string{"config"}, "credentials are checked without knowing for whom"},
	{"forwarder/listen", nil, "a listener serves any handler"},
	{"forwarder/logs", nil, "log lines are text"},
	{"forwarder/", []string{"event", "config", "=outputs", "forwarder/", "ui"}, "the forwarder knows the outputs' contract, no output and no sensor"},
	{"forwarder", []string{"event", "config", "=outputs", "forwarder/", "ui"}, "the forwarder knows the outputs' contract, no output and no sensor"},
	{"cmd/saker-sensor", []string{"event", "config", "sensor", "cmd/internal"}, "a DaemonSet is paid for on every node: no forwarder in it"},
	{"cmd", []string{"event", "config", "sensor", "forwarder", "outputs", "cmd/internal"}, "commands wire the parts"},
	{"e2e", []string{"event"}, "whole-product tests use the product from outside"},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		from := p.room()
		if from == "" {
			continue // the root, which holds this test only
		}
		i := slices.IndexFunc(rules, func(r struct {
			room   string
			may    []string
			reason string
		},
		) bool {
			return below(from, r.room)
		})
		if i < 0 {
			t.Errorf("%s stands in no room of the house: add it to the map in CONTRIBUTING.md and to this test", from)
			continue
		}
		rule := rules[i]
		for _, imp := range p.Imports {
			to := room(imp)
			if to == "" || to == from {
				continue
			}
			// A room's own sub-rooms are its own business where no narrower rule stands.
			allowed := slices.ContainsFunc(rule.may, func(m string) bool {
				if exact, ok := strings.CutPrefix(m, "="); ok {
					return to == exact
				}
				return below(to, m)
			})
			if !allowed {
				t.Errorf("%s imports %s: %s", from, to, rule.reason)
			}
		}
	}
}

// What makes the sensor large does not belong on every node.
func TestTheSensorStaysSmall(t *testing.T) {
	for _, p := range list(t, "./cmd/saker-sensor") {
		for _, dep := range p.Deps {
			for _, heavy := range []string{
				"github.com/nats-io/", "github.com/google/cel-go", "cel.dev/", "github.com/aws/",
				"cloud.google.com/", "google.golang.org/api", "github.com/elastic/", "k8s.io/client-go",
				module + "outputs", module + "forwarder",
			} {
				if strings.HasPrefix(dep, heavy) {
					t.Errorf("saker-sensor depends on %s", dep)
				}
			}
		}
	}
}

func TestEveryPackageIsDocumentedOnce(t *testing.T) {
	for _, p := range list(t, "./...") {
		var documented []string
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && !strings.HasPrefix(file.Doc.Text(), "Code generated") {
				documented = append(documented, f)
			}
		}
		if len(p.GoFiles) > 0 && len(documented) != 1 {
			t.Errorf("%s has its package comment in %d files %v, want one", p.ImportPath, len(documented), documented)
		}
	}
}

// Adding an output is one folder and one import line; forgetting the line is found here.
func TestEveryOutputIsInTheList(t *testing.T) {
	imported := list(t, "./outputs/all")[0].Imports
	entries, err := os.ReadDir("outputs")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "all" || e.Name() == "internal" {
			continue
		}
		if !slices.Contains(imported, module+"outputs/"+e.Name()) {
			t.Errorf("outputs/all does not import outputs/%s", e.Name())
		}
	}
}

// A file is one subject. What is longer than this is two.
func TestFilesStayReadable(t *testing.T) {
	const most, mostOfTest = 600, 800
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		limit := most
		if strings.HasSuffix(path, "_test.go") {
			limit = mostOfTest
		}
		if n := strings.Count(string(text), "\n"); n > limit && !strings.HasPrefix(string(text), "// Code generated") {
			t.Errorf("%s has %d lines, the limit is %d", path, n, limit)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
