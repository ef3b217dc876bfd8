package awssns

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

const (
	// maxText is the most bytes of a text, so that room is left for attributes.
	maxText = 192 << 10
	// maxName is the longest name of an attribute.
	maxName = 256
	// maxDigits is the most digits of a number that SNS takes as one.
	maxDigits = 38
)

// message is what is published of an event. size is what SNS counts of it.
type message struct {
	text       string
	attributes map[string]types.MessageAttributeValue
	group, id  *string // for a FIFO topic
	size       int
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	m := message{}
	if strings.HasSuffix(c.TopicARN, ".fifo") {
		m.group, m.id = &c.MessageGroupID, aws.String(cmp.Or(e.UUID, uuid.NewString()))
	}
	if c.RawJSON {
		m.text = awsx.Body(e)
		m.size = len(m.text)
		return m
	}
	m.text = cut(printable(cmp.Or(e.Output, e.Rule)), maxText)
	m.size = len(m.text)
	m.attributes = map[string]types.MessageAttributeValue{}
	m.add("priority", "String", e.Priority.String())
	m.add("rule", "String", e.Rule)
	m.add("source", "String", e.Source)
	m.add("tags", "String", strings.Join(e.Tags, ","))
	m.add("hostname", "String", e.Hostname)
	for _, f := range e.Fields {
		switch text := f.Value.Text(); f.Value.Kind() {
		case event.String:
			m.add(attributeName(f.Name), "String", text)
		case event.Number:
			m.add(attributeName(f.Name), numberType(text), text)
		default: // null, bool, array and object are left out
		}
	}
	return m
}

// add adds an attribute if it has a value, and there is room for it. A field takes the
// place of what the event has by the same name.
func (m *message) add(name, kind, value string) {
	value = printable(value)
	size := len(name) + len(kind) + len(value)
	if name == "" || value == "" || m.size+size > maxBytes {
		return
	}
	if old, there := m.attributes[name]; there {
		m.size -= len(name) + len(*old.DataType) + len(*old.StringValue)
	}
	m.attributes[name] = types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	m.size += size
}

// attributeName returns the name of a field's attribute: proc.aname.2 for proc.aname[2].
// SNS takes letters, digits, _, - and single dots between them.
func attributeName(field string) string {
	field = strings.ReplaceAll(strings.ReplaceAll(field, "]", ""), "[", ".")
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-', r == '.':
			return r
		}
		return '_'
	}, field)
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if lower := strings.ToLower(name); strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
		name = "_" + name // the prefix is AWS's own
	}
	return strings.Trim(name[:min(len(name), maxName)], ".")
}

// numberType returns the type of attribute for a number in JSON: a number beyond SNS's range
// would cost the whole event.
func numberType(text string) string {
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	digits := len(strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, mantissa))
	value, err := strconv.ParseFloat(text, 64)
	value = math.Abs(value)
	if err != nil || digits > maxDigits || value > 1e126 || value != 0 && value < 1e-128 {
		return "String"
	}
	return "Number"
}

// printable replaces the characters that XML cannot carry, which SNS does not take.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF' {
			return utf8.RuneError
		}
		return r
	}, text)
}

// cut returns at most n bytes of text.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n -= len(falcotext.Ellipsis)
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + falcotext.Ellipsis
}
