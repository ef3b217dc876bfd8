package ruletest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
)

// Summary counts results.
type Summary struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Broken  int `json:"broken"`
	Skipped int `json:"skipped"`
}

// Add counts a result.
func (s *Summary) Add(r Result) {
	switch r.Status {
	case Passed:
		s.Passed++
	case Failed:
		s.Failed++
	case Broken:
		s.Broken++
	default:
		s.Skipped++
	}
}

// OK says that every test that was run has passed.
func (s Summary) OK() bool { return s.Failed == 0 && s.Broken == 0 }

// String returns the counts as a sentence.
func (s Summary) String() string {
	text := fmt.Sprintf("%d passed, %d failed", s.Passed, s.Failed)
	if s.Broken > 0 {
		text += fmt.Sprintf(", %d could not be run", s.Broken)
	}
	if s.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", s.Skipped)
	}
	return text
}

// String returns the result for a person: a line, and below it what is wrong.
func (r Result) String() string {
	place := r.File
	if r.Line > 0 {
		place += ":" + strconv.Itoa(r.Line)
	}
	switch r.Status {
	case Passed:
		return fmt.Sprintf("ok    %s: %s", place, r.Name)
	case Skipped:
		return fmt.Sprintf("skip  %s: %s: %s", place, r.Name, r.Message)
	case Broken:
		if r.Name == "" {
			return "FAIL  " + place + "\n" + indent(r.Message)
		}
	}
	return fmt.Sprintf("FAIL  %s: %s\n%s", place, r.Name, indent(r.Message))
}

// The elements of JUnit's report, as far as continuous integration reads it.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
		seconds  float64
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Classname string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Line      int           `xml:"line,attr,omitempty"`
		Time      string        `xml:"time,attr"`
		Failure   *junitMessage `xml:"failure"`
		Error     *junitMessage `xml:"error"`
		Skipped   *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes results in JUnit's XML form, each file as a suite.
func WriteJUnit(w io.Writer, results []Result) error {
	var all junitSuites
	for _, r := range results {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != r.File {
			all.Suites = append(all.Suites, junitSuite{Name: r.File})
		}
		all.Suites[len(all.Suites)-1].add(r)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(r Result) {
	c := junitCase{Name: r.Name, Classname: r.File, File: r.File, Line: r.Line, Time: seconds(r.Seconds)}
	message := func(summary string) *junitMessage { return &junitMessage{Message: summary, Text: r.Message} }
	switch r.Status {
	case Failed:
		s.Failures++
		c.Failure = message("the alerts are not those expected")
	case Broken:
		s.Errors++
		c.Error = message("the test cannot be run")
	case Skipped:
		s.Skipped++
		c.Skipped = &junitMessage{Message: r.Message}
	}
	if c.Name == "" {
		c.Name = "(file)"
	}
	s.Tests++
	s.seconds += r.Seconds
	s.Time = seconds(s.seconds)
	s.Cases = append(s.Cases, c)
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
