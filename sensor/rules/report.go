package rules

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Code classifies a Problem, with Falco's names.
type Code string

// The codes of errors.
const (
	ErrFileRead         Code = "LOAD_ERR_FILE_READ"
	ErrYAMLParse        Code = "LOAD_ERR_YAML_PARSE"
	ErrYAMLValidate     Code = "LOAD_ERR_YAML_VALIDATE"
	ErrCompileCondition Code = "LOAD_ERR_COMPILE_CONDITION"
	ErrCompileOutput    Code = "LOAD_ERR_COMPILE_OUTPUT"
	ErrValidate         Code = "LOAD_ERR_VALIDATE"
)

// The codes of warnings.
const (
	WarnUnknownSource      Code = "LOAD_UNKNOWN_SOURCE"
	WarnUnsafeNACheck      Code = "LOAD_UNSAFE_NA_CHECK"
	WarnNoEventType        Code = "LOAD_NO_EVTTYPE"
	WarnUnknownFilter      Code = "LOAD_UNKNOWN_FILTER"
	WarnUnusedMacro        Code = "LOAD_UNUSED_MACRO"
	WarnUnusedList         Code = "LOAD_UNUSED_LIST"
	WarnUnknownItem        Code = "LOAD_UNKNOWN_ITEM"
	WarnDeprecatedItem     Code = "LOAD_DEPRECATED_ITEM"
	WarnAppendNoValues     Code = "LOAD_APPEND_NO_VALUES"
	WarnExceptionNotUnique Code = "LOAD_EXCEPTION_NAME_NOT_UNIQUE"
	WarnInvalidMacroName   Code = "LOAD_INVALID_MACRO_NAME"
	WarnInvalidListName    Code = "LOAD_INVALID_LIST_NAME"
	WarnCompileCondition   Code = "LOAD_COMPILE_CONDITION"
	WarnUnknownKey         Code = "LOAD_UNKNOWN_KEY"
)

var codeDocs = map[Code]string{
	ErrFileRead:         "File read error",
	ErrYAMLParse:        "YAML parse error",
	ErrYAMLValidate:     "Error validating internal structure of YAML file",
	ErrCompileCondition: "Error compiling condition",
	ErrCompileOutput:    "Error compiling output",
	ErrValidate:         "Error validating rule/macro/list/exception objects",

	WarnUnknownSource:      "Unknown event source",
	WarnUnsafeNACheck:      "Unsafe <NA> comparison",
	WarnNoEventType:        "Condition matches all or no event types",
	WarnUnknownFilter:      "Unknown field or event type",
	WarnUnusedMacro:        "Unused macro",
	WarnUnusedList:         "Unused list",
	WarnUnknownItem:        "Unknown rules file item",
	WarnDeprecatedItem:     "Deprecated item",
	WarnAppendNoValues:     "Appending exception without values",
	WarnExceptionNotUnique: "Exception name used twice in a rule",
	WarnInvalidMacroName:   "Invalid macro name",
	WarnInvalidListName:    "Invalid list name",
	WarnCompileCondition:   "Doubtful condition",
	WarnUnknownKey:         "Unknown key",
}

// Doc returns what the code means, in a few words.
func (c Code) Doc() string { return codeDocs[c] }

// Problem is an error or a warning about a rules file.
type Problem struct {
	Code     Code
	Position Position
	// Item is the kind of the item, "rule", "macro" or "list", Name its name, and Part what
	// is wrong in it, such as "condition". Any may be empty.
	Item, Name, Part string
	// Message is a sentence without the place.
	Message string
	// Snippet is the line of the file.
	Snippet string
}

