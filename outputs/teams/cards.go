package teams

import (
	"cmp"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// author is the name that a card shows.
const author = "Falcosidekick"

// card is the message card of connectors.
type card struct {
	Type       string    `json:"@type"`
	Summary    string    `json:"summary,omitempty"`
	ThemeColor string    `json:"themeColor,omitempty"`
	Sections   []section `json:"sections"`
}

type section struct {
	Title    string `json:"activityTitle"`
	Subtitle string `json:"activitySubtitle"`
	Image    string `json:"activityImage,omitempty"`
	Text     string `json:"text"`
	Facts    []fact `json:"facts,omitempty"`
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// messageCard is the message to a connector that the golden files pin.
func messageCard(c Config, e event.Event, l falcotext.Limits) card {
	s := section{Title: author, Subtitle: falcotext.Time(e.Time), Image: c.ActivityImage}
	if c.showsText() {
		s.Text = falcotext.CutUTF16(e.Output, l.Text)
	}
	if c.showsFacts() {
		for _, f := range facts(e, l) {
			s.Facts = append(s.Facts, fact{f.Name, f.Value})
		}
	}
	summary := cmp.Or(e.Headline(), e.Rule) // a connector takes no card without one
	return card{
		Type:       "MessageCard",
		Summary:    falcotext.CutUTF16(summary, l.Text),
		ThemeColor: theme(e.Priority),
		Sections:   []section{s},
	}
}

// theme returns the colour of a priority.
func theme(p event.Priority) string {
	switch p {
	case event.Emergency:
		return "e20b0b"
	case event.Alert:
		return "ff5400"
	case event.Critical:
		return "ff9000"
	case event.Error:
		return "ffc700"
	case event.Warning:
		return "ffff00"
	case event.Notice:
		return "5bffb5"
	case event.Informational:
		return "68c2ff"
	case event.Debug:
		return "ccfff2"
	}
	return ""
}

// post is what a workflow takes: a message with one Adaptive Card.
type post struct {
	Type        string       `json:"type"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	ContentType string   `json:"contentType"`
	ContentURL  *string  `json:"contentUrl"`
	Content     adaptive `json:"content"`
}

type adaptive struct {
	Schema  string    `json:"$schema"`
	Type    string    `json:"type"`
	Version string    `json:"version"`
	MSTeams msTeams   `json:"msteams"`
	Body    []element `json:"body"`
}

type msTeams struct {
	Width string `json:"width"`
}

// element is any element of a card; what does not belong to its type is left out.
type element struct {
	Type     string         `json:"type"`
	Style    string         `json:"style,omitempty"`
	Bleed    bool           `json:"bleed,omitempty"`
	Width    string         `json:"width,omitempty"`
	URL      string         `json:"url,omitempty"`
	Size     string         `json:"size,omitempty"`
	AltText  string         `json:"altText,omitempty"`
	Text     string         `json:"text,omitempty"`
	Weight   string         `json:"weight,omitempty"`
	IsSubtle bool           `json:"isSubtle,omitempty"`
	Items    []element      `json:"items,omitempty"`
	Columns  []element      `json:"columns,omitempty"`
	Inlines  []element      `json:"inlines,omitempty"`
	Facts    []adaptiveFact `json:"facts,omitempty"`
}

type adaptiveFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// adaptiveCard is the message to a workflow that the golden files pin. What an event says
// stands in text runs, which have no markup: an attacker has a say in it.
func adaptiveCard(c Config, e event.Event, l falcotext.Limits) post {
	head := element{Type: "Column", Width: "stretch", Items: []element{
		run(element{Text: falcotext.CutUTF16("["+e.Priority.String()+"] "+e.Rule, l.Text), Weight: "Bolder", Size: "Medium"}),
		run(element{Text: falcotext.Time(e.Time), IsSubtle: true, Size: "Small"}),
	}}
	columns := []element{head}
	if c.ActivityImage != "" {
		image := element{Type: "Image", URL: c.ActivityImage, Size: "Small", AltText: author}
		columns = []element{{Type: "Column", Width: "auto", Items: []element{image}}, head}
	}
	body := []element{{
		Type: "Container", Style: style(e.Priority), Bleed: true,
		Items: []element{{Type: "ColumnSet", Columns: columns}},
	}}
	if c.showsText() {
		for line := range strings.SplitSeq(falcotext.CutUTF16(e.Output, l.Text), "\n") {
			if strings.TrimSpace(line) != "" {
				body = append(body, run(element{Text: line}))
			}
		}
	}
	if c.showsFacts() {
		set := element{Type: "FactSet"}
		for _, f := range facts(e, l) {
			set.Facts = append(set.Facts, adaptiveFact{unlinked(f.Name), unlinked(f.Value)})
		}
		body = append(body, set)
	}
	return post{Type: "message", Attachments: []attachment{{
		ContentType: "application/vnd.microsoft.card.adaptive",
		Content: adaptive{
			Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
			MSTeams: msTeams{"Full"}, Body: body,
		},
	}}}
}

// run is a paragraph of one text without markup.
func run(text element) element {
	text.Type = "TextRun"
	return element{Type: "RichTextBlock", Inlines: []element{text}}
}

// unlinked returns a fact's text so that it makes no link: facts have the markup of
// Markdown, and no form without it.
func unlinked(text string) string { return strings.ReplaceAll(text, "](", "]\u200b(") }

// style returns the card's colour for a priority.
func style(p event.Priority) string {
	switch {
	case p >= event.Error:
		return "attention"
	case p == event.Warning:
		return "warning"
	case p == event.Notice:
		return "accent"
	}
	return "emphasis"
}
