package sensing

import (
	"errors"
	"fmt"
	"os"

	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/ruletest"
)

// ErrTestsFailed is returned when tests of rules fail; which ones has been printed.
var ErrTestsFailed = errors.New("the tests of the rules fail")

// Test is the command that runs the tests of rules.
type Test struct {
	Files   []string `arg:"" help:"Test files, and folders of them."`
	Rules   []string `short:"r" placeholder:"FILE" sep:"none" help:"Rules file or folder, instead of those that the test files name. Repeat for more."`
	JSON    bool     `help:"Print JSON."`
	Verbose bool     `help:"Print the tests that pass, too."`
	JUnit   string   `name:"junit" placeholder:"FILE" help:"Also write the results in JUnit's XML form."`
}

// Run runs the tests and prints those that fail.
func (t *Test) Run() error {
	files, err := ruletest.Find(t.Files)
	if err != nil {
		return err
	}
	var (
		summary ruletest.Summary
		results []ruletest.Result
	)
	ruletest.Run(files, TestOptions(t.Rules), func(r ruletest.Result) {
		summary.Add(r)
		results = append(results, r)
		if !t.JSON && (t.Verbose || r.Status == ruletest.Failed || r.Status == ruletest.Broken) {
			fmt.Println(r)
		}
	})
	if t.JUnit != "" {
		if err := t.writeJUnit(results); err != nil {
			return err
		}
	}
	if t.JSON {
		err = printJSON(os.Stdout, struct {
			ruletest.Summary
			Tests []ruletest.Result `json:"tests"`
		}{summary, results})
	} else {
		_, err = fmt.Println(summary)
	}
	if err == nil && !summary.OK() {
		err = ErrTestsFailed
	}
	return err
}

func (t *Test) writeJUnit(results []ruletest.Result) error {
	f, err := os.Create(t.JUnit)
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	if err := errors.Join(ruletest.WriteJUnit(f, results), f.Close()); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// TestOptions are those of tests of rules, with the given rules files instead of the test
// files' own, if there are any.
func TestOptions(rules []string) ruletest.Options {
	return ruletest.Options{
		Registries: sensor.Registries(), ReadRules: sensor.ReadRules, Rules: rules, Audit: audit.ReadEvents,
	}
}
