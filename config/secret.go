package config

import "log/slog"

// hidden is what every way of printing a Secret shows.
const hidden = "[hidden]"

// fileSuffix ends the name of a key that names a file with a secret.
const fileSuffix = "_file"

// Secret is a value that no log, error, metric or page may show. It is a struct around a
// pointer because fmt calls no methods on unexported fields: a named string would show
// there in plain. The zero Secret is empty.
type Secret struct{ value *string }

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the secret itself. Call it in the line that uses it and nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether nothing is set.
func (s Secret) IsZero() bool { return s.value == nil }

// String returns a placeholder, or "" when nothing is set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return hidden
}

// GoString returns what String returns.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
