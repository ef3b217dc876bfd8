package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/saker-security/saker/cmd/internal/sensing"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/ruletest"
)

// root is the repository's.
const root = "../.."

// block is a fenced block of a page.
type block struct {
	page, language, text string
	line                 int
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// pages are the documents that people wrote, as a whole or in the outputs' folders,
// relative to root.
func pages(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md"}
	for _, folder := range []string{"docs", "docs/outputs"} {
		found, err := filepath.Glob(filepath.Join(root, folder, "*.md"))
		if err != nil || len(found) == 0 {
			t.Fatalf("there are no pages in %s: %v", folder, err)
		}
		for _, f := range found {
			names = append(names, filepath.Join(folder, filepath.Base(f)))
		}
	}
	return names
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// blocks returns the fenced blocks of a language in all pages.
func blocks(t *testing.T, language string) []block {
	t.Helper()
	var all []block
	for _, page := range pages(t) {
		var open *block
		for i, line := range strings.Split(string(read(t, filepath.Join(root, page))), "\n") {
			fence, isFence := strings.CutPrefix(line, "```")
			switch {
			case isFence && open == nil:
				open = &block{page: page, language: fence, line: i + 1}
			case isFence:
				if open.language == language {
					all = append(all, *open)
				}
				open = nil
			case open != nil:
				open.text += line + "\n"
			}
		}
		if open != nil {
			t.Errorf("%v: the block does not end", open)
		}
	}
	return all
}

// A command in the documentation that the program does not know is worse than none.
func TestCommandsInTheDocumentationParse(t *testing.T) {
	makefile := string(read(t, filepath.Join(root, "Makefile")))
	looked := map[string]int{}
	for _, b := range blocks(t, "sh") {
		for line := range strings.SplitSeq(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
			words, err := shellWords(line)
			if err != nil {
				t.Errorf("%v: %q: %v", b, line, err)
				continue
			}
			if len(words) == 0 {
				continue
			}
			looked[words[0]]++
			switch words[0] {
			case "saker":
				err = parses(parser(), words[1:])
			case "saker-sensor":
				err = parses(new(sensing.Program).Parser(), words[1:])
			case "make":
				for _, target := range words[1:] {
					if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).MatchString(makefile) {
						err = fmt.Errorf("the Makefile has no target %q", target)
					}
				}
			}
			if err != nil {
				t.Errorf("%v: %q: %v", b, line, err)
			}
		}
	}
	if looked["saker"] == 0 || looked["saker-sensor"] == 0 || looked["make"] == 0 {
		t.Errorf("commands looked at: %v", looked)
	}
}

// parses reports whether a command line is right, and does nothing else.
func parses(k *kong.Kong, args []string) error {
	k.Stdout, k.Exit = io.Discard, func(int) {}
	_, err := k.Parse(args)
	return err
}

// variable is the assignment of a variable in front of a command.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// shellWords returns the words of the first command of a line, without sudo and variables
// in front of it. It knows quotes, comments and where a command ends.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
scan:
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case c == ' ' || c == '\t':
			end()
		case c == '#' && !started, strings.ContainsRune("|&;<>", c):
			break scan
		default:
			word.WriteRune(c)
			started = true
		}
	}
	end()
	if quote != 0 {
		return nil, errors.New("a quote does not end")
	}
	for len(words) > 0 && (words[0] == "sudo" || variable.MatchString(words[0])) {
		words = words[1:]
	}
	return words, nil
}

var (
	ruleFile   = regexp.MustCompile(`(?m)^- (rule|macro|list|required_engine_version):`)
	testFile   = regexp.MustCompile(`(?m)^tests:`)
	sensorFile = regexp.MustCompile(`(?m)^(http_output|rules_files|rules|rule_matching|append_output|engine|file_output|syslog_output|spool|webserver|metrics|audit|plugins|load_plugins|container_engines|rule_limit|static_fields|program_output|syscall_event_drops|config_files):`)
)

