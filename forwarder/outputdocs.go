package forwarder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
)

// outputPages is the folder of the outputs' pages, below that of the documentation.
const outputPages = "outputs"

// shownPayload is the longest payload that a page shows, in bytes.
const shownPayload = 6 << 10

// writeOutputPages writes a page for every kind of output into dir, and an index of them.
// The payload that a page shows is the one that the output's test pins, below folder.
func writeOutputPages(dir, folder string) error {
	if err := os.RemoveAll(dir); err != nil { // pages of outputs that are gone
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var index strings.Builder
	index.WriteString("<!-- " + config.Generated + " -->\n\n# All outputs\n\n| Output | Section | What it does |\n|---|---|---|\n")
	kinds := slices.SortedFunc(slices.Values(outputs.Kinds()), byTitle)
	for _, k := range kinds {
		text, err := outputPage(k, folder)
		if err != nil {
			return fmt.Errorf("output %q: %w", k.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, k.Name+".md"), []byte(text), 0o644); err != nil {
			return err
		}
		index.WriteString(fmt.Sprintf("| [%s](%s.md) | `%s` | %s |\n", k.Title, k.Name, k.Key, k.Doc))
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(index.String()), 0o644)
}

func byTitle(a, b outputs.Registration) int {
	return strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title))
}

// outputPage is the page of one kind.
func outputPage(k outputs.Registration, folder string) (string, error) {
	parts, err := outputs.ReadPage(k.Page)
	if err != nil {
		return "", err
	}
	keys, err := config.KeyTable(config.DocSection{Path: k.Key, Structs: []any{k.NewConfig()}})
	if err != nil {
		return "", err
	}
	payload, err := pinnedPayload(filepath.Join(folder, k.Name, "testdata"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- %s -->\n\n# %s\n\n%s\n\n%s", config.Generated, k.Title, k.Doc, traits(k))
	section := func(title, text string) { fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, strings.TrimSpace(text)) }
	section("What arrives", parts.Arrives+"\n\n"+payload)
	section("Set up", parts.SetUp)
	section("Example", parts.Example)
	section("Keys", keys+"\nBeside these the section has the [keys that all outputs have](../reference/configuration.md#keys-of-all-outputs).")
	section("Troubleshooting", parts.Troubleshooting)
	if len(parts.Differences) > 0 {
		section(outputs.DifferencesHeading, outputs.DifferencesHead+strings.Join(parts.Differences, "\n"))
	}
	return b.String(), nil
}

// traits is the table of what deliver knows of a kind.
func traits(k outputs.Registration) string {
	batch, order, silences := "one", "several requests may be under way at once", "hold events back"
	if k.Batch > 1 {
		batch = fmt.Sprintf("up to %d", k.Batch)
	}
	if k.Serial {
		order = "one request at a time"
	}
	if k.Archive {
		silences = "do not hold events back: it keeps a record"
	}
	return fmt.Sprintf("| | |\n|---|---|\n| section | `%s` |\n| type of a named instance | `%s` |\n| events in one request | %s |\n| concurrency | %s |\n| silences | %s |\n",
		k.Key, k.Name, batch, order, silences)
}

// pinnedPayload is what the golden file of an output's test has for the event that is as
// usual, as a block of Markdown.
func pinnedPayload(testdata string) (string, error) {
	for _, name := range []string{"requests.golden", "messages.golden", "payload.golden"} {
		text, err := os.ReadFile(filepath.Join(testdata, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, rest, found := strings.Cut(string(text), "-- plain --\n")
		if !found {
			return "", fmt.Errorf("%s has no part \"plain\"", name)
		}
		payload, _, _ := strings.Cut(rest, "\n-- ")
		if len(payload) > shownPayload {
			payload = strings.ToValidUTF8(payload[:shownPayload], "") + "\n[…]"
		}
		return "For one event, on the wire:\n\n````\n" + strings.TrimRight(payload, "\n") + "\n````", nil
	}
	return "", errors.New("its testdata has no requests.golden, messages.golden or payload.golden")
}

// outputDifferences are the rows about outputs of the page on differences from
// Falcosidekick, which collects what each output's page says.
func outputDifferences() (string, error) {
	var b strings.Builder
	b.WriteString("| output | Falcosidekick | Saker | why |\n|---|---|---|---|\n")
	for _, k := range slices.SortedFunc(slices.Values(outputs.Kinds()), byTitle) {
		parts, err := outputs.ReadPage(k.Page)
		if err != nil {
			return "", fmt.Errorf("output %q: %w", k.Name, err)
		}
		for _, row := range parts.Differences {
			fmt.Fprintf(&b, "| [%s](%s/%s.md) %s\n", k.Title, outputPages, k.Name, row)
		}
	}
	return b.String(), nil
}

// differencesPart is where a page takes the rows about outputs: they follow the marker.
const differencesPart = "<!-- What follows is generated from the outputs' pages by `make gen`. -->\n"

// writeDifferences renews the end of the page on differences from Falcosidekick.
func writeDifferences(page string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, _, found := strings.Cut(string(text), differencesPart)
	if !found {
		return fmt.Errorf("%s lacks the line %q", page, strings.TrimSpace(differencesPart))
	}
	rows, err := outputDifferences()
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(before+differencesPart+"\n"+rows), 0o644)
}
