// Package version says which build this is.
package version

import (
	"runtime/debug"
	"strings"
)

// Version is stamped by the linker from `git describe`; a build without it asks the
// module's own build information.
var Version = ""

// String returns the version: a tag, a tag with commits on top, or a commit.
func String() string {
	if Version != "" {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return strings.Trim(info.Main.Version, "()") // (devel)
}
