package smtp

import (
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// The page that receivers know from Falcosidekick is of tables, as mail programs know
// little else: the logo, a bar in the colour of the priority, what every event has, and the
// output fields.
const (
	font  = "font-family:arial,helvetica,sans-serif;"
	grey  = "#858585"
	light = "#d1d6da"
	logo  = "https://raw.githubusercontent.com/cncf/artwork/master/projects/falco/horizontal/color/falco-horizontal-color.png"

	pageHead = `<meta http-equiv="Content-Type" content="text/html; charset=us-ascii">` + "\n" +
		`<style type="text/css">` + "\n    td{" + font + "}\n</style>\n\n"

	rowBegin = "        <tr>\n"
	rowEnd   = "        </tr>\n"
	cell     = "            "
)

// colour returns the colour of a priority's bar.
func colour(p event.Priority) string {
	switch p {
	case event.Emergency:
		return "#e20b0b"
	case event.Alert:
		return "#ff5400"
	case event.Critical:
		return "#ff9000"
	case event.Error:
		return "#ffc700"
	case event.Warning:
		return "#ffff00"
	case event.Notice:
		return "#5bffb5"
	case event.Informational:
		return "#68c2ff"
	case event.Debug:
		return "#ccfff2"
	}
	return grey
}

// escaper writes text into HTML.
var escaper = strings.NewReplacer(
	"\x00", "\uFFFD", `"`, "&#34;", "&", "&amp;", "'", "&#39;", "+", "&#43;", "<", "&lt;", ">", "&gt;",
)

// html is the event as a page.
func html(e event.Event) string {
	var b strings.Builder
	b.WriteString(strings.Repeat("\n", 12) + pageHead)
	b.WriteString(table(3, "height:2px; width:700px;") + rowBegin +
		cell + `<td><img src="` + logo + `" width="117px" height="47"></td>` + "\n" + cell + "<td></td>\n" +
		rowEnd + tableEnd + "<br>\n")
	b.WriteString(table(3, "height:2px; width:700px;") +
		bar("background-color:"+colour(e.Priority), e.Priority.String()) + tableEnd)
	b.WriteString(table(5, "width:700px; font-size:13px"))
	for _, r := range []struct{ begin, name, value string }{
		{rowBegin, "Output", falcotext.Cut(e.Output, maxText)},
		{rowBegin, "Rule", falcotext.Cut(e.Rule, maxText)},
		{rowBegin, "Source", e.Source},
		{"\t\t<tr>\n", "Hostname", e.Hostname},
		{rowBegin, "Tags", tags(e)},
		{rowBegin, "Time", falcotext.Time(e.Time)},
	} {
		b.WriteString(r.begin + row("<td", "14px;color", r.name, r.value))
	}
	b.WriteString(tableEnd + "<br>\n\n")
	b.WriteString(table(3, "height:2px; width:700px; font-size:13px") +
		bar("background-color: "+grey, "Fields") + tableEnd + "\n")
	b.WriteString(strings.TrimSuffix(table(3, "height:2px; width:700px; font-size:13px"), "\n"))
	for name, value := range falcotext.AllFields(e, "") {
		b.WriteString("\n" + rowBegin + row(`<td width="1"`, "14px; color", name, falcotext.Cut(value, maxText)) + "    ")
	}
	b.WriteString(strings.TrimPrefix(tableEnd, "    ") + "\n")
	return b.String()
}

func table(padding int, style string) string {
	return `<table cellpadding="` + string(rune('0'+padding)) + `" cellspacing="0" style="` + font + " " + style + `">` + "\n    <tbody>\n"
}

const tableEnd = "    </tbody>\n</table>\n"

// bar is a row that is a heading.
func bar(background, text string) string {
	return rowBegin + cell + `<td style="` + background + `; width:700px; text-align:center;"><span style="font-size:12px; color:#fff;"><strong>` +
		escaper.Replace(text) + "</strong></span></td>\n" + rowEnd
}

// row is a name and a value, without the row's beginning.
func row(td, size, name, value string) string {
	return cell + td + ` style="background-color:` + grey + `"><span style="font-size:` + size + `:#fff;"><strong>` + escaper.Replace(name) + "</strong></span></td>\n" +
		cell + `<td style="background-color:` + light + `">` + escaper.Replace(value) + "</td>\n" + rowEnd
}
