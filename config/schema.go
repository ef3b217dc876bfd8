package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// schema is a JSON Schema or a part of one.
type schema = map[string]any

// WriteSchema writes the JSON Schema (2020-12) of the file. It is stricter than Load where
// strictness helps an editor: keys are in lower case and enumerated values as documented.
func WriteSchema(w io.Writer, sections []DocSection) error {
	all, err := pages(sections)
	if err != nil {
		return err
	}
	root := sectionSchema(treeOf(all, true))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$comment"] = Generated
	root["title"] = "Saker configuration"
	root["patternProperties"] = schema{"^x-": schema{"description": "Room for YAML anchors."}}
	definitions := schema{
		"variable": schema{"type": "string", "pattern": `\$\{`},
		"scalar":   schema{"type": []string{"string", "number", "boolean", "null"}},
	}
	root["$defs"] = definitions
	if instances := instancesSchema(all, definitions); instances != nil {
		properties, _ := root["properties"].(schema)
		properties[instancesPath] = instances
	}
	if err := shareParts(root, definitions); err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// instancesSchema describes named instances and adds the keys of each kind to definitions;
// nil if no section can be one.
func instancesSchema(all []*page, definitions schema) schema {
	var kinds []string
	var choices []any
	for _, p := range all {
		if p.Kind == "" {
			continue
		}
		tree := &branch{}
		tree.add(p.fields)
		tree.add(p.shared)
		tree.add(p.common)
		definition := sectionSchema(tree)
		properties, _ := definition["properties"].(schema)
		properties["type"] = schema{"const": p.Kind}
		definitions["instance_"+p.Kind] = definition
		kinds = append(kinds, p.Kind)
		choices = append(choices, schema{
			"if":   schema{"properties": schema{"type": schema{"const": p.Kind}}, "required": []string{"type"}},
			"then": schema{"$ref": "#/$defs/instance_" + p.Kind},
		})
	}
	if kinds == nil {
		return nil
	}
	return schema{
		"type":          []string{"object", "null"},
		"description":   "Named instances of outputs.",
		"propertyNames": schema{"pattern": namePattern.String()},
		"additionalProperties": schema{
			"type": "object", "required": []string{"type"},
			"properties": schema{"type": schema{"enum": kinds, "description": "Kind of the instance."}},
			"allOf":      choices,
		},
	}
}

// sectionSchema describes an object with the keys of a branch.
func sectionSchema(b *branch) schema {
	properties := schema{}
	for _, c := range b.children {
		if c.field == nil {
			properties[c.name] = sectionSchema(c)
			continue
		}
		properties[c.name] = fieldSchema(*c.field)
		if c.field.Type == "secret" {
			properties[c.name+fileSuffix] = schema{
				"type":        []string{"string", "null"},
				"description": fmt.Sprintf("File to read %s from.", c.name),
			}
		}
	}
	s := schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if b.title != "" {
		s["description"] = strings.TrimSuffix(b.title+": "+b.doc, ": ")
	}
	return s
}

// fieldSchema describes the values of one key as the file may have them.
func fieldSchema(f Field) schema {
	variable, null := schema{"$ref": "#/$defs/variable"}, schema{"type": "null"}
	var s schema
	switch f.Type {
	case "bool":
		s = schema{"anyOf": []any{schema{"type": "boolean"}, variable, null}}
	case "int":
		s = schema{"anyOf": []any{schema{"type": "integer"}, variable, null}}
	case "number":
		s = schema{"anyOf": []any{schema{"type": "number"}, variable, null}}
	case "duration", "size":
		s = schema{"type": []string{"string", "integer", "null"}}
	case "list":
		s = schema{"anyOf": []any{schema{"type": "array", "items": itemSchema(f)}, schema{"type": "string"}, null}}
	case "map":
		s = schema{"anyOf": []any{
			schema{"type": "object", "additionalProperties": schema{"$ref": "#/$defs/scalar"}},
			schema{"type": "string"},
			null,
		}}
	case "sections":
		entry := &branch{}
		entry.add(f.Fields)
		s = schema{"type": []string{"array", "null"}, "items": sectionSchema(entry)}
	default:
		s = itemSchema(f)
	}
	s["description"] = strings.TrimSpace(f.Doc + " " + remarks(f))
	if value := defaultValue(f); value != nil {
		s["default"] = value
	}
	if f.Secret {
		s["writeOnly"] = true
	}
	return s
}

// itemSchema describes a text, or one item of a list.
func itemSchema(f Field) schema {
	if len(f.OneOf) == 0 {
		return schema{"type": []string{"string", "number", "boolean", "null"}}
	}
	values := []any{"", nil}
	for _, v := range f.OneOf {
		values = append(values, v)
	}
	return schema{"anyOf": []any{schema{"enum": values}, schema{"$ref": "#/$defs/variable"}}}
}

// defaultValue is a key's default as JSON, nil if there is none.
func defaultValue(f Field) any {
	if f.Default == "" {
		return nil
	}
	switch f.Type {
	case "bool":
		b, _ := strconv.ParseBool(f.Default)
		return b
	case "int", "number":
		return json.Number(f.Default)
	case "list":
		return splitList(f.Default)
	default:
		return f.Default
	}
}

// part is the schema of one property, at each place where it stands.
type part struct {
	name   string
	schema schema
	places []schema // the properties that have it under its name
}

// shareParts puts what several properties of one name have in common into definitions: all
// outputs have the same keys beside their own, and each kind is described twice.
func shareParts(root, definitions schema) error {
	parts := map[string]*part{}
	if err := collectParts(root, parts); err != nil {
		return err
	}
	names := map[string]int{}
	for _, text := range slices.Sorted(maps.Keys(parts)) {
		p := parts[text]
		if len(p.places) < 2 {
			continue
		}
		names[p.name]++
		name := fmt.Sprintf("key_%s_%d", p.name, names[p.name])
		definitions[name] = p.schema
		for _, properties := range p.places {
			properties[p.name] = schema{"$ref": "#/$defs/" + name}
		}
	}
	return nil
}

// collectParts finds the properties below s. Those within a part are its own business.
func collectParts(s schema, parts map[string]*part) error {
	for key, value := range s {
		switch v := value.(type) {
		case schema:
			if key != "properties" {
				if err := collectParts(v, parts); err != nil {
					return err
				}
				continue
			}
			for name, property := range v {
				p, ok := property.(schema)
				if !ok {
					continue
				}
				if below, isSection := p["properties"].(schema); isSection && len(below) > 6 {
					if err := collectParts(p, parts); err != nil {
						return err
					}
					continue
				}
				text, err := json.Marshal(p)
				if err != nil {
					return err
				}
				id := name + " " + string(text)
				if parts[id] == nil {
					parts[id] = &part{name: name, schema: p}
				}
				parts[id].places = append(parts[id].places, v)
			}
		}
	}
	return nil
}
