package outputs

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/saker-security/saker/config"
)

// Kind declares one kind of output. C is its configuration: a struct whose fields carry
// the tags that package config reads.
type Kind[C any] struct {
	// Name is the folder's name, the output's name in metrics and logs, and the type of a
	// named instance.
	Name string
	// Key is the path of the output's section in the configuration, Name if empty:
	// "aws.lambda".
	Key string
	// Title is the output's name as Falcosidekick prints it: "AlertManager".
	Title string
	// Doc is one sentence for the reference page.
	Doc string
	// Page is the part of the output's documentation that no declaration says: Markdown,
	// kept in the folder's page.md, with the sections that Sections names.
	Page string
	// Batch is the most events one Send may take; 0 counts as 1.
	Batch int
	// Serial forbids a second Send while one is running.
	Serial bool
	// Archive says that the destination keeps a record of events rather than telling
	// somebody: silences do not hold events back from it.
	Archive bool
	// New makes a Sender. It checks and builds but never connects.
	New func(C, Env) (Sender, error)
	// Split, if set, makes several outputs of a configuration that names several
	// destinations, so that each has a queue of its own and none waits for another. It
	// returns nothing for a configuration that stays whole. Suffixes differ and are not
	// empty.
	Split func(C) []Part[C]
}

// PartSeparator stands between an output's name and the suffix of one of its parts.
const PartSeparator = "@"

// Part is one of the outputs that a configuration is split into.
type Part[C any] struct {
	// Suffix tells the part's name from the others': alertmanager@SUFFIX.
	Suffix string
	Config C
}

// Registration is a Kind whose configuration's type has been erased.
type Registration struct {
	Name, Key, Title, Doc, Page string
	Batch                       int
	Serial, Archive             bool
	// NewConfig returns a pointer to a zero configuration.
	NewConfig func() any
	// Build makes a Sender from what NewConfig returned, filled.
	Build func(cfg any, env Env) (Sender, error)
	// Split makes several configurations of what NewConfig returned, filled; none when it
	// stays whole.
	Split func(cfg any) []Part[any]
}

var registry = map[string]Registration{}

// Register adds a kind to the registry. It is called from init and panics on a declaration
// that cannot be right, so that any test of anything finds it.
func Register[C any](k Kind[C]) {
	if k.Name == "" || k.Title == "" || k.Doc == "" || k.New == nil {
		panic(fmt.Sprintf("outputs: kind %q lacks a name, a title, a doc or a constructor", k.Name))
	}
	if _, twice := registry[k.Name]; twice {
		panic(fmt.Sprintf("outputs: kind %q is registered twice", k.Name))
	}
	if _, err := config.Fields(new(C)); err != nil {
		panic(fmt.Sprintf("outputs: kind %q: %v", k.Name, err))
	}
	registry[k.Name] = Registration{
		Name: k.Name, Key: cmp.Or(k.Key, k.Name), Title: k.Title, Doc: k.Doc, Page: k.Page,
		Batch: max(k.Batch, 1), Serial: k.Serial, Archive: k.Archive,
		NewConfig: func() any { return new(C) },
		Build: func(cfg any, env Env) (Sender, error) {
			c, ok := cfg.(*C)
			if !ok {
				return nil, fmt.Errorf("build output %q: its configuration is a %T", k.Name, cfg)
			}
			return k.New(*c, env)
		},
		Split: func(cfg any) []Part[any] {
			c, ok := cfg.(*C)
			if !ok || k.Split == nil {
				return nil
			}
			var parts []Part[any]
			for _, p := range k.Split(*c) {
				parts = append(parts, Part[any]{p.Suffix, &p.Config})
			}
			return parts
		},
	}
}

// Kinds returns all registered kinds, sorted by name.
func Kinds() []Registration {
	all := make([]Registration, 0, len(registry))
	for _, r := range registry {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Registration) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Lookup returns the kind called name.
func Lookup(name string) (Registration, bool) {
	r, ok := registry[name]
	return r, ok
}
