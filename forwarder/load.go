package forwarder

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/outputs"
)

// instancesPath is the section of named instances.
const instancesPath = "outputs"

// Loaded is a configuration that has been read and found right.
type Loaded struct {
	Config
	// Outputs are the instances that are on, sorted by name.
	Outputs []Instance
	// Source tells where each setting comes from, and has the warnings.
	Source *config.Loaded
}

// Instance is an output as configured.
type Instance struct {
	// Name is the kind's name for the instance in Falcosidekick's form of the
	// configuration, and the name below "outputs" for the others. It names the cursor in
	// the journal and labels metrics. One of several destinations of a section has its own
	// name, alertmanager@HOST.
	Name string
	// Path is the instance's section.
	Path     string
	Kind     outputs.Registration
	Settings deliver.Settings
	Routing  Routing
	// config is what Kind.NewConfig returned, filled.
	config any
}

// LoadConfig reads the configuration of the forwarder and of every registered kind of
// output. The error is config.Problems, with all mistakes at once, when the configuration
// is wrong. Unless src says otherwise, Falcosidekick's keys are known. Extra sections are
// those of others that share the file.
func LoadConfig(src config.Source, extra ...config.Section) (*Loaded, error) {
	if src.Known == nil {
		src.Known = config.FalcosidekickKeys()
	}
	l := &Loaded{}
	sections := []config.Section{{Path: "", Into: []any{&l.Config}}}
	var plain []*Instance
	for _, kind := range outputs.Kinds() {
		in := newInstance(kind.Name, kind.Key, kind)
		plain = append(plain, in)
		sections = append(sections, config.Section{Path: kind.Key, Into: in.into()})
	}
	named := map[string]*Instance{}
	sections = append(sections, config.Section{Path: instancesPath, Kinds: kindNames(), Each: func(name, kind string) ([]any, error) {
		if _, taken := outputs.Lookup(name); taken {
			return nil, fmt.Errorf("the name %q is that of a kind of output, please choose another", name)
		}
		k, ok := outputs.Lookup(kind)
		if !ok {
			return nil, fmt.Errorf("there is no kind of output called %q", kind)
		}
		in := newInstance(name, instancesPath+"."+name, k)
		named[name] = in
		return in.into(), nil
	}})
	loaded, err := config.Load(src, append(sections, extra...)...)
	if err != nil {
		return nil, err
	}
	l.Source = loaded
	loaded.Warnings = append(loaded.Warnings, l.warnings()...)
	for _, in := range plain {
		if loaded.Configured(in.Path) {
			l.Outputs = append(l.Outputs, in.parts()...)
		}
	}
	for _, in := range named {
		l.Outputs = append(l.Outputs, in.parts()...)
	}
	slices.SortFunc(l.Outputs, func(a, b Instance) int { return cmp.Compare(a.Name, b.Name) })
	return l, nil
}

func newInstance(name, path string, kind outputs.Registration) *Instance {
	return &Instance{Name: name, Path: path, Kind: kind, config: kind.NewConfig()}
}

// parts are the instances that in stands for: one for each destination where a kind's
// configuration may name several, and in itself for the others.
func (in *Instance) parts() []Instance {
	var all []Instance
	for _, p := range in.Kind.Split(in.config) {
		part := *in
		part.Name, part.config = in.Name+outputs.PartSeparator+p.Suffix, p.Config
		all = append(all, part)
	}
	if len(all) == 0 {
		return []Instance{*in}
	}
	return all
}

func (in *Instance) into() []any { return []any{in.config, &in.Settings, &in.Routing} }

func kindNames() []string {
	var names []string
	for _, k := range outputs.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// DocSections are all sections of the configuration, for the generated documents.
func DocSections() []config.DocSection {
	all := []config.DocSection{{
		Path: "", Title: "Forwarder", Doc: "Settings of the forwarder itself.", Structs: []any{new(Config)},
	}}
	for _, k := range outputs.Kinds() {
		all = append(all, config.DocSection{
			Path: k.Key, Title: k.Title, Doc: k.Doc, Kind: k.Name,
			Structs: []any{k.NewConfig()}, Common: []any{new(deliver.Settings), new(Routing)},
		})
	}
	return all
}

// fieldNames are the names of the fields that enrichment adds, sorted.
func (c Config) fieldNames() []string {
	return slices.Concat(slices.Sorted(maps.Keys(c.CustomFields)), slices.Sorted(maps.Keys(c.TemplatedFields)))
}
