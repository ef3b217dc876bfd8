package jira

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// Limits of an issue, in characters. Jira refuses what is longer.
const (
	maxSummary     = 255
	maxLabel       = 255
	maxDescription = 32_767
	maxOutput      = 12_000 // our own, so that there is room for the fields
	maxValue       = 2_000
	maxRoom        = 24_000 // of all texts in the description; Jira counts marks, too
)

// issue is what the REST API takes.
type issue struct {
	Fields map[string]any `json:"fields"`
}

type named struct {
	Name string `json:"name"`
}

type keyed struct {
	Key string `json:"key"`
}

// payload is the issue that the golden files pin.
func payload(c Config, e event.Event) issue {
	fields := map[string]any{
		"project":   keyed{c.Project},
		"issuetype": named{c.IssueType},
		"summary":   summary(e),
	}
	if c.APIVersion == "2" {
		fields["description"] = plainDescription(e)
	} else {
		fields["description"] = description(e)
	}
	if all := labels(c, e); len(all) > 0 {
		fields["labels"] = all
	}
	if name := c.Priorities[e.Priority]; name != "" {
		fields["priority"] = named{name}
	}
	for id, value := range c.Fields {
		fields[id] = fieldValue(value)
	}
	return issue{fields}
}

func summary(e event.Event) string {
	text := "[" + e.Priority.String() + "] " + cmp.Or(e.Headline(), e.Rule)
	return falcotext.Cut(strings.Join(strings.Fields(clean(text)), " "), maxSummary)
}

// clean removes NUL, which no database of Jira stores.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

func labels(c Config, e event.Event) []string {
	all := slices.Clone(c.Labels)
	if c.TagLabels {
		all = append(all, e.Tags...)
	}
	var found []string
	for _, label := range all {
		label = falcotext.Cut(strings.Join(strings.Fields(clean(label)), "_"), maxLabel)
		if label != "" && !slices.Contains(found, label) {
			found = append(found, label)
		}
	}
	return found
}

// fieldValue returns the value of a user's field: JSON where it is an object or an array.
func fieldValue(text string) any {
	t := bytes.TrimSpace([]byte(text))
	if len(t) > 0 && (t[0] == '{' || t[0] == '[') && json.Valid(t) {
		return json.RawMessage(t)
	}
	return text
}

// plainDescription is the description for version 2 of the API, as text in which nothing is
// markup.
func plainDescription(e event.Event) string {
	const mark = "{noformat}"
	text := strings.ReplaceAll(clean(falcotext.Plain(e, "all")), mark, "{ noformat }")
	return mark + "\n" + falcotext.Cut(text, maxDescription-2*len(mark)-2) + "\n" + mark
}

// node is a part of a document in the Atlassian Document Format.
type node struct {
	Type    string `json:"type"`
	Version int    `json:"version,omitempty"`
	Text    string `json:"text,omitempty"`
	Marks   []node `json:"marks,omitempty"`
	Content []node `json:"content,omitempty"`
}

func text(s string, marks ...string) node {
	n := node{Type: "text", Text: s}
	for _, m := range marks {
		n.Marks = append(n.Marks, node{Type: m})
	}
	return n
}

func block(kind string, content ...node) node { return node{Type: kind, Content: content} }

// description is the output and a list of what else is known about the event. The format
// allows no empty text.
func description(e event.Event) node {
	doc := node{Type: "doc", Version: 1}
	if output := falcotext.Cut(clean(e.Output), maxOutput); output != "" {
		doc.Content = append(doc.Content, block("codeBlock", text(output)))
	}
	list := node{Type: "bulletList"}
	room := maxRoom - maxOutput
	for name, value := range falcotext.Details(e) {
		name, value = falcotext.Cut(clean(name), maxSummary), falcotext.Cut(clean(value), maxValue)
		// What stands around a text counts a little, too.
		need := utf8.RuneCountInString(name) + utf8.RuneCountInString(value) + 4
		if need > room {
			list.Content = append(list.Content, block("listItem", block("paragraph", text(falcotext.Ellipsis))))
			break
		}
		room -= need
		line := []node{text(name+": ", "strong")}
		if value != "" {
			line = append(line, text(value))
		}
		list.Content = append(list.Content, block("listItem", block("paragraph", line...)))
	}
	doc.Content = append(doc.Content, list)
	return doc
}
