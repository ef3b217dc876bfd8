package event

import (
	"math/bits"
	"time"
	"unicode/utf8"
)

// AppendJSON appends e as one JSON object in the encoding that the package comment
// describes, without a line feed, and returns the extended slice.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if e.UUID != "" {
		dst = append(dst, `"uuid":`...)
		dst = AppendJSONString(dst, e.UUID)
		dst = append(dst, ',')
	}
	dst = append(dst, `"output":`...)
	dst = AppendJSONString(dst, e.Output)
	dst = append(dst, `,"priority":"`...)
	dst = append(dst, e.Priority.String()...)
	dst = append(dst, `","rule":`...)
	dst = AppendJSONString(dst, e.Rule)
	dst = append(dst, `,"time":"`...)
	dst = e.Time.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","output_fields":`...)
	dst = AppendJSONFields(dst, e.Fields)
	dst = append(dst, `,"source":`...)
	dst = AppendJSONString(dst, e.Source)
	if len(e.Tags) > 0 {
		dst = append(dst, `,"tags":`...)
		dst = AppendJSONStrings(dst, e.Tags)
	}
	if e.Hostname != "" {
		dst = append(dst, `,"hostname":`...)
		dst = AppendJSONString(dst, e.Hostname)
	}
	return append(dst, '}')
}

// MarshalJSON returns what AppendJSON appends. The error is always nil.
func (e Event) MarshalJSON() ([]byte, error) {
	return e.AppendJSON(make([]byte, 0, 1024)), nil
}

// AppendJSONFields appends fields as a JSON object in the order given, which is that of
// Event.Fields: sorted by name.
func AppendJSONFields(dst []byte, fields []Field) []byte {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, f.Name)
		dst = append(dst, ':')
		dst = f.Value.AppendJSON(dst)
	}
	return append(dst, '}')
}

// AppendJSONStrings appends list as a JSON array of strings, [] when it is empty.
func AppendJSONStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, s)
	}
	return append(dst, ']')
}

// AppendJSON appends the value's JSON text.
func (v Value) AppendJSON(dst []byte) []byte {
	switch {
	case v.kind == String:
		return AppendJSONString(dst, v.text)
	case v.kind == Null, v.text == "":
		return append(dst, "null"...)
	}
	return append(dst, v.text...)
}

// MarshalJSON returns what AppendJSON appends. The error is always nil.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// AppendJSONString appends s as a JSON string exactly as encoding/json writes it: <, >, &,
// U+2028 and U+2029 escaped, and each byte that isn't UTF-8 as \ufffd.
func AppendJSONString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; ; {
		for i+8 <= len(s) {
			special := specials(uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
				uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56)
			if special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		for i < len(s) && verbatim[s[i]] {
			i++
		}
		if i == len(s) {
			break
		}
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hex[r&0xf])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// specials returns a word whose lowest set bit is in the lowest byte of w that isn't
// verbatim, 0 if all eight are.
func specials(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash, and := w^(ones*'"'), w^(ones*'\\'), w^(ones*'&')
	angle := (w | ones*('<'^'>')) ^ (ones * '>') // < and > differ in one bit
	return ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash |
		(and-ones)&^and | (angle-ones)&^angle | w) & highs
}

const hex = "0123456789abcdef"

// verbatim holds the ASCII characters that a string shows as they are.
var verbatim = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}
