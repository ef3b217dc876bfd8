package journal

import (
	"fmt"
	"strconv"
	"strings"
)

// maxName is the most bytes of an output's name.
const maxName = 64

// EscapeName turns the name of an output into one that may be a file's name, a NATS
// consumer's or a part of a NATS subject. Different names stay different: everything but
// letters, digits, - and _ becomes = and two hexadecimal digits. A name that does not have
// 1 to 64 bytes is an error.
func EscapeName(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", fmt.Errorf("the name %q must have 1 to %d bytes", name, maxName)
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String(), nil
}

// UnescapeName turns back what EscapeName made. Anything else comes back as it is.
func UnescapeName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '=' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
