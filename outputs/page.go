package outputs

import (
	"fmt"
	"slices"
	"strings"
)

// Sections are the headings of a Kind's Page, in their order: what the receiver gets to see,
// how to get address and credential and what they must be allowed to do, an example (the
// first block of YAML, which holds the output's section and nothing else), and what to do
// about the errors that users meet.
var Sections = []string{"What arrives", "Set up", "Example", "Troubleshooting"}

const (
	// DifferencesHeading is the heading of a Page's last section, of outputs that
	// Falcosidekick has and that differ: one table, which begins with DifferencesHead.
	DifferencesHeading = "Differences from Falcosidekick"
	DifferencesHead    = "| Falcosidekick | Saker | why |\n|---|---|---|\n"
)

// PageParts are the sections of a Kind's Page.
type PageParts struct {
	Arrives, SetUp, Example, Troubleshooting string
	// Differences are the rows of the table of differences.
	Differences []string
}

// ReadPage splits a Kind's Page into its sections. Its error says what the page lacks.
func ReadPage(text string) (PageParts, error) {
	var headings, texts []string
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		heading, is := strings.CutPrefix(line, "## ")
		switch {
		case is && !fenced:
			headings, texts = append(headings, strings.TrimSpace(heading)), append(texts, "")
		case len(texts) > 0:
			texts[len(texts)-1] += line
		case strings.TrimSpace(line) != "":
			return PageParts{}, fmt.Errorf("the page begins with %q in place of a section", strings.TrimSpace(line))
		}
	}
	wanted := Sections
	if len(headings) > len(wanted) {
		wanted = append(slices.Clone(wanted), DifferencesHeading)
	}
	if !slices.Equal(headings, wanted) {
		return PageParts{}, fmt.Errorf("the page has the sections %q, want %q", headings, wanted)
	}
	for i, t := range texts {
		if strings.TrimSpace(t) == "" {
			return PageParts{}, fmt.Errorf("section %q of the page is empty", headings[i])
		}
	}
	p := PageParts{Arrives: texts[0], SetUp: texts[1], Example: texts[2], Troubleshooting: texts[3]}
	if len(texts) > len(Sections) {
		table := strings.TrimSpace(texts[len(Sections)])
		rows, ok := strings.CutPrefix(table, DifferencesHead)
		if !ok {
			return PageParts{}, fmt.Errorf("section %q of the page must be a table that begins with %q", DifferencesHeading, DifferencesHead)
		}
		p.Differences = strings.Split(rows, "\n")
	}
	return p, nil
}
