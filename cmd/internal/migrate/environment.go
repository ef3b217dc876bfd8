package migrate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
)

// Environment says what Falcosidekick reads from the environment, and what is different
// about it here. No value of a variable is in it.
func Environment(environ []string, extra ...config.Section) (config.Problems, error) {
	k, err := declared(extra)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	var all config.Problems
	for _, key := range slices.Sorted(maps.Keys(k.theirs)) {
		name := variable(key)
		value, is := env[name]
		if !is {
			continue
		}
		texts := k.differencesOf(key, name, value)
		if len(texts) == 0 {
			texts = []string{"is read as by Falcosidekick"}
		}
		for _, text := range texts {
			all = append(all, config.Problem{Variable: name, Key: key, Message: "sets " + key + ": " + text})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(k.headers)) {
		if !strings.Contains(path, ".") && env[variable(path)] != "" && !k.theirs[path] {
			all = append(all, config.Problem{Variable: variable(path), Key: path, Message: "hides the whole section " + path + " of the file from Falcosidekick; here it is ignored"})
		}
	}
	for _, wrong := range slices.Sorted(maps.Keys(misspelled)) {
		if name := variable(wrong); env[name] != "" {
			all = append(all, config.Problem{Variable: name, Key: wrong, Message: "is read by neither; write " + variable(misspelled[wrong])})
		}
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if strings.HasPrefix(name, variable(wrong)+"_") && !strings.Contains(wrong, ".") && env[name] != "" {
				right := variable(misspelled[wrong]) + strings.TrimPrefix(name, variable(wrong))
				all = append(all, config.Problem{Variable: name, Key: wrong, Message: "is read by neither; write " + right})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b config.Problem) int { return cmp.Compare(a.Variable, b.Variable) })
	return all, nil
}

// differencesOf says what is different about a variable that sets one of Falcosidekick's keys.
func (k *keys) differencesOf(key, name, value string) (texts []string) {
	f, known := k.field(key)
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	switch {
	case value == "" && (key == "customtags" || key == "tlsserver.notlspaths"):
		return []string{"Falcosidekick takes an empty variable for a list with one empty entry; here it is not set"}
	case value == "":
		return nil
	case strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://"):
		return []string{"is the address that Kubernetes sets for a Service of that name. Falcosidekick takes it for the port; here it is ignored"}
	case !known:
		return []string{"has no effect here"}
	case f.Inert != "" && !isDefault(n, f):
		return []string{"has no effect: " + f.Inert}
	}
	if slices.Contains(fileOnly, key) {
		texts = append(texts, "Falcosidekick does not read it, or only where the file has the key; here it has an effect")
	}
	if slices.Contains(ignored, key) && !isDefault(n, f) {
		texts = append(texts, "Falcosidekick makes no use of this key; here it has an effect")
	}
	switch f.Type {
	case "map":
		texts = append(texts, mapDifferences(key, value)...)
	case "list":
		if strings.Contains(value, ", ") && key != "customtags" {
			texts = append(texts, "Falcosidekick keeps the spaces around the items; here they are dropped")
		}
	default:
		for _, d := range differences {
			if text := d.check(n); d.concerns(key) && text != "" {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// mapDifferences looks at the items name:value of a map.
func mapDifferences(key, value string) (texts []string) {
	if strings.HasPrefix(strings.TrimSpace(value), "{") {
		return nil
	}
	cutAtFirst := []string{
		"alertmanager.extralabels", "alertmanager.extraannotations", "alertmanager.customseveritymap",
		"otlp.traces.extraenvvars", "otlp.metrics.extraenvvars",
	}
	var without, several bool
	for item := range strings.SplitSeq(value, ",") {
		colons := strings.Count(item, ":")
		without = without || colons == 0 && strings.TrimSpace(item) != ""
		several = several || colons > 1
	}
	if without {
		texts = append(texts, "Falcosidekick drops an item without a colon, or takes it for an empty value; here it is a mistake")
	}
	if several && !slices.Contains(cutAtFirst, key) {
		texts = append(texts, "Falcosidekick drops an item with more than one colon; here the name ends at the first one")
	}
	return texts
}
