package rules_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/saker-security/saker/sensor/rules"
)

var update = flag.Bool("update", false, "write the golden files")

// TestLoading loads the files of each archive in testdata/load, in their order, and compares
// the report and the resulting rules with the archive's file "want".
func TestLoading(t *testing.T) {
	archives, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var files []rules.File
			var want string
			for _, f := range a.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				files = append(files, rules.File{Name: f.Name, Content: f.Data})
			}
			rs, report, _ := rules.Load(files, testSources(), rules.Options{})
			got := report.Text() + describe(rs)
			if *update {
				a.Files = append(a.Files[:len(files)], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// describe prints what became of the rules.
func describe(rs *rules.Ruleset) string {
	if rs == nil {
		return ""
	}
	var b strings.Builder
	for _, r := range rs.Rules() {
		fmt.Fprintf(&b, "\n%s [%s, %s, enabled %v]\n", r.Name, r.Source, r.Priority, r.Enabled)
		fmt.Fprintf(&b, "  desc      %s\n  condition %s\n  output    %s\n", r.Desc, r.Expanded, r.Output)
		fmt.Fprintf(&b, "  fields    %s; %s\n", strings.Join(r.ConditionFields, " "), strings.Join(r.Fields, " "))
		if len(r.Macros) > 0 {
			fmt.Fprintf(&b, "  macros    %s\n", strings.Join(r.Macros, " "))
		}
		if len(r.Tags) > 0 {
			fmt.Fprintf(&b, "  tags      %s\n", strings.Join(r.Tags, " "))
		}
		if r.EventTypes != nil {
			types := strings.Join(r.EventTypes, " ")
			if len(r.EventTypes) == len(testTypes) {
				types = "all"
			}
			fmt.Fprintf(&b, "  types     %s\n", cmp.Or(types, "none"))
		}
	}
	return b.String()
}

// golden compares got with a file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}
