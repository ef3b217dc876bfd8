// Package config reads typed configuration.
package config

// Field describes one key of a configuration struct.
type Field struct {
	// Key is the key's path below the section: "batching.enabled".
	Key string
	// Doc is the sentence for the reference page.
	Doc string
	// Default is the value's text when nothing is set.
	Default string
	// Required says that the section is off, or wrong, without it.
	Required bool
	// OneOf are the values allowed, none meaning any.
	OneOf []string
	// Secret says that the value must not be shown.
	Secret bool
}

// Fields returns the keys of the struct that ptr points to.
func Fields(ptr any) ([]Field, error) { return nil, nil }
