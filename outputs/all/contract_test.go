package all_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
)

// contracts are the ways in which an output's tests hold it to the contract of all: the
// HTTP one, that of other connections, and what takes its place where there is neither. Each
// covers golden files, what every answer or fault means, contexts that end, wrong
// configuration and secrets.
var contracts = regexp.MustCompile(`outputstest\.(HTTP|Wire)\{`)

// ownContracts are the outputs that neither contract fits, with the tests that have its
// points in its place.
var ownContracts = map[string][]string{
	"gcpcloudfunctions": {
		"TestCallsMatchTheGoldenFile", "TestEachCodeHasItsOutcome", "TestACancelledContextCallsNothing",
		"TestAFunctionThatHangsIsLeftWhenTheContextEnds", "TestARefusedConnectionIsTriedAgainLater", "TestWrongConfigurationIsRefused", "TestTheKeyShowsNowhere",
	},
	"stdout": {"TestLinesMatchTheGoldenFiles", "TestConfiguration", "TestAReaderThatDoesNotReadHoldsUpNobodyForLongerThanTheirContext"},
	"file":   {"TestLinesMatchTheGoldenFile", "TestWrongConfigurationIsRefused", "TestACancelledContextWritesNothing", "TestAPathThatIsWrongHoldsEvents"},
	"exec":   {"TestTheProgramReadsTheEvent", "TestWrongConfigurationIsRefused", "TestACancelledContextRunsNothing", "TestTheExitStatusDecides"},
}

func tests(t *testing.T, kind string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", kind, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestEveryOutputIsHeldToTheContract(t *testing.T) {
	for _, k := range outputs.Kinds() {
		text := tests(t, k.Name)
		own, exempt := ownContracts[k.Name]
		if exempt == contracts.MatchString(text) {
			t.Errorf("%s: its tests run one of outputstest's contracts: %t", k.Name, !exempt)
		}
		for _, name := range own {
			if !strings.Contains(text, "func "+name+"(") {
				t.Errorf("%s: lacks the test %s", k.Name, name)
			}
		}
		golden, err := filepath.Glob(filepath.Join("..", k.Name, "testdata", "*.golden"))
		if err != nil || len(golden) == 0 {
			t.Errorf("%s: has no golden file (%v)", k.Name, err)
		}
	}
}

func TestEveryOutputHasAPageWithItsExample(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for _, k := range outputs.Kinds() {
		p, err := outputs.ReadPage(k.Page)
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		m := block.FindStringSubmatch(p.Example)
		if m == nil {
			t.Errorf("%s: its example has no YAML", k.Name)
			continue
		}
		// That it loads is a test of the documentation.
		for key := range strings.SplitSeq(k.Key, ".") {
			if !strings.Contains(m[1], key+":") {
				t.Errorf("%s: its example does not set %s", k.Name, k.Key)
			}
		}
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: its doc is no sentence", k.Name)
		}
	}
}

// What is off without being asked for must have a key that asks for it.
func TestEveryOutputIsOffUntilARequiredKeyIsSet(t *testing.T) {
	for _, k := range outputs.Kinds() {
		fields, err := config.Fields(k.NewConfig())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(fields, func(f config.Field) bool { return f.Required && f.Default == "" }) {
			t.Errorf("%s: no key is required, so that it is always on", k.Name)
		}
	}
}