// String returns the problem as one line: file:line:column: rule "X": condition: message.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Position.String() + ": ")
	switch {
	case p.Name != "":
		fmt.Fprintf(&b, "%s %q: ", p.Item, p.Name)
	case p.Item != "":
		b.WriteString(p.Item + ": ")
	}
	if p.Part != "" {
		b.WriteString(p.Part + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// FileReport is what loading found about one file.
type FileReport struct {
	Name     string
	Errors   []Problem
	Warnings []Problem
}

// Report is what loading found, file by file in the order given.
type Report struct {
	Files []FileReport
	// Err is an error that concerns no file in particular, such as a plugin that rules
	// require and that is missing.
	Err error
}

// OK says whether everything loaded; there may be warnings.
func (r *Report) OK() bool {
	for i := range r.Files {
		if len(r.Files[i].Errors) > 0 {
			return false
		}
	}
	return r.Err == nil
}

// maxErrorLines is how many errors the error of Load lists.
const maxErrorLines = 20

// err returns the report's errors as one error, nil if it is OK.
func (r *Report) err() error {
	if r.OK() {
		return nil
	}
	var lines []string
	if r.Err != nil {
		lines = append(lines, r.Err.Error())
	}
	for i := range r.Files {
		for _, p := range r.Files[i].Errors {
			lines = append(lines, p.String())
		}
	}
	if n := len(lines) - maxErrorLines; n > 0 {
		lines = append(lines[:maxErrorLines], fmt.Sprintf("and %d more errors", n))
	}
	return &LoadError{strings.Join(lines, "\n")}
}

// LoadError says why rules do not load, one mistake a line.
type LoadError struct{ text string }

// Error returns the mistakes.
func (e *LoadError) Error() string { return e.text }

// Text returns the report as `saker rules validate` prints it.
func (r *Report) Text() string {
	var b strings.Builder
	for i := range r.Files {
		f := &r.Files[i]
		switch {
		case len(f.Errors) > 0:
			fmt.Fprintf(&b, "%s: Invalid\n", f.Name)
		case len(f.Warnings) > 0:
			fmt.Fprintf(&b, "%s: Ok, with warnings\n", f.Name)
		default:
			fmt.Fprintf(&b, "%s: Ok\n", f.Name)
		}
		for _, p := range f.Errors {
			p.write(&b, "error")
		}
		for _, p := range f.Warnings {
			p.write(&b, "warning")
		}
	}
	if r.Err != nil {
		fmt.Fprintf(&b, "error: %v\n", r.Err)
	}
	return b.String()
}

func (p *Problem) write(b *strings.Builder, level string) {
	fmt.Fprintf(b, "  %s: %s [%s]\n", level, p, p.Code)
	if p.Snippet == "" {
		return
	}
	fmt.Fprintf(b, "    | %s\n", p.Snippet)
	if p.Position.Column > 0 {
		// A tab keeps its width, so the mark stands under the place.
		pad := []rune(p.Snippet)
		pad = pad[:min(len(pad), p.Position.Column-1)]
		for i, c := range pad {
			if c != '\t' {
				pad[i] = ' '
			}
		}
		fmt.Fprintf(b, "    | %s^\n", string(pad))
	}
}

// jsonResult is an element of falco_load_results.
type jsonResult struct {
	Name           string        `json:"name"`
	Successful     bool          `json:"successful"`
	SchemaValid    bool          `json:"schema_valid"`
	SchemaWarnings []string      `json:"schema_warnings"`
	Errors         []jsonProblem `json:"errors"`
	Warnings       []jsonProblem `json:"warnings"`
}

type jsonProblem struct {
	Code     Code        `json:"code"`
	CodeDesc string      `json:"codedesc"`
	Message  string      `json:"message"`
	Context  jsonContext `json:"context"`
}

type jsonContext struct {
	Locations []jsonLocation `json:"locations"`
	Snippet   string         `json:"snippet"`
}

type jsonLocation struct {
	ItemType string       `json:"item_type"`
	ItemName string       `json:"item_name"`
	Position jsonPosition `json:"position"`
}

type jsonPosition struct {
	Name   string `json:"name"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Offset int    `json:"offset"`
}

// MarshalJSON returns the report in the form of Falco's validation result, an object with
// the member falco_load_results. Lines and columns count from 1.
func (r *Report) MarshalJSON() ([]byte, error) {
	results := make([]jsonResult, 0, len(r.Files))
	for i := range r.Files {
		f := &r.Files[i]
		results = append(results, jsonResult{
			Name:           f.Name,
			Successful:     len(f.Errors) == 0 && r.Err == nil,
			SchemaValid:    len(f.Errors) == 0,
			SchemaWarnings: []string{},
			Errors:         jsonProblems(f.Errors),
			Warnings:       jsonProblems(f.Warnings),
		})
	}
	return json.Marshal(map[string]any{"falco_load_results": results})
}

func jsonProblems(ps []Problem) []jsonProblem {
	out := make([]jsonProblem, 0, len(ps))
	for _, p := range ps {
		locations := []jsonLocation{{ItemType: "rules content", Position: jsonPosition{Name: p.Position.File}}}
		kind := p.Item
		if p.Item == "" {
			kind = "rules content item"
		}
		position := jsonPosition{p.Position.File, p.Position.Line, p.Position.Column, p.Position.Offset}
		locations = append(locations, jsonLocation{ItemType: kind, ItemName: p.Name, Position: position})
		if p.Part != "" {
			locations = append(locations, jsonLocation{ItemType: strings.TrimSpace(p.Item + " " + p.Part), Position: position})
		}
		out = append(out, jsonProblem{
			Code: p.Code, CodeDesc: p.Code.Doc(), Message: p.Message,
			Context: jsonContext{Locations: locations, Snippet: p.Snippet},
		})
	}
	return out
}
