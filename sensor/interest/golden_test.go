package interest_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/rules"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// load compiles rules files for kernel events.
func load(t testing.TB, files ...rules.File) *rules.Ruleset {
	t.Helper()
	sources := map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(nil)}
	rs, result, err := rules.Load(files, sources, rules.Options{})
	if err != nil {
		t.Fatalf("%v\n%v", err, result)
	}
	return rs
}

// upstreamFiles reads rules files of the engine's makers.
func upstreamFiles(t testing.TB, names ...string) []rules.File {
	t.Helper()
	dir := os.Getenv("SAKER_UPSTREAM_RULES")
	if dir == "" {
		t.Skip("SAKER_UPSTREAM_RULES does not name the folder of upstream's rules files")
	}
	var files []rules.File
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, rules.File{Name: name, Content: content})
	}
	return files
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
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
	if got != string(want) {
		t.Errorf("%s differs (run with -update to write it):\n%s", path, got)
	}
}

func TestWhatUpstreamsRulesNeedOfTheKernel(t *testing.T) {
	stable := "falco_rules.yaml"
	for _, tt := range []struct {
		golden string
		files  []string
	}{
		{"stable.golden", []string{stable}},
		{"all.golden", []string{stable, "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"}},
	} {
		golden(t, tt.golden, interest.Text(interest.From(load(t, upstreamFiles(t, tt.files...)...))))
	}
}

func TestWhatOurRulesNeedOfTheKernel(t *testing.T) {
	rs := load(t, rules.File{Name: defaultrules.Name, Content: defaultrules.YAML})
	golden(t, "default.golden", interest.Text(interest.From(rs)))
}
