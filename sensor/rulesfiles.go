package sensor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules"
)

// maxRulesFile is the most that is read of one rules file, in bytes.
const maxRulesFile = 16 << 20

// Registries are the fields of each event source, for checking and describing rules.
func Registries() map[string]*fields.Registry { return registries(nil) }

// registries are the fields of each event source; hosts resolves the names that conditions
// hold.
func registries(hosts *syscalls.Hosts) map[string]*fields.Registry {
	return map[string]*fields.Registry{
		syscalls.SourceName: syscalls.NewRegistry(hosts),
		audit.SourceName:    audit.NewRegistry(),
	}
}

// ReadRules reads rules files, and those with the ending .yaml or .yml in folders, sorted
// by name. No path at all stands for the rules that ship.
func ReadRules(paths []string) ([]rules.File, error) {
	if len(paths) == 0 {
		return []rules.File{
			{Name: defaultrules.Name, Content: defaultrules.YAML},
			{Name: defaultrules.AuditName, Content: defaultrules.AuditYAML},
		}, nil
	}
	var files []rules.File
	for _, path := range paths {
		names := []string{path}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		if info.IsDir() {
			if names, err = rulesIn(path); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			content, err := readRulesFile(name)
			if err != nil {
				return nil, err
			}
			files = append(files, rules.File{Name: name, Content: content})
		}
	}
	return files, nil
}

// AuditJudge returns what holds posted Kubernetes audit events against the rules of the
// source k8s_audit in the files.
func AuditJudge(paths []string) (*audit.Judge, error) {
	files, err := ReadRules(paths)
	if err != nil {
		return nil, err
	}
	set, _, err := rules.Load(files, map[string]*fields.Registry{audit.SourceName: audit.NewRegistry()}, rules.Options{})
	if err != nil {
		return nil, fmt.Errorf("load rules:\n%w", err)
	}
	return audit.NewJudge(set, hostname()), nil
}

// rulesPaths are the paths, and what lies in those of them that are folders: what to watch.
func rulesPaths(paths []string) []string {
	var all []string
	for _, path := range paths {
		all = append(all, path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			files, _ := rulesIn(path) // that it cannot be read is found by who reads it
			all = append(all, files...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func rulesIn(folder string) ([]string, error) {
	var names []string
	for _, ending := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(folder, ending))
		if err != nil {
			return nil, fmt.Errorf("read rules in %q: %w", folder, err)
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return names, nil
}

func readRulesFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxRulesFile+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	if len(content) > maxRulesFile {
		return nil, fmt.Errorf("read rules: %q is larger than %d MiB", name, maxRulesFile>>20)
	}
	return content, nil
}
