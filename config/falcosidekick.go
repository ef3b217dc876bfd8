package config

import (
	_ "embed"
	"strings"
)

//go:embed falcosidekick.txt
var falcosidekickKeys string

// FalcosidekickKeys returns the path of every key that Falcosidekick 2.34.1 reads, sorted.
// A configuration that has one of them is not wrong, even where the key has no effect.
func FalcosidekickKeys() []string { return strings.Fields(falcosidekickKeys) }
