package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Generated is the first line of every generated document, in a comment of its format.
const Generated = "Generated from the configuration structs by `make gen`; do not edit."

// instancesPath is the section of named instances in the documents.
const instancesPath = "outputs"

// DocSection is a section as the generated documents have it.
type DocSection struct {
	// Path is where the section stands, "" for the top level.
	Path string
	// Title is the heading, and Doc a sentence below it.
	Title, Doc string
	// Kind is the type of a named instance with the same keys, "" if there is none.
	Kind string
	// Structs are pointers to the structs that the section fills.
	Structs []any
	// Common are pointers to the structs that it fills beside them as all sections with a
	// Kind do. The reference and the example have their keys once.
	Common []any
}

// All are pointers to all structs that the section fills.
func (s DocSection) All() []any { return slices.Concat(s.Structs, s.Common) }

// page is a DocSection with its keys in order.
type page struct {
	DocSection
	fields []Field
	// shared are keys that named instances of the section have too.
	shared []Field
	// common are the keys that all sections with a Kind have.
	common []Field
}

// pages describes the sections. Shared keys make a page of their own, before the first
// section that has them, unless a section with their path stands before it.
func pages(sections []DocSection) ([]*page, error) {
	var all []*page
	var errs []error
	at := func(path string) *page {
		i := slices.IndexFunc(all, func(p *page) bool { return p.Path == path && p.Title != "" })
		if i < 0 {
			return nil
		}
		return all[i]
	}
	for _, s := range sections {
		p := &page{DocSection: s}
		for _, ptr := range s.Structs {
			fields, err := Fields(ptr)
			errs = append(errs, err)
			for _, f := range fields {
				if f.Shared == "" {
					p.fields = append(p.fields, f)
					continue
				}
				p.shared = append(p.shared, f)
				common := at(f.Shared)
				if common == nil {
					common = &page{DocSection: DocSection{
						Path: f.Shared, Title: f.Shared,
						Doc: fmt.Sprintf("What all outputs of %s share. A named instance may set these keys for itself.", f.Shared),
					}}
					all = append(all, common)
				}
				if !slices.ContainsFunc(common.fields, func(x Field) bool { return x.Key == f.Key }) {
					common.fields = append(common.fields, f)
				}
			}
		}
		for _, ptr := range s.Common {
			fields, err := Fields(ptr)
			errs = append(errs, err)
			p.common = append(p.common, fields...)
		}
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

// variables are the names of the environment variables that set a key, without those of
// a secret's file.
func variables(path string, f Field) []string {
	if f.Type == "sections" || slices.Equal(f.Env, []string{"-"}) {
		return nil
	}
	return append([]string{variable(path)}, f.Env...)
}

// leaf is one key of a page with its full path; those of a list's entries are leaves too.
type leaf struct {
	path string
	Field
}

// leaves lists the keys of a page. The entries of a list of sections have [] in their path.
func (p *page) leaves() []leaf { return leavesOf(p.Path, p.fields) }

// commonKeys are the keys that all sections with a Kind have; none if there is no such
// section.
func commonKeys(all []*page) []Field {
	for _, p := range all {
		if len(p.common) > 0 {
			return p.common
		}
	}
	return nil
}

func leavesOf(section string, fields []Field) []leaf {
	var all []leaf
	for _, f := range fields {
		path := join(section, f.Key)
		if f.Type == "sections" {
			all = append(all, leavesOf(path+"[]", f.Fields)...)
			continue
		}
		all = append(all, leaf{path, f})
	}
	return all
}

// branch is a section in a tree of all keys, in order of appearance.
type branch struct {
	name, title, doc string
	field            *Field // of a leaf
	children         []*branch
}

func (b *branch) child(name string) *branch {
	for _, c := range b.children {
		if c.name == name {
			return c
		}
	}
	c := &branch{name: name}
	b.children = append(b.children, c)
	return c
}

// descend returns the branch at a path below b, made if need be.
func (b *branch) descend(path string) *branch {
	for name := range strings.SplitSeq(path, ".") {
		if name != "" {
			b = b.child(name)
		}
	}
	return b
}

// treeOf puts the keys of all pages into one tree, with or without those that are common.
func treeOf(all []*page, common bool) *branch {
	root := &branch{}
	for _, p := range all {
		b := root.descend(p.Path)
		if p.Path != "" && b.title == "" {
			b.title, b.doc = p.Title, p.Doc
		}
		b.add(p.fields)
		if common {
			b.add(p.common)
		}
	}
	return root
}

func (b *branch) add(fields []Field) {
	for _, f := range fields {
		b.descend(f.Key).field = &f
	}
}

// defaultText is a key's default, also where the default is the type's zero.
func defaultText(f Field) string {
	if f.Default != "" {
		return f.Default
	}
	return map[string]string{"bool": "false", "int": "0", "number": "0", "duration": "0s", "size": "0"}[f.Type]
}

// remarks are what a document says of a key beside its doc.
func remarks(f Field) string {
	var parts []string
	if f.Required {
		parts = append(parts, "Required.")
	}
	if f.Inert != "" {
		parts = append(parts, "Has no effect: "+f.Inert+".")
	}
	if len(f.OneOf) > 0 {
		parts = append(parts, "One of "+strings.Join(f.OneOf, ", ")+".")
	}
	if f.Unit != "" {
		parts = append(parts, fmt.Sprintf("A bare number counts %s.", map[string]string{
			"s": "seconds", "ms": "milliseconds", "ns": "nanoseconds",
		}[f.Unit]))
	}
	return strings.Join(parts, " ")
}
