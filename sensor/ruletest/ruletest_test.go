package ruletest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/ruletest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// auditEvent is an event of a source other than the kernel's.
type auditEvent map[string]any

func options() ruletest.Options {
	verb := fields.Field{Name: "ka.verb", Type: fields.String, Doc: "Verb.", Extract: func(ev any, _ fields.Arg) fields.Value {
		verb, ok := ev.(auditEvent)["verb"].(string)
		return fields.Value{Valid: ok, Str: verb}
	}}
	return ruletest.Options{
		Registries: map[string]*fields.Registry{
			syscalls.SourceName: syscalls.NewRegistry(nil),
			"k8s_audit":         fields.NewRegistry("k8s_audit", []fields.Field{verb}),
		},
		ReadRules: sensor.ReadRules,
		Audit: func(raw []byte) ([]any, error) {
			var one auditEvent
			if err := json.Unmarshal(raw, &one); err != nil {
				return nil, fmt.Errorf("read audit events: %w", err)
			}
			return []any{one}, nil
		},
	}
}

func run(t *testing.T, o ruletest.Options, paths ...string) (results []ruletest.Result, summary ruletest.Summary) {
	t.Helper()
	files, err := ruletest.Find(paths)
	if err != nil {
		t.Fatal(err)
	}
	ruletest.Run(files, o, func(r ruletest.Result) {
		r.Seconds = 0
		results = append(results, r)
		summary.Add(r)
	})
	return results, summary
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAuthorsSeeWhatIsOtherwiseThanExpected(t *testing.T) {
	results, summary := run(t, options(), "testdata/pass.yaml", "testdata/fail.yaml")
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintln(&b, r)
	}
	fmt.Fprintln(&b, summary)
	golden(t, "results.golden", b.String())
	if summary.OK() {
		t.Error("failed tests are taken for good")
	}

	var xml bytes.Buffer
	if err := ruletest.WriteJUnit(&xml, results); err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.golden", xml.String())
}

func TestAFolderIsSearchedForTests(t *testing.T) {
	files, err := ruletest.Find([]string{"testdata"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(files, []string{"testdata/fail.yaml", "testdata/mistakes.yaml", "testdata/pass.yaml"}) {
		t.Errorf("found %v", files)
	}
	for _, path := range []string{t.TempDir(), "testdata/none.yaml"} {
		if _, err := ruletest.Find([]string{path}); err == nil {
			t.Errorf("nothing is wrong with %s", path)
		}
	}
}

func TestMistakesInATestFileAreAllToldWithTheirPlace(t *testing.T) {
	results, summary := run(t, options(), "testdata/mistakes.yaml")
	if len(results) != 1 || results[0].Status != ruletest.Broken || summary.OK() {
		t.Fatalf("the results are %v", results)
	}
	golden(t, "mistakes.golden", results[0].Message+"\n")
}

func TestRulesOfTheCommandLineTakeThePlaceOfTheFilesOwn(t *testing.T) {
	o := options()
	o.Rules = []string{"testdata/other.yaml"}
	results, _ := run(t, o, "testdata/pass.yaml")
	i := slices.IndexFunc(results, func(r ruletest.Result) bool { return r.Name == "cat reads the shadow file" })
	if i < 0 || results[i].Status != ruletest.Broken || !strings.Contains(results[i].Message, `there is no rule "Read Shadow" (did you mean "Read Shadows"?)`) {
		t.Errorf("the results are %v", results)
	}
}

func TestRulesThatDoNotLoadBreakTheirTestsOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bad.yaml", "- rule: x\n")
	broken := write(t, dir, "broken.yaml", "rules: bad.yaml\ntests:\n  - {name: a, event: {evt.type: open}}\n")
	empty := write(t, dir, "empty.yaml", "")
	results, summary := run(t, options(), broken, empty, "testdata/pass.yaml")
	if results[0].Status != ruletest.Broken || !strings.Contains(results[0].Message, "bad.yaml:1:") {
		t.Errorf("the first result is %v", results[0])
	}
	if results[1].Status != ruletest.Broken || !strings.Contains(results[1].Message, "the file is empty") {
		t.Errorf("the second result is %v", results[1])
	}
	if summary.Passed == 0 {
		t.Errorf("the other file was not run: %v", summary)
	}
}

func write(tb testing.TB, dir, name, text string) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestResultsAsJSONHaveTheAlertsWithTheirFields(t *testing.T) {
	results, _ := run(t, options(), "testdata/pass.yaml")
	raw, err := json.Marshal(results[0])
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`"status":"passed","alerts":\[{"event":1,"rule":"Read Shadow","priority":"Warning","output":"[^"]+","output_fields":{"evt.time":\d+,"fd.name":"/etc/shadow",`)
	if !want.Match(raw) {
		t.Errorf("the result is %s", raw)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"pass.yaml", "fail.yaml", "mistakes.yaml"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	o := options()
	f.Fuzz(func(t *testing.T, content []byte) {
		// Files that the text names are looked for where there are none.
		path := write(t, t.TempDir(), "t.yaml", string(content))
		if file, err := ruletest.Load(path, o); (file == nil) == (err == nil) {
			t.Errorf("neither a file nor an error, or both: %v", err)
		}
	})
}
