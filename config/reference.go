package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

const referenceIntro = `# Configuration reference

Values come from, each over the one before: the defaults below, the file given with
` + "`-c`" + ` (YAML or JSON), the environment, and ` + "`--set key=value`" + ` flags. In the file,
` + "`${NAME}`" + ` stands for an environment variable, ` + "`${NAME:-text}`" + ` for one that may be missing,
and ` + "`$${`" + ` for ` + "`${`" + ` itself. A key of type secret has a twin that ends in ` + "`_file`" + ` and names
a file to read the secret from. A section is off until all its required keys are set. An
empty environment variable counts as unset.
`

// WriteReference writes the reference page in Markdown: every key with its type, default,
// environment variable and meaning.
func WriteReference(w io.Writer, sections []DocSection) error {
	all, err := pages(sections)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- %s -->\n\n%s", Generated, referenceIntro)
	if common := commonKeys(all); common != nil {
		b.WriteString("\n## Keys of all outputs\n\nEvery output has these keys beside its own, in its section. The variable is the section's with the key's: `SLACK_MINIMUMPRIORITY`.\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n")
		for _, f := range leavesOf("", common) {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.path, typeCell(f.Field), code(defaultText(f.Field)), cell(f.Doc+" "+remarks(f.Field)))
		}
	}
	for _, p := range all {
		fmt.Fprintf(&b, "\n## %s\n\n", p.Title)
		if p.Doc != "" {
			fmt.Fprintf(&b, "%s\n\n", p.Doc)
		}
		if p.Kind != "" {
			fmt.Fprintf(&b, "Type of a named instance: `%s`.\n\n", p.Kind)
		}
		writeKeys(&b, p.leaves())
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func writeKeys(b *strings.Builder, keys []leaf) {
	b.WriteString("| Key | Type | Default | Environment | Meaning |\n|---|---|---|---|---|\n")
	for _, f := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.path, typeCell(f.Field),
			code(defaultText(f.Field)), cmp.Or(code(variablesOf(f)...), "none"), cell(f.Doc+" "+remarks(f.Field)))
	}
}

// KeyTable returns the Markdown table of a section's keys, and of those that it shares with
// others, as the reference page has it.
func KeyTable(section DocSection) (string, error) {
	all, err := pages([]DocSection{section})
	if err != nil {
		return "", err
	}
	slices.Reverse(all) // the section's own keys first
	var keys []leaf
	for _, p := range all {
		keys = append(keys, p.leaves()...)
	}
	var b strings.Builder
	writeKeys(&b, keys)
	return b.String(), nil
}

// WriteEnvironment writes a Markdown table of all environment variables, by name.
func WriteEnvironment(w io.Writer, sections []DocSection) error {
	all, err := pages(sections)
	if err != nil {
		return err
	}
	type row struct{ name, key, note string }
	var rows []row
	for _, p := range all {
		for _, f := range append(p.leaves(), leavesOf(p.Path, p.common)...) {
			for _, name := range variablesOf(f) {
				rows = append(rows, row{name, f.path, f.Type})
				if f.Type == "secret" {
					rows = append(rows, row{name + "_FILE", f.path + fileSuffix, "path"})
				}
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- %s -->\n\n# Environment variables\n\n", Generated)
	fmt.Fprintf(&b, "A named instance has the variables `%s_NAME_KEY`, for example `%s`.\n\n",
		variable(instancesPath), variable(instancesPath+".platform.webhookurl"))
	b.WriteString("| Variable | Key | Type |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", r.name, r.key, r.note)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// variablesOf returns a leaf's variables; an entry of a list has none.
func variablesOf(f leaf) []string {
	if strings.Contains(f.path, "[]") {
		return nil
	}
	return variables(f.path, f.Field)
}

func typeCell(f Field) string {
	if f.Secret && f.Type != "secret" {
		return f.Type + " of secrets"
	}
	return f.Type
}

// code formats texts as Markdown code, "" for none.
func code(texts ...string) string {
	var cells []string
	for _, text := range texts {
		switch {
		case text == "":
		case strings.Contains(text, "`"):
			cells = append(cells, "`` "+cell(text)+" ``")
		default:
			cells = append(cells, "`"+cell(text)+"`")
		}
	}
	return strings.Join(cells, ", ")
}

var cellReplacer = strings.NewReplacer("|", `\|`, "\r", "", "\n", " ")

// cell makes text fit into one cell of a table.
func cell(text string) string { return cellReplacer.Replace(strings.TrimSpace(text)) }
