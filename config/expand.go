package config

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME} by the environment variable NAME, which must not be empty,
// ${NAME:-text} by the variable or else by text, and $${ by ${. Any other $ stays.
// What a variable holds is not expanded again.
func expand(s string, env map[string]string) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			out.WriteString(s[:i-1])
			out.WriteString("${")
			s = s[i+2:]
			continue
		}
		out.WriteString(s[:i])
		body, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return "", errors.New("has a ${ without its } (write $${ for the characters themselves)")
		}
		name, fallback, hasFallback := strings.Cut(body, ":-")
		if !envPattern.MatchString(name) {
			return "", errors.New("has a ${…} that names no variable (write $${ for the characters themselves)")
		}
		value := env[name]
		if value == "" && !hasFallback {
			return "", fmt.Errorf("needs the environment variable %s, which is not set (write ${%s:-} if it may be missing)", name, name)
		}
		out.WriteString(first(value == "", fallback, value))
		s = rest
	}
}
