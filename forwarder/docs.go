package forwarder

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/metrics"
)

// documents are the generated files and what writes them.
var documents = []struct {
	name  string
	write func(io.Writer, []config.DocSection) error
}{
	{"configuration.md", config.WriteReference},
	{"environment.md", config.WriteEnvironment},
	{"saker.example.yaml", config.WriteExample},
	{"saker.schema.json", config.WriteSchema},
	{"metrics.md", func(w io.Writer, _ []config.DocSection) error { return metrics.WriteReference(w) }},
}

// WriteDocs writes the documents that follow from the code into dir: the reference of all
// keys, the table of environment variables, an example file, a JSON schema, and the list of
// the metrics. What is about keys has the kinds of output that the program has imported,
// and the extra sections, which are those of others that share the file.
//
// Dir is the folder of the documentation, whose page on differences from Falcosidekick and
// whose folder of the outputs' pages are renewed too; outputFolder is where the outputs'
// source is.
func WriteDocs(dir, outputFolder string, extra ...config.DocSection) error {
	if err := writeReference(filepath.Join(dir, "reference"), extra); err != nil {
		return err
	}
	if err := writeOutputPages(filepath.Join(dir, outputPages), outputFolder); err != nil {
		return fmt.Errorf("write the outputs' pages: %w", err)
	}
	if err := writeDifferences(filepath.Join(dir, "differences-from-falcosidekick.md")); err != nil {
		return fmt.Errorf("write the differences: %w", err)
	}
	return nil
}

func writeReference(dir string, extra []config.DocSection) error {
	sections := append(DocSections(), extra...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write documents: %w", err)
	}
	for _, d := range documents {
		var text bytes.Buffer
		if err := d.write(&text, sections); err != nil {
			return fmt.Errorf("write %s: %w", d.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, d.name), text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write documents: %w", err)
		}
	}
	return nil
}
