package syslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// writer makes messages.
type writer struct {
	Config
	host    string
	process int
	now     func() time.Time
}

// framed appends a message as it stands in a stream.
func (w writer) framed(dst []byte, e event.Event) []byte {
	if w.Framing != "octetcounting" {
		return w.message(dst, e)
	}
	m := w.message(nil, e)
	m = m[:len(m)-1] // the newline belongs to the other framing
	dst = strconv.AppendInt(dst, int64(len(m)), 10)
	return append(append(dst, ' '), m...)
}

// message appends a message with a newline at its end.
func (w writer) message(dst []byte, e event.Event) []byte {
	priority := w.Facility*8 + severity(e.Priority)
	if w.Header == "rfc5424" {
		dst = fmt.Appendf(dst, "<%d>1 %s %s Falco %d %s - ", priority,
			e.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), printable(w.host, 255), w.process, messageID(e))
	} else {
		dst = fmt.Appendf(dst, "<%d>%s %s Falco[%d]: ", priority, w.now().Format(time.RFC3339), w.host, w.process)
	}
	if w.Format == "cef" {
		dst = appendCEF(dst, e)
	} else {
		dst = e.AppendJSON(dst)
	}
	return append(dst, '\n')
}

// severity is a priority as syslog counts it: 0 is an emergency, 7 debug.
func severity(p event.Priority) int {
	return int(event.Emergency) - max(int(p), int(event.Debug))
}

// messageID is the MSGID of RFC 5424, which tells types of messages apart: the source.
func messageID(e event.Event) string { return printable(e.Source, 32) }

// printable is text as RFC 5424 wants the parts of a header: at most n visible ASCII
// characters, "-" for none.
func printable(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return '_'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(n, len(text))]
}

var (
	// In the header of the Common Event Format | and \ are escaped, in its extension = and
	// \; a line cannot be broken in the one, and is by \n in the other.
	cefHeader    = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	cefExtension = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

// appendCEF appends the event in ArcSight's Common Event Format, version 0, with the keys
// that Falcosidekick uses.
func appendCEF(dst []byte, e event.Event) []byte {
	dst = fmt.Appendf(dst, "CEF:0|Falcosecurity|Falco|1.0|Falco Event|%s|%d|uuid=%s start=%s msg=%s source=%s",
		cefHeader.Replace(e.Rule), cefSeverity(e.Priority), cefExtension.Replace(e.UUID), e.Time.Format(time.RFC3339),
		cefExtension.Replace(e.Output), cefExtension.Replace(e.Source))
	if e.Hostname != "" {
		dst = append(append(dst, " hostname="...), cefExtension.Replace(e.Hostname)...)
	}
	dst = append(dst, " outputfields="...)
	for name, value := range falcotext.AllFields(e, "<nil>") {
		dst = fmt.Appendf(dst, "%s:%s ", cefExtension.Replace(name), cefExtension.Replace(value))
	}
	if len(e.Tags) > 0 {
		dst = append(append(dst, "tags="...), cefExtension.Replace(strings.Join(e.Tags, ","))...)
	}
	return dst
}

// cefSeverity is a priority on the scale from 0 to 10.
func cefSeverity(p event.Priority) int {
	return [...]int{0, 0, 3, 4, 6, 7, 8, 9, 10}[min(max(int(p), 0), int(event.Emergency))]
}
