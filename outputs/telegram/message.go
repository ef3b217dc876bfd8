package telegram

import (
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// maxText is the longest text of a message, in UTF-16 code units, once its markup has been
// taken out.
const maxText = 4096

// widest lets through all of an ordinary event.
var widest = falcotext.Limits{Text: maxText, Value: 1024, Fields: 100}

type message struct {
	Text                  string `json:"text"`
	ParseMode             string `json:"parse_mode"`
	DisableWebPagePreview bool   `json:"disable_web_page_preview"`
	ChatID                string `json:"chat_id"`
	MessageThreadID       string `json:"message_thread_id,omitempty"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	return message{
		Text: falcotext.Fit(widest, func(l falcotext.Limits) (string, bool) {
			plain := text(e, l, func(s string) string { return s })
			return text(e, l, escape), falcotext.LenUTF16(plain) <= maxText
		}),
		ParseMode:             "MarkdownV2",
		DisableWebPagePreview: true,
		ChatID:                c.ChatID,
		MessageThreadID:       c.MessageThreadID,
	}
}

// text is the message with what comes from the event escaped by esc.
func text(e event.Event, l falcotext.Limits, esc func(string) string) string {
	cut := func(s string) string { return esc(falcotext.CutUTF16(s, l.Value)) }
	var b strings.Builder
	b.WriteString("*" + esc("[Falco] ["+e.Priority.String()+"] "+falcotext.CutUTF16(e.Rule, l.Value)) + "*\n\n")
	b.WriteString("• *Time*: " + esc(falcotext.Time(e.Time)) + "\n")
	b.WriteString("• *Source*: " + cut(e.Source) + "\n")
	b.WriteString("• *Hostname*: " + cut(e.Hostname) + "\n")
	b.WriteString("• *Tags*: ")
	for i, tag := range e.Tags {
		if i == l.Fields {
			b.WriteString(falcotext.Ellipsis + " ")
			break
		}
		b.WriteString(cut(tag) + " ")
	}
	b.WriteString("\n• *Fields*:\n")
	for _, f := range l.Show(falcotext.AllFields(e, "<nil>")) {
		b.WriteString("\t  • *" + esc(f.Name) + "*: " + esc(f.Value) + "\n")
	}
	b.WriteString("\n\n**Output**: " + esc(falcotext.CutUTF16(e.Output, l.Text)) + "\n")
	return b.String()
}

// escape returns s so that MarkdownV2 shows it as it is.
func escape(s string) string { return escaper.Replace(s) }

var escaper = newEscaper()

func newEscaper() *strings.Replacer {
	var pairs []string
	for _, c := range "\\_*[]()~`>#+-=|{}.!" {
		pairs = append(pairs, string(c), `\`+string(c))
	}
	return strings.NewReplacer(pairs...)
}
