package sensor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules"
)

// maxRulesFile is the most that is read of one rules file, in bytes.
const maxRulesFile = 16 << 20

// Registries are the fields of each event source, for checking and describing rules.
func Registries() map[string]*fields.Registry {
	return map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(nil)}
}

// ReadRules reads rules files, and those with the ending .yaml or .yml in folders, sorted
// by name. No path at all stands for the rules that ship.
func ReadRules(paths []string) ([]rules.File, error) {
	if len(paths) == 0 {
		return []rules.File{{Name: defaultrules.Name, Content: defaultrules.YAML}}, nil
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
