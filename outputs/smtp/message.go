package smtp

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

const (
	// dateFormat is the one of RFC 5322.
	dateFormat = "Mon, 02 Jan 2006 15:04:05 -0700"
	// boundary stands between the parts of a message with HTML.
	boundary = "4t74weu9byeSdJTM"
	// maxLine is the longest line that SMTP allows, in bytes without its end.
	maxLine = 998
	// maxSubject is the longest subject, in characters, which as ASCII is a line.
	maxSubject = 900
	// maxText is the longest text of an output or a field, in characters.
	maxText = 64 << 10
)

// addresses returns the addresses of a list separated by commas. Names without a domain are
// allowed, as a relay of the same host knows them.
func addresses(list string) ([]string, error) {
	if strings.ContainsFunc(list, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errors.New("must not have control characters")
	}
	var found []string
	if parsed, err := mail.ParseAddressList(list); err == nil {
		for _, a := range parsed {
			found = append(found, a.Address)
		}
		return found, nil
	}
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		switch {
		case item == "":
			continue
		case strings.ContainsAny(item, " <>\"()"):
			return nil, fmt.Errorf("%q is no e-mail address", item)
		}
		found = append(found, item)
	}
	if len(found) == 0 {
		return nil, errors.New("must have an e-mail address")
	}
	return found, nil
}

// message is the mail that the golden files pin, with the line ends of the protocol.
func message(c Config, from string, e event.Event) []byte {
	var b strings.Builder
	b.WriteString("Subject: " + subject(e) + "\n")
	b.WriteString("From: " + people(c.From) + "\n")
	b.WriteString("To: " + people(c.To) + "\n")
	b.WriteString("Date: " + e.Time.Format(dateFormat) + "\n")
	if e.UUID != "" {
		_, domain, _ := strings.Cut(from, "@")
		b.WriteString("Message-ID: <" + e.UUID + "@" + cmp.Or(domain, "localhost") + ">\n")
	}
	b.WriteString("MIME-version: 1.0\n")
	plain := text(e)
	if c.OutputFormat == "text" {
		b.WriteString("Content-Type: text/plain; charset=\"UTF-8\"\n" + body(plain))
		return lineEnds(b.String())
	}
	page := html(e)
	between := boundary
	for strings.Contains(plain+page, between) {
		between += "x"
	}
	b.WriteString("Content-Type: multipart/alternative; boundary=" + between + "\n\n")
	b.WriteString("\n--" + between + "\nContent-Type: text/plain; charset=\"UTF-8\"\n" + body(plain))
	b.WriteString("--" + between + "\nContent-Type: text/html; charset=\"UTF-8\";\n" + body(page))
	b.WriteString("--" + between + "--")
	return lineEnds(b.String())
}

func subject(e event.Event) string {
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, "["+e.Priority.String()+"] "+e.Headline())
	return header(falcotext.Cut(strings.TrimRight(line, " "), maxSubject))
}

// header returns s as the value of a header: encoded if it is not ASCII.
func header(s string) string {
	encoded := mime.QEncoding.Encode("utf-8", s)
	return strings.ReplaceAll(encoded, "?= =?", "?=\n =?")
}

// people returns a list of addresses as the value of a header, with the names encoded that
// are not ASCII.
func people(list string) string {
	if isMail(list) {
		return list
	}
	parsed, err := mail.ParseAddressList(list)
	if err != nil {
		return list
	}
	var all []string
	for _, a := range parsed {
		all = append(all, a.String())
	}
	return strings.Join(all, ",\n ")
}

// body returns what follows a part's Content-Type: the part as it is, or encoded if mail
// servers would not let it through.
func body(part string) string {
	if isMail(part) {
		return "\n" + part
	}
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(part)) // a buffer takes everything
	_ = w.Close()
	encoded := strings.ReplaceAll(b.String(), "\r\n", "\n")
	return "Content-Transfer-Encoding: quoted-printable\n\n" + encoded
}

// isMail reports whether s is ASCII in lines that are not too long, without control
// characters.
func isMail(s string) bool {
	line := 0
	for _, c := range []byte(s) {
		switch {
		case c == '\n':
			line = 0
			continue
		case c >= 0x7f || c < ' ' && c != '\t':
			return false
		}
		if line++; line > maxLine {
			return false
		}
	}
	return true
}

func lineEnds(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// text is the event as plain text.
func text(e event.Event) string {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + ": " + value + "\n") }
	add("Priority", e.Priority.String())
	add("Output", falcotext.Cut(e.Output, maxText))
	add("Rule", falcotext.Cut(e.Rule, maxText))
	add("Source", e.Source)
	add("Hostname", e.Hostname)
	add("Tags", tags(e))
	add("Time", falcotext.Time(e.Time))
	b.WriteString("\n--Fields--\n")
	for name, value := range falcotext.AllFields(e, "<no value>") {
		add(name, falcotext.Cut(value, maxText))
	}
	return b.String() + "\n\n"
}

func tags(e event.Event) string {
	var b strings.Builder
	for _, tag := range e.Tags {
		b.WriteString(tag + " ")
	}
	return b.String()
}