// A configuration or a rule in the documentation is copied into files; it has to be right,
// and none of its settings without effect.
func TestYAMLInTheDocumentationLoads(t *testing.T) {
	looked := map[string]int{}
	for _, b := range blocks(t, "yaml") {
		var kind string
		var err error
		switch {
		case ruleFile.MatchString(b.text):
			kind, err = "rules", loadRules(b.text)
		case testFile.MatchString(b.text):
			kind, err = "rules test", loadRuleTests(t, b.text)
		case sensorFile.MatchString(b.text):
			kind, err = "sensor", loadSensor(t, b.text)
		default:
			kind, err = "forwarder", loadForwarder(t, b.text)
		}
		looked[kind]++
		if err != nil {
			t.Errorf("%v: as a file for the %s: %v", b, kind, err)
		}
	}
	if len(looked) != 4 {
		t.Errorf("files looked at: %v", looked)
	}
}

// loadRules loads rules after those that ship, which they may override.
func loadRules(text string) error {
	files, err := sensor.ReadRules(nil)
	if err != nil {
		return err
	}
	_, _, err = rules.Load(append(files, rules.File{Name: "block", Content: []byte(text)}), sensor.Registries(), rules.Options{})
	return err
}

func loadRuleTests(t *testing.T, text string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tests.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ruletest.Load(file, sensing.TestOptions(nil))
	return err
}

func loadSensor(t *testing.T, text string) error {
	t.Helper()
	_, loaded, err := sensor.LoadConfig(source(t, text))
	if err == nil && len(loaded.Warnings) > 0 {
		err = loaded.Warnings
	}
	return err
}

func loadForwarder(t *testing.T, text string) error {
	t.Helper()
	var first error
	for _, secret := range secrets {
		var sensing sensor.Config
		loaded, err := forwarder.LoadConfig(sourceWith(t, text, secret), config.Section{Path: sensorPath, Into: []any{&sensing}})
		if err == nil && len(loaded.Source.Warnings) > 0 {
			err = loaded.Source.Warnings
		}
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

var (
	secretFile = regexp.MustCompile(`(?m)(_file: *)\S+`)
	expanded   = regexp.MustCompile(`\$\{(\w+)`)
)

// secrets are what a secret may look like: an address, a word, an address with a key in it,
// a key of Google Cloud.
var secrets = []string{
	"http://example.test/", "s3cret", "https://key@example.test/1",
	base64.StdEncoding.EncodeToString([]byte(`{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c"}`)),
}

// source is a block as a file, on a machine that has the secrets it names.
func source(t *testing.T, text string) config.Source {
	t.Helper()
	return sourceWith(t, text, secrets[0])
}

func sourceWith(t *testing.T, text, secret string) config.Source {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for _, m := range expanded.FindAllStringSubmatch(text, -1) {
		environ = append(environ, m[1]+"="+secret)
	}
	return config.Source{File: "block", Text: []byte(secretFile.ReplaceAllString(text, "${1}"+file)), Environ: environ}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
)

func TestLinksInTheDocumentationLeadSomewhere(t *testing.T) {
	reference, err := filepath.Glob(filepath.Join(root, "docs", "reference", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := pages(t)
	for _, r := range reference {
		all = append(all, filepath.Join("docs", "reference", filepath.Base(r)))
	}
	count := 0
	for _, page := range all {
		text := fenced.ReplaceAllString(string(read(t, filepath.Join(root, page))), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			count++
			target := filepath.Join(root, page)
			if m[1] != "" {
				target = filepath.Join(root, filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %q leads nowhere", page, m[0])
				continue
			}
			if m[2] != "" && !anchors(t, target)[m[2]] {
				t.Errorf("%s: the link %q leads to no heading", page, m[0])
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d links were looked at", count)
	}
}

// anchors returns the names of a page's headings as links have them.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(string(read(t, page)), ""), -1) {
		names["#"+strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return names
}
